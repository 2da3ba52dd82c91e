"""The one bounded reader for JSON that strangers wrote; look at it before anything else does."""

import json
import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, TypeAlias

from chalicelib.errors import TooLarge, ValidationError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAX_DEPTH: Final = 64


class Malformed(ValidationError):
    """The bytes are not JSON, or JSON of a kind that two readers would understand differently."""


_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|([\[{])|([\]}])', re.DOTALL)
_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse(raw: bytes, *, limit: int, depth: int = MAX_DEPTH) -> Json:
    """Read one JSON text of at most `limit` bytes and `depth` nested containers.

    Refused are invalid UTF-8, lone surrogates, NaN and infinities (also by overflow), and a repeated
    key: RFC 8259 leaves each to the reader.  Raises `TooLarge` or `Malformed`.
    """
    text = _bounded(raw, limit, depth)
    try:
        value: Json = _DECODER.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Malformed("The body has half a surrogate pair") from None
    except (ValueError, RecursionError):
        raise Malformed("The body is not valid JSON") from None
    return value


def members(raw: bytes, *, limit: int, depth: int = MAX_DEPTH) -> dict[str, str]:
    """The members of one JSON object, each value as the text that stands there; refused as by `parse`.

    Nothing of a value is lost, so numbers may have any size.  Raises `TooLarge` or `Malformed`.
    """
    text = _bounded(raw, limit, depth)
    try:
        return _split(text)
    except (ValueError, IndexError, RecursionError):
        raise Malformed("The body is not a JSON object") from None


def _bounded(raw: bytes, limit: int, depth: int) -> str:
    """A text that is neither too long nor too deep.  Raises `TooLarge` or `Malformed`."""
    if len(raw) > limit:
        raise TooLarge(f"The body is longer than {limit} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Malformed("The body is not valid UTF-8") from None
    if text.count("[") + text.count("{") > depth:
        _check_depth(text, depth)
    return text


def _split(text: str) -> dict[str, str]:
    """Raises `ValueError`, `IndexError` where the text is no object, `Malformed` where a key stands twice."""
    found: dict[str, str] = {}
    at = _past(text, 0, "{")
    closed = text[at] == "}"
    while not closed:
        name, at = scanstring(text, _past(text, at, '"', blanks=False), True)
        begin = _past(text, at, ":")
        _, end = _AS_TEXT.raw_decode(text, begin)
        if name in found:
            raise Malformed("The body repeats a key")
        found[name] = text[begin:end]
        at = _blanks(text, end)
        closed = text[at] == "}"
        if not closed:
            at = _past(text, at, ",")
    if _blanks(text, at + 1) != len(text):
        raise ValueError("something stands behind the object")
    return found


def _blanks(text: str, at: int) -> int:
    """Where the blanks that begin at `at` are over."""
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _past(text: str, at: int, mark: str, *, blanks: bool = True) -> int:
    """The place behind a mark, and behind the blanks around it.  Raises `ValueError`, `IndexError`."""
    at = _blanks(text, at)
    if text[at] != mark:
        raise ValueError(f"{mark} is expected")
    return _blanks(text, at + 1) if blanks else at + 1


def _check_depth(text: str, depth: int) -> None:
    """Raises `Malformed` when containers nest deeper than `depth`."""
    level = 0
    for token in _BRACKETS.finditer(text):
        if token[1]:
            level += 1
            if level > depth:
                raise Malformed(f"The body nests deeper than {depth}")
        elif token[2]:
            level -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ.  Raises `Malformed`."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("The body repeats a key")
    return members


def _finite(digits: str) -> float:
    """A number with a fraction or exponent.  Raises `Malformed` where it overflows."""
    number = float(digits)
    if math.isinf(number):
        raise Malformed("The body has a number out of range")
    return number


def _no_constant(name: str) -> float:
    """Raises `Malformed`: NaN and Infinity are Python's, not JSON's."""
    raise Malformed("The body is not valid JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)
_AS_TEXT: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=str, parse_int=str, parse_constant=_no_constant
)
"""Checks a value and leaves its numbers alone, whatever their size."""
