"""`Authorization: Bearer` and the JSON Web Tokens behind it (contract 6.1; RFC 6750, 7515, 7519, 8725).

The signatures are PyJWT's.  Taking the token apart is ours: PyJWT's decoder reads the clock
itself, lets the last of two equal names win, and takes three times as long as checking RS256.
"""

import base64
import binascii
import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from chalicelib.errors import AppError, Unauthenticated, Unavailable, ValidationError
from chalicelib.wire import untrusted

HMAC_ALGORITHMS: Final = frozenset({"HS256", "HS384", "HS512"})
RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512"})
MIN_RSA_BITS: Final = 2048
MAX_TOKEN: Final = 16 * 1024
MAX_KID: Final = 1024
REMEMBERED: Final = 10_000

_VERIFIERS: Final = {name: jwt.get_algorithm_by_name(name) for name in HMAC_ALGORITHMS | RSA_ALGORITHMS}
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Missing(Unauthenticated):
    """There is no token; an empty header counts as none, as Prosody without a key sends one."""


class NotBearer(Unauthenticated):
    """The header names another scheme, or holds no single token."""


class InvalidToken(Unauthenticated):
    """The token proves nothing here; `reason` is for the log and never holds the token."""

    def __init__(self, reason: str) -> None:
        super().__init__("The token is not accepted")
        self.reason = reason


class KeysUnavailable(Unavailable):
    """The key that decides is kept elsewhere and cannot be had now."""


class BadKey(AppError):
    """The material is no key that we would trust; the text says why and never shows it."""


@dataclass(frozen=True, eq=False, slots=True)
class Key:
    """A key and the algorithms it is pinned to; two are equal only if they are one object."""

    material: RSAPublicKey | bytes = field(repr=False)
    algorithms: frozenset[str]

    @classmethod
    def secret(cls, text: str) -> "Key":
        """A shared secret for HS256, HS384 and HS512.  Raises `BadKey`, also if it is a public key."""
        try:
            return cls(_VERIFIERS["HS256"].prepare_key(text), HMAC_ALGORITHMS)
        except jwt.InvalidKeyError:
            raise BadKey("not a shared secret") from None

    @classmethod
    def rsa(cls, material: object, algorithms: frozenset[str] = RSA_ALGORITHMS) -> "Key":
        """A public key for RS256, RS384 and RS512, or fewer.  Raises `BadKey`."""
        if not isinstance(material, RSAPublicKey):
            raise BadKey("not an RSA key")
        if material.key_size < MIN_RSA_BITS:
            raise BadKey(f"an RSA key of fewer than {MIN_RSA_BITS} bits")
        if not algorithms & RSA_ALGORITHMS:
            raise BadKey("a key for other algorithms")
        return cls(material, algorithms & RSA_ALGORITHMS)

    def signed(self, alg: str, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's; never by an algorithm the key is not pinned to."""
        return alg in self.algorithms and _VERIFIERS[alg].verify(message, self.material, signature)


class KeySource(Protocol):
    """Where the keys of one trust set come from."""

    def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
        """The keys that may have signed, cheapest first; none if unknown.  Raises `KeysUnavailable`."""
        ...


class Verified(msgspec.Struct, frozen=True):
    """What a good token says."""

    claims: dict[str, Any]
    expired_for: float = 0.0
    """Seconds since `exp`, if only the grace period let the token pass; else 0."""

    @property
    def expired(self) -> bool:
        """Whether only the grace period let the token pass."""
        return self.expired_for > 0


def parse_header(value: str | None) -> str:
    """The token in an `Authorization` header.  Raises `Missing` or `NotBearer`."""
    scheme, _, token = (value or "").strip().partition(" ")
    token = token.strip()
    if scheme and scheme.lower() != "bearer":
        raise NotBearer("A Bearer token is expected")
    if not token:
        raise Missing("There is no token")
    if not _B64TOKEN.fullmatch(token):
        raise NotBearer("A Bearer token is expected")
    return token


def token_hash(token: str) -> str:
    """A name for the token that does not give it away."""
    digest = hashlib.sha256(token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def verify(
    token: str,
    source: KeySource,
    issuers: Sequence[str],
    audiences: Sequence[str],
    *,
    now: float,
    leeway: float = 60,
    grace_s: float = 0,
) -> Verified:
    """Check signature, times, issuer and audience; `*` in a list accepts any.

    `grace_s` also lets a token pass that expired no longer ago, and says so in the result
    (contract 6.4).  Raises `InvalidToken` or `KeysUnavailable`.
    """
    claims = _signed_claims(token, source)
    expires_at = _numeric_date(claims, "exp")
    if expires_at is None:
        raise InvalidToken("exp is missing")
    not_before = _numeric_date(claims, "nbf")
    if not_before is not None and now < not_before - leeway:
        raise InvalidToken("nbf is in the future")
    expired_for = now - expires_at if now >= expires_at + leeway else 0.0
    if expired_for and expired_for >= leeway + grace_s:
        raise InvalidToken("exp has passed")
    _check_issuer(claims, issuers)
    _check_audience(claims, audiences)
    return Verified(claims, expired_for)


class _Remembered:
    """Tokens whose signature was good, by hash, with the very key that proved it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[str | None, str, Key, bytes]] = OrderedDict()

    def payload(self, digest: bytes, source: KeySource) -> bytes | None:
        """The payload, if `source` still offers the key that the signature was proved with."""
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None:
                return None
            self._entries.move_to_end(digest)
        kid, alg, proved, payload = entry
        return payload if any(key is proved for key in source.keys(kid, alg)) else None

    def add(self, digest: bytes, kid: str | None, alg: str, key: Key, payload: bytes) -> None:
        """Remember one more, and forget the one that was longest not used."""
        with self._lock:
            self._entries[digest] = (kid, alg, key, payload)
            self._entries.move_to_end(digest)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()


remembered: Final = _Remembered(REMEMBERED)


def _signed_claims(token: str, source: KeySource) -> dict[str, Any]:
    """The claims of a token whose signature is good, whatever they say.  Raises `InvalidToken`."""
    if len(token) > MAX_TOKEN:
        raise InvalidToken("longer than we take")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise InvalidToken("not a signed compact JWT")
    digest = hashlib.sha256(token.encode()).digest()
    payload = remembered.payload(digest, source)
    if payload is not None:
        known: dict[str, Any] = json.loads(payload)
        return known
    header = _object(_b64decode(parts[1]), "header")
    payload = _b64decode(parts[2])
    signature = _b64decode(parts[3])
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in _VERIFIERS:
        raise InvalidToken("alg is not one that we accept")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise InvalidToken("kid is malformed")
    if "crit" in header or "b64" in header:
        raise InvalidToken("header demands an extension")
    message = token[: parts.end(2)].encode()
    tried = 0
    for key in source.keys(kid, alg):
        tried += 1
        if key.signed(alg, message, signature):
            claims = _object(payload, "payload")
            remembered.add(digest, kid, alg, key, payload)
            return claims
    raise InvalidToken("signature is wrong" if tried else f"no {alg} key is known for this kid")


def _b64decode(segment: str) -> bytes:
    """Read base64url in its one spelling, lest one token have several hashes.  Raises `InvalidToken`."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidToken("base64url is malformed") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment.encode():
        raise InvalidToken("base64url is malformed")
    return raw


def _object(raw: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object.  Raises `InvalidToken`."""
    try:
        value = untrusted.parse(raw, limit=MAX_TOKEN)
    except ValidationError:
        raise InvalidToken(f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"{what} is not an object")
    return value


def _numeric_date(claims: dict[str, Any], name: str) -> float | None:
    """A time claim (RFC 7519 2).  Raises `InvalidToken`."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise InvalidToken(f"{name} is out of range") from None


def _check_issuer(claims: dict[str, Any], accepted: Sequence[str]) -> None:
    """`iss` is there and accepted.  Raises `InvalidToken`."""
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise InvalidToken("iss is missing or malformed")
    if issuer not in accepted and "*" not in accepted:
        raise InvalidToken("iss is not accepted")


def _check_audience(claims: dict[str, Any], accepted: Sequence[str]) -> None:
    """`aud` is there, as text or list, and one of it is accepted.  Raises `InvalidToken`."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise InvalidToken("aud is missing or malformed")
    if "*" not in accepted and not any(name in accepted for name in named):
        raise InvalidToken("aud is not accepted")
