"""MAuth, the `Authorization` scheme of the conference management API, and a second signature method of ours.

The original's method, `HMAC_SHA256`, signs time and nonce only: whoever sees one header may use it for any
call.  `HMAC_SHA256_V2` signs the call too, by a text that can be made of what a Lambda is told of a request,
where the query is known in its decoded form alone.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from chalicelib.errors import Unauthenticated

SCHEME: Final = "mauth"
V1: Final = "HMAC_SHA256"
V2: Final = "HMAC_SHA256_V2"
METHODS: Final = frozenset({V1, V2})
MAX_HEADER: Final = 8 * 1024
KEYS: Final = 256
"""So many keys are kept ready for the next signature."""

_BLANKS: Final = " \t"
_CONTROL: Final = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
_REQUIRED: Final = ("signature_method", "serviceid", "cnonce", "timestamp", "signature")
_FIELDS: Final = {
    prefix + name: name for name in (*_REQUIRED, "username", "role") for prefix in ("mauth_", "")
}
_CANONICAL: Final = re.compile(r"[A-Za-z0-9\-._~/]*")
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]+)(={0,2})")


class NotProven(Unauthenticated):
    """The header proves nothing; `reason` is for the log, and the text for the peer tells nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__("The request is not authenticated")
        self.reason = reason


class Claim(msgspec.Struct, frozen=True):
    """What a header says, each part exactly as it stands there."""

    method: str
    service: str
    cnonce: str
    timestamp: str
    signature: str
    username: str = ""
    role: str = ""

    def __repr__(self) -> str:
        """Who claims, without the proof."""
        return f"Claim(method={self.method!r}, service={self.service!r})"

    @property
    def names_user(self) -> bool:
        """Whether it says for whom it asks; a name or a role alone counts for nothing."""
        return bool(self.username and self.role)


def parse(header: str | None) -> Claim:
    """Read an `Authorization` header (contract 4.1).

    A part that stands twice is refused: two readers could take different ones.  Raises `NotProven`.
    """
    scheme, _, rest = (header or "").strip(_BLANKS).partition(" ")
    if scheme.lower() != SCHEME:
        raise NotProven("another scheme" if scheme else "no header")
    if len(rest) > MAX_HEADER:
        raise NotProven("the header is too long")
    raw = rest.encode(errors="replace")
    if len(raw.translate(None, _CONTROL)) < len(raw):
        raise NotProven("a control character in the header")
    bare = not (" " in rest or "\t" in rest or '"' in rest)
    parts: dict[str, str] = {}
    for part in rest.split(","):
        given, _, value = part.partition("=")
        name = _FIELDS.get(given if bare else given.strip(_BLANKS))
        if name is None:
            continue
        if name in parts:
            raise NotProven(f"{name} stands twice")
        parts[name] = value if bare else _unquoted(value.strip(_BLANKS))
    method, service, cnonce, timestamp, signature = required = tuple(map(parts.get, _REQUIRED))
    if not (method and service and cnonce and timestamp and signature):
        missing = next(name for name, value in zip(_REQUIRED, required, strict=True) if not value)
        raise NotProven(f"no {missing}")
    if method not in METHODS:
        raise NotProven("another signature method")
    return Claim(
        method, service, cnonce, timestamp, signature, parts.get("username", ""), parts.get("role", "")
    )


def _unquoted(value: str) -> str:
    return value[1:-1] if value[:1] == '"' == value[-1:] and len(value) > 1 else value


def signed_text(claim: Claim) -> str:
    """What `HMAC_SHA256` signs: time and nonce, then user name and role if both are there (contract 4.2).

    >>> signed_text(Claim(V1, "s", "87428", "1406079112038", "", "test", "role"))
    '1406079112038,87428,test,role'
    """
    text = f"{claim.timestamp},{claim.cnonce}"
    return f"{text},{claim.username},{claim.role}" if claim.names_user else text


def signed_text_v2(
    claim: Claim, method: str, path: str, query: Mapping[str, Sequence[str]], body: bytes
) -> str:
    """What `HMAC_SHA256_V2` signs: ten lines, the last one without its end (docs/contracts/owt.md).

    `path` is the path below the API's base and stage.  Raises `NotProven` for what is no text.
    """
    try:
        return "\n".join(
            (
                V2,
                claim.service,
                claim.timestamp,
                claim.cnonce,
                claim.username,
                claim.role,
                method,
                canonical_path(path),
                canonical_query(query),
                hashlib.sha256(body).hexdigest(),
            )
        )
    except UnicodeEncodeError:
        raise NotProven("path or query is no text") from None


def canonical_path(path: str) -> str:
    """`path` without one slash at its end, each segment percent-encoded as RFC 3986 2.3 has it, and no more.

    >>> canonical_path("/v1/rooms/a b%7e%2Fc/")
    '/v1/rooms/a%20b~%2Fc'
    """
    if len(path) > 1:
        path = path.removesuffix("/")
    if _CANONICAL.fullmatch(path):
        return path
    return "/".join(quote(unquote(segment), safe="~") for segment in path.split("/"))


def canonical_query(query: Mapping[str, Sequence[str]]) -> str:
    """The pairs of a decoded query, percent-encoded alike, in the order of their encoded names, then values.

    >>> canonical_query({"per_page": ["20"], "page": ["2", "1 0"]})
    'page=1%200&page=2&per_page=20'
    """
    if not query:
        return ""
    pairs = [
        (quote(name, safe="~"), quote(value, safe="~")) for name, values in query.items() for value in values
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def sign(key: str, text: str) -> str:
    """The base64 text of the lower-case hexadecimal text of the HMAC, 88 characters.

    >>> sign("21989", "1406079112038,87428")[:16]
    'YjcwNTkxMDg0YWI1'
    """
    return _sign(key, text).decode()


def _sign(key: str, text: str) -> bytes:
    mac = _keyed(key).copy()
    mac.update(text.encode())
    return binascii.b2a_base64(mac.hexdigest().encode(), newline=False)


@lru_cache(maxsize=KEYS)
def _keyed(key: str) -> hmac.HMAC:
    """An HMAC that has taken the key in, which is most of the work; to be copied."""
    # A key of the environment that is not UTF-8 stands for its bytes.
    return hmac.new(key.encode(errors="surrogateescape"), digestmod="sha256")


def signed(claim: Claim, key: str, text: str) -> bool:
    """Whether the claim's signature is that of `key` under `text`, in constant time."""
    try:
        return hmac.compare_digest(claim.signature.encode(), _sign(key, text))
    except UnicodeEncodeError:
        return False


def user_name(text: str) -> str:
    """The user whom `mauth_username` names, in base64 as in the original, or as it stands (contract 13.2).

    >>> user_name("YWxpY2U="), user_name("YWxpY2U"), user_name("alice")
    ('alice', 'alice', 'alice')
    """
    found = _BASE64.fullmatch(text)
    if found is None:
        return text
    digits, padding = found.groups()
    wanted = "=" * (-len(digits) % 4)
    if padding not in ("", wanted):
        return text
    try:
        return binascii.a2b_base64(digits + wanted).decode()
    except ValueError:
        return text
