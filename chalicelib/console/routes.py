"""`GET /console/` and the files of the page; where there are no operators, nothing is there."""

from typing import Final

from chalice.app import Blueprint

from chalicelib import web
from chalicelib.admin import door, settings
from chalicelib.console import files
from chalicelib.errors import AppError
from chalicelib.operations import Operation
from chalicelib.wire.reply import Reply

bp = Blueprint(__name__)

PATH: Final = "/console"
FILE: Final = PATH + "/{file}"
OPERATIONS: Final = (
    Operation("GET", PATH, "The operators' console", "console", {200: ("HTML", None), 404: ("Off", None)}),
    Operation(
        "GET",
        FILE,
        "A file of the console",
        "console",
        {200: ("It", None), 304: ("It has not changed", None), 404: ("Off, or no such file", None)},
    ),
)


def current() -> web.Held:
    """The request that this thread serves."""
    return bp.current_request


def spell(error: AppError) -> Reply:
    """These routes refuse nothing; what fails is ours."""
    return Reply(500, "", {"Content-Type": "text/plain"})


@bp.route(PATH, methods=["GET"], content_types=["*/*"])
@web.speaks(current, spell)
def page() -> Reply:
    """The page."""
    request = web.read(bp.current_request)
    # Addresses in the page are relative, so that it works below any base and stage.
    below = "" if request.path.endswith("/") else PATH[1:] + "/"
    return _answer(files.INDEX, below)


@bp.route(FILE, methods=["GET"], content_types=["*/*"])
@web.speaks(current, spell)
def file(file: str) -> Reply:
    """One of its files."""
    return _answer(file)


def _answer(name: str, below: str = "") -> Reply:
    if not settings.get().on:
        return door.closed()
    known = web.read(bp.current_request).header("if-none-match")
    return files.answer(name, known, below) or door.closed()
