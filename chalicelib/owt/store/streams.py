"""Rows of forward streams, and of what callers have set in views."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.owt import stream as streams
from chalicelib.owt.errors import BadData, NoStream, Refused
from chalicelib.owt.layout import Arrangement, Picture, Place
from chalicelib.owt.store import children, ended, new_ids, rooms
from chalicelib.owt.store.children import Changed, Counts, Exists, Missing
from chalicelib.owt.store.commands import NOTHING, Beside
from chalicelib.owt.store.rooms import RoomRow, RoomState
from chalicelib.owt.stream import Connection, Forward, Media
from chalicelib.store import keys, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import ABSENT, Same, assign, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Check, Part, Raw

LARGEST_ROW: Final = 300_000
"""Bytes of what a caller may have kept with a stream; DynamoDB takes 400 KB."""
MICROSECONDS: Final = 1_000_000


class StreamRow(Item):
    """A forward stream; every change gives it a new `rev`."""

    media = UnicodeAttribute()
    owner = UnicodeAttribute()
    type = UnicodeAttribute()
    attributes = UnicodeAttribute(attr_name="att", null=True)
    connection = UnicodeAttribute(attr_name="con", null=True)
    arrived = NumberAttribute()
    """Microseconds since the epoch."""
    views = UnicodeAttribute(default="{}")
    rev = UnicodeAttribute()
    node = UnicodeAttribute(null=True)
    """Which media node carries it."""
    pending = UnicodeAttribute(attr_name="pnd", null=True)
    """The command that it waits for; nobody sees it until then."""
    reported = NumberAttribute(attr_name="ver", null=True)
    """The version of the last report about its media, where reports have versions."""


class ViewRow(Item):
    """What callers have set in one incarnation of a view, and the last addition to its inputs.

    `change` is another text after each addition: an arrangement that was made for another one, or for inputs
    that are not those there are, only says in which order they fill its regions.  Of streams that leave,
    nothing needs to be noted, for they never come back as the same input.
    """

    arrangement = UnicodeAttribute(attr_name="arr", null=True)
    look = NumberAttribute(null=True)
    change = UnicodeAttribute(attr_name="chg", null=True)
    rev = UnicodeAttribute(null=True)
    shown = UnicodeAttribute(null=True)
    """What the mixer says it shows, until something is set or comes in."""

    def places(self, look: int) -> tuple[Place, ...] | None:
        """What the mixer says it shows, if nothing was set or came in since, and the view looks as it did."""
        if self.shown is None:
            return None
        kept = _shown.decode(self.shown)
        as_then = (kept.look, kept.change, kept.rev) == (look, self.change, self.rev)
        return kept.places if as_then else None


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a mixer says it shows of a view that then looked like this."""

    places: tuple[Place, ...]
    look: int
    change: str | None = None
    rev: str | None = None


_media = msgspec.json.Decoder(Media)
_views = msgspec.json.Decoder(dict[str, int])
_attributes = msgspec.json.Decoder(dict[str, Any])
_arrangement = msgspec.json.Decoder(Arrangement)
_shown = msgspec.json.Decoder(Shown)


def _spell(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def now() -> int:
    """The time as streams keep it: microseconds since the epoch."""
    return int(clock.now() * MICROSECONDS)


def of_row(row: StreamRow) -> Forward:
    """The stream that a row keeps."""
    kept = row.attribute_values  # a list may have many streams, and each look at an attribute takes longer
    attributes = kept.get("attributes")
    return Forward(
        id=kept["sk"].partition("#")[2],
        media=_media.decode(kept["media"]),
        owner=kept["owner"],
        type=kept["type"],
        attributes=_attributes.decode(attributes) if attributes is not None else None,
        arrived=int(kept["arrived"]),
        views=_views.decode(kept["views"]),
    )


def of_raw(raw: Raw | None) -> Forward | None:
    """The stream that an item keeps, unless it waits for a command."""
    row = writes.read(StreamRow, raw)
    return of_row(row) if row is not None and row.pending is None else None


def new_row(room_id: str, stream: Forward, connection: Connection | None = None) -> StreamRow:
    """Raises `BadData` where it is too large to be kept."""
    row = StreamRow(
        *keys.owt_stream(room_id, stream.id),
        media=_spell(stream.media),
        owner=stream.owner,
        type=stream.type,
        attributes=_spell(stream.attributes) if stream.attributes is not None else None,
        connection=_spell(connection) if connection is not None else None,
        arrived=stream.arrived,
        views=_spell(stream.views),
        rev=ids.new(),
    )
    kept = (row.media, row.attributes, row.connection)
    if sum(len(each.encode()) for each in kept if each is not None) > LARGEST_ROW:
        raise BadData(f"a stream is kept in at most {LARGEST_ROW} bytes")
    return row


def with_media(row: StreamRow, media: Media) -> str:
    """How a row keeps the tracks that a worker has found.  Raises `BadData` where they are too large."""
    text = _spell(streams.told(_media.decode(row.media), media))
    if len(text.encode()) + len((row.attributes or "").encode()) > LARGEST_ROW:
        raise BadData(f"a stream is kept in at most {LARGEST_ROW} bytes")
    return text


# Reading


@dataclass(frozen=True)
class Scene:
    """A room with its streams and views, as one query read them."""

    state: RoomState
    streams: Sequence[Forward]
    """The forward streams that have not ended, in the order of arrival."""
    views: Mapping[str, ViewRow]
    """What was set in views, by the ids of their incarnations."""
    active: bool
    """Whether callers see anything in the room, so that its mixed streams are listed (contract 8.1)."""

    @cached_property
    def forward(self) -> Mapping[str, Forward]:
        """The forward streams by id."""
        return {each.id: each for each in self.streams}

    def picture(self, view: Mapping[str, Any]) -> Picture:
        """A view with its inputs, and what was set in it as it looks now."""
        vid = self.state.vids[view["label"]]
        row = self.views.get(vid)
        known = row is not None and row.arrangement is not None and row.look == self.state.looks[vid]
        return Picture(
            view,
            streams.inputs(self.streams, vid),
            _arrangement.decode(row.arrangement) if known and row is not None else None,
            (row.change if row is not None else None) or "",
            row.places(self.state.looks[vid]) if row is not None else None,
        )


def scene(service_id: str, room_id: str) -> Scene:
    """A room and its streams, by one query.  Raises `NoRoom`, `Unavailable`."""
    return scene_of(children.room_range(service_id, room_id, *children.STREAMS))


def scene_of(found: children.Listing) -> Scene:
    """The same of what was read already."""
    rows = [StreamRow.from_raw_data(raw) for raw in found.of("w#")]
    waiting = [row for row in rows if "pending" in row.attribute_values]
    alive = [of_row(row) for row in rows if "pending" not in row.attribute_values]
    alive = [each for each in alive if not found.ended.stream(each.id, each.owner)]
    views = [ViewRow.from_raw_data(raw) for raw in found.of("v#")]
    # A call that waits is a participant, an input and a subscription.
    unseen = sum(3 if row.owner != streams.ADMIN else 1 for row in waiting)
    return Scene(
        found.state,
        sorted(alive, key=lambda each: (each.arrived, each.id)),
        {row.sk.partition("#")[2]: row for row in views},
        found.state.children > unseen,
    )


class Found(msgspec.Struct, frozen=True):
    """A forward stream beside its room."""

    state: RoomState
    stream: Forward
    rev: str


def find(service_id: str, room_id: str, stream_id: str) -> Found:
    """A forward stream that its room has a row of; whether its owner is still there is not looked at.

    By one read.  Raises `NoRoom`, `NoStream`, `Unavailable`.
    """
    if not streams.ID.fullmatch(stream_id):
        rooms.read(service_id, room_id)
        raise NoStream(stream_id)
    state, (raw,) = children.some(service_id, room_id, keys.owt_stream(room_id, stream_id))
    row = writes.read(StreamRow, raw)
    if row is None or row.pending is not None:
        raise NoStream(stream_id)
    return Found(state, of_row(row), row.rev)


def check_owner(found: Found) -> None:
    """See that the participant whom a stream belongs to has not ended; streaming-ins belong to nobody.

    Raises `NoStream`, `Unavailable`.
    """
    where = _owner_ended(found)
    if where is not None and writes.get(Item, *where, consistent=True) is not None:
        raise NoStream(found.stream.id)


def _owner_ended(found: Found) -> Key | None:
    """Where it says that the owner of a stream has ended."""
    if found.stream.owner == streams.ADMIN:
        return None
    return keys.owt_ended(found.state.id, ended.PARTICIPANT, found.stream.owner)


def _owner_there(found: Found) -> list[Part]:
    """The condition of a transaction that the owner of a stream, if it has one, has not ended."""
    where = _owner_ended(found)
    return [Check(where, ABSENT)] if where is not None else []


# Adding


def add_to(
    state: RoomState,
    stream: Forward,
    *,
    connection: Connection | None = None,
    beside: Callable[[Forward], Beside] = lambda _: NOTHING,
) -> Forward:
    """Bring a forward stream into a room as it was read, by one write, with what goes `beside` it.

    Without an `id` one is made.  Of several that come at once no more get in than `inputLimit` allows, which
    streams of analytics are not counted for.

    Raises `NoRoom`, `Refused` (the room is full, an id that is taken or cannot be one), `BadData` where there
    is too much of it to be kept, `Unavailable`; `Changed`: then read the room again.
    """
    made = stream if stream.id else msgspec.structs.replace(stream, id=new_ids.child())
    if not streams.ID.fullmatch(made.id) or made.id.startswith(f"{state.id}-"):
        raise Refused("this cannot be the id of a forward stream")
    written = beside(made)
    row = new_row(state.id, made, connection)
    row.pending = written.pending
    try:
        children.add(
            state,
            [row],
            count(made),
            unchanged=True,
            also=[*_noted(state.id, made.views), *written.parts],
        )
    except Exists:
        if stream.id:
            raise Refused("there is a stream with this id") from None
        raise Changed("a new id was taken") from None
    return made


def count(stream: Forward) -> Counts:
    """What a stream is counted as."""
    return Counts(inputs=1) if stream.counts else Counts(others=1)


def _noted(room_id: str, vids: Iterable[str]) -> list[Part]:
    """That something was added to the inputs of these views."""
    return [Change(keys.owt_view(room_id, vid), [assign(ViewRow.change, ids.new())]) for vid in vids]


# Changing


def store(found: Found, changed: Forward, also: Sequence[Part] = ()) -> None:
    """Have a forward stream be what it is after some changes, if it is still as it was found.

    One write, with whatever there is to write `also`; where it comes into a view, that the room's document is
    still the one that was read is a condition.  Raises `Changed`, `NoStream`, `Unavailable`.
    """
    room_id, rev, views = found.state.id, ids.new(), changed.views
    came = [vid for vid, at in views.items() if found.stream.views.get(vid) != at]
    parts: list[Part] = _owner_there(found)
    if came:
        # Only now it is sure that a view that is not there is not just newer than what was read.
        views = {vid: at for vid, at in views.items() if vid in found.state.looks}
        parts += [_unchanged(found.state), *_noted(room_id, came)]
    own = Change(
        keys.owt_stream(room_id, changed.id),
        assign_all(StreamRow, {"media": _spell(changed.media), "views": _spell(views), "rev": rev}),
        Same(StreamRow.rev, found.rev),
    )
    if not parts and not also:
        _update(own, rev)
        return
    try:
        writes.transact([own, *parts, *also])
    except Cancelled as cancelled:
        owner = _owner_ended(found)
        if 1 in cancelled.failed and parts and isinstance(parts[0], Check) and parts[0].key == owner:
            raise NoStream(changed.id) from None
        raise Changed("the stream or its room was changed") from None


def _update(own: Change, rev: str) -> None:
    """Make a change that gives a stream's row this `rev`.  Raises `Changed`, `Unavailable`."""
    try:
        writes.update(*own.key, own.actions, own.condition)
    except writes.Refused as refused:
        stood = refused.row(StreamRow)
        # Else it was written, and the answer lost.
        if stood is None or stood.rev != rev:
            raise Changed("the stream was changed") from None


def _unchanged(state: RoomState) -> Check:
    """The condition that the room's document is still the one that was read."""
    condition: Condition = Same(RoomRow.service, state.service) & Same(RoomRow.version, state.version)
    return Check(keys.owt_room(state.id), condition)


def arrange(scene: Scene, label: str, arrangement: Arrangement, also: Sequence[Part] = ()) -> None:
    """Keep what a caller has set in a view, if nobody else has set anything since.

    One write, with whatever there is to write `also`.  Raises `Changed`, `Unavailable`.
    """
    vid = scene.state.vids[label]
    row = scene.views.get(vid)
    before = row.rev if row is not None else None
    actions: list[Action] = [
        assign(ViewRow.arrangement, _spell(arrangement)),
        assign(ViewRow.look, scene.state.looks[vid]),
        assign(ViewRow.rev, ids.new()),
    ]
    condition = ViewRow.rev.does_not_exist() if before is None else Same(ViewRow.rev, before)
    own = Change(keys.owt_view(scene.state.id, vid), actions, condition)
    try:
        writes.transact([own, _unchanged(scene.state), *also])
    except Cancelled:
        raise Changed("the view or its room was changed") from None


# Removing


def remove(found: Found, also: Sequence[Part] = ()) -> list[Key]:
    """Take a forward stream out of its room; what is fed by it is gone from then on.

    `also` is any other part of the transaction, without a condition.  Have `purge.end` serve what is
    returned: the rows of that are owed.  Raises `NoRoom`, `NoStream`, `Unavailable`.
    """
    stream = found.stream
    try:
        return children.remove(
            found.state,
            [keys.owt_stream(found.state.id, stream.id)],
            count(stream),
            [(ended.STREAM, stream.id)],
            also=[*_owner_there(found), *also],
        )
    except (Missing, Cancelled):
        raise NoStream(stream.id) from None
