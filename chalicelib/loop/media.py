"""The media platform that rooms are held on: sessions, and the tokens that let people into them (contract 9).

`static` makes both here, in the vendor's shapes; `opentok` asks the vendor's cloud for sessions.
"""

import base64
import hmac
import json
import logging
import re
import secrets as chance
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jwt

from chalicelib import clock, ids
from chalicelib.errors import Unavailable
from chalicelib.loop import settings
from chalicelib.outbox import outgoing
from chalicelib.outbox.outgoing import Limits
from chalicelib.settings import also_reset
from chalicelib.store import table

log = logging.getLogger(__name__)

MODERATOR: Final = "moderator"
PUBLISHER: Final = "publisher"

STATIC: Final = "static"
TOKEN_S: Final = 86_400
CHANCE_BITS: Final = 128
"""A token is its holder's credential too."""
TRIES: Final = 3
PROOF_S: Final = 180
LIMITS: Final = Limits(within_s=2.0, answer=16 * 1024, private=True)
"""The operator named the address: it may be one of the deployment's own network."""
LONGEST_ID: Final = 1024
HEARD_S: Final = 10.0

_XML_ID: Final = re.compile(rb"<session_id>\s*([^<\s]+)\s*</session_id>")
_ID: Final = re.compile(r"[!-~]+")


class Session(NamedTuple):
    """Where the people of a room meet."""

    api_key: str
    id: str


class Account(NamedTuple):
    """What the platform knows a deployment by."""

    key: str
    secret: str


@cache
def _accounts() -> dict[str, Account]:
    """By channel; the usual one under the empty name."""
    given = settings.get()
    found = {"": Account(given.media_key, given.media_secret)}
    for entry in given.media_channels:
        channel, _, rest = entry.partition("=")
        key, _, secret = rest.partition(":")
        found[channel] = Account(key, secret)
    return found


also_reset(_accounts.cache_clear)


def _account(channel: str) -> Account:
    accounts = _accounts()
    return accounts.get(channel) or accounts[""]


def warm() -> None:
    """Load what a cloud's certificate is checked with, where there is a cloud."""
    if settings.get().media_provider != STATIC:
        outgoing.warm()


def api_key(channel: str) -> str:
    """The account that a channel uses; an unknown channel is the usual one."""
    return _account(channel).key


def new_session(channel: str) -> Session:
    """Somewhere for the people of a new room to meet.  Raises `Unavailable`."""
    account = _account(channel)
    if settings.get().media_provider == STATIC:
        return Session(account.key, _made_here(account.key))
    with table.apart():
        return Session(account.key, _ask_for_session(account))


def token(session_id: str, role: str, channel: str) -> str:
    """What lets somebody into a session as `MODERATOR` or `PUBLISHER`, for a day (the vendor's kind T1)."""
    account = _account(channel)
    now = int(clock.now())
    # A query string by hand: urlencode takes a quarter of the time of a whole join.
    return _signed(
        account,
        f"session_id={quote(session_id, safe='')}&create_time={now}&nonce={chance.randbits(CHANCE_BITS)}"
        f"&role={role}&expire_time={now + TOKEN_S}",
    )


def _signed(account: Account, data: str) -> str:
    signature = hmac.digest(account.secret.encode(errors="surrogateescape"), data.encode(), "sha1").hex()
    text = f"partner_id={account.key}&sig={signature}:{data}"
    return "T1==" + base64.b64encode(text.encode()).decode()


def _made_here(key: str) -> str:
    """A session's id as the vendor spells it; its cloud would not know it."""
    text = f"1~{key}~~{int(clock.now() * 1000)}~{ids.new(22)}~"
    return "2_" + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


# The vendor's cloud

_heard: list[tuple[float, bool]] = []
"""When the cloud was last asked whether it is there, and whether it was."""
also_reset(_heard.clear)


def answers() -> bool:
    """Whether the media platform is there; a cloud is asked again after some seconds, whoever asks us."""
    if settings.get().media_provider == STATIC:
        return True
    now = clock.monotonic()
    if not _heard or now - _heard[0][0] > HEARD_S:
        outcome = outgoing.send("GET", settings.get().media_api_url, limits=LIMITS)
        _heard[:] = [(now, 0 < outcome.status < 500)]
    return _heard[0][1]


def _ask_for_session(account: Account) -> str:
    """Raises `Unavailable`."""
    for tried in range(1, TRIES + 1):
        outcome = outgoing.send(
            "POST",
            settings.get().media_api_url.rstrip("/") + "/session/create",
            headers={
                "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded",
                "X-OPENTOK-AUTH": _proof(account),
            },
            body=b"p2p.preference=enabled",
            limits=LIMITS,
        )
        found = _session_id(outcome.body) if outcome.accepted else None
        if found is not None:
            return found
        log.warning("no media session, try %d: %s", tried, outcome.reason or "no session in the answer")
        if not (outcome.accepted or outcome.retriable):
            break
    raise Unavailable("the media platform gives no session")


def _proof(account: Account) -> str:
    """Who asks, as the vendor's REST API wants it, for each call anew."""
    now = int(clock.now())
    claims = {"iss": account.key, "ist": "project", "iat": now, "exp": now + PROOF_S, "jti": ids.new(22)}
    return jwt.encode(claims, account.secret, algorithm="HS256")


def _session_id(body: bytes) -> str | None:
    """The id in the vendor's answer, which is JSON or, from servers that know no better, XML."""
    found = _XML_ID.search(body)
    if found:
        text: Any = found[1].decode(errors="replace")
    else:
        try:
            answer = json.loads(body)
        except ValueError:
            return None
        first = answer[0] if isinstance(answer, list) and answer else answer
        text = first.get("session_id") if isinstance(first, dict) else None
    if not isinstance(text, str) or len(text) > LONGEST_ID or not _ID.fullmatch(text):
        return None
    return text
