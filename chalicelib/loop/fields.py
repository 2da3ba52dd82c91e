"""The values that bodies of the rooms API carry, read the way its clients expect (contract 3.1).  Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from chalicelib.loop.errors import Missing
from chalicelib.wire.untrusted import Json

_WHOLE: Final = re.compile(r"\s*([+-]?[0-9]{1,30})")


def whole(value: Json) -> int | None:
    """A whole number, or the one that a text begins with, as JavaScript's `parseInt` has it; else `None`.

    >>> [whole(each) for each in (3, "3", 3.9, " 12 people", "-1.5", "1e3")]
    [3, 3, 3, 12, -1, 1]
    >>> [whole(each) for each in ("x", "", None, True, [3], {})]
    [None, None, None, None, None, None]
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, str):
        found = _WHOLE.match(value)
        return int(found[1]) if found else None
    return None


def text(value: Json, most: int) -> str | None:
    """A text of at most `most` characters; `None` for anything else.

    >>> [text(each, 3) for each in ("abc", "", "abcd", None, 1)]
    ['abc', '', None, None, None]
    """
    return value if isinstance(value, str) and len(value) <= most else None


def demand(given: Mapping[str, Json], names: Iterable[str]) -> None:
    """Have fields be there, whatever their values.  Raises `Missing`, which names all that are not."""
    missing = [name for name in names if name not in given]
    if missing:
        raise Missing(f"missing: {', '.join(missing)}")
