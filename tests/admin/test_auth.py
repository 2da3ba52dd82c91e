"""Who may ask: tokens, sessions, wrong ones counted by source; and nothing at all where nobody may."""

import json
import re
from typing import Any

import pytest

import app
from chalicelib import clock, settings
from chalicelib.admin import door, store
from chalicelib.admin.routes import every
from tests.admin import api
from tests.admin.api import OTHER, TOKEN, Session, ask, call, done, refusal
from tests.conftest import Stack
from tests.support.storage import listening

UNKNOWN = {"code": 404, "errno": 999, "error": {"code": 1001, "message": "Resource not found"}}
WRONG = "not-a-token-of-anybody"


def paths() -> list[tuple[str, str]]:
    """Every route, with something in the place of its ids, below the prefix."""
    return [
        (method, re.sub(r"\{\w+\}", "5e0d0c0a0b0c0d0e0f101112", path.removeprefix(api.PREFIX)))
        for method, path in sorted(every.served())
    ]


UNOPENED = [each for each in paths() if each != ("POST", "/session")]
"""The routes that anybody but an operator is refused at."""


@pytest.mark.parametrize(("method", "path"), [*paths(), ("GET", "/nothing"), ("PUT", "/session")])
def test_without_operators_nothing_is_there(table: Stack, method: str, path: str):
    before = table.rows()

    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}, {"Cookie": "foyer_admin=x"}):
        answer = call(method, path, {"token": TOKEN}, headers)
        assert (answer.status, answer.json()) == (404, UNKNOWN)
        assert answer.header("www-authenticate") is None
    assert table.rows() == before


@pytest.mark.parametrize(("method", "path"), [*UNOPENED, ("GET", "/nothing"), ("PUT", "/session")])
def test_every_route_asks_for_a_token_that_is_ours(
    admin: Stack, monkeypatch: pytest.MonkeyPatch, method: str, path: str
):
    refused: list[dict[str, str]] = [
        {},
        {"Authorization": f"Bearer {WRONG}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {api.hashed(TOKEN)}"},
        {"Authorization": f"Bearer {OTHER}"},
        {"Cookie": f"foyer_admin={WRONG}"},
        {"Cookie": f"foyer_admin={TOKEN}"},
        {"Cookie": f"foyer_admi={TOKEN}"},
    ]
    for headers in refused:
        answer = call(method, path, None, headers)
        assert refusal(answer) == (401, "unauthenticated"), headers
        assert answer.header("www-authenticate") == "Bearer"
    api.given(monkeypatch, ops=OTHER)
    assert refusal(ask(method, path)) == (401, "unauthenticated"), "a token that was taken back"


@pytest.mark.parametrize(("method", "path"), UNOPENED)
def test_a_session_ends_with_its_token_its_time_or_its_sign_out(
    admin: Stack, monkeypatch: pytest.MonkeyPatch, method: str, path: str
):
    session = Session()
    api.given(monkeypatch, ops=OTHER)
    assert refusal(session.call(method, path)) == (401, "unauthenticated")
    api.given(monkeypatch, ops=TOKEN)
    assert session.call("GET", "/session").status == 200, "the token is back"
    now = clock.now()
    with monkeypatch.context() as later:
        later.setattr(clock, "now", lambda: now + 43201)
        assert refusal(session.call(method, path)) == (401, "unauthenticated")
    done(session.call("DELETE", "/session"), 204)
    assert refusal(session.call(method, path)) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path"), [each for each in UNOPENED if each[0] != "GET"])
@pytest.mark.parametrize("csrf", ["", "0" * 64, "é"])
def test_a_cookie_alone_changes_nothing(admin: Stack, method: str, path: str, csrf: str):
    session = Session()
    before = admin.rows()

    assert refusal(session.call(method, path, csrf=csrf)) == (403, "csrf")
    assert admin.rows() == before


def test_another_sessions_token_for_writes_is_of_no_use(admin: Stack):
    one, other = Session(), Session()

    assert one.shown["csrf"] != other.shown["csrf"]
    assert refusal(one.call("DELETE", "/session", csrf=other.shown["csrf"])) == (403, "csrf")
    done(one.call("DELETE", "/session"), 204)


@pytest.mark.parametrize(
    ("stage", "attributes"),
    [
        ("local", "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        ("dev", "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"),
    ],
)
def test_signing_in_gives_a_cookie_that_pages_cannot_read(
    admin: Stack, monkeypatch: pytest.MonkeyPatch, stage: str, attributes: str
):
    monkeypatch.setenv("FOYER_STAGE", stage)
    settings.reset()
    began = clock.now()
    session = Session()

    assert session.set_cookie.partition("; ")[2] == attributes
    assert len(session.cookie) == 43
    assert session.shown.keys() == {"name", "csrf", "expires_at", "stage", "version"}
    assert (session.shown["name"], session.shown["stage"]) == ("ops", stage)
    assert 0 <= session.shown["expires_at"] - (began + 43200) * 1000 < 60_000
    assert done(session.call("GET", "/session")) == session.shown
    assert done(ask("GET", "/session")) == session.shown | {"csrf": None, "expires_at": None}


def test_neither_token_nor_cookie_is_kept_or_logged(
    admin: Stack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    session = Session()
    ask("GET", "/session", token=WRONG)
    call("GET", "/session", None, {"Cookie": f"foyer_admin={WRONG}"})
    done(session.call("DELETE", "/session"), 204)
    done(call("POST", "/session", {"token": TOKEN}))
    kept = json.dumps(admin.rows()) + capfd.readouterr().err

    for secret in (TOKEN, WRONG, session.cookie, session.shown["csrf"]):
        assert secret not in kept


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"token":1}',
        b'{"token":""}',
        b"{}",
        b'{"token":"a","token":"b"}',
        b'{"token":"a","more":1}',
        b'{"token":"' + b"x" * 70_000 + b'"}',
        b'{"token":"\xff"}',
    ],
)
def test_what_is_no_token_is_no_attempt(admin: Stack, body: bytes):
    assert refusal(call("POST", "/session", body)) == (400, "invalid")
    assert admin.rows() == []


def wrong(source: str = api.SOURCE) -> Any:
    return ask("GET", "/session", token=WRONG, source=source)


def test_after_ten_wrong_tokens_of_a_source_in_a_minute_none_is_looked_at(
    admin: Stack, monkeypatch: pytest.MonkeyPatch
):
    minute = clock.now() // 60 * 60 + 600
    monkeypatch.setattr(clock, "now", lambda: minute + 42.5)
    session = Session()
    for turn in range(10):
        answer = wrong() if turn % 2 else call("POST", "/session", {"token": WRONG})
        assert refusal(answer) == (401, "unauthenticated")

    for answer in (wrong(), ask("GET", "/session"), call("POST", "/session", {"token": TOKEN})):
        assert refusal(answer) == (429, "too_many_attempts")
        assert answer.header("retry-after") == "18"
    assert session.call("GET", "/session").status == 200, "who has a session goes on"
    assert refusal(call("GET", "/session", None, {"Cookie": f"foyer_admin={WRONG}"}))[0] == 429
    assert ask("GET", "/session", source="198.51.100.8").status == 200, "another source"
    monkeypatch.setattr(clock, "now", lambda: minute + 60)
    assert ask("GET", "/session").status == 200, "the minute is over"


def test_guessed_cookies_count_and_those_of_former_sessions_do_not(
    admin: Stack, monkeypatch: pytest.MonkeyPatch
):
    minute = clock.now() // 60 * 60 + 600
    monkeypatch.setattr(clock, "now", lambda: minute)
    session = Session()
    api.given(monkeypatch, ops=OTHER)
    for _ in range(12):
        assert refusal(session.call("GET", "/session"))[0] == 401
    for _ in range(12):
        assert refusal(call("GET", "/session"))[0] == 401
    for turn in range(12):
        answer = call("GET", "/session", None, {"Cookie": f"foyer_admin={WRONG}{turn}"})
        assert answer.status == (401 if turn < 10 else 429)


def test_an_ipv6_network_is_one_source(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    minute = clock.now() // 60 * 60 + 600
    monkeypatch.setattr(clock, "now", lambda: minute)
    for turn in range(10):
        assert wrong(f"2001:db8:0:1::{turn + 1:x}").status == 401

    assert wrong("2001:db8:0:1:ffff::1").status == 429
    assert wrong("2001:db8:0:2::1").status == 401


def test_the_row_of_a_source_has_an_end(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    minute = clock.now() // 60 * 60 + 600
    monkeypatch.setattr(clock, "now", lambda: minute)
    for _ in range(store.NOTED + 5):
        noted = store.note_attempt(api.SOURCE, int(minute // 60))
    (row,) = admin.rows()

    assert (len(row["attempts"]["SS"]), noted) == (100, 100)
    assert int(row["expires_at"]["N"]) == minute + 120


def test_each_request_costs_one_read_to_know_who_asks(admin: Stack):
    session = Session()
    with listening() as storage:
        assert storage.spent(lambda: session.call("GET", "/session")) == ["BatchGetItem"]
        assert storage.spent(lambda: ask("GET", "/session")) == ["BatchGetItem"]
        assert storage.spent(lambda: wrong(), 401) == ["BatchGetItem", "UpdateItem"]
        assert storage.spent(lambda: call("GET", "/session"), 401) == []
        assert storage.spent(lambda: session.call("DELETE", "/session"), 204) == [
            "BatchGetItem",
            "DeleteItem",
        ]


def test_every_operator_has_a_name_and_all_are_let_in(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    api.given(monkeypatch, ops=TOKEN, night=OTHER)

    assert done(ask("GET", "/session"))["name"] == "ops"
    assert done(ask("GET", "/session", token=OTHER))["name"] == "night"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PUT", "/session"), ("OPTIONS", "/session")]
)
def test_what_is_not_there_is_said_to_operators(admin: Stack, method: str, path: str):
    assert refusal(ask(method, path)) == (404, "not_found")


def test_writes_are_audited_with_who_what_and_what_came_of_it(
    admin: Stack, capfd: pytest.CaptureFixture[str]
):
    session = Session()
    session.call("DELETE", "/session", csrf="")
    session.call("DELETE", "/session")
    session.call("DELETE", "/session")
    call("POST", "/session", {"token": WRONG})
    ask("GET", "/session")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"journal.audit"' in line]

    assert [(line.get("who"), line["what"], line["result"]) for line in lines] == [
        ("ops", "POST /session", "done"),
        (None, "DELETE /session", "csrf"),
        ("ops", "DELETE /session", "done"),
        (None, "DELETE /session", "unauthenticated"),
        (None, "POST /session", "unauthenticated"),
    ]
    assert {line["source"] for line in lines} == {api.SOURCE}
    assert {line["request_id"] for line in lines} == {"7d0d59b0-f6b6-403b-aff8-1e04e36a4b28"}


def test_the_log_names_the_route_behind_the_door_and_who_asked(
    admin: Stack, capfd: pytest.CaptureFixture[str]
):
    ask("GET", "/session")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"journal.requests"' in line]

    assert [(line["route"], line["who"]) for line in lines] == [("/admin/v1/session", "ops")]


def test_storage_that_does_not_answer_lets_nobody_in(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    session = Session()
    monkeypatch.setenv("FOYER_TABLE", "another")
    settings.reset()

    assert refusal(session.call("GET", "/session")) == (503, "unavailable")
    assert refusal(ask("GET", "/session")) == (503, "unavailable")


def test_what_nobody_foresaw_is_said_without_its_text(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr("chalicelib.admin.auth.authenticate", fail)
    answer = ask("GET", "/session")

    assert refusal(answer) == (500, "internal")
    assert "canary" not in answer.body


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ADMIN_TOKENS", "secret"),
        ("ADMIN_TOKENS", "ops:" + "G" * 64),
        ("ADMIN_TOKENS", f"ops:{'0' * 64},ops:{'1' * 64}"),
        ("ADMIN_SESSION_S", "59"),
        ("ADMIN_ROLLUP_FLUSH_S", "-1"),
        ("ADMIN_TOKEN", "x"),
    ],
)
def test_a_bad_setting_stops_the_start(table: Stack, monkeypatch: pytest.MonkeyPatch, name: str, text: str):
    monkeypatch.setenv(name, text)
    settings.reset()

    with pytest.raises(settings.BadSetting, match=name) as refused:
        app.warm()
    assert text not in str(refused.value) or len(text) < 3


def test_no_route_of_the_operators_is_elsewhere_than_behind_their_door():
    assert [path for path in app.app.routes if "admin" in path] == [door.PATH]
    assert all(path.startswith("/admin/v1/") for _, path in every.served())
