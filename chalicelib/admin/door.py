"""`/admin/v1/{proxy+}`: one route for all of the operators' API, so that who has none starts without it.

Chalice takes a fifth of a millisecond for each route that it is told of, at every start of the function.
Behind this one stands a table of our own (`routes/common.py`), which is filled once somebody asks who may.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from chalice.app import Blueprint

from chalicelib import web
from chalicelib.admin import settings
from chalicelib.errors import AppError
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

Serve: TypeAlias = Callable[[Request], Reply]

bp = Blueprint(__name__)

PREFIX: Final = "/admin/v1"
PATH: Final = PREFIX + "/{proxy+}"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_behind: list[Callable[[], Serve]] = []


def open_to(behind: Callable[[], Serve]) -> None:
    """Say what tells who serves requests; the composition root does this where there are operators."""
    _behind[:] = [behind]


def current() -> web.Held:
    """The request that this thread serves."""
    return bp.current_request


def closed() -> Reply:
    """What stands where there is no operators' API: nothing, as at any path that is not there."""
    return Reply(404, web.UNKNOWN_ROUTE, {"Content-Type": "application/json"})


def spell(error: AppError) -> Reply:
    """Behind the door errors are spelled already; what fails here was foreseen by nobody."""
    return Reply(500, "", {})


@bp.route(PATH, methods=list(METHODS), content_types=["*/*"])
@web.speaks(current, spell)
def enter() -> Reply:
    """Any request below the prefix."""
    if not settings.get().on or not _behind:
        return closed()
    return _behind[0]()(web.read(bp.current_request))
