"""What a stream is answered as, and what else it can be had as (contract 8.2)."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.owt import layout, stream
from chalicelib.owt.layout import Input, Picture
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from tests.owt.documents import ROOM_ID, room

H264 = {"codec": "h264", "profile": "CB"}
HD = {"resolution": {"width": 1280, "height": 720}, "framerate": 30}

PUBLISHED = Forward(
    id="302633773626424640",
    media=Media(Audio({"codec": "aac"}, "streaming"), Video((Layer(H264, HD),), "streaming")),
)


def sizes(*pairs: str) -> list[dict[str, int]]:
    """`"960x540"` as a resolution."""
    return [{"width": int(one), "height": int(other)} for one, other in (each.split("x") for each in pairs)]


def optional(parameters=None, form=None, **changes) -> dict[str, Any]:
    """`optional` of a video track in the default room."""
    return stream.optional_video(Video((Layer(form or H264, parameters or {}),)), room(**changes))


# The two shapes


def test_a_forward_stream_in_the_shape_of_v1_1_is_the_guides_example():
    document = room()
    spelled = stream.info(PUBLISHED, document, [], "v1.1")
    assert json.loads(msgspec.json.encode(spelled)) == {
        "id": "302633773626424640",
        "type": "forward",
        "media": {
            "audio": {
                "status": "active",
                "source": "streaming",
                "format": {"codec": "aac"},
                # The room's aac has a sample rate: it is another format than the track's.
                "optional": {"format": document.document["mediaOut"]["audio"]},
            },
            "video": {
                "status": "active",
                "source": "streaming",
                "original": [{"format": H264, "parameters": HD}],
                "optional": {
                    "format": [{"codec": "vp8"}, {"codec": "h264", "profile": "B"}, {"codec": "vp9"}],
                    "parameters": {
                        "resolution": sizes(
                            "960x540",
                            "852x480",
                            "640x360",
                            "426x240",
                            "320x180",
                            "800x600",
                            "640x480",
                            "320x240",
                            "352x288",
                        ),
                        "framerate": [6, 12, 15, 24],
                        "bitrate": ["x0.8", "x0.6", "x0.4", "x0.2"],
                        "keyFrameInterval": [100, 30, 5, 2, 1],
                    },
                },
            },
        },
        "info": {"owner": "admin", "type": "streaming", "inViews": []},
    }


def test_v1_has_the_first_original_in_the_track_itself():
    new, old = (stream.info(PUBLISHED, room(), ["common"], version) for version in ("v1.1", "v1"))
    (first,) = new["media"]["video"].pop("original")
    assert old == {**new, "media": {**new["media"], "video": {**new["media"]["video"], **first}}}
    assert old["media"]["video"]["format"] == H264
    assert old["media"]["video"]["parameters"] == HD
    assert old["info"]["inViews"] == ["common"]


def test_a_disabled_track_is_false_d17():
    for version in ("v1", "v1.1"):
        sound = stream.info(Forward("1", Media(audio=Audio({"codec": "opus"}))), room(), [], version)
        sight = stream.info(Forward("1", Media(video=Video((Layer(H264),)))), room(), [], version)
        assert sound["media"]["video"] is False
        assert sight["media"]["audio"] is False


def test_simulcast_lists_every_layer_and_offers_nothing_else():
    layers = (Layer(H264, HD, "h"), Layer(H264, {"resolution": {"width": 320, "height": 180}}, "l"))
    made = Forward("1", Media(video=Video(layers, "camera")), "p1", "webrtc")
    track = stream.info(made, room(), [], "v1.1")["media"]["video"]
    assert track == {
        "status": "active",
        "source": "camera",
        "original": [
            {"format": H264, "parameters": HD, "simulcastRid": "h"},
            {
                "format": H264,
                "parameters": {"resolution": {"width": 320, "height": 180}},
                "simulcastRid": "l",
            },
        ],
    }
    assert stream.info(made, room(), [], "v1")["media"]["video"] == {
        "status": "active",
        "source": "camera",
        "format": H264,
        "parameters": HD,
    }


def test_owner_type_and_attributes_of_a_published_stream():
    made = Forward("1", PUBLISHED.media, "p1", "webrtc", {"from": "here", "list": [1.5, None]})
    assert stream.info(made, room(), ["a", "b"], "v1.1")["info"] == {
        "owner": "p1",
        "type": "webrtc",
        "inViews": ["a", "b"],
        "attributes": {"from": "here", "list": [1.5, None]},
    }


def test_a_muted_track_is_inactive():
    made = Forward("1", Media(Audio({"codec": "opus"}, "mic", "inactive"), None))
    assert stream.info(made, room(), [], "v1")["media"]["audio"]["status"] == "inactive"


def test_a_track_without_known_parameters_has_none():
    made = Forward("1", Media(video=Video((Layer(H264),), "streaming")))
    assert stream.info(made, room(), [], "v1.1")["media"]["video"]["original"] == [{"format": H264}]
    assert "parameters" not in stream.info(made, room(), [], "v1")["media"]["video"]


@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_a_mixed_stream_is_what_its_view_is_set_to(version):
    made = room()
    (view,) = made.document["views"]
    places = layout.shown(Picture(view, [Input("7", 0)]))
    spelled = stream.mixed(made, view, places, version)
    assert (spelled["id"], spelled["type"]) == (f"{ROOM_ID}-common", "mixed")
    assert spelled["info"]["label"] == "common"
    assert spelled["info"]["activeInput"] == "unknown"
    assert spelled["info"]["layout"] == [
        {
            "stream": "7",
            "region": {
                "id": "1",
                "shape": "rectangle",
                "area": {"left": "0/1", "top": "0/1", "width": "1/1", "height": "1/1"},
            },
        }
    ]
    audio, video = spelled["media"]["audio"], spelled["media"]["video"]
    assert audio["status"] == video["status"] == "active"
    assert audio["format"] == {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
    assert audio["format"] not in audio["optional"]["format"]
    own = video["original"][0] if version == "v1.1" else video
    assert own["format"] == {"codec": "vp8"}
    assert own["parameters"] == view["video"]["parameters"]
    assert ("original" in video) is (version == "v1.1")
    assert video["optional"]["parameters"]["resolution"] == sizes(
        "480x360", "426x320", "320x240", "212x160", "160x120", "352x288"
    )
    assert video["optional"]["parameters"]["framerate"] == [6, 12, 15]


def test_an_audio_only_view_has_no_video():
    made = room(views__0__video=False)
    (view,) = made.document["views"]
    spelled = stream.mixed(made, view, (), "v1.1")
    assert spelled["media"]["video"] is False
    assert spelled["info"]["layout"] == []


# optional


def test_audio_is_offered_in_the_rooms_formats_without_its_own():
    own = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
    found = stream.optional_audio(
        Audio(own), room(mediaOut__audio=[own, {"codec": "opus"}, {"codec": "pcmu"}])
    )
    assert found == {"format": [{"codec": "opus"}, {"codec": "pcmu"}]}


def test_audio_without_transcoding_is_offered_as_it_is():
    assert stream.optional_audio(Audio({"codec": "aac"}), room(transcoding__audio=False)) == {}
    made = stream.info(PUBLISHED, room(transcoding__audio=False), [], "v1.1")
    assert "optional" not in made["media"]["audio"]


def test_video_is_offered_in_the_rooms_formats_without_its_own_codec_and_profile():
    formats = [{"codec": "h264"}, H264, {"codec": "h264", "profile": "B"}]
    assert optional(mediaOut__video__format=formats)["format"] == [formats[0], formats[2]]
    assert optional(form={"codec": "h264"}, mediaOut__video__format=formats)["format"] == formats[1:]


@pytest.mark.parametrize("name", ["resolution", "framerate", "bitrate", "keyFrameInterval"])
def test_each_parameter_is_offered_only_while_its_transcoding_is_on(name):
    assert name not in optional(**{f"transcoding__video__parameters__{name}": False})["parameters"]
    others = {"resolution", "framerate", "bitrate", "keyFrameInterval"} - {name}
    assert optional(**{f"transcoding__video__parameters__{name}": False})["parameters"].keys() == others


def test_nothing_is_offered_while_all_transcoding_is_off():
    off = dict.fromkeys(("resolution", "framerate", "bitrate", "keyFrameInterval"), False)
    changes = {"transcoding__video__format": False, "transcoding__video__parameters": off}
    assert optional(**changes) == {}
    assert "format" not in optional(transcoding__video__format=False)


def test_the_default_list_for_640x480_is_the_contracts():
    found = optional({"resolution": {"width": 640, "height": 480}})["parameters"]["resolution"]
    assert found == sizes("480x360", "426x320", "320x240", "212x160", "160x120", "352x288")


def test_an_unknown_resolution_counts_as_640x480():
    assert optional() == optional({"resolution": {"width": 640, "height": 480}})


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("xga", "1024x768"),
        ("svga", "800x600"),
        ("vga", "640x480"),
        ("hvga", "480x320"),
        ("cif", "352x288"),
        ("qvga", "320x240"),
        ("qcif", "176x144"),
        ("hd720p", "1280x720"),
        ("hd1080p", "1920x1080"),
        ("r500x300", "500x300"),
        ("r7x5", "7x5"),
        ("x1/2", "1000x1000"),
        ("x1/3", "666x666"),
        ("x2/7", "570x570"),
        ("x999/1000", "1998x1998"),
    ],
)
def test_the_names_of_resolutions(name, size):
    assert stream.smaller([name], (2001, 2001)) == sizes(size)


@pytest.mark.parametrize(
    "name",
    ["", "uhd", "x", "x1", "x1/0", "r1", "rAxB", "x0.5", "VGA", "r10x", 5, None, {"width": 1}, ["vga"], True],
)
def test_unknown_names_of_resolutions_drop_out(name):
    assert stream.smaller([name, "qcif"], (640, 480)) == sizes("176x144")


def test_only_what_is_smaller_in_both_dimensions_is_offered():
    names = ["r640x400", "r600x480", "r700x100", "r639x479", "x1/1", "x3/2"]
    assert stream.smaller(names, (640, 480)) == sizes("639x479")


def test_of_equal_resolutions_the_first_stays():
    assert stream.smaller(["qvga", "x1/2", "cif", "r320x240"], (640, 480)) == sizes("320x240", "352x288")


@given(
    parts=st.lists(st.tuples(st.integers(0, 64), st.integers(1, 64)), max_size=8),
    width=st.integers(2, 4096),
    height=st.integers(2, 4096),
)
def test_parts_are_rounded_down_to_even_and_each_size_comes_once(parts, width, height):
    found = stream.smaller([f"x{above}/{below}" for above, below in parts], (width, height))
    assert len({(each["width"], each["height"]) for each in found}) == len(found)
    exact = {(above * width // below // 2 * 2, above * height // below // 2 * 2) for above, below in parts}
    for each in found:
        assert each["width"] < width
        assert each["height"] < height
        assert (each["width"], each["height"]) in exact
    assert len(found) == len([1 for one, other in exact if one < width and other < height])


@pytest.mark.parametrize(
    ("own", "found"),
    [({}, [6, 12, 15, 24]), ({"framerate": 24}, [6, 12, 15]), ({"framerate": 60}, [6, 12, 15, 24, 30, 48])],
)
def test_framerates_below_the_tracks_are_offered_thirty_if_unknown(own, found):
    assert optional(own)["parameters"]["framerate"] == found


def test_bitrates_and_intervals_are_offered_as_they_are():
    changes = {"mediaOut__video__parameters__bitrate": [500, "x0.5"],
               "mediaOut__video__parameters__keyFrameInterval": [7, "a"]}  # fmt: skip
    found = optional(**changes)["parameters"]
    assert (found["bitrate"], found["keyFrameInterval"]) == ([500, "x0.5"], [7, "a"])


def test_odd_entries_of_a_rooms_lists_do_no_harm_d12():
    odd: list[Any] = ["opus", None, 5, [], {"codec": 7}, {}]
    assert stream.optional_audio(Audio({"codec": "aac"}), room(mediaOut__audio=odd))["format"] == odd
    assert optional(mediaOut__video__format=odd)["format"] == odd
    assert optional(mediaOut__video__parameters__framerate=["30", 5, None, True])["parameters"][
        "framerate"
    ] == [5]


# Kept


def test_a_forward_stream_is_stored_as_json():
    made = Forward("1", PUBLISHED.media, "p1", "webrtc", {"a": 1}, 17, {"v": 18})
    assert msgspec.json.decode(msgspec.json.encode(made), type=Forward) == made


def test_what_a_stream_of_the_room_offers_whichever_kind_it_is():
    made = room()
    assert stream.offered(made, f"{ROOM_ID}-common", {}) == stream.mixed_media(made.document["views"][0])
    assert stream.offered(made, "1", {"1": PUBLISHED}) is PUBLISHED.media
    assert stream.offered(made, f"{ROOM_ID}-other", {}) is None
    assert stream.offered(made, "2", {"1": PUBLISHED}) is None
    assert stream.offered(made, "common", {}) is None


def test_only_streams_of_analytics_are_outside_the_input_limit():
    assert PUBLISHED.counts
    assert not Forward("1", PUBLISHED.media, "a", "analytics").counts
