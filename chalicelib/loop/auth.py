"""Headers to callers: Hawk against kept credentials, Basic as far as it can be told without a room."""

from typing import Any, Final, TypeAlias

import msgspec

from chalicelib import clock
from chalicelib.loop import errors, secrets, settings
from chalicelib.loop.errors import BadJson, MalformedAuthorization, NotASession, Unauthenticated
from chalicelib.loop.store import credentials
from chalicelib.store import replays
from chalicelib.wire import basic, untrusted
from chalicelib.wire import hawk as wire
from chalicelib.wire.basic import Undecodable
from chalicelib.wire.hawk import Claim, Malformed, Signed
from chalicelib.wire.request import Request
from chalicelib.wire.untrusted import Json

LARGEST_BODY: Final = 100 * 1024
NONCE_S: Final = 120


class Nobody(msgspec.Struct, frozen=True):
    """Somebody who does not say who it is."""


class Hawk(msgspec.Struct, frozen=True):
    """Somebody with Hawk credentials; `uid` stands for them in the table."""

    uid: str


class Guest(msgspec.Struct, frozen=True):
    """Somebody who shows a session token; whether it is one of the room's, the room's row has to tell."""

    token_hashes: tuple[str, ...]
    """What may stand for the token, the most likely first."""


Caller: TypeAlias = Nobody | Hawk | Guest

NOBODY: Final = Nobody()


class Call:
    """A request under way: who asks, what the answer is to be signed with, what the log is told."""

    __slots__ = ("caller", "notes", "request", "signed")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.caller: Caller = NOBODY
        self.signed: Signed | None = None
        self.notes: dict[str, Any] = {}

    def note(self, **fields: Any) -> None:
        """Have the log's line of this request say this too; what is `None` it does not say."""
        for name, value in fields.items():
            if value is not None:
                self.notes[name] = value

    def json(self) -> dict[str, Json]:
        """The body's members; an empty body has none.  Raises `BadJson`, `ValidationError`."""
        raw = self.request.body
        if not raw:
            return {}
        try:
            value = untrusted.parse(raw, limit=LARGEST_BODY)
        except untrusted.Malformed as error:
            raise BadJson(str(error)) from None
        if not isinstance(value, dict):
            raise errors.ValidationError("the body is not an object")
        return value


def hawk(call: Call) -> Hawk:
    """The caller of a route that takes nothing but Hawk.

    Raises `Unauthenticated`, `MalformedAuthorization`, `Unavailable`.
    """
    scheme, rest = _header(call)
    if scheme != wire.SCHEME:
        raise Unauthenticated("another scheme" if scheme else "no header")
    return _hawk(call, rest)


def hawk_or_nobody(call: Call) -> Nobody | Hawk:
    """The caller of the registration: with Hawk credentials or without any.

    Raises `Unauthenticated`, `MalformedAuthorization`, `Unavailable`.
    """
    return hawk(call) if _header(call)[0] else NOBODY


def optional(call: Call) -> Caller:
    """The caller of a room: nobody, somebody with Hawk credentials, or with a session token to be looked up.

    Raises `Unauthenticated`, `MalformedAuthorization`, `Unavailable`.
    """
    scheme, rest = _header(call)
    if not scheme:
        return NOBODY
    if scheme == wire.SCHEME:
        return _hawk(call, rest)
    if scheme != basic.SCHEME:
        raise Unauthenticated("another scheme", errors.EITHER)
    try:
        call.caller = guest = Guest(secrets.token_hashes(basic.parse_name(rest)))
    except Undecodable as error:
        raise NotASession(str(error)) from None
    return guest


def somebody(caller: Caller) -> Hawk | Guest:
    """The caller of what nobody may do without a name.  Raises `Unauthenticated`."""
    if isinstance(caller, Nobody):
        raise Unauthenticated("no header")
    return caller


def _header(call: Call) -> tuple[str, str]:
    """The scheme in lower case and what follows; both empty where there is no header."""
    scheme, _, rest = (call.request.header("authorization") or "").strip().partition(" ")
    return scheme.lower(), rest.lstrip()


def _hawk(call: Call, attributes: str) -> Hawk:
    """Checks 3 to 9 of contract 4.2, in that order; from the last one on the answer is signed."""
    request = call.request
    try:
        claim = wire.parse(attributes)
        addresses = _addresses(request)
    except Malformed as error:
        raise MalformedAuthorization(str(error)) from None
    known = credentials.read(claim.id)
    if known is None:
        raise _refused("Unknown credentials")
    for host, port in addresses:
        signed = wire.prove(claim, known.key, request.method, _resources(request), host, port)
        if signed is not None:
            break
    else:
        raise _refused("Bad mac")
    if claim.hash and not wire.same(claim.hash, _payload_hash(request)):
        raise _refused("Bad payload hash")
    _refuse_stale(claim, known.key)
    _refuse_replay(claim, known.uid)
    call.signed, call.caller = signed, Hawk(known.uid)
    call.note(uid=known.uid)
    credentials.keep_alive(known)
    return call.caller


def _addresses(request: Request) -> list[tuple[str, str]]:
    """Host and port that the client may have typed, the one that came first.  Raises `Malformed`."""
    proto = request.header("x-forwarded-proto") or ""
    hosts = (request.header("host") or "", *settings.get().hawk_hosts)
    return [wire.host_and_port(host, proto) for host in hosts]


def _resources(request: Request) -> Any:
    prefixes = settings.get().hawk_path_prefixes
    paths = wire.paths(request.path, request.stage, request.api_id, prefixes)
    return (path + query for query in wire.queries(request.query) for path in paths)


def _payload_hash(request: Request) -> str:
    return wire.payload_hash(request.header("content-type") or "", request.body)


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(reason, wire.refusal(reason))


def _refuse_stale(claim: Claim, key: str) -> None:
    now = int(clock.now())
    if abs(int(claim.ts) - now) > settings.get().hawk_skew:
        raise Unauthenticated(wire.STALE, wire.stale(key, now))


def _refuse_replay(claim: Claim, uid: str) -> None:
    """Let a request through once.  Raises `Unauthenticated`, `Unavailable`."""
    given = settings.get()
    if not given.hawk_nonce_check:
        return
    until = int(claim.ts) + max(NONCE_S, given.hawk_skew)
    if not replays.first(f"loop {uid}", f"{claim.ts} {claim.nonce}", until):
        raise _refused("Seen before")
