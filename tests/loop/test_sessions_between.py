"""What happens between the reading and the writing of somebody else, moment by moment (contract 11)."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import clock, settings
from chalicelib.loop.actions import sessions as actions
from chalicelib.outbox import kicks
from chalicelib.store import keys, writes
from tests.loop.api import Caller, GuestCaller, HawkCaller, ok, refusal

LIFE_S = 300
NO_CALLER, NO_ROOM, FULL = (401, 110), (404, 105), (400, 202)
WAITING = {
    "event": "Session.connectionCreated",
    "state": "waiting",
    "connections": 1,
    "sendStreams": 0,
    "recvStreams": 0,
}
ILLEGAL = WAITING | {"event": "Session.streamDestroyed", "state": "cleanup", "connections": 2}

Between = Callable[..., None]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved: `now[0] += 1`."""
    held = [1_700_000_000.25]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    monkeypatch.setattr("time.time", lambda: held[0])
    return held


@pytest.fixture
def before_the_update(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Have something done just before the next update of a room goes out, or before each of some."""
    inside = writes.call
    pending: list[Callable[[], Any]] = []

    def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        is_room = request.get("Key", {}).get("pk", {}).get("S", "").startswith("lR")
        if operation == "UpdateItem" and is_room and pending:
            deed = pending.pop(0)
            rest, pending[:] = list(pending), []
            deed()
            pending[:] = rest
        return inside(operation, request)

    monkeypatch.setattr(writes, "call", call)
    return lambda *deeds: pending.extend(deeds)


@pytest.fixture
def lost_answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have updates of rooms sent again from now on, as the SDK does when an answer is lost."""
    inside, on = writes.call, [False]

    def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if on[0] and operation == "UpdateItem":
            inside(operation, request)
        return inside(operation, request)

    monkeypatch.setattr(writes, "call", call)

    def begin() -> None:
        on[0] = True

    return begin


def enter(room: str, name: str = "guest") -> GuestCaller:
    """A guest who came in."""
    return GuestCaller(ok(Caller().join(room, name))["sessionToken"])


def names(owner: HawkCaller, room: str) -> list[str]:
    """Who is in the room."""
    return [each["displayName"] for each in ok(owner.get(f"/rooms/{room}"))["participants"]]


def sessions(owner: HawkCaller, room: str) -> list[dict[str, Any]]:
    """What was reported."""
    found: list[dict[str, Any]] = ok(owner.get(f"/rooms/{room}/sessions"))["sessions"]
    return found


def test_a_refresh_that_comes_late_brings_nobody_back_to_a_seat_that_was_given_away(
    owner, now, before_the_update
):
    room = owner.room(maxSize=2)
    late = enter(room, "late")
    now[0] += LIFE_S - 0.001

    def meanwhile() -> None:
        now[0] += 0.001
        enter(room, "new")

    before_the_update(meanwhile)
    assert refusal(late.act(room, "refresh")) == NO_CALLER
    assert names(owner, room) == ["new"]


def test_a_refresh_at_the_last_moment_keeps_its_seat_from_who_found_it_free(owner, now, before_the_update):
    room = owner.room(maxSize=2)
    last = enter(room, "last")
    now[0] += LIFE_S

    def meanwhile() -> None:
        now[0] -= 0.001
        ok(last.act(room, "refresh"))
        now[0] += 0.001

    before_the_update(meanwhile)
    assert refusal(Caller().join(room)) == FULL
    assert names(owner, room) == ["last"]


def test_who_was_overtaken_decides_anew_without_reading_again(owner, before_the_update, storage):
    room = owner.room(maxSize=4)
    before_the_update(lambda: enter(room, "first"), lambda: enter(room, "second"))
    mark = len(storage.calls)
    ok(Caller().join(room, "third"))
    assert names(owner, room) == ["first", "second", "third"]
    ours = [call.operation for call in storage.since(mark)][: 3 * 2 + 2]
    # One read and three writes of ours, of which two were in vain; one of each of those who overtook us.
    assert sorted(ours) == ["GetItem"] * 3 + ["UpdateItem"] * 5


def test_the_last_seat_goes_to_who_writes_first(owner, before_the_update):
    room = owner.room(maxSize=2)
    before_the_update(lambda: enter(room, "first"))
    assert refusal(Caller().join(room, "second")) == FULL
    assert names(owner, room) == ["first"]


def test_a_room_that_was_made_smaller_meanwhile_is_full(owner, before_the_update):
    room = owner.room(maxSize=3)
    enter(room, "first")
    before_the_update(lambda: ok(owner.patch(f"/rooms/{room}", {"maxSize": 2})))
    assert refusal(Caller().join(room)) == FULL


def test_nobody_comes_into_a_room_that_was_deleted_meanwhile(owner, before_the_update):
    room = owner.room()
    before_the_update(lambda: ok(owner.delete(f"/rooms/{room}"), 204))
    assert refusal(Caller().join(room)) == NO_ROOM


def test_a_room_that_changes_all_the_time_is_full(owner, before_the_update, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    room = owner.room()
    patch = lambda: ok(owner.patch(f"/rooms/{room}", {"roomOwner": "Eve"}))  # noqa: E731
    before_the_update(*[patch] * actions.TRIES)
    assert refusal(Caller().join(room)) == FULL
    before_the_update(*[patch] * (actions.TRIES - 1))
    ok(Caller().join(room))


def test_who_leaves_while_it_joins_anew_leaves_or_stays_but_not_both(owner, before_the_update):
    room = owner.room()
    guest = enter(room)
    before_the_update(lambda: ok(guest.act(room, "leave"), 204))
    assert refusal(guest.join(room)) == NO_CALLER
    assert names(owner, room) == []


def test_what_was_reported_while_its_caller_joins_anew_is_kept(owner, other, before_the_update):
    room = owner.room()
    ok(other.join(room, "before"))
    at_another_window = HawkCaller(other.credentials)
    before_the_update(lambda: ok(at_another_window.act(room, "status", **WAITING), 204))
    ok(other.join(room, "after"))
    before, after = sessions(owner, room)
    assert (before["displayName"], before["reports"], "ended" in before) == ("before", 1, True)
    assert (after["displayName"], after["reports"], "ended" in after) == ("after", 0, False)


def test_a_report_that_is_judged_a_second_time_does_not_bring_back_who_left(owner, now, before_the_update):
    room = owner.room()
    guest = enter(room)
    before_the_update(lambda: None, lambda: ok(guest.act(room, "leave"), 204))
    assert refusal(guest.act(room, "status", **ILLEGAL)) == NO_CALLER
    (found,) = sessions(owner, room)
    assert (found["reports"], found["ended"]) == (0, int(now[0]))


def test_a_report_is_judged_by_the_state_that_it_replaces(owner, before_the_update):
    room = owner.room()
    guest = enter(room)
    starting = WAITING | {"state": "starting", "connections": 2}
    receiving = starting | {"event": "Session.streamCreated", "state": "receiving", "recvStreams": 1}
    # From the beginning `cleanup` does not conform; while that is found out the state becomes one from which
    # it does, so it is judged once more.
    before_the_update(
        lambda: None, lambda: [ok(guest.act(room, "status", **each), 204) for each in (starting, receiving)]
    )
    ok(guest.act(room, "status", **ILLEGAL), 204)
    (found,) = sessions(owner, room)
    assert (found["state"], found["reports"], found["nonConforming"]) == ("cleanup", 3, 0)


# Answers that were lost


def test_a_join_whose_answer_was_lost_is_one_join(owner, lost_answers):
    room = owner.room(maxSize=2)
    lost_answers()
    guest = enter(room)
    assert names(owner, room) == ["guest"]
    ok(guest.act(room, "refresh"))
    again = GuestCaller(ok(guest.join(room, "again"))["sessionToken"])
    assert names(owner, room) == ["again"]
    ok(owner.join(room, "owner"))
    ok(owner.join(room, "owner again"))
    assert names(owner, room) == ["again", "owner again"]
    ok(again.act(room, "refresh"))


def test_a_leave_whose_answer_was_lost_is_done(owner, nobody, lost_answers):
    room = owner.room()
    guest = enter(room)
    ok(owner.join(room))
    token = ok(nobody.join(room))["sessionToken"]
    lost_answers()
    ok(guest.act(room, "leave"), 204)
    ok(owner.act(room, "leave"), 204)
    ok(nobody.act(room, "leave", sessionToken=token), 204)
    assert names(owner, room) == []
    assert refusal(guest.act(room, "leave")) == NO_CALLER


# What owners are told


@pytest.fixture
def kicked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which rooms were kicked, where owners are told."""
    found: list[str] = []
    monkeypatch.setenv("LOOP_PUSH", "on")
    settings.reset()
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay_s=0.0: found.append(key.pk))
    return found


def test_owners_are_told_of_who_joins_and_leaves_and_of_nothing_else(owner, now, kicked, table):
    room = owner.room()
    key = keys.loop_room(room)

    def owed() -> tuple[float, float]:
        """What the room's owner is not told yet, and when it will be."""
        (row,) = [item for item in table.rows() if item["pk"]["S"] == key.pk and "push" in item]
        return float(row["push"]["N"]), float(row["due_at"]["N"])

    kicked.clear()
    now[0] += 10
    guest = enter(room)
    assert owed() == (int(now[0]), now[0])
    assert kicked == [key.pk]
    told = owed()
    now[0] += 10
    ok(guest.act(room, "refresh"))
    ok(guest.act(room, "status", **WAITING), 204)
    assert owed() == told
    assert kicked == [key.pk]
    ok(guest.act(room, "leave"), 204)
    assert owed() == (int(now[0]), now[0])
    assert kicked == [key.pk] * 2


def test_a_join_has_the_room_looked_at_when_it_runs_out(owner, now, table):
    room = owner.room(expiresIn=1)
    enter(room)
    now[0] += 100
    enter(room)
    (row,) = [item for item in table.rows() if item["pk"]["S"] == keys.loop_room(room).pk]
    assert float(row["due_at"]["N"]) == now[0] - 100 + LIFE_S
    assert "push" not in row
