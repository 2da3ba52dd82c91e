"""What is said of the media plane in `/openapi.json`."""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from chalicelib.media.routes import common
from chalicelib.operations import Operation
from chalicelib.owt.operations import SECURITY, OwtProblem

TAG: Final = "media"
Document = dict[str, Any]


class MediaCommand(msgspec.Struct, frozen=True):
    """What a caller ordered and a worker is to carry out."""

    id: str
    service: str
    room: str
    kind: str
    target: str
    args: Document
    created_at: str
    state: Literal["pending"]


class Acknowledgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command; one that failed has a reason."""

    ok: bool
    result: Document | None = None
    reason: str | None = None


class Redemption(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token, and who comes with it."""

    token: str
    participant: str | None = None
    node: str | None = None


class Report(msgspec.Struct, frozen=True):
    """Something that happened; further fields are those of its type."""

    id: str
    type: str


class Counted(msgspec.Struct, frozen=True):
    """What became of a list of reports."""

    applied: int
    ignored: int
    duplicates: int


_Row = tuple[str, str, str, int, str, Any, Any]
"""Method, path, summary, the usual status, its meaning, type of the answer, type of the body."""

ROWS: Final[tuple[_Row, ...]] = (
    (
        "POST",
        "/tokens/redeem",
        "Let the holder of a token join its room",
        200,
        "The participant, and what is in the room",
        Document,
        Redemption,
    ),
    (
        "POST",
        "/rooms/{room}/reports",
        "Report what happened in a room, at most 100 things",
        200,
        "How many were applied",
        Counted,
        list[Report],
    ),
    (
        "GET",
        "/commands",
        "The commands that wait, oldest first (room, limit), once there are some (wait)",
        200,
        "The commands",
        list[MediaCommand],
        None,
    ),
    (
        "POST",
        "/commands/{command}/ack",
        "Say what became of a command, once",
        204,
        "It was noted, or had been before",
        None,
        Acknowledgement,
    ),
)
_USUAL: Final = {
    400: ("The request is not of the documented form; nothing has changed", OwtProblem),
    401: ("No, unreadable or wrong authentication; or a token that is none", OwtProblem),
    404: ("There is no such room or command that the caller may act on", OwtProblem),
    500: ("The room cannot do it as it is now (1201), storage failed (1401), or something else", OwtProblem),
}


def _operations() -> Iterator[Operation]:
    served = common.served()
    for method, path, summary, status, meaning, kind, body in ROWS:
        whole = common.PREFIX + path
        if method in served.get(whole, ()):
            yield Operation(method, whole, summary, TAG, {status: (meaning, kind)} | _USUAL, body, SECURITY)


def unserved() -> Iterator[Operation]:
    """Preflights, and methods that a path does not have."""
    missing = {404: ("There is no such method here", OwtProblem)}
    for path, served in common.served().items():
        yield Operation(
            common.PREFLIGHT, path, "What a page may send", TAG, {200: ("Anything of the API", None)}
        )
        for method in common.METHODS:
            if method not in served:
                yield Operation(method, path, "Not there", TAG, missing)


def every() -> list[Operation]:
    """All operations, those that nobody serves too; to be asked for once every route is there."""
    return [*_operations(), *unserved()]
