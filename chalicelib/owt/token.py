"""Tokens with which somebody joins a room, once (contract section 13)."""

import binascii
import hmac
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from chalicelib.owt.errors import BadData
from chalicelib.wire import mauth
from chalicelib.wire.untrusted import Json

ID: Final = re.compile(r"[0-9a-f]{24}")
LONGEST_TEXT: Final = 4096
LIVES_S: Final = 180.0
LONGEST_USER: Final = 1024
LONGEST_PLACE: Final = 256
DEFAULT_ISP: Final = "isp"
DEFAULT_REGION: Final = "region"
NOT_VALID: Final = "Name or role not valid"
NO_URL: Final = "undefined"
"""What is signed where there is no WebTransport URL: JavaScript's word for it."""


class NewToken(msgspec.Struct, frozen=True):
    """Who asks to join, in which role, and from where."""

    user: str
    role: str
    isp: str = DEFAULT_ISP
    region: str = DEFAULT_REGION


class JoinToken(msgspec.Struct, frozen=True):
    """What is kept of a token; none of it stands in the token's text."""

    id: str
    service: str
    room: str
    new: NewToken
    created: float


class _Text(msgspec.Struct, frozen=True, rename="camel"):
    """What a token's text says."""

    token_id: str
    host: str
    signature: str
    secure: bool = False
    web_transport_url: str = ""


class Portal(msgspec.Struct, frozen=True):
    """Where clients go with a token."""

    host: str
    secure: bool
    webtransport_url: str = ""


def parse_new(body: Json, user: str | None, role: str | None) -> NewToken:
    """Read `{"user", "role", "preference"?}`; a user and role of the header win, and no body is needed then.

    Raises `BadData`.
    """
    given = user is not None and role is not None
    if body is None and given:
        body = {}
    if not isinstance(body, dict):
        raise BadData("An object with user and role is expected")
    isp, region = _preference(body.get("preference"))
    if given:
        return NewToken(_name(user), _name(role), isp, region)
    return NewToken(_name(body.get("user")), _name(body.get("role")), isp, region)


def _name(value: Json) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST_USER:
        raise BadData(NOT_VALID)
    return value


def _preference(value: Json) -> tuple[str, str]:
    if value is None:
        return DEFAULT_ISP, DEFAULT_REGION
    if not isinstance(value, dict):
        raise BadData("preference is an object")
    return _place(value, "isp", DEFAULT_ISP), _place(value, "region", DEFAULT_REGION)


def _place(preference: dict[str, Json], name: str, otherwise: str) -> str:
    value = preference.get(name, otherwise)
    if not isinstance(value, str) or len(value) > LONGEST_PLACE:
        raise BadData(f"preference.{name} is a text of at most {LONGEST_PLACE} characters")
    return value


def signature(token_id: str, portal: Portal, secret: str) -> str:
    """What proves to a portal that the token is ours."""
    return mauth.sign(secret, f"{token_id},{portal.host},{portal.webtransport_url or NO_URL}")


def checked(text: str, secrets: Sequence[str]) -> str | None:
    """The id of a token that was handed out; `None` for a text that was not, or was changed since.

    The places in it are compared with the signature only: they may have been set otherwise when it was made.
    """
    if len(text) > LONGEST_TEXT:
        return None
    try:
        found = msgspec.json.decode(binascii.a2b_base64(text, strict_mode=True), type=_Text)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    portal = Portal(found.host, found.secure, found.web_transport_url)
    given = found.signature.encode(errors="surrogatepass")
    expected = (signature(found.token_id, portal, secret).encode() for secret in secrets)
    proven = any(hmac.compare_digest(each, given) for each in expected)
    return found.token_id if proven and ID.fullmatch(found.token_id) else None


def spell(token_id: str, portal: Portal, secret: str) -> str:
    """The token as it is handed out: base64 of a JSON text that tells nothing about user, role or room."""
    found: dict[str, str | bool] = {"tokenId": token_id, "host": portal.host, "secure": portal.secure}
    if portal.webtransport_url:
        found["webTransportUrl"] = portal.webtransport_url
    found["signature"] = signature(token_id, portal, secret)
    return binascii.b2a_base64(msgspec.json.encode(found), newline=False).decode()
