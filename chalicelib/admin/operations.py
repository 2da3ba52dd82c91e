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


class AdminService(msgspec.Struct, frozen=True):
    """A service of conference management."""

    id: str
    name: str


class AdminServices(msgspec.Struct, frozen=True):
    """A page of services."""

    items: list[AdminService]
    next: str | None


class AdminRoom(msgspec.Struct, frozen=True):
    """A room of conference management; a limit that is null is none."""

    id: str
    name: str
    service: str
    participants: int
    streams: int
    others: int
    participant_limit: int | None
    input_limit: int | None


class AdminRooms(msgspec.Struct, frozen=True):
    """A page of rooms."""

    items: list[AdminRoom]
    next: str | None


class AdminParticipant(msgspec.Struct, frozen=True):
    """Somebody in a room."""

    id: str
    user: str
    role: str
    permission: Document


class AdminRoomStream(msgspec.Struct, frozen=True):
    """A stream of a room."""

    id: str
    type: Literal["mixed", "forward"]
    owner: str | None
    source: str | None
    views: list[str]
    audio: bool
    video: bool
    attributes: Document | None
    arrived: int | None


class AdminWholeRoom(msgspec.Struct, frozen=True):
    """A room with the first 500 participants and streams; `more` says that there are others."""

    room: AdminRoom
    participants: list[AdminParticipant]
    streams: list[AdminRoomStream]
    more: bool


class AdminInvitation(msgspec.Struct, frozen=True):
    """A room by invitation; of its token only the first characters are shown."""

    id: str
    token: str
    name: str | None
    owner: str | None
    participants: int
    max_size: int
    created_at: int
    expires_at: int


class AdminInvitations(msgspec.Struct, frozen=True):
    """A page of rooms by invitation."""

    items: list[AdminInvitation]
    next: str | None


class AdminParticipation(msgspec.Struct, frozen=True):
    """Somebody in a room by invitation."""

    session_id: str
    name: str
    owner: bool
    state: str
    event: str | None
    connections: int
    sends: int
    receives: int
    non_conforming: int
    joined_at: int
    expires_at: int


class AdminWholeInvitation(msgspec.Struct, frozen=True):
    """A room by invitation with those who are in it."""

    id: str
    token: str
    name: str | None
    owner: str | None
    participants: int
    max_size: int
    created_at: int
    expires_at: int
    sessions: list[AdminParticipation]


class AdminStream(msgspec.Struct, frozen=True):
    """A stream of a media server."""

    name: str | None
    media_session_id: str | None
    server: str | None
    app_key: str | None
    status: str | None
    video_codec: str | None
    audio_codec: str | None
    published: Any
    has_video: Any
    has_audio: Any
    width: Any
    height: Any
    bitrate: Any
    created: Any
    at: int
    ended: bool
    ending: bool
    stale: bool


class AdminStreams(msgspec.Struct, frozen=True):
    """A page of streams."""

    items: list[AdminStream]
    next: str | None


class AdminListedChannel(msgspec.Struct, frozen=True):
    """A channel in the list."""

    channel_id: str
    seen_at: int


class AdminChannels(msgspec.Struct, frozen=True):
    """A page of channels."""

    items: list[AdminListedChannel]
    next: str | None


class AdminConnection(msgspec.Struct, frozen=True):
    """A connection of a channel; metadata of more than 16 KiB are only measured."""

    connection_id: str
    client_id: str
    bundle_id: str
    role: str | None
    session_id: str | None
    door: str | None
    created_at: int | None
    metadata: Document | None
    metadata_bytes: int


class AdminChannel(msgspec.Struct, frozen=True):
    """A page of a channel's connections."""

    channel_id: str
    connections: list[AdminConnection]
    next: str | None


class AdminDue(msgspec.Struct, frozen=True):
    """Something that is owed, when it is due, and why the last try failed."""

    kind: str
    at: int
    attempts: int
    reason: str | None
    overdue_s: float


class AdminDues(msgspec.Struct, frozen=True):
    """What is owed as it was at `measured_at`; there are no further pages."""

    items: list[AdminDue]
    next: None
    more: bool
    measured_at: int | None


class AdminLetter(msgspec.Struct, frozen=True):
    """Something owed that could not be done."""

    id: str
    kind: str
    reason: str
    attempts: int
    at: int
    replayable: bool


class AdminLetters(msgspec.Struct, frozen=True):
    """A page of dead letters."""

    items: list[AdminLetter]
    next: str | None


class AdminChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which dead letters: one of these."""

    ids: list[str] = []
    kind: str = ""
    all: bool = False


class AdminFailed(msgspec.Struct, frozen=True):
    """A letter for which it was not done, and why."""

    id: str
    reason: str


class AdminRetried(msgspec.Struct, frozen=True):
    """How many are owed again; `more` says that some were left for another request."""

    retried: int
    failed: list[AdminFailed]
    more: bool


class AdminDropped(msgspec.Struct, frozen=True):
    """How many are forgotten; `more` says that some were left for another request."""

    dropped: int
    failed: list[AdminFailed]
    more: bool


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

FACADES: Final = (
    read(
        "/owt/services", "All services of conference management (limit, after, search)", AdminServices, _BAD
    ),
    read("/owt/services/{service}/rooms", "The rooms of a service (limit, after, search)", AdminRooms, _BAD),
    read("/owt/rooms/{room}", "A room with participants and streams", AdminWholeRoom, _MISSING),
    read("/loop/rooms", "All rooms by invitation (limit, after, search)", AdminInvitations, _BAD),
    read("/loop/rooms/{room}", "A room by invitation with its sessions", AdminWholeInvitation, _MISSING),
    read("/wcs/streams", "All streams of media servers (limit, after, search)", AdminStreams, _BAD),
    read("/sora/channels", "All channels (limit, after, search)", AdminChannels, _BAD),
    read("/sora/channel", "A channel's connections (id, limit, after)", AdminChannel, _BAD),
)

OWED: Final = (
    read("/owed", "What is overdue or failed; of one kind, what is due first (kind, limit)", AdminDues, _BAD),
    read("/dead", "The dead letters, the newest first (limit, after, kind)", AdminLetters, _BAD),
    write("/dead/retry", "Have dead letters done again", AdminRetried, AdminChoice, _BAD),
    write("/dead/drop", "Forget dead letters", AdminDropped, AdminChoice, _BAD),
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
    *FACADES,
    _operation("DELETE", "/session", "Sign out", {204: ("Signed out", None)}, None, _WRITES),
    *OWED,
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
