"""Values of any type in any place of what callers send about streams: refused, never a fault of ours."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import ValidationError
from chalicelib.owt import selection, stream
from chalicelib.owt.errors import Refused
from chalicelib.owt.layout import Input, Picture
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.wire import patch
from tests.owt.documents import ROOM_ID, room

ROOM = room()
MADE = Forward("1", Media(Audio({"codec": "aac"}), Video((Layer({"codec": "h264", "profile": "CB"}),))))
AREA = {"left": "0", "top": 0.5, "width": "1/2", "height": 1}
SOMETHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(
        ["1", "common", f"{ROOM_ID}-common", "active", "add", "replace", "x1", "h264", "1/0", "9" * 20]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)

STREAMING_IN = {
    "connection": {
        "url": "u",
        "transportProtocol": "tcp",
        "bufferSize": 1,
        "origin": {"isp": "i", "region": "r"},
    },
    "media": {"audio": "auto", "video": True},
    "attributes": {"a": 1},
}
OPTIONS: Any = {
    "audio": {"from": "1", "format": {"codec": "opus", "sampleRate": 48000, "channelNum": 2}},
    "video": {
        "from": f"{ROOM_ID}-common",
        "format": {"codec": "h264", "profile": "B"},
        "parameters": {
            "resolution": {"width": 320, "height": 240},
            "framerate": 15,
            "bitrate": "x0.8",
            "keyFrameInterval": 5,
        },
    },
}
UPDATES = [
    {"op": "add", "path": "/info/inViews", "value": "common"},
    {"op": "replace", "path": "/media/audio/status", "value": "inactive"},
]
ARRANGING = [
    {"op": "replace", "path": "/info/layout/0/stream", "value": "1"},
    {
        "op": "replace",
        "path": "/info/layout",
        "value": [{"stream": "1", "region": {"id": "a", "shape": "rectangle", "area": AREA}}],
    },
]
SELECTING = [
    {"op": "replace", "path": "/media/video/parameters/resolution", "value": {"width": 320, "height": 240}},
    {"op": "replace", "path": "/media/video/parameters/bitrate", "value": "x0.8"},
    {"op": "replace", "path": "/media/audio/from", "value": "1"},
]


def bring_in(body: Any) -> Any:
    return stream.info(
        Forward("2", stream.streaming_in(ROOM, stream.parse_streaming_in(body))), ROOM, [], "v1.1"
    )


def choose(body: Any) -> Any:
    return selection.choose(ROOM, {"1": MADE}, selection.parse_options(body)).media


def change(body: Any) -> Any:
    return stream.change(MADE, stream.parse_changes(patch.parse(body)), {"common": "v"}, 1)


def arrange(body: Any) -> Any:
    (view,) = ROOM.document["views"]
    return stream.arrange(Picture(view, [Input("1", 0)]), stream.parse_changes(patch.parse(body)))


def rechoose(body: Any) -> Any:
    wanted = selection.change(selection.parse_options(OPTIONS), selection.parse_changes(patch.parse(body)))
    return selection.choose(ROOM, {"1": MADE}, wanted).media


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside another."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(found for name, each in inside for found in places(each, (*way, name)))]


def replaced(value: Any, way: tuple[Any, ...], other: Any) -> Any:
    if not way:
        return other
    whole = inside = copy.deepcopy(value)
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = other
    return whole


@pytest.mark.parametrize(
    ("body", "serve"),
    [
        (STREAMING_IN, bring_in),
        (OPTIONS, choose),
        (UPDATES, change),
        (ARRANGING, arrange),
        (SELECTING, rechoose),
    ],
    ids=["streaming-in", "selection", "stream", "layout", "subscription"],
)
@given(data=st.data())
def test_whatever_stands_somewhere_is_taken_or_refused(body: Any, serve: Callable[[Any], Any], data):
    serve(body)
    confused = replaced(body, data.draw(st.sampled_from(places(body))), data.draw(SOMETHING))
    try:
        serve(confused)
    except (ValidationError, Refused):
        return
