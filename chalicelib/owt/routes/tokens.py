"""`/rooms/{room}/tokens` (contract 13)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import tokens as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller, Version
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/tokens", ["POST"])
def create(request: Request, caller: Caller, version: Version, room: str) -> Reply:
    """Make a token; with a user and role in the header no body is needed."""
    text = actions.create(caller, room, lambda: common.body(request) if request.body else None)
    return spelling.text(text)
