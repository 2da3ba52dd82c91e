"""A stream of a media server as conference management shows streams.  Pure.

Of a codec more than its name is known only where nothing else is common; what a server does not say is what
browsers send.
"""

from typing import Any, Final

from chalicelib.owt.stream import Audio, Layer, Media, Status, Video
from chalicelib.wcs import stream
from chalicelib.wcs.stream import Fields

WEBRTC: Final = "webrtc"
ATTRIBUTES: Final = ("nodeId", "appKey", "name")
AUDIO: Final[dict[str, dict[str, Any]]] = {
    "opus": {"codec": "opus", "sampleRate": 48000, "channelNum": 2},
    "g722": {"codec": "g722", "sampleRate": 16000, "channelNum": 1},
    "alaw": {"codec": "pcma"},
    "ulaw": {"codec": "pcmu"},
    "mpeg4-generic": {"codec": "aac"},
}
VIDEO: Final[dict[str, dict[str, Any]]] = {"h264": {"codec": "h264", "profile": "CB"}}
USUAL_AUDIO: Final = "opus"
USUAL_VIDEO: Final = "h264"
LONGEST_CODEC: Final = 64


def attributes(fields: Fields) -> dict[str, Any]:
    """What is shown of a stream beside its tracks."""
    return {name: stream.text_of(fields.get(name)) or "" for name in ATTRIBUTES}


def media(fields: Fields) -> Media | None:
    """The tracks of a stream; `None` where it has none."""
    found = Media(
        Audio(_format(fields, "audioCodec", AUDIO, USUAL_AUDIO), "mic", _status(fields, "audioState"))
        if _has(fields, "hasAudio")
        else None,
        Video(
            (Layer(_format(fields, "videoCodec", VIDEO, USUAL_VIDEO), _parameters(fields)),),
            "camera",
            _status(fields, "videoState"),
        )
        if _has(fields, "hasVideo")
        else None,
    )
    return found if found.audio is not None or found.video is not None else None


def silent(fields: Fields) -> frozenset[str]:
    """The tracks of which a server does not say whether they flow."""
    states = {"audio": "audioState", "video": "videoState"}
    return frozenset(track for track, name in states.items() if _muted(fields, name) is None)


def _has(fields: Fields, name: str) -> bool:
    """Whether there is a track: unless it is said that there is none."""
    return fields.get(name) != "false"


def _format(fields: Fields, name: str, known: dict[str, dict[str, Any]], usual: str) -> dict[str, Any]:
    codec = (stream.text_of(fields.get(name)) or usual).strip().lower()[:LONGEST_CODEC] or usual
    return dict(known.get(codec, {"codec": codec}))


def _status(fields: Fields, name: str) -> str:
    return Status.INACTIVE if _muted(fields, name) else Status.ACTIVE


def _muted(fields: Fields, name: str) -> bool | None:
    """Whether a server says that a track is muted."""
    state = stream.value(fields[name]) if name in fields else None
    muted = state.get("muted") if isinstance(state, dict) else None
    return muted if isinstance(muted, bool) else None


def _parameters(fields: Fields) -> dict[str, Any]:
    width, height, fps = (_positive(fields, name) for name in ("width", "height", "fps"))
    found: dict[str, Any] = {}
    if width and height:
        found["resolution"] = {"width": width, "height": height}
    if fps:
        found["framerate"] = fps
    return found


def _positive(fields: Fields, name: str) -> int:
    """A whole number of more than 0 and not too many digits; else 0."""
    text = fields.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
