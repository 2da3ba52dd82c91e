"""What may be done with analytics (contract 12.2)."""

from chalicelib.owt import subscription
from chalicelib.owt.actions import subscriptions as actions
from chalicelib.owt.actions.subscriptions import Body
from chalicelib.owt.stream import Spelled
from chalicelib.owt.subscription import Analysis


def listed(service_id: str, room_id: str) -> list[Spelled]:
    """The analytics of a room.  Raises `NoRoom`."""
    return actions.listed(service_id, room_id, Analysis)


def start(service_id: str, room_id: str, body: Body) -> Spelled:
    """Have an algorithm look at a stream.  Raises `NoRoom`, `ValidationError`, `Refused`."""
    parse, make = subscription.parse_analysis, subscription.analysis
    return actions.start(service_id, room_id, body, parse, lambda _, *known: make(*known))


def stop(service_id: str, room_id: str, name: str) -> None:
    """Have it look no more.  Raises `NoRoom`, `NoResource`."""
    actions.stop(service_id, room_id, Analysis, name)
