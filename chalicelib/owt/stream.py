"""Streams: forward ones as kept, mixed ones as their views make them, and what each offers (8.2).  Pure."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from chalicelib.owt import layout
from chalicelib.owt.constraints import (
    OPTIONAL,
    REQUIRED,
    Field,
    Shape,
    between,
    list_of,
    one_of,
    short_text,
    unless_false,
)
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.layout import Entry, Place
from chalicelib.wire.patch import Update
from chalicelib.wire.untrusted import Json

Version: TypeAlias = Literal["v1", "v1.1"]
"""Which of the two shapes of a stream a path asks for."""
Spelled: TypeAlias = dict[str, Any]
"""A document as it is answered."""

ADMIN: Final = "admin"
STREAMING: Final = "streaming"
ANALYTICS: Final = "analytics"
ID: Final = re.compile(r"[0-9A-Za-z_-]{1,256}")

UNKNOWN_RESOLUTION: Final = (640, 480)
UNKNOWN_FRAMERATE: Final = 30
NAMED: Final = {
    "xga": (1024, 768),
    "svga": (800, 600),
    "vga": (640, 480),
    "hvga": (480, 320),
    "cif": (352, 288),
    "qvga": (320, 240),
    "qcif": (176, 144),
    "hd720p": (1280, 720),
    "hd1080p": (1920, 1080),
}
EXACT: Final = re.compile(r"r([0-9]{1,9})x([0-9]{1,9})")
PART: Final = re.compile(r"x([0-9]{1,9})/([0-9]{1,9})")

REGION: Final = re.compile(r"/info/layout/([0-9]{1,18})/stream")
WANTED: Final = ("auto", True, False)
PROTOCOLS: Final = ("tcp", "udp")
TRACKS: Final = ("audio", "video")
BUFFER_SIZE: Final = 8192


class Status:
    """Whether a track flows."""

    ACTIVE: Final = "active"
    INACTIVE: Final = "inactive"
    ALL: Final = frozenset({"active", "inactive"})


T = TypeVar("T")


class RoomLike(Protocol):
    """What is needed of a room here: its id and its document, as it is answered."""

    @property
    def id(self) -> str:
        """The room's id."""

    @property
    def document(self) -> Mapping[str, Any]:
        """The room as it is answered."""

    def once(self, question: bytes, answer: Callable[[], T]) -> T:
        """What follows from question and document alone; nobody changes it."""


class Audio(msgspec.Struct, frozen=True, omit_defaults=True):
    """An audio track."""

    format: dict[str, Any]
    source: str | None = None
    status: str = Status.ACTIVE


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One encoding of a video track; several of them, each with a name, are simulcast."""

    format: dict[str, Any]
    parameters: dict[str, Any] = {}
    rid: str | None = None

    def spell(self) -> Spelled:
        """An entry of `original`."""
        spelled: Spelled = {"format": self.format}
        if self.parameters:
            spelled["parameters"] = self.parameters
        if self.rid is not None:
            spelled["simulcastRid"] = self.rid
        return spelled


class Video(msgspec.Struct, frozen=True, omit_defaults=True):
    """A video track."""

    original: tuple[Layer, ...]
    source: str | None = None
    status: str = Status.ACTIVE

    @property
    def simulcast(self) -> bool:
        """Whether there are several encodings of it."""
        return len(self.original) > 1 or self.original[0].rid is not None


Track = TypeVar("Track", Audio, Video)


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tracks of a stream; a stream has at least one."""

    audio: Audio | None = None
    video: Video | None = None


class Forward(msgspec.Struct, frozen=True, omit_defaults=True):
    """A forward stream.

    `views` holds the views it is in: the id of a view's incarnation, and since when.
    """

    id: str
    media: Media
    owner: str = ADMIN
    type: str = STREAMING
    attributes: dict[str, Any] | None = None
    arrived: int = 0
    views: dict[str, int] = {}

    @property
    def counts(self) -> bool:
        """Whether `inputLimit` is about it."""
        return self.type != ANALYTICS


# Which tracks a stream has, for those who subscribe to it


def mixed_id(room_id: str, label: str) -> str:
    """The id of a view's mixed stream."""
    return f"{room_id}-{label}"


def view_of(room: RoomLike, stream_id: str) -> Mapping[str, Any] | None:
    """The view whose mixed stream has this id."""
    prefix = mixed_id(room.id, "")
    if not stream_id.startswith(prefix):
        return None
    label = stream_id[len(prefix) :]
    views: Sequence[Mapping[str, Any]] = room.document["views"]
    return next((view for view in views if view["label"] == label), None)


def mixed_media(view: Mapping[str, Any]) -> Media:
    """The tracks of a view's mixed stream: what the view is set to."""
    video = view["video"]
    return Media(
        Audio(dict(view["audio"]["format"])),
        Video((Layer(dict(video["format"]), dict(video["parameters"])),)) if video else None,
    )


def offered(room: RoomLike, stream_id: str, forward: Mapping[str, Forward]) -> Media | None:
    """The tracks of a stream of the room, whichever kind it is."""
    found = forward.get(stream_id)
    if found is not None:
        return found.media
    view = view_of(room, stream_id)
    return mixed_media(view) if view is not None else None


# As they are answered


def info(stream: Forward, room: RoomLike, in_views: Sequence[str], version: Version) -> Spelled:
    """A forward stream; `in_views` are the labels of those of its views that are present."""
    spelled: Spelled = {"owner": stream.owner, "type": stream.type, "inViews": list(in_views)}
    if stream.attributes is not None:
        spelled["attributes"] = stream.attributes
    return {"id": stream.id, "type": "forward", "media": _media(stream.media, room, version), "info": spelled}


def mixed(room: RoomLike, view: Mapping[str, Any], places: Iterable[Place], version: Version) -> Spelled:
    """The mixed stream of a view of the room that shows these places."""
    label = view["label"]
    question = f"mixed {version} {label}".encode()
    return {
        "id": mixed_id(room.id, label),
        "type": "mixed",
        "media": room.once(question, lambda: _media(mixed_media(view), room, version)),
        "info": {"label": label, "activeInput": "unknown", "layout": [each.spell() for each in places]},
    }


def _media(media: Media, room: RoomLike, version: Version) -> Spelled:
    return {
        "audio": _audio(media.audio, room) if media.audio is not None else False,
        "video": _video(media.video, room, version) if media.video is not None else False,
    }


def _track(track: Audio | Video) -> Spelled:
    spelled: Spelled = {"status": track.status}
    if track.source is not None:
        spelled["source"] = track.source
    return spelled


def _audio(track: Audio, room: RoomLike) -> Spelled:
    spelled = _track(track) | {"format": track.format}
    choice = optional_audio(track, room)
    return spelled | {"optional": choice} if choice else spelled


def _video(track: Video, room: RoomLike, version: Version) -> Spelled:
    layers = [layer.spell() for layer in track.original]
    spelled = _track(track) | ({"original": layers} if version == "v1.1" else _without_rid(layers[0]))
    choice = optional_video(track, room)
    return spelled | {"optional": choice} if choice else spelled


def _without_rid(layer: Spelled) -> Spelled:
    return {name: value for name, value in layer.items() if name != "simulcastRid"}


# What else a track can be had as

_encode: Final = msgspec.json.Encoder().encode


def optional_audio(track: Audio, room: RoomLike) -> Spelled:
    """What the room can make of an audio track."""
    return room.once(b"audio" + _encode(track.format), lambda: _optional_audio(track, room))


def _optional_audio(track: Audio, room: RoomLike) -> Spelled:
    if not room.document["transcoding"]["audio"]:
        return {}
    formats = room.document["mediaOut"]["audio"]
    return {"format": [each for each in formats if not same_audio(each, track.format)]}


def optional_video(track: Video, room: RoomLike) -> Spelled:
    """What the room can make of a video track; of simulcast, nothing."""
    if track.simulcast:
        return {}
    return room.once(b"video" + _encode(track.original[0]), lambda: _optional_video(track, room))


def _optional_video(track: Video, room: RoomLike) -> Spelled:
    flags = room.document["transcoding"]["video"]
    out = room.document["mediaOut"]["video"]
    own = track.original[0]
    choice: Spelled = {}
    if flags["format"]:
        choice["format"] = [each for each in out["format"] if not same_video(each, own.format)]
    parameters = _optional_parameters(own.parameters, flags["parameters"], out["parameters"])
    return choice | {"parameters": parameters} if parameters else choice


def _optional_parameters(
    own: Mapping[str, Any], flags: Mapping[str, bool], out: Mapping[str, Any]
) -> Spelled:
    choice: Spelled = {}
    if flags["resolution"]:
        choice["resolution"] = smaller(out["resolution"], resolution(own.get("resolution")))
    if flags["framerate"]:
        limit = own.get("framerate", UNKNOWN_FRAMERATE)
        choice["framerate"] = [each for each in out["framerate"] if is_number(each) and each < limit]
    for name in ("bitrate", "keyFrameInterval"):
        if flags[name]:
            choice[name] = list(out[name])
    return choice


def smaller(names: Iterable[Json], than: tuple[int, int]) -> list[Spelled]:
    """The resolutions that these names stand for, beside a track of this size: those smaller in both
    dimensions, the first of equals.

    >>> smaller(["x3/4", "x2/3", "vga", "cif", "r352x288", "nonsense"], (640, 480))
    [{'width': 480, 'height': 360}, {'width': 426, 'height': 320}, {'width': 352, 'height': 288}]
    """
    sizes = (_size(name, than) for name in names)
    found = dict.fromkeys(size for size in sizes if size and size[0] < than[0] and size[1] < than[1])
    return [{"width": width, "height": height} for width, height in found]


def _size(name: Json, base: tuple[int, int]) -> tuple[int, int] | None:
    if not isinstance(name, str):
        return None
    if exact := EXACT.fullmatch(name):
        return int(exact[1]), int(exact[2])
    if (part := PART.fullmatch(name)) and int(part[2]):
        width, height = (int(side * int(part[1]) // int(part[2])) & ~1 for side in base)
        return width, height
    return NAMED.get(name)


def resolution(value: Mapping[str, Any] | None) -> tuple[int, int]:
    """A track's size; that of an unknown one is taken to be 640x480."""
    return (value["width"], value["height"]) if value else UNKNOWN_RESOLUTION


def same_audio(one: Json, other: Json) -> bool:
    """Whether two audio formats agree in everything; a room's lists may hold anything."""
    return _agree(one, other, ("codec", "sampleRate", "channelNum"))


def same_video(one: Json, other: Json) -> bool:
    """Whether two video formats agree in everything; a room's lists may hold anything."""
    return _agree(one, other, ("codec", "profile"))


def _agree(one: Json, other: Json, names: Iterable[str]) -> bool:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    return all(one.get(name) == other.get(name) for name in names)


def is_number(value: Json) -> bool:
    """Whether a value of JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# Streaming-ins


class Connection(msgspec.Struct, frozen=True):
    """Where a streaming-in is fetched from."""

    url: str
    protocol: str = "tcp"
    buffer_size: float = BUFFER_SIZE
    origin: dict[str, str] = {}

    def spell(self) -> Spelled:
        """As callers ask for it."""
        return {
            "url": self.url,
            "transportProtocol": self.protocol,
            "bufferSize": self.buffer_size,
            "origin": self.origin,
        }


class StreamingIn(msgspec.Struct, frozen=True):
    """A streaming-in that a caller wants."""

    connection: Connection
    audio: bool
    video: bool
    attributes: dict[str, Any] | None = None


def parse_streaming_in(value: Json) -> StreamingIn:
    """The body of a request for a streaming-in (contract 8.3).  Raises `BadData`."""
    asked = _object(value, "the body")
    media = _object(asked.get("media"), "media")
    return StreamingIn(
        _connection(_object(asked.get("connection"), "connection")),
        audio=_wanted(media.get("audio")),
        video=_wanted(media.get("video")),
        attributes=_object(asked["attributes"], "attributes") if "attributes" in asked else None,
    )


def _connection(value: dict[str, Json]) -> Connection:
    url = value.get("url")
    protocol, size = value.get("transportProtocol", "tcp"), value.get("bufferSize", BUFFER_SIZE)
    origin = _object(value.get("origin", {}), "origin")
    if not isinstance(url, str) or not url:
        raise BadData("a connection has a url")
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise BadData("transportProtocol is tcp or udp")
    if not (isinstance(size, int | float) and is_number(size)):
        raise BadData("bufferSize is a number")
    places = {name: place for name in ("isp", "region") if (place := origin.get(name)) is not None}
    if not all(isinstance(place, str) for place in places.values()):
        raise BadData("an origin is two texts")
    return Connection(url, protocol, size, {name: str(place) for name, place in places.items()})


def _wanted(value: Json) -> bool:
    if not isinstance(value, bool | str) or value not in WANTED:
        raise BadData("a track of a streaming-in is auto, true or false")
    return value is not False


def _object(value: Json, name: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise BadData(f"{name} is an object")
    return value


def streaming_in(room: RoomLike, asked: StreamingIn) -> Media:
    """The tracks of a streaming-in, as long as nobody has looked what comes from there.  Raises `Refused`."""
    if not (asked.audio or asked.video):
        raise Refused("neither audio nor video is wanted")
    taken = room.document["mediaIn"]
    audio = usual(taken["audio"], "aac") if asked.audio else None
    video = usual(taken["video"], "h264") if asked.video else None
    if video is not None and video["codec"] == "h264":
        video.setdefault("profile", "CB")
    return Media(
        Audio(audio, STREAMING) if audio is not None else None,
        Video((Layer(video),), STREAMING) if video is not None else None,
    )


def ordered(asked: StreamingIn, body: Json) -> Spelled:
    """What a command says of a streaming-in: the tracks as `body`, of which it was read, asks for them."""
    media = _object(_object(body, "the body").get("media"), "media")
    spelled: Spelled = {
        "connection": asked.connection.spell(),
        "media": {track: media.get(track) for track in TRACKS},
    }
    return spelled if asked.attributes is None else spelled | {"attributes": asked.attributes}


def usual(formats: Sequence[Json], codec: str) -> dict[str, Any]:
    """The format of this codec, else the first; a room's lists may hold anything.  Raises `Refused`."""
    known = [each for each in formats if isinstance(each, dict) and "codec" in each]
    if not known:
        raise Refused("the room does not take such a track")
    return dict(next((each for each in known if each["codec"] == codec), known[0]))


# What a media worker says that a stream has

SOURCES: Final = ("mic", "camera", "screen-cast", "raw-file", "encoded-file", "streaming")
LARGEST_RATE: Final = 10**6
LARGEST_SIDE: Final = 10**5
LARGEST_LAYERS: Final = 16

_side: Final = between(1, LARGEST_SIDE, whole=True)
_rate: Final = between(0, LARGEST_RATE)
_optional_rate: Final = Field(_rate, OPTIONAL)
_codec: Final = Field(short_text, REQUIRED)
_TRACK: Final = {
    "status": Field(one_of(Status.ACTIVE, Status.INACTIVE), Status.ACTIVE),
    "source": Field(one_of(*SOURCES), OPTIONAL),
}
_audio_format: Final = Shape(
    {
        "codec": _codec,
        "sampleRate": _optional_rate,
        "channelNum": Field(between(1, 256, whole=True), OPTIONAL),
    }
)
_layer: Final = {
    "format": Field(Shape({"codec": _codec, "profile": Field(short_text, OPTIONAL)}), REQUIRED),
    "parameters": Field(
        Shape(
            {
                "resolution": Field(
                    Shape({"width": Field(_side, REQUIRED), "height": Field(_side, REQUIRED)}), OPTIONAL
                ),
                "framerate": _optional_rate,
                "bitrate": _optional_rate,
                "keyFrameInterval": _optional_rate,
            }
        ),
        {},
    ),
}
_audio_track: Final = Shape({**_TRACK, "format": Field(_audio_format, REQUIRED)})
_video_track: Final = Shape({**_TRACK, **_layer})
"""As v1 shows it."""
_video_layers: Final = Shape(
    {
        **_TRACK,
        "original": Field(
            list_of(Shape({**_layer, "simulcastRid": Field(short_text, OPTIONAL)})),
            REQUIRED,
        ),
    }
)
"""As v1.1 shows it."""


def parse_media(value: Json) -> Media:
    """The tracks of a stream as answers show them, in either shape; what else they can be had as is left out.

    A track that is not named is not there.  Raises `BadData`.
    """
    given = _object(value, "media")
    media = Media(
        unless_false(_read_audio)(given.get("audio", False), "media.audio") or None,
        unless_false(_read_video)(given.get("video", False), "media.video") or None,
    )
    if media.audio is None and media.video is None:
        raise BadData("media has audio or video")
    return media


def _read_audio(value: Json, where: str) -> Audio:
    read = _audio_track(value, where)
    return Audio(read["format"], read.get("source"), read["status"])


def _read_video(value: Json, where: str) -> Video:
    if not isinstance(value, dict) or value.get("original") is None:
        read = _video_track(value, where)
        layers: tuple[Layer, ...] = (Layer(read["format"], read["parameters"]),)
    else:
        read = _video_layers(value, where)
        layers = tuple(
            Layer(each["format"], each["parameters"], each.get("simulcastRid")) for each in read["original"]
        )
    names = [layer.rid for layer in layers]
    if not 1 <= len(layers) <= LARGEST_LAYERS:
        raise BadData(f"{where}.original: from 1 to {LARGEST_LAYERS} entries")
    if len(names) > 1 and (None in names or len(set(names)) < len(names)):
        raise BadData(f"{where}.original: each of several has a simulcastRid of its own")
    return Video(layers, read.get("source"), read["status"])


# Changes


class Mix(msgspec.Struct, frozen=True):
    """A forward stream comes into a view, or leaves it."""

    label: str
    into: bool


class Mute(msgspec.Struct, frozen=True):
    """A track of a forward stream gets a status."""

    track: str
    status: str


class Move(msgspec.Struct, frozen=True):
    """A stream takes a region of a mixed stream."""

    region: int
    stream: str


class Arrange(msgspec.Struct, frozen=True):
    """A mixed stream gets a layout."""

    entries: tuple[Entry, ...]


Change: TypeAlias = Mix | Mute | Move | Arrange


def parse_changes(updates: Iterable[Update]) -> list[Change]:
    """What a list of updates asks of a stream, of whichever kind (contract 8.4).  Raises `BadData`."""
    return [_change(each) for each in updates]


def _change(update: Update) -> Change:
    match update:
        case ("add" | "remove" as op, "/info/inViews", str(label)):
            return Mix(label, op == "add")
        case ("replace", "/media/audio/status" | "/media/video/status" as path, str(status)):
            if status in Status.ALL:
                return Mute(path.split("/")[2], status)
        case ("replace", "/info/layout", value):
            return Arrange(tuple(layout.parse(value)))
        case ("replace", path, str(stream)):
            if region := REGION.fullmatch(path):
                return Move(int(region[1]), stream)
    raise BadData("a stream cannot be changed like this")


def change(stream: Forward, changes: Iterable[Change], vids: Mapping[str, str], at: int) -> Forward:
    """A forward stream after these changes, in order, in a room whose views have these ids.

    Raises `Refused`.
    """
    for each in changes:
        match each:
            case Mix():
                stream = _mix(stream, each, vids, at)
            case Mute():
                stream = _mute(stream, each)
            case _:
                raise Refused("a forward stream has no layout")
    return stream


def _mix(stream: Forward, change: Mix, vids: Mapping[str, str], at: int) -> Forward:
    vid = vids.get(change.label)
    if vid is None:
        raise Refused("the room has no such view")
    views = dict(stream.views)
    if change.into:
        views.setdefault(vid, at)
    else:
        views.pop(vid, None)
    return msgspec.structs.replace(stream, views=views)


def _mute(stream: Forward, change: Mute) -> Forward:
    track: Audio | Video | None = getattr(stream.media, change.track)
    if track is None:
        raise Refused("the stream does not have this track")
    muted = msgspec.structs.replace(track, status=change.status)
    return msgspec.structs.replace(
        stream, media=msgspec.structs.replace(stream.media, **{change.track: muted})
    )


def told(before: Media, media: Media) -> Media:
    """The tracks that a worker has found where these were expected; what callers have muted stays muted."""
    return Media(_told(before.audio, media.audio), _told(before.video, media.video))


def _told(before: Track | None, track: Track | None) -> Track | None:
    if before is None or track is None:
        return track
    muted = before.status == Status.INACTIVE
    return msgspec.structs.replace(
        track,
        source=track.source if track.source is not None else before.source,
        status=Status.INACTIVE if muted else track.status,
    )


def differences(
    before: Forward, after: Forward, vids: Mapping[str, str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """The labels of the views that a stream came into and of those it left, and the tracks' new statuses."""
    came = msgspec.structs.replace(
        after, views={vid: at for vid, at in after.views.items() if before.views.get(vid) != at}
    )
    left = msgspec.structs.replace(
        before, views={vid: at for vid, at in before.views.items() if vid not in after.views}
    )
    tracks = {name: (getattr(before.media, name), getattr(after.media, name)) for name in TRACKS}
    status = {
        name: new.status for name, (old, new) in tracks.items() if old and new and old.status != new.status
    }
    return labels(came, vids), labels(left, vids), status


def arrange(picture: layout.Picture, changes: Iterable[Change]) -> layout.Picture:
    """A view after these changes of its mixed stream, in order.  Raises `Refused`."""
    for each in changes:
        match each:
            case Move():
                arranged = layout.set_region(picture, each.region, each.stream)
            case Arrange():
                arranged = layout.set_layout(picture, each.entries)
            case _:
                raise Refused("a mixed stream is what its view is")
        picture = picture._replace(set=arranged, reported=None)
    return picture


def inputs(streams: Iterable[Forward], vid: str) -> list[layout.Input]:
    """What is in a view, in the order of mixing."""
    found = [layout.Input(each.id, each.views[vid]) for each in streams if vid in each.views]
    return sorted(found, key=lambda each: (each.at, each.stream))


def labels(stream: Forward, vids: Mapping[str, str]) -> list[str]:
    """The labels of those views of a stream that are present, in the order in which it came into them."""
    names = {vid: label for label, vid in vids.items()}
    return [names[vid] for vid in stream.views if vid in names]
