"""What `/openapi.json` says of the rooms API."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from chalicelib.loop.routes import common
from chalicelib.operations import Operation

TAG: Final = "loop"
SECURITY: Final = "hawk"
Answers = dict[int, tuple[str, Any]]


class LoopProblem(msgspec.Struct, frozen=True):
    """An error of the rooms API: the HTTP status, the number that clients look at, a text for people."""

    code: int
    errno: int
    error: Any


class PushUrls(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an owner is told that a room changed."""

    rooms: str | None = None
    calls: str | None = None


class Registration(msgspec.Struct, frozen=True, omit_defaults=True, rename={"urls": "simplePushURLs"}):
    """Credentials that are wanted, or what theirs are to be told."""

    urls: PushUrls | None = None


class Context(msgspec.Struct, frozen=True, rename="camel"):
    """What a room is about, encrypted by its owner."""

    value: str
    alg: str
    wrapped_key: str


class NewLoopRoom(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A room that is to be made; it has a context or, which is deprecated, a name."""

    room_owner: str
    max_size: int
    context: Context | None = None
    room_name: str | None = None
    expires_in: int | None = None
    """Hours."""
    channel: str | None = None


class MadeLoopRoom(msgspec.Struct, frozen=True, rename="camel"):
    """A room that was made."""

    room_token: str
    room_url: str
    expires_at: int


class LoopRoomChange(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a room is to get anew."""

    context: Context | None = None
    room_name: str | None = None
    room_owner: str | None = None
    max_size: int | None = None
    expires_in: int | None = None


class ChangedLoopRoom(msgspec.Struct, frozen=True, rename="camel"):
    """When a changed room ends."""

    expires_at: int


class LoopParticipant(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody who is in a room."""

    room_connection_id: str
    display_name: str
    owner: bool


class LoopRoom(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A room; to who neither owns it nor is in it, only the first five."""

    room_token: str
    room_url: str
    room_owner: str
    context: Context | None
    room_name: str | None = None
    max_size: int | None = None
    client_max_size: int | None = None
    creation_time: int | None = None
    expires_at: int | None = None
    ctime: int | None = None
    participants: list[LoopParticipant] | None = None


class ListedLoopRoom(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A room of one's own, or that it was deleted a little while ago; its token is all there is then."""

    room_token: str
    deleted: Literal[True] | None = None
    room_url: str | None = None
    room_owner: str | None = None
    context: Context | None = None
    room_name: str | None = None
    max_size: int | None = None
    client_max_size: int | None = None
    creation_time: int | None = None
    expires_at: int | None = None
    ctime: int | None = None
    participants: list[LoopParticipant] | None = None


class LoopDeletion(msgspec.Struct, frozen=True, rename="camel"):
    """The rooms that are to go."""

    delete_room_tokens: Annotated[list[str], msgspec.Meta(min_length=1)]


class Deletion(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the deletion of one room went."""

    code: int
    errno: int | None = None
    error: str | None = None


class Deletions(msgspec.Struct, frozen=True):
    """How the deletion of each room went, by token."""

    responses: dict[str, Deletion]


class LoopAction(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What somebody does in a room; which other fields there are depends on the action."""

    action: Literal["join", "refresh", "leave", "logDomain", "status"]
    display_name: str | None = None
    client_max_size: int | None = None
    event: str | None = None
    state: str | None = None
    connections: int | None = None
    send_streams: int | None = None
    recv_streams: int | None = None
    domains: list[dict[str, Any]] | None = None
    session_token: str | None = None


class Joined(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The credentials of who joined; who refreshed is told `expires` alone."""

    expires: int
    api_key: str | None = None
    session_id: str | None = None
    session_token: str | None = None


class LoopSession(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a participant's media stack reported last."""

    room_connection_id: str
    display_name: str
    owner: bool
    state: str
    event: str | None
    connections: int
    send_streams: int
    recv_streams: int
    time: int | None
    reports: int
    non_conforming: int
    ended: int | None = None


class LoopSessions(msgspec.Struct, frozen=True):
    """What everybody in a room reported."""

    sessions: list[LoopSession]


class PushServer(msgspec.Struct, frozen=True):
    """The push server that a client is to register with."""

    push_server_uri: str = msgspec.field(name="pushServerURI")


_BAD: Final[Answers] = {
    400: ("A field is missing or wrong (108, 107), or the body is no JSON (106)", LoopProblem)
}
_NO_CALLER: Final[Answers] = {401: ("No, unreadable, wrong or stale authentication (110)", LoopProblem)}
_NOT_YOURS: Final[Answers] = {403: ("The room is another one's (999)", LoopProblem)}
_NO_ROOM: Final[Answers] = {404: ("There is no such room (105)", LoopProblem)}
_GONE: Final[Answers] = {410: ("The participation has expired (111)", LoopProblem)}
_ALWAYS: Final[Answers] = {503: ("Storage or the media platform does not answer (201)", LoopProblem)}
_DONE: Final = ("Done", None)


def _answers(status: int, meaning: str, kind: Any, *more: Mapping[int, tuple[str, Any]]) -> Answers:
    answers: Answers = {status: (meaning, kind)}
    for each in (*more, _ALWAYS):
        answers |= each
    return answers


_Row = tuple[str, str, str, str | None, Any, Answers]
"""Method, path, summary, security, type of the body, answers."""

_ROOM: Final = "/rooms/{token}"
_HAWK: Final = (_NO_CALLER,)

ROWS: Final[tuple[_Row, ...]] = (
    (
        *("POST", "/registration", "Get credentials, or say where to push", None, Registration),
        _answers(200, "New credentials are in Hawk-Session-Token", dict[str, Any], _BAD, _NO_CALLER),
    ),
    (
        *("DELETE", "/registration", "Push nowhere any more", SECURITY, None),
        _answers(204, *_DONE, _NO_CALLER),
    ),
    (
        *("DELETE", "/session", "For users of accounts, and there are none", SECURITY, None),
        {403: ("There are no accounts (110)", LoopProblem)} | _NO_CALLER | _ALWAYS,
    ),
    (
        *("DELETE", "/account", "Have the credentials end", SECURITY, None),
        _answers(204, *_DONE, _NO_CALLER),
    ),
    (
        *("POST", "/rooms", "Make a room", SECURITY, NewLoopRoom),
        _answers(201, "The room", MadeLoopRoom, _BAD, _NO_CALLER),
    ),
    (
        *("GET", "/rooms", "The caller's rooms, or what changed since a version", SECURITY, None),
        _answers(200, "Rooms, and what was deleted", list[ListedLoopRoom], _BAD, _NO_CALLER),
    ),
    (
        *("PATCH", "/rooms", "Delete several rooms", SECURITY, LoopDeletion),
        _answers(207, "How each went", Deletions, _BAD, _NO_CALLER, {404: ("None was there", Deletions)}),
    ),
    (
        *("GET", _ROOM, "A room, as far as the caller may see it", None, None),
        _answers(200, "The room", LoopRoom, _NO_CALLER, _NOT_YOURS, _NO_ROOM),
    ),
    (
        *("POST", _ROOM, "Join, refresh, leave, or report", None, LoopAction),
        _answers(
            200,
            "Joined or refreshed",
            Joined,
            {204: ("Left or reported", None)},
            {
                400: (
                    "A field is wrong, the room is full (202, 121), or the caller is not in it (203)",
                    LoopProblem,
                )
            },
            _NO_CALLER,
            _NO_ROOM,
            _GONE,
        ),
    ),
    (
        *("PATCH", _ROOM, "Change a room", SECURITY, LoopRoomChange),
        _answers(200, "Its new end", ChangedLoopRoom, _BAD, _NO_CALLER, _NOT_YOURS, _NO_ROOM),
    ),
    (
        *("DELETE", _ROOM, "Delete a room with everybody in it", SECURITY, None),
        _answers(204, *_DONE, _NO_CALLER, _NOT_YOURS, _NO_ROOM),
    ),
    (
        *("GET", f"{_ROOM}/sessions", "What everybody in a room reported last", SECURITY, None),
        _answers(200, "The sessions", LoopSessions, _NO_CALLER, _NOT_YOURS, _NO_ROOM),
    ),
    (
        *("GET", "/push-server-config", "The push server to register with", None, None),
        {200: ("Its address", PushServer)},
    ),
    ("GET", "/__lbheartbeat__", "Whether the service runs", None, None, {200: ("It does", dict[str, Any])}),
    (
        *("GET", "/__heartbeat__", "Whether what the service needs answers", None, None),
        {
            200: ("All of it does", dict[str, bool]),
            503: ("Some of it does not", dict[str, bool]),
        },
    ),
)


def _operation(row: _Row, prefix: str) -> Operation:
    method, path, summary, security, body, answers = row
    return Operation(method, prefix + path, summary, TAG, answers, body, security)


def unserved() -> Iterator[Operation]:
    """Preflights, and methods that a path does not have."""
    missing: Answers = {404: ("There is no such method here (999)", LoopProblem)}
    for path, served in common.served().items():
        yield Operation(
            common.PREFLIGHT, path, "What a page may send", TAG, {204: ("Anything of the API", None)}
        )
        for method in common.METHODS:
            if method not in served:
                yield Operation(method, path, "Not there", TAG, missing)


def every() -> list[Operation]:
    """All operations, those that nobody serves too; to be asked for once every route is there."""
    return [*(_operation(row, prefix) for prefix in common.PREFIXES for row in ROWS), *unserved()]
