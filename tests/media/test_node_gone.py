"""What a media node carried goes with it: in bounded writes, continued by `work` (media-plane contract)."""

import functools
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.owt import purge
from chalicelib.owt.store import ended, rooms, streams
from chalicelib.owt.stream import Audio, Forward, Media
from chalicelib.store import keys, writes
from chalicelib.store import table as tables
from chalicelib.store.keys import Key
from tests.media.api import (
    APPLIED,
    DUPLICATE,
    IGNORED,
    added,
    counts,
    forward,
    join,
    participants,
    report,
    tally,
)
from tests.owt.api import Api, ok, refusal
from tests.support.storage import Storage

MANY = 500
SOME = 60


def gone(node: str = "n1") -> dict[str, Any]:
    return {"type": "node.gone", "node": node}


def fill(room: str, count: int, node: str = "n1") -> None:
    """So many streams of a node, written without a transaction each."""
    media = Media(Audio({"codec": "opus"}))
    rows = []
    for number in range(count):
        row = streams.new_row(room, Forward(id=f"{node}-{number:05}", media=media, arrived=number))
        row.node = node
        rows.append(row)
    writes.batch(puts=rows)
    inputs = rooms.RoomRow.inputs
    writes.update(*keys.owt_room(room), [inputs.set(inputs + count)])


def left(room: str) -> list[str]:
    """What is left of what hung on something that ended."""
    return [raw["sk"]["S"] for raw in writes.raw_rows(keys.owt_room_partition(room), prefix="xe#")]


def work(kind: str, key: Any) -> bool:
    return owed.work([{"body": kicks.spell(kind, key), "messageId": "1"}]) == []


def record(api: Api, room: str, source: str) -> str:
    body = {"container": "mkv", "media": {"audio": {"from": source}, "video": False}}
    return str(ok(api.post(f"/rooms/{room}/recordings", body))["id"])


def test_500_streams_go_in_bounded_writes(acme: Api):
    room = acme.room()
    fill(room, MANY)
    fill(room, 3, node="n2")
    record(acme, room, "n1-00007")
    storage = Storage()
    storage.listen()
    assert tally(acme, room, gone()) == APPLIED
    while owing := left(room):
        for sk in owing:
            assert work(ended.END, Key(keys.owt_room_partition(room), sk))
    storage.deafen()
    assert list(forward(acme, room)) == [f"n2-{number:05}" for number in range(3)]
    assert counts(acme, room) == (0, 3, 0)
    assert left(room) == []
    made = [call for call in storage.calls if call.operation == "TransactWriteItems"]
    assert all(len(call.body["TransactItems"]) <= purge.WRITE for call in made)
    assert len(made) >= MANY / purge.WRITE


def test_a_run_whose_time_is_up_has_work_go_on(acme: Api, monkeypatch):
    room = acme.room()
    fill(room, SOME)
    record(acme, room, "n1-00001")
    kicked: list[Any] = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: kicked.append((kind, key)))
    monkeypatch.setattr(purge, "INLINE_S", 0.0)
    monkeypatch.setattr(purge, "WORK_S", 0.0)
    assert tally(acme, room, gone()) == APPLIED
    runs = 0
    while kicked:
        runs += 1
        assert runs < SOME
        assert work(*kicked.pop(0))
    assert runs >= SOME / purge.WRITE
    assert forward(acme, room) == {}
    assert ok(acme.get(f"/rooms/{room}/recordings")) == []
    assert left(room) == []
    assert counts(acme, room) == (0, 0, 0)


def test_a_worker_that_died_leaves_the_rest_to_the_sweep(acme: Api, monkeypatch):
    room = acme.room()
    fill(room, SOME)
    transact = writes.transact
    made: list[Any] = []

    def dies(parts: Any, token: str = "") -> None:
        if len(made) == 3:
            raise Unavailable("storage does not answer")
        transact(parts, token)
        made.append(parts)

    with monkeypatch.context() as patched:
        patched.setattr(writes, "transact", dies)
        assert tally(acme, room, gone()) == APPLIED
    assert 0 < len(forward(acme, room)) < SOME
    key = ended.node_key(room, "n1")
    writes.update(*key, [tables.Owing.due_at.set(clock.now() - 1)])
    kicked: list[Any] = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: kicked.append((kind, key)))
    owed.sweep()
    assert kicked == [(ended.END, key)]
    assert work(*kicked[0])
    assert forward(acme, room) == {}
    assert counts(acme, room) == (0, 0, 0)


def test_whatever_a_node_carried_goes_and_nothing_else(acme: Api):
    room, elsewhere = acme.room(), acme.room()
    here, there = (join(acme, room, node=node) for node in ("n1", "n2"))
    both = [added("a", here, node="n1"), added("b", here, node="n2"), added("c", there, node="n2")]
    tally(acme, room, *both, added("d", there, node="n1"), added("e"))
    recordings = {source: record(acme, room, source) for source in "bcde"}
    carried = {"type": "output.ready", "output": recordings["e"], "node": "n1"}
    call = {"type": "call.added", "call": {"id": "call"}, "node": "n1"}
    call["call"] = {"id": "call", "peer": "sip:a@b"}
    tally(acme, room, carried, call, added("heard", "call", "sip", node="n1"))
    tally(acme, elsewhere, added("a", node="n1"))
    assert counts(acme, room) == (3, 6, 5)
    assert tally(acme, room, gone()) == APPLIED
    # `b` was on the other node, and goes with its owner.
    assert participants(acme, room) == [there]
    assert list(forward(acme, room)) == ["c", "e"]
    assert [each["id"] for each in ok(acme.get(f"/rooms/{room}/recordings"))] == [recordings["c"]]
    assert ok(acme.get(f"/rooms/{room}/sipcalls")) == []
    assert counts(acme, room) == (1, 2, 1)
    assert left(room) == []
    assert list(forward(acme, elsewhere)) == ["a"]
    assert tally(acme, room, gone()) == IGNORED


def test_what_moved_to_another_node_stays(acme: Api):
    room = acme.room()
    moved = {"type": "stream.updated", "stream": {"id": "s", "media": added("s")["stream"]["media"]}}
    tally(acme, room, added("s", node="n1"), moved | {"node": "n2"})
    assert tally(acme, room, gone("n1")) == IGNORED
    assert list(forward(acme, room)) == ["s"]
    # A report without a node leaves it where it is.
    tally(acme, room, moved)
    assert tally(acme, room, gone("n2")) == APPLIED
    assert forward(acme, room) == {}


def test_a_node_that_comes_back_carries_what_comes_then(acme: Api, monkeypatch):
    room = acme.room()
    fill(room, SOME)
    with monkeypatch.context() as patched:
        patched.setattr(purge, "INLINE_S", 0.0)
        assert tally(acme, room, gone() | {"id": "r1"}) == APPLIED
    assert len(forward(acme, room)) > 0
    # What was there before has to go first, so that only that goes.
    again = [added(f"n1-{number:05}", node="n1") for number in (0, SOME - 1)]
    assert tally(acme, room, *again) == (2, 0, 0)
    assert list(forward(acme, room)) == ["n1-00000", f"n1-{SOME - 1:05}"]
    work(ended.END, ended.node_key(room, "n1"))
    assert counts(acme, room) == (0, 2, 0)
    assert tally(acme, room, gone() | {"id": "r1"}) == DUPLICATE
    assert len(forward(acme, room)) == 2


def test_a_report_waits_only_so_long_for_a_node_to_go(acme: Api, monkeypatch):
    room = acme.room()
    fill(room, SOME)
    monkeypatch.setattr(purge, "FINISH_S", 0.1)
    with monkeypatch.context() as patched:
        # Somebody has it at hand, and does not get on.
        patched.setattr(purge, "end", functools.partial(owed.claim, ended.EndedRow))
        tally(acme, room, gone())
    one = added("s", node="n1") | {"id": "r1"}
    assert refusal(report(acme, room, one)) == (500, 1401)
    writes.update(*ended.node_key(room, "n1"), [tables.Owing.due_at.set(clock.now() - 1)])
    assert tally(acme, room, one) == APPLIED
    assert list(forward(acme, room)) == ["s"]


@pytest.mark.parametrize("name", ["x" * 256, "é" * 256, "a#b", " ", "\x00", "xe#n#"])
def test_a_node_may_have_any_name(acme: Api, name):
    room = acme.room()
    assert tally(acme, room, added("s", node=name), gone(name)) == (2, 0, 0)
    assert forward(acme, room) == {}
    assert left(room) == []
