"""What reports have to do with commands: those that order an end, and of what a request waits for."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.store import keys, writes
from tests.media.api import (
    APPLIED,
    AUDIO,
    BOTH,
    DUPLICATE,
    IGNORED,
    added,
    counts,
    forward,
    join,
    removed,
    tally,
    updated,
)
from tests.media.test_reports import called, ended, hung_up, left, ready, shown
from tests.owt.api import REFUSED, Api, ok, refusal
from tests.owt.workers import ack, mode, pending, told, while_waiting
from tests.support.storage import Storage

SIP = {"sipServer": "sip.example.com", "username": "u", "password": "p"}
SOURCE = {"connection": {"url": "rtsp://203.0.113.7/cam"}, "media": {"audio": "auto", "video": "auto"}}


# Media that is not let in


@pytest.mark.parametrize(("name", "orders"), [("store", 0), ("fire", 1), ("confirm", 1)])
def test_a_stream_that_is_not_let_in_is_ordered_to_end(acme: Api, monkeypatch, name, orders):
    mode(monkeypatch, name)
    room = acme.room(inputLimit=1)
    viewer = join(acme, room, "viewer")
    refused = [added("a", viewer), added("b", "nobody"), added("d")]
    assert tally(acme, room, added("c"), *refused) == (1, 3, 0)
    expected: list[Any] = [("stream.stop", each["stream"]["id"], {}) for each in refused]
    assert told(acme.service) == expected * orders
    assert all((each.room, each.service) == (room, acme.service) for each in pending(acme.service))


def test_the_order_is_written_with_the_note_and_once(acme: Api, monkeypatch):
    mode(monkeypatch, "fire")
    room = acme.room()
    one = added("a", "nobody") | {"id": "r1"}
    storage = Storage()
    storage.listen()
    assert tally(acme, room, one) == IGNORED
    storage.deafen()
    (made,) = [call for call in storage.calls if call.operation == "TransactWriteItems"]
    written = [part["Put"]["Item"]["pk"]["S"] for part in made.body["TransactItems"]]
    assert written == [keys.owt_report(room, "r1").pk, keys.owt_commands(acme.service)]
    assert tally(acme, room, one) == DUPLICATE
    assert len(pending(acme.service)) == 1


def test_the_super_service_reports_and_the_rooms_service_is_told(boss: Api, acme: Api, monkeypatch):
    mode(monkeypatch, "fire")
    room = acme.room()
    assert tally(boss, room, added("a", "nobody")) == IGNORED
    assert told(acme.service) == [("stream.stop", "a", {})]
    assert told(boss.service) == []


def test_what_a_worker_reports_is_not_ordered_of_it(acme: Api, monkeypatch):
    room = acme.room()
    alice = join(acme, room)
    mode(monkeypatch, "fire")
    reports = [
        added("a", alice, node="n"),
        updated("a", BOTH),
        added("heard", kind="sip"),
        called("c", stream="heard"),
        shown("common"),
        hung_up("c"),
        removed("a"),
        added("b", alice, node="n"),
        left(alice),
        added("e", node="n"),
        {"type": "node.gone", "node": "n"},
        # Late ones order nothing either.
        removed("a"),
        left(alice),
        ended("x"),
    ]
    assert tally(acme, room, *reports) == (11, 3, 0)
    assert pending(acme.service) == []


# What a request waits for


def start(api: Api, room: str) -> Any:
    return api.post(f"/rooms/{room}/streaming-ins", SOURCE)


def record(api: Api, room: str) -> Any:
    body = {"container": "mkv", "media": {"audio": {"from": f"{room}-common"}, "video": False}}
    return api.post(f"/rooms/{room}/recordings", body)


def dial(api: Api, room: str) -> Any:
    body = {
        "peerURI": "sip:a@b",
        "mediaIn": {"audio": True, "video": False},
        "mediaOut": {"audio": {"from": f"{room}-common"}, "video": False},
    }
    return api.post(f"/rooms/{room}/sipcalls", body)


Begin = Callable[[Api, str], Any]
ENDS: list[tuple[Begin, Callable[[str], dict[str, Any]]]] = [
    (start, removed),
    (record, ended),
    (dial, hung_up),
    (dial, left),
]


def begun(api: Api) -> tuple[str, str]:
    """The command that a request waits for, and what it is to begin."""
    (waiting,) = pending(api.service)
    return waiting.id, waiting.target


def test_what_is_reported_before_the_acknowledgement_counts(acme: Api, monkeypatch):
    mode(monkeypatch, "confirm")
    room = acme.room()
    facts = {"audio": AUDIO, "video": False}

    def work() -> None:
        command, stream = begun(acme)
        assert tally(acme, room, updated(stream, facts)) == APPLIED
        assert forward(acme, room) == {}
        assert ack(command)

    while_waiting(monkeypatch, work)
    answer = ok(start(acme, room))
    assert answer["media"]["audio"]["format"] == AUDIO["format"]
    assert answer["media"]["video"] is False


def test_a_file_that_is_reported_before_the_acknowledgement_is_answered(acme: Api, monkeypatch):
    mode(monkeypatch, "confirm")
    room = acme.room()
    storage = {"host": "media-1", "file": "/srv/a.mkv"}

    def work() -> None:
        command, name = begun(acme)
        assert tally(acme, room, ready(name, storage=storage)) == APPLIED
        assert ack(command)

    while_waiting(monkeypatch, work)
    assert ok(record(acme, room))["storage"] == storage


@pytest.mark.parametrize(("begin", "end"), ENDS)
def test_what_has_ended_before_it_was_acknowledged_is_not_there(acme: Api, monkeypatch, begin, end):
    mode(monkeypatch, "confirm")
    room = acme.room(sip=SIP)

    def work() -> None:
        command, name = begun(acme)
        assert tally(acme, room, end(name)) == APPLIED
        ack(command)

    while_waiting(monkeypatch, work)
    assert refusal(begin(acme, room)) == REFUSED
    assert counts(acme, room) == (0, 0, 0)
    assert not [raw for raw in writes.raw_rows(keys.owt_room_partition(room)) if raw["sk"]["S"] != "x"]


@pytest.mark.parametrize(("begin", "end"), ENDS)
def test_what_has_ended_and_is_never_acknowledged_leaves_nothing(acme: Api, monkeypatch, begin, end):
    mode(monkeypatch, "confirm")
    room = acme.room(sip=SIP)

    def work() -> None:
        assert tally(acme, room, end(begun(acme)[1])) == APPLIED

    while_waiting(monkeypatch, work)
    assert refusal(begin(acme, room)) == REFUSED
    assert counts(acme, room) == (0, 0, 0)
    assert not [raw for raw in writes.raw_rows(keys.owt_room_partition(room)) if raw["sk"]["S"] != "x"]


def test_a_node_that_goes_takes_along_what_nobody_sees_yet(acme: Api, monkeypatch):
    mode(monkeypatch, "confirm")
    room = acme.room()

    def work() -> None:
        _, stream = begun(acme)
        assert tally(acme, room, updated(stream, BOTH) | {"node": "n"}) == APPLIED
        assert tally(acme, room, {"type": "node.gone", "node": "n"}) == APPLIED

    while_waiting(monkeypatch, work)
    assert refusal(start(acme, room)) == REFUSED
    assert counts(acme, room) == (0, 0, 0)


@pytest.mark.parametrize(
    ("begin", "result"), [(start, {}), (record, {}), (dial, {"media": {"audio": AUDIO}})]
)
def test_a_result_names_the_node_that_carries_it(acme: Api, monkeypatch, begin, result):
    mode(monkeypatch, "confirm")
    room = acme.room(sip=SIP)

    def work() -> None:
        assert ack(begun(acme)[0], result={**result, "node": "n"})

    while_waiting(monkeypatch, work)
    ok(begin(acme, room))
    assert counts(acme, room) != (0, 0, 0)
    assert tally(acme, room, {"type": "node.gone", "node": "n"}) == APPLIED
    assert counts(acme, room) == (0, 0, 0)


def test_a_call_that_nobody_sees_yet_gets_its_stream(acme: Api, monkeypatch):
    mode(monkeypatch, "confirm")
    room = acme.room(sip=SIP)

    def work() -> None:
        command, call = begun(acme)
        heard = pending(acme.service)[0].args["input"]
        assert tally(acme, room, added(heard, call, "sip", media={"audio": AUDIO})) == APPLIED
        assert ack(command)

    while_waiting(monkeypatch, work)
    assert ok(dial(acme, room))["input"]["media"]["audio"]["format"] == AUDIO["format"]
