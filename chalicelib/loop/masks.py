"""What operators see in the place of a room's token: who has the token may enter.

A token is 8 bytes.  With 8 bytes that are always the same it fills one block of AES, and the encrypted block
is what is shown: the same for the same room, of no use without the key, and whatever is made up decrypts to
something else than those 8 bytes.
"""

import base64
import binascii
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chalicelib.loop import room, settings
from chalicelib.loop.errors import InvalidToken
from chalicelib.settings import also_reset

KEY_BYTES: Final = 32
SAME: Final = b"foyer rm"
LENGTH: Final = 22


def mask(token: str) -> str:
    """22 characters that stand for a room's token."""
    block = base64.urlsafe_b64decode(token + "=") + SAME
    return base64.urlsafe_b64encode(_cipher().encryptor().update(block)).rstrip(b"=").decode()


def unmask(masked: str) -> str:
    """The token for which a text of ours stands.  Raises `InvalidToken` for any other."""
    try:
        block = base64.b64decode(masked + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidToken from None
    if len(block) != room.TOKEN_BYTES + len(SAME) or len(masked) != LENGTH:
        raise InvalidToken
    plain = _cipher().decryptor().update(block)
    if plain[room.TOKEN_BYTES :] != SAME:
        raise InvalidToken
    return base64.urlsafe_b64encode(plain[: room.TOKEN_BYTES]).rstrip(b"=").decode()


@cache
def _cipher() -> Cipher[ECB]:
    secret = settings.get().secret.encode(errors="surrogateescape")
    return Cipher(AES(HKDF(SHA256(), KEY_BYTES, None, b"foyer loop room masks 1").derive(secret)), ECB())


also_reset(_cipher.cache_clear)
