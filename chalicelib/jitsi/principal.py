"""Who holds a socket, and to what it may subscribe (contract section 6).  Pure."""

from collections.abc import Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from chalicelib.jitsi import pattern
from chalicelib.jitsi.conference import Conference, Rules
from chalicelib.jitsi.errors import NotAllowed

VISITOR: Final = "visitor"
STATE: Final = "state"
OTHER: Final = "other"
LIST: Final = "list"

UNRESERVED: Final = "-._~!*'()"

Kind = Literal["anonymous", "user", "server"]


class Principal(msgspec.Struct, frozen=True, omit_defaults=True, rename={"token": "t", "expires": "x"}):
    """What was read from a verified token; no part of the token itself."""

    kind: Kind = "anonymous"
    room: str | None = None
    regex: bool = False
    sub: str | None = None
    role: str | None = None
    moderator: bool = False
    domains: tuple[str, ...] = ()
    token: str = ""
    """The token's hash."""
    expires: int = 0
    late: bool = False
    """The token's time was over at CONNECT; only the grace of long waits may help."""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def user(claims: dict[str, Any], token: str, late: bool, moderator_claims: Sequence[str]) -> Principal:
    """The principal of a user's token; `moderator_claims` are paths like `context.user.affiliation=owner`."""
    context = _object(claims.get("context"))
    person = _object(context.get("user"))
    return Principal(
        kind="user",
        room=_text(claims.get("room")),
        regex=_is_true(_object(context.get("room")).get("regex")),
        sub=_text(claims.get("sub")),
        role=_text(person.get("role")),
        moderator=_is_true(person.get("moderator")) or any(_holds(claims, path) for path in moderator_claims),
        token=token,
        expires=int(claims["exp"]),
        late=late,
    )


def _holds(claims: dict[str, Any], path: str) -> bool:
    names, _, wanted = path.partition("=")
    value: object = claims
    for name in names.split("."):
        value = _object(value).get(name)
    return (isinstance(value, str) and value == wanted) or (
        isinstance(value, bool) and str(value).lower() == wanted
    )


def server(claims: dict[str, Any], token: str, late: bool, domains: tuple[str, ...]) -> Principal:
    """The principal of a server's token; `domains` are those its issuer is held to, none meaning all."""
    room = claims.get("room")
    return Principal(
        kind="server",
        room=_text(room) if room is None or isinstance(room, str) else "",
        domains=domains,
        token=token,
        expires=int(claims["exp"]),
        late=late,
    )


def may_connect(who: Principal, rules: Rules) -> None:
    """Refuse whom no destination could admit.  Raises `NotAllowed`."""
    match who.kind:
        case "anonymous":
            if not rules.anonymous:
                raise NotAllowed("a token is required")
        case "user":
            if who.room is None and rules.require_room_claim:
                raise NotAllowed("the token names no room")
            if not (who.moderator or rules.any_visitor or who.role == VISITOR):
                raise NotAllowed("the token is neither a visitor's nor a moderator's")
            if who.late and not (rules.any_visitor or who.role == VISITOR):
                raise NotAllowed("the token has expired")
        case "server":
            pass


def may_wait(who: Principal, conference: Conference, rules: Rules) -> None:
    """Whether `who` may wait for a conference.  Raises `NotAllowed`."""
    match who.kind:
        case "anonymous":
            if not rules.anonymous:
                raise NotAllowed("a token is required", VISITOR)
            if rules.base and conference.tenant(rules) is None:
                raise NotAllowed("the conference is not of this domain", VISITOR)
        case "server":
            covers(who, conference)
        case "user":
            if not (rules.any_visitor or who.role == VISITOR):
                raise NotAllowed("the token is not a visitor's", VISITOR)
            valid_for(who, conference, rules, VISITOR)


def may_watch(who: Principal, conference: Conference, rules: Rules) -> None:
    """Whether `who` may see how many wait for a conference.  Raises `NotAllowed`."""
    if who.kind != "user" or not who.moderator:
        raise NotAllowed("the token is not a moderator's", STATE)
    if who.late:
        raise NotAllowed("the token has expired", STATE)
    valid_for(who, conference, rules, STATE)


def covers(who: Principal, conference: Conference) -> None:
    """Whether a server's token is good for a conference (contract section 8).  Raises `NotAllowed`."""
    if who.room is not None and not names_room(who.room, False, conference.room):
        raise NotAllowed("the token is for another room", VISITOR)
    if who.domains and not any(conference.below(domain) for domain in who.domains):
        raise NotAllowed("the token's issuer is not trusted for this domain", VISITOR)


def valid_for(who: Principal, conference: Conference, rules: Rules, kind: str) -> None:
    """The three rules of contract section 6.3.  Raises `NotAllowed`."""
    if who.room is None:
        if rules.require_room_claim:
            raise NotAllowed("the token names no room", kind)
    elif not names_room(who.room, who.regex, conference.room):
        raise NotAllowed("the token is for another room", kind)
    tenant = conference.tenant(rules)
    if tenant is None and (rules.base or rules.verify_domain):
        raise NotAllowed("the conference is not of this domain", kind)
    if rules.verify_domain and who.sub != "*":
        sub = (who.sub or "").lower()
        expected = tenant if tenant else conference.host.removeprefix(rules.prefix + ".")
        if not sub or sub != expected:
            raise NotAllowed("the token is for another domain or tenant", kind)


def names_room(claim: str, regex: bool, room: str) -> bool:
    """Whether a `room` claim names `room`: `*`, equal ignoring case, raw or percent-encoded, or a pattern."""
    if claim == "*":
        return True
    lowered = claim.lower()
    if regex:
        try:
            return pattern.matches(claim, room)
        except pattern.BadPattern:
            return False
    return room in (lowered, quote(lowered, safe=UNRESERVED).lower(), quote(lowered, safe="").lower())
