"""New identifiers, and short stable names for long ones."""

import binascii
import hashlib
import random
import secrets
import threading
from typing import Final

SHORT_HASH_BYTES = 16
URL_SAFE = bytes.maketrans(b"+/", b"-_")
TICKS_A_SECOND = 1 << 16

chance: Final = random.SystemRandom()
"""For pauses and choices: the module's own generator goes on alike in every copy of a snapshot."""


def new(length: int = 12) -> str:
    """`length` random characters, safe in URLs and keys."""
    text = binascii.b2a_base64(secrets.token_bytes(length), newline=False)
    return text[:length].translate(URL_SAFE).decode()


def short_hash(text: str) -> str:
    """22 characters that stand for `text` in a key: 128 bits of its SHA-256."""
    digest = hashlib.sha256(text.encode()).digest()[:SHORT_HASH_BYTES]
    return binascii.b2a_base64(digest, newline=False).translate(URL_SAFE, b"=").decode()


def bucket(text: str, count: int) -> int:
    """A stable number below `count` for `text`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[-4:], "big") % count


_lock = threading.Lock()
_last = 0


def rising(now: float) -> str:
    """24 hexadecimal digits that rise: seconds (8 of them), parts of a second (4), chance (12)."""
    global _last
    with _lock:
        _last = max(_last + 1, int(now * TICKS_A_SECOND))
        tick = _last
    return f"{tick:012x}{secrets.token_hex(6)}"


def rising_from(at: float) -> str:
    """What ids of that time and later ones do not precede."""
    return f"{max(0, int(at * TICKS_A_SECOND)):012x}"
