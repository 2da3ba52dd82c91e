"""Basic, the `Authorization` scheme of user name and password (RFC 7617)."""

import binascii
import hmac
import re
from typing import Final, NamedTuple

from chalicelib.errors import Unauthenticated

SCHEME: Final = "basic"
MAX_HEADER: Final = 8 * 1024
LONGEST_NAME: Final = 4096

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class NotBasic(Unauthenticated):
    """The header is none of this scheme, or not of its form; the text tells the peer nothing more."""

    def __init__(self, reason: str) -> None:
        super().__init__("User name and password are expected")
        self.reason = reason


class Undecodable(Unauthenticated):
    """The credentials are not those of a name without a password."""


class Login(NamedTuple):
    """A user name, and the password that goes with it."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Who, without the proof."""
        return f"Login(user={self.user!r})"


def is_basic(header: str | None) -> bool:
    """Whether a header is of this scheme.

    >>> is_basic("basic QTpi"), is_basic("Bearer QTpi"), is_basic(None)
    (True, False, False)
    """
    return (header or "").strip().partition(" ")[0].lower() == SCHEME


def parse(header: str | None) -> Login:
    """Read an `Authorization` header; the user name ends at the first colon.

    >>> parse("Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==").password
    'open:sesame'

    Raises `NotBasic`.
    """
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != SCHEME:
        raise NotBasic("another scheme" if scheme else "no header")
    encoded = encoded.strip()
    if len(encoded) > MAX_HEADER:
        raise NotBasic("the header is too long")
    if not _BASE64.fullmatch(encoded):
        raise NotBasic("not base64")
    try:
        text = binascii.a2b_base64(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4)).decode()
    except ValueError:
        raise NotBasic("not base64 of UTF-8") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise NotBasic("no colon")
    if _CONTROL.search(text):
        raise NotBasic("a control character")
    return Login(user, password)


def spell(login: Login) -> str:
    """The header of whoever calls with this login.

    >>> spell(Login("Aladdin", "open:sesame"))
    'Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ=='
    """
    both = _bytes(login.user) + b":" + _bytes(login.password)
    return "Basic " + binascii.b2a_base64(both, newline=False).decode()


def parse_name(credentials: str) -> str:
    """The name, behind which one colon stands or none: Loop's web client sends none (contract 4.5).

    >>> parse_name("VDE9PWNHRnkuLi46"), parse_name("VDE9PWNHRnkuLi4=")
    ('T1==cGFy...', 'T1==cGFy...')

    Raises `Undecodable`.
    """
    if len(credentials) > LONGEST_NAME:
        raise Undecodable("longer than any")
    try:
        text = binascii.a2b_base64(credentials + "=" * (-len(credentials) % 4), strict_mode=True).decode()
    except ValueError:
        raise Undecodable("not base64 of a text") from None
    name, _, password = text.partition(":")
    if not name or password:
        raise Undecodable("no name, or a password")
    return name


def same(given: Login, known: Login) -> bool:
    """Whether both parts are equal, in constant time."""
    user = hmac.compare_digest(_bytes(given.user), _bytes(known.user))
    password = hmac.compare_digest(_bytes(given.password), _bytes(known.password))
    return user and password


def _bytes(text: str) -> bytes:
    # A setting that is not UTF-8 stands for its bytes.
    return text.encode(errors="surrogateescape")
