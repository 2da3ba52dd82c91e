"""Tokens and cookies to operators: hashes compared in constant time, wrong ones counted by source."""

import hashlib
import hmac
import ipaddress
import logging
import secrets
from typing import Final, NamedTuple

from chalicelib import clock
from chalicelib.admin import settings, store
from chalicelib.admin.errors import NoCsrfToken, TooManyAttempts
from chalicelib.errors import Unauthenticated
from chalicelib.store.keys import Key
from chalicelib.store.writes import Raw
from chalicelib.wire.request import Request

log = logging.getLogger(__name__)

COOKIE: Final = "foyer_admin"
CSRF: Final = "x-csrf-token"
ATTEMPTS: Final = 10
"""So many wrong tokens of one source are looked at in a minute."""
COOKIE_BYTES: Final = 32
LONGEST: Final = 512
"""Characters of a token or cookie that may be one of ours."""
IPV6_NETWORK: Final = 64
"""Bits of an IPv6 address that name who has it; the others are its owner's to choose."""
SAFE: Final = frozenset({"GET", "HEAD"})


class Caller(NamedTuple):
    """An operator who asks."""

    name: str
    """The name that its token has in the settings."""
    until: float | None = None
    """When its session is over; `None` where it sent the token itself."""
    cookie: str = ""
    """Its session's cookie."""
    beside: Raw | None = None
    """The item that was asked for with the session."""

    @property
    def csrf(self) -> str:
        """What writes of its session have to say in a header."""
        return csrf_of(self.cookie) if self.cookie else ""


class NotProven(Unauthenticated):
    """No token or session, or none of ours; why exactly goes to the log."""

    def __init__(self, reason: str) -> None:
        super().__init__("a token or a session is needed")
        self.reason = reason


def authenticate(request: Request, beside: Key | None = None) -> Caller:
    """Who asks, by `Authorization` or by the cookie of a session: one read, which brings `beside` too.

    Raises `NotProven`, `NoCsrfToken`, `TooManyAttempts`, `Unavailable`.
    """
    try:
        given = request.header("authorization")
        if given is not None:
            scheme, _, token = given.strip().partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise NotProven("no Bearer token")
            return by_token(token.strip(), request.source_ip, beside)
        cookie = cookie_of(request)
        if cookie is None:
            raise NotProven("neither token nor cookie")
        caller = _by_cookie(cookie, request.source_ip, beside)
    except NotProven as refused:
        log.info("not authenticated: %s", refused.reason)
        raise
    sent = (request.header(CSRF) or "").encode(errors="surrogateescape")
    if request.method not in SAFE and not hmac.compare_digest(sent, caller.csrf.encode()):
        raise NoCsrfToken("the header X-CSRF-Token is missing, or not this session's")
    return caller


def by_token(token: str, source: str, beside: Key | None = None) -> Caller:
    """Whose token this is.

    No token is looked at, right or wrong, of a source that tried too many wrong ones in this minute.
    Raises `NotProven`, `TooManyAttempts`, `Unavailable`.
    """
    who, minute = network(source), int(clock.now() // store.MINUTE_S)
    tried, other = store.attempts(who, minute, beside)
    if tried >= ATTEMPTS:
        raise TooManyAttempts(_left_s())
    name = name_of(hash_of(token))
    if name is None:
        _count(who, minute)
        raise NotProven("a token that is not ours")
    return Caller(name, beside=other)


def _by_cookie(cookie: str, source: str, beside: Key | None) -> Caller:
    """Whose session this is.

    One that is over, or whose token is taken back, is no attempt to guess: pages that are left open ask on.
    Raises `NotProven`, `TooManyAttempts`, `Unavailable`.
    """
    hashed = hash_of(cookie)
    row, other = store.session(hashed, beside)
    if row is None or not hmac.compare_digest(row.cookie, hashed):
        _count(network(source), int(clock.now() // store.MINUTE_S))
        raise NotProven("a cookie of no session")
    if row.until <= clock.now():
        raise NotProven("the session is over")
    if name_of(row.token) != row.name:
        raise NotProven("the session's token is not ours any more")
    return Caller(row.name, float(row.until), cookie, other)


def _count(who: str, minute: int) -> None:
    """Note an attempt.  Raises `TooManyAttempts` when it is one too many, `Unavailable`."""
    if store.note_attempt(who, minute) > ATTEMPTS:
        raise TooManyAttempts(_left_s())


def _left_s() -> int:
    return store.MINUTE_S - int(clock.now()) % store.MINUTE_S


def begin(token: str, source: str) -> Caller:
    """Begin a session with a token.  Raises `NotProven`, `TooManyAttempts`, `Unavailable`."""
    name = by_token(token, source).name
    cookie = secrets.token_urlsafe(COOKIE_BYTES)
    until = clock.now() + settings.get().session_s
    store.begin(hash_of(cookie), hash_of(token), name, until)
    return Caller(name, until, cookie)


def end(caller: Caller) -> None:
    """End the caller's session, if that is how it came.  Raises `Unavailable`."""
    if caller.cookie:
        store.end(hash_of(caller.cookie))


def hash_of(text: str) -> str:
    """The SHA-256 of a token or cookie, as the settings and rows have it."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def name_of(token_hash: str) -> str | None:
    """The name that a token's hash has in the settings; as long is looked for one as for another."""
    found = None
    for item in settings.get().tokens:
        name, _, expected = item.partition(":")
        if hmac.compare_digest(expected, token_hash):
            found = name
    return found


def csrf_of(cookie: str) -> str:
    """What writes of a session have to say: made of its cookie, which pages cannot read."""
    return hmac.digest(cookie.encode(errors="surrogateescape"), b"foyer csrf 1", "sha256").hex()


def cookie_of(request: Request) -> str | None:
    """The value of the session's cookie; `None` without one that could be ours."""
    for part in (request.header("cookie") or "").split(";"):
        name, mark, value = part.strip().partition("=")
        if mark and name == COOKIE and 0 < len(value) <= LONGEST:
            return value
    return None


def network(source: str) -> str:
    """What stands for an address where attempts are counted: itself, of IPv6 the first 64 bits.

    >>> network("198.51.100.7"), network("2001:db8:1:2:3::4"), network("::ffff:198.51.100.7"), network("")
    ('198.51.100.7', '2001:db8:1:2::', '198.51.100.7', '')
    """
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_NETWORK), strict=False).network_address)
