"""Rows of what takes media out of a room: streaming-outs, recordings, calls and analytics.

What a subscription takes something of stands on its row as the set `sources`; once one of them has ended, the
subscription has too, whether its row is still there or not.  A call hangs on its own input as well.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from chalicelib.owt import stream as nouns
from chalicelib.owt.errors import BadData, NoResource, Refused
from chalicelib.owt.participant import SIP_ROLE
from chalicelib.owt.room import Room
from chalicelib.owt.store import children, ended, new_ids, participants, rooms, streams
from chalicelib.owt.store.children import Changed, Counts, Exists, Missing
from chalicelib.owt.store.commands import NOTHING, Beside, Write
from chalicelib.owt.store.ended import FORWARD, MIXED, Ended
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.stream import Forward, Media
from chalicelib.owt.subscription import Analysis, Call, Recording, StreamingOut, Subscription
from chalicelib.store import expressions, keys, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from chalicelib.store.expressions import Same, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Part, Raw

LARGEST_ROW: Final = 300_000
"""Bytes; DynamoDB takes 400 KB."""

NO_SOURCE: Final = "-"
"""Stands among the sources where there are none: a set is never empty."""

S = TypeVar("S", StreamingOut, Recording, Call, Analysis)
Sources = Mapping[str, Forward]
"""Forward streams by id."""


class SubscriptionRow(Item):
    """A streaming-out, recording, call or analytic."""

    document = UnicodeAttribute(attr_name="doc")
    sources = UnicodeSetAttribute()
    """`w<stream id>` and `v<vid>`, see `ended`; of a call, its own input too; `-` where there is none."""
    rev = NumberAttribute(default=0)
    node = UnicodeAttribute(null=True)
    """Which media node carries it."""
    pending = UnicodeAttribute(attr_name="pnd", null=True)
    """The command that it waits for; nobody sees it until then."""

    @property
    def id(self) -> str:
        """The subscription's id."""
        return str(self.sk).split("#", 2)[2]

    @property
    def kind(self) -> str:
        """Which kind of subscription it is."""
        return str(self.sk).split("#", 2)[1]

    @property
    def forward(self) -> list[str]:
        """Those of the sources that are forward streams."""
        return [source[1:] for source in self.sources if source[:1] == FORWARD]

    @property
    def views(self) -> list[str]:
        """The views' incarnations whose mixed streams are among the sources."""
        return [source[1:] for source in self.sources if source[:1] == MIXED]


class Found(msgspec.Struct, Generic[S], frozen=True):
    """A subscription that is there, as it was read with its room and its sources."""

    state: RoomState
    row: SubscriptionRow
    subscription: S
    forward: Sources
    """The streams that it takes something of and those that were asked for besides."""


# Reading


def listed(service_id: str, room_id: str, kind: type[S]) -> list[tuple[str, S]]:
    """The subscriptions of a kind in a room with their ids, oldest first, by one query.

    Raises `NoRoom`, `Unavailable`.
    """
    found = children.room_range(service_id, room_id, *children.SUBSCRIPTIONS)
    return [(row.id, _decode(row, kind)) for row in _standing(found.of(_prefix(kind)), found.ended)]


def calls(service_id: str, room_id: str) -> tuple[RoomState, list[tuple[str, Call, Forward | None]]]:
    """The calls of a room with their ids and their inputs, oldest first, by one query.

    Raises `NoRoom`, `Unavailable`.
    """
    found = children.room_range(service_id, room_id, children.STREAMS[0], children.SUBSCRIPTIONS[1])
    heard = _by_id(found.of("w#"))
    rows = [
        row for row in _standing(found.of(_prefix(Call)), found.ended) if not found.ended.participant(row.id)
    ]
    read = [(row.id, _decode(row, Call)) for row in rows]
    return found.state, [
        (name, call, heard.get(call.input)) for name, call in read if not call.input or call.input in heard
    ]


def _prefix(kind: type[Subscription]) -> str:
    return keys.owt_subscription("", kind.kind, "").sk


def _standing(raws: Iterable[Raw], gone: Ended) -> list[SubscriptionRow]:
    rows = (SubscriptionRow.from_raw_data(raw) for raw in raws)
    return [row for row in rows if row.pending is None and not gone.sources(row.sources)]


def _decode(row: SubscriptionRow, kind: type[S]) -> S:
    return msgspec.json.decode(row.document, type=kind)


def find(
    service_id: str, room_id: str, kind: type[S], identity: str, besides: Iterable[str] = ()
) -> Found[S]:
    """A subscription, with the streams that it has or would have as sources `besides`: two reads.

    The room is read with the subscription only: a change that is decided upon has the version of it as a
    condition.  Raises `NoRoom`, `NoResource` (also for an id of another kind), `Unavailable`.
    """
    if not nouns.ID.fullmatch(identity):
        rooms.read(service_id, room_id)
        raise NoResource(identity)
    own = keys.owt_subscription(room_id, kind.kind, identity)
    state, (raw,) = children.some(service_id, room_id, own)
    row = writes.read(SubscriptionRow, raw)
    if row is None or row.pending is not None:
        raise NoResource(identity)
    names, views = row.forward, row.views
    wanted = _stream_keys(room_id, names + list(besides))
    caller = _caller(room_id, kind, identity)
    found = writes.get_many(wanted + caller)
    forward = _by_id(found.get(key) for key in wanted)
    if (
        not forward.keys() >= set(names)
        or (views and not set(state.vids.values()) >= set(views))
        or not all(key in found for key in caller)
    ):
        raise NoResource(identity)
    return Found(state, row, _decode(row, kind), forward)


def _caller(room_id: str, kind: type[Subscription], identity: str) -> list[Key]:
    """Where the participant stands that a call hangs on."""
    return [keys.owt_participant(room_id, identity)] if kind is Call else []


def _sources(service_id: str, room_id: str, wanted: Iterable[str]) -> tuple[RoomState, Sources]:
    """The room, and those of the wanted streams that are forward ones of it: one read."""
    state, raws = children.some(service_id, room_id, *_stream_keys(room_id, wanted))
    return state, _by_id(raws)


def _stream_keys(room_id: str, wanted: Iterable[str]) -> list[Key]:
    """Where those of the wanted streams stand that can be forward ones."""
    return [keys.owt_stream(room_id, name) for name in dict.fromkeys(wanted) if nouns.ID.fullmatch(name)]


def _by_id(raws: Iterable[Raw | None]) -> Sources:
    read = (streams.of_raw(raw) for raw in raws)
    return {stream.id: stream for stream in read if stream is not None}


# Making


def create(
    service_id: str,
    room_id: str,
    sources: Sequence[str],
    decide: Callable[[str, Room, Sources], S],
    beside: Callable[[str, S], Beside] = lambda *_: NOTHING,
) -> tuple[str, S]:
    """A new subscription of these sources with its id: what `decide` makes of id, room and forward streams.

    It stands if the room and the sources then are as `decide` has seen them; what goes `beside` it is written
    in the same transaction.  Raises `NoRoom`, `Refused`,
    `Unavailable`, and what `decide` raises.
    """

    def once() -> tuple[str, S]:
        state, forward = _sources(service_id, room_id, sources)
        identity = new_ids.child()
        made = decide(identity, state.room, forward)
        row, written = _row(state, identity, made), beside(identity, made)
        row.pending = written.pending
        try:
            children.add(
                state,
                [row],
                Counts(others=1),
                streams=row.forward,
                unchanged=True,
                also=written.parts,
            )
        except Exists:
            raise Changed("a new id was taken") from None
        return identity, made

    return children.decided(once)


def _row(state: RoomState, identity: str, made: Subscription) -> SubscriptionRow:
    """Raises `BadData` where there is too much of it to be kept."""
    return SubscriptionRow(
        *keys.owt_subscription(state.id, made.kind, identity),
        document=_spell(made),
        sources=_spell_sources(state, made),
    )


def _spell(made: Subscription) -> str:
    """Raises `BadData` where there is too much of it to be kept."""
    text = msgspec.json.encode(made)
    if len(text) > LARGEST_ROW:
        raise BadData(f"a subscription is kept in at most {LARGEST_ROW} bytes")
    return text.decode()


def with_facts(row: SubscriptionRow, url: str | None, storage: tuple[str, str] | None) -> dict[str, Any]:
    """What changes on the row of an output whose worker has told where that goes.

    Raises `BadData` where there is too much of it to be kept.
    """
    kind = str(row.sk).split("#", 2)[1]
    made: StreamingOut | Recording
    if kind == StreamingOut.kind and url is not None:
        made = msgspec.structs.replace(_decode(row, StreamingOut), url=url)
    elif kind == Recording.kind and storage is not None:
        host, file = storage
        made = msgspec.structs.replace(_decode(row, Recording), host=host, file=file)
    else:
        return {}
    return {"document": _spell(made)}


def _spell_sources(state: RoomState, made: Subscription) -> set[str]:
    found = {_source(state, name) for name in made.chosen.sources}
    if isinstance(made, Call) and made.input:
        found.add(ended.forward_source(made.input))
    return found or {NO_SOURCE}


def _source(state: RoomState, name: str) -> str:
    view = nouns.view_of(state.room, name)
    if view is None:
        return ended.forward_source(name)
    return ended.mixed_source(state.vids[view["label"]])


def create_call(
    service_id: str,
    room_id: str,
    sources: Sequence[str],
    decide: Callable[[str, Room, Sources], tuple[Call, Media]],
    beside: Callable[[str, Call], Beside] = lambda *_: NOTHING,
) -> tuple[str, Call, Forward, RoomState]:
    """A new call with its id, its input and the room: call, participant, input and what goes `beside` them,
    all or none.

    `decide` makes the call, and the tracks of its input, of the input's id, room and forward streams.  Raises
    `NoRoom`, `Refused` (also for either limit), `Unavailable`, and what `decide` raises.
    """

    def once() -> tuple[str, Call, Forward, RoomState]:
        state, forward = _sources(service_id, room_id, sources)
        identity, heard_id = new_ids.child(), new_ids.child()
        made, media = decide(heard_id, state.room, forward)
        heard = Forward(heard_id, media, identity, "sip", arrived=streams.now())
        row, written = _row(state, identity, made), beside(identity, made)
        caller = participants.new_row(state, identity, made.peer, SIP_ROLE)
        stream = streams.new_row(room_id, heard)
        row.pending = caller.pending = stream.pending = written.pending
        needed = [name for name in row.forward if name != heard_id]
        try:
            children.add(
                state,
                [row, caller, stream],
                Counts(1, 1, 1),
                streams=needed,
                unchanged=True,
                also=written.parts,
            )
        except Exists:
            raise Changed("a new id was taken") from None
        return identity, made, heard, state

    return children.decided(once)


# Changing


def change(
    service_id: str,
    room_id: str,
    kind: type[S],
    identity: str,
    besides: Sequence[str],
    decide: Callable[[S, Room, Sources], S],
    order: Callable[[S, Write], None] = lambda _, write: write(()),
) -> Found[S]:
    """A subscription after `decide` has made another one of it, the streams `besides` at hand: one write,
    which `order` has made, and nothing where nothing changes.

    Raises `NoRoom`, `NoResource`, `Refused`, `Unavailable`, and what `decide` and `order` raise.
    """

    def once() -> Found[S]:
        found = find(service_id, room_id, kind, identity, besides)
        made = decide(found.subscription, found.state.room, found.forward)
        if made == found.subscription:
            return found
        changes = _changes(found.state, made)
        row: SubscriptionRow = found.row.but(**changes)
        order(made, lambda also: _replace(found.state, row, changes, also))
        return Found(found.state, row, made, found.forward)

    return children.decided(once)


def _replace(
    state: RoomState, row: SubscriptionRow, changes: Mapping[str, Any], also: Sequence[Part]
) -> None:
    """Raises `Changed` when room, sources or subscription are not as they were found."""
    also = [_written(row, changes), *also]
    try:
        children.add(state, [], Counts(), streams=row.forward, unchanged=True, also=also)
    except (Cancelled, Refused):
        raise Changed("the subscription or one of its sources has changed") from None


def _changes(state: RoomState, made: Subscription) -> dict[str, Any]:
    """What makes a row keep another subscription.  Raises `BadData`."""
    return {"document": _spell(made), "sources": _spell_sources(state, made)}


def _written(row: SubscriptionRow, changes: Mapping[str, Any]) -> Part:
    """The part that changes a row, if it is still as it was read."""
    actions = [*assign_all(SubscriptionRow, changes), expressions.add(SubscriptionRow.rev, 1)]
    return Change(Key(row.pk, row.sk), actions, Same(SubscriptionRow.rev, row.rev))


# What media workers report


def of_row(row: SubscriptionRow, kind: type[S]) -> S:
    """The subscription that a row keeps, which is of this kind."""
    return _decode(row, kind)


def new_row(state: RoomState, identity: str, made: Subscription) -> SubscriptionRow:
    """The row of a new subscription.  Raises `BadData`."""
    return _row(state, identity, made)


def replacing(state: RoomState, row: SubscriptionRow, made: Subscription, node: str = "") -> Part:
    """What makes a subscription another one, perhaps on a media node, if it is still as it was read.

    Raises `BadData`.
    """
    return _written(row, _changes(state, made) | ({"node": node} if node else {}))


# Ending


def remove(
    service_id: str, room_id: str, kind: type[S], identity: str, also: Sequence[Part] = ()
) -> list[Key]:
    """End a subscription; a call with its participant and its input.

    `also` is any other part of the transaction, without a condition.  Have `purge.end` serve what is
    returned.  Raises `NoRoom`, `NoResource`, `Unavailable`.
    """
    found = find(service_id, room_id, kind, identity)
    wanted, counts, gone = rows_of(room_id, identity, found.subscription)
    try:
        return children.remove(found.state, wanted, counts, gone, also=also)
    except Missing:
        raise NoResource(identity) from None


def rows_of(
    room_id: str, identity: str, subscription: Subscription
) -> tuple[list[Key], Counts, list[tuple[str, str]]]:
    """The rows that go with a subscription, what they are counted as, and what ends with them."""
    own = keys.owt_subscription(room_id, subscription.kind, identity)
    if not isinstance(subscription, Call):
        return [own], Counts(others=1), []
    rows, heard = [own, keys.owt_participant(room_id, identity)], subscription.input
    if not heard:  # it may come at this moment, and hangs on the participant then
        return rows, Counts(participants=1, others=1), [(ended.PARTICIPANT, identity)]
    return [*rows, keys.owt_stream(room_id, heard)], Counts(1, 1, 1), [(ended.STREAM, heard)]
