"""What stands for a secret in the table: keyed hashes of identities, and keys encrypted with AES-256-GCM.

All of it is derived from `LOOP_SECRET`, once in a process; each use has a key of its own.
"""

import base64
import hmac
import logging
import os
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chalicelib.errors import Unavailable
from chalicelib.loop import settings
from chalicelib.settings import also_reset
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

IDENTITIES: Final = b"foyer loop identities 1"
TOKENS: Final = b"foyer loop session tokens 1"
KEYS: Final = b"foyer loop keys 1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
HASH_BYTES: Final = 16


class CannotOpen(Unavailable):
    """What is kept was sealed under another secret or for another row, or there is no secret."""

    def __init__(self) -> None:
        super().__init__("a stored secret cannot be read")


def uid(credential_id: str) -> str:
    """22 characters that stand for the id of Hawk credentials.  Raises `Unavailable`."""
    return _hashed(IDENTITIES, credential_id)


def token_hash(session_token: str) -> str:
    """22 characters that stand for a session token.  Raises `Unavailable`."""
    return _hashed(TOKENS, session_token)


def seal(content: bytes, where: Key) -> bytes:
    """`content` for the row `where` alone.  Raises `Unavailable`."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher().encrypt(nonce, content, _bound(where))


def unseal(sealed: bytes, where: Key) -> bytes:
    """What was sealed for the row `where`.  Raises `CannotOpen`."""
    try:
        return _cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(where))
    except (InvalidTag, ValueError):
        log.error("a key cannot be read: sealed under another secret, or damaged")
        raise CannotOpen from None


def warm() -> None:
    """Derive what every request needs, where there is a secret to derive it from."""
    if settings.get().secret:
        _key(IDENTITIES)
        _key(TOKENS)
        _cipher()


def _hashed(purpose: bytes, text: str) -> str:
    digest = hmac.digest(_key(purpose), text.encode(errors="surrogateescape"), "sha256")[:HASH_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _bound(where: Key) -> bytes:
    return f"{where.pk}\0{where.sk}".encode()


@cache
def _key(purpose: bytes) -> bytes:
    secret = settings.get().secret
    if not secret:
        log.error("LOOP_SECRET is not set, and nothing can be told apart without it")
        raise CannotOpen
    return HKDF(SHA256(), KEY_BYTES, None, purpose).derive(secret.encode(errors="surrogateescape"))


@cache
def _cipher() -> AESGCM:
    return AESGCM(_key(KEYS))


also_reset(_key.cache_clear)
also_reset(_cipher.cache_clear)
