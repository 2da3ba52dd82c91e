"""`/tokens/redeem`: somebody joins with a token."""

from chalice.app import Blueprint

from chalicelib.media.actions import redeem as actions
from chalicelib.media.routes import common
from chalicelib.media.routes.common import Caller
from chalicelib.owt import spelling
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.route(bp, "/tokens/redeem", ["POST"])
def redeem(request: Request, caller: Caller) -> Reply:
    """Let the token's user join, once; who and what is in the room then."""
    return spelling.document(actions.redeem(caller, common.body(request)))
