"""What media workers report: JSON in, one value a report (media-plane contract, section 2).  Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from chalicelib.owt import layout
from chalicelib.owt import stream as streams
from chalicelib.owt.constraints import (
    OPTIONAL,
    REQUIRED,
    Field,
    Shape,
    between,
    mapping,
    one_of,
    some_text,
    text,
)
from chalicelib.owt.errors import BadData
from chalicelib.owt.layout import Place
from chalicelib.owt.stream import ADMIN, Media
from chalicelib.wire.untrusted import Json

MOST: Final = 100
"""So many reports at most in one list."""
LONGEST_ID: Final = 256
LONGEST_NODE: Final = 256
LONGEST_PLACE: Final = 4096
LONGEST_PEER: Final = 1024
LARGEST_STREAM: Final = 100_000
"""Bytes of what is kept of one stream's media and attributes."""
LARGEST_LAYOUT: Final = 60_000
LARGEST_VERSION: Final = 10**15


class Left(msgspec.Struct, frozen=True):
    """`participant.left`."""

    participant: str


class Added(msgspec.Struct, frozen=True):
    """`stream.added`."""

    id: str
    type: str
    media: Media
    owner: str = ADMIN
    attributes: dict[str, Any] | None = None
    version: int | None = None
    silent: frozenset[str] = frozenset()
    """The tracks of which it does not say whether they flow."""


class Updated(msgspec.Struct, frozen=True):
    """`stream.updated`."""

    id: str
    media: Media
    version: int | None = None
    silent: frozenset[str] = frozenset()


class Removed(msgspec.Struct, frozen=True):
    """`stream.removed`."""

    id: str


class Ready(msgspec.Struct, frozen=True):
    """`output.ready`."""

    id: str
    url: str | None = None
    storage: tuple[str, str] | None = None
    """Host and file."""


class Ended(msgspec.Struct, frozen=True):
    """`output.ended`."""

    id: str
    reason: str = ""


class Called(msgspec.Struct, frozen=True):
    """`call.added`."""

    id: str
    peer: str
    stream: str = ""


class HungUp(msgspec.Struct, frozen=True):
    """`call.ended`."""

    id: str


class Shown(msgspec.Struct, frozen=True):
    """`layout.changed`."""

    view: str
    layout: tuple[Place, ...]


class Gone(msgspec.Struct, frozen=True):
    """`node.gone`."""

    node: str


Told: TypeAlias = Left | Added | Updated | Removed | Ready | Ended | Called | HungUp | Shown | Gone


class Report(msgspec.Struct, frozen=True):
    """One report; the same `id` stands for the same report."""

    id: str
    told: Told
    node: str = ""
    """The media node that what it names belongs to from then on."""


# Reading


def _up_to(longest: int) -> Callable[[Json, str], str]:
    def read(value: Json, where: str) -> str:
        if len(some_text(value, where)) > longest:
            raise BadData(f"{where}: at most {longest} characters")
        return text(value, where)

    return read


def new_id(value: Json, where: str) -> str:
    """What can be the id of something that comes in.  Raises `BadData`."""
    if not streams.ID.fullmatch(text(value, where)):
        raise BadData(f"{where}: up to 256 letters, digits, _ and - are expected")
    return text(value, where)


def participant_id(value: Json, where: str) -> str:
    """The same of a participant or call; `admin` stands for nobody of the room.  Raises `BadData`."""
    if new_id(value, where) == ADMIN:
        raise BadData(f"{where}: {ADMIN} is the owner of what nobody owns")
    return text(value, where)


def node(value: Json, where: str) -> str:
    """The name of a media node.  Raises `BadData`."""
    return _up_to(LONGEST_NODE)(value, where)


def _media(value: Json, where: str) -> Media:
    return streams.parse_media(value)


_type: Final = one_of("webrtc", streams.STREAMING, "sip", streams.ANALYTICS)
_id: Final = Field(some_text, REQUIRED)
_new_id: Final = Field(new_id, REQUIRED)
_version: Final = Field(between(0, LARGEST_VERSION, whole=True), OPTIONAL)
_place: Final = _up_to(LONGEST_PLACE)

_STREAM: Final = {"media": Field(_media, REQUIRED), "version": _version}
_added: Final = Shape(
    {
        **_STREAM,
        "id": _new_id,
        "type": Field(_type, REQUIRED),
        "owner": Field(new_id, ADMIN),
        "attributes": Field(mapping, OPTIONAL),
    }
)
_updated: Final = Shape({**_STREAM, "id": _id})
_named: Final = Shape({"id": _id})
_storage: Final = Shape({"host": Field(_place, REQUIRED), "file": Field(_place, REQUIRED)})
_ready: Final = Shape({"id": _id, "url": Field(_place, OPTIONAL), "storage": Field(_storage, OPTIONAL)})
_ended: Final = Shape({"id": _id, "reason": Field(text, "")})
_called: Final = Shape(
    {
        "id": Field(participant_id, REQUIRED),
        "peer": Field(_up_to(LONGEST_PEER), REQUIRED),
        "stream": Field(text, ""),
    }
)
_left: Final = Shape({"participant": _id})
_gone: Final = Shape({"node": Field(node, REQUIRED)})
_shown: Final = Shape({"view": _id, "layout": Field(lambda value, _: layout.parse_shown(value), REQUIRED)})

Reader: TypeAlias = Callable[[Mapping[str, Json], str, str], Told]
"""Takes a report, where it stood, and the room's id."""


def _read_added(value: Mapping[str, Json], where: str, room_id: str) -> Added:
    read = _added(value.get("stream"), f"{where}.stream")
    if read["id"].startswith(streams.mixed_id(room_id, "")):
        raise BadData(f"{where}.stream.id: this is the id of a mixed stream")
    made = Added(**read, silent=_silent(value))
    _check_size((made.media, made.attributes), LARGEST_STREAM, where)
    return made


def _read_updated(value: Mapping[str, Json], where: str, room_id: str) -> Updated:
    made = Updated(**_updated(value.get("stream"), f"{where}.stream"), silent=_silent(value))
    _check_size(made.media, LARGEST_STREAM, where)
    return made


def _silent(value: Mapping[str, Json]) -> frozenset[str]:
    """The tracks whose status is not said."""
    given = mapping(mapping(value.get("stream"), "stream").get("media"), "media")
    return frozenset(
        name
        for name in ("audio", "video")
        if isinstance(track := given.get(name), dict) and track.get("status") is None
    )


def _read_ready(value: Mapping[str, Json], where: str, room_id: str) -> Ready:
    read = _ready(_output(value), where)
    storage = read.get("storage")
    return Ready(read["id"], read.get("url"), (storage["host"], storage["file"]) if storage else None)


def _read_ended(value: Mapping[str, Json], where: str, room_id: str) -> Ended:
    return Ended(**_ended(_output(value), where))


def _output(value: Mapping[str, Json]) -> Json:
    """What is said of an output: `output` is all of it, or its id; without one, the report's id is its id."""
    match value.get("output"):
        case None:
            return dict(value)
        case str(name):
            return {**value, "id": name}
        case said:
            return said


def _read_shown(value: Mapping[str, Json], where: str, room_id: str) -> Shown:
    made = Shown(**_shown(dict(value), where))
    _check_size(made.layout, LARGEST_LAYOUT, where)
    return made


def _check_size(kept: Any, largest: int, where: str) -> None:
    if len(msgspec.json.encode(kept)) > largest:
        raise BadData(f"{where}: more than {largest} bytes of it would have to be kept")


def _plain(shape: Shape, kind: Callable[..., Told], below: str = "") -> Reader:
    """How a report is read whose fields are those of its value, perhaps `below` a name."""

    def read(value: Mapping[str, Json], where: str, room_id: str) -> Told:
        found: Json = value.get(below) if below else dict(value)
        return kind(**shape(found, f"{where}.{below}" if below else where))

    return read


TYPES: Final[Mapping[str, Reader]] = {
    "participant.left": _plain(_left, Left),
    "stream.added": _read_added,
    "stream.updated": _read_updated,
    "stream.removed": _plain(_named, Removed, "stream"),
    "output.ready": _read_ready,
    "output.ended": _read_ended,
    "call.added": _plain(_called, Called, "call"),
    "call.ended": _plain(_named, HungUp, "call"),
    "layout.changed": _read_shown,
    "node.gone": _plain(_gone, Gone),
}

_report: Final = Shape(
    {
        "id": Field(_up_to(LONGEST_ID), REQUIRED),
        "type": Field(one_of(*TYPES), REQUIRED),
        "node": Field(node, OPTIONAL),
    }
)


def parse(value: Json, room_id: str) -> Sequence[Report]:
    """A list of reports of a room; one that is malformed refuses all.  Raises `BadData`."""
    if not isinstance(value, list) or len(value) > MOST:
        raise BadData(f"a list of at most {MOST} reports is expected")
    return [_read(each, f"[{at}]", room_id) for at, each in enumerate(value)]


def _read(value: Json, where: str, room_id: str) -> Report:
    head = _report(value, where)
    given = mapping(value, where)
    told = TYPES[head["type"]](given, where, room_id)
    identity = head["id"]
    if isinstance(told, Ready | Ended) and given.get("output") is None:
        # The id is the output's, of which there is more than one report.
        identity = f"{head['type']} {identity}"
    return Report(identity, told, "" if isinstance(told, Gone) else head.get("node", ""))
