"""Tokens of the waiting queue as Jitsi's parts make them (docs/contracts/jitsi.md, rights)."""

import time
import warnings
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cli.errors import Misused

BY_SECRET: Final = ("HS256", "HS384", "HS512")
BY_KEY: Final = ("RS256", "RS384", "RS512")
SHORTEST_BITS: Final = 2048
PEM: Final = "-----BEGIN "
CLOCKS_DIFFER_S: Final = 5


def person(
    *,
    room: str,
    issuer: str,
    audience: str,
    sub: str,
    lives_s: int,
    user: dict[str, Any],
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The claims of a person; `more` adds some, replaces some, and takes away those that are `None`."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": sub,
        "room": room,
        "iat": now,
        "nbf": now - CLOCKS_DIFFER_S,
        "exp": now + lives_s,
        "context": {"user": user},
    }
    return _with(claims, more)


def server(
    *, issuer: str, audience: str, lives_s: int, room: str = "", more: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The claims of Prosody: no `context`, or it would be a person."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "nbf": now - CLOCKS_DIFFER_S,
        "exp": now + lives_s,
    }
    return _with(claims | ({"room": room} if room else {}), more)


def _with(claims: dict[str, Any], more: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (claims | (more or {})).items() if value is not None}


def sign(claims: dict[str, Any], key: str, *, algorithm: str = "", kid: str = "") -> str:
    """A signed token; `key` is a secret, or a private key as PEM.  Raises `Misused`."""
    if not key.lstrip().startswith(PEM):
        secret = key.encode(errors="surrogateescape")
        return _encoded(claims, secret, _one_of(algorithm or BY_SECRET[0], BY_SECRET, "a secret"), kid)
    private = _private(key.strip())
    return _encoded(claims, private, _one_of(algorithm or BY_KEY[0], BY_KEY, "an RSA key"), kid)


@cache
def _private(pem: str) -> RSAPrivateKey:
    """The key of a PEM; reading one takes longer than many signatures.  Raises `Misused`."""
    try:
        private = serialization.load_pem_private_key(pem.encode(), password=None)
    except (TypeError, ValueError):
        raise Misused("the key is no private key in PEM, or it needs a password") from None
    if not isinstance(private, RSAPrivateKey):
        raise Misused("the key is not an RSA key, which is what the service verifies")
    if private.key_size < SHORTEST_BITS:
        raise Misused(f"the key has {private.key_size} bits, and {SHORTEST_BITS} are the least")
    return private


def _encoded(claims: dict[str, Any], key: bytes | RSAPrivateKey, algorithm: str, kid: str) -> str:
    with warnings.catch_warnings():  # how long a secret should be, `config check` says
        warnings.simplefilter("ignore")
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def _one_of(algorithm: str, known: tuple[str, ...], what: str) -> str:
    if algorithm not in known:
        raise Misused(f"{algorithm}: {what} signs with {', '.join(known)}")
    return algorithm


def public_pem(private_pem: str) -> str:
    """The public half of a private key.  Raises `Misused`."""
    private = _private(private_pem.strip())
    return (
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
