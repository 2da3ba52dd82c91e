"""How conference management answers: documents, texts, errors in their envelope (contract sections 1 and 2).

Every reply may be read by a page of any origin; nothing here depends on cookies.
"""

from typing import Any, Final

from chalicelib.errors import AppError, Forbidden, NotFound, Unauthenticated, Unavailable, ValidationError
from chalicelib.owt.errors import NoParticipant, NoRoom, NoService, NoStream, Refused
from chalicelib.wire.reply import Reply, json_reply

METHODS: Final = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "origin, authorization, content-type",
}
TEXT: Final = "text/plain; charset=utf-8"

UNEXPECTED: Final = (500, 2001, "Internal error")
SPELLING: Final[tuple[tuple[type[AppError], int, int, str | None], ...]] = (
    # Status, code, and the text where the error's own is not for the peer.
    (ValidationError, 400, 1301, None),
    (Unauthenticated, 401, 1101, 'WWW-Authenticate: MAuth realm="http://marte3.dit.upm.es"'),
    (Forbidden, 403, 1102, "Permission denied"),
    (NoService, 404, 1002, "Service not found"),
    (NoRoom, 404, 1003, "Room not found"),
    (NoStream, 404, 1004, "Stream not found"),
    (NoParticipant, 404, 1005, "Participant not found"),
    (NotFound, 404, 1001, "Resource not found"),
    (Refused, 500, 1201, None),
    (Unavailable, 500, 1401, "Storage does not answer"),
)
NOTES: Final = {1201: {"decided": 1201}}
"""A 500 that is no fault of ours is known by this in the log, and is not counted as one."""
DEFAULT_TEXT: Final = {1301: "Invalid request body", 1201: "Operation failed"}


def spell(error: AppError) -> Reply:
    """An error as the API answers it; what is not in the table is 500/2001."""
    status, code, text = UNEXPECTED
    for kind, its_status, its_code, its_text in SPELLING:
        if isinstance(error, kind):
            status, code = its_status, its_code
            text = its_text or str(error) or DEFAULT_TEXT[its_code]
            break
    return json_reply({"error": {"code": code, "message": text}}, status, CORS, NOTES.get(code))


def document(value: Any, status: int = 200) -> Reply:
    """`value` as JSON."""
    return json_reply(value, status, CORS)


def text(value: str) -> Reply:
    """`value` as it stands, without JSON's quotes."""
    return Reply(200, value, {"Content-Type": TEXT, **CORS})


def empty() -> Reply:
    """Done, and there is nothing to say."""
    return Reply(200, "", {"Content-Type": TEXT, **CORS})


preflight = empty
"""The answer to `OPTIONS`: what a page may send is the same everywhere."""
