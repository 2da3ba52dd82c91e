"""The metadata of a connection: a JSON object as text, for text keeps what parsing loses.

The text is compact and escapes only what JSON demands, so its length in bytes is what the limit is about.
Order, numbers of any length and the way in which they are written stay as they came.
"""

import json
import re
from typing import Final

from chalicelib.wire import untrusted
from chalicelib.wire.untrusted import Malformed

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_STRINGS_AND_BLANKS: Final = re.compile(rf"({_STRING})|[ \t\r\n]+")


def spell(text: str) -> str:
    """A text as JSON, escaping only what JSON demands.

    >>> spell('é "\\n'), spell("")
    ('"é \\\\"\\\\n"', '""')
    """
    return json.dumps(text, ensure_ascii=False)


def compact(text: str) -> str:
    """A JSON text without what it can do without.  Raises `Malformed` for half a surrogate pair.

    >>> compact('{ "a" : [ 1.0, "\\\\u00e9 \\\\/" ],"b":12345678901234567890123 }')
    '{"a":[1.0,"é /"],"b":12345678901234567890123}'
    """
    if "\\" not in text:
        return _STRINGS_AND_BLANKS.sub(r"\1", text)
    short = _STRINGS_AND_BLANKS.sub(_shorten, text)
    try:
        short.encode()
    except UnicodeEncodeError:
        raise Malformed("The body has half a surrogate pair") from None
    return short


def _shorten(found: re.Match[str]) -> str:
    string: str | None = found[1]
    if string is None:
        return ""
    return spell(json.loads(string)) if "\\" in string else string


def size(text: str) -> int:
    """The length that the limit is about, in bytes."""
    return len(text.encode())


def with_item(text: str, key: str, value: str) -> str:
    """The metadata with an item, at the end or in the place of the one that had its key.

    >>> with_item(with_item('{"a":1,"b":2}', "a", "null"), "", "[]")
    '{"a":null,"b":2,"":[]}'
    """
    return _join(_items(text) | {key: value})


def without_item(text: str, key: str) -> str:
    """The metadata without an item, which need not be there.

    >>> without_item('{"a":1,"b":2}', "a"), without_item("{}", "a")
    ('{"b":2}', '{}')
    """
    items = _items(text)
    items.pop(key, None)
    return _join(items)


def _items(text: str) -> dict[str, str]:
    raw = text.encode()
    return untrusted.members(raw, limit=len(raw))


def _join(items: dict[str, str]) -> str:
    return "{" + ",".join(f"{spell(key)}:{value}" for key, value in items.items()) + "}"
