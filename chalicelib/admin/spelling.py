"""How the operators' API answers: JSON that nobody keeps, and errors as `{"error": {"code", "message"}}`."""

from collections.abc import Mapping
from typing import Any, Final

from chalicelib.admin.errors import NoCsrfToken, TooManyAttempts
from chalicelib.errors import (
    AppError,
    Conflict,
    Forbidden,
    NotFound,
    Throttled,
    Unauthenticated,
    Unavailable,
    ValidationError,
)
from chalicelib.wire.reply import Reply, json_reply

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

CODES: Final[tuple[tuple[type[AppError], int, str], ...]] = (
    (Unauthenticated, 401, "unauthenticated"),
    (NoCsrfToken, 403, "csrf"),
    (Forbidden, 403, "forbidden"),
    (NotFound, 404, "not_found"),
    (ValidationError, 400, "invalid"),
    (Conflict, 409, "conflict"),
    (Throttled, 429, "too_many_attempts"),
    (Unavailable, 503, "unavailable"),
    (AppError, 500, "internal"),
)
"""Facts, the status and the code that say them; the first that fits."""


def code_of(error: AppError) -> str:
    """The code of an error."""
    return next(code for kind, _, code in CODES if isinstance(error, kind))


def spell(error: AppError) -> Reply:
    """An error as the API answers it."""
    status, code = next((status, code) for kind, status, code in CODES if isinstance(error, kind))
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyAttempts):
        headers["Retry-After"] = str(error.retry_after_s)
    # Who raised it may have had another reader in mind, and said nothing.
    message = str(error) or code.replace("_", " ")
    return document({"error": {"code": code, "message": message}}, status, headers)


def document(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A value as it is answered."""
    return json_reply(value, status, HEADERS | dict(headers or {}))


def nothing(headers: Mapping[str, str] | None = None) -> Reply:
    """It is done, and there is nothing to say."""
    return Reply(204, "", HEADERS | dict(headers or {}))
