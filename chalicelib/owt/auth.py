"""Headers to callers: MAuth against the keys of services (contract section 4)."""

import logging
from typing import Final

import msgspec

from chalicelib import clock
from chalicelib.owt import settings
from chalicelib.owt.store import services
from chalicelib.store import replays
from chalicelib.wire import mauth
from chalicelib.wire.mauth import Claim, NotProven
from chalicelib.wire.request import Request

log = logging.getLogger(__name__)

LONGEST_TIMESTAMP: Final = 15


class Caller(msgspec.Struct, frozen=True):
    """A service that asks, and for whom, where the header says so."""

    service: str
    is_super: bool
    user: str | None = None
    role: str | None = None
    """As the header has them, the user decoded; they are there both or not at all."""


def authenticate(request: Request) -> Caller:
    """The service whose key signed the request.

    At most one read, and for a refusal always one, whoever the service is said to be: neither the answer nor
    its time tells an unknown service from a wrong key.  Raises `NotProven`, `Unavailable`.
    """
    try:
        claim = mauth.parse(request.header("authorization"))
        return _caller(claim, request)
    except NotProven as refused:
        log.info("not authenticated: %s", refused.reason)
        raise


def _caller(claim: Claim, request: Request) -> Caller:
    given = settings.get()
    if not given.super_service_id:
        raise NotProven("OWT_SUPER_SERVICE_ID is not set: no service is served")
    text = _signed_text(claim, request)
    found = services.credentials(claim.service)
    proven = mauth.signed(claim, found.key, text)
    if found.also:
        proven |= mauth.signed(claim, found.also, text)
    if not proven or not found.exists:
        if not found.was_read:
            services.read_credentials(claim.service)
        raise NotProven("no such service, or not its signature")
    if found.require_v2 and claim.method != mauth.V2:
        raise NotProven("the service demands " + mauth.V2)
    if given.strict:
        _refuse_replay(claim)
    is_super = claim.service == given.super_service_id
    if not claim.names_user:
        return Caller(claim.service, is_super)
    return Caller(claim.service, is_super, mauth.user_name(claim.username), claim.role)


def _signed_text(claim: Claim, request: Request) -> str:
    if claim.method == mauth.V2:
        return mauth.signed_text_v2(claim, request.method, request.api_path, request.query, request.body)
    return mauth.signed_text(claim)


def _refuse_replay(claim: Claim) -> None:
    """Let a signed pair of time and nonce pass once, near its time.

    Times may be equal or fall: clients send in parallel.  Raises `NotProven`, `Unavailable`.
    """
    stamp, window = claim.timestamp, settings.get().mauth_window_s
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= LONGEST_TIMESTAMP):
        raise NotProven("the timestamp is no number of milliseconds")
    at = int(stamp) / 1000
    if abs(clock.now() - at) > window:
        raise NotProven("the timestamp is outside the window")
    if not replays.first(f"owt {claim.service}", f"{stamp},{claim.cnonce}", until=at + window):
        raise NotProven("seen before")
