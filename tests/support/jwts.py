"""JSON Web Tokens as the other side makes them, written from RFC 7515, 7517 and 7519 and contract 6.1.

It shares nothing with our verifier, and makes broken tokens as readily as good ones.
"""

import base64
import datetime
import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SECRET = "a shared secret that is long enough for HS512, as RFC 7518 asks"
JAAS_TENANT = "vpaas-magic-cookie-0123456789abcdef"
JAAS_KID = f"{JAAS_TENANT}/a1b2c3"
SERVER_KID = "jitsi/prosody"

_HASHES = {"256": (hashlib.sha256, hashes.SHA256), "384": (hashlib.sha384, hashes.SHA384)}
_HASHES["512"] = (hashlib.sha512, hashes.SHA512)


def b64(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass(frozen=True)
class KeyPair:
    """An RSA key in the spellings that key servers have for it."""

    private: rsa.RSAPrivateKey

    @cached_property
    def private_pem(self) -> str:
        """PKCS #8, as Prosody and jigasi are given it."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @cached_property
    def public_pem(self) -> str:
        """SubjectPublicKeyInfo, as a key server keeps it."""
        return (
            self.private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    @cached_property
    def certificate_pem(self) -> str:
        """A self-signed certificate, also good for a server on loopback."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=36500))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.private, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
        )

    def jwk(self, kid: str | None = None, **members: Any) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        numbers = self.private.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": b64(numbers.e.to_bytes(3, "big")),
        }
        return {**key, **({"kid": kid} if kid is not None else {}), **members}


@cache
def rsa_pair(name: str = "user", bits: int = 2048) -> KeyPair:
    """The key pair of that name, made once per session; other names are other keys."""
    return KeyPair(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def sign(
    claims: Any,
    key: KeyPair | str = SECRET,
    *,
    alg: str | None = None,
    kid: str | None = None,
    header: dict[str, Any] | None = None,
) -> str:
    """A compact JWT; text or bytes as `claims` are signed as they are, `header` adds or overrides members."""
    alg = alg or ("HS256" if isinstance(key, str) else "RS256")
    members = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid is not None else {}), **(header or {})}
    payload = claims if isinstance(claims, bytes) else claims if isinstance(claims, str) else _json(claims)
    return sign_raw(_json(members), payload, key, alg)


def sign_raw(header: str | bytes, payload: str | bytes, key: KeyPair | str, alg: str) -> str:
    """A compact JWS over header and payload just as they are given."""
    message = f"{b64(_bytes(header))}.{b64(_bytes(payload))}"
    return f"{message}.{b64(_signature(message.encode(), key, alg))}"


def _signature(message: bytes, key: KeyPair | str, alg: str) -> bytes:
    if alg == "none":
        return b""
    plain, wrapped = _HASHES[alg[2:]]
    if isinstance(key, str):
        return hmac.new(key.encode(), message, plain).digest()
    return key.private.sign(message, padding.PKCS1v15(), wrapped())


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def jaas_user(
    now: float, *, moderator: bool | str = False, role: str | None = "visitor", **claims: Any
) -> Any:
    """The payload of a JaaS user's token; `None` removes a claim."""
    user = {
        "id": "google-oauth2|107",
        "name": "Ana Test",
        "email": "ana@example.com",
        "avatar": "https://example.com/ana.png",
        "moderator": moderator,
        "hidden-from-recorder": False,
    }
    if role is not None:
        user["role"] = role
    features = {"livestreaming": False, "recording": False, "transcription": False, "outbound-call": False}
    payload = {
        "aud": "jitsi",
        "iss": "chat",
        "sub": JAAS_TENANT,
        "room": "*",
        "iat": int(now),
        "nbf": int(now) - 5,
        "exp": int(now) + 7200,
        "context": {"user": user, "features": features},
    }
    return _with(payload, claims)


def self_hosted_user(
    now: float, *, moderator: bool | str = False, role: str | None = "visitor", **claims: Any
) -> Any:
    """The payload of a self-hosted deployment's user token; `None` removes a claim."""
    user: dict[str, Any] = {"name": "Ben Test", "moderator": moderator}
    if role is not None:
        user["role"] = role
    payload = {
        "aud": "jitsi",
        "iss": "chat",
        "sub": "meet.local",
        "room": "*",
        "exp": int(now) + 3600,
        "context": {"user": user},
    }
    return _with(payload, claims)


def prosody_server(now: float, **claims: Any) -> Any:
    """The payload of Prosody's own (ASAP) token: no `iat`, `sub`, `room` or `context`."""
    return _with({"iss": "jitsi", "aud": "jitsi", "nbf": int(now), "exp": int(now) + 3600}, claims)


def jigasi(now: float, **claims: Any) -> Any:
    """The payload of jigasi's (ASAP) token: no `nbf`, `sub`, `room` or `context`."""
    return _with({"iss": "jitsi", "aud": "jitsi", "iat": int(now), "exp": int(now) + 300}, claims)


def _with(payload: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    merged = {**payload, **claims}
    return {name: value for name, value in merged.items() if value is not None}
