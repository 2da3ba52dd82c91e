"""Values that come on the command line: secrets and bodies from elsewhere, times to live, claims."""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from cli.errors import Misused

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN: Final = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)
FROM: Final = "a text, @FILE, or - for standard input"


def raw(text: str) -> bytes:
    """The bytes that `text`, `@FILE` or `-` stands for.  Raises `Misused`."""
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode(errors="surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise Misused(f"{text[1:]}: {error.strerror}") from None


def secret(text: str) -> str:
    """The secret that `text`, `@FILE` or `-` stands for, without a file's line end.  Raises `Misused`."""
    try:
        found = raw(text).decode()
    except UnicodeDecodeError:
        raise Misused("a secret is text in UTF-8") from None
    return found if text[:1] not in {"@", "-"} else found.rstrip("\r\n")


def seconds(text: str) -> int:
    """A time to live.  Raises `Misused`.

    >>> seconds("90"), seconds("15m"), seconds("24h"), seconds("7d")
    (90, 900, 86400, 604800)
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise Misused(f"{text}: a time like 90s, 15m, 24h or 7d is expected")
    return int(found[1]) * UNITS[found[2]]


def members(items: Iterable[str], option: str) -> dict[str, Any]:
    """`NAME=VALUE` each; a value that is no JSON stands for its text.  Raises `Misused`.

    >>> members(["a=1", "b=x", 'c="1"', "d=null"], "--claim")
    {'a': 1, 'b': 'x', 'c': '1', 'd': None}
    """
    found: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise Misused(f"{option} {item}: NAME=VALUE is expected")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
