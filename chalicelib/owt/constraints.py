"""Closed sets and readers of values that callers sent; a reader returns what is kept, or refuses.  Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeGuard

import msgspec

from chalicelib.owt.errors import BadData
from chalicelib.wire.untrusted import Json

Reader: TypeAlias = Callable[[Json, str], Any]
"""Takes a value and where it stood; returns what is kept of it.  Raises `BadData`."""

FRAMERATES: Final = (6, 12, 15, 24, 30, 48, 60)
KEY_FRAME_INTERVALS: Final = (100, 30, 5, 2, 1)
FIT_POLICIES: Final = ("letterbox", "crop")
BASE_TEMPLATES: Final = ("fluid", "lecture", "void")
SHAPES: Final = ("rectangle",)
LARGEST_MIX: Final = 256
BRIGHTEST: Final = 255
LONGEST_WORD: Final = 128
LARGEST_NUMBER: Final = 10**15
"""What exceeds this would not survive a reader that knows doubles only."""

LABEL: Final = re.compile(r"[0-9A-Za-z_-]{1,200}")
"""A view's label becomes a part of a stream's id, which has 256 characters at most."""
NUMERAL: Final = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,16})?(?:[eE][+-]?[0-9]{1,2})?")
PART: Final = re.compile(r"([0-9]{1,15})/([0-9]{1,15})")
DECIMAL: Final = re.compile(r"[01](?:\.[0-9]{1,15})?")
FLAGS: Final = {"true": True, "false": False}


def text(value: Json, where: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise BadData(f"{where}: text is expected")
    return value


def some_text(value: Json, where: str) -> str:
    """Text that is not empty."""
    if not text(value, where):
        raise BadData(f"{where}: must not be empty")
    return text(value, where)


def short_text(value: Json, where: str) -> str:
    """A word or two that are not empty."""
    if len(some_text(value, where)) > LONGEST_WORD:
        raise BadData(f"{where}: at most {LONGEST_WORD} characters")
    return text(value, where)


def label(value: Json, where: str) -> str:
    """A view's label."""
    if not LABEL.fullmatch(text(value, where)):
        raise BadData(f"{where}: up to 200 letters, digits, _ and - are expected")
    return text(value, where)


def flag(value: Json, where: str) -> bool:
    """True or false, also as a word."""
    found = FLAGS.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise BadData(f"{where}: true or false is expected")
    return found


def number(value: Json, where: str) -> int | float:
    """A number, also as text; one without a fraction is kept as an integer."""
    if isinstance(value, str) and NUMERAL.fullmatch(value):
        value = float(value) if set(value) & set(".eE") else int(value)
    if not is_number(value) or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise BadData(f"{where}: a number is expected")
    return int(value) if value == int(value) else value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of JSON is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def between(least: int, most: int, *, whole: bool = False) -> Reader:
    """A number from `least` to `most`."""

    def read(value: Json, where: str) -> int | float:
        found = number(value, where)
        if not least <= found <= most or (whole and not isinstance(found, int)):
            raise BadData(f"{where}: from {least} to {most}")
        return found

    return read


def one_of(*choice: str) -> Reader:
    """One of these words."""

    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or value not in choice:
            raise BadData(f"{where}: one of {', '.join(choice)}")
        return value

    return read


def one_number_of(*choice: int) -> Reader:
    """One of these numbers."""

    def read(value: Json, where: str) -> int | float:
        found = number(value, where)
        if found not in choice:
            raise BadData(f"{where}: one of {', '.join(map(str, choice))}")
        return found

    return read


def part_of_one(value: Json, where: str) -> str | int | float:
    """A number of an area, as a number, a fraction or a decimal in text; kept as it was sent."""
    if is_number(value) and 0 <= value <= 1:
        return value
    if isinstance(value, str):
        if (parts := PART.fullmatch(value)) and 0 < int(parts[2]) >= int(parts[1]):
            return value
        if DECIMAL.fullmatch(value) and float(value) <= 1:
            return value
    raise BadData(f"{where}: a number or a fraction from 0 to 1 is expected")


def mapping(value: Json, where: str) -> dict[str, Json]:
    """An object."""
    if not isinstance(value, dict):
        raise BadData(f"{where}: an object is expected")
    return value


def anything(value: Json, where: str) -> list[Json]:
    """A list, kept as it is."""
    if not isinstance(value, list):
        raise BadData(f"{where}: a list is expected")
    return value


def list_of(read: Reader) -> Reader:
    """A list, each of its entries read."""

    def read_list(value: Json, where: str) -> list[Any]:
        return [read(each, f"{where}[{at}]") for at, each in enumerate(anything(value, where))]

    return read_list


def unless_false(read: Reader) -> Reader:
    """False, or what `read` takes."""

    def read_or_false(value: Json, where: str) -> Any:
        return False if value is False else read(value, where)

    return read_or_false


class Absent:
    """What stands for no default."""


OPTIONAL: Final = Absent()
REQUIRED: Final = Absent()


class Field(msgspec.Struct, frozen=True):
    """How a field is read, and what is read where it is left out."""

    read: Reader
    default: Any


class Shape:
    """An object with these fields: what is left out or null gets its default, what is unknown is dropped.

    A default is read like a value, so the default `{}` of an object fills it leaf by leaf.  It is read once:
    whatever was left out shares it, and nobody may change what was read.
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self._defaults = {
            name: field.read(field.default, name)
            for name, field in fields.items()
            if not isinstance(field.default, Absent)
        }

    def __call__(self, value: Json, where: str) -> dict[str, Any]:
        """The object, read.  Raises `BadData`."""
        given = mapping(value, where)
        return {
            name: self.field(name, given, where)
            for name, field in self.fields.items()
            if given.get(name) is not None or field.default is not OPTIONAL
        }

    def field(self, name: str, given: Mapping[str, Json], where: str = "") -> Any:
        """One field of it, or its default.  Raises `BadData`."""
        value = given.get(name)
        if value is None and name in self._defaults:
            return self._defaults[name]
        at = f"{where}.{name}" if where else name
        if value is None:
            raise BadData(f"{at}: is missing")
        return self.fields[name].read(value, at)
