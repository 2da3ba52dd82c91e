"""Signers of MAuth headers, made from the contract and docs/contracts/owt.md, not from our verifier."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from urllib.parse import quote

REALM = "http://marte3.dit.upm.es"


def mac(key: str, text: str) -> str:
    """base64 of the lower-case hexadecimal text."""
    digits = hmac.new(key.encode("utf-8"), text.encode("utf-8"), hashlib.sha256).hexdigest()
    return base64.b64encode(digits.encode("ascii")).decode("ascii")


def spell(parts: Iterable[tuple[str, str]], comma: str = ",") -> str:
    """The header of some parts, with or without a blank after each comma."""
    return "MAuth " + comma.join(f"{name}={value}" for name, value in parts)


def signature_of(header: str) -> str:
    """The signature in a header."""
    return header.partition("mauth_signature=")[2].partition(",")[0]


def now_ms() -> str:
    """The time as clients send it."""
    return str(int(time.time() * 1000))


def header(
    service: str,
    key: str,
    *,
    user: str = "",
    role: str = "",
    timestamp: str | None = None,
    cnonce: str | None = None,
    comma: str = ",",
) -> str:
    """As the JS SDK signs: hexadecimal nonce, no blanks, a user name in base64."""
    timestamp, cnonce = timestamp or now_ms(), cnonce or secrets.token_hex(8)
    text = f"{timestamp},{cnonce}"
    names: list[tuple[str, str]] = []
    if user and role:
        encoded = base64.b64encode(user.encode("utf-8")).decode("ascii")
        text += f",{encoded},{role}"
        names = [("mauth_username", encoded), ("mauth_role", role)]
    parts = [
        ("realm", REALM),
        ("mauth_signature_method", "HMAC_SHA256"),
        *names,
        ("mauth_serviceid", service),
        ("mauth_cnonce", cnonce),
        ("mauth_timestamp", timestamp),
        ("mauth_signature", mac(key, text)),
    ]
    return spell(parts, comma)


def text_v2(
    service: str,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    timestamp: str,
    cnonce: str,
    user: str = "",
    role: str = "",
) -> str:
    """What `HMAC_SHA256_V2` signs; `path` and `query` are decoded."""
    segments = [quote(segment, safe="-._~") for segment in path.split("/")]
    pairs = sorted((quote(name, safe="-._~"), quote(value, safe="-._~")) for name, value in query)
    lines = [
        "HMAC_SHA256_V2",
        *(service, timestamp, cnonce, user, role),
        method,
        "/".join(segments),
        "&".join(f"{name}={value}" for name, value in pairs),
        hashlib.sha256(body).hexdigest(),
    ]
    return "\n".join(lines)


def header_v2(
    service: str,
    key: str,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    timestamp: str | None = None,
    cnonce: str | None = None,
    user: str = "",
    role: str = "",
) -> str:
    """A header that is good for this one call."""
    timestamp, cnonce = timestamp or now_ms(), cnonce or secrets.token_hex(8)
    text = text_v2(
        service, method, path, query, body, timestamp=timestamp, cnonce=cnonce, user=user, role=role
    )
    names = [("mauth_username", user), ("mauth_role", role)] if user or role else []
    parts = [
        ("realm", REALM),
        ("mauth_signature_method", "HMAC_SHA256_V2"),
        *names,
        ("mauth_serviceid", service),
        ("mauth_cnonce", cnonce),
        ("mauth_timestamp", timestamp),
        ("mauth_signature", mac(key, text)),
    ]
    return spell(parts)
