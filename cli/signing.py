"""Signed headers as clients make them: Hawk, MAuth and the hash of WCS hooks.

Made from the contracts, and sharing nothing with the verifiers of the service: the two check each other.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cli.errors import Misused

V1: Final = "HMAC_SHA256"
V2: Final = "HMAC_SHA256_V2"
INFO: Final = b"identity.mozilla.com/picl/v1/sessionToken"
PORTS: Final = {"http": 80, "https": 443}

_SESSION_TOKEN: Final = re.compile(r"[0-9a-fA-F]{64}")
_HAWK: Final = re.compile(r"[ \w!#$%&'()*+,\-./:;<=>?@\[\]^`{|}~]+", re.ASCII)
_MAUTH: Final = re.compile(r"[!#-+\--~](?:[ !#-+\--~]*[!#-+\--~])?")
_MANAGEMENT: Final = re.compile(r"/(?:services|v1|v1\.1)(?=/|$)")


class Hawk(NamedTuple):
    """Credentials of Loop."""

    id: str
    key: str


def derived(session_token: str) -> Hawk:
    """The credentials that both sides make of a session token (HKDF-SHA256, RFC 5869).  Raises `Misused`."""
    if not _SESSION_TOKEN.fullmatch(session_token):
        raise Misused("a session token has 64 hexadecimal digits")
    extracted = hmac.digest(b"\0" * 32, bytes.fromhex(session_token), "sha256")
    first = hmac.digest(extracted, INFO + b"\x01", "sha256")
    second = hmac.digest(extracted, first + INFO + b"\x02", "sha256")
    return Hawk(first.hex(), second.hex())


def hawk(
    credentials: Hawk,
    method: str,
    url: str,
    body: bytes | None = None,
    content_type: str = "application/json",
    ext: str = "",
) -> str:
    """`Authorization` over a request, its body included; good for this one and for a minute.

    Raises `Misused`.
    """
    if not _HAWK.fullmatch(credentials.id):
        raise Misused("the id of Hawk credentials holds characters that no header has")
    if ext and not _HAWK.fullmatch(ext):
        raise Misused("ext holds characters that no header has")
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = parts.port or PORTS[parts.scheme]
    stamp, nonce = str(int(time.time())), secrets.token_urlsafe(6)
    content = ""
    if body is not None:
        kind = content_type.partition(";")[0].strip().lower()
        content = _base64(hashlib.sha256(b"hawk.1.payload\n%b\n%b\n" % (kind.encode(), body)).digest())
    lines = ["hawk.1.header", stamp, nonce, method, target, (parts.hostname or "").lower(), str(port)]
    text = "\n".join([*lines, content, ext, ""])
    mac = _base64(hmac.digest(credentials.key.encode(), text.encode(), "sha256"))
    told = {"id": credentials.id, "ts": stamp, "nonce": nonce, "hash": content, "ext": ext, "mac": mac}
    return "Hawk " + ", ".join(f'{name}="{value}"' for name, value in told.items() if value)


def mauth(
    service: str,
    key: str,
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    signature: str = V2,
    user: str = "",
    role: str = "",
    base: str = "",
) -> str:
    """`Authorization` of a service.

    `V1` signs time and nonce alone, as the original has it; `V2` the whole call, whose path is counted from
    behind `base`.  A user's name is sent in base64, as the SDK does.  Raises `Misused`.
    """
    if bool(user) != bool(role):
        raise Misused("--user and --role count together only")
    for name, value in (("service", service), ("role", role)):
        if value and not _MAUTH.fullmatch(value):
            raise Misused(f"the {name} holds characters that do not pass in a MAuth header")
    stamp, nonce = str(int(time.time() * 1000)), secrets.token_hex(8)
    named = _base64(user.encode()) if user else ""
    if signature == V2:
        path, query = _below(url, base)
        text = "\n".join(
            (
                *(V2, service, stamp, nonce, named, role, method, path, query),
                hashlib.sha256(body or b"").hexdigest(),
            )
        )
    else:
        text = f"{stamp},{nonce}" + (f",{named},{role}" if named else "")
    digits = hmac.digest(key.encode(errors="surrogateescape"), text.encode(), "sha256").hex()
    told = {
        "realm": "foyer",
        "mauth_signature_method": signature,
        "mauth_username": named,
        "mauth_role": role,
        "mauth_serviceid": service,
        "mauth_cnonce": nonce,
        "mauth_timestamp": stamp,
        "mauth_signature": _base64(digits.encode()),
    }
    return "MAuth " + ",".join(f"{name}={value}" for name, value in told.items() if value)


def _below(url: str, base: str) -> tuple[str, str]:
    """Path and query as they are signed."""
    parts = urlsplit(url)
    path = parts.path
    if base and url.startswith(f"{base.rstrip('/')}/"):
        path = path[len(urlsplit(base).path.rstrip("/")) :]
    elif found := _MANAGEMENT.search(path):
        path = path[found.start() :]
    path = path.removesuffix("/") if len(path) > 1 else path
    segments = (_encoded(unquote(segment)) for segment in path.split("/"))
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    listed = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "/".join(segments), "&".join(f"{name}={value}" for name, value in listed)


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")


def wcs(secret: str, body: bytes) -> str:
    """`Authorization` of a media server's hook: the HMAC-MD5 of exactly these bytes."""
    return f"WCS {hmac.digest(secret.encode(errors='surrogateescape'), body, 'md5').hex()}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
