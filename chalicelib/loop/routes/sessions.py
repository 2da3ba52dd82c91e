"""`POST /rooms/{token}`: what is done in a room (contract 7); `GET /rooms/{token}/sessions`, our own."""

from collections.abc import Callable

from chalice.app import Blueprint

from chalicelib.loop import actions_messages as messages
from chalicelib.loop import auth, settings, spelling
from chalicelib.loop.actions import sessions as actions
from chalicelib.loop.actions_messages import Action, Body
from chalicelib.loop.auth import NOBODY, Call, Caller, Guest, Hawk, Nobody
from chalicelib.loop.errors import Unauthenticated, ValidationError
from chalicelib.loop.routes import common
from chalicelib.loop.store.sessions import Seen
from chalicelib.wire.reply import Reply

bp = Blueprint(__name__)

Deed = Callable[[], Reply]
"""What a request asks for, all of it understood."""


@common.route(bp, "/rooms/{token}", ["POST"])
def act(call: Call, token: str) -> Reply:
    """Do something in a room.

    The room comes first, then who asks, what for, and the fields (contract 4.6).  Where nothing is wrong, the
    one write that does it looks at the first two; they are read for a request that has a fault anyway.
    """
    call.note(token=token)
    caller: Caller = NOBODY
    try:
        caller = auth.optional(call)
        deed = _understand(call, token, caller)
    except (Unauthenticated, ValidationError):
        actions.check(token, caller)
        raise
    return deed()


def _understand(call: Call, token: str, caller: Caller) -> Deed:
    """Raises `Missing`, `ValidationError`, `Unauthenticated`."""
    body = call.json()
    action = messages.parse_action(body)
    call.note(action=action)
    if action is Action.JOIN:
        wanted = messages.parse_join(body)
        return lambda: _join(call, token, caller, wanted)
    if isinstance(caller, Nobody):
        return _leave_by_token(call, token, action, body)
    return _in_room(call, token, caller, action, body)


def _leave_by_token(call: Call, token: str, action: Action, body: Body) -> Deed:
    """Nobody can do nothing in a room but leave it with a session token.  Raises `Unauthenticated`."""
    shown = messages.session_token(body) if action is Action.LEAVE else None
    if shown is None:
        raise Unauthenticated("no header")
    return lambda: _done(call, actions.leave_by_token(token, shown))


def _in_room(call: Call, token: str, caller: Hawk | Guest, action: Action, body: Body) -> Deed:
    """Raises `Missing`, `ValidationError`."""
    match action:
        case Action.REFRESH:
            return lambda: _refresh(call, token, caller)
        case Action.STATUS:
            return _report(call, token, caller, body)
        case Action.LOG_DOMAIN:
            domains = messages.parse_domains(body)
            return lambda: _done(call, actions.log_domains(token, caller, domains))
        case _:
            return lambda: _done(call, actions.leave(token, caller))


def _join(call: Call, token: str, caller: Caller, wanted: messages.Join) -> Reply:
    joined = actions.join(token, caller, wanted)
    call.note(
        participants=joined.present,
        sessionId=joined.session_id,
        roomConnectionId=joined.participation.id,
    )
    expires = settings.get().participant_ttl
    return spelling.document(
        messages.joined(joined.api_key, joined.session_id, joined.session_token, expires)
    )


def _refresh(call: Call, token: str, caller: Hawk | Guest) -> Reply:
    _note(call, actions.refresh(token, caller))
    return spelling.document(messages.refreshed(settings.get().participant_ttl))


def _report(call: Call, token: str, caller: Hawk | Guest, body: Body) -> Deed:
    """Raises `ValidationError`."""
    given = messages.parse_status(body, any_state=settings.get().status_states == "any")
    call.note(
        event=given.event,
        state=given.state,
        connections=given.connections,
        sendStreams=given.sends,
        recvStreams=given.receives,
    )
    return lambda: _done(call, actions.report(token, caller, given))


def _done(call: Call, seen: Seen) -> Reply:
    _note(call, seen)
    return spelling.empty()


def _note(call: Call, seen: Seen) -> None:
    """Tell the log's line of the room, and of the caller in it."""
    call.note(
        participants=seen.present,
        sessionId=seen.session_id,
        roomConnectionId=seen.connection_id,
    )


@common.route(bp, "/rooms/{token}/sessions", ["GET"])
def listed(call: Call, token: str) -> Reply:
    """What everybody reported who is or lately was in the room, for its owner."""
    caller = auth.hawk(call)
    call.note(token=token)
    return spelling.document(actions.listed(caller, token))
