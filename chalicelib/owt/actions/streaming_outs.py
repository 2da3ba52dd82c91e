"""What may be done with streaming-outs (contract 10)."""

from chalicelib.owt import subscription
from chalicelib.owt.actions import subscriptions as actions
from chalicelib.owt.actions.subscriptions import Body
from chalicelib.owt.stream import Spelled
from chalicelib.owt.subscription import StreamingOut


def listed(service_id: str, room_id: str) -> list[Spelled]:
    """The streaming-outs of a room.  Raises `NoRoom`."""
    return actions.listed(service_id, room_id, StreamingOut)


def start(service_id: str, room_id: str, body: Body) -> Spelled:
    """Send a selection out.  Raises `NoRoom`, `ValidationError`, `Refused`."""
    parse, make = subscription.parse_streaming_out, subscription.streaming_out
    return actions.start(service_id, room_id, body, parse, lambda _, *known: make(*known))


def change(service_id: str, room_id: str, name: str, body: Body) -> Spelled:
    """Have another selection sent out.  Raises `NoRoom`, `NoResource`, `ValidationError`, `Refused`."""
    return actions.change(service_id, room_id, StreamingOut, name, body).subscription.spell(name)


def stop(service_id: str, room_id: str, name: str) -> None:
    """Send nothing any more.  Raises `NoRoom`, `NoResource`."""
    actions.stop(service_id, room_id, StreamingOut, name)
