"""A stream as its events tell of it: one publication or playback on one server.  Pure.

An event is an object of anything; what is kept of it is the text of each of its members (contract 3).
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from chalicelib.wcs.errors import Unusable

FINAL: Final = frozenset({"UNPUBLISHED", "STOPPED", "FAILED", "DISCONNECTED"})
"""After these nothing changes any more; every other status is a stream that starts or lives."""
NOTICES: Final = frozenset({"RESIZE", "SNAPSHOT_COMPLETE", "NOT_ENOUGH_BANDWIDTH"})
"""These say something about a stream and leave its status alone."""

FIELDS: Final = (
    *("nodeId", "appKey", "sessionId", "mediaSessionId", "name", "published", "hasVideo", "hasAudio"),
    *("status", "record", "width", "height", "bitrate", "quality", "mediaProvider", "info", "recordName"),
    *("audioCodec", "videoCodec", "minBitrate", "maxBitrate", "audioBitrate", "gop", "fps", "codecImpl"),
    *(
        "transport",
        "cvoExtension",
        "history",
        "createDate",
        "mediaType",
        "audioState",
        "videoState",
        "custom",
    ),
)
"""What the contract names (3.1), in its order; `sdp` is never kept."""
NEVER: Final = "sdp"
MOST_FIELDS: Final = 100
LONGEST_ID: Final = 1024
LONGEST_NAME: Final = 1024
"""Bytes of a field's name; DynamoDB takes 64 KB."""
LARGEST: Final = 300_000
"""Bytes of names and texts; DynamoDB takes 400 KB in an item."""

Fields = Mapping[str, str]
"""The members of an object, each value as JSON text."""

_DOCUMENTED: Final = frozenset(FIELDS)


class Identity(msgspec.Struct, frozen=True):
    """Which stream: the server, and the id that is never used again there."""

    node: str
    media_session: str


class Event(msgspec.Struct, frozen=True):
    """What one `StreamStatusEvent` says."""

    identity: Identity
    name: str
    """By which it is found; empty where it has none that is text."""
    status: str
    fields: Fields
    """What of it is kept."""

    @property
    def final(self) -> bool:
        """Whether the stream has ended with it."""
        return self.status in FINAL


def read(members: Fields) -> Event:
    """An event.  Raises `Unusable` where it has no server, id or status (contract 3.1)."""
    status = text_of(members.get("status"))
    if not status:
        raise Unusable("no status")
    kept = {name: text for name, text in members.items() if name != "status" or status not in NOTICES}
    return Event(identity(members), name_of(members), status, keep(kept))


def identity(members: Fields) -> Identity:
    """Which stream an event is about.  Raises `Unusable`."""
    node, media_session = text_of(members.get("nodeId")), text_of(members.get("mediaSessionId"))
    if not node:
        raise Unusable("no nodeId")
    if not media_session or len(media_session) > LONGEST_ID:
        raise Unusable("no mediaSessionId, or one that is too long")
    return Identity(node, media_session)


def name_of(members: Fields) -> str:
    """The stream's name; empty where it is no text."""
    return text_of(members.get("name")) or ""


def text_of(json_text: str | None) -> str | None:
    """The text that a JSON text means; `None` where it means something else, or half a character.

    >>> text_of('"a\\\\/b"'), text_of("1"), text_of(None)
    ('a/b', None, None)
    """
    if json_text is None or not json_text.startswith('"'):
        return None
    text = str(json.loads(json_text))
    return text if is_whole(text) else None


def is_whole(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which nobody can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def keep(members: Fields) -> dict[str, str]:
    """What of an event is stored: all of it but `sdp`, or what the contract names where that is too much."""
    found = {name: text for name, text in members.items() if name != NEVER and _is_name(name)}
    if len(found) > MOST_FIELDS or size(found) > LARGEST:
        found = documented(found)
    return found


def _is_name(name: str) -> bool:
    """Whether an attribute can have this name."""
    return is_whole(name) and len(name.encode()) <= LONGEST_NAME


def documented(fields: Fields) -> dict[str, str]:
    """The fields that the contract names, without the largest of them where even they are too much."""
    found = {name: text for name, text in fields.items() if name in _DOCUMENTED}
    while size(found) > LARGEST:
        del found[max(found, key=lambda name: len(found[name]))]
    return found


def size(fields: Fields) -> int:
    """Bytes of names and texts."""
    return sum(len(name.encode()) + len(text.encode()) for name, text in fields.items())


def ordered(fields: Fields) -> dict[str, str]:
    """The contract's fields in its order, then all others by name."""
    known = {name: fields[name] for name in FIELDS if name in fields}
    return known | {name: fields[name] for name in sorted(fields.keys() - known.keys())}


# Looking for streams


Wanted = Mapping[str, Any]
"""Values, as `value` makes them, that a stream's fields have to equal."""


def wanted(members: Fields) -> dict[str, Any]:
    """What a caller looks for; a member that is null says nothing."""
    return {name: value(text) for name, text in members.items() if text != "null"}


def matches(fields: Fields, looked_for: Wanted) -> bool:
    """Whether a stream has all these values."""
    return all(
        name in fields and same(value(fields[name]), expected) for name, expected in looked_for.items()
    )


def value(text: str) -> Any:
    """What a JSON text means, its numbers exact."""
    return _EXACT.decode(text)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; truth is no number.

    >>> same(value("1"), value("1.0")), same(value("true"), value("1")), same(value('{"a":[1]}'), {"a": [1]})
    (True, False, True)
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and _all_same((one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and _all_same(zip(one, other, strict=True))
    return bool(one == other)


def _all_same(pairs: Iterable[tuple[Any, Any]]) -> bool:
    return all(same(one, other) for one, other in pairs)


def _number(digits: str) -> Any:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent that nobody means; it equals itself
        return ("number", digits)


_EXACT: Final = json.JSONDecoder(parse_int=_number, parse_float=_number)
