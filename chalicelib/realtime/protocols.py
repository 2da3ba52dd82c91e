"""Which protocol a socket's first message chooses: one address serves several, by a table that app.py fills.

A session says by its version which protocol it belongs to, so that making one binds the socket: whoever
comes second finds it standing.  No message needs a storage call to find its protocol.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from chalicelib.errors import AppError, Unavailable
from chalicelib.realtime import fronts, sessions
from chalicelib.realtime.ports import Session
from chalicelib.store import table

Event: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]


class Socket(msgspec.Struct, frozen=True):
    """One WebSocket, as an event names it."""

    id: str
    front: str
    source: str


def socket_in(event: Event) -> Socket:
    """The socket that an event is about."""
    context = event["requestContext"]
    return Socket(
        context["connectionId"],
        fronts.of(context.get("apiId") or ""),
        (context.get("identity") or {}).get("sourceIp") or "",
    )


class Spoken(NamedTuple):
    """One protocol, as its edge serves it."""

    endpoints: frozenset[str]
    """The paths of handshakes that are its own."""
    versions: frozenset[str]
    """The versions that its sessions say; for the first protocol of the table, all that no other has."""
    opens: Callable[[str], bool]
    """Whether a text is a message of it, where the socket may still be nobody's."""
    handshake: Callable[[Event], Answer]
    message: Callable[[Event], Answer]


Ended = Callable[[Socket, Session], None]
Later = Callable[[Socket], None]


class Taken(AppError):
    """The socket speaks another protocol already: its message goes there."""


_spoken: list[Spoken] = []
_ends: dict[str, Ended] = {}
_later: list[Later] = []
OTHERS = ""


def offer(spoken: Spoken) -> None:
    """Serve a protocol; the first one serves whatever no other claims.  The composition root does this."""
    _spoken.append(spoken)


def ends(version: str, ended: Ended) -> None:
    """Have `ended` see to what hangs on a session of this version; `OTHERS` are all that have no other."""
    _ends[version] = ended


def later(repair: Later) -> None:
    """Have `repair` called with a socket whose session could not be ended now."""
    _later[:] = [repair]


def handshake(event: Event) -> Answer:
    """Answer a handshake: where its path is nobody's own, every protocol may follow."""
    endpoint = (event.get("queryStringParameters") or {}).get("endpoint")
    for spoken in _spoken:
        if endpoint in spoken.endpoints:
            return spoken.handshake(event)
    return _spoken[0].handshake(event)


def message(event: Event) -> Answer:
    """Serve a message in the protocol that the socket speaks, or begins to speak with it."""
    text = event.get("body") or ""
    spoken = _bound(event["requestContext"]["connectionId"]) or _opened(text)
    try:
        return spoken.message(event)
    except Taken:
        return _spoken[0].message(event)


def _bound(socket_id: str) -> Spoken | None:
    """The protocol of a socket whose session this process holds; elsewhere a read would tell."""
    if sessions.in_rows():
        return None
    session = sessions.here().read(socket_id)
    if session is None:
        return None
    for spoken in _spoken[1:]:
        if session.version in spoken.versions:
            return spoken
    return _spoken[0]


def _opened(text: str) -> Spoken:
    for spoken in _spoken[1:]:
        if spoken.opens(text):
            return spoken
    return _spoken[0]


def disconnect(event: Event) -> Answer:
    """Forget a socket that is gone."""
    try:
        with table.budget():
            end(socket_in(event), gone=True)
    except Unavailable:
        # Its rows go by TTL, and no longer count once its front is gone or it answers 410.
        return {"statusCode": 503}
    return {"statusCode": 200}


def end(socket: Socket, gone: bool) -> Session | None:
    """End a session and see to what hangs on it; what it was, `None` if there was none.

    In any order, any number of times.  What storage does not take now is done later.  Raises `Unavailable`.
    """
    try:
        session = sessions.here().delete(socket.id, gone)
        if session is not None:
            ended(socket, session)
    except Unavailable:
        for repair in _later:
            repair(socket)
        raise
    return session


def ended(socket: Socket, session: Session) -> None:
    """See to what hangs on a session that has ended.  Raises `Unavailable`."""
    see_to = _ends.get(session.version) or _ends.get(OTHERS)
    if see_to is not None:
        see_to(socket, session)


def typed(text: str) -> dict[str, Any] | None:
    """The JSON object with a string `type` that a text is, or `None`: no STOMP frame begins with a brace.

    >>> typed('{"type":"pong"}')
    {'type': 'pong'}
    >>> [typed(text) for text in ('CONNECT', '{"type":1}', '["type"]', '{')]
    [None, None, None, None]
    """
    if not is_braced(text):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("type"), str) else None


def is_braced(text: str) -> bool:
    """Whether a text begins as a JSON object does: whoever sends such wants no heart-beats of blank lines."""
    return text.lstrip(" \t\r\n").startswith("{")
