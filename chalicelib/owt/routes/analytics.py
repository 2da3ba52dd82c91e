"""`/rooms/{room}/analytics` and one of them (contract 12.2)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import analytics as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/analytics", ["GET"])
def listed(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """What is being analysed."""
    return spelling.document(actions.listed(caller.service, room))


@common.route(bp, "/rooms/{room}/analytics", ["POST"])
def start(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Begin an analysis."""
    return spelling.document(actions.start(caller.service, room, lambda: common.body(request)))


@common.route(bp, "/rooms/{room}/analytics/{analytic}", ["DELETE"])
def stop(request: Request, caller: Caller, version: Version, room: str, analytic: str) -> Reply:
    """End an analysis."""
    actions.stop(caller.service, room, analytic)
    return spelling.empty()
