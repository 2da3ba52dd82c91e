"""The room document: what callers may set, defaults, what a PUT makes of it (contract 6.2 to 6.4).  Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from chalicelib.owt import constraints
from chalicelib.owt.constraints import OPTIONAL, REQUIRED, Field, Shape
from chalicelib.owt.errors import BadData
from chalicelib.wire.untrusted import Json

Document: TypeAlias = Mapping[str, Any]
"""A room as it is answered, less its `_id`.

Documents share what nobody set, and those that were read are kept in memory: none is ever changed in place.
"""
T = TypeVar("T")

NO_LIMIT: Final = 10**12
WORKED_OUT: Final = 32
"""So many answers are remembered with one document, to questions of some length at most."""
LONGEST_QUESTION: Final = 500
LIST: Final = constraints.anything
FLAG: Final = constraints.flag

# The defaults


def _role(name: str, publish: tuple[bool, bool], subscribe: tuple[bool, bool]) -> dict[str, Any]:
    return {
        "role": name,
        "publish": {"audio": publish[0], "video": publish[1]},
        "subscribe": {"audio": subscribe[0], "video": subscribe[1]},
    }


ROLES: Final[list[Any]] = [
    _role("presenter", (True, True), (True, True)),
    _role("viewer", (False, False), (True, True)),
    _role("audio_only_presenter", (True, False), (True, False)),
    _role("video_only_viewer", (False, False), (False, True)),
    _role("sip", (True, True), (True, True)),
]
OPUS: Final[dict[str, Any]] = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
AUDIO_BEFORE_AAC: Final[list[Any]] = [
    OPUS,
    {"codec": "isac", "sampleRate": 16000},
    {"codec": "isac", "sampleRate": 32000},
    {"codec": "g722", "sampleRate": 16000, "channelNum": 1},
    {"codec": "pcma"},
    {"codec": "pcmu"},
]
AUDIO_AFTER_AAC: Final[list[Any]] = [{"codec": "ac3"}, {"codec": "nellymoser"}, {"codec": "ilbc"}]
MEDIA_IN: Final[dict[str, Any]] = {
    "audio": [*AUDIO_BEFORE_AAC, {"codec": "aac"}, *AUDIO_AFTER_AAC],
    "video": [{"codec": "h264"}, {"codec": "vp8"}, {"codec": "vp9"}],
}
MEDIA_OUT: Final[dict[str, Any]] = {
    "audio": [*AUDIO_BEFORE_AAC, {"codec": "aac", "sampleRate": 48000, "channelNum": 2}, *AUDIO_AFTER_AAC],
    "video": {
        "format": [
            {"codec": "vp8"},
            {"codec": "h264", "profile": "CB"},
            {"codec": "h264", "profile": "B"},
            {"codec": "vp9"},
        ],
        "parameters": {
            "resolution": [
                *("x3/4", "x2/3", "x1/2", "x1/3", "x1/4"),
                *("hd1080p", "hd720p", "svga", "vga", "qvga", "cif"),
            ],
            "framerate": [6, 12, 15, 24, 30, 48, 60],
            "bitrate": ["x0.8", "x0.6", "x0.4", "x0.2"],
            "keyFrameInterval": [100, 30, 5, 2, 1],
        },
    },
}

# What is read


def _media_in(value: Json, where: str) -> dict[str, Any]:
    """Kept whole; a list that is missing is empty (D12)."""
    return _lists(value, where, "audio", "video")


def _media_out(value: Json, where: str) -> dict[str, Any]:
    """Kept whole; a list that is missing is empty (D12)."""
    found = _lists(value, where, "audio")
    video = _lists(_given(found, "video"), f"{where}.video", "format")
    parameters = _lists(
        _given(video, "parameters"),
        f"{where}.video.parameters",
        *("resolution", "framerate", "bitrate", "keyFrameInterval"),
    )
    return found | {"video": video | {"parameters": parameters}}


def _given(found: Mapping[str, Json], name: str) -> Json:
    value = found.get(name)
    return {} if value is None else value


def _lists(value: Json, where: str, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(constraints.mapping(value, where))
    for name in names:
        given = found.get(name)
        found[name] = [] if given is None else LIST(given, f"{where}.{name}")
    return found


def _views(value: Json, where: str) -> list[Any]:
    """A list of views; an object counts as a list of one."""
    found: list[Any] = VIEWS([value] if isinstance(value, dict) else value, where)
    labels = [view["label"] for view in found]
    if len(set(labels)) < len(labels):
        raise BadData(f"{where}: two views have one label")
    return found


TRACKS: Final = Shape({"audio": Field(FLAG, False), "video": Field(FLAG, False)})
ROLE: Final = Shape(
    {
        "role": Field(constraints.some_text, REQUIRED),
        "publish": Field(TRACKS, {}),
        "subscribe": Field(TRACKS, {}),
    }
)
AREA: Final = Shape(
    {side: Field(constraints.part_of_one, REQUIRED) for side in ("left", "top", "width", "height")}
)
REGION: Final = Shape(
    {
        "id": Field(constraints.some_text, REQUIRED),
        "shape": Field(constraints.one_of(*constraints.SHAPES), "rectangle"),
        "area": Field(AREA, REQUIRED),
    }
)
TEMPLATE: Final = Shape(
    {
        "primary": Field(constraints.text, OPTIONAL),
        "region": Field(constraints.list_of(REGION), []),
    }
)
LAYOUT: Final = Shape(
    {
        "fitPolicy": Field(constraints.one_of(*constraints.FIT_POLICIES), "letterbox"),
        "setRegionEffect": Field(constraints.text, OPTIONAL),
        "templates": Field(
            Shape(
                {
                    "base": Field(constraints.one_of(*constraints.BASE_TEMPLATES), "fluid"),
                    "custom": Field(constraints.list_of(TEMPLATE), []),
                }
            ),
            {},
        ),
    }
)
AUDIO_FORMAT: Final = Shape(
    {
        "codec": Field(constraints.some_text, REQUIRED),
        "sampleRate": Field(constraints.number, OPTIONAL),
        "channelNum": Field(constraints.number, OPTIONAL),
    }
)
VIDEO_FORMAT: Final = Shape(
    {
        "codec": Field(constraints.some_text, REQUIRED),
        "profile": Field(constraints.text, OPTIONAL),
    }
)
PARAMETERS: Final = Shape(
    {
        "resolution": Field(
            Shape({"width": Field(constraints.number, 640), "height": Field(constraints.number, 480)}), {}
        ),
        "framerate": Field(constraints.one_number_of(*constraints.FRAMERATES), 24),
        "bitrate": Field(constraints.number, OPTIONAL),
        "keyFrameInterval": Field(constraints.one_number_of(*constraints.KEY_FRAME_INTERVALS), 100),
    }
)
COLOUR: Final = Shape({name: Field(constraints.between(0, constraints.BRIGHTEST), 0) for name in "rgb"})
VIDEO: Final = Shape(
    {
        "format": Field(VIDEO_FORMAT, {"codec": "vp8"}),
        "parameters": Field(PARAMETERS, {}),
        "maxInput": Field(constraints.between(1, constraints.LARGEST_MIX, whole=True), 16),
        "motionFactor": Field(constraints.number, 0.8),
        "bgColor": Field(COLOUR, {}),
        "keepActiveInputPrimary": Field(FLAG, False),
        "layout": Field(LAYOUT, {}),
    }
)
AUDIO: Final = Shape({"format": Field(AUDIO_FORMAT, OPUS), "vad": Field(FLAG, True)})
VIEW: Final = Shape(
    {
        "label": Field(constraints.label, "common"),
        "audio": Field(AUDIO, {}),
        "video": Field(constraints.unless_false(VIDEO), {}),
    }
)
VIEWS: Final = constraints.list_of(VIEW)
TRANSCODING: Final = Shape(
    {
        "audio": Field(FLAG, True),
        "video": Field(
            Shape(
                {
                    "format": Field(FLAG, True),
                    "parameters": Field(
                        Shape(
                            {
                                name: Field(FLAG, True)
                                for name in ("resolution", "framerate", "bitrate", "keyFrameInterval")
                            }
                        ),
                        {},
                    ),
                }
            ),
            {},
        ),
    }
)
NOTIFYING: Final = Shape({"participantActivities": Field(FLAG, True), "streamChange": Field(FLAG, True)})
SIP: Final = Shape(
    {name: Field(constraints.text, OPTIONAL) for name in ("sipServer", "username", "password")}
)
ROOM: Final = Shape(
    {
        "name": Field(constraints.some_text, REQUIRED),
        "participantLimit": Field(constraints.number, -1),
        "inputLimit": Field(constraints.number, -1),
        "selectActiveAudio": Field(FLAG, False),
        "enableBandwidthAdaptation": Field(FLAG, False),
        "roles": Field(constraints.list_of(ROLE), ROLES),
        "views": Field(_views, [{}]),
        "mediaIn": Field(_media_in, MEDIA_IN),
        "mediaOut": Field(_media_out, MEDIA_OUT),
        "transcoding": Field(TRANSCODING, {}),
        "notifying": Field(NOTIFYING, {}),
        "sip": Field(SIP, OPTIONAL),
    }
)


CHECKED: Final = ("views", "mediaOut")
"""What has to agree; a PUT of other fields leaves it as it was."""


def parse_new(body: Json) -> Document:
    """The document of a room that is to be created.  Raises `BadData`."""
    given = constraints.mapping(body, "the body")
    options = _given(given, "options")
    fields = {**constraints.mapping(options, "options"), "name": given.get("name")}
    return _checked(ROOM(fields, ""))


def merge(document: Document, body: Json) -> Document:
    """The document after a PUT: each top-level field that is given replaces the one that was (D13).

    Raises `BadData`.
    """
    given = constraints.mapping(body, "the body")
    read = {name: ROOM.field(name, given) for name in ROOM.fields if given.get(name) is not None}
    merged = {**document, **read}
    merged.pop("_id", None)
    return merged if read.keys().isdisjoint(CHECKED) else _checked(merged)


def _checked(document: Document) -> Document:
    """Views are mixed to formats that the room offers.  Raises `BadData`."""
    out = document["mediaOut"]
    for at, view in enumerate(document["views"]):
        _offer(view["audio"]["format"], out["audio"], AUDIO_FORMAT, f"views[{at}].audio.format")
        if view["video"]:
            _offer(view["video"]["format"], out["video"]["format"], VIDEO_FORMAT, f"views[{at}].video.format")
    return document


def _offer(wanted: Mapping[str, Json], offered: Iterable[Json], shape: Shape, where: str) -> None:
    """Raises `BadData` unless one of the formats offered is the wanted one."""
    for entry in offered:
        if isinstance(entry, dict) and all(
            _equal(entry.get(name), wanted.get(name)) for name in shape.fields
        ):
            return
    raise BadData(f"{where}: mediaOut does not offer it")


def _equal(one: Json, other: Json) -> bool:
    if type(one) is type(other) and one == other:
        return True
    return _plain(one) == _plain(other)


def _plain(value: Json) -> tuple[type, Json]:
    """What of a value matters to a comparison: entries of `mediaOut` have numbers as text too."""
    try:
        return float, constraints.number(value, "")
    except BadData:
        return type(value), value


# What else there is to a room


class Room(msgspec.Struct, frozen=True):
    """A room: its id, and its document as it is answered; `sip.password` is kept apart."""

    id: str
    document: Document
    worked_out: dict[bytes, Any] = {}

    def once(self, question: bytes, answer: Callable[[], T]) -> T:
        """What follows from question and document alone; worked out when it is asked for first.

        Whoever asks later gets the same object, so nobody changes it.
        """
        found: T | None = self.worked_out.get(question)
        if found is None:
            found = answer()
            if len(question) <= LONGEST_QUESTION:
                if len(self.worked_out) >= WORKED_OUT:
                    self.worked_out.clear()
                self.worked_out[question] = found
        return found

    def views(self) -> Sequence[Mapping[str, Any]]:
        """The views, in their order."""
        views: Sequence[Mapping[str, Any]] = self.document["views"]
        return views

    def view(self, label: str) -> Mapping[str, Any] | None:
        """The view with this label."""
        return next((view for view in self.views() if view["label"] == label), None)

    @property
    def media_in(self) -> Mapping[str, Any]:
        """`mediaIn`."""
        found: Mapping[str, Any] = self.document["mediaIn"]
        return found

    @property
    def media_out(self) -> Mapping[str, Any]:
        """`mediaOut`."""
        found: Mapping[str, Any] = self.document["mediaOut"]
        return found

    @property
    def transcoding(self) -> Mapping[str, Any]:
        """`transcoding`."""
        found: Mapping[str, Any] = self.document["transcoding"]
        return found

    @property
    def roles(self) -> Sequence[Mapping[str, Any]]:
        """The roles, in their order."""
        found: Sequence[Mapping[str, Any]] = self.document["roles"]
        return found

    @property
    def sip_server(self) -> str:
        """Where calls are made through; empty where there is no such place."""
        return (self.document.get("sip") or {}).get("sipServer") or ""


def participant_limit(document: Mapping[str, Any]) -> int:
    """So many participants fit into the room; 0 and less is no limit."""
    wanted = document["participantLimit"]
    return math.ceil(wanted) if wanted > 0 else NO_LIMIT


def input_limit(document: Mapping[str, Any]) -> int:
    """So many inputs fit into the room; less than 0 is no limit."""
    wanted = document["inputLimit"]
    return math.ceil(wanted) if wanted >= 0 else NO_LIMIT


def without_password(document: Document) -> tuple[Document, str | None]:
    """The document as it may be stored, and the password of its SIP account."""
    sip = document.get("sip")
    if not sip or "password" not in sip:
        return document, None
    rest = {name: value for name, value in sip.items() if name != "password"}
    return {**document, "sip": rest}, sip["password"]


def with_password(document: Document, password: str | None) -> Document:
    """The document as it is answered."""
    if password is None:
        return document
    return {**document, "sip": {**document.get("sip", {}), "password": password}}


class Incarnation(NamedTuple):
    """A view from when it was added until it goes: its id, and the version that last changed its video."""

    vid: str
    look: int


Incarnations: TypeAlias = dict[str, Incarnation]
"""By label."""


def incarnations(
    document: Mapping[str, Any],
    version: int,
    new_id: Callable[[], str],
    before: Mapping[str, Any] | None = None,
    known: Mapping[str, Incarnation] | None = None,
) -> Incarnations:
    """The incarnations of a document's views: a view that stays keeps its id (contract 17.6)."""
    old = {view["label"]: view["video"] for view in before["views"]} if before is not None else {}
    found: Incarnations = {}
    for view in document["views"]:
        label = view["label"]
        stayed = (known or {}).get(label)
        if stayed is None:
            found[label] = Incarnation(new_id(), version)
        elif old.get(label) == view["video"]:
            found[label] = stayed
        else:
            found[label] = Incarnation(stayed.vid, version)
    return found
