"""Ids of participants, streams and subscriptions: digits, as the original's are."""

import secrets
from typing import Final

from chalicelib import clock

CHANCE: Final = 10**5


def child() -> str:
    """A new id: 13 digits of milliseconds, so that ids rise, and 5 of chance."""
    return f"{int(clock.now() * 1000):013d}{secrets.randbelow(CHANCE):05d}"
