"""How Loop answers: JSON, and errors as status and errno (contract sections 3.2, 3.3 and 10)."""

from collections.abc import Mapping
from typing import Any, Final

from chalicelib import errors as facts
from chalicelib.errors import AppError
from chalicelib.loop import errors, settings
from chalicelib.wire.reply import Reply, json_reply

METHODS: Final = "GET, POST, PATCH, DELETE"
HEADERS: Final = "Authorization, Content-Type, x-loop-addon-ver"
EXPOSED: Final = (
    # The last one is what API Gateway makes of WWW-Authenticate.
    "Hawk-Session-Token, Server-Authorization, Timestamp, WWW-Authenticate, Alert, Retry-After, "
    "x-amzn-Remapped-WWW-Authenticate"
)
RETRY_AFTER_S: Final = "30"

UNEXPECTED: Final = (500, 999, "something went wrong here")
SPELLING: Final[tuple[tuple[type[AppError], int, int, str | None], ...]] = (
    # Status, errno, and the text where the error's own is not for the peer.  The first that fits counts.
    (errors.BadJson, 400, 106, None),
    (errors.Missing, 400, 108, None),
    (errors.MalformedAuthorization, 400, 110, None),
    (facts.TooLarge, 413, 113, None),
    (facts.ValidationError, 400, 107, None),
    (errors.NotAcceptable, 406, 106, "only JSON is served"),
    (facts.Unauthenticated, 401, 110, "authentication is required, or was not accepted"),
    (errors.NoAccounts, 403, 110, "there are no accounts here"),
    (facts.Forbidden, 403, 999, "this caller may not do that"),
    (errors.InvalidToken, 404, 105, "there is no such room"),
    (facts.NotFound, 404, 999, "there is nothing here"),
    (errors.Expired, 410, 111, "the participation has expired"),
    (errors.ClientCapacity, 400, 121, "more people are in the room than this client can take"),
    (errors.RoomFull, 400, 202, "the room is full"),
    (errors.NotInRoom, 400, 203, "the caller is not in the room"),
    (facts.Throttled, 429, 999, "too many requests"),
    (facts.Unavailable, 503, 201, "something that is needed does not answer"),
)


def spell(error: AppError) -> Reply:
    """An error as Loop answers it; what is not in the table is 500/999."""
    status, errno, text = UNEXPECTED
    for kind, its_status, its_errno, its_text in SPELLING:
        if isinstance(error, kind):
            status, errno, text = its_status, its_errno, its_text or str(error)
            break
    body = {"code": status, "errno": errno, "error": text}
    reply = json_reply(body, status, _headers(error, status))
    return Reply(status, reply.body, reply.headers, {"errno": errno})


def number(error: AppError) -> tuple[int, int]:
    """Status and errno of an error, for answers that name them within a body."""
    for kind, status, errno, _ in SPELLING:
        if isinstance(error, kind):
            return status, errno
    return UNEXPECTED[:2]


def _headers(error: AppError, status: int) -> Mapping[str, str]:
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": error.challenge}
    if status == 401:
        return {"WWW-Authenticate": errors.HAWK}
    return {"Retry-After": RETRY_AFTER_S} if status in (429, 503) else {}


def document(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """`value` as JSON."""
    return json_reply(value, status, headers)


def empty() -> Reply:
    """Done, and there is nothing to say."""
    return Reply(204)


def origin_headers(origin: str | None) -> dict[str, str]:
    """What lets a page of `origin` read the answer, where it may."""
    allowed = settings.get().allowed_origins
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": str(origin),
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }


def preflight() -> Reply:
    """What a page may send, the same everywhere."""
    return Reply(204, "", {"Access-Control-Allow-Methods": METHODS, "Access-Control-Allow-Headers": HEADERS})
