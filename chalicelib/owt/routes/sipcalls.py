"""`/rooms/{room}/sipcalls` and one of them (contract 12.1)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import sipcalls as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/sipcalls", ["GET"])
def listed(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """The calls."""
    return spelling.document(actions.listed(caller.service, room, version))


@common.route(bp, "/rooms/{room}/sipcalls", ["POST"])
def start(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Call somebody."""
    return spelling.document(actions.start(caller.service, room, lambda: common.body(request), version))


@common.route(bp, "/rooms/{room}/sipcalls/{call}", ["PATCH"])
def change(request: Request, caller: Caller, version: Version, room: str, call: str) -> Reply:
    """Send the peer something else."""
    found = actions.change(caller.service, room, call, lambda: common.body(request), version)
    return spelling.document(found)


@common.route(bp, "/rooms/{room}/sipcalls/{call}", ["DELETE"])
def stop(request: Request, caller: Caller, version: Version, room: str, call: str) -> Reply:
    """Hang up."""
    actions.stop(caller.service, room, call)
    return spelling.empty()
