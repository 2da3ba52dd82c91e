"""Which published streams belong into which rooms of conference management, as an operator has it.  Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chalicelib.errors import ValidationError
from chalicelib.wcs import stream
from chalicelib.wcs.stream import Event, Fields
from chalicelib.wire import untrusted

NOBODY: Final = "admin"
"""Whose streams are nobody's in particular, as conference management calls it."""
ANY: Final = "*"
STARTING: Final = frozenset({"NEW", "PENDING"})
"""Of a stream that tells these nothing is to be seen in a room yet."""
PUBLISHING: Final = "PUBLISHING"
LARGEST: Final = 1 << 20

_ID: Final = re.compile(r"[0-9a-f]{24}")
_OWNER: Final = re.compile(r"[0-9A-Za-z_-]{1,256}")
_NAMES: Final = frozenset({"service", "appKey", "name", "room", "owner"})


class Target(msgspec.Struct, frozen=True):
    """Streams of one application, by their names, and the room that they belong into."""

    service: str
    app_key: str
    name: str
    """A pattern: `*` stands for any characters, or none, and everything else for itself."""
    room: str
    owner: str

    def means(self, fields: Fields) -> bool:
        """Whether a stream with these fields is one of them."""
        return (
            is_published(fields)
            and stream.text_of(fields.get("appKey")) == self.app_key
            and fits(self.name, stream.name_of(fields))
        )


def parse(text: str) -> tuple[Target, ...]:
    """The targets of a setting, of which the first that fits counts; none of an empty one.

    Raises `ValidationError`.
    """
    if not text.strip():
        return ()
    found = untrusted.parse(text.encode(errors="replace"), limit=LARGEST)
    if not isinstance(found, list):
        raise ValidationError("a list is expected")
    return tuple(_target(each) for each in found)


def _target(given: Any) -> Target:
    if not isinstance(given, dict) or not given.keys() <= _NAMES:
        raise ValidationError(f"objects of {', '.join(sorted(_NAMES))} are expected")
    texts = {"name": ANY, "owner": NOBODY} | given
    if texts.keys() != _NAMES or not all(isinstance(each, str) and each for each in texts.values()):
        raise ValidationError("service, appKey and room are needed, and all are texts that are not empty")
    if not all(_ID.fullmatch(texts[name]) for name in ("service", "room")):
        raise ValidationError("a service's and a room's id has 24 digits of lower-case hexadecimal")
    if not _OWNER.fullmatch(texts["owner"]):
        raise ValidationError("an owner is a participant's id, or admin")
    return Target(texts["service"], texts["appKey"], texts["name"], texts["room"], texts["owner"])


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one of a pattern's.

    >>> [fits("lesson-*", name) for name in ("lesson-1", "lesson-", "a lesson-1")]
    [True, True, False]
    >>> fits("a*bc*c", "abcbc"), fits("a*a", "a"), fits("*", ""), fits("a.c", "abc")
    (True, False, True, False)
    """
    first, *rest = pattern.split(ANY)
    if not rest:
        return name == pattern
    *middle, last = rest
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def is_published(fields: Fields) -> bool:
    """Whether these are of a publication; a playback has another id, and is in no room."""
    return fields.get("published") == "true"


def target_of(targets: Sequence[Target], fields: Fields) -> Target | None:
    """Where a stream with these fields belongs."""
    return next((each for each in targets if each.means(fields)), None)


def concerns(targets: Sequence[Target], event: Event) -> bool:
    """Whether a room may have to follow an event.

    An event need not say all that is known of its stream, and its name may be a new one: so only what it says
    against it counts.
    """
    if not targets or event.status in STARTING:
        return False
    published, app_key = event.fields.get("published", "true"), event.fields.get("appKey")
    return published == "true" and (
        app_key is None or any(each.app_key == stream.text_of(app_key) for each in targets)
    )
