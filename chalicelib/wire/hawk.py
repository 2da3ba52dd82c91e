"""Hawk, the `Authorization` scheme of Loop (contract section 4): reading, proving, and signing the answer.

What a MAC is made over, and the MAC, are mohawk's.  Reading the header and hashing the body are ours: mohawk
looks in another order than the contract, reads the clock itself, and spells out headers and bodies for a log
that nobody reads, which takes longer than all the rest together.
"""

import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

from mohawk import util

from chalicelib.errors import ValidationError

logging.getLogger("mohawk").setLevel(logging.WARNING)

SCHEME: Final = "hawk"
ALGORITHM: Final = "sha256"
LONGEST_HEADER: Final = 4096
LONGEST_TIME: Final = 15
STALE: Final = "Stale timestamp"

_PAIR: Final = re.compile(r'(\w+)="([^"\\]*)"\s*(?:,\s*|$)', re.ASCII)
_VALUE: Final = re.compile(r"[ \w!#$%&'()*+,\-./:;<=>?@\[\]^`{|}~]+", re.ASCII)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s]+)(?::([0-9]{1,5}))?")
_NAMES: Final = frozenset({"id", "ts", "nonce", "hash", "ext", "mac", "app", "dlg"})

# What each way of spelling a query leaves as it is: the first is JavaScript's encodeURIComponent, the second
# what Python's requests makes of a URL, the last RFC 3986 with nothing spared.
_SPARED: Final = ("-_.!~*'()", "-_.~!#$%&'()*+,/:;=?@[]", "-_.~")
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


class Malformed(ValidationError):
    """The header is none of Hawk's."""


class Claim(NamedTuple):
    """What a header says, each part exactly as it stands there."""

    id: str
    ts: str
    nonce: str
    mac: str
    hash: str = ""
    ext: str = ""
    app: str = ""
    dlg: str = ""

    def __repr__(self) -> str:
        """Nothing of it: an id names credentials, a MAC proves them."""
        return "Claim()"


class Signed:
    """A request that was proven, as mohawk takes it: the answer is signed over the same."""

    __slots__ = ("app", "credentials", "dlg", "ext", "host", "method", "name", "nonce", "port", "timestamp")

    def __init__(self, claim: Claim, key: str, method: str, name: str, host: str, port: str) -> None:
        self.credentials: Mapping[str, str] = {"key": key, "algorithm": ALGORITHM}
        self.timestamp, self.nonce = claim.ts, claim.nonce
        self.method, self.name, self.host, self.port = method, name, host, port
        self.ext, self.app, self.dlg = claim.ext, claim.app, claim.dlg


def parse(attributes: str) -> Claim:
    """Read what follows the scheme (checks 3 and 4, and the digits of 8).  Raises `Malformed`."""
    if len(attributes) > LONGEST_HEADER:
        raise Malformed("the header is too long")
    parts: dict[str, str] = {}
    at = 0
    while at < len(attributes):
        found = _PAIR.match(attributes, at)
        if found is None:
            raise Malformed("not a list of names and quoted values")
        name, value = found.groups()
        if name not in _NAMES or name in parts:
            raise Malformed("a name that is unknown, or stands twice")
        if not _VALUE.fullmatch(value):
            raise Malformed("a value that is empty, or has characters that it must not have")
        parts[name] = value
        at = found.end()
    try:
        claim = Claim(**parts)
    except TypeError:
        raise Malformed("id, ts, nonce or mac is missing") from None
    if not claim.ts.isdecimal() or len(claim.ts) > LONGEST_TIME:
        raise Malformed("ts is no number of seconds")
    return claim


def host_and_port(host: str, proto: str) -> tuple[str, str]:
    """What a client signs of the address it typed.  Raises `Malformed`.

    >>> host_and_port("Loop.Example", "https"), host_and_port("127.0.0.1:8080", "http")
    (('loop.example', '443'), ('127.0.0.1', '8080'))
    >>> host_and_port("[::1]:8080", "http")
    ('::1', '8080')
    """
    found = _HOST.fullmatch(host.strip())
    if found is None:
        raise Malformed("no Host")
    secure = proto.partition(",")[0].strip().lower() == "https"
    return found[1].strip("[]").lower(), found[2] or ("443" if secure else "80")


def queries(query: Mapping[str, list[str]]) -> Iterator[str]:
    """How the query may have been spelled that was delivered decoded, JavaScript's way first.

    >>> list(queries({"version": ["17"]})), list(queries({}))
    (['?version=17'], [''])
    >>> next(queries({"simplePushURL": ["http://a/?b c"]}))
    '?simplePushURL=http%3A%2F%2Fa%2F%3Fb%20c'
    """
    pairs = [(name, value) for name, values in query.items() for value in values]
    if not pairs:
        yield ""
        return
    told = set()
    for each in (pairs, pairs[::-1]):
        for spared in _SPARED:
            text = "?" + "&".join(f"{quote(n, safe=spared)}={quote(v, safe=spared)}" for n, v in each)
            for variant in (text, _ESCAPE.sub(_lower, text), text.replace("%20", "+")):
                if variant not in told:
                    told.add(variant)
                    yield variant


def _lower(escape: re.Match[str]) -> str:
    return escape[0].lower()


def paths(path: str, stage: str, api: str, prefixes: Iterable[str]) -> list[str]:
    """What a client may have typed for a path that a front hands on as `path` (contract 4.2).

    >>> paths("/dev/rooms/x", "dev", "a1", ["/restapis/{api}/{stage}/_user_request_"])
    ['/dev/rooms/x', '/rooms/x', '/restapis/a1/dev/_user_request_/rooms/x']
    >>> paths("/api/rooms/x", "dev", "a1", [])
    ['/api/rooms/x']
    """
    below = path.removeprefix(f"/{stage}") if path.startswith(f"/{stage}/") else path
    found = [path] if below == path else [path, below]
    for prefix in prefixes:
        found.append(prefix.replace("{api}", api).replace("{stage}", stage) + below)
    return found


def prove(
    claim: Claim, key: str, method: str, resources: Iterable[str], host: str, port: str
) -> Signed | None:
    """The request as it was signed with `key`, if it was: the first of `resources` that the MAC fits.

    The time is constant but for the number of resources that are tried.
    """
    theirs = claim.mac.encode()
    for name in resources:
        signed = Signed(claim, key, method, name, host, port)
        if hmac.compare_digest(_mac("header", signed, claim.hash), theirs):
            return signed
    return None


def _mac(kind: str, signed: Signed, content_hash: str) -> bytes:
    try:
        mac: bytes = util.calculate_mac(kind, signed, content_hash)
    except UnicodeError:  # half a surrogate pair in a path
        return b""
    return mac


def payload_hash(content_type: str, body: bytes) -> str:
    """The hash of a body and its media type, as they stand in a header.

    >>> payload_hash("application/json; charset=utf-8", b'{"action": "leave"}')
    '21MjD/QaoeVO1CBbZlZCe7BR9y2TPGICd8RmBTdy6Lg='
    """
    media_type = content_type.partition(";")[0].strip().lower()
    text = b"hawk.1.payload\n%b\n%b\n" % (media_type.encode(errors="replace"), body)
    return binascii.b2a_base64(hashlib.sha256(text).digest(), newline=False).decode()


def same(one: str, other: str) -> bool:
    """Whether two hashes are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def answer(signed: Signed, content_type: str, body: bytes) -> str:
    """`Server-Authorization` over an answer; without a hash where there is no body (contract 4.3)."""
    content_hash = payload_hash(content_type, body) if body else ""
    ours = Signed(_ANY, signed.credentials["key"], signed.method, signed.name, signed.host, signed.port)
    ours.timestamp, ours.nonce, ours.app, ours.dlg = signed.timestamp, signed.nonce, signed.app, signed.dlg
    mac = _mac("response", ours, content_hash).decode()
    return f'Hawk mac="{mac}", hash="{content_hash}"' if body else f'Hawk mac="{mac}"'


_ANY: Final = Claim("", "", "", "")


def refusal(error: str) -> str:
    """`WWW-Authenticate` with a reason.

    >>> refusal("Bad mac")
    'Hawk error="Bad mac"'
    """
    return f'Hawk error="{error}"'


def stale(key: str, now: int) -> str:
    """`WWW-Authenticate` that tells a proven caller our time, so that it can set its clock right."""
    tsm: bytes = util.calculate_ts_mac(now, {"key": key, "algorithm": ALGORITHM})
    return f'Hawk ts="{now}", tsm="{tsm.decode()}", error="{STALE}"'
