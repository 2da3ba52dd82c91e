"""What `/openapi.json` says of the conference management API."""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from chalicelib.operations import Operation
from chalicelib.owt.routes import common

TAG: Final = "owt"
SECURITY: Final = "mauth"
Document = dict[str, Any]


class Fault(msgspec.Struct, frozen=True):
    """A code of the management API, and a text for people."""

    code: int
    message: str


class OwtProblem(msgspec.Struct, frozen=True):
    """An error of the management API."""

    error: Fault


class NewRoom(msgspec.Struct, frozen=True, omit_defaults=True):
    """A room that is to be created; what is left out gets its default."""

    name: str
    options: Document | None = None


class OwtService(msgspec.Struct, frozen=True, rename={"id": "_id"}):
    """A service; its key is never shown."""

    id: str
    name: str
    key: str
    encrypted: bool
    rooms: list[str]


class NewService(msgspec.Struct, frozen=True, rename={"require_v2": "requireV2"}):
    """A service that is to be created, and what its requests are signed with."""

    name: str
    key: str
    require_v2: bool = False


class OwtUpdate(msgspec.Struct, frozen=True):
    """One entry of a list of updates; all of them are made or none."""

    op: Literal["add", "remove", "replace"]
    path: str
    value: Any


class NewToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is to join, in which role."""

    user: str
    role: str
    preference: Document | None = None


_ALWAYS: Final = {
    401: ("No, unreadable or wrong authentication", OwtProblem),
    500: ("The room cannot do it as it is now (1201), storage failed (1401), or something else", OwtProblem),
}
_BAD: Final = {400: ("The body is not of the documented form; nothing has changed", OwtProblem)}
_FORBIDDEN: Final = {403: ("This service may not do it", OwtProblem)}
_MISSING: Final = {404: ("There is no such resource in the caller's service", OwtProblem)}


def _answers(meaning: str, kind: Any, *more: dict[int, tuple[str, Any]]) -> dict[int, tuple[str, Any]]:
    answers = {200: (meaning, kind)} | _ALWAYS
    for each in more:
        answers |= each
    return answers


_Row = tuple[str, str, str, str, Any, Any]
"""Method, path, summary, meaning of 200, type of the answer, type of the body."""

_ROOM: Final = "/rooms/{room}"
_UPDATES: Final = list[OwtUpdate]

SERVICES: Final[tuple[_Row, ...]] = (
    ("GET", "/services", "Every service", "The services", list[OwtService], None),
    ("POST", "/services", "Create a service", "The service", OwtService, NewService),
    ("GET", "/services/{service}", "A service", "The service", OwtService, None),
    (
        "DELETE",
        "/services/{service}",
        "Delete a service and its rooms",
        "The text `Service deleted`",
        None,
        None,
    ),
)
ROOMS: Final[tuple[_Row, ...]] = (
    ("GET", "/rooms", "The rooms, or a page of them (page, per_page)", "The rooms", list[Document], None),
    ("POST", "/rooms", "Create a room", "The room", Document, NewRoom),
    ("GET", _ROOM, "A room", "The room", Document, None),
    ("PUT", _ROOM, "Replace the top-level fields that are given", "The room", Document, Document),
    ("DELETE", _ROOM, "Delete a room with all that is in it", "The text `Room deleted`", None, None),
)


def _children(name: str, one: str, methods: str, body: Any = Document) -> Iterator[_Row]:
    """The usual requests for the children of a room."""
    every, single = f"{_ROOM}/{name}", f"{_ROOM}/{name}/{{{one}}}"
    kind = name.replace("-", " ")
    usual: dict[str, _Row] = {
        "l": ("GET", every, f"All {kind} of the room", f"The {kind}", list[Document], None),
        "n": ("POST", every, f"Start one of the {kind}", "What was started", Document, body),
        "g": ("GET", single, f"One of the {kind}", "It", Document, None),
        "u": ("PATCH", single, f"Change one of the {kind}", "It, after all updates", Document, _UPDATES),
        "d": ("DELETE", single, f"End one of the {kind}", "It has ended", None, None),
    }
    yield from (usual[letter] for letter in methods)


CHILDREN: Final[tuple[_Row, ...]] = (
    *_children("participants", "participant", "lgud"),
    *_children("streams", "stream", "lgud"),
    *_children("streaming-ins", "stream", "nd"),
    *_children("streaming-outs", "out", "lnud"),
    *_children("recordings", "recording", "lnud"),
    *_children("sipcalls", "call", "lnud"),
    *_children("analytics", "analytic", "lnd"),
    (
        "POST",
        f"{_ROOM}/tokens",
        "Make a token to join with, once, within three minutes",
        "The token as plain text",
        None,
        NewToken,
    ),
)


def _operation(row: _Row, prefix: str = "") -> Operation:
    method, path, summary, meaning, kind, body = row
    more = [_MISSING] if "{" in path else []
    if body is not None:
        more.append(_BAD)
    if not prefix:
        more.append(_FORBIDDEN)
    return Operation(method, prefix + path, summary, TAG, _answers(meaning, kind, *more), body, SECURITY)


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


OPERATIONS: Final = (
    *(_operation(row) for row in SERVICES),
    *(_operation(row, f"/{version}") for version in common.VERSIONS for row in (*ROOMS, *CHILDREN)),
)


def every() -> list[Operation]:
    """All operations, those that nobody serves too; to be asked for once every route is there."""
    return [*OPERATIONS, *unserved()]
