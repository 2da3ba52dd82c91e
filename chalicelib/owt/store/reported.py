"""What media workers report, written: each effect in one transaction with the row that says so.

A function here says which rows it leaves to be served by `purge.end`, or `None` where there is nothing that
it could change: the report is to be ignored then.  Each is to be called by `children.decided`.  All raise
`NoRoom`, `Duplicate`, `Changed`, `Unavailable`, and `Ending` while what hung on something of the same name
still ends: let `purge.finish` see to it, and try again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
from pynamodb.expressions.condition import Condition

from chalicelib import clock, ids
from chalicelib.errors import Conflict
from chalicelib.owt import stream as nouns
from chalicelib.owt import subscription
from chalicelib.owt.command import Command
from chalicelib.owt.errors import Refused
from chalicelib.owt.layout import Place
from chalicelib.owt.participant import SIP_ROLE, Flag
from chalicelib.owt.store import (
    children,
    commands,
    ended,
    new_ids,
    participants,
    streams,
    subscriptions,
)
from chalicelib.owt.store.children import Changed, Counts, Exists
from chalicelib.owt.store.ended import Ending
from chalicelib.owt.store.participants import ParticipantRow
from chalicelib.owt.store.rooms import RoomRow, RoomState
from chalicelib.owt.store.streams import Shown, StreamRow, ViewRow
from chalicelib.owt.store.subscriptions import SubscriptionRow
from chalicelib.owt.stream import ADMIN, ID, Forward, Media
from chalicelib.owt.subscription import Analysis, Call, Recording, StreamingOut
from chalicelib.store import expressions, keys, writes
from chalicelib.store.attributes import UnicodeAttribute
from chalicelib.store.expressions import ABSENT, STANDS, Same, assign, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Check, Part, Put, Raw, Remove

KNOWN_S: Final = 86400
"""For how long a report is known, so that the same one is not taken in twice."""
OUTPUTS: Final = (StreamingOut, Recording, Analysis)
SIP: Final = "sip"

Done: TypeAlias = list[Key] | None


class Duplicate(Conflict):
    """The report was taken in before."""


class ReportRow(Item):
    """That a report was taken in, and by which attempt."""

    by = UnicodeAttribute()


@dataclass(frozen=True)
class Taking:
    """A report that is being taken in: of which room, under which id, about which media node.

    Without a `report` nothing is noted, and the same may be done again.
    """

    service: str
    room: str
    report: str = ""
    node: str = ""
    also: Sequence[Part] = ()
    """What else is written with something that comes in, or changes."""

    @property
    def noted(self) -> list[Put]:
        """What notes the report, provided that nobody else has."""
        if not self.report:
            return []
        where, now = keys.owt_report(self.room, self.report), int(clock.now())
        row = ReportRow(*where, by=ids.new(), expires_at=now + KNOWN_S)
        return [Put(row, ABSENT | (ReportRow.expires_at <= now))]

    @property
    def parts(self) -> list[Part]:
        """The same, and that what the node carried before has gone."""
        there = [Check(ended.node_key(self.room, self.node), ABSENT)] if self.node else []
        return [*self.noted, *there, *self.also]

    def read(self, *wanted: Key, gone: Sequence[Key] = ()) -> tuple[RoomState, list[Raw | None]]:
        """The room and these rows of it, by one read; of `gone` there may be none.

        Raises `NoRoom`, `Duplicate`, `Ending`, `Unavailable`.
        """
        own = [keys.owt_report(self.room, self.report)] if self.report else []
        none = [*gone, *([ended.node_key(self.room, self.node)] if self.node else [])]
        asked = list(dict.fromkeys([*own, *none, *wanted]))
        state, raws = children.some(self.service, self.room, *asked)
        found = dict(zip(asked, raws, strict=True))
        if own and _stands(found[own[0]]):
            raise Duplicate(self.report)
        for key in none:
            if found[key] is not None:
                raise Ending(key)
        return state, [found[key] for key in wanted]

    def write(self, parts: Sequence[Part], gone: Sequence[Key] = ()) -> None:
        """Make these writes and note the report, provided that there is none of `gone`.

        Raises `Changed`, `Ending`, `Unavailable`.
        """
        every = [*parts, *(Check(key, ABSENT) for key in gone), *self.parts]
        try:
            writes.transact(every)
        except Cancelled as cancelled:
            failed = {at - len(parts) for at in cancelled.failed}
            for at, key in enumerate(gone):
                if at in failed:
                    raise Ending(key) from None
            raise Changed("what the report is about was changed meanwhile") from None

    def add(self, state: RoomState, rows: Sequence[Item], counts: Counts, **more: Any) -> None:
        """Put new children into the room, and note the report.  Raises as `children.add` does."""
        also = [*more.pop("also", ()), *self.parts]
        try:
            children.add(state, rows, counts, also=also, **more)
        except (Exists, Cancelled):
            raise Changed("what the report is about was changed meanwhile") from None

    def remove(
        self,
        state: RoomState,
        wanted: Sequence[Key],
        counts: Counts,
        gone: Sequence[tuple[str, str]] = (),
        *,
        also: Sequence[Part] = (),
    ) -> list[Key]:
        """Take children out of the room, whether callers see them yet or not, and note the report.

        The keys of the rows that owe the rest.  Raises `Changed`, `Unavailable`.
        """
        owed = [ended.ended_row(state.id, what, [name]) for what, name in gone]
        standing = Same(RoomRow.service, state.service)
        parts: list[Part] = [children.change_of_counts(state.id, counts, -1, standing)]
        parts += [Remove(key, STANDS) for key in wanted]
        try:
            writes.transact([*parts, *also, *self.noted, *(Put(row) for row in owed)])
        except Cancelled:
            raise Changed("what the report is about was changed meanwhile") from None
        return [Key(row.pk, row.sk) for row in owed]


def _spell(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _stands(raw: Raw | None) -> bool:
    """Whether a report is known; DynamoDB removes the row later."""
    row = writes.read(ReportRow, raw)
    return row is not None and (row.expires_at or 0) > clock.now()


def known(room_id: str, reports: Sequence[str]) -> set[str]:
    """Those of some reports, at most 100, that were taken in before: one read.  Raises `Unavailable`."""
    wanted = {each: keys.owt_report(room_id, each) for each in dict.fromkeys(reports)}
    found = writes.get_many(list(wanted.values())) if wanted else {}
    return {each for each, key in wanted.items() if _stands(found.get(key))}


def ignore(on: Taking, made: Sequence[Command] = ()) -> None:
    """Note a report that changes nothing, with the commands that follow from that.

    Raises `Duplicate`, `Unavailable`.
    """
    noted, ordered = on.noted, commands.parts(made)
    try:
        if ordered:
            writes.transact([*noted, *ordered])
        elif noted:
            writes.put(noted[0].row, noted[0].condition)
    except (Cancelled, writes.Refused):
        raise Duplicate(on.report) from None
    commands.wake(made)


# Participants


def leave(on: Taking, participant_id: str) -> Done:
    """Somebody has left, and takes streams and a call along."""
    if not ID.fullmatch(participant_id):
        return None
    own = keys.owt_participant(on.room, participant_id)
    state, (raw,) = on.read(own)
    return _leave(on, state, participant_id) if raw is not None else None


def _leave(on: Taking, state: RoomState, participant_id: str) -> list[Key]:
    own = keys.owt_participant(on.room, participant_id)
    return on.remove(state, [own], Counts(participants=1), [(ended.PARTICIPANT, participant_id)])


# Streams


class Said(msgspec.Struct, frozen=True):
    """What a worker says of a stream's media."""

    media: Media
    version: int | None = None
    silent: frozenset[str] = frozenset()
    """The tracks of which it does not say whether they flow."""


def put_stream(on: Taking, wanted: Forward, said: Said) -> Done:
    """A stream is there: it comes in, or is what this says from now on if it was there.

    It does not come in without its owner, with a track that the owner may not publish, or when `inputLimit`
    is reached.
    """
    owner = "" if wanted.owner == ADMIN else wanted.owner
    own, gone = keys.owt_stream(on.room, wanted.id), keys.owt_ended(on.room, ended.STREAM, wanted.id)
    theirs = [keys.owt_participant(on.room, owner), keys.owt_subscription(on.room, Call.kind, owner)]
    state, (raw, *raws) = on.read(own, *(theirs if owner else ()), gone=[gone])
    row = writes.read(StreamRow, raw)
    if row is not None:
        call = writes.read(SubscriptionRow, raws[1]) if owner and wanted.type == SIP else None
        heard = _heard(state, call, wanted.id) if call is not None and _may_be_heard(row, owner) else []
        return _update(on, row, said, wanted.attributes, heard, owner if heard else "")
    also: list[Part] = []
    if owner:
        may = _may_publish(raws[0], said.media)
        if may is None:
            return None
        also.append(Check(theirs[0], may))
        if wanted.type == SIP and (call := writes.read(SubscriptionRow, raws[1])) is not None:
            also += _heard(state, call, wanted.id)
    arriving = msgspec.structs.replace(wanted, media=said.media, arrived=wanted.arrived or streams.now())
    made = streams.new_row(on.room, arriving)
    made.node, made.reported = on.node or None, said.version
    counts = Counts(inputs=1) if wanted.counts else Counts(others=1)
    try:
        on.add(state, [made], counts, also=also)
    except Refused:
        return None
    return []


def _may_publish(raw: Raw | None, media: Media) -> Condition | None:
    """The condition that a participant may publish these tracks; `None` where that is not so."""
    row = writes.read(ParticipantRow, raw)
    if row is None:
        return None
    condition = STANDS
    for track in ("audio", "video"):
        if getattr(media, track) is not None:
            attribute = participants.ATTRIBUTES[Flag("publish", track)]
            if getattr(row, f"publish_{track}") is not True:
                return None
            condition = condition & Same(attribute, True)
    return condition


def _heard(state: RoomState, row: SubscriptionRow, stream_id: str) -> list[Part]:
    """What makes a stream the input of a call that has none yet."""
    call = subscriptions.of_row(row, Call)
    if call.input:
        return []
    heard = msgspec.structs.replace(call, input=stream_id)
    return [subscriptions.replacing(state, row, heard)]


def _update(
    on: Taking,
    row: StreamRow,
    said: Said,
    attributes: Mapping[str, Any] | None = None,
    also: Sequence[Part] = (),
    owner: str = "",
) -> Done:
    """What a stream is from now on; with an `owner`, that of a call.  Raises as `Taking.write`."""
    if said.version is not None and row.reported is not None and said.version < int(row.reported):
        return None
    stood = streams.of_row(row)
    values: dict[str, Any] = {"media": _spell(_media(stood.media, said)), "rev": ids.new()}
    if attributes is not None:
        values["attributes"] = _spell(attributes)
    if said.version is not None:
        values["reported"] = said.version
    if on.node:
        values["node"] = on.node
    if owner:
        values |= {"owner": owner, "type": SIP}
    change = Change(Key(row.pk, row.sk), assign_all(StreamRow, values), Same(StreamRow.rev, row.rev))
    on.write([change, *also], _owner_gone(on.room, owner or stood.owner))
    return []


def _media(stood: Media, said: Said) -> Media:
    """The tracks as they are said to be; what is not said of one that was there stays."""
    tracks = {name: _track(getattr(stood, name), said, name) for name in ("audio", "video")}
    return Media(**tracks)


def _track(stood: Any, said: Said, name: str) -> Any:
    track = getattr(said.media, name)
    if track is None or stood is None:
        return track
    return msgspec.structs.replace(
        track,
        source=track.source or stood.source,
        status=stood.status if name in said.silent else track.status,
    )


def _owner_gone(room_id: str, owner: str) -> list[Key]:
    """Where it says that the owner of a stream has ended."""
    return [] if owner == ADMIN else [keys.owt_ended(room_id, ended.PARTICIPANT, owner)]


def update_stream(on: Taking, stream_id: str, said: Said) -> Done:
    """A stream that is there is what this says from now on; older news than what is known are nothing."""
    row = _find(on, stream_id)[1]
    return _update(on, row, said) if row is not None else None


def _find(on: Taking, stream_id: str) -> tuple[RoomState | None, StreamRow | None]:
    if not ID.fullmatch(stream_id):
        return None, None
    state, (raw,) = on.read(keys.owt_stream(on.room, stream_id))
    return state, writes.read(StreamRow, raw)


def remove_stream(on: Taking, stream_id: str) -> Done:
    """A stream is gone, with everything that had it as a source."""
    state, row = _find(on, stream_id)
    if state is None or row is None:
        return None
    gone = _owner_gone(on.room, row.owner)
    for key in gone:
        if writes.get(Item, *key, consistent=True) is not None:
            raise Ending(key)
    counts = Counts(inputs=1) if streams.of_row(row).counts else Counts(others=1)
    there = [Check(key, ABSENT) for key in gone]
    return on.remove(state, [Key(row.pk, row.sk)], counts, [(ended.STREAM, stream_id)], also=there)


# Streaming-outs, recordings, analytics


def _output(on: Taking, name: str) -> tuple[RoomState | None, SubscriptionRow | None]:
    if not ID.fullmatch(name):
        return None, None
    state, raws = on.read(*(keys.owt_subscription(on.room, kind.kind, name) for kind in OUTPUTS))
    return state, writes.read(SubscriptionRow, next((raw for raw in raws if raw is not None), None))


class Filled(msgspec.Struct, frozen=True):
    """What a worker says of an output that it has started."""

    url: str | None = None
    storage: tuple[str, str] | None = None
    """Host and file."""


def fill_output(on: Taking, name: str, filled: Filled) -> Done:
    """A streaming-out goes there, a recording is written to this file, or an analytic runs."""
    state, row = _output(on, name)
    if state is None or row is None or not set(state.vids.values()) >= set(row.views):
        return None
    made = _filled(row, filled)
    if made is None:
        return None
    try:
        change = subscriptions.replacing(state, row, made, node=on.node)
        on.add(state, [], Counts(), streams=row.forward, unchanged=True, also=[change])
    except Refused:  # a source has ended
        return None
    return []


def _filled(row: SubscriptionRow, filled: Filled) -> StreamingOut | Recording | Analysis | None:
    """The output as it is now; `None` where this is not about such a one."""
    match row.kind:
        case StreamingOut.kind if filled.storage is None:
            sent = subscriptions.of_row(row, StreamingOut)
            return msgspec.structs.replace(sent, url=filled.url or sent.url)
        case Recording.kind if filled.url is None:
            kept = subscriptions.of_row(row, Recording)
            host, file = filled.storage or (kept.host, kept.file)
            return msgspec.structs.replace(kept, host=host, file=file)
        case Analysis.kind:
            return subscriptions.of_row(row, Analysis)
    return None


def end_output(on: Taking, name: str) -> Done:
    """An output has ended."""
    state, row = _output(on, name)
    if state is None or row is None:
        return None
    return on.remove(state, [Key(row.pk, row.sk)], Counts(others=1))


# Calls


def add_call(on: Taking, call_id: str, peer: str, stream_id: str = "") -> Done:
    """Somebody has dialed in: a participant, a call, and as its input a stream that nobody owns.

    A call that is there and has no input gets one.  Where the room is full, or has no role for it, nothing is
    there.
    """
    own = keys.owt_subscription(on.room, Call.kind, call_id)
    participant = keys.owt_participant(on.room, call_id)
    heard = [keys.owt_stream(on.room, stream_id)] if ID.fullmatch(stream_id) else []
    gone = keys.owt_ended(on.room, ended.PARTICIPANT, call_id)
    state, (raw, taken, *raws) = on.read(own, participant, *heard, gone=[gone])
    row = writes.read(StreamRow, raws[0]) if heard else None
    if row is not None and not _may_be_heard(row, call_id):
        row = None
    call = writes.read(SubscriptionRow, raw)
    if call is not None:
        return _hear(on, state, call, row) if row is not None else None
    if taken is not None:
        return None
    media = streams.of_row(row).media if row is not None else None
    made = subscription.dialed_in(
        state.room, peer, stream_id if row is not None else "", new_ids.child(), media
    )
    try:
        joined = participants.new_row(state, call_id, peer, SIP_ROLE)
        added = subscriptions.new_row(state, call_id, made)
        joined.node = added.node = on.node or None
        also = [_to_call(row, call_id, on.node)] if row is not None else []
        on.add(state, [joined, added], Counts(participants=1, others=1), unchanged=True, also=also)
    except Refused:
        return None
    return []


def _hear(on: Taking, state: RoomState, call: SubscriptionRow, row: StreamRow) -> Done:
    """A stream becomes the input of a call that has none."""
    there = Check(keys.owt_participant(on.room, call.id), STANDS)
    parts = _heard(state, call, streams.of_row(row).id)
    if not parts:
        return None
    on.write([*parts, _to_call(row, call.id, on.node), there])
    return []


def _may_be_heard(row: StreamRow, call_id: str) -> bool:
    """Whether a stream can become that of a call: it is nobody else's, and counts as one of a call does."""
    return row.owner in (ADMIN, call_id) and row.type != nouns.ANALYTICS


def _to_call(row: StreamRow, call_id: str, node: str) -> Part:
    """What makes a stream that of a call."""
    values = {"owner": call_id, "type": SIP, "rev": ids.new()} | ({"node": node} if node else {})
    return Change(Key(row.pk, row.sk), assign_all(StreamRow, values), Same(StreamRow.rev, row.rev))


def end_call(on: Taking, call_id: str) -> Done:
    """Somebody has hung up: the call goes, with its participant and its input."""
    if not ID.fullmatch(call_id):
        return None
    state, found = on.read(
        keys.owt_subscription(on.room, Call.kind, call_id), keys.owt_participant(on.room, call_id)
    )
    return _leave(on, state, call_id) if all(raw is not None for raw in found) else None


# Views and nodes


def show(on: Taking, label: str, places: Sequence[Place]) -> Done:
    """The mixer shows this in a view, until something is set there or comes in."""
    state, _ = on.read()
    each = state.incarnations.get(label)
    view = state.room.view(label)
    if each is None or view is None or not view["video"]:
        return None
    where = keys.owt_view(on.room, each.vid)
    row = writes.get(ViewRow, *where, consistent=True)
    change, rev = (row.change, row.rev) if row is not None else (None, None)
    shown = Shown(tuple(places), each.look, change, rev)
    same = _still(ViewRow.change, change) & _still(ViewRow.rev, rev)
    unchanged = Same(RoomRow.service, state.service) & Same(RoomRow.version, state.version)
    on.write(
        [
            Change(where, [assign(ViewRow.shown, _spell(shown))], same),
            Check(keys.owt_room(on.room), unchanged),
        ]
    )
    return []


def _still(attribute: UnicodeAttribute, value: str | None) -> Condition:
    return expressions.absent(attribute) if value is None else Same(attribute, value)


def end_node(on: Taking, node: str) -> Done:
    """A media node is gone; whatever it carried is left to end, in as many writes as that takes."""
    state, _ = on.read()
    rows = writes.raw_rows(keys.owt_room_partition(on.room), at_least="p", at_most="y~")
    if not any(raw.get("node", {}).get("S") == node for raw in rows):
        return None
    row = ended.node_row(on.room, node)
    there = Check(keys.owt_room(on.room), Same(RoomRow.service, state.service))
    on.write([Put(row), there])
    return [Key(row.pk, row.sk)]
