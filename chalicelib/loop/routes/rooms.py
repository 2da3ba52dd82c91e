"""`/rooms` and `/rooms/{token}`, but for what is done in a room (contract 6)."""

from collections.abc import Mapping
from typing import Final

from chalice.app import Blueprint

from chalicelib.loop import auth, messages, spelling
from chalicelib.loop.actions import rooms as actions
from chalicelib.loop.auth import Call
from chalicelib.loop.messages import Body
from chalicelib.loop.routes import common
from chalicelib.wire.reply import Reply

bp = Blueprint(__name__)

JSON: Final = {"Content-Type": "application/json"}


@common.route(bp, "/rooms", ["POST"])
def create(call: Call) -> Reply:
    """Make a room."""
    caller = auth.hawk(call)
    body = call.json()
    made = actions.create(caller, body)
    call.note(token=made["roomToken"])
    return spelling.document(made, 201, _alert(body))


@common.route(bp, "/rooms", ["GET"])
def every(call: Call) -> Reply:
    """The caller's rooms, or what changed since a version."""
    caller = auth.hawk(call)
    version = messages.parse_version(next(iter(call.request.query.get("version") or []), None))
    return Reply(200, actions.every(caller, version), JSON)


@common.route(bp, "/rooms", ["PATCH"])
def delete_some(call: Call) -> Reply:
    """Delete several rooms."""
    shown, gone = actions.delete_some(auth.hawk(call), call.json())
    return spelling.document(shown, 207 if gone else 404)


@common.route(bp, "/rooms/{token}", ["GET"])
def look(call: Call, token: str) -> Reply:
    """One room, as far as the caller may see it; whether it is there comes first (contract 4.6)."""
    call.note(token=token)
    found = actions.find(token)
    shown = actions.look(found, auth.optional(call))
    if "participants" in shown:
        call.note(participants=len(shown["participants"]))
    return spelling.document(shown)


@common.route(bp, "/rooms/{token}", ["PATCH"])
def change(call: Call, token: str) -> Reply:
    """Change a room."""
    caller = auth.hawk(call)
    call.note(token=token)
    changed = actions.change(caller, token, call.json)
    return spelling.document(changed, 200, _alert(call.json()))


@common.route(bp, "/rooms/{token}", ["DELETE"])
def delete(call: Call, token: str) -> Reply:
    """Delete a room."""
    caller = auth.hawk(call)
    call.note(token=token)
    actions.delete(caller, token)
    return spelling.empty()


def _alert(body: Body) -> Mapping[str, str]:
    """What a caller is told whose body has the deprecated name of a room."""
    return {"Alert": messages.ALERT} if messages.NAME in body else {}
