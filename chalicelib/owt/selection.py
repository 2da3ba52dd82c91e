"""What a subscription takes of which stream: `MediaSubOptions`, and changes of it (contract 9).  Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from chalicelib.owt import stream as streams
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.stream import Layer, Media, RoomLike, Spelled, Status, is_number
from chalicelib.wire.patch import Update
from chalicelib.wire.untrusted import Json

AUDIO_CODECS: Final = frozenset({"pcmu", "pcma", "opus", "g722", "isac", "ilbc", "aac", "ac3", "nellymoser"})
VIDEO_CODECS: Final = frozenset({"h264", "h265", "vp8", "vp9"})
PROFILES: Final = ("CB", "B", "M", "H")
ANY_PROFILE: Final = "E"
UNCHANGED: Final = frozenset({"x1", "x1.0"})

RECORDED_AUDIO: Final = frozenset({"opus", "pcmu", "pcma", "aac"})
MP4_AUDIO: Final = frozenset({"aac"})
MP4_VIDEO: Final = frozenset({"h264", "h265"})

SENT_CODEC: Final = "aac"
SENT_VIDEO: Final = {"codec": "h264", "profile": "CB"}

FRAMERATES: Final = (6, 12, 15, 24, 30, 48, 60)
BITRATES: Final = ("x0.8", "x0.6", "x0.4", "x0.2")
INTERVALS: Final = (1, 2, 5, 30, 100)


class Wish(msgspec.Struct, frozen=True, omit_defaults=True, rename={"source": "from"}):
    """What is wanted of one track: of which stream, in which format, with which parameters.

    Once a selection is made, `format` is the one it was made with.
    """

    source: str
    format: dict[str, Any] | None = None
    parameters: dict[str, Any] = {}
    status: str = Status.ACTIVE


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wanted of each track; a track without a wish is off.  Stored as it is."""

    audio: Wish | None = None
    video: Wish | None = None

    @property
    def sources(self) -> list[str]:
        """The streams that it takes something of, each once."""
        return list({wish.source: None for wish in (self.audio, self.video) if wish is not None})


class Chosen(msgspec.Struct, frozen=True):
    """A selection that the room can make: the wishes, to keep for later changes, and `media` as answered."""

    options: Options
    media: Spelled

    @property
    def sources(self) -> list[str]:
        """The streams that it takes something of, each once."""
        return self.options.sources


# Reading


def parse_options(value: Json) -> Options:
    """What a caller wants.  Raises `BadData`."""
    if not isinstance(value, dict) or not {"audio", "video"} <= value.keys():
        raise BadData("media names audio and video")
    return Options(_wish(value["audio"], _audio_format), _wish(value["video"], _video_format, _parameters))


Reader: TypeAlias = Callable[[dict[str, Json]], dict[str, Json]]


def _wish(value: Json, read_format: Reader, read_parameters: Reader | None = None) -> Wish | None:
    if value is False:
        return None
    if not isinstance(value, dict):
        raise BadData("a track is an object or false")
    wanted_format, parameters = value.get("format"), value.get("parameters")
    return Wish(
        _stream_id(value.get("from")),
        read_format(_object(wanted_format, "format")) if "format" in value else None,
        read_parameters(_object(parameters, "parameters"))
        if read_parameters is not None and "parameters" in value
        else {},
    )


def _stream_id(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise BadData("a track says from which stream it is")
    return value


def _object(value: Json, name: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise BadData(f"{name} is an object")
    return value


def _audio_format(value: dict[str, Json]) -> dict[str, Json]:
    _codec(value, AUDIO_CODECS)
    numbers: dict[str, Json] = {name: value[name] for name in ("sampleRate", "channelNum") if name in value}
    if not all(is_number(number) for number in numbers.values()):
        raise BadData("sampleRate and channelNum are numbers")
    return {"codec": value["codec"], **numbers}


def _video_format(value: dict[str, Json]) -> dict[str, Json]:
    _codec(value, VIDEO_CODECS)
    if "profile" not in value:
        return {"codec": value["codec"]}
    if value["profile"] not in (*PROFILES, ANY_PROFILE):
        raise BadData("the profile is unknown")
    return {"codec": value["codec"], "profile": value["profile"]}


def _codec(value: dict[str, Json], known: frozenset[str]) -> None:
    codec = value.get("codec")
    if not isinstance(codec, str) or codec.lower() not in known:
        raise BadData("the codec is unknown")


def _parameters(value: dict[str, Json]) -> dict[str, Json]:
    read: dict[str, Json] = {}
    if "resolution" in value:
        read["resolution"] = _resolution(value["resolution"])
    for name in ("framerate", "keyFrameInterval"):
        if name in value:
            if not is_number(value[name]):
                raise BadData(f"{name} is a number")
            read[name] = value[name]
    if "bitrate" in value:
        if not (isinstance(value["bitrate"], str) or is_number(value["bitrate"])):
            raise BadData("bitrate is a number or a factor")
        if value["bitrate"] not in UNCHANGED:
            read["bitrate"] = value["bitrate"]
    return read


def _resolution(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict) or not all(is_number(value.get(side)) for side in ("width", "height")):
        raise BadData("a resolution has a width and a height")
    return {"width": value["width"], "height": value["height"]}


# Choosing


def choose(
    room: RoomLike,
    forward: Mapping[str, streams.Forward],
    options: Options,
    *,
    sent: bool = False,
    recorded: bool = False,
) -> Chosen:
    """The selection that answers a wish.  Raises `Refused`.

    `forward` holds those of `options.sources` that are forward streams of the room.  What is `sent` out
    has one format whatever is wanted (contract 10), and what is `recorded` only some audio codecs (11).
    """
    if options.audio is None and options.video is None:
        raise Refused("neither audio nor video is wanted")
    out = room.document["mediaOut"]
    if options.audio is not None and not out["audio"]:
        raise Refused("the room gives no audio")
    if options.video is not None and not out["video"]["format"]:
        raise Refused("the room gives no video")
    audio = _choose_audio(room, forward, options.audio, sent) if options.audio is not None else None
    if recorded and audio is not None and _codec_of(audio.format) not in RECORDED_AUDIO:
        raise Refused("a recording does not take this audio codec")
    video = _choose_video(room, forward, options.video, sent) if options.video is not None else None
    return Chosen(Options(audio, video), _media(room, audio, video))


def _choose_audio(room: RoomLike, forward: Mapping[str, streams.Forward], wish: Wish, sent: bool) -> Wish:
    track = _tracks(room, forward, wish.source).audio
    if track is None:
        raise Refused("there is no such stream with audio")
    if sent:
        return msgspec.structs.replace(wish, format=sent_audio(room))
    if wish.format is None:
        return msgspec.structs.replace(wish, format=track.format)
    choice = [track.format, *streams.optional_audio(track, room).get("format", [])]
    if not any(_fits_audio(wish.format, each) for each in choice):
        raise Refused("the audio format is not offered")
    return wish


def _choose_video(room: RoomLike, forward: Mapping[str, streams.Forward], wish: Wish, sent: bool) -> Wish:
    track = _tracks(room, forward, wish.source).video
    if track is None:
        raise Refused("there is no such stream with video")
    optional = streams.optional_video(track, room)
    if sent:
        wish = msgspec.structs.replace(wish, format=dict(SENT_VIDEO))
    elif wish.format is None:
        wish = msgspec.structs.replace(wish, format=track.original[0].format)
    else:
        choice = [*(layer.format for layer in track.original), *optional.get("format", [])]
        if not any(_fits_video(wish.format, each) for each in choice):
            raise Refused("the video format is not offered")
    _check_parameters(wish.parameters, track.original, optional.get("parameters", {}))
    return wish


def _check_parameters(
    wanted: Mapping[str, Any], own: Sequence[Layer], optional: Mapping[str, Sequence[Json]]
) -> None:
    for name, value in wanted.items():
        offered = list(optional.get(name, ()))
        if name != "bitrate":
            known = [layer.parameters[name] for layer in own if name in layer.parameters]
            if name == "resolution" and not known:
                continue
            offered += known
        if value not in offered:
            raise Refused(f"the {name} is not offered")


def _tracks(room: RoomLike, forward: Mapping[str, streams.Forward], stream_id: str) -> Media:
    found = streams.offered(room, stream_id, forward)
    if found is None:
        raise Refused("there is no such stream")
    return found


def sent_audio(room: RoomLike) -> Spelled:
    """The audio format of what is sent out: the first aac entry of the room.  Raises `Refused`."""
    return room.once(b"sent audio", lambda: _sent_audio(room))


def _sent_audio(room: RoomLike) -> Spelled:
    for each in room.document["mediaOut"]["audio"]:
        if isinstance(each, dict) and _codec_of(each) == SENT_CODEC:
            return {**each, "codec": SENT_CODEC}
    raise Refused("the room gives no aac audio")


def _fits_audio(wanted: Mapping[str, Any], entry: Json) -> bool:
    """Whether an entry is the wanted audio format."""
    if not isinstance(entry, dict):
        return False
    return _codec_of(wanted) == _codec_of(entry) and all(
        wanted.get(name) == entry.get(name) for name in ("sampleRate", "channelNum")
    )


def _fits_video(wanted: Mapping[str, Any], entry: Json) -> bool:
    """Whether an entry is of the wanted codec and, for h264, of no higher profile."""
    if not isinstance(entry, dict) or _codec_of(wanted) != _codec_of(entry):
        return False
    if _codec_of(wanted) != "h264":
        return True
    asked, given = _rank(wanted.get("profile")), _rank(entry.get("profile"))
    return asked is None or given is None or asked >= given


def _rank(profile: Json) -> int | None:
    return PROFILES.index(profile) if isinstance(profile, str) and profile in PROFILES else None


def _codec_of(wanted: Mapping[str, Any] | None) -> str:
    codec = (wanted or {}).get("codec")
    return codec.lower() if isinstance(codec, str) else ""


# As it is answered


def _media(room: RoomLike, audio: Wish | None, video: Wish | None) -> Spelled:
    return {
        "audio": _spell(audio, {}) if audio is not None else False,
        "video": _spell(video, _parameters_of_view(room, video.source)) if video is not None else False,
    }


def _spell(wish: Wish, from_view: Mapping[str, Any]) -> Spelled:
    spelled: Spelled = {"from": wish.source, "format": wish.format, "status": wish.status}
    parameters = {**from_view, **wish.parameters}
    return spelled | {"parameters": parameters} if parameters else spelled


def _parameters_of_view(room: RoomLike, source: str) -> Mapping[str, Any]:
    view = streams.view_of(room, source)
    return view["video"]["parameters"] if view is not None and view["video"] else {}


# Containers of recordings


def audio_codec(chosen: Chosen) -> str | None:
    """The audio codec of a selection, in lower case."""
    return _codec_of(chosen.options.audio.format) if chosen.options.audio is not None else None


def video_codec(chosen: Chosen) -> str | None:
    """The video codec of a selection, in lower case."""
    return _codec_of(chosen.options.video.format) if chosen.options.video is not None else None


def container(wanted: str, chosen: Chosen) -> str:
    """The container for a recording: `wanted`, or for `auto` the one that the codecs ask for (contract 11).

    Raises `BadData` where an mp4 cannot take them.
    """
    audio, video = audio_codec(chosen), video_codec(chosen)
    video_fits = video is None or video in MP4_VIDEO
    if wanted == "auto":
        return "mp4" if audio in MP4_AUDIO and video_fits else "mkv"
    if wanted == "mp4":
        if audio is not None and audio not in MP4_AUDIO:
            raise BadData("mp4 needs aac audio")
        if not video_fits:
            raise BadData("mp4 needs h264 or h265 video")
    return wanted


# Changes


class Change(msgspec.Struct, frozen=True):
    """One update of a selection: of which track, of what in it."""

    track: str
    field: str
    value: Any


def parse_changes(updates: Iterable[Update], prefix: str = "") -> list[Change]:
    """A list of updates of a selection (contract 9.1), their paths below `prefix`.  Raises `BadData`."""
    return [_change(each, prefix) for each in updates]


def _change(update: Update, prefix: str) -> Change:
    path = update.path.removeprefix(prefix)
    if update.op != "replace" or not update.path.startswith(prefix) or path not in _CHANGES:
        raise BadData("this cannot be changed")
    track, field, read = _CHANGES[path]
    return Change(track, field, read(update.value))


def _one_of(values: Sequence[Json] | frozenset[str]) -> Callable[[Json], Json]:
    def read(value: Json) -> Json:
        if isinstance(value, bool | list | dict) or value not in values:
            raise BadData("the value is not one of those allowed")
        return value

    return read


_CHANGES: Final[Mapping[str, tuple[str, str, Callable[[Json], Json]]]] = {
    "/media/audio/from": ("audio", "source", _stream_id),
    "/media/video/from": ("video", "source", _stream_id),
    "/media/audio/status": ("audio", "status", _one_of(Status.ALL)),
    "/media/video/status": ("video", "status", _one_of(Status.ALL)),
    "/media/video/parameters/resolution": ("video", "resolution", _resolution),
    "/media/video/parameters/framerate": ("video", "framerate", _one_of(FRAMERATES)),
    "/media/video/parameters/bitrate": ("video", "bitrate", _one_of(BITRATES)),
    "/media/video/parameters/keyFrameInterval": ("video", "keyFrameInterval", _one_of(INTERVALS)),
}


def change(options: Options, changes: Sequence[Change]) -> Options:
    """The wishes after these changes, in order; `choose` has still to say whether they can be met.

    Raises `Refused` where the subscription lacks the track.
    """
    for each in changes:
        options = _changed(options, each)
    return options


def _changed(options: Options, change: Change) -> Options:
    wish: Wish | None = getattr(options, change.track)
    if wish is None:
        raise Refused("the subscription does not have this track")
    if change.field in ("source", "status"):
        wish = msgspec.structs.replace(wish, **{change.field: change.value})
    else:
        wish = msgspec.structs.replace(wish, parameters={**wish.parameters, change.field: change.value})
    return msgspec.structs.replace(options, **{change.track: wish})
