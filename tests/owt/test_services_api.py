"""Services and tokens on the wire, as the JS SDK and the console call them (contract 5, 13 and 14)."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib import settings
from chalicelib.owt import purge
from chalicelib.owt.store import tokens as kept
from chalicelib.store import keys
from tests.owt.api import serve
from tests.support import mauth
from tests.support.events import Answer
from tests.support.storage import Storage

UNKNOWN = "5e0d0c0a0b0c0d0e0f101112"
NEW = {"name": "acme", "key": "s3cret"}


@dataclass(frozen=True)
class Known:
    """A service and its key."""

    id: str
    key: str

    def header(self, user: str = "", role: str = "") -> str:
        """A header of this service's."""
        return mauth.header(self.id, self.key, user=user, role=role)


def ask(who: Known | None, method: str, path: str, body: Any = None, *, header: str | None = None) -> Answer:
    """One request as the JS SDK makes it; `header` stands for its own `Authorization`."""
    given = header if header is not None else who.header() if who is not None else None
    headers = {} if given is None else {"Authorization": given}
    if body is None:
        return serve(method, path, headers=headers | {"Content-Type": "text/plain;charset=UTF-8"})
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return serve(method, path, raw, headers | {"Content-Type": "application/json"})


@pytest.fixture
def boss(table, credentials) -> Known:
    return Known(credentials.super_service_id, credentials.super_service_key)


@pytest.fixture
def acme(boss) -> Known:
    return Known(ask(boss, "POST", "/services", NEW).json()["_id"], "s3cret")


@pytest.fixture
def room(acme) -> str:
    return str(ask(acme, "POST", "/v1/rooms", {"name": "r"}).json()["_id"])


def code(answer: Answer) -> tuple[int, int]:
    return answer.status, answer.json()["error"]["code"]


class TestServices:
    def test_the_super_service_is_there_from_the_first_request_on(self, boss):
        answer = ask(boss, "GET", "/services")
        assert answer.status == 200
        (only,) = answer.json()
        assert only == {
            "_id": boss.id,
            "name": "superService",
            "key": only["key"],
            "encrypted": True,
            "rooms": [],
        }

    def test_a_service_is_made_as_the_contract_shows_it(self, boss):
        answer = ask(boss, "POST", "/services", NEW)
        made = answer.json()
        assert answer.status == 200
        assert made == {
            "_id": made["_id"],
            "name": "acme",
            "key": made["key"],
            "encrypted": True,
            "rooms": [],
        }
        assert made["key"] != "s3cret"
        assert ask(boss, "GET", f"/services/{made['_id']}").json() == made
        assert ask(boss, "GET", "/services").json()[1:] == [made]

    def test_a_new_service_works_at_once(self, acme):
        assert ask(acme, "GET", "/v1/rooms").json() == []

    def test_d08_the_consoles_login_is_a_look_at_oneself(self, acme, room):
        found = ask(acme, "GET", f"/services/{acme.id}").json()
        assert (found["_id"], len(found["rooms"])) == (acme.id, 1)

    def test_rooms_follow_their_creation_and_deletion_at_once(self, boss, acme, room):
        second = ask(acme, "POST", "/v1.1/rooms", {"name": "s"}).json()["_id"]
        own = ask(boss, "POST", "/v1/rooms", {"name": "own"}).json()["_id"]
        found = {each["_id"]: each["rooms"] for each in ask(boss, "GET", "/services").json()}
        assert found == {boss.id: [own], acme.id: [room, second]}
        ask(acme, "DELETE", f"/v1/rooms/{room}")
        assert ask(acme, "GET", f"/services/{acme.id}").json()["rooms"] == [second]

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/services", None),
            ("POST", "/services", NEW),
            ("POST", "/services", b"{"),
            ("GET", f"/services/{UNKNOWN}", None),
            ("GET", "/services/not-an-id", None),
            ("DELETE", f"/services/{UNKNOWN}", None),
            ("DELETE", "/services/own", None),
        ],
    )
    def test_services_are_the_super_services_business(self, acme, table, method, path, body):
        before = table.rows()
        assert code(ask(acme, method, path.replace("own", acme.id), body)) == (403, 1102)
        assert table.rows() == before

    def test_another_service_may_not_be_looked_at(self, boss, acme):
        other = ask(boss, "POST", "/services", {"name": "other", "key": "k"}).json()["_id"]
        for each in (other, boss.id):
            assert code(ask(acme, "GET", f"/services/{each}")) == (403, 1102)

    @pytest.mark.parametrize(
        "path", [f"/services/{UNKNOWN}", "/services/x", "/services/all", "/services/%00"]
    )
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_d09_an_unknown_service_is_not_there(self, boss, method, path):
        assert code(ask(boss, method, path)) == (404, 1002)

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"{", b"[]", b"null", b'"acme"', b'{"name":"a","name":"b","key":"c"}', b"\xff"),
            *({"name": "a"}, {"key": "b"}, {"name": "", "key": "b"}, {"name": "a", "key": ""}),
            *({"name": 1, "key": "b"}, {"name": "a", "key": None}),
            {"name": "superService", "key": "b"},
        ],
    )
    def test_bad_services_are_refused_and_leave_no_trace(self, boss, table, body):
        assert code(ask(boss, "POST", "/services", body)) == (400, 1301)
        assert table.rows() == []

    def test_a_name_in_use_is_refused(self, boss, acme):
        assert code(ask(boss, "POST", "/services", NEW)) == (400, 1301)

    def test_d04_deletion_answers_a_text_and_the_credentials_stop_working(self, boss, acme, room, table):
        answer = ask(boss, "DELETE", f"/services/{acme.id}")
        assert (answer.status, answer.body) == (200, "Service deleted")
        assert code(ask(acme, "GET", "/v1/rooms")) == (401, 1101)
        assert code(ask(boss, "GET", f"/services/{acme.id}")) == (404, 1002)
        assert code(ask(boss, "DELETE", f"/services/{acme.id}")) == (404, 1002)
        assert len(ask(boss, "GET", "/services").json()) == 1

    def test_a_deleted_services_rooms_are_removed_by_the_worker(self, boss, acme, room, table):
        ask(boss, "DELETE", f"/services/{acme.id}")
        purge.service_work(keys.owt_service_purge(acme.id))
        purge.room_work(keys.owt_room_purge(room))
        assert table.rows() == []

    def test_the_super_service_stays(self, boss):
        assert code(ask(boss, "DELETE", f"/services/{boss.id}")) == (403, 1102)
        assert ask(boss, "GET", f"/services/{boss.id}").status == 200

    def test_a_service_that_demands_the_second_method_says_so(self, boss):
        made = ask(boss, "POST", "/services", NEW | {"requireV2": True}).json()
        assert made["requireV2"] is True
        assert ask(boss, "GET", f"/services/{made['_id']}").json() == made
        own = Known(made["_id"], "s3cret")
        assert code(ask(own, "GET", "/v1/rooms")) == (401, 1101)
        header = mauth.header_v2(own.id, own.key, "GET", "/v1/rooms", [("page", "1"), ("per_page", "5 0")])
        for target in ("/v1/rooms?page=1&per_page=5+0", "/v1/rooms/?per_page=5%200&page=%31"):
            assert ask(own, "GET", target, header=header).status == 200
        for target in ("/v1/rooms", "/v1.1/rooms?page=1&per_page=5+0", "/v1/rooms?page=1&per_page=5"):
            assert code(ask(own, "GET", target, header=header)) == (401, 1101)

    @pytest.mark.parametrize("path", ["/services", "/v1/rooms", f"/services/{UNKNOWN}"])
    @pytest.mark.parametrize("header", [None, "", "Basic YTpi", "MAuth realm=x"])
    def test_without_authentication_nothing_is_told(self, table, path, header):
        answer = ask(None, "GET", path, header=header)
        assert code(answer) == (401, 1101)
        assert answer.header("WWW-Authenticate") is None
        assert answer.header("Access-Control-Allow-Origin") == "*"

    def test_a_trailing_slash_and_a_text_type_are_the_sdks_habits(self, boss, acme):
        assert ask(boss, "GET", "/services/").status == 200
        assert ask(acme, "GET", f"/services/{acme.id}/").status == 200

    def test_nothing_is_served_without_a_super_service(self, boss, acme, monkeypatch):
        for name in ("OWT_SUPER_SERVICE_ID", "OWT_SUPER_SERVICE_KEY"):
            monkeypatch.delenv(name)
        settings.reset()
        for each in (boss, acme):
            assert code(ask(each, "GET", "/services")) == (401, 1101)
            assert code(ask(each, "GET", "/v1/rooms")) == (401, 1101)


class TestTokens:
    @pytest.mark.parametrize("version", ["v1", "v1.1"])
    def test_a_token_is_plain_text_and_good_for_one_join(self, acme, room, version):
        body = {"preference": {"isp": "isp", "region": "region"}, "user": "alice", "role": "presenter"}
        answer = ask(acme, "POST", f"/{version}/rooms/{room}/tokens/", body)
        assert answer.status == 200
        assert (answer.header("Content-Type") or "").startswith("text/plain")
        found = json.loads(base64.b64decode(answer.body, validate=True))
        assert list(found) == ["tokenId", "host", "secure", "signature"]
        assert (found["host"], found["secure"]) == ("localhost:8080", True)
        redeemed = kept.find(found["tokenId"])
        assert (redeemed.service, redeemed.room) == (acme.id, room)
        assert (redeemed.new.user, redeemed.new.role) == ("alice", "presenter")

    def test_where_clients_connect_comes_from_the_settings(self, acme, room, monkeypatch):
        monkeypatch.setenv("OWT_PORTAL_HOST", "portal.example:443")
        monkeypatch.setenv("OWT_PORTAL_SECURE", "false")
        monkeypatch.setenv("OWT_WEBTRANSPORT_URL", "https://quic.example:7700")
        settings.reset()
        answer = ask(acme, "POST", f"/v1/rooms/{room}/tokens", {"user": "a", "role": "viewer"})
        found = json.loads(base64.b64decode(answer.body))
        assert (found["host"], found["secure"]) == ("portal.example:443", False)
        assert found["webTransportUrl"] == "https://quic.example:7700"

    def test_the_text_tells_nothing_of_user_role_or_room(self, acme, room):
        answer = ask(acme, "POST", f"/v1/rooms/{room}/tokens", {"user": "alice", "role": "presenter"})
        text = base64.b64decode(answer.body).decode()
        assert not any(word in text for word in ("alice", "presenter", room, acme.id))

    @pytest.mark.parametrize("body", [None, b"", {}, {"user": "mallory", "role": "viewer"}])
    def test_d21_user_and_role_of_the_header_win_and_no_body_is_needed(self, acme, room, body):
        header = acme.header(user="Ælice", role="presenter")
        answer = ask(acme, "POST", f"/v1/rooms/{room}/tokens", body, header=header)
        redeemed = kept.find(json.loads(base64.b64decode(answer.body))["tokenId"])
        assert (redeemed.new.user, redeemed.new.role) == ("Ælice", "presenter")

    @pytest.mark.parametrize(
        "body",
        [
            *(None, b"", b"{", b"[]", b"null", {}),
            *({"user": "alice"}, {"role": "viewer"}, {"user": "", "role": "viewer"}),
            *({"user": "alice", "role": "king"}, {"user": "alice", "role": "Viewer"}),
            {"user": "alice", "role": "viewer", "preference": "isp"},
        ],
    )
    def test_bad_tokens_are_refused_and_leave_no_trace(self, acme, room, table, body):
        before = table.rows()
        assert code(ask(acme, "POST", f"/v1/rooms/{room}/tokens", body)) == (400, 1301)
        assert table.rows() == before

    def test_a_role_of_the_header_is_one_of_the_rooms_too(self, acme, room):
        header = acme.header(user="alice", role="king")
        answer = ask(acme, "POST", f"/v1/rooms/{room}/tokens", header=header)
        assert code(answer) == (400, 1301)
        assert answer.json()["error"]["message"] == "Name or role not valid"

    @pytest.mark.parametrize("body", [b"{", {"user": "alice", "role": "viewer"}])
    @pytest.mark.parametrize("which", ["boss", "nobody", "other"])
    def test_there_are_no_tokens_of_a_room_that_is_not_the_services(self, boss, acme, room, which, body):
        other = Known(ask(boss, "POST", "/services", {"name": "o", "key": "k"}).json()["_id"], "k")
        who = {"boss": boss, "nobody": acme, "other": other}[which]
        path = f"/v1/rooms/{UNKNOWN if which == 'nobody' else room}/tokens"
        assert code(ask(who, "POST", path, body)) == (404, 1003)

    def test_a_token_costs_one_read_of_the_room_and_one_write(self, acme, room):
        ask(acme, "GET", f"/v1/rooms/{room}")
        storage = Storage()
        storage.listen()
        ask(acme, "POST", f"/v1/rooms/{room}/tokens", {"user": "alice", "role": "viewer"})
        assert [call.operation for call in storage.calls] == ["GetItem", "PutItem"]
