"""What is in a room: reads that look at the room too, transactions that add and remove children.

A child is there if its room is, is its service's, and nothing that it hangs on has ended.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.errors import Conflict, Unavailable
from chalicelib.owt.errors import NoRoom, Refused
from chalicelib.owt.store import rooms
from chalicelib.owt.store.ended import PARTICIPANT, STREAM, Ended, ended_row, read_ended
from chalicelib.owt.store.rooms import RoomRow, RoomState
from chalicelib.store import expressions, keys, writes
from chalicelib.store.attributes import UnicodeAttribute
from chalicelib.store.expressions import ABSENT, STANDS, Less, Same, absent
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Check, Part, Put, Raw, Remove

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES: Final = 20
STREAMS: Final = ("v", "xe~")
"""Views, forward streams, the room, what has ended: one query."""
SUBSCRIPTIONS: Final = ("x", "y~")
"""The room, what has ended, subscriptions: one query."""
PARTICIPANTS: Final = "p#"
PENDING: Final = UnicodeAttribute(attr_name="pnd", null=True)
"""On a child's row, whichever class it is of: the command that it waits for."""
VISIBLE: Final = STANDS & absent(PENDING)
"""That a child stands, and waits for nothing."""
COUNTED: Final = (RoomRow.participants, RoomRow.inputs, RoomRow.others)


class Changed(Conflict):
    """What was decided upon is not as it was read: read it again and decide again."""


class Exists(Conflict):
    """A child with this id is there already."""


class Missing(Conflict):
    """A child that was to go is not there."""


class Counts(NamedTuple):
    """How many children of each class are added, or removed."""

    participants: int = 0
    inputs: int = 0
    """Forward streams that `inputLimit` is about: all but those of analytics."""
    others: int = 0
    """Streams of analytics, and subscriptions."""


class Listing(msgspec.Struct, frozen=True):
    """A room and some of its children, in the order of their keys, as they were read together."""

    state: RoomState
    ended: Ended
    rows: Sequence[Raw]

    def of(self, prefix: str) -> list[Raw]:
        """The children whose sort key begins so, like `w#`."""
        return [raw for raw in self.rows if raw["sk"]["S"].startswith(prefix)]


# Reading


def room_range(service_id: str, room_id: str, low: str, high: str) -> Listing:
    """The room's rows from `low` to `high`, the room's own among them, by one strong query.

    Use `*STREAMS` or `*SUBSCRIPTIONS`.  Raises `NoRoom`, `Unavailable`.
    """
    pk = keys.owt_room_partition(rooms.checked(room_id))
    raws = list(writes.raw_rows(pk, at_least=low, at_most=high))
    own = keys.owt_room(room_id).sk
    found = next((raw for raw in raws if raw["sk"]["S"] == own), None)
    state = rooms.from_raw(service_id, found)
    children = [raw for raw in raws if not raw["sk"]["S"].startswith("x")]
    return Listing(state, read_ended(raws), children)


def participants(service_id: str, room_id: str) -> Listing:
    """The room and its participants, in the order of their ids: a read and a query.

    Raises `NoRoom`, `Unavailable`.
    """
    state = rooms.read(service_id, room_id)
    raws = list(writes.raw_rows(keys.owt_room_partition(room_id), prefix=PARTICIPANTS))
    return Listing(state, Ended(), raws)


def some(service_id: str, room_id: str, *wanted: Key) -> tuple[RoomState, list[Raw | None]]:
    """The room and these rows of it, read in one call; `None` for what is not there.

    Raises `NoRoom`, `Unavailable`.
    """
    own = keys.owt_room(rooms.checked(room_id))
    found = writes.get_many([own, *wanted])
    return rooms.from_raw(service_id, found.get(own)), [found.get(key) for key in wanted]


# Adding and removing


def add(
    state: RoomState,
    rows: Sequence[Item],
    counts: Counts,
    *,
    streams: Iterable[str] = (),
    unchanged: bool = False,
    also: Sequence[Part] = (),
) -> None:
    """Put new children into a room, all or none, within its limits.

    Provided that the forward `streams` which they take something of stand and, if the room has to be
    `unchanged`, that its document is still the one that was read; `also` is any other part.

    Raises `NoRoom`, `Changed`, `Exists`, `Refused` (a limit, or what was to stand does not), `Unavailable`;
    `Cancelled` only for a condition of `also`.
    """
    room_id = state.id
    parts: list[Part] = [_counted(state, counts, unchanged)]
    parts += [Put(row, ABSENT) for row in rows]
    needed = [keys.owt_stream(room_id, stream_id) for stream_id in dict.fromkeys(streams)]
    ending = [key for row in rows for key in _ending(room_id, row.sk)]
    parts += [Check(key, ABSENT) for key in ending]
    parts += [Check(key, STANDS) for key in needed]
    own = len(parts)
    try:
        writes.transact([*parts, *also])
    except Cancelled as cancelled:
        first = min(cancelled.failed)
        if first == 0:
            raise _why(state, cancelled.row(0, RoomRow), unchanged) from None
        if first <= len(rows) + len(ending):
            raise Exists("there is a child with this id, or what hung on one is still ending") from None
        if first < own:
            raise Refused("what was asked for is no longer there") from None
        raise


def _ending(room_id: str, sk: str) -> list[Key]:
    """Where it says that an earlier child with this key has ended, and something still hangs on it."""
    letter, _, name = sk.partition("#")
    what = {"p": PARTICIPANT, "w": STREAM}.get(letter)
    return [keys.owt_ended(room_id, what, name)] if what is not None else []


def _counted(state: RoomState, counts: Counts, unchanged: bool) -> Part:
    """What the addition of children makes of the room's row; each limit is about one of them at most."""
    condition: Condition = Same(RoomRow.service, state.service)
    if unchanged:
        condition &= Same(RoomRow.version, state.version)
    if counts.participants:
        condition &= Less(RoomRow.participants, RoomRow.participant_limit)
    if counts.inputs:
        condition &= Less(RoomRow.inputs, RoomRow.input_limit)
    return change_of_counts(state.id, counts, 1, condition)


def change_of_counts(room_id: str, counts: Counts, sign: int, condition: Condition) -> Part:
    """The part of a transaction that counts more children (`sign` 1) or fewer (-1)."""
    where = keys.owt_room(room_id)
    if not any(counts):
        return Check(where, condition)
    actions: list[Action] = [
        expressions.add(attribute, sign * count)
        for attribute, count in zip(COUNTED, counts, strict=True)
        if count
    ]
    return Change(where, actions, condition)


def _why(state: RoomState, stood: RoomRow | None, unchanged: bool) -> Exception:
    """Why the room's row was not as it had to be."""
    if stood is None or stood.service != state.service:
        return NoRoom(state.id)
    if unchanged and int(stood.version) != state.version:
        return Changed("the room was changed")
    return Refused("the room is full")


def remove(
    state: RoomState,
    wanted: Sequence[Key],
    counts: Counts,
    ended: Sequence[tuple[str, str]] = (),
    *,
    also: Sequence[Part] = (),
) -> list[Key]:
    """Take children that callers see out of a room, all or none, and note what `ended` with them: pairs like
    `("s", id)`.

    `counts` are those removed.  Have `purge.end` serve the rows that are returned: what hangs on what ended
    is owed.  Raises `NoRoom`, `Missing`, `Unavailable`; `Cancelled` only for a condition of `also`.
    """
    owed = [ended_row(state.id, what, [name]) for what, name in ended]
    parts: list[Part] = [change_of_counts(state.id, counts, -1, Same(RoomRow.service, state.service))]
    parts += [Remove(key, VISIBLE) for key in wanted]
    own = len(parts)
    try:
        writes.transact([*parts, *also, *(Put(row) for row in owed)])
    except Cancelled as cancelled:
        first = min(cancelled.failed)
        if first == 0:
            raise NoRoom(state.id) from None
        if first < own:
            raise Missing(wanted[first - 1].sk) from None
        raise
    return [Key(row.pk, row.sk) for row in owed]


def decided(decide: Callable[[], T]) -> T:
    """Have something read, decided and written, again while others change it meanwhile.

    `decide` raises `Changed`, or `writes.Refused` of its own conditional write, when it has to be done anew.
    Raises `Unavailable` in the end.
    """
    for tried in range(TRIES):
        try:
            return decide()
        except (Changed, writes.Refused):
            log.info("changed meanwhile, time %d", tried + 1)
    raise Unavailable("this is changed again and again")
