"""Rooms on the wire: the bodies that make, change and delete them, how they are shown (contract 6).  Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from chalicelib.loop import fields
from chalicelib.loop.errors import Missing, ValidationError
from chalicelib.loop.room import Limits, NewRoom, Room, RoomChange, capacity
from chalicelib.loop.session import Participation
from chalicelib.wire.untrusted import Json

DEFAULT_CHANNEL: Final = "default"
LONGEST_CHANNEL: Final = 255
CONTEXT: Final = ("value", "alg", "wrappedKey")
NAME: Final = "roomName"
ALERT: Final = "roomName is deprecated: use context"
NOTHING: Final = msgspec.Raw(b"null")

Body = Mapping[str, Json]
"""The members of what somebody sent."""
Shown = dict[str, Any]
"""A room as somebody may see it."""


def parse_new(given: Body, limits: Limits) -> NewRoom:
    """A room that is to be made.  Raises `Missing`, `ValidationError`."""
    missing = [name for name in ("roomOwner", "maxSize") if name not in given]
    if "context" not in given and NAME not in given:
        missing.append("context or roomName")
    if missing:
        raise Missing(f"missing: {', '.join(missing)}")
    return NewRoom(
        owner=_owner(given, limits),
        max_size=_max_size(given, limits),
        hours=_hours(given, limits),
        channel=_channel(given),
        name=_name(given, limits),
        context=_context(given),
    )


def parse_change(given: Body, limits: Limits) -> RoomChange:
    """What a room is to get anew.  Raises `ValidationError`."""
    return RoomChange(
        hours=_hours(given, limits),
        owner=_owner(given, limits) if "roomOwner" in given else None,
        name=_name(given, limits),
        max_size=_max_size(given, limits) if "maxSize" in given else None,
        context=_context(given),
    )


def parse_deletion(given: Body) -> list[str]:
    """The tokens of the rooms that are to go, each once.  Raises `Missing`, `ValidationError`."""
    fields.demand(given, ["deleteRoomTokens"])
    tokens = given["deleteRoomTokens"]
    if not isinstance(tokens, list) or not tokens:
        raise ValidationError("deleteRoomTokens must be a list with something in it")
    found = [each for each in tokens if isinstance(each, str)]
    if len(found) != len(tokens):
        raise ValidationError("deleteRoomTokens must be a list of texts")
    return list(dict.fromkeys(found))


def parse_version(text: str | None) -> int:
    """Since when a caller has not looked; 0 where it has never looked, or does not say (contract 6.6).

    >>> [parse_version(each) for each in ("1700000000", "12.7", "0", "", "soon", None)]
    [1700000000, 12, 0, 0, 0, 0]
    """
    return fields.whole(text) or 0


def _owner(given: Body, limits: Limits) -> str:
    found = fields.text(given["roomOwner"], limits.owner_characters)
    if found is None:
        raise ValidationError(f"roomOwner must be a text of at most {limits.owner_characters} characters")
    return found


def _name(given: Body, limits: Limits) -> str | None:
    if NAME not in given:
        return None
    if "context" in given:
        raise ValidationError("context and roomName exclude each other")
    found = fields.text(given[NAME], limits.name_characters)
    if found is None:
        raise ValidationError(f"roomName must be a text of at most {limits.name_characters} characters")
    return found


def _max_size(given: Body, limits: Limits) -> int:
    return _between(given["maxSize"], "maxSize", limits.max_size)


def _hours(given: Body, limits: Limits) -> int:
    return _between(given.get("expiresIn", limits.hours), "expiresIn", limits.hours)


def _between(value: Json, name: str, most: int) -> int:
    found = fields.whole(value)
    if found is None or not 1 <= found <= most:
        raise ValidationError(f"{name} must be a number between 1 and {most}")
    return found


def _channel(given: Body) -> str:
    """Free text; what is longer than any channel of ours is an unknown one, and those are the default one."""
    found = given.get("channel", DEFAULT_CHANNEL)
    if not isinstance(found, str):
        raise ValidationError("channel must be a text")
    return found if len(found) <= LONGEST_CHANNEL else DEFAULT_CHANNEL


def _context(given: Body) -> str | None:
    """The context as JSON text, other members and all: only its owner can read it."""
    if "context" not in given:
        return None
    found = given["context"]
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in CONTEXT):
        raise ValidationError(f"context must be an object with the texts {', '.join(CONTEXT)}")
    return msgspec.json.encode(found).decode()


def url(template: str, token: str) -> str:
    """Where a room is entered."""
    return template.replace("{token}", token)


def made(room: Room, template: str) -> Shown:
    """A room to who made it."""
    return {"roomToken": room.token, "roomUrl": url(template, room.token), "expiresAt": room.ends_at}


def changed(ends_at: int) -> Shown:
    """A room to who changed it."""
    return {"expiresAt": ends_at}


def public(room: Room, template: str, context: str | None) -> Shown:
    """A room to everybody who knows its token."""
    shown: Shown = {
        "roomToken": room.token,
        "roomUrl": url(template, room.token),
        "roomOwner": room.owner,
        "context": NOTHING if context is None else msgspec.Raw(context.encode()),
    }
    if room.name is not None:
        shown[NAME] = room.name
    return shown


def full(room: Room, template: str, context: str | None, present: Sequence[Participation]) -> Shown:
    """A room to its owner and to who is in it; `present` are those whose participation lives."""
    return public(room, template, context) | {
        "maxSize": room.max_size,
        "clientMaxSize": capacity(room.max_size, (each.most for each in present)),
        "creationTime": room.created,
        "expiresAt": room.ends_at,
        "ctime": room.ctime,
        "participants": [_participant(each) for each in present],
    }


def _participant(each: Participation) -> Shown:
    return {"roomConnectionId": each.id, "displayName": each.name, "owner": each.is_owner}


def deleted(token: str) -> Shown:
    """What is left of a deleted room."""
    return {"roomToken": token, "deleted": True}


def responses(found: Iterable[tuple[str, Shown]]) -> Shown:
    """How the deletion of several rooms went, by token."""
    return {"responses": dict(found)}
