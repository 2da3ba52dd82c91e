"""What a media worker says that a stream has, in the shape of the management API's answers (contract 8.2)."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chalicelib.owt import stream
from chalicelib.owt.errors import BadData
from chalicelib.owt.stream import Audio, Layer, Media, Video
from tests.owt.documents import room

AAC = {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
H264 = {"codec": "h264", "profile": "CB"}
HD = {
    "resolution": {"width": 1280, "height": 720},
    "framerate": 29.97,
    "bitrate": 2000,
    "keyFrameInterval": 2,
}
SIMULCAST = Video(
    (Layer(H264, HD, "h"), Layer(H264, {"resolution": {"width": 640, "height": 360}}, "l")), "camera"
)

STREAMS = [
    Media(Audio(AAC, "mic")),
    Media(None, Video((Layer(H264, HD),), "screen-cast", "inactive")),
    Media(Audio({"codec": "opus"}), Video((Layer({"codec": "vp8"}),))),
    Media(None, SIMULCAST),
]


@pytest.mark.parametrize("media", STREAMS)
@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_what_is_answered_can_be_reported_again(media, version):
    answered = msgspec.json.decode(
        msgspec.json.encode(stream.info(stream.Forward("1", media), room(), [], version)["media"])
    )
    expected = media
    if version == "v1" and media.video is SIMULCAST:
        # v1 shows the first encoding only, and not its name.
        first = msgspec.structs.replace(SIMULCAST.original[0], rid=None)
        expected = Media(None, msgspec.structs.replace(SIMULCAST, original=(first,)))
    assert stream.parse_media(answered) == expected


def test_unknown_fields_and_nulls_are_left_out():
    read = stream.parse_media(
        {
            "audio": {"format": {"codec": "opus", "x": 1, "sampleRate": None}, "optional": 5, "source": None},
            "video": {"original": None, "format": {"codec": "av1", "profile": None}, "parameters": None},
            "data": 3,
        }
    )
    assert read == Media(Audio({"codec": "opus"}), Video((Layer({"codec": "av1"}),)))


AUDIO = {"format": {"codec": "opus"}}


def bad() -> Iterator[Any]:
    """What is not media."""
    value: Any
    yield from (None, 5, "x", [], True, {}, {"audio": False, "video": False})
    for value in (None, True, 5, "auto", [], {}, {"format": None}, {"format": {}}):
        yield {"audio": value}
        yield {"audio": AUDIO, "video": value}
    for value in ("", 5, [], {}, "x" * 129):
        yield {"audio": {"format": {"codec": value}}}
        yield {"audio": {**AUDIO, "status": value}}
        yield {"audio": {**AUDIO, "source": value}}
        yield {"video": {"format": H264, "parameters": value}} if value != {} else None
    for value in (True, -1, "x", [], {}, 10**400):
        yield {"audio": {"format": {"codec": "opus", "sampleRate": value}}}
        yield {"video": {"format": H264, "parameters": {"framerate": value}}}
    for value in (0, 1.5, 257, True):
        yield {"audio": {"format": {"codec": "opus", "channelNum": value}}}
    for value in ([], {}, 5, "x", [5], [None], [{}], [{"format": 5}]):
        yield {"video": {"original": value}}
    for value in (5, "hd", [], {}, {"width": 1}, {"width": 0, "height": 1}, {"width": 1.5, "height": 1}):
        yield {"video": {"format": H264, "parameters": {"resolution": value}}}
    yield {"video": {"original": [{"format": H264}] * 2}}
    yield {"video": {"original": [{"format": H264, "simulcastRid": "a"}] * 2}}
    yield {"video": {"original": [{"format": H264, "simulcastRid": str(n)} for n in range(17)]}}


@pytest.mark.parametrize("value", list(bad()))
def test_anything_else_is_bad_data(value):
    with pytest.raises(BadData):
        stream.parse_media(value)
