"""What takes media out of a room: streaming-outs, recordings, calls, analytics (contract 10-12).  Pure."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec

from chalicelib.owt import selection
from chalicelib.owt import stream as streams
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.selection import Chosen, Options
from chalicelib.owt.stream import Audio, Forward, Layer, Media, RoomLike, Spelled, Video, is_number
from chalicelib.wire.untrusted import Json

PROTOCOLS: Final = ("rtmp", "rtsp", "hls", "dash")
GUESSED_BY_START: Final = {"rtmp://": "rtmp", "rtsp://": "rtsp"}
GUESSED_BY_END: Final = {".m3u8": "hls", ".mpd": "dash"}
METHODS: Final = ("PUT", "POST")
SEGMENTS: Final = {
    "hls": {"hlsTime": 2, "hlsListSize": 5},
    "dash": {"dashSegDuration": 2, "dashWindowSize": 5},
}
"""The numbers that a protocol of segments takes, and what they are where nobody says."""

CONTAINERS: Final = ("auto", "mkv", "mp4")
DIAL_OUT: Final = "dial-out"
DIAL_IN: Final = "dial-in"


class StreamingOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A selection sent to an address outside."""

    kind: ClassVar[str] = "o"

    protocol: str
    url: str
    chosen: Chosen
    parameters: dict[str, Any] | None = None

    def spell(self, identity: str) -> Spelled:
        """As it is answered."""
        spelled: Spelled = {"id": identity, "protocol": self.protocol, "url": self.url}
        if self.parameters is not None:
            spelled["parameters"] = self.parameters
        return spelled | {"media": self.chosen.media}


class Recording(msgspec.Struct, frozen=True):
    """A selection written to a file."""

    kind: ClassVar[str] = "r"

    host: str
    file: str
    chosen: Chosen

    def spell(self, identity: str) -> Spelled:
        """As it is answered."""
        storage = {"host": self.host, "file": self.file}
        return {"id": identity, "media": self.chosen.media, "storage": storage}


class Call(msgspec.Struct, frozen=True):
    """A SIP call: a selection sent to a peer, and the peer's stream, of which nothing may have come yet."""

    kind: ClassVar[str] = "c"

    peer: str
    input: str
    """The id of the peer's stream; empty as long as there is none."""
    output: str
    chosen: Chosen
    type: str = DIAL_OUT

    def spell(self, identity: str, heard: Spelled | None) -> Spelled:
        """As it is answered; `heard` is the peer's stream, in the shape of the path's version."""
        output = {"id": self.output, "media": self.chosen.media}
        return {
            "id": identity,
            "type": self.type,
            "peer": self.peer,
            "input": heard if heard is not None else False,
            "output": output,
        }


class Analysis(msgspec.Struct, frozen=True):
    """A selection whose video an algorithm looks at."""

    kind: ClassVar[str] = "a"

    algorithm: str
    chosen: Chosen
    video: dict[str, Any]

    def spell(self, identity: str) -> Spelled:
        """As it is answered: what the guide shows and what the code shows, both at once (D16)."""
        media = {"format": self.video["format"], "from": self.video["from"], "video": self.video}
        return {"id": identity, "analytics": {"algorithm": self.algorithm}, "media": media}


Subscription: TypeAlias = StreamingOut | Recording | Call | Analysis

TYPES: Final = {StreamingOut.kind: "streaming-out", Recording.kind: "recording", Analysis.kind: "analytics"}
"""What commands call the outputs of a room."""


def ordered(subscription: Subscription) -> Spelled:
    """What a command says of a subscription: as it is answered, without the ids that the command has."""
    if isinstance(subscription, Call):
        return {
            "peer": subscription.peer,
            "input": subscription.input,
            "output": subscription.output,
            "media": subscription.chosen.media,
        }
    spelled = subscription.spell("")
    del spelled["id"]
    return {"type": TYPES[subscription.kind], **spelled}


# What callers ask for


class OutRequest(msgspec.Struct, frozen=True):
    """What a streaming-out is asked to be."""

    protocol: str
    url: str
    parameters: dict[str, Any] | None
    options: Options


class RecordingRequest(msgspec.Struct, frozen=True):
    """What a recording is asked to be."""

    container: str
    options: Options


class CallRequest(msgspec.Struct, frozen=True):
    """Whom to call, and what goes there."""

    peer: str
    video: bool
    options: Options


class AnalysisRequest(msgspec.Struct, frozen=True):
    """What is to be analysed, and how."""

    algorithm: str
    options: Options


def parse_streaming_out(body: Json) -> OutRequest:
    """The body of `POST .../streaming-outs`.  Raises `BadData`."""
    fields = _fields(body)
    url = _text(fields, "url")
    protocol = fields["protocol"] if "protocol" in fields else _guess(url)
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise BadData("the protocol is unknown")
    return OutRequest(
        protocol,
        url,
        _segments(protocol, fields.get("parameters", {})),
        selection.parse_options(fields.get("media")),
    )


def _guess(url: str) -> str | None:
    for start, protocol in GUESSED_BY_START.items():
        if url.startswith(start):
            return protocol
    return next((protocol for end, protocol in GUESSED_BY_END.items() if url.endswith(end)), None)


def _segments(protocol: str, value: Json) -> dict[str, Any] | None:
    """The parameters of a protocol of segments, complete; the others have none.  Raises `BadData`."""
    if protocol not in SEGMENTS:
        return None
    if not isinstance(value, dict):
        raise BadData("parameters are an object")
    read: dict[str, Any] = {"method": value.get("method", METHODS[0])}
    if not isinstance(read["method"], str) or read["method"] not in METHODS:
        raise BadData("the method is PUT or POST")
    for name, usual in SEGMENTS[protocol].items():
        read[name] = value.get(name, usual)
        if not is_number(read[name]):
            raise BadData(f"{name} is a number")
    return read


def parse_recording(body: Json) -> RecordingRequest:
    """The body of `POST .../recordings`.  Raises `BadData`."""
    fields = _fields(body)
    wanted = fields.get("container", CONTAINERS[0])
    if not isinstance(wanted, str) or wanted not in CONTAINERS:
        raise BadData("the container is unknown")
    return RecordingRequest(wanted, selection.parse_options(fields.get("media")))


def parse_call(body: Json) -> CallRequest:
    """The body of `POST .../sipcalls`.  Raises `BadData`."""
    fields = _fields(body)
    peer = _text(fields, "peerURI")
    heard, sent = fields.get("mediaIn"), fields.get("mediaOut")
    if (
        not isinstance(heard, dict)
        or heard.get("audio") is not True
        or not isinstance(heard.get("video"), bool)
    ):
        raise BadData("mediaIn has audio, and says whether it has video")
    if not isinstance(sent, dict) or not isinstance(sent.get("audio"), dict) or "video" not in sent:
        raise BadData("mediaOut has audio, and says whether it has video")
    options = selection.parse_options(
        {"audio": _only(sent["audio"], "from"), "video": _only(sent["video"], "from", "parameters")}
    )
    if heard["video"] is not (options.video is not None):
        raise BadData("mediaIn and mediaOut agree about video")
    return CallRequest(peer, options.video is not None, options)


def _only(value: Json, *names: str) -> Json:
    return {name: value[name] for name in names if name in value} if isinstance(value, dict) else value


def parse_analysis(body: Json) -> AnalysisRequest:
    """The body of `POST .../analytics`.  Raises `BadData`."""
    fields = _fields(body)
    return AnalysisRequest(_text(fields, "algorithm"), selection.parse_options(fields.get("media")))


def _fields(body: Json) -> Mapping[str, Json]:
    if not isinstance(body, dict):
        raise BadData("the body is an object")
    return body


def _text(fields: Mapping[str, Json], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadData(f"{name} is a text")
    return value


# What the room makes of it


def streaming_out(room: RoomLike, forward: Mapping[str, Forward], asked: OutRequest) -> StreamingOut:
    """The streaming-out that answers a request.  Raises `Refused`."""
    chosen = selection.choose(room, forward, asked.options, sent=True)
    return StreamingOut(asked.protocol, asked.url, chosen, asked.parameters)


def recording(
    room: RoomLike, forward: Mapping[str, Forward], asked: RecordingRequest, host: str, place: str
) -> Recording:
    """The recording that answers a request, in the file `place` with its container behind.

    Raises `Refused`, and `BadData` where the container cannot take the codecs.
    """
    chosen = selection.choose(room, forward, asked.options, recorded=True)
    return Recording(host, f"{place}.{selection.container(asked.container, chosen)}", chosen)


def call(room: RoomLike, forward: Mapping[str, Forward], asked: CallRequest, heard: str, output: str) -> Call:
    """The call that answers a request; `heard` and `output` are the ids of its two directions.

    Raises `Refused`.
    """
    if not (room.document.get("sip") or {}).get("sipServer"):
        raise Refused("the room has no SIP server")
    return Call(asked.peer, heard, output, selection.choose(room, forward, asked.options))


def dialed_in(room: RoomLike, peer: str, heard: str, output: str, media: Media | None) -> Call:
    """The call of a peer who has dialed in, with its stream where that is there.

    As in the original it is sent what the first view shows, as much of it as the room can make: its video
    unless the peer has none.
    """
    views = room.document["views"]
    chosen = Chosen(Options(), {"audio": False, "video": False})
    if views:
        wish = selection.Wish(streams.mixed_id(room.id, views[0]["label"]))
        audio_only = not views[0]["video"] or (media is not None and media.video is None)
        for options in ([] if audio_only else [Options(wish, wish)]) + [Options(wish)]:
            try:
                chosen = selection.choose(room, {}, options)
                break
            except Refused:
                continue
    return Call(peer, heard, output, chosen, DIAL_IN)


def heard_media(room: RoomLike, video: bool) -> Media:
    """The tracks of a call's input while no media worker has said what they are.

    PCMU and H.264 are what every SIP peer has; else what the room takes first.  Raises `Refused`.
    """
    taken = room.document["mediaIn"]
    audio = Audio(streams.usual(taken["audio"], "pcmu"), "mic")
    if not video:
        return Media(audio)
    wanted = streams.usual(taken["video"], "h264")
    if wanted["codec"] == "h264":
        wanted.setdefault("profile", "CB")
    return Media(audio, Video((Layer(wanted),), "camera"))


def analysis(room: RoomLike, forward: Mapping[str, Forward], asked: AnalysisRequest) -> Analysis:
    """The analysis that answers a request.  Raises `Refused`."""
    chosen = selection.choose(room, forward, asked.options)
    wish = chosen.options.video
    if wish is None:
        raise Refused("without video there is nothing to analyse")
    media = streams.offered(room, wish.source, forward)
    known = media.video.original[0].parameters if media is not None and media.video is not None else {}
    video: Spelled = {"from": wish.source, "format": wish.format, "status": wish.status}
    parameters = {**known, **wish.parameters}
    return Analysis(asked.algorithm, chosen, video | ({"parameters": parameters} if parameters else {}))


# Changes


Changeable = TypeVar("Changeable", StreamingOut, Recording, Call)


def rechosen(
    subscription: Changeable, room: RoomLike, forward: Mapping[str, Forward], options: Options
) -> Changeable:
    """A subscription with another selection; what it is, and where it goes, stays.  Raises `Refused`."""
    chosen = selection.choose(
        room,
        forward,
        options,
        sent=isinstance(subscription, StreamingOut),
        recorded=isinstance(subscription, Recording),
    )
    return msgspec.structs.replace(subscription, chosen=chosen)
