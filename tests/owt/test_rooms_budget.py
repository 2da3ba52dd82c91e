"""What each request about a room costs in storage calls, exactly; counted below botocore."""

from collections.abc import Iterator

import pytest

from chalicelib.owt.store import rooms, services
from chalicelib.store import keys, writes
from infra.credentials import Credentials
from tests.conftest import Stack
from tests.owt.api import Api, ok
from tests.owt.test_rooms_api import many
from tests.support.storage import Storage, item_size, listening

LARGEST_LISTED_ROW = 80


@pytest.fixture
def super_api(stack: Stack, credentials: Credentials) -> Api:
    """The super service, on ministack."""
    return Api(credentials.super_service_id, credentials.super_service_key)


@pytest.fixture
def ordinary(super_api: Api) -> Api:
    """An ordinary service whose key this process knows."""
    made = ok(super_api.post("/services", {"name": "acme", "key": "s3cret"}))
    caller = Api(made["_id"], "s3cret")
    ok(caller.get("/rooms"))
    return caller


@pytest.fixture
def storage(super_api: Api) -> Iterator[Storage]:
    """The counter; made after the clients."""
    with listening() as counter:
        yield counter


def test_who_calls_is_one_read_a_minute_and_none_for_the_super_service(ordinary, storage):
    services.forget()
    assert storage.spent(lambda: ordinary.get("/rooms")) == ["GetItem", "Query"]
    assert storage.spent(lambda: ordinary.get("/rooms")) == ["Query"]


def test_a_new_room_is_one_transaction(super_api, ordinary, storage):
    assert storage.spent(lambda: super_api.post("/rooms", {"name": "r"})) == ["TransactWriteItems"]
    assert storage.spent(lambda: ordinary.post("/rooms", {"name": "r"})) == ["TransactWriteItems"]
    puts = [each for each in storage.calls[-1].body["TransactItems"] if "Put" in each]
    assert len(storage.calls[-1].body["TransactItems"]) == 3
    assert len(puts) == 2


def test_a_room_is_one_read(ordinary, storage):
    room_id = ordinary.room()
    assert storage.spent(lambda: ordinary.get(f"/rooms/{room_id}")) == ["GetItem"]
    assert storage.calls[-1].body["ConsistentRead"] is True


def test_a_page_of_rooms_is_one_query_and_one_batch_of_reads(super_api, storage):
    many(super_api.service, 250)
    for query, reads in (
        ("?page=1&per_page=100", 1),
        ("?page=2&per_page=100", 1),
        ("?per_page=20", 1),
        ("", 3),
    ):
        calls = storage.spent(lambda query=query: super_api.get(f"/rooms{query}"))
        assert calls == ["Query"] + ["BatchGetItem"] * reads
    calls = storage.spent(lambda: super_api.get("/rooms?page=9&per_page=100"))
    assert calls == ["Query"]


def test_the_index_row_of_a_room_is_small(super_api, stack):
    room_id = super_api.room()
    (listed,) = [row for row in stack.rows() if row["pk"]["S"] == keys.owt_rooms(super_api.service)]
    assert listed["sk"]["S"] == room_id
    assert item_size(listed) <= LARGEST_LISTED_ROW


def test_the_row_of_a_usual_room_is_small(super_api):
    raw = next(iter(writes.raw_rows(keys.owt_room_partition(super_api.room()))))
    assert len(raw["doc"]["B"]) <= 110
    assert sum(len(name) + len(repr(next(iter(value.values())))) for name, value in raw.items()) < 512


def test_a_put_is_one_read_and_one_write(ordinary, storage):
    room_id = ordinary.room(views=[{"label": "a"}])
    calls = storage.spent(lambda: ordinary.put(f"/rooms/{room_id}", {"participantLimit": 9}))
    assert calls == ["GetItem", "UpdateItem"]
    views = [{"label": "a"}, {"label": "b"}]
    calls = storage.spent(lambda: ordinary.put(f"/rooms/{room_id}", {"views": views}))
    assert calls == ["GetItem", "UpdateItem"]


def test_a_put_that_takes_a_view_away_sees_to_what_hung_on_it(ordinary, storage):
    room_id = ordinary.room(views=[{"label": "a"}, {"label": "b"}])
    calls = storage.spent(lambda: ordinary.put(f"/rooms/{room_id}", {"views": []}))
    # The room and what is owed; that is taken on, looked for, tidied up, done.
    assert calls == ["GetItem", "TransactWriteItems", "UpdateItem", "Query", "BatchWriteItem", "DeleteItem"]


def test_a_deletion_is_one_transaction_and_one_kick(ordinary, storage):
    room_id = ordinary.room()
    calls = storage.spent(lambda: ordinary.delete(f"/rooms/{room_id}"))
    assert calls == ["TransactWriteItems", "SendMessage"]


def test_an_id_that_no_room_can_have_costs_nothing(super_api, storage):
    mark = len(storage.calls)
    assert super_api.get("/rooms/anything").status == 404
    assert storage.since(mark) == []


def test_nothing_is_found_by_a_scan(super_api, storage):
    room_id = super_api.room()
    ok(super_api.get("/rooms"))
    ok(super_api.put(f"/rooms/{room_id}", {"views": []}))
    super_api.delete(f"/rooms/{room_id}")
    assert "Scan" not in {call.operation for call in storage.calls}
    assert all(call.body.get("ConsistentRead", True) for call in storage.calls)
    assert rooms.PAGE == 100
