"""Rows of rooms: document, limits, counts; the index rows that lists are made from."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar

import msgspec

from chalicelib import clock, ids
from chalicelib.errors import Unauthenticated, Unavailable
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt import packed, room, vault
from chalicelib.owt.errors import BadData, NoRoom
from chalicelib.owt.room import Document, Incarnation, Incarnations, Room
from chalicelib.owt.store.ended import PURGE, VIEW, EndedRow, ended_row
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import ABSENT, STANDS, Same, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Check, Part, Put, Raw, Refused, Remove
from chalicelib.wire.untrusted import Json

ID: Final = re.compile(r"[0-9a-f]{24}")
LARGEST_DOCUMENT: Final = 1 << 20
"""Bytes of a document as it is answered."""
LARGEST_ROW: Final = 380_000
"""Bytes of what a row keeps of it; DynamoDB takes 400 KB."""
PAGE: Final = 100
"""So many rooms are read in one call."""
TRIES: Final = 20
LARGEST_LIMIT: Final = 2**31 - 1
REMEMBERED: Final = 64
"""So many documents stay in memory, by what they are stored as."""
LARGEST_REMEMBERED: Final = 16_000
"""Bytes of such a document as it is answered."""

_PREFIX: Final = len(keys.owt_room_partition(""))
_incarnations: Final = msgspec.json.Decoder(dict[str, Incarnation])

T = TypeVar("T")


class RoomRow(Item):
    """A room.

    `participant_limit` and `input_limit` are numbers to compare counts with, whatever the document says of
    limits.  Every PUT makes `version` one more; `by` names the last one.
    """

    service = UnicodeAttribute()
    doc = BinaryAttribute(legacy_encoding=False)
    sip_password = BinaryAttribute(legacy_encoding=False, null=True)
    vids = UnicodeAttribute()
    version = NumberAttribute()
    by = UnicodeAttribute()
    participant_limit = NumberAttribute()
    input_limit = NumberAttribute()
    participants = NumberAttribute(default=0)
    inputs = NumberAttribute(default=0)
    """Forward streams that `inputLimit` is about: all but those of analytics."""
    others = NumberAttribute(default=0)
    """Streams of analytics, and subscriptions."""


class ListedRoomRow(Item):
    """That a service has a room."""


class RoomPurgeRow(OwedRow):
    """A deleted room whose children still have to go."""


class _Kept:
    """A room's document as JSON, and read once that is needed."""

    def __init__(self, room_id: str, text: bytes) -> None:
        self.room_id, self.text = room_id, text

    @cached_property
    def room(self) -> Room:
        return Room(self.room_id, {"_id": self.room_id, **packed.read(self.text)})


@lru_cache(maxsize=REMEMBERED)
def _remembered(room_id: str, doc: bytes) -> _Kept | None:
    """The document that a room has stored as this, unless it is too large to stay in memory."""
    text = packed.unpack(doc)
    return _Kept(room_id, text) if len(text) <= LARGEST_REMEMBERED else None


class RoomState:
    """A room as it was read; its document is looked at only when it is needed."""

    def __init__(self, row: RoomRow, text: bytes | None = None) -> None:
        """`text` is the document as JSON, where that is known."""
        self.row: Final[RoomRow] = row
        self.id: Final[str] = row.pk[_PREFIX:]
        self.service: Final[str] = row.service
        self.version: Final[int] = int(row.version)
        """More by one with each PUT."""
        self._kept: _Kept | None = _Kept(self.id, text) if text is not None else None

    @property
    def text(self) -> bytes:
        """The document as JSON, without `_id` and without the password of its SIP account."""
        return self._read().text

    @property
    def room(self) -> Room:
        """The room; its document lacks `sip.password`, which only `answer` shows."""
        return self._read().room

    def _read(self) -> _Kept:
        if self._kept is None:
            doc = self.row.doc
            self._kept = _remembered(self.id, doc) or _Kept(self.id, packed.unpack(doc))
        return self._kept

    @cached_property
    def incarnations(self) -> Incarnations:
        """The incarnations of the views, by label, in the order of the views."""
        return _incarnations.decode(self.row.vids)

    @cached_property
    def vids(self) -> Mapping[str, str]:
        """The ids of the views' incarnations, by label, in the order of the views."""
        return {label: each.vid for label, each in self.incarnations.items()}

    @cached_property
    def looks(self) -> Mapping[str, int]:
        """By vid: the version in which the view's video last changed.

        What callers set in a view's layout holds for one look: keep it with the layout, and take a layout
        of another look for none.
        """
        return {each.vid: each.look for each in self.incarnations.values()}

    @property
    def participants(self) -> int:
        """How many participants are there."""
        return int(self.row.participants)

    @property
    def inputs(self) -> int:
        """How many streams are there that `inputLimit` is about."""
        return int(self.row.inputs)

    @property
    def others(self) -> int:
        """How many other streams and subscriptions are there."""
        return int(self.row.others)

    @property
    def children(self) -> int:
        """How many participants, streams and subscriptions are there."""
        return self.participants + self.inputs + self.others

    def answer(self) -> msgspec.Raw:
        """The document as it is answered.  Raises `Unavailable`."""
        text, sealed = self.text, self.row.sip_password
        if sealed is not None:
            password = vault.unseal(sealed, keys.owt_room(self.id))
            text = packed.spell(room.with_password(packed.read(text), password))
        return msgspec.Raw(b'{"_id":"' + self.id.encode() + b'",' + text[1:])


def create(service_id: str, document: Document, *, check_service: bool) -> RoomState:
    """Make a room, and list it, in one transaction.

    The super service needs no row, so `check_service` is off for it.  Raises `BadData` for a document that
    is too large, `Unauthenticated` for a service that was deleted, `Unavailable`.
    """
    room_id = ids.rising(clock.now())
    made = new(room_id, service_id, document)
    parts: list[Part] = [
        Put(made.row, ABSENT),
        Put(ListedRoomRow(*keys.owt_room_listed(service_id, room_id))),
    ]
    if check_service:
        parts.append(Check(keys.owt_service(service_id), STANDS))
    try:
        writes.transact(parts)
    except Cancelled as cancelled:
        if 0 in cancelled.failed:
            raise Unavailable("the id of a new room is taken") from None
        raise Unauthenticated("the service was deleted") from None
    return made


def new(room_id: str, service_id: str, document: Document) -> RoomState:
    """A new room, which nothing is stored of yet.  Raises `BadData`, `Unavailable`."""
    where = keys.owt_room(room_id)
    kept, password = room.without_password(document)
    text = _spelled(kept)
    row = RoomRow(
        *where,
        service=service_id,
        doc=packed.pack(text),
        vids=_spell_vids(room.incarnations(document, 1, _new_vid)),
        version=1,
        by=_new_vid(),
        participant_limit=room.participant_limit(document),
        input_limit=room.input_limit(document),
        sip_password=vault.seal(password, where) if password is not None else None,
    )
    _check_size(row.doc, row.vids, row.sip_password)
    return RoomState(row, text)


def _spelled(document: Mapping[str, Any]) -> bytes:
    """Raises `BadData`."""
    text = packed.spell(document)
    if len(text) > LARGEST_DOCUMENT:
        raise BadData(f"the room has more than {LARGEST_DOCUMENT} bytes")
    return text


def _check_size(doc: bytes, vids: str, password: bytes | None) -> None:
    """Raises `BadData`."""
    if len(doc) + len(vids) + len(password or b"") > LARGEST_ROW:
        raise BadData("the room is too large to be stored")


def _new_vid() -> str:
    return ids.new(8)


def _spell_vids(found: Incarnations) -> str:
    return msgspec.json.encode(found).decode()


def read(service_id: str, room_id: str) -> RoomState:
    """A room of the service, by one read.  Raises `NoRoom`, `Unavailable`."""
    row = writes.get(RoomRow, *keys.owt_room(checked(room_id)), consistent=True)
    return state(service_id, row)


def read_for(service_id: str, every: bool, room_id: str) -> RoomState:
    """A room that a service may act on in the media plane: one of its own, or `every` one; by one read.

    Raises `NoRoom`, `Unavailable`.
    """
    row = writes.get(RoomRow, *keys.owt_room(checked(room_id)), consistent=True)
    return state(row.service if every and row is not None else service_id, row)


def checked(room_id: str) -> str:
    """The id, if a room may have it; others need not be looked for.  Raises `NoRoom`."""
    if not ID.fullmatch(room_id):
        raise NoRoom(room_id)
    return room_id


def state(service_id: str, row: RoomRow | None) -> RoomState:
    """A room that was read, if it is the service's.  Raises `NoRoom`."""
    if row is None or row.service != service_id:
        raise NoRoom(service_id)
    return RoomState(row)


def from_raw(service_id: str, raw: Raw | None) -> RoomState:
    """The same of an item.  Raises `NoRoom`."""
    return state(service_id, writes.read(RoomRow, raw))


def page(service_id: str, skip: int = 0, count: int | None = None) -> Iterator[list[RoomState]]:
    """A service's rooms in the order of creation, some hundred at a time.  Raises `Unavailable`."""
    found = listed(service_id, skip, count)
    for at in range(0, len(found), PAGE):
        wanted = [keys.owt_room(room_id) for room_id in found[at : at + PAGE]]
        raws = writes.get_many(wanted)
        # A room that was deleted a moment ago is not there.
        rows = [writes.read(RoomRow, raws.get(key)) for key in wanted]
        yield [RoomState(row) for row in rows if row is not None and row.service == service_id]


def listed(service_id: str, skip: int = 0, count: int | None = None) -> list[str]:
    """The ids of a service's rooms, in the order of creation.  Raises `Unavailable`."""
    last = None if count is None else skip + count
    found: list[str] = []
    start: Mapping[str, Any] | None = None
    while last is None or len(found) < last:
        limit = None if last is None else min(last - len(found), LARGEST_LIMIT)
        rows, start = writes.query(
            ListedRoomRow, keys.owt_rooms(service_id), consistent=True, limit=limit, start=start
        )
        found += [row.sk for row in rows]
        if start is None:
            break
    return found[skip:last]


def listed_after(service_id: str, room_id: str, limit: int) -> tuple[list[RoomState], str | None]:
    """Some rooms of a service, behind one, for who looks on, and behind which id more may stand.

    Raises `Unavailable`.
    """
    start = writes.key(*keys.owt_room_listed(service_id, room_id)) if room_id else None
    rows, following = writes.query(ListedRoomRow, keys.owt_rooms(service_id), limit=limit, start=start)
    raws = writes.get_all([keys.owt_room(row.sk) for row in rows], consistent=False)
    found = [RoomState(RoomRow.from_raw_data(raw)) for raw in raws.values()]
    states = sorted((each for each in found if each.service == service_id), key=lambda each: each.id)
    return states, following["sk"]["S"] if following is not None else None


def replace(
    known: RoomState, body: Json, also: Callable[[int], Sequence[Part]] = lambda _: ()
) -> tuple[RoomState, Key | None]:
    """Have a PUT take effect on the room as it is then, whoever else changes it meanwhile.

    Views that it takes away end in the same write; the key of the row that owes the rest, for `purge.end`.
    `also` gives the other parts of the write, without conditions, of the version that it leads to.
    Raises `NoRoom`, `BadData`, `Unavailable`.
    """
    by = _new_vid()
    owed: Key | None = None
    for _ in range(TRIES):
        document = room.merge(known.room.document, body)
        changes, gone = _changes(known, document, body, by)
        ended = ended_row(known.id, VIEW, gone) if gone else None
        owed = Key(ended.pk, ended.sk) if ended is not None else None
        try:
            _write(known, changes, ended, also(known.version + 1))
        except (Refused, Cancelled) as refused:
            known = state(known.service, _stood(refused))
            if known.row.by == by:  # it was written, and the answer lost
                return known, owed
        else:
            return RoomState(known.row.but(**changes)), owed
    raise Unavailable("the room is changed again and again")


def _stood(refused: Refused | Cancelled) -> RoomRow | None:
    return refused.row(RoomRow) if isinstance(refused, Refused) else refused.row(0, RoomRow)


def _changes(known: RoomState, document: Document, body: Json, by: str) -> tuple[dict[str, Any], list[str]]:
    """What a PUT makes of the row, and the ids of the views that it takes away.

    Raises `BadData`, `Unavailable`.
    """
    kept, password = room.without_password(document)
    version = known.version + 1
    views = room.incarnations(document, version, _new_vid, known.room.document, known.incarnations)
    sealed: bytes | None = known.row.sip_password
    if isinstance(body, dict) and body.get("sip") is not None:
        sealed = vault.seal(password, keys.owt_room(known.id)) if password is not None else None
    doc, vids = packed.pack(_spelled(kept)), _spell_vids(views)
    _check_size(doc, vids, sealed)
    changes = {
        "doc": doc,
        "vids": vids,
        "version": version,
        "by": by,
        "participant_limit": room.participant_limit(document),
        "input_limit": room.input_limit(document),
        "sip_password": sealed,
    }
    stay = {each.vid for each in views.values()}
    return changes, [each.vid for each in known.incarnations.values() if each.vid not in stay]


def _write(
    known: RoomState, changes: Mapping[str, Any], ended: EndedRow | None, also: Sequence[Part]
) -> None:
    """Raises `Refused`, `Cancelled`, `Unavailable`."""
    where = keys.owt_room(known.id)
    condition = Same(RoomRow.service, known.service) & Same(RoomRow.version, known.version)
    actions = assign_all(RoomRow, changes)
    besides = [*([Put(ended)] if ended is not None else []), *also]
    if not besides:
        writes.update(*where, actions, condition)
    else:
        writes.transact([Change(where, actions, condition), *besides])


def delete(service_id: str, room_id: str, also: Sequence[Part] = ()) -> None:
    """Remove a room; what was in it is not there from now on, and its rows are owed.

    `also` is any other part of the transaction, without a condition.  Raises `NoRoom`, `Unavailable`.
    """
    owed = keys.owt_room_purge(checked(room_id))
    due = keys.due(PURGE, owed.pk)
    parts: list[Part] = [
        Remove(keys.owt_room(room_id), Same(RoomRow.service, service_id)),
        Remove(keys.owt_room_listed(service_id, room_id)),
        Put(RoomPurgeRow(*owed, due=due, due_at=clock.now(), attempts=0)),
        *also,
    ]
    try:
        writes.transact(parts)
    except Cancelled:
        raise NoRoom(room_id) from None
