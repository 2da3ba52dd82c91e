"""What happens to rooms without anybody's request: participations run out, rooms end, tombstones go.

Each step is one write on the condition that the room is still as it was seen, by the worker that has it.
"""

import logging
from collections.abc import Sequence
from typing import Final

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.loop import session, settings
from chalicelib.loop.session import Participation
from chalicelib.loop.store import participations, rooms
from chalicelib.loop.store.participations import Unchanged, number
from chalicelib.loop.store.rooms import RoomRow
from chalicelib.outbox import owed
from chalicelib.store import keys, writes
from chalicelib.store.expressions import Same, assign
from chalicelib.store.keys import Key
from chalicelib.store.writes import Refused

log = logging.getLogger(__name__)

TRIES: Final = 5
NEVER_SHOWN: Final = 0
"""When a room was "deleted" that has ended by itself: its owner is not shown that it was there."""


class TakenOver(Exception):
    """The room is gone, or owes something new, and another worker has it or will."""


def claim(key: Key) -> RoomRow | None:
    """A room that is due, for the caller to see to; `None` when another worker has it.

    Rooms are due again and again, so no number of times is too often.  Raises `Unavailable`.
    """
    return owed.claim(RoomRow, key, endless=True)


def ran_out(row: RoomRow, now: float) -> list[Participation]:
    """Those whose time is over, and nobody took note of it yet."""
    return [each for each in participations.every(row) if each.left is None and not each.lives(now)]


def expire(row: RoomRow) -> RoomRow:
    """Take note of everybody who ran out, once: the room as it is after that.

    A refresh that comes at the last moment wins.  Raises `TakenOver`, `Unavailable`.
    """
    for _ in range(TRIES):
        now = clock.now()
        gone = ran_out(row, now)
        if not gone or not rooms.lives(row, now):
            return row
        try:
            raw = writes.update(row.pk, row.sk, _marking(row, gone, now), _as_seen(row, gone), "ALL_NEW")
        except Refused as refused:
            row = _still_mine(row, refused)
        else:
            row = RoomRow.from_raw_data(raw or {})
    raise TakenOver


def _marking(row: RoomRow, gone: Sequence[Participation], now: float) -> list[Action]:
    ctime = max(int(row.ctime), int(now))
    marks = [participations.assign(each.key, {participations.LEFT: number(each.until)}) for each in gone]
    news = [assign(RoomRow.push, ctime)] if settings.get().push else []
    return [
        *marks,
        *news,
        assign(RoomRow.ctime, ctime),
        assign(RoomRow.version, int(row.version) + 1),
        assign(RoomRow.by, ids.new(8)),
    ]


def _as_seen(row: RoomRow, gone: Sequence[Participation]) -> Condition:
    condition: Condition = owed.mine(row) & Same(RoomRow.version, row.version)
    for each in gone:
        condition &= Unchanged(each.key, participations.UNTIL, number(each.until))
        condition &= Unchanged(each.key, participations.LEFT, None)
    return condition


def _still_mine(row: RoomRow, refused: Refused) -> RoomRow:
    """What stands there, if it is this worker's.  Raises `TakenOver`."""
    stood = refused.row(RoomRow)
    if stood is None or stood.owner != row.owner:
        raise TakenOver
    return stood


def put_off(row: RoomRow) -> bool:
    """Nothing is to be done before the next one runs out, the room ends or its tombstone goes.

    `False` when something changed meanwhile: the room is due as before, or as who changed it says.
    Raises `Unavailable`.
    """
    at = next_due(row)
    actions = [
        assign(RoomRow.due_at, at),
        assign(RoomRow.push, None),
        assign(RoomRow.owner, None),
        assign(RoomRow.attempts, 0),
        *(participations.remove(each.key) for each in _forgotten(row)),
    ]
    try:
        writes.update(row.pk, row.sk, actions, _untouched(row))
    except Refused:
        return False
    return True


def _untouched(row: RoomRow) -> Condition:
    """Whoever owes the owner news makes the room due, and whoever joins makes a new version of it."""
    condition: Condition = owed.mine(row) & Same(RoomRow.version, row.version)
    condition &= Same(RoomRow.due_at, row.due_at)
    return condition


def next_due(row: RoomRow) -> float:
    """When a room has to be looked at next."""
    if row.deleted_at is not None:
        return float(row.deleted_at) + settings.get().deleted_ttl
    found = (each.until for each in participations.every(row) if each.left is None)
    return min([float(row.ends_at), *found])


def _forgotten(row: RoomRow) -> list[Participation]:
    """Those who need not be remembered any more; nobody changes them after their end was noted."""
    everybody = participations.every(row)
    forgotten = session.forgotten(everybody, clock.now(), settings.get().deleted_ttl)
    return [each for each in forgotten if each.left is not None]


def is_over(row: RoomRow, now: float) -> bool:
    """Whether nothing of a room is needed any more."""
    if row.deleted_at is not None:
        return now >= row.deleted_at + settings.get().deleted_ttl
    return now >= row.ends_at


def remove(row: RoomRow) -> None:
    """Remove all of a room that is over; its own row goes last, so that what a death leaves is found again.

    One that ended by itself is closed first: nobody who saw it alive can prolong it then.
    Raises `TakenOver`, `Unavailable`.
    """
    if row.deleted_at is None:
        row = _close(row)
    token = rooms.token_of(row)
    writes.batch(deletes=[keys.loop_context(token), keys.loop_room_listed(row.uid, token)])
    owed.finish(row)


def _close(row: RoomRow) -> RoomRow:
    """Raises `TakenOver`, `Unavailable`."""
    actions = [
        assign(RoomRow.deleted_at, NEVER_SHOWN),
        assign(RoomRow.participations, None),
        assign(RoomRow.version, int(row.version) + 1),
    ]
    condition = owed.mine(row) & Same(RoomRow.version, row.version) & rooms.NOT_DELETED
    try:
        raw = writes.update(row.pk, row.sk, actions, condition, "ALL_NEW")
    except Refused as refused:
        stood = _still_mine(row, refused)
        if stood.deleted_at is None:
            raise TakenOver from None
        return stood
    return RoomRow.from_raw_data(raw or {})
