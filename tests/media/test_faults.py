"""Storage that fails in the middle of a list of reports, or while somebody joins: nothing is half done."""

import random
from typing import Any

import pytest

from chalicelib.outbox.owed import OwedRow
from chalicelib.owt import purge
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from tests.media.api import added, counts, forward, join, participants, redeem, removed, report, tally, token
from tests.media.test_reports import called, ended, left, record
from tests.owt.api import Api, ok, refusal
from tests.support.counts import FULL, full
from tests.support.faults import ALL, Fault, Injector, places

CHOSEN = full(8, 1000)


@pytest.fixture
def injector(boss: Api, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Spoils one storage call."""
    made = Injector(monkeypatch)
    yield made
    made.stop()


def faults(calls: int) -> list[Fault]:
    """Each kind of fault in each place, or some of those."""
    every = [Fault(at, *each) for at in places(calls, calls) for each in ALL]
    return every if FULL else random.Random(calls).sample(every, CHOSEN)


def prepared(api: Api) -> tuple[str, list[dict[str, Any]], tuple[int, int, int]]:
    """A room, reports of each way to be written, and what is to become of them."""
    room = api.room()
    alice, bob = join(api, room, participant="alice"), join(api, room)
    tally(api, room, added("a", alice), added("b", bob), added("c", node="n"))
    name = record(api, room, "a")
    reports = [
        added("d", bob, node="m"),
        added("e", "nobody"),
        removed("nothing"),
        ended(name),
        called("call", stream="d"),
        left(alice),
        {"type": "node.gone", "node": "n"},
    ]
    return room, [each | {"id": str(number)} for number, each in enumerate(reports)], (5, 2, 0)


def swept(room: str) -> None:
    """What was left to others is done."""
    for raw in writes.raw_rows(keys.owt_room_partition(room), prefix="xe#"):
        key = Key(raw["pk"]["S"], raw["sk"]["S"])
        writes.update(*key, [OwedRow.due_at.set(0)])
        purge.finish(key)


def as_it_should_be(api: Api, room: str) -> None:
    swept(room)
    assert sorted(forward(api, room)) == ["b", "d"]
    assert counts(api, room) == (2, 2, 1)
    assert "call" in participants(api, room)


def calls_of(injector: Injector, run: Any) -> int:
    """How many storage calls it takes."""
    with injector.injecting(None):
        run()
    return injector.calls


def test_a_list_is_taken_in_once_whatever_call_fails(boss: Api, injector: Injector):
    room, reports, outcome = prepared(boss)
    found: list[Any] = []
    number = calls_of(injector, lambda: found.append(tally(boss, room, *reports)))
    assert found == [outcome]
    as_it_should_be(boss, room)
    for fault in faults(number):
        room, reports, outcome = prepared(boss)
        with injector.injecting(fault):
            answer = report(boss, room, *reports)
        if not fault.lasting:
            assert (answer.status, answer.json()) == (200, names(outcome)), fault
        elif answer.status != 200:
            assert refusal(answer)[0] in (401, 500), fault
        applied, ignored, duplicates = tally(boss, room, *reports)
        assert applied + ignored + duplicates == len(reports), fault
        if answer.status == 200:
            assert duplicates == len(reports), fault
        as_it_should_be(boss, room)


def names(outcome: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("applied", "ignored", "duplicates"), outcome, strict=True))


def test_somebody_joins_once_or_not_at_all_whatever_call_fails(boss: Api, injector: Injector):
    room = boss.room()
    number = calls_of(injector, lambda: ok(redeem(boss, token(boss, room))))
    for fault in faults(number):
        room = boss.room()
        text = token(boss, room)
        with injector.injecting(fault):
            answer = redeem(boss, text)
        if not fault.lasting:
            assert answer.status == 200, fault
        # Either the token is used up and somebody is there, or neither is so.
        expected = 401 if participants(boss, room) else 200
        assert redeem(boss, text).status == expected, fault
        assert counts(boss, room) == (1, 0, 0), fault
        assert len(participants(boss, room)) == 1, fault
