"""Registration and account (contract 5), with the storage calls that they take."""

import re
import time

import pytest

from chalicelib import clock
from chalicelib.loop import secrets
from chalicelib.loop.store import credentials
from chalicelib.loop.store.credentials import CredentialRow
from chalicelib.store import keys, writes
from tests.loop.api import Caller, HawkCaller, ok, refusal, register, serve
from tests.support import hawk

ROOMS = "https://push.example/rooms"
CALLS = "https://push.example/calls"
BAD = (400, 107)


def kept(caller: HawkCaller) -> CredentialRow | None:
    uid = secrets.uid(caller.credentials.id)
    return writes.get(CredentialRow, *keys.loop_credential(uid), consistent=True)


def urls(caller: HawkCaller) -> tuple[str | None, str | None]:
    row = kept(caller)
    assert row is not None
    return row.rooms_url, row.calls_url


class TestRegistering:
    def test_new_credentials_come_as_64_digits_in_a_header_that_pages_may_read(self, nobody):
        answer = nobody.post("/registration")
        assert ok(answer) == {}
        assert re.fullmatch("[0-9a-f]{64}", answer.header("Hawk-Session-Token") or "")
        assert "Hawk-Session-Token" in (answer.header("Access-Control-Expose-Headers") or "")
        assert answer.header("Timestamp") is not None

    def test_each_registration_makes_others(self, nobody):
        tokens = {nobody.post("/registration").header("Hawk-Session-Token") for _ in range(3)}
        assert len(tokens) == 3

    def test_they_work_at_once(self, owner):
        assert ok(owner.get("/rooms")) == []

    def test_neither_id_nor_key_nor_token_stands_in_the_table(self, nobody, table):
        token = nobody.post("/registration").header("Hawk-Session-Token") or ""
        made = hawk.derive(token)
        rows = repr(table.rows())
        for secret in (token, made.id, made.key, bytes.fromhex(made.key), bytes.fromhex(made.id)):
            assert str(secret) not in rows

    def test_it_costs_one_write(self, nobody, storage):
        with storage.counting() as counted:
            ok(nobody.post("/registration", {"simplePushURLs": {"rooms": ROOMS}}))
        assert counted == {"PutItem": 1}

    @pytest.mark.parametrize("body", [b"", {}, {"simplePushURLs": {}}, {"simplePushURLs": None}, {"x": 1}])
    def test_no_urls_need_be_given(self, nobody, body):
        assert ok(nobody.post("/registration", body)) == {}

    @pytest.mark.parametrize(
        ("body", "target", "expected"),
        [
            ({"simplePushURLs": {"rooms": ROOMS, "calls": CALLS}}, "/registration", (ROOMS, CALLS)),
            ({"simplePushURLs": {"rooms": ROOMS}}, "/registration", (ROOMS, None)),
            ({"simplePushURL": CALLS}, "/registration", (None, CALLS)),
            ({"simple_push_url": CALLS}, "/registration", (None, CALLS)),
            (b"", f"/registration?simplePushURL={CALLS}", (None, CALLS)),
            ({"simplePushURLs": {"rooms": ROOMS}, "simplePushURL": CALLS}, "/registration", (ROOMS, CALLS)),
        ],
    )
    def test_urls_come_in_three_forms(self, nobody, body, target, expected):
        answer = nobody.post(target, body)
        caller = HawkCaller(hawk.derive(answer.header("Hawk-Session-Token") or ""))
        assert urls(caller) == expected

    @pytest.mark.parametrize(
        "body",
        [
            *([], "text", 1, None),
            *({"simplePushURLs": bad} for bad in (["x"], "http://a", 1, True)),
            *({"simplePushURLs": {"rooms": bad}} for bad in ("ftp://a", "", None, 1, "https://a" * 300)),
            *({"simplePushURLs": {topic: ROOMS}} for topic in ("room", "Rooms", "")),
            *({name: bad} for name in ("simplePushURL", "simple_push_url") for bad in ("wss://a", 1, None)),
        ],
    )
    def test_bad_urls_and_other_topics_are_refused_and_leave_no_trace(self, nobody, table, body):
        assert refusal(nobody.post("/registration", body)) == BAD
        assert table.rows() == []

    def test_a_bad_url_in_the_query_is_refused(self, nobody):
        assert refusal(nobody.post("/registration?simplePushURL=ftp%3A%2F%2Fa")) == BAD

    @pytest.mark.parametrize("body", [b"{", b"\xff", b"nul", b'{"a":1,"a":2}'])
    def test_what_is_not_json_is_refused(self, nobody, table, body):
        assert refusal(nobody.post("/registration", body)) == (400, 106)
        assert table.rows() == []

    @pytest.mark.parametrize("header", ["Basic YTo=", "Bearer x", "Token x", "x"])
    def test_no_other_scheme_registers(self, table, header):
        answer = serve("POST", "/registration", headers={"Authorization": header})
        assert refusal(answer) == (401, 110)
        assert answer.header("WWW-Authenticate") == "Hawk"
        assert table.rows() == []


class TestWithCredentials:
    def test_registering_again_replaces_the_urls_and_makes_no_token(self, nobody, table):
        owner = register({"simplePushURLs": {"rooms": ROOMS, "calls": CALLS}})
        answer = owner.post("/registration", {"simplePushURLs": {"rooms": ROOMS + "2"}})
        assert ok(answer) == {}
        assert answer.header("Hawk-Session-Token") is None
        assert urls(owner) == (ROOMS + "2", None)

    def test_registering_again_without_any_changes_nothing(self, table):
        owner = register({"simplePushURLs": {"rooms": ROOMS}})
        ok(owner.post("/registration"))
        assert urls(owner) == (ROOMS, None)

    def test_unknown_credentials_get_no_others(self, table):
        stranger = HawkCaller(hawk.derive("00" * 32))
        answer = stranger.post("/registration")
        assert refusal(answer) == (401, 110)
        assert answer.header("Hawk-Session-Token") is None

    @pytest.mark.parametrize("query", ["", "?simplePushURL=https%3A%2F%2Fpush.example%2Frooms"])
    def test_unregistering_drops_the_urls_again_and_again(self, table, query):
        owner = register({"simplePushURLs": {"rooms": ROOMS, "calls": CALLS}})
        for _ in range(2):
            answer = owner.delete("/registration" + query)
            assert (answer.status, answer.body) == (204, "")
        assert urls(owner) == (None, None)
        assert ok(owner.get("/rooms")) == []

    def test_a_deleted_account_is_refused_from_then_on(self, owner, other):
        assert owner.delete("/account").status == 204
        for method, target in (("GET", "/rooms"), ("DELETE", "/account"), ("POST", "/registration")):
            assert refusal(owner.call(method, target)) == (401, 110)
        assert ok(other.get("/rooms")) == []

    def test_the_rooms_of_a_deleted_account_are_left_to_expire(self, owner, nobody):
        room = owner.room()
        owner.delete("/account")
        assert ok(nobody.get(f"/rooms/{room}"))["roomToken"] == room

    def test_only_users_of_accounts_have_sessions_to_end(self, owner, nobody):
        assert refusal(owner.delete("/session")) == (403, 110)
        assert refusal(nobody.delete("/session")) == (401, 110)

    @pytest.mark.parametrize("path", ["/registration", "/session", "/account"])
    def test_nobody_and_guests_may_not_end_anything(self, nobody, path):
        assert refusal(nobody.delete(path)) == (401, 110)
        answer = serve("DELETE", path, headers={"Authorization": "Basic YTo="})
        assert refusal(answer) == (401, 110)
        assert answer.header("WWW-Authenticate") == "Hawk"


class TestLife:
    @pytest.fixture
    def at(self, monkeypatch):
        """Moves the clock of the service and of its callers."""
        began = clock.now()

        def move(seconds: float) -> None:
            monkeypatch.setattr(clock, "now", lambda: began + seconds)
            monkeypatch.setattr(time, "time", lambda: began + seconds)

        move(0)
        return move

    def test_unused_credentials_end_after_thirty_days_to_the_second(self, at, table):
        owner, idle = register(), register()
        at(30 * 86400 - 1)
        assert ok(owner.get("/rooms")) == []
        at(30 * 86400 + 1)
        assert refusal(idle.get("/rooms")) == (401, 110)

    def test_use_prolongs_them(self, at, table):
        owner = register()
        for day in range(20, 100, 20):
            at(day * 86400)
            assert ok(owner.get("/rooms")) == []

    def test_use_is_written_once_a_day(self, at, owner, storage):
        for hours, written in ((1, 0), (23, 0), (25, 1), (26, 0), (48, 0), (50, 1)):
            at(hours * 3600)
            with storage.counting() as counted:
                ok(owner.get("/rooms"))
            assert counted["UpdateItem"] == written, hours

    def test_prolonging_does_not_bring_deleted_credentials_back(self, owner, table):
        known = credentials.read(owner.credentials.id)
        assert known is not None
        owner.delete("/account")
        credentials.keep_alive(credentials.Credential(known.uid, known.key, 0.0))
        credentials.set_urls(known.uid, ROOMS, None)
        assert kept(owner) is None


def test_a_caller_does_not_spell_out_its_key(owner: HawkCaller, nobody: Caller):
    known = credentials.read(owner.credentials.id)
    assert known is not None
    assert known.key == owner.credentials.key
    assert known.key not in repr(known)
