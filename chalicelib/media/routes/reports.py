"""`/rooms/{room}/reports`: what media workers tell."""

from chalice.app import Blueprint

from chalicelib.media.actions import report as actions
from chalicelib.media.routes import common
from chalicelib.media.routes.common import Caller
from chalicelib.owt import spelling
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/rooms/{room}/reports", ["POST"])
def take(request: Request, caller: Caller, room: str) -> Reply:
    """Take in a list of reports; what became of it."""
    return spelling.document(actions.take(caller, room, lambda: common.body(request)))
