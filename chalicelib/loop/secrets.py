"""What stands for a secret in the table: keyed hashes of identities, and keys encrypted with AES-256-GCM.

All of it is derived from `LOOP_SECRET`, once in a process; each use has a key of its own.  What was made when
that was what `LOOP_SECRET_ALSO` says keeps its hashes, and stays readable.
"""

import base64
import contextlib
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
    return _hashed(settings.get().secret, IDENTITIES, credential_id)


def uids(credential_id: str) -> list[str]:
    """What may stand for it: `uid` first, then what did before.  Raises `Unavailable`."""
    return [_hashed(secret, IDENTITIES, credential_id) for secret in _secrets()]


def token_hash(session_token: str) -> str:
    """22 characters that stand for a session token.  Raises `Unavailable`."""
    return _hashed(settings.get().secret, TOKENS, session_token)


def token_hashes(session_token: str) -> tuple[str, ...]:
    """What may stand for it: `token_hash` first, then what did before.  Raises `Unavailable`."""
    return tuple(_hashed(secret, TOKENS, session_token) for secret in _secrets())


def seal(content: bytes, where: Key) -> bytes:
    """`content` for the row `where` alone.  Raises `Unavailable`."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(settings.get().secret).encrypt(nonce, content, _bound(where))


def unseal(sealed: bytes, where: Key) -> bytes:
    """What was sealed for the row `where`.  Raises `CannotOpen`."""
    for secret in _secrets():
        with contextlib.suppress(InvalidTag, ValueError):
            return _cipher(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(where))
    log.error("a key cannot be read: sealed under another secret, or damaged")
    raise CannotOpen


def warm() -> None:
    """Derive what every request needs, where there is a secret to derive it from."""
    if settings.get().secret:
        for secret in _secrets():
            _key(secret, IDENTITIES)
            _key(secret, TOKENS)
            _cipher(secret)


def _secrets() -> list[str]:
    given = settings.get()
    return [given.secret, given.secret_also] if given.secret_also else [given.secret]


def _hashed(secret: str, purpose: bytes, text: str) -> str:
    digest = hmac.digest(_key(secret, purpose), text.encode(errors="surrogateescape"), "sha256")[:HASH_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _bound(where: Key) -> bytes:
    return f"{where.pk}\0{where.sk}".encode()


@cache
def _key(secret: str, purpose: bytes) -> bytes:
    if not secret:
        log.error("LOOP_SECRET is not set, and nothing can be told apart without it")
        raise CannotOpen
    return HKDF(SHA256(), KEY_BYTES, None, purpose).derive(secret.encode(errors="surrogateescape"))


@cache
def _cipher(secret: str) -> AESGCM:
    return AESGCM(_key(secret, KEYS))


also_reset(_key.cache_clear)
also_reset(_cipher.cache_clear)
