"""`/rooms/{room}/streaming-outs` and one of them (contract 10)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import streaming_outs as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/streaming-outs", ["GET"])
def listed(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """What is sent out."""
    return spelling.document(actions.listed(caller.service, room))


@common.route(bp, "/rooms/{room}/streaming-outs", ["POST"])
def start(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Send something out."""
    return spelling.document(actions.start(caller.service, room, lambda: common.body(request)))


@common.route(bp, "/rooms/{room}/streaming-outs/{out}", ["PATCH"])
def change(request: Request, caller: Caller, version: Version, room: str, out: str) -> Reply:
    """Send something else."""
    found = actions.change(caller.service, room, out, lambda: common.body(request))
    return spelling.document(found)


@common.route(bp, "/rooms/{room}/streaming-outs/{out}", ["DELETE"])
def stop(request: Request, caller: Caller, version: Version, room: str, out: str) -> Reply:
    """Stop sending."""
    actions.stop(caller.service, room, out)
    return spelling.empty()
