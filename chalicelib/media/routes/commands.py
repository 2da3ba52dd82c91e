"""`/commands`: what callers ordered and workers carry out."""

from typing import Final

from chalice.app import Blueprint

from chalicelib.media.actions import ack, pull
from chalicelib.media.routes import common
from chalicelib.media.routes.common import Caller
from chalicelib.owt import spelling
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

LARGEST_WORD: Final = 64 * 1024

bp = Blueprint(__name__)


@common.route(bp, "/commands", ["GET"])
def waiting(request: Request, caller: Caller) -> Reply:
    """The commands that wait, oldest first; with `wait`, once there are some."""
    return spelling.document(pull.that_fit(pull.pull(caller, pull.read_wish(request.query))))


@common.route(bp, "/commands/{command}/ack", ["POST"])
def acknowledge(request: Request, caller: Caller, command: str) -> Reply:
    """A worker has carried a command out, or could not."""
    ack.acknowledge(caller, command, lambda: common.body(request, LARGEST_WORD))
    return common.done()
