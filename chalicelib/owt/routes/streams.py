"""`/rooms/{room}/streams` (contract 8)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import streams as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/streams", ["GET"])
def listed(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """The streams of a room."""
    return spelling.document(actions.listing(caller.service, room, version))


@common.route(bp, "/rooms/{room}/streams/{stream}", ["GET"])
def look(request: Request, caller: Caller, version: Version, room: str, stream: str) -> Reply:
    """One stream."""
    return spelling.document(actions.look(caller.service, room, stream, version))


@common.route(bp, "/rooms/{room}/streams/{stream}", ["PATCH"])
def change(request: Request, caller: Caller, version: Version, room: str, stream: str) -> Reply:
    """Mix, mute or arrange a stream."""
    return spelling.document(
        actions.change(caller.service, room, stream, lambda: common.body(request), version)
    )


@common.route(bp, "/rooms/{room}/streams/{stream}", ["DELETE"])
def remove(request: Request, caller: Caller, version: Version, room: str, stream: str) -> Reply:
    """Take a forward stream out of its room."""
    actions.remove(caller.service, room, stream)
    return spelling.empty()
