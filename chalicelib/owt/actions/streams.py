"""What may be done with streams, and how streaming-ins come in (contract section 8)."""

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.errors import AppError
from chalicelib.owt import layout, purge
from chalicelib.owt import stream as streams
from chalicelib.owt.errors import NoStream, Refused
from chalicelib.owt.store import children, rooms
from chalicelib.owt.store import streams as store
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.store.streams import Found, Scene
from chalicelib.owt.stream import Change, Forward, Spelled, Version
from chalicelib.wire import patch
from chalicelib.wire.untrusted import Json

Body = Callable[[], Json]


# Looking


def listed(service_id: str, room_id: str, version: Version) -> list[Spelled]:
    """The mixed streams while the room is active, in the order of the views, then the forward ones.

    Raises `NoRoom`.
    """
    scene = store.scene(service_id, room_id)
    views = scene.state.room.views() if scene.state.active else ()
    mixed = [_spell_mixed(scene, scene.picture(view), version) for view in views]
    return mixed + [_spell(scene.state, each, version) for each in scene.streams]


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
    if view is None or not scene.state.active:
        raise NoStream(stream_id)
    return scene, view


# Changing


def change(service_id: str, room_id: str, stream_id: str, body: Body, version: Version) -> Spelled:
    """A stream after a list of updates, of which all take effect or none.

    Raises `NoRoom`, `NoStream`, then `ValidationError`, then `Refused`.
    """
    known: list[list[Change]] = []

    def changes() -> list[Change]:
        if not known:
            known.append(streams.parse_changes(patch.parse(body())))
        return known[0]

    if _may_be_mixed(room_id, stream_id):
        return children.decided(
            lambda: _change_mixed(*_find_mixed(service_id, room_id, stream_id), changes(), version)
        )
    return children.decided(
        lambda: _change_forward(store.find(service_id, room_id, stream_id), changes, version)
    )


def _change_forward(found: Found, read_changes: Callable[[], list[Change]], version: Version) -> Spelled:
    try:
        changes = read_changes()
        changed = streams.change(found.stream, changes, found.state.vids, store.now())
    except AppError:
        # Who is not there answers before what is wrong with the request.
        store.check_owner(found)
        raise
    if changed != found.stream:
        store.store(found, changed)
    else:
        store.check_owner(found)
    return _spell(found.state, changed, version)


def _change_mixed(scene: Scene, view: Mapping[str, Any], changes: list[Change], version: Version) -> Spelled:
    picture = scene.picture(view)
    changed = streams.arrange(picture, changes)
    if changed.set is not None and changed != picture:
        store.arrange(scene, view["label"], changed.set)
    return _spell_mixed(scene, changed, version)


# Removing


def remove(service_id: str, room_id: str, stream_id: str) -> None:
    """Take a forward stream out of its room, and end what is fed by it; a mixed stream stays.

    Raises `NoRoom`, `NoStream`, `Refused`.
    """
    if _may_be_mixed(room_id, stream_id):
        _find_mixed(service_id, room_id, stream_id)
        raise Refused("a mixed stream goes with its view")
    for owed in store.remove(store.find(service_id, room_id, stream_id)):
        purge.end(owed)


# Streaming-ins


def stream_in(service_id: str, room_id: str, body: Body, version: Version) -> Spelled:
    """Have a stream fetched into a room.

    In the store mode nobody fetches anything: it is there at once, and what is unknown of it is what the room
    would take first.  Raises `NoRoom`, then `ValidationError`, then `Refused`.
    """
    state = rooms.read(service_id, room_id)
    asked = streams.parse_streaming_in(body())
    known: list[RoomState] = [state]

    def decide() -> Spelled:
        state = known.pop() if known else rooms.read(service_id, room_id)
        media = streams.streaming_in(state.room, asked)
        wanted = Forward(id="", media=media, attributes=asked.attributes, arrived=store.now())
        made = store.add_to(state, wanted, connection=asked.connection)
        return _spell(state, made, version)

    return children.decided(decide)
