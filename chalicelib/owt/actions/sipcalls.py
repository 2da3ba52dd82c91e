"""What may be done with SIP calls (contract 12.1)."""

from collections.abc import Mapping

from chalicelib.owt import stream as streams
from chalicelib.owt import subscription
from chalicelib.owt.actions import orders
from chalicelib.owt.actions import subscriptions as actions
from chalicelib.owt.actions.subscriptions import Body
from chalicelib.owt.command import Kind
from chalicelib.owt.room import Room
from chalicelib.owt.store import new_ids, subscriptions
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.store.subscriptions import Found
from chalicelib.owt.stream import Forward, Media, Spelled, Version
from chalicelib.owt.subscription import Call

OUTPUT = "/output"
"""Stands in front of every path of an update."""


def listed(service_id: str, room_id: str, version: Version) -> list[Spelled]:
    """The calls of a room, their inputs in the shape of the version.  Raises `NoRoom`."""
    state, found = subscriptions.calls(service_id, room_id)
    return [_spell(state, name, call, heard, version) for name, call, heard in found]


def start(service_id: str, room_id: str, body: Body, version: Version) -> Spelled:
    """Call somebody: the call, its participant and its input come together or not at all.

    Raises `NoRoom`, `ValidationError`, `Refused`.
    """
    asked = actions.asked(service_id, room_id, body, subscription.parse_call)

    def decide(heard: str, room: Room, forward: Mapping[str, Forward]) -> tuple[Call, Media]:
        call = subscription.call(room, forward, asked, heard, new_ids.child())
        return call, subscription.heard_media(room, asked.video)

    begun = orders.Start(service_id, room_id, Kind.CALL_DIAL)
    name, call, heard, state = subscriptions.create_call(
        service_id,
        room_id,
        asked.options.sources,
        decide,
        lambda identity, made: begun.beside(identity, lambda: subscription.ordered(made)),
    )
    if begun.confirmed():
        return _read(actions.confirmed(service_id, room_id, Call, name), name, version)
    return _spell(state, name, call, heard, version)


def change(service_id: str, room_id: str, name: str, body: Body, version: Version) -> Spelled:
    """Send a peer another selection.  Raises `NoRoom`, `NoResource`, `ValidationError`, `Refused`."""
    found = actions.change(service_id, room_id, Call, name, body, OUTPUT)
    return _read(found, name, version)


def _read(found: Found[Call], name: str, version: Version) -> Spelled:
    call = found.subscription
    return _spell(found.state, name, call, found.forward.get(call.input), version)


def _spell(state: RoomState, name: str, call: Call, heard: Forward | None, version: Version) -> Spelled:
    if heard is None:
        return call.spell(name, None)
    in_views = streams.labels(heard, state.vids)
    return call.spell(name, streams.info(heard, state.room, in_views, version))


def stop(service_id: str, room_id: str, name: str) -> None:
    """Hang up.  Raises `NoRoom`, `NoResource`."""
    actions.stop(service_id, room_id, Call, name)
