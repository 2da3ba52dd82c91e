"""Rows of rooms: the room with everybody in it, its context, and what lists are made from.

A room stands once its own row does: context and index row are written before it and go after it, and without
it they say nothing.  A deleted room leaves a tombstone; what is left of it, and of rooms that ended, is
removed by who works off what rooms owe.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from pynamodb.attributes import Attribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.errors import AppError, Unavailable
from chalicelib.loop import room, settings
from chalicelib.loop.errors import Forbidden, InvalidToken
from chalicelib.loop.room import NewRoom, Room, RoomChange
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BooleanAttribute, NumberAttribute, RawMapAttribute, UnicodeAttribute
from chalicelib.store.expressions import ABSENT, Same, absent, add, assign
from chalicelib.store.keys import Key
from chalicelib.store.table import DUE_INDEX, Item, spell_number
from chalicelib.store.writes import Refused

ROOM: Final = "loop.room"
"""What a room owes: who leaves unnoticed, what its owner has to be told, its end."""
PAGE: Final = 100
"""So many rows are read in one call."""
TRIES: Final = 20
PAUSE_S: Final = 0.02

_PREFIX: Final = len(keys.loop_room("").pk)


class RoomRow(OwedRow):
    """A room, or what is left of a deleted one.

    `version` grows with every change that a write may have to notice; `push` is what its owner was not told
    yet (the `ctime` to tell); `by` names the last change or deletion.  `due` stands as long as the row does.
    """

    uid = UnicodeAttribute()
    """The owner."""
    room_owner = UnicodeAttribute(null=True)
    """How the owner calls itself."""
    room_name = UnicodeAttribute(null=True)
    max_size = NumberAttribute()
    created = NumberAttribute()
    ends_at = NumberAttribute()
    ctime = NumberAttribute()
    channel = UnicodeAttribute()
    api_key = UnicodeAttribute(null=True)
    session_id = UnicodeAttribute(null=True)
    has_context = BooleanAttribute(null=True)
    version = NumberAttribute()
    by = UnicodeAttribute(null=True)
    push = NumberAttribute(null=True)
    deleted_at = NumberAttribute(null=True)
    participations = RawMapAttribute(attr_name="p", null=True)
    """By who it is: `g` and the hash of a token, `h` and a uid, `z` and the id of a connection that ended."""


NOT_DELETED: Final = absent(RoomRow.deleted_at)
"""That a room is no tombstone."""
_NEVER_DUE: Final = absent(RoomRow.due_at)


class ContextRow(Item):
    """What a room is about, as JSON text."""

    value = UnicodeAttribute(attr_name="v")


class OwnedRow(Item):
    """That an owner has a room."""


class Found(msgspec.Struct, frozen=True):
    """A room as it was read."""

    row: RoomRow
    context: str | None = None

    @property
    def room(self) -> Room:
        """The room."""
        return of(self.row)


def token_of(row: RoomRow) -> str:
    """The room's token."""
    return row.pk[_PREFIX:]


def of(row: RoomRow) -> Room:
    """The room that a row keeps."""
    return Room(
        token=token_of(row),
        uid=row.uid,
        owner=row.room_owner or "",
        name=row.room_name,
        max_size=int(row.max_size),
        created=int(row.created),
        ends_at=int(row.ends_at),
        ctime=int(row.ctime),
    )


def lives(row: RoomRow, now: float) -> bool:
    """Whether a row is a room's that is neither deleted nor over."""
    return row.deleted_at is None and now < row.ends_at


def living(row: RoomRow | None) -> RoomRow:
    """The row, if it is that of a room that lives.  Raises `InvalidToken`."""
    if row is None or not lives(row, clock.now()):
        raise InvalidToken
    return row


def owned(row: RoomRow, uid: str) -> RoomRow:
    """The row, if the room is this owner's.  Raises `Forbidden`."""
    if row.uid != uid:
        raise Forbidden("the room is another one's")
    return row


def checked(token: str) -> str:
    """The token, if a room may have it; others need not be looked for.  Raises `InvalidToken`."""
    if not room.could_be_token(token):
        raise InvalidToken
    return token


def get(token: str) -> RoomRow:
    """A room without its context, by one read.  Raises `InvalidToken`, `Unavailable`."""
    return living(writes.get(RoomRow, *keys.loop_room(checked(token)), consistent=True))


def read(token: str) -> Found:
    """A room with its context, by one read of both.  Raises `InvalidToken`, `Unavailable`."""
    where, beside = keys.loop_room(checked(token)), keys.loop_context(token)
    raws = writes.get_many([where, beside])
    row = living(writes.read(RoomRow, raws.get(where)))
    kept = writes.read(ContextRow, raws.get(beside)) if row.has_context else None
    return Found(row, kept.value if kept is not None else None)


def telling(ctime: int, now: float) -> list[Action]:
    """The part of an update that owes a room's owner the news; nothing where owners are not told."""
    if not settings.get().push:
        return []
    return [assign(RoomRow.push, ctime), assign(RoomRow.due_at, now)]


def tell(token: str) -> None:
    """Have the news told that an update owes, where owners are told."""
    if settings.get().push:
        kicks.kick(ROOM, keys.loop_room(token))


def create(uid: str, new: NewRoom, api_key: str, session_id: str) -> Room:
    """Make a room.  Raises `Unavailable`."""
    now = clock.now()
    token = secrets.token_urlsafe(room.TOKEN_BYTES)
    where = keys.loop_room(token)
    ends_at, push = room.ends_at(now, new.hours), settings.get().push
    row = RoomRow(
        *where,
        uid=uid,
        room_owner=new.owner,
        room_name=new.name,
        max_size=new.max_size,
        created=int(now),
        ends_at=ends_at,
        ctime=int(now),
        channel=new.channel,
        api_key=api_key,
        session_id=session_id,
        has_context=True if new.context is not None else None,
        version=1,
        by=ids.new(8),
        push=int(now) if push else None,
        participations={},
        due=keys.due(ROOM, where.pk),
        due_at=now if push else ends_at,
        attempts=0,
    )
    beside: list[Item] = [OwnedRow(*keys.loop_room_listed(uid, token))]
    if new.context is not None:
        beside.append(_context_row(token, new.context))
    writes.batch(beside)
    try:
        writes.put(row, ABSENT)
    except Refused:
        raise Unavailable("the token of a new room is taken") from None
    tell(token)
    return of(row)


def _context_row(token: str, text: str) -> ContextRow:
    return ContextRow(*keys.loop_context(token), value=text)


def change(row: RoomRow, wanted: RoomChange) -> int:
    """Have a change take effect on the room as it is then, whoever else changes it meanwhile; its new end.

    The context is written before the room each time: who changed the room last has written it last too.
    Raises `InvalidToken`, `Unavailable`.
    """
    token, by = token_of(row), ids.new(8)
    for tried in range(TRIES):
        if wanted.context is not None:
            writes.put(_context_row(token, wanted.context))
        try:
            ends_at = _write(row, wanted, by)
        except Refused as refused:
            row = _still_there(token, refused)
            if row.by != by:
                time.sleep(ids.chance.uniform(0, PAUSE_S * min(tried, 5)))
                continue
            ends_at = int(row.ends_at)  # it was written, and the answer lost
        tell(token)
        return ends_at
    raise Unavailable("the room is changed again and again")


def _still_there(token: str, refused: Refused) -> RoomRow:
    """The room as it is now; a context that came after its end goes again.  Raises `InvalidToken`."""
    try:
        return living(refused.row(RoomRow))
    except InvalidToken:
        writes.delete(*keys.loop_context(token))
        raise


def _write(row: RoomRow, wanted: RoomChange, by: str) -> int:
    """Change the room unless it is not as `row` says; its new end.  Raises `Refused`, `Unavailable`."""
    now = clock.now()
    where, ends_at = Key(row.pk, row.sk), room.ends_at(now, wanted.hours)
    changes: tuple[tuple[Attribute[Any], object], ...] = (
        (RoomRow.room_owner, wanted.owner),
        (RoomRow.room_name, wanted.name),
        (RoomRow.max_size, wanted.max_size),
        (RoomRow.has_context, True if wanted.context is not None else None),
    )
    actions = [
        *(assign(attribute, value) for attribute, value in changes if value is not None),
        assign(RoomRow.ends_at, ends_at),
        assign(RoomRow.ctime, int(now)),
        assign(RoomRow.version, int(row.version) + 1),
        assign(RoomRow.by, by),
        *_due(where, min(float(row.due_at or ends_at), ends_at), now),
    ]
    writes.update(*where, actions, Same(RoomRow.version, row.version) & same_due(row))
    return ends_at


def same_due(row: RoomRow) -> Condition:
    """That the room is due when it was; a worker may have found out meanwhile that it is sooner."""
    if row.due_at is None:
        return _NEVER_DUE
    return Same(RoomRow.due_at, row.due_at)


def _due(where: Key, at: float, now: float) -> list[Action]:
    """The part of an update after which the room is looked at by then, or at once to tell its owner."""
    if settings.get().push:
        return [*owed.owing(ROOM, where, now), assign(RoomRow.push, int(now))]
    return owed.owing(ROOM, where, at)


def delete(token: str, uid: str) -> None:
    """Leave of a room nothing but that it was deleted.  Raises `InvalidToken`, `Forbidden`, `Unavailable`."""
    if _bury(keys.loop_room(checked(token)), uid):
        writes.delete(*keys.loop_context(token))
    tell(token)


def _bury(where: Key, uid: str) -> bool:
    """Make a room a tombstone; whether it may have a context.

    Raises `InvalidToken`, `Forbidden`, `Unavailable`.
    """
    now, by = clock.now(), ids.new(8)
    actions = [
        assign(RoomRow.deleted_at, int(now)),
        assign(RoomRow.ctime, int(now)),
        assign(RoomRow.by, by),
        add(RoomRow.version, 1),
        *(assign(attribute, None) for attribute in _CONTENT),
        *_due(where, int(now) + settings.get().deleted_ttl, now),
    ]
    condition = Same(RoomRow.uid, uid) & NOT_DELETED & (RoomRow.ends_at > now)
    try:
        raw = writes.update(*where, actions, condition, returns="ALL_OLD")
    except Refused as refused:
        row = refused.row(RoomRow)
        if row is not None and row.by == by:  # it was written, and the answer lost
            return True
        owned(living(row), uid)
        raise InvalidToken from None
    return raw is not None and RoomRow.has_context.attr_name in raw


_CONTENT: Final = (
    RoomRow.participations,
    RoomRow.room_owner,
    RoomRow.room_name,
    RoomRow.api_key,
    RoomRow.session_id,
    RoomRow.has_context,
)
"""What goes with a room; the owner is still shown that it was there."""


def delete_some(tokens: Sequence[str], uid: str) -> Iterator[tuple[str, AppError | None]]:
    """Delete those rooms that are this owner's: each token, and why it stays.  Raises `Unavailable`."""
    known = rows([token for token in tokens if room.could_be_token(token)])
    for token in tokens:
        row = known.get(token)
        if row is None or row.uid != uid:
            yield token, InvalidToken()
            continue
        try:
            delete(token, uid)
        except (InvalidToken, Forbidden, Unavailable) as error:
            yield token, error
        else:
            yield token, None


def listed(uid: str) -> list[RoomRow]:
    """The rows of an owner's rooms and tombstones.  Raises `Unavailable`."""
    tokens = [raw["sk"]["S"] for raw in writes.raw_rows(keys.loop_rooms(uid))]
    # A room that is being made is listed, and not there yet; one that was removed is there no more.
    return [row for row in rows(tokens).values() if row.uid == uid]


def rows(tokens: Sequence[str]) -> dict[str, RoomRow]:
    """Rooms and tombstones by token, as far as there are any.  Raises `Unavailable`."""
    found: dict[str, RoomRow] = {}
    for raw in writes.get_all([keys.loop_room(token) for token in tokens]).values():
        row = RoomRow.from_raw_data(raw)
        found[token_of(row)] = row
    return found


def listed_after(bucket: int, after: tuple[float, str] | None, limit: int) -> tuple[list[RoomRow], bool]:
    """Some of everybody's rooms, in one part of the index of what is due, and whether more may stand there.

    They stand in the order of when they are looked at next; `after` is that time and a token: the last one's.
    Raises `Unavailable`.
    """
    partition = keys.due_partitions(ROOM)[bucket]
    start = None
    if after is not None:
        at, token = after
        start = {
            **writes.key(*keys.loop_room(token)),
            "due": {"S": partition},
            "due_at": {"N": spell_number(at)},
        }
    raws, following = writes.query_raw(partition, index=DUE_INDEX, limit=limit, start=start)
    return [RoomRow.from_raw_data(raw) for raw in raws], following is not None


PARTS: Final = keys.DUE_BUCKETS
"""So many parts has that index."""


def contexts(some: Sequence[RoomRow]) -> Iterator[Mapping[str, str]]:
    """The contexts of rooms by partition, some hundred at a time.  Raises `Unavailable`."""
    wanted = [keys.loop_context(token_of(row)) for row in some if row.has_context]
    for at in range(0, len(wanted), PAGE):
        raws = writes.get_many(wanted[at : at + PAGE])
        yield {pk: ContextRow.from_raw_data(raw).value for (pk, _), raw in raws.items()}
