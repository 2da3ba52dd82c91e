"""Tokens to principals: users and servers are verified against separate sets of keys (contract section 6)."""

import logging
from functools import cache

import msgspec

from chalicelib import clock, keysets
from chalicelib.errors import Forbidden, Unauthenticated, Unavailable
from chalicelib.jitsi import principal, settings
from chalicelib.jitsi.errors import NotAllowed
from chalicelib.jitsi.principal import Principal
from chalicelib.settings import also_reset
from chalicelib.wire import bearer
from chalicelib.wire.bearer import KeySource

log = logging.getLogger(__name__)


class TrustSet(msgspec.Struct, frozen=True):
    """Whose signatures count, and for whom they speak."""

    source: KeySource
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]


@cache
def users() -> TrustSet:
    """Who signs the tokens of visitors and moderators."""
    ours = settings.get()
    return TrustSet(
        keysets.from_setting(ours.user_keys, name="JITSI_USER_KEYS"), ours.user_issuers, ours.user_audiences
    )


@cache
def servers() -> TrustSet:
    """Who signs the tokens of Prosody and jigasi."""
    ours = settings.get()
    issuers = tuple(issuer.partition("@")[0] for issuer in ours.server_issuers)
    return TrustSet(
        keysets.from_setting(ours.server_keys, name="JITSI_SERVER_KEYS"), issuers, ours.server_audiences
    )


also_reset(users.cache_clear)
also_reset(servers.cache_clear)


def domains(issuer: str) -> tuple[str, ...]:
    """The domains that a server's issuer is held to: items like `jitsi@meet.example.com`; none means all."""
    items = [item.partition("@") for item in settings.get().server_issuers]
    named = [(name, domain.lower()) for name, _, domain in items if name == issuer]
    if not named:
        named = [(name, domain.lower()) for name, _, domain in items if name == "*"]
    if any(not domain for _, domain in named):
        return ()
    return tuple(domain for _, domain in named)


def authenticate(header: str | None) -> Principal:
    """Who connects with this `Authorization` header; without a token, nobody.

    Raises `Unauthenticated`, `Unavailable`.
    """
    try:
        token = bearer.parse_header(header)
    except bearer.Missing:
        return Principal()
    grace = settings.get().reconnect_grace_s
    refused: list[AppRefusal] = []
    for read in (_user, _server):
        try:
            return read(token, grace)
        except (Unauthenticated, Unavailable) as error:
            refused.append(error)
    outage = next((error for error in refused if isinstance(error, Unavailable)), None)
    raise outage if outage is not None else refused[0]


AppRefusal = Unauthenticated | Unavailable


def _user(token: str, grace_s: float) -> Principal:
    trust = users()
    found = bearer.verify(
        token, trust.source, trust.issuers, trust.audiences, now=clock.now(), grace_s=grace_s
    )
    return principal.user(
        found.claims, bearer.token_hash(token), found.expired, settings.get().moderator_claims
    )


def _server(token: str, grace_s: float) -> Principal:
    trust = servers()
    found = bearer.verify(
        token, trust.source, trust.issuers, trust.audiences, now=clock.now(), grace_s=grace_s
    )
    if "context" in found.claims:
        raise Unauthenticated("The token is not accepted")
    return principal.server(
        found.claims, bearer.token_hash(token), found.expired, domains(str(found.claims["iss"]))
    )


def authenticate_server(header: str | None) -> Principal:
    """The server that calls `golive`.

    Raises `Unauthenticated` for a token that proves nothing, `Forbidden` for a user's, `Unavailable`.
    """
    token = bearer.parse_header(header)
    trust = servers()
    try:
        found = bearer.verify(token, trust.source, trust.issuers, trust.audiences, now=clock.now())
    except bearer.InvalidToken as refused:
        log.info("golive refused: %s", refused.reason)
        try:
            _user(token, 0)
        except Unauthenticated:
            raise refused from None
        raise Forbidden("a user's token cannot make a conference live") from None
    if "context" in found.claims:
        raise NotAllowed("a user's token cannot make a conference live")
    return principal.server(found.claims, bearer.token_hash(token), False, domains(str(found.claims["iss"])))
