"""Names that somebody may want to see in a list, of what has no row of its own to be listed by.

A name is noted by each process that comes upon it, at most once in an hour, and only where somebody may look:
who has no operators pays nothing.  It stays in the list for a day after it was noted last.  A note that fails
is nobody's concern: the next process, or the next hour, makes it.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.settings import also_reset
from chalicelib.store import keys, writes
from chalicelib.store.attributes import NumberAttribute
from chalicelib.store.expressions import assign
from chalicelib.store.table import Item

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound="NotedRow")

AGAIN_S: Final = 3600.0
KEPT_S: Final = 25 * 3600
REMEMBERED: Final = 50_000


class NotedRow(Item):
    """That a name came up; its sort key is the name itself."""

    seen = NumberAttribute(attr_name="s")
    """When it was noted last, to the hour or so."""

    @property
    def name(self) -> str:
        """The name."""
        return str(self.sk)


_wanted: list[Callable[[], bool]] = []
_noted: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def follow(wanted: Callable[[], bool]) -> None:
    """Say whether somebody may look; the composition root does this once."""
    _wanted[:] = [wanted]


def forget() -> None:
    """Have noted nothing yet, as a new process."""
    with _lock:
        _noted.clear()


also_reset(forget)


def note(which: str, name: str) -> None:
    """Have a name stand in a list."""
    if not _wanted or not _wanted[0]():
        return
    place, now = (which, name), clock.monotonic()
    if _noted.get(place, 0.0) > now:
        return
    with _lock:
        if len(_noted) >= REMEMBERED:
            _noted.clear()
        _noted[place] = now + AGAIN_S
    at = clock.now()
    actions = [assign(NotedRow.seen, round(at, 3)), assign(NotedRow.expires_at, int(at) + KEPT_S)]
    try:
        writes.update(*keys.noted(which, name), actions=actions)
    except Unavailable:
        log.warning("a name was not noted for lists")


def page(cls: type[Row], which: str, limit: int, after: str = "") -> tuple[list[Row], str | None]:
    """Some rows of a list in the order of their names, behind `after`, and behind which name more may stand.

    Raises `Unavailable`.
    """
    start = writes.key(*keys.noted(which, after)) if after else None
    rows, following = writes.query(cls, keys.noted(which, "").pk, limit=limit, start=start)
    now = clock.now()
    left = following["sk"]["S"] if following is not None else None
    return [row for row in rows if (row.expires_at or 0) > now], left
