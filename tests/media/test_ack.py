"""`POST /media/v1/commands/{id}/ack`: who may say what of which command, and that it counts once."""

import json
from typing import Any, Final

import pytest

from chalicelib import clock
from chalicelib.owt.command import LIVES_S, Kind
from chalicelib.owt.store import commands
from tests.media.workers import Worker, order
from tests.owt.api import BAD, NO_RESOURCE, Api, ok, refusal

OK = {"ok": True}
FAILED = {"ok": False, "reason": "no such codec"}
NOBODY = "5188b9af6e53c84ffd600499"


@pytest.fixture
def made(acme):
    """A command of an ordinary service that nothing hangs on."""
    return order(acme.service, acme.room(), Kind.STREAM_MUTE, "s1", {"status": {"audio": "inactive"}})


def waiting(api):
    return [each["id"] for each in ok(Worker(api).waiting())]


WORDS = (
    (OK, True, None),
    ({"ok": True, "result": {}}, True, None),
    ({"ok": True, "result": {"anything": [1]}, "reason": 5, "more": 1}, True, None),
    (FAILED, False, "no such codec"),
    ({"ok": False, "reason": " " + "x" * 10_000, "result": 7}, False, "x" * 300),
)


def test_a_command_that_is_acknowledged_waits_no_more(acme):
    room = acme.room()
    for body, noted, reason in WORDS:
        made = order(acme.service, room)
        answer = Worker(acme).ack(made.id, body)
        assert (answer.status, answer.body) == (204, "")
        assert answer.header("Access-Control-Allow-Origin") == "*"
        assert waiting(acme) == []
        outcome = commands.outcome(made.id)
        assert outcome is not None
        assert (outcome.ok, outcome.reason) == (noted, reason)


def test_a_second_acknowledgement_changes_nothing(acme, table):
    room = acme.room()
    for first, second in ((OK, OK), (OK, FAILED), (FAILED, OK), (FAILED, FAILED)):
        made = order(acme.service, room)
        assert Worker(acme).ack(made.id, first).status == 204
        before = table.rows()
        assert Worker(acme).ack(made.id, second).status == 204
        assert table.rows() == before


def test_what_became_of_a_command_is_known_for_a_day(acme, made, monkeypatch):
    assert Worker(acme).ack(made.id, OK).status == 204
    outcome = commands.outcome(made.id)
    assert outcome is not None
    assert abs(outcome.expires_at - clock.now() - LIVES_S) < 5


NOT_WORDS: Final[tuple[Any, ...]] = (
    *(None, [], "ok", {}, {"ok": 1}, {"ok": "true"}, {"ok": None}),
    *({"ok": True, "result": None}, {"ok": True, "result": []}, {"ok": True, "result": "done"}),
    *({"ok": False}, {"ok": False, "reason": None}, {"ok": False, "reason": 5}, {"ok": False, "reason": " "}),
    {"ok": True, "result": {"a": "x" * 70_000}},
)


def test_what_is_no_acknowledgement_is_bad_and_changes_nothing(acme, made, table):
    before = table.rows()
    for body in NOT_WORDS:
        assert refusal(Worker(acme).ack(made.id, body)) == BAD, body
    assert table.rows() == before
    assert waiting(acme) == [made.id]


def test_a_body_that_is_no_json_is_bad(acme, made):
    for raw in (b"", b"{", b'{"ok": true, "ok": false}', b"\xff"):
        answer = Worker(acme).api.call("POST", f"/commands/{made.id}/ack", raw=raw)
        assert refusal(answer) == BAD


def test_a_malformed_result_leaves_the_command_waiting(acme, table):
    made = order(acme.service, acme.room(), Kind.STREAM_START, "s1", {})
    before = table.rows()
    assert refusal(Worker(acme).ack(made.id, {"ok": True, "result": {"media": 5}})) == BAD
    assert table.rows() == before


NO_COMMANDS = (
    *(f"{'0' * 24}-{NOBODY}", "0" * 24, "-", "x", "%20", "a" * 3000),
    f"{'0' * 24}-" + "a" * 2100,
)


def test_a_command_that_never_was_is_not_there(boss, acme):
    for identity in NO_COMMANDS:
        for api in (boss, acme):
            assert refusal(Worker(api).ack(identity, "no body")) == NO_RESOURCE, identity
    assert refusal(Worker(acme).ack(f"{'0' * 24}-{acme.service}", OK)) == NO_RESOURCE


def test_a_command_of_another_service_is_not_there_but_for_the_super_service(boss, acme, beta, made, table):
    before = table.rows()
    for body in (OK, FAILED, None):
        assert refusal(Worker(beta).ack(made.id, body)) == NO_RESOURCE
    assert table.rows() == before
    assert Worker(boss).ack(made.id, OK).status == 204
    assert refusal(Worker(beta).ack(made.id, OK)) == NO_RESOURCE
    assert waiting(acme) == []


def test_a_service_cannot_acknowledge_what_is_the_super_services(boss, acme):
    room = acme.room()
    made = order(acme.service, room, Kind.ROOM_CLOSED, room, under=boss.service)
    assert refusal(Worker(acme).ack(made.id, OK)) == NO_RESOURCE
    assert Worker(boss).ack(made.id, OK).status == 204
    assert waiting(boss) == []


def test_a_command_that_expired_is_not_there(acme, made, monkeypatch):
    until = clock.now() + LIVES_S + 1
    monkeypatch.setattr(clock, "now", lambda: until)
    assert refusal(Worker(acme).ack(made.id, OK)) == NO_RESOURCE


def test_who_is_nobody_acknowledges_nothing(acme, made, table):
    before = table.rows()
    liar = Worker(Api(acme.service, "not the key"))
    assert refusal(liar.ack(made.id, OK)) == (401, 1101)
    assert table.rows() == before
    assert json.dumps(waiting(acme)) == json.dumps([made.id])
