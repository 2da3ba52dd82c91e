"""Keys and secrets of a stage that lives on one machine: made once in a folder, and the tokens they sign."""

import argparse
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

USER_ISSUER = "chat"
USER_AUDIENCE = "jitsi"
SERVER_KID = "local"
SERVER_ISSUER = "jitsi"
SERVER_AUDIENCE = "jitsi"
MUC_PREFIX = "conference"
MUC_DOMAIN = "meet.local"
WCS_API = "my_api"
OPERATOR = "local"
SECRET = "secret:"
SERVICE_ID_BYTES = 12
HOUR_S = 3_600
DAY_S = 86_400
HOME = Path(__file__).resolve().parent.parent / ".local"


class CannotSign(Exception):
    """The keys in force are not ours to sign with."""


def keep(path: Path, content: bytes) -> bytes:
    """Write `content` where nobody else can read it, unless the file is there; what the file holds then."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists() or not path.read_bytes():
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        scratch.replace(path)
    path.chmod(0o600)
    return path.read_bytes()


def write_private(path: Path, text: str) -> None:
    """Replace a file by `text`, mode 0600, never half written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)


def secret(path: Path) -> str:
    """The secret of a file, made on first use: 43 URL-safe characters."""
    return keep(path, secrets.token_urlsafe(32).encode()).decode().strip()


def service_id(path: Path) -> str:
    """The id of a file, made on first use: 24 hexadecimal digits."""
    return keep(path, secrets.token_hex(SERVICE_ID_BYTES).encode()).decode().strip()


def private_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA key of a PEM file, made on first use."""
    if not path.exists() or not path.read_bytes():
        keep(path, private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path}: an RSA key expected")
    return key


def private_pem(key: Any) -> bytes:
    """A private key as PKCS #8 PEM."""
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


class Credentials:
    """The secrets of one folder, where `environ` does not bring its own, and the tokens they sign.

    `user_secret` or `server_key` is `None` where `environ` names keys that cannot sign here.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        given = environ or {}
        self.server_key_path = folder / "keys" / "server.pem"
        self.server_public_path = folder / "keys" / "server.pub.pem"
        made = {
            "FOYER_GATEWAY_SECRET": secret(folder / "keys" / "gateway-secret"),
            "JITSI_USER_KEYS": SECRET + secret(folder / "keys" / "user-secret"),
            "JITSI_USER_ISSUERS": USER_ISSUER,
            "JITSI_USER_AUDIENCES": USER_AUDIENCE,
            "JITSI_SERVER_KEYS": f"pem:{self.server_public_path}",
            "JITSI_SERVER_ISSUERS": SERVER_ISSUER,
            "JITSI_SERVER_AUDIENCES": SERVER_AUDIENCE,
            "JITSI_MUC_DOMAIN_PREFIX": MUC_PREFIX,
            "JITSI_MUC_DOMAIN_BASE": MUC_DOMAIN,
            "OWT_SUPER_SERVICE_ID": service_id(folder / "keys" / "owt-super-service-id"),
            "OWT_SUPER_SERVICE_KEY": secret(folder / "keys" / "owt-super-service-key"),
            "OWT_KEY_SECRET": secret(folder / "keys" / "owt-key-secret"),
            "LOOP_SECRET": secret(folder / "keys" / "loop-secret"),
        }
        made |= {
            # Open to everybody on this machine, until keys are given.
            "SORA_OPEN": "false" if given.get("SORA_API_KEYS") else "true",
            "SORA_SOCKET_OPEN": "false" if given.get("SORA_SOCKET_KEYS") else "true",
        }
        own_server_key = private_key(self.server_key_path)
        public = own_server_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if not self.server_public_path.exists() or self.server_public_path.read_bytes() != public:
            write_private(self.server_public_path, public.decode())
        self._settings = made | {name: given[name] for name in made if name in given}
        self.user_secret = _only_secret(self._settings["JITSI_USER_KEYS"])
        trusted = self._settings["JITSI_SERVER_KEYS"] == made["JITSI_SERVER_KEYS"]
        self.server_key = own_server_key if trusted else None
        self.super_service_id = self._settings["OWT_SUPER_SERVICE_ID"]
        self.super_service_key = self._settings["OWT_SUPER_SERVICE_KEY"]
        hooks = f"{WCS_API}:"
        signed = [item.strip() for item in given.get("WCS_SECRETS", "").split(",")]
        self.wcs_secret = next((item[len(hooks) :] for item in signed if item.startswith(hooks)), None)
        self.sora_key = given.get("SORA_API_KEYS", "").split(",")[0].strip() or None
        own_operator = "ADMIN_TOKENS" not in given
        self.admin_token = secret(folder / "keys" / "admin-token") if own_operator else None
        """What operators of this machine sign in with; `None` where `environ` says who they are."""

    def environment(self) -> dict[str, str]:
        """The settings that make the service trust these."""
        return dict(self._settings)

    def operators(self) -> dict[str, str]:
        """The setting that lets the token's owner in; nothing where `environ` says who operators are."""
        if self.admin_token is None:
            return {}
        return {"ADMIN_TOKENS": f"{OPERATOR}:{hashlib.sha256(self.admin_token.encode()).hexdigest()}"}

    def first(self, name: str, otherwise: str) -> str:
        """The first item of a setting that lists accepted values; `otherwise` where any is."""
        item = self._settings[name].split(",")[0].strip()
        return otherwise if item in {"", "*"} else item

    @property
    def muc(self) -> str:
        """The part of a room's address behind the `@`."""
        prefix, domain = (self._settings[f"JITSI_MUC_DOMAIN_{part}"] for part in ("PREFIX", "BASE"))
        return f"{prefix}.{domain}"

    def user_token(self, room: str, *, lives_s: float = DAY_S, **user: Any) -> str:
        """A token of `room` for a person with the given `context.user`.  Raises `CannotSign`."""
        if self.user_secret is None:
            raise CannotSign(
                "JITSI_USER_KEYS of the environment is not one secret: user tokens are not made here"
            )
        now = int(time.time())
        claims = {
            "iss": self.first("JITSI_USER_ISSUERS", USER_ISSUER),
            "aud": self.first("JITSI_USER_AUDIENCES", USER_AUDIENCE),
            "sub": self._settings["JITSI_MUC_DOMAIN_BASE"],
            "room": room,
            "iat": now,
            "nbf": now,
            "exp": now + int(lives_s),
            "context": {"user": user},
        }
        return jwt.encode(claims, self.user_secret, algorithm="HS256")

    def visitor_token(self, room: str = "*", *, lives_s: float = DAY_S, **also: Any) -> str:
        """A token that may wait for `room`.  Raises `CannotSign`."""
        return self.user_token(room, lives_s=lives_s, role="visitor", **also)

    def moderator_token(self, room: str = "*", *, lives_s: float = DAY_S, **also: Any) -> str:
        """A token that may watch the count of `room`.  Raises `CannotSign`."""
        return self.user_token(room, lives_s=lives_s, moderator=True, **also)

    def server_token(self, *, lives_s: float = HOUR_S, **claims: Any) -> str:
        """A token as Prosody makes them: no `iat`, `sub`, `room` or `context`.  Raises `CannotSign`."""
        if self.server_key is None:
            raise CannotSign("JITSI_SERVER_KEYS is the environment's: server tokens are not made here")
        now = int(time.time())
        body = {
            "iss": self.first("JITSI_SERVER_ISSUERS", SERVER_ISSUER),
            "aud": self.first("JITSI_SERVER_AUDIENCES", SERVER_AUDIENCE),
            "nbf": now,
            "exp": now + int(lives_s),
        }
        return jwt.encode(body | claims, self.server_key, algorithm="RS256", headers={"kid": SERVER_KID})


def _only_secret(spec: str) -> str | None:
    text = spec.removeprefix(SECRET)
    return text if spec.startswith(SECRET) and not any(mark in text for mark in ",\n") else None


def main() -> int:
    """Print a fresh token that the service of `make run` accepts."""
    arguments = argparse.ArgumentParser(prog="python -m infra.credentials", description=main.__doc__)
    arguments.add_argument("kind", choices=("visitor", "moderator", "server"))
    arguments.add_argument("--room", default="*", help="the room the token is for; any, unless given")
    arguments.add_argument("--lives", type=int, default=DAY_S, metavar="SECONDS")
    arguments.add_argument("--folder", type=Path, default=HOME, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    credentials = Credentials(given.folder, os.environ)
    try:
        if given.kind == "server":
            room = {} if given.room == "*" else {"room": given.room}
            print(credentials.server_token(lives_s=given.lives, **room))
        elif given.kind == "moderator":
            print(credentials.moderator_token(given.room, lives_s=given.lives))
        else:
            print(credentials.visitor_token(given.room, lives_s=given.lives))
    except CannotSign as why:
        print(f"foyer: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
