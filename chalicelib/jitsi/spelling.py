"""How the queue's HTTP errors are spelled: `{"error": "<one sentence>"}` (contract section 8)."""

from typing import Final

from chalicelib.errors import (
    AppError,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
    ValidationError,
)
from chalicelib.jitsi.messages import Problem
from chalicelib.wire.reply import Reply, json_reply


class WrongMethod(AppError):
    """The route does not take this method; the text lists those it takes."""


class WrongType(AppError):
    """The body is of another type than JSON."""


STATUS: Final[tuple[tuple[type[AppError], int], ...]] = (
    (TooLarge, 413),
    (ValidationError, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (WrongMethod, 405),
    (WrongType, 415),
    (Unavailable, 503),
)


def spell(error: AppError) -> Reply:
    """An error as the queue answers it; what is not in the table is a 500."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, WrongMethod):
        headers["Allow"] = str(error)
        return json_reply(Problem("this method is not allowed here"), status, headers)
    return json_reply(Problem(str(error)), status, headers)
