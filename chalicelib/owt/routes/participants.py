"""`/rooms/{room}/participants` and one of them (contract 7)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import participants as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/participants", ["GET"])
def listed(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Everybody in a room."""
    return spelling.document(actions.listed(caller.service, room))


@common.route(bp, "/rooms/{room}/participants/{participant}", ["GET"])
def read(request: Request, caller: Caller, version: Version, room: str, participant: str) -> Reply:
    """One participant."""
    return spelling.document(actions.read(caller.service, room, participant))


@common.route(bp, "/rooms/{room}/participants/{participant}", ["PATCH"])
def update(request: Request, caller: Caller, version: Version, room: str, participant: str) -> Reply:
    """Change what a participant may do."""
    found = actions.update(caller.service, room, participant, lambda: common.body(request))
    return spelling.document(found)


@common.route(bp, "/rooms/{room}/participants/{participant}", ["DELETE"])
def drop(request: Request, caller: Caller, version: Version, room: str, participant: str) -> Reply:
    """Drop a participant."""
    actions.drop(caller.service, room, participant)
    return spelling.empty()
