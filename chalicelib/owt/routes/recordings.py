"""`/rooms/{room}/recordings` and one of them (contract 11)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import recordings as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/recordings", ["GET"])
def listed(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """What is being recorded."""
    return spelling.document(actions.listed(caller.service, room))


@common.route(bp, "/rooms/{room}/recordings", ["POST"])
def start(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Begin a recording."""
    return spelling.document(actions.start(caller.service, room, lambda: common.body(request)))


@common.route(bp, "/rooms/{room}/recordings/{recording}", ["PATCH"])
def change(request: Request, caller: Caller, version: Version, room: str, recording: str) -> Reply:
    """Record something else."""
    found = actions.change(caller.service, room, recording, lambda: common.body(request))
    return spelling.document(found)


@common.route(bp, "/rooms/{room}/recordings/{recording}", ["DELETE"])
def stop(request: Request, caller: Caller, version: Version, room: str, recording: str) -> Reply:
    """End a recording."""
    actions.stop(caller.service, room, recording)
    return spelling.empty()
