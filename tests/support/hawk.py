"""Hawk as its clients do it, made from the specification and contract section 4, not from our verifier."""

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field

INFO = b"identity.mozilla.com/picl/v1/sessionToken"


@dataclass(frozen=True)
class Credentials:
    """What a client makes of the session token that it was given."""

    id: str
    key: str = field(repr=False)


def hkdf(material: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 without a salt (RFC 5869)."""
    extracted = hmac.new(b"\x00" * 32, material, hashlib.sha256).digest()
    made, block, count = b"", b"", 1
    while len(made) < length:
        block = hmac.new(extracted, block + info + bytes([count]), hashlib.sha256).digest()
        made += block
        count += 1
    return made[:length]


def derive(session_token: str) -> Credentials:
    """Credentials of 64 hexadecimal digits."""
    made = hkdf(bytes.fromhex(session_token), INFO, 64).hex()
    return Credentials(made[:64], made[64:])


def payload_hash(content_type: str, body: bytes) -> str:
    """What `hash` is made of a body."""
    kind = content_type.split(";")[0].strip().lower().encode()
    return _base64(hashlib.sha256(b"hawk.1.payload\n" + kind + b"\n" + body + b"\n").digest())


@dataclass(frozen=True)
class Signature:
    """One signed request; the answer is signed over most of it."""

    credentials: Credentials
    method: str
    resource: str
    host: str
    port: str
    ts: str
    nonce: str
    hash: str = ""
    ext: str = ""
    app: str = ""
    dlg: str = ""

    def mac(self, kind: str = "header", content_hash: str | None = None, ext: str | None = None) -> str:
        """The MAC over this request, or over an answer to it."""
        lines = [
            f"hawk.1.{kind}",
            self.ts,
            self.nonce,
            self.method.upper(),
            self.resource,
            self.host.lower(),
            self.port,
            self.hash if content_hash is None else content_hash,
            (self.ext if ext is None else ext).replace("\\", "\\\\").replace("\n", "\\n"),
        ]
        if self.app:
            lines += [self.app, self.dlg]
        text = "".join(line + "\n" for line in lines)
        return _base64(hmac.new(self.credentials.key.encode(), text.encode(), hashlib.sha256).digest())

    @property
    def header(self) -> str:
        """`Authorization`."""
        parts = {"id": self.credentials.id, "ts": self.ts, "nonce": self.nonce}
        given = {"hash": self.hash, "ext": self.ext, "mac": self.mac(), "app": self.app, "dlg": self.dlg}
        return spell(parts | {name: text for name, text in given.items() if text})

    def proves(self, server_authorization: str | None, content_type: str, body: bytes) -> bool:
        """Whether an answer's `Server-Authorization` is right, and covers the body where there is one."""
        scheme, _, rest = (server_authorization or "").partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split(", ") if "=" in part)
        given = {name: text.strip('"') for name, text in parts.items()}
        if scheme != "Hawk" or (body and "hash" not in given):
            return False
        if "hash" in given and given["hash"] != payload_hash(content_type, body):
            return False
        wanted = self.mac("response", given.get("hash", ""), given.get("ext", ""))
        return given.get("mac") == wanted


def sign(
    credentials: Credentials,
    method: str,
    resource: str,
    host: str,
    port: int | str,
    *,
    body: bytes = b"",
    content_type: str = "application/json",
    hashed: bool = True,
    ts: str | None = None,
    nonce: str | None = None,
    ext: str = "",
    app: str = "",
    dlg: str = "",
) -> Signature:
    """Sign one request; `resource` is the path and the query as typed."""
    return Signature(
        credentials,
        method,
        resource,
        host,
        str(port),
        str(int(time.time())) if ts is None else ts,
        nonce or secrets.token_urlsafe(6),
        payload_hash(content_type, body) if hashed else "",
        ext,
        app,
        dlg,
    )


def tsm(credentials: Credentials, ts: str) -> str:
    """What proves the server's time."""
    text = f"hawk.1.ts\n{ts}\n".encode()
    return _base64(hmac.new(credentials.key.encode(), text, hashlib.sha256).digest())


def spell(parts: dict[str, str]) -> str:
    """A header of these."""
    return "Hawk " + ", ".join(f'{name}="{text}"' for name, text in parts.items())


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
