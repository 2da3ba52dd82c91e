"""Pages of lists: what `after` and `next` mean, and looking for something that no index is ordered by."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from chalicelib.errors import ValidationError

T = TypeVar("T")

USUAL: Final = 50
MOST: Final = 100
LOOKED_AT: Final = 1000
"""So many rows a page looks at, at most, for those that are wanted."""
AT_ONCE: Final = 500
"""So many of them are read together: calls are what a search costs."""
LONGEST: Final = 4096
LONGEST_PART: Final = 1024
"""Bytes of a part, as of a sort key."""

Place: TypeAlias = tuple[str, ...]
"""Where in a list something stands: the parts are the list's own."""
START: Final[Place] = ()


class Some(NamedTuple):
    """A part of a list as storage has it: things with the places behind them, and where more may stand."""

    found: Sequence[tuple[Any, Place]]
    next: Place | None


Read: TypeAlias = Callable[[Place, int], Some]
"""From a place and how many are wanted to what stands behind it."""


class Asked(NamedTuple):
    """Which page is asked for."""

    limit: int
    after: Place


def read_place(text: str, parts: int) -> Place:
    """The place that a `next` of ours names.  Raises `ValidationError` for anything else."""
    if not text:
        return START
    try:
        raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=list[str]) if len(text) <= LONGEST else []
    except (binascii.Error, UnicodeError, msgspec.DecodeError):
        found = []
    if len(found) != parts or not all(0 < len(part.encode()) <= LONGEST_PART for part in found):
        raise ValidationError("after: this is no place in this list")
    return tuple(found)


def spell_place(place: Place | None) -> str | None:
    """A place as `next` has it."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(list(place))).rstrip(b"=").decode()


def collect(
    asked: Asked, read: Read, wanted: Callable[[Any], bool] | None = None, *, at_once: int = AT_ONCE
) -> tuple[list[Any], str | None]:
    """The things of a page, those that are wanted, and its `next`; so many are read `at_once` to find them.

    Raises `Unavailable`.
    """
    kept: list[Any] = []
    place: Place | None = asked.after
    looked = 0
    while place is not None and looked < LOOKED_AT:
        room = asked.limit - len(kept)
        some = read(place, room if wanted is None else min(at_once, LOOKED_AT - looked))
        for at, (thing, behind) in enumerate(some.found):
            if wanted is not None and not wanted(thing):
                continue
            kept.append(thing)
            if len(kept) == asked.limit:
                is_last = at + 1 == len(some.found)
                return kept, spell_place(some.next if is_last else behind)
        place = some.next
        looked += max(1, len(some.found))
    return kept, spell_place(place)


def answer(items: Sequence[Any], following: str | None) -> dict[str, Any]:
    """A page as it is answered."""
    return {"items": items, "next": following}
