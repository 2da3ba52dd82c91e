"""Services: the noun and the rows (contract section 5)."""

import functools
import json
import threading

import pytest

from chalicelib import settings
from chalicelib.outbox import owed
from chalicelib.owt import service
from chalicelib.owt.errors import BadData, NoService
from chalicelib.owt.service import NewService
from chalicelib.owt.store import services
from chalicelib.store import keys
from tests.support.counts import full

KEY = "a key that nobody may read"
ROUNDS = full(5, 200)


class TestNoun:
    def test_a_service_has_a_name_and_a_key(self):
        assert service.parse_new({"name": "acme", "key": "s3cret"}) == NewService("acme", "s3cret")
        assert service.parse_new({"name": " ", "key": " ", "other": 1}) == NewService(" ", " ")

    def test_it_may_demand_the_second_method(self):
        assert service.parse_new({"name": "a", "key": "b", "requireV2": True}).require_v2
        assert not service.parse_new({"name": "a", "key": "b", "requireV2": False}).require_v2

    @pytest.mark.parametrize(
        "body",
        [
            *(None, [], "acme", 1, {}),
            {"name": "a"},
            {"key": "b"},
            {"name": "", "key": "b"},
            {"name": "a", "key": ""},
            {"name": None, "key": "b"},
            {"name": 1, "key": "b"},
            {"name": ["a"], "key": "b"},
            {"name": "a", "key": {}},
            {"name": "a", "key": "b", "requireV2": "true"},
            {"name": "a", "key": "b", "requireV2": None},
            {"name": "a" * 1025, "key": "b"},
            {"name": "a", "key": "b" * 1025},
        ],
    )
    def test_anything_else_is_refused(self, body):
        with pytest.raises(BadData):
            service.parse_new(body)

    def test_a_document_has_the_fields_of_the_contract(self):
        made = service.Service("6b026d1a2748a5067e685d1e", "acme", "998f")
        assert service.document(made, ["6b0269fdb32ce611868ec9e0"]) == {
            "_id": "6b026d1a2748a5067e685d1e",
            "name": "acme",
            "key": "998f",
            "encrypted": True,
            "rooms": ["6b0269fdb32ce611868ec9e0"],
        }

    def test_a_new_service_does_not_show_its_key(self):
        assert KEY not in repr(NewService("acme", KEY))


class TestRows:
    def test_a_service_is_three_rows_written_at_once(self, table):
        made = services.create(NewService("acme", KEY))
        assert sorted(row["pk"]["S"] for row in table.rows()) == sorted(
            [keys.owt_service(made.id).pk, keys.OWT_SERVICES, keys.owt_service_name("acme").pk]
        )

    def test_d23_no_row_and_no_document_has_the_key_in_clear(self, table, credentials):
        services.create(NewService("acme", KEY))
        documents = [service.document(each, []) for each in services.every()]
        assert KEY not in repr(table.rows())
        assert KEY not in json.dumps(documents)
        assert credentials.super_service_key not in json.dumps(documents)

    def test_d23_what_stands_for_the_key_does_not_tell_equal_keys(self, table):
        first, second = (services.create(NewService(name, KEY)) for name in ("a", "b"))
        assert first.shown_key != second.shown_key
        assert services.read(first.id).shown_key == first.shown_key

    def test_ids_are_24_digits_that_rise(self, table):
        made = [services.create(NewService(f"{number}", KEY)).id for number in range(20)]
        assert made == sorted(made)
        assert all(len(each) == 24 and int(each, 16) and each == each.lower() for each in made)

    def test_the_list_begins_with_the_super_service_and_rises(self, table, credentials):
        made = [services.create(NewService(f"{number}", KEY)) for number in range(12)]
        found = list(services.every())
        assert found[0].id == credentials.super_service_id
        assert found[0].name == service.SUPER_NAME
        assert found[1:] == made

    def test_the_super_service_is_read_without_a_row(self, table, credentials):
        assert services.read(credentials.super_service_id) == next(services.every())

    @pytest.mark.parametrize("name", ["5e0d0c0a0b0c0d0e0f101112", "", "all", "\ud800", "x" * 5000])
    def test_an_unknown_service_is_not_there_whatever_its_id(self, table, name):
        with pytest.raises(NoService):
            services.read(name)
        with pytest.raises(NoService):
            services.delete(name)

    def test_a_name_is_taken_once(self, table):
        services.create(NewService("acme", KEY))
        before = table.rows()
        for name in ("acme", service.SUPER_NAME):
            with pytest.raises(BadData, match="in use"):
                services.create(NewService(name, "another"))
        assert table.rows() == before
        services.create(NewService("Acme", KEY))

    def test_a_deleted_service_leaves_its_name_free_and_owes_the_end_of_its_rooms(self, table):
        made = services.create(NewService("acme", KEY))
        services.delete(made.id)
        assert [row["pk"]["S"] for row in table.rows()] == [keys.owt_service_purge(made.id).pk]
        (left,) = table.rows()
        assert left["due"]["S"].startswith("owt.service#")
        assert left["service"]["S"] == made.id
        (message,) = table.messages()
        assert json.loads(message["Body"])["kind"] == services.PURGE
        with pytest.raises(NoService):
            services.delete(made.id)
        assert services.create(NewService("acme", KEY)).id != made.id

    def test_a_worker_can_claim_what_is_owed(self, table):
        made = services.create(NewService("acme", KEY))
        services.delete(made.id)
        claimed = owed.claim(services.ServicePurgeRow, keys.owt_service_purge(made.id))
        assert claimed is not None
        assert claimed.service == made.id
        assert owed.finish(claimed)
        assert table.rows() == []


def at_once(*actions) -> list[object]:
    """What the actions return or raise, all of them begun together."""
    found: list[object] = [None] * len(actions)
    start = threading.Barrier(len(actions))

    def run(at: int) -> None:
        start.wait()
        try:
            found[at] = actions[at]()
        except Exception as error:
            found[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(actions))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return found


class TestAtOnce:
    def test_of_two_services_of_one_name_one_is_made(self, stack):
        for number in range(ROUNDS):
            new = NewService(f"name{number}", KEY)
            found = at_once(*[functools.partial(services.create, new)] * 2)
            assert sorted(type(each).__name__ for each in found) == ["BadData", "Service"]
        settings.reset()
        assert len(list(services.every())) == ROUNDS + 1

    def test_of_two_deletions_one_finds_it_gone(self, stack):
        for number in range(ROUNDS):
            made = services.create(NewService(f"name{number}", KEY))
            found = at_once(*[functools.partial(services.delete, made.id)] * 2)
            assert sorted(type(each).__name__ for each in found) == ["NoService", "NoneType"]
