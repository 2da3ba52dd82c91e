"""What may be done with streams, and how streaming-ins come in (contract section 8)."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chalicelib.errors import AppError, NotFound
from chalicelib.owt import layout, media_settings, purge
from chalicelib.owt import stream as streams
from chalicelib.owt.actions import orders
from chalicelib.owt.command import Command, Kind
from chalicelib.owt.errors import BadData, NoStream, Refused
from chalicelib.owt.store import children, commands, rooms
from chalicelib.owt.store import streams as store
from chalicelib.owt.store.commands import Order
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.store.streams import Found, Scene
from chalicelib.owt.stream import Change, Forward, Spelled, Version
from chalicelib.wire import patch
from chalicelib.wire.reply import can_be_sent
from chalicelib.wire.untrusted import Json

Body = Callable[[], Json]


# Looking


def listed(service_id: str, room_id: str, version: Version) -> list[Spelled]:
    """The mixed streams while the room is active, in the order of the views, then the forward ones.

    Raises `NoRoom`.
    """
    scene = store.scene(service_id, room_id)
    views = scene.state.room.views() if scene.active else ()
    mixed = [_spell_mixed(scene, scene.picture(view), version) for view in views]
    return mixed + [_spell(scene.state, each, version) for each in scene.streams]


def listing(service_id: str, room_id: str, version: Version) -> msgspec.Raw:
    """The same as it is answered.  Raises `NoRoom`; `BadData` when it is larger than what can be sent."""
    answer = msgspec.json.encode(listed(service_id, room_id, version))
    if not can_be_sent(answer):
        raise BadData("the list is larger than 6 MB: look at the streams one by one")
    return msgspec.Raw(answer)


def look(service_id: str, room_id: str, stream_id: str, version: Version) -> Spelled:
    """One stream.  Raises `NoRoom`, `NoStream`."""
    if _may_be_mixed(room_id, stream_id):
        scene, view = _find_mixed(service_id, room_id, stream_id)
        return _spell_mixed(scene, scene.picture(view), version)
    found = store.find(service_id, room_id, stream_id)
    store.check_owner(found)
    return _spell(found.state, found.stream, version)


def _spell(state: RoomState, stream: Forward, version: Version) -> Spelled:
    return streams.info(stream, state.room, streams.labels(stream, state.vids), version)


def _spell_mixed(scene: Scene, picture: layout.Picture, version: Version) -> Spelled:
    return streams.mixed(scene.state.room, picture.view, layout.shown(picture), version)


def _may_be_mixed(room_id: str, stream_id: str) -> bool:
    """Whether an id is none of a forward stream."""
    return stream_id.startswith(streams.mixed_id(room_id, ""))


def _find_mixed(service_id: str, room_id: str, stream_id: str) -> tuple[Scene, Mapping[str, Any]]:
    """The room, and the view of a mixed stream that is listed.  Raises `NoRoom`, `NoStream`."""
    scene = store.scene(service_id, room_id)
    view = streams.view_of(scene.state.room, stream_id)
    if view is None or not scene.active:
        raise NoStream(stream_id)
    return scene, view


# Changing


def change(service_id: str, room_id: str, stream_id: str, body: Body, version: Version) -> Spelled:
    """A stream after a list of updates, of which all take effect or none.

    Raises `NoRoom`, `NoStream`, then `ValidationError`, then `Refused`.
    """
    read = orders.once(body)
    return orders.changed(
        lambda order: changed(service_id, room_id, stream_id, read, version, order),
        lambda: look(service_id, room_id, stream_id, version),
        read,
    )


def changed(
    service_id: str, room_id: str, stream_id: str, body: Body, version: Version, order: Order
) -> Spelled:
    """The same with a write as `order` has it made."""
    known: list[list[Change]] = []

    def changes() -> list[Change]:
        if not known:
            known.append(streams.parse_changes(patch.parse(body())))
        return known[0]

    if _may_be_mixed(room_id, stream_id):
        return children.decided(
            lambda: _change_mixed(*_find_mixed(service_id, room_id, stream_id), changes(), version, order)
        )
    return children.decided(
        lambda: _change_forward(store.find(service_id, room_id, stream_id), changes, version, order)
    )


def _change_forward(
    found: Found, read_changes: Callable[[], list[Change]], version: Version, order: Order
) -> Spelled:
    try:
        changes = read_changes()
        changed = streams.change(found.stream, changes, found.state.vids, store.now())
    except AppError:
        # Who is not there answers before what is wrong with the request.
        store.check_owner(found)
        raise
    if changed != found.stream:
        if media_settings.get().confirms:
            store.check_owner(found)  # what is only tried now does not meet the condition of the write
        order(lambda: _command(found, changed), lambda also: store.store(found, changed, also))
    else:
        store.check_owner(found)
    return _spell(found.state, changed, version)


def _command(found: Found, changed: Forward) -> Command:
    """What workers follow a change of a stream with: one command, whatever has changed."""
    state = found.state
    into, out_of, status = streams.differences(found.stream, changed, state.vids)
    kind = Kind.STREAM_MIX if into else Kind.STREAM_UNMIX if out_of else Kind.STREAM_MUTE
    told = {"into": into, "outOf": out_of, "status": status}
    args = {name: value for name, value in told.items() if value}
    return commands.new(state.service, state.id, kind, changed.id, args)


def _change_mixed(
    scene: Scene, view: Mapping[str, Any], changes: list[Change], version: Version, order: Order
) -> Spelled:
    picture = scene.picture(view)
    changed = streams.arrange(picture, changes)
    kept = changed.set
    if kept is not None and changed != picture:
        label = view["label"]
        order(
            lambda: _layout_command(scene.state, changed),
            lambda also: store.arrange(scene, label, kept, also),
        )
    return _spell_mixed(scene, changed, version)


def _layout_command(state: RoomState, picture: layout.Picture) -> Command:
    label = picture.view["label"]
    args = {"view": label, "layout": [each.spell() for each in layout.shown(picture)]}
    return commands.new(state.service, state.id, Kind.LAYOUT_SET, streams.mixed_id(state.id, label), args)


# Removing


def remove(service_id: str, room_id: str, stream_id: str) -> None:
    """Take a forward stream out of its room, and end what is fed by it; a mixed stream stays.

    Raises `NoRoom`, `NoStream`, `Refused`.
    """
    if _may_be_mixed(room_id, stream_id):
        _find_mixed(service_id, room_id, stream_id)
        raise Refused("a mixed stream goes with its view")
    found = store.find(service_id, room_id, stream_id)
    written = commands.beside(lambda: commands.new(service_id, room_id, Kind.STREAM_STOP, stream_id, {}))
    owed = store.remove(found, written.parts)
    written.sent()
    for each in owed:
        purge.end(each)


# Streaming-ins


def stream_in(service_id: str, room_id: str, body: Body, version: Version) -> Spelled:
    """Have a stream fetched into a room.

    Unless a worker has to confirm it, it is there at once, and what is unknown of it is what the room would
    take first.  Raises `NoRoom`, then `ValidationError`, then `Refused`.
    """
    state = rooms.read(service_id, room_id)
    value = body()
    asked = streams.parse_streaming_in(value)
    known: list[RoomState] = [state]
    start = orders.Start(service_id, room_id, Kind.STREAM_START)

    def decide() -> tuple[RoomState, Forward]:
        state = known.pop() if known else rooms.read(service_id, room_id)
        media = streams.streaming_in(state.room, asked)
        wanted = Forward(id="", media=media, attributes=asked.attributes, arrived=store.now())
        made = store.add_to(
            state,
            wanted,
            connection=asked.connection,
            beside=lambda made: start.beside(made.id, lambda: streams.ordered(asked, value)),
        )
        return state, made

    state, made = children.decided(decide)
    if not start.confirmed():
        return _spell(state, made, version)
    try:
        return look(service_id, room_id, made.id, version)
    except NotFound:
        raise Refused("the stream has ended at once") from None
