"""What is done in a room, on the wire: bodies of `POST /rooms/{token}` and answers (contract 7).  Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from chalicelib.loop import fields
from chalicelib.loop.errors import ValidationError
from chalicelib.loop.session import LONGEST_EVENT, STATES, Participation, Report
from chalicelib.wire.untrusted import Json

LONGEST_NAME: Final = 255
"""So many characters has the name at most by which others know somebody."""
LONGEST_DOMAIN: Final = 253
MOST: Final = 10**9
"""Numbers beyond are taken for this one: no room and no counter comes near."""

COUNTERS: Final = ("connections", "sendStreams", "recvStreams")
SYNONYM: Final = ("connections", "sessions")

Body = Mapping[str, Json]


class Action(StrEnum):
    """What may be done in a room."""

    JOIN = "join"
    REFRESH = "refresh"
    LEAVE = "leave"
    STATUS = "status"
    LOG_DOMAIN = "logDomain"


class Join(msgspec.Struct, frozen=True):
    """Somebody wants to come in."""

    name: str
    most: int
    """How many people the client can take."""


class Domain(msgspec.Struct, frozen=True):
    """How often a domain was shared in a room."""

    domain: str
    count: int


def parse_action(body: Body) -> Action:
    """Which action a body asks for.  Raises `Missing`, `ValidationError`."""
    fields.demand(body, ["action"])
    try:
        return Action(str(body["action"]))
    except ValueError:
        raise ValidationError(f"action must be one of {', '.join(Action)}") from None


def parse_join(body: Body) -> Join:
    """Raises `Missing`, `ValidationError`."""
    fields.demand(body, ["displayName", "clientMaxSize"])
    name = fields.text(body["displayName"], LONGEST_NAME)
    if name is None:
        raise ValidationError(f"displayName must be a text of at most {LONGEST_NAME} characters")
    most = fields.whole(body["clientMaxSize"])
    if most is None:
        raise ValidationError("clientMaxSize must be a number")
    return Join(name, min(most, MOST))


def parse_status(body: Body, *, any_state: bool) -> Report:
    """What a media stack reports; `sessions` stands for `connections` where those are not told.

    >>> seed = {"event": "Session.connectionCreated", "state": "sendrecv", "sessions": 2, "sendStreams": "1",
    ...     "recvStreams": 1}
    >>> parse_status(seed, any_state=False).connections
    2

    What is missing is no `Missing` here (contract 7.5).  Raises `ValidationError`.
    """
    event, state = _text(body, "event"), _text(body, "state")
    if not any_state and state not in STATES:
        raise ValidationError(f"state must be one of {', '.join(STATES)}")
    connections, synonym = SYNONYM
    if connections not in body and synonym in body:
        body = {**body, connections: body[synonym]}
    return Report(event, state, *(_counter(body, name) for name in COUNTERS))


def _text(body: Body, name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found:
        raise ValidationError(f"{name} must be a text that is not empty")
    return found[:LONGEST_EVENT]


def _counter(body: Body, name: str) -> int:
    found = fields.whole(body.get(name))
    if found is None or found < 0:
        raise ValidationError(f"{name} must be a number of 0 or more")
    return min(found, MOST)


def parse_domains(body: Body) -> list[Domain]:
    """Raises `Missing`, `ValidationError`."""
    fields.demand(body, ["domains"])
    listed = body["domains"]
    if not isinstance(listed, list):
        raise ValidationError("domains must be a list")
    return [_domain(each) for each in listed]


def _domain(value: Json) -> Domain:
    if not isinstance(value, dict):
        raise ValidationError("domains must be a list of objects")
    domain, count = value.get("domain"), fields.whole(value.get("count"))
    if not isinstance(domain, str) or not 0 < len(domain) <= LONGEST_DOMAIN:
        raise ValidationError(f"domain must be a text of 1 to {LONGEST_DOMAIN} characters")
    if count is None or count < 0:
        raise ValidationError("count must be a number of 0 or more")
    return Domain(domain, min(count, MOST))


def session_token(body: Body) -> str | None:
    """The session token that a body shows, if any."""
    found = body.get("sessionToken")
    return found if isinstance(found, str) and found else None


def joined(api_key: str, session_id: str, token: str, expires: int) -> dict[str, Any]:
    """The answer to a join."""
    return {"apiKey": api_key, "sessionId": session_id, "sessionToken": token, "expires": expires}


def refreshed(expires: int) -> dict[str, Any]:
    """The answer to a refresh."""
    return {"expires": expires}


def sessions(known: Iterable[Participation], now: float) -> dict[str, Any]:
    """What a room remembers of everybody who is or was in it."""
    return {"sessions": [_session(each, now) for each in known]}


def _session(each: Participation, now: float) -> dict[str, Any]:
    ended = each.ended(now)
    shown = {
        "roomConnectionId": each.id,
        "displayName": each.name,
        "owner": each.is_owner,
        "state": each.state,
        "event": each.event,
        "connections": each.connections,
        "sendStreams": each.sends,
        "recvStreams": each.receives,
        "time": None if each.reported is None else int(each.reported),
        "reports": each.reports,
        "nonConforming": each.non_conforming,
    }
    return shown if ended is None else {**shown, "ended": int(ended)}
