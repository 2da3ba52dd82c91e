"""`/` for the six operations, named by a header, and `/sora/event` for a media server's webhook."""

from typing import Final

from chalice.app import Blueprint

from chalicelib import web
from chalicelib.sora import actions, auth, messages, spelling
from chalicelib.sora.errors import WrongMethod
from chalicelib.wire.reply import Reply

bp = Blueprint(__name__)

PATH: Final = "/"
EVENT_PATH: Final = "/sora/event"
TARGET: Final = "x-sora-target"
PATHS: Final = (PATH, EVENT_PATH)
REFUSED: Final = ("GET", "HEAD", "PUT", "PATCH", "DELETE")


def current() -> web.Held:
    """The request that this thread serves."""
    return bp.current_request


@bp.route(PATH, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell)
def perform() -> Reply:
    """Do the operation that the header names."""
    request = web.read(bp.current_request)
    auth.authenticate(request)
    target = messages.read_target(request.header(TARGET))
    ask = messages.read(target, request.body)
    return spelling.document(actions.perform(target.operation, ask))


@bp.route(PATH, methods=["OPTIONS"], content_types=["*/*"])
@web.speaks(current, spelling.spell)
def preflight() -> Reply:
    """A page asks what it may send; it need not prove anything for that."""
    return spelling.preflight()


@bp.route(PATH, methods=list(REFUSED), content_types=["*/*"])
@web.speaks(current, spelling.spell)
def unexpected() -> Reply:
    """Any other method is refused, after the caller's key was looked at."""
    auth.authenticate(web.read(bp.current_request))
    raise WrongMethod("POST is expected")


@bp.route(EVENT_PATH, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell, hook=True)
def hear() -> Reply:
    """A media server tells of a connection; 200 once that is kept."""
    request = web.read(bp.current_request)
    auth.authenticate_event(request)
    event = messages.read_event(request.body)
    if event is not None:
        actions.hear(event)
    return spelling.document("{}")


@bp.route(EVENT_PATH, methods=list(REFUSED), content_types=["*/*"])
@web.speaks(current, spelling.spell)
def unexpected_event() -> Reply:
    """Any other method is refused, after the caller's key was looked at."""
    auth.authenticate_event(web.read(bp.current_request))
    raise WrongMethod("POST is expected")
