"""`POST /rest/{api}/{hook}`, which servers call, and the three calls of the stream API."""

from collections.abc import Callable
from typing import Final

from chalice.app import Blueprint

from chalicelib import web
from chalicelib.wcs import actions, auth, messages, spelling
from chalicelib.wire.reply import Reply, json_reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)

HOOK: Final = "/rest/{api}/{hook}"
FIND_ALL: Final = "/rest-api/stream/find_all"
FIND: Final = "/rest-api/stream/find"
TERMINATE: Final = "/rest-api/stream/terminate"
PATHS: Final = (HOOK, FIND_ALL, FIND, TERMINATE)
UNSERVED: Final = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")


def current() -> web.Held:
    """The request that this thread serves."""
    return bp.current_request


@bp.route(HOOK, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell, hook=True)
def hear(api: str, hook: str) -> Reply:
    """A server tells something, or asks: it is answered what it sent."""
    request = web.read(bp.current_request)
    name = messages.hook_name(hook)
    auth.admit_server(request, api)
    return spelling.document(actions.hear(name, request.body))


@bp.route(FIND_ALL, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell)
def find_all() -> Reply:
    """All streams."""
    request = _of_user()
    return spelling.document(actions.every(_stale(request)))


@bp.route(FIND, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell)
def find() -> Reply:
    """The streams that equal what the body has."""
    request = _of_user()
    looked_for = messages.read_query(request.body)
    return spelling.document(actions.find(looked_for, _stale(request)))


@bp.route(TERMINATE, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell)
def terminate() -> Reply:
    """Have streams end."""
    request = _of_user()
    actions.terminate(messages.read_termination(request.body))
    return json_reply({})


def _of_user() -> Request:
    request = web.read(bp.current_request)
    auth.admit_user(request)
    return request


def _stale(request: Request) -> bool | None:
    return messages.read_flag(request.query.get("stale", []))


def _refuse(path: str) -> Callable[..., Reply]:
    def not_allowed(**_: str) -> Reply:
        """Any other method: 405."""
        raise spelling.WrongMethod("this method is not allowed here")

    return not_allowed


for _path in PATHS:
    _speaking = web.speaks(current, spelling.spell)(_refuse(_path))
    bp.route(_path, methods=list(UNSERVED), content_types=["*/*"])(_speaking)
