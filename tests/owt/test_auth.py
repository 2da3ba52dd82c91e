"""Who calls: contract section 4 and decisions D5, D6 and D22, with the storage calls that it takes."""

import functools
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib import clock, ids, settings
from chalicelib.errors import Unauthenticated, Unavailable
from chalicelib.owt import auth, vault
from chalicelib.owt.auth import Caller
from chalicelib.owt.service import NewService, Service
from chalicelib.owt.store import services
from chalicelib.store import keys, replays, writes
from chalicelib.store.expressions import ABSENT
from chalicelib.wire.request import Request
from tests.conftest import Stack
from tests.owt.test_services import at_once
from tests.support import mauth
from tests.support.counts import full
from tests.support.storage import Storage, listening

KEY = "s3cret"
UNKNOWN = "5e0d0c0a0b0c0d0e0f101112"
METHODS = ("compat", "strict")


def request(header: str | None, **parts) -> Request:
    headers = {} if header is None else {"Authorization": header}
    return Request(**{"method": "GET", "path": "/local/v1/rooms", "headers": headers} | parts)


def caller(header: str | None, **parts) -> Caller:
    return auth.authenticate(request(header, **parts))


def refused(header: str | None, **parts) -> None:
    with pytest.raises(Unauthenticated) as error:
        caller(header, **parts)
    assert str(error.value) == "The request is not authenticated"


@pytest.fixture
def service(table: Stack) -> Service:
    return services.create(NewService("acme", KEY))


@pytest.fixture
def storage(table: Stack) -> Iterator[Storage]:
    with listening() as counter:
        yield counter


@pytest.fixture
def strict(table: Stack, monkeypatch) -> None:
    monkeypatch.setenv("OWT_MAUTH", "strict")
    settings.reset()


def later(monkeypatch, seconds: float) -> None:
    now, monotonic = clock.now, clock.monotonic
    monkeypatch.setattr(clock, "now", lambda: now() + seconds)
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + seconds)


class TestWho:
    def test_the_super_service_is_there_from_the_first_request_on(self, table, credentials):
        header = mauth.header(credentials.super_service_id, credentials.super_service_key)
        assert caller(header) == Caller(credentials.super_service_id, True)
        assert table.rows() == []

    def test_a_service_is_known_by_the_key_it_was_made_with(self, service):
        assert caller(mauth.header(service.id, KEY)) == Caller(service.id, False)

    def test_d05_blanks_after_commas_do_not_count(self, service):
        assert caller(mauth.header(service.id, KEY, comma=", ")).service == service.id

    def test_user_and_role_of_the_header_come_decoded(self, service):
        header = mauth.header(service.id, KEY, user="Ælice", role="presenter")
        assert caller(header) == Caller(service.id, False, "Ælice", "presenter")

    def test_d22_a_user_without_a_role_is_not_signed_and_counts_for_nothing(self, service):
        for part in ("mauth_username=YWxpY2U=", "mauth_role=presenter"):
            assert caller(mauth.header(service.id, KEY) + "," + part) == Caller(service.id, False)

    def test_the_name_of_the_header_has_no_case(self, service):
        header = mauth.header(service.id, KEY)
        assert auth.authenticate(Request("GET", "/", headers={"AUTHORIZATION": header})).service == service.id

    def test_a_wrong_key_an_unknown_service_and_no_header_are_one_refusal(self, service, credentials):
        refused(None)
        refused("Basic YTpi")
        refused(mauth.header(service.id, "another"))
        refused(mauth.header(UNKNOWN, KEY))
        refused(mauth.header("no id at all", KEY))
        refused(mauth.header(service.id.upper(), KEY))
        refused(mauth.header(credentials.super_service_id, "another"))
        refused(mauth.header(service.id, KEY, user="alice", role="viewer").replace("=viewer", "=presenter"))

    def test_one_services_key_is_no_proof_for_another(self, service):
        other = services.create(NewService("other", "0ther"))
        refused(mauth.header(other.id, KEY))
        assert caller(mauth.header(other.id, "0ther")).service == other.id

    @pytest.mark.parametrize("name", ["ll", "n" + "0" * 22, "z" + UNKNOWN, "r" + UNKNOWN, "\ud800"])
    def test_a_service_id_that_would_name_another_row_is_unknown(self, service, name):
        refused(mauth.header(service.id, KEY).replace(service.id, name))

    def test_without_a_super_service_every_call_is_refused(self, service, monkeypatch, storage):
        for name in ("OWT_SUPER_SERVICE_ID", "OWT_SUPER_SERVICE_KEY"):
            monkeypatch.delenv(name)
        settings.reset()
        with storage.counting() as calls:
            refused(mauth.header(service.id, KEY))
            refused(mauth.header("", ""))
        assert calls == {}

    def test_a_key_that_cannot_be_unsealed_is_an_outage_and_no_refusal(self, service, monkeypatch):
        monkeypatch.setenv("OWT_KEY_SECRET", "another secret of some forty characters")
        settings.reset()
        with pytest.raises(Unavailable):
            caller(mauth.header(service.id, KEY))

    def test_why_a_call_was_refused_is_in_the_log_without_its_secrets(self, service, caplog):
        caplog.set_level("INFO")
        header = mauth.header(service.id, "another")
        refused(header)
        assert "not its signature" in caplog.text
        assert mauth.signature_of(header) not in caplog.text
        assert KEY not in caplog.text


class TestCost:
    def test_a_call_takes_one_read_and_the_next_ones_none(self, service, storage):
        with storage.counting() as first:
            caller(mauth.header(service.id, KEY))
        with storage.counting() as more:
            for _ in range(5):
                caller(mauth.header(service.id, KEY))
        assert (first, more) == (Counter(GetItem=1), Counter())

    def test_the_super_service_takes_no_read(self, table, credentials, storage):
        with storage.counting() as calls:
            caller(mauth.header(credentials.super_service_id, credentials.super_service_key))
        assert calls == {}

    def test_a_refusal_takes_one_read_whoever_it_is(self, service, credentials, storage):
        caller(mauth.header(service.id, KEY))
        for name in (service.id, UNKNOWN, "no id at all", credentials.super_service_id):
            with storage.counting() as calls:
                refused(mauth.header(name, "another"))
            assert calls == Counter(GetItem=1), name

    def test_an_unknown_service_costs_as_much_unsealing_as_a_wrong_key(self, service, monkeypatch):
        unsealed = []
        unseal = vault.unseal

        def hear(sealed: bytes, where: keys.Key) -> str:
            unsealed.append(where)
            return unseal(sealed, where)

        monkeypatch.setattr(vault, "unseal", hear)
        refused(mauth.header(UNKNOWN, KEY))
        refused(mauth.header(service.id, "another"))
        assert len(unsealed) == 2

    def test_a_service_is_remembered_for_a_minute(self, service, storage, monkeypatch):
        caller(mauth.header(service.id, KEY))
        later(monkeypatch, 59)
        with storage.counting() as within:
            caller(mauth.header(service.id, KEY))
        later(monkeypatch, 2)
        with storage.counting() as after:
            caller(mauth.header(service.id, KEY))
        assert (within, after) == (Counter(), Counter(GetItem=1))

    def test_that_there_is_no_such_service_is_not_remembered(self, table, monkeypatch):
        monkeypatch.setattr(ids, "rising", lambda now: UNKNOWN)
        refused(mauth.header(UNKNOWN, KEY))
        services.create(NewService("late", KEY))
        assert caller(mauth.header(UNKNOWN, KEY)).service == UNKNOWN

    def test_a_process_without_memory_reads_each_time(self, service, storage, monkeypatch):
        monkeypatch.setenv("OWT_SERVICE_CACHE_S", "0")
        settings.reset()
        with listening() as restarted:
            for _ in range(2):
                caller(mauth.header(service.id, KEY))
        assert [call.operation for call in restarted.calls] == ["GetItem", "GetItem"]

    def test_strict_takes_one_write_more(self, service, strict, credentials):
        boss = credentials.super_service_id, credentials.super_service_key
        with listening() as storage:
            assert storage.spent(lambda: caller(mauth.header(service.id, KEY))) == ["GetItem", "PutItem"]
            assert storage.spent(lambda: caller(mauth.header(*boss))) == ["PutItem"]


class TestDeletedElsewhere:
    def test_the_key_of_a_deleted_service_is_taken_for_a_minute_and_no_longer(self, service, monkeypatch):
        caller(mauth.header(service.id, KEY))
        writes.delete(*keys.owt_service(service.id))
        caller(mauth.header(service.id, KEY))
        later(monkeypatch, 61)
        refused(mauth.header(service.id, KEY))

    def test_the_process_that_deletes_it_takes_it_no_more(self, service):
        caller(mauth.header(service.id, KEY))
        services.delete(service.id)
        refused(mauth.header(service.id, KEY))


class TestReplay:
    def test_d06_by_default_one_header_serves_many_calls_at_any_time(self, service):
        header = mauth.header(service.id, KEY, timestamp="1406079112038", cnonce="87428")
        for _ in range(3):
            assert caller(header).service == service.id

    def test_d06_by_default_a_timestamp_is_any_text(self, service):
        assert caller(mauth.header(service.id, KEY, timestamp="yesterday")).service == service.id

    def test_strict_refuses_a_header_that_was_seen(self, service, strict):
        header = mauth.header(service.id, KEY)
        caller(header)
        refused(header)
        refused(header.replace(",", ", "))

    @pytest.mark.parametrize("mode", METHODS)
    def test_equal_and_falling_timestamps_are_fine(self, service, monkeypatch, mode):
        monkeypatch.setenv("OWT_MAUTH", mode)
        settings.reset()
        now = int(time.time() * 1000)
        for stamp in (now, now, now - 1000, now + 5, now - 250_000):
            assert caller(mauth.header(service.id, KEY, timestamp=str(stamp))).service == service.id

    def test_two_services_may_use_one_nonce_at_one_time(self, service, strict):
        other = services.create(NewService("other", KEY))
        given = {"timestamp": mauth.now_ms(), "cnonce": "1"}
        for each in (service, other):
            assert caller(mauth.header(each.id, KEY, **given)).service == each.id

    @pytest.mark.parametrize("seconds", [-301, 301, -86400])
    def test_strict_refuses_what_is_outside_the_window(self, service, strict, seconds):
        stamp = str(int((time.time() + seconds) * 1000))
        refused(mauth.header(service.id, KEY, timestamp=stamp))

    @pytest.mark.parametrize("stamp", ["now", "-1", "1e12", "٣", "9" * 400, "1.5"])
    def test_strict_wants_a_number_of_milliseconds(self, service, strict, stamp):
        refused(mauth.header(service.id, KEY, timestamp=stamp))

    def test_strict_keeps_nothing_of_a_request_that_was_not_signed(self, service, strict, table):
        before = table.rows()
        refused(mauth.header(service.id, "another"))
        assert table.rows() == before

    def test_what_was_seen_is_refused_as_long_as_its_row_stands(self, service, strict, monkeypatch):
        header = mauth.header(service.id, KEY)
        caller(header)
        later(monkeypatch, 299)
        refused(header)
        later(monkeypatch, 2)
        refused(header)

    def test_a_nonce_whose_write_is_sent_again_counts_as_seen_once(self, table):
        row = replays.ReplayRow(*keys.replay("s", "n"), by="one attempt", expires_at=1)
        writes.put(row, ABSENT)
        writes.put(row, ABSENT)
        assert not replays.first("s", "n", 1.0)
        assert replays.first("s", "m", 1.0)
        assert replays.first("t", "n", 1.0)


BODY = b'{"user":"alice"}'


@pytest.mark.parametrize("of", ["super", "acme"])
def test_of_two_calls_with_one_header_at_once_strict_serves_one(stack, credentials, monkeypatch, of):
    monkeypatch.setenv("OWT_MAUTH", "strict")
    settings.reset()
    known = (credentials.super_service_id, credentials.super_service_key)
    if of == "acme":
        known = (services.create(NewService("acme", KEY)).id, KEY)
    for _ in range(full(10, 200)):
        header = mauth.header(*known)
        found = at_once(*[functools.partial(caller, header)] * 2)
        assert sorted(type(each).__name__ for each in found) == ["Caller", "NotProven"]


CALL = {
    "method": "POST",
    "path": "/local/v1/rooms/r1/tokens",
    "resource": "/v1/rooms/{room}/tokens",
    "path_parameters": {"room": "r1"},
    "query": {"b": ["2", "1"], "a": ["x y"]},
    "body": BODY,
}
QUERY = [("a", "x y"), ("b", "1"), ("b", "2")]


class TestSecondMethod:
    def header(self, service: Service, **also) -> str:
        return mauth.header_v2(service.id, KEY, "POST", "/v1/rooms/r1/tokens", QUERY, BODY, **also)

    def test_a_call_as_it_was_signed_is_accepted_at_any_front(self, service):
        header = self.header(service)
        assert caller(header, **CALL) == Caller(service.id, False)
        assert caller(header, **CALL | {"path": "/dev/v1/rooms/r1/tokens/"}) == Caller(service.id, False)
        assert caller(header, **CALL | {"path": "/base/v1/rooms/r1/tokens"}) == Caller(service.id, False)

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "PUT"},
            {"resource": "/v1.1/rooms/{room}/tokens"},
            {"path_parameters": {"room": "r2"}},
            {"query": {}},
            {"query": {"b": ["2", "1"], "a": ["x+y"]}},
            {"query": {"b": ["2"], "a": ["x y"]}},
            {"body": b'{"user":"mallory"}'},
            {"body": b""},
        ],
    )
    def test_a_call_that_was_changed_is_refused(self, service, change):
        refused(self.header(service), **CALL | change)

    def test_user_and_role_are_signed_one_by_one(self, service):
        header = self.header(service, user="YWxpY2U=", role="presenter")
        assert caller(header, **CALL) == Caller(service.id, False, "alice", "presenter")
        refused(header.replace("mauth_role=presenter,", ""), **CALL)
        refused(header.replace("=presenter", "=viewer"), **CALL)
        refused(self.header(service) + ",mauth_role=presenter", **CALL)

    def test_a_service_may_demand_it(self, table):
        made = services.create(NewService("careful", KEY, require_v2=True))
        refused(mauth.header(made.id, KEY), **CALL)
        assert caller(self.header(made), **CALL) == Caller(made.id, False)

    def test_the_super_service_may_demand_it(self, table, credentials, monkeypatch):
        monkeypatch.setenv("OWT_SUPER_REQUIRE_V2", "true")
        settings.reset()
        known = (credentials.super_service_id, credentials.super_service_key)
        refused(mauth.header(*known))
        assert caller(mauth.header_v2(*known, "GET", "/v1/rooms"), resource="/v1/rooms").is_super

    def test_strict_refuses_a_second_use_of_it(self, service, strict):
        header = self.header(service)
        caller(header, **CALL)
        refused(header, **CALL)
