"""`/rooms/{room}/streaming-ins` (contract 8.3)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import streams as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/streaming-ins", ["POST"])
def start(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Have a stream fetched into a room."""
    return spelling.document(actions.stream_in(caller.service, room, lambda: common.body(request), version))


@common.route(bp, "/rooms/{room}/streaming-ins/{stream}", ["DELETE"])
def stop(request: Request, caller: Caller, version: Version, room: str, stream: str) -> Reply:
    """Take a stream out of its room, whichever way it came in."""
    actions.remove(caller.service, room, stream)
    return spelling.empty()
