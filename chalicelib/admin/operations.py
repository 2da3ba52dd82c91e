"""What `/openapi.json` says of the operators' API."""

from typing import Any, Final, Literal

import msgspec

from chalicelib.admin import door, shapes
from chalicelib.operations import Operation

TAG: Final = "admin"
SECURITY: Final = "adminToken"
Document = dict[str, Any]


class AdminFault(msgspec.Struct, frozen=True):
    """A code, and a text for people."""

    code: Literal[
        "unauthenticated",
        "forbidden",
        "csrf",
        "not_found",
        "invalid",
        "conflict",
        "too_many_attempts",
        "unavailable",
        "internal",
    ]
    message: str


class AdminProblem(msgspec.Struct, frozen=True):
    """An error of the operators' API."""

    error: AdminFault


class AdminToken(msgspec.Struct, frozen=True):
    """A token to sign in with."""

    token: str


class AdminSession(msgspec.Struct, frozen=True):
    """Who is signed in; `csrf` and `expires_at` are null where the token itself was sent."""

    name: str
    csrf: str | None
    expires_at: int | None
    stage: str
    version: str


class AdminListedConference(msgspec.Struct, frozen=True):
    """A conference in the list; `waiting` is null where nobody has counted."""

    name: str
    waiting: int | None
    watched: bool
    live: bool
    live_since: int | None
    live_until: int | None


class AdminConferences(msgspec.Struct, frozen=True):
    """A page of conferences."""

    items: list[AdminListedConference]
    next: str | None


class AdminConference(msgspec.Struct, frozen=True):
    """A conference, counted now."""

    name: str
    waiting: int
    watched: bool
    live: bool
    live_since: int | None
    live_until: int | None
    epoch: int
    moderators: int
    shards: int
    counts: list[int]


class AdminCounts(msgspec.Struct, frozen=True):
    """How many wait in some shards, by their numbers."""

    live: bool
    live_since: int | None
    counts: dict[str, int]


class AdminName(msgspec.Struct, frozen=True):
    """Which conference."""

    name: str


class AdminLive(msgspec.Struct, frozen=True):
    """Whether a conference is live now."""

    name: str
    live: bool


_ALWAYS: Final = {
    401: ("No token or session, or none of ours", AdminProblem),
    429: ("Too many wrong tokens came from this address within a minute", AdminProblem),
    500: ("Something that nobody foresaw", AdminProblem),
    503: ("Storage does not answer; the same request may succeed later", AdminProblem),
}
_WRITES: Final = {403: ("The header X-CSRF-Token is missing or wrong", AdminProblem)}
_BAD: Final = {400: ("A parameter or the body is not of the documented form", AdminProblem)}
_MISSING: Final = {404: ("There is no such thing", AdminProblem)}


def read(path: str, summary: str, kind: Any, *more: dict[int, tuple[str, Any]]) -> Operation:
    """A GET below the prefix."""
    return _operation("GET", path, summary, {200: ("It", kind)}, None, *more)


def write(path: str, summary: str, kind: Any, body: Any, *more: dict[int, tuple[str, Any]]) -> Operation:
    """A POST below the prefix."""
    return _operation("POST", path, summary, {200: ("Done", kind)}, body, _WRITES, *more)


def _operation(
    method: str,
    path: str,
    summary: str,
    answer: dict[int, tuple[str, Any]],
    body: Any,
    *more: dict[int, tuple[str, Any]],
) -> Operation:
    answers = answer | _ALWAYS
    for each in more:
        answers |= each
    return Operation(method, door.PREFIX + path, summary, TAG, answers, body, SECURITY)


CONFERENCES: Final = (
    read("/conferences", "All conferences, a page at a time (limit, after, search)", AdminConferences, _BAD),
    read("/conference", "One conference (name)", AdminConference, _BAD),
    read(
        "/conference/counts",
        "How many wait in some shards of a conference (name, shards)",
        AdminCounts,
        _BAD,
    ),
    write("/conference/golive", "Make a conference live", AdminLive, AdminName, _BAD),
    write("/conference/clear", "Have a conference wait again", AdminLive, AdminName, _BAD),
)

OPERATIONS: Final = (
    Operation(
        "POST",
        door.PREFIX + "/session",
        "Sign in: a session's cookie for a token",
        TAG,
        {200: ("Signed in", AdminSession)} | _ALWAYS | _BAD,
        AdminToken,
    ),
    read("/session", "Who is signed in", AdminSession),
    *CONFERENCES,
    _operation("DELETE", "/session", "Sign out", {204: ("Signed out", None)}, None, _WRITES),
    read(
        "/overview",
        "What is served, waits and is owed; `minutes` of it, up to 1440",
        shapes.AdminOverview,
        _BAD,
    ),
    read(
        "/events",
        "What was served last; narrowed by `request_id`, `facade`, `errors=1` or `refused=1`",
        shapes.AdminEvents,
        _BAD,
    ),
)


def every() -> list[Operation]:
    """All operations."""
    return list(OPERATIONS)
