"""What every answer carries and every route refuses (contract 2, 3, 10), and the log's line of a request."""

import json
from typing import Any

import pytest

from chalicelib import clock, journal, settings
from chalicelib.errors import Unavailable
from chalicelib.loop.routes import common
from chalicelib.store import writes
from tests.loop.api import Caller, GuestCaller, ok, refusal, serve

PATHS = sorted(common.served())
ORIGIN = "https://hello.example"


def at(path: str) -> str:
    return path.replace("{token}", "QzBbvGmIZWU")


class TestRoutes:
    def test_every_path_is_served_bare_and_below_its_version(self):
        bare = {path for path in PATHS if not path.startswith("/v0")}
        assert {f"/v0{path}" for path in bare} == set(PATHS) - bare
        assert {"/registration", "/session", "/account", "/rooms", "/rooms/{token}"} <= bare
        assert not any(path.startswith("/v1") for path in PATHS)

    def test_both_are_the_same_resource(self, owner, nobody):
        room = ok(owner.post("/v0/rooms", {"roomOwner": "a", "maxSize": 2, "roomName": "r"}), 201)
        path = f"/rooms/{room['roomToken']}"
        assert ok(nobody.get(path)) == ok(nobody.get("/v0" + path))

    @pytest.mark.parametrize("path", PATHS)
    def test_what_a_path_does_not_serve_is_not_there(self, table, path):
        served = common.served()[path]
        for method in set(common.METHODS) - served:
            assert refusal(serve(method, at(path))) == (404, 999)

    def test_there_is_no_put_on_rooms(self, table):
        assert refusal(serve("PUT", "/rooms/QzBbvGmIZWU", b"{}")) == (404, 999)


class TestLimits:
    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/registration"), ("POST", "/rooms"), ("PATCH", "/rooms")]
    )
    def test_a_body_has_at_most_100_kib(self, table, method, path):
        answer = serve(method, path, b" " * (100 * 1024 + 1))
        assert refusal(answer) == (413, 113)
        assert serve(method, path, b" " * (100 * 1024)).status != 413

    def test_a_context_of_90_kb_works(self, owner):
        context = {"value": "x" * 90_000, "alg": "AES-GCM", "wrappedKey": "k"}
        body = {"roomOwner": "a", "maxSize": 2, "context": context}
        room = ok(owner.post("/rooms", body), 201)["roomToken"]
        assert ok(owner.get(f"/rooms/{room}"))["context"] == context

    @pytest.mark.parametrize("accept", ["text/html", "application/xml, */*;q=0", "application/json;q=0"])
    def test_who_takes_no_json_gets_none(self, table, accept):
        assert refusal(serve("POST", "/registration", headers={"Accept": accept})) == (406, 106)
        assert table.rows() == []

    @pytest.mark.parametrize(
        "accept", ["", "*/*", "application/json;q=0.9,*/*;q=0.8", "text/html, application/*", "*/*;q=0.001"]
    )
    def test_who_takes_json_gets_it(self, table, accept):
        assert serve("POST", "/registration", headers={"Accept": accept}).status == 200

    @pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-8", "x", None])
    def test_the_type_of_a_body_is_not_checked(self, table, kind):
        headers = {} if kind is None else {"Content-Type": kind}
        assert serve("POST", "/registration", b'{"simplePushURL":"https://a"}', headers).status == 200

    def test_storage_that_fails_is_not_the_callers_fault(self, owner, monkeypatch):
        def fail(*_: object) -> None:
            raise Unavailable("storage does not answer")

        monkeypatch.setattr(writes, "call", fail)
        for answer in (Caller().post("/registration"), serve("GET", "/rooms/QzBbvGmIZWU")):
            assert refusal(answer) == (503, 201)
            assert answer.header("Retry-After") == "30"
        header = owner.authorization("GET", "/rooms", b"")
        assert refusal(serve("GET", "/rooms", headers=header)) == (503, 201)

    def test_without_a_secret_nobody_is_told_to_register_anew(self, owner, monkeypatch):
        monkeypatch.delenv("LOOP_SECRET")
        settings.reset()
        header = owner.authorization("GET", "/rooms", b"")
        assert refusal(serve("GET", "/rooms", headers=header)) == (503, 201)
        assert refusal(Caller().post("/registration")) == (503, 201)


class TestHeaders:
    def test_the_time_is_told_with_every_200_and_401(self, owner, nobody, monkeypatch):
        now = clock.now()
        monkeypatch.setattr(clock, "now", lambda: now)
        for answer in (owner.get("/rooms"), nobody.get("/rooms"), nobody.post("/registration")):
            assert answer.header("Timestamp") == str(int(now))

    def test_a_204_has_neither_body_nor_type(self, owner):
        answer = owner.delete("/registration")
        assert (answer.status, answer.body, answer.header("Content-Type")) == (204, "", None)


class TestPages:
    @pytest.mark.parametrize("path", PATHS)
    def test_a_page_may_ask_what_it_may_send(self, table, path):
        answer = serve("OPTIONS", at(path), headers={"Origin": ORIGIN})
        assert (answer.status, answer.body) == (204, "")
        assert answer.header("Access-Control-Allow-Origin") == "*"
        methods = (answer.header("Access-Control-Allow-Methods") or "").split(", ")
        assert {"GET", "POST", "PATCH", "DELETE"} <= set(methods)
        headers = (answer.header("Access-Control-Allow-Headers") or "").lower().split(", ")
        assert {"authorization", "content-type", "x-loop-addon-ver"} <= set(headers)

    def test_every_answer_may_be_read_errors_included(self, owner, nobody):
        answers = [owner.get("/rooms"), nobody.get("/rooms"), nobody.get("/rooms/QzBbvGmIZWU")]
        answers += [serve("PUT", "/rooms"), serve("POST", "/rooms", b" " * 200_000)]
        for answer in answers:
            assert answer.header("Access-Control-Allow-Origin") == "*"
            exposed = (answer.header("Access-Control-Expose-Headers") or "").split(", ")
            assert {"Hawk-Session-Token", "Server-Authorization", "Timestamp"} <= set(exposed)
            assert {"WWW-Authenticate", "Alert"} <= set(exposed)

    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            (ORIGIN, ORIGIN),
            ("https://other.example", None),
            ("https://hello.example.evil", None),
            ("HTTPS://hello.example", None),
            ("null", None),
            (None, None),
        ],
    )
    def test_only_listed_origins_are_echoed(self, table, monkeypatch, origin, allowed):
        monkeypatch.setenv("LOOP_ALLOWED_ORIGINS", f"https://first.example,{ORIGIN}")
        settings.reset()
        headers = {} if origin is None else {"Origin": origin}
        for method in ("OPTIONS", "GET", "POST"):
            answer = serve(method, "/rooms", headers=headers)
            assert answer.header("Access-Control-Allow-Origin") == allowed
            assert answer.header("Vary") == "Origin"


class TestLog:
    @pytest.fixture
    def lines(self, capsys):
        journal.begin()
        capsys.readouterr()

        def read() -> list[dict[str, Any]]:
            return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

        return read

    def test_each_request_is_one_line(self, owner, lines):
        assert owner.get("/rooms").status == 200
        (line,) = lines()
        assert line["code"] == line["status"] == 200
        assert (line["method"], line["path"], line["agent"]) == ("GET", "/test/rooms", "test")
        assert line["userType"] == "Unregistered"
        assert len(line["uid"]) == 22
        assert owner.credentials.id not in json.dumps(line)
        assert {"time", "ms", "request_id"} <= set(line)

    def test_a_refusal_names_its_errno_and_its_reason(self, nobody, lines):
        nobody.get("/rooms")
        (line,) = lines()
        assert (line["code"], line["errno"], line["refused"]) == (401, 110, "no header")
        assert line["userType"] == "Link-clicker"
        assert "uid" not in line

    def test_the_version_of_the_add_on_is_told(self, table, lines):
        serve("GET", "/rooms", headers={"x-loop-addon-ver": "1.3" + "x" * 900})
        (line,) = lines()
        assert line["loopAddonVersion"].startswith("1.3")
        assert len(line["loopAddonVersion"]) == 256

    def test_neither_address_nor_query_is_told(self, owner, lines):
        owner.delete("/registration?simplePushURL=https%3A%2F%2Fcanary")
        assert "canary" not in str(lines())

    def test_an_action_tells_what_was_done_in_which_room(self, owner, nobody, lines):
        room = owner.room()
        joined = ok(nobody.join(room))
        guest = GuestCaller(joined["sessionToken"])
        lines()
        counts = {"connections": 1, "sendStreams": 0, "recvStreams": 0}
        report = {"event": "Session.connectionCreated", "state": "waiting"} | counts
        assert guest.act(room, "status", **report).status == 204
        (line,) = lines()
        assert report.items() <= line.items()
        assert (line["token"], line["action"], line["code"]) == (room, "status", 204)
        assert {"participants", "sessionId", "roomConnectionId"} <= set(line)
        assert line["sessionId"] == joined["sessionId"]
        assert joined["sessionToken"] not in json.dumps(line)
