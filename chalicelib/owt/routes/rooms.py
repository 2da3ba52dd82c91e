"""`/rooms` and `/rooms/{room}` (contract 6)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import rooms as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms", ["POST"])
def create(request: Request, caller: Caller, version: Version) -> Reply:
    """Make a room of a name and options."""
    return spelling.document(actions.create(caller, common.body(request)))


@common.route(bp, "/rooms", ["GET"])
def page(request: Request, caller: Caller, version: Version) -> Reply:
    """The service's rooms, all of them or a page."""
    number, size = (next(iter(request.query.get(name) or []), None) for name in ("page", "per_page"))
    return spelling.document(actions.page(caller, number, size))


@common.route(bp, "/rooms/{room}", ["GET"])
def look(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """One room."""
    return spelling.document(actions.look(caller, room))


@common.route(bp, "/rooms/{room}", ["PUT"])
def change(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Replace the fields of a room that the body has."""
    return spelling.document(actions.change(caller, room, lambda: common.body(request)))


@common.route(bp, "/rooms/{room}", ["DELETE"])
def delete(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Remove a room with all that is in it."""
    actions.delete(caller, room)
    return spelling.text("Room deleted")
