"""How hooks and the stream API spell errors: `{"error": "<one sentence>"}` (contract section 2)."""

from typing import Final

from chalicelib.errors import AppError, Forbidden, NotFound, TooLarge, Unauthenticated, ValidationError
from chalicelib.wcs.errors import NotKnown
from chalicelib.wcs.messages import WcsProblem
from chalicelib.wire.reply import Reply, json_reply

REALM: Final = 'Basic realm="wcs"'


class WrongMethod(AppError):
    """The path takes POST only."""


STATUS: Final[tuple[tuple[type[AppError], int], ...]] = (
    (TooLarge, 413),
    (ValidationError, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (WrongMethod, 405),
)


def spell(error: AppError) -> Reply:
    """An error as it is answered.

    What is not in the table is a 500, storage that fails too: with `restOnError: FAIL` that is how a client
    learns of it.
    """
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = f"Bearer, {REALM}" if isinstance(error, NotKnown) else REALM
    if status == 405:
        headers["Allow"] = "POST"
    return json_reply(WcsProblem(str(error)), status, headers)


def document(body: bytes) -> Reply:
    """JSON as it stands."""
    return Reply(200, body, {"Content-Type": "application/json"})
