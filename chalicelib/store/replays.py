"""What may be seen once: the guard against requests that are sent again."""

import math

from chalicelib import ids
from chalicelib.store import keys, writes
from chalicelib.store.attributes import UnicodeAttribute
from chalicelib.store.expressions import ABSENT
from chalicelib.store.table import Item


class ReplayRow(Item):
    """That a nonce was seen, and by which request: a write that is sent again is not a second one."""

    by = UnicodeAttribute()


def first(scope: str, nonce: str, until: float) -> bool:
    """Whether `nonce` was not seen before in `scope`; from now on it was.

    What counts no more after `until` (seconds since the epoch) is the caller's to refuse; the row goes some
    time later, and until then it still says that the nonce was seen.  Raises `Unavailable`.
    """
    row = ReplayRow(*keys.replay(scope, nonce), by=ids.new(16), expires_at=math.ceil(until))
    try:
        writes.put(row, ABSENT)
    except writes.Refused:
        return False
    return True
