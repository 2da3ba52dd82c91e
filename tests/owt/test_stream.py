"""What a stream is answered as, and what else it can be had as (contract 8.2)."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.owt import layout, stream
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.layout import Input, Picture
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.wire.patch import Update
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


# Streaming-ins (8.3)

CONNECTION = {"url": "rtsp://camera.example/1"}


def asked(**fields) -> dict[str, Any]:
    """The body of a request for a streaming-in."""
    return {"connection": CONNECTION, "media": {"audio": "auto", "video": "auto"}} | fields


def test_what_a_streaming_in_is_when_little_is_said():
    found = stream.parse_streaming_in(asked())
    assert found == stream.StreamingIn(
        stream.Connection(CONNECTION["url"], "tcp", 8192, {}), True, True, None
    )


def test_everything_that_may_be_said_of_a_streaming_in():
    connection = CONNECTION | {
        "transportProtocol": "udp",
        "bufferSize": 0.5,
        "origin": {"isp": "i", "region": "r", "more": 1},
        "more": 1,
    }
    found = stream.parse_streaming_in(
        asked(
            connection=connection, media={"audio": True, "video": False}, attributes={}, type="streaming", x=1
        )
    )
    where = stream.Connection(CONNECTION["url"], "udp", 0.5, {"isp": "i", "region": "r"})
    assert found == stream.StreamingIn(where, True, False, {})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"connection": CONNECTION},
        {"media": {"audio": True, "video": True}},
        asked(connection=None),
        asked(connection={}),
        asked(connection={"url": 1}),
        asked(connection={"url": ""}),
        asked(connection=CONNECTION | {"transportProtocol": "sctp"}),
        asked(connection=CONNECTION | {"transportProtocol": ["tcp"]}),
        asked(connection=CONNECTION | {"bufferSize": "8192"}),
        asked(connection=CONNECTION | {"bufferSize": True}),
        asked(connection=CONNECTION | {"origin": "isp"}),
        asked(connection=CONNECTION | {"origin": {"isp": 1}}),
        asked(media=None),
        asked(media={"audio": True}),
        asked(media={"video": True}),
        asked(media={"audio": "yes", "video": True}),
        asked(media={"audio": 1, "video": True}),
        asked(media={"audio": None, "video": True}),
        asked(media={"audio": {}, "video": True}),
        asked(attributes=[]),
        asked(attributes=None),
    ],
)
def test_bad_streaming_ins(body):
    with pytest.raises(BadData):
        stream.parse_streaming_in(body)


def media(audio: Any = "auto", video: Any = "auto", **changes) -> Media:
    wanted = stream.parse_streaming_in(asked(media={"audio": audio, "video": video}))
    return stream.streaming_in(room(**changes), wanted)


def test_a_streaming_in_is_aac_and_h264_as_long_as_nobody_has_looked():
    expected = Media(
        Audio({"codec": "aac"}, "streaming"),
        Video((Layer({"codec": "h264", "profile": "CB"}),), "streaming"),
    )
    assert media() == media(True, True) == expected
    assert media(False) == Media(None, expected.video)
    assert media(video=False) == Media(expected.audio, None)


def test_a_room_that_takes_neither_gives_its_first_entries():
    found = media(
        mediaIn__audio=[{"codec": "acc"}, {"codec": "pcmu"}],
        mediaIn__video=[{"codec": "vp9"}, {"codec": "vp8"}],
    )
    assert found.audio is not None
    assert found.video is not None
    assert (found.audio.format, found.video.original[0].format) == ({"codec": "acc"}, {"codec": "vp9"})


def test_the_profile_of_a_rooms_h264_stays():
    found = media(mediaIn__video=[{"codec": "vp8"}, {"codec": "h264", "profile": "H"}]).video
    assert found is not None
    assert found.original[0].format == {"codec": "h264", "profile": "H"}


@pytest.mark.parametrize(
    ("audio", "video", "changes"),
    [(False, False, {}), (True, False, {"mediaIn__audio": []}), (False, "auto", {"mediaIn__video": []})],
)
def test_a_track_that_the_room_does_not_take_and_no_track_at_all_are_refused(audio, video, changes):
    with pytest.raises(Refused):
        media(audio, video, **changes)


def test_a_track_that_is_not_wanted_need_not_be_taken():
    assert media(True, False, mediaIn__video=[]).video is None


# Changes (8.4)

VIDS = {"common": "v1", "second": "v2"}


def changed(made: Forward, *updates, at: int = 5) -> Forward:
    return stream.change(made, stream.parse_changes([Update(*each) for each in updates]), VIDS, at)


@pytest.mark.parametrize(
    "update",
    [
        ("add", "/info/inViews", None),
        ("add", "/info/inViews", ["common"]),
        ("replace", "/info/inViews", "common"),
        ("move", "/info/inViews", "common"),
        ("add", "/info/inviews", "common"),
        ("replace", "/media/audio/status", "on"),
        ("replace", "/media/video/status", True),
        ("add", "/media/video/status", "active"),
        ("replace", "/media/data/status", "active"),
        ("replace", "/info/layout/0/stream", 1),
        ("replace", "/info/layout/-1/stream", "1"),
        ("replace", "/info/layout/x/stream", "1"),
        ("replace", "/info/layout/0/region", "1"),
        ("replace", "/info/layout/٣/stream", "1"),
        ("add", "/info/layout/0/stream", "1"),
        ("replace", "/info/layout", {}),
        ("add", "/info/layout", []),
        ("replace", "", ""),
    ],
)
def test_bad_changes(update):
    with pytest.raises(BadData):
        stream.parse_changes([Update("add", "/info/inViews", "common"), Update(*update)])


def test_a_stream_comes_into_a_view_and_leaves_it():
    inside = changed(PUBLISHED, ("add", "/info/inViews", "second"), ("add", "/info/inViews", "common"))
    assert inside.views == {"v2": 5, "v1": 5}
    assert stream.labels(inside, VIDS) == ["second", "common"]
    assert changed(inside, ("remove", "/info/inViews", "second"), at=9).views == {"v1": 5}


def test_adding_twice_and_removing_what_is_not_in_change_nothing():
    inside = changed(PUBLISHED, ("add", "/info/inViews", "common"))
    assert changed(inside, ("add", "/info/inViews", "common"), at=9) == inside
    assert changed(PUBLISHED, ("remove", "/info/inViews", "common")) == PUBLISHED
    assert changed(PUBLISHED) == PUBLISHED


def test_a_stream_that_leaves_and_comes_back_in_one_list_is_a_new_input():
    inside = changed(PUBLISHED, ("add", "/info/inViews", "common"))
    again = changed(inside, ("remove", "/info/inViews", "common"), ("add", "/info/inViews", "common"), at=9)
    assert again.views == {"v1": 9}


@pytest.mark.parametrize("track", ["audio", "video"])
def test_a_track_is_muted_and_back_d20(track):
    quiet = changed(PUBLISHED, ("replace", f"/media/{track}/status", "inactive"))
    assert getattr(quiet.media, track).status == "inactive"
    other = {"audio": "video", "video": "audio"}[track]
    assert getattr(quiet.media, other).status == "active"
    assert changed(quiet, ("replace", f"/media/{track}/status", "active")) == PUBLISHED


@pytest.mark.parametrize(
    "update",
    [
        ("add", "/info/inViews", "third"),
        ("add", "/info/inViews", ""),
        ("remove", "/info/inViews", "third"),
        ("replace", "/media/video/status", "inactive"),
        ("replace", "/info/layout", []),
        ("replace", "/info/layout/0/stream", "1"),
    ],
)
def test_refused_changes_of_a_forward_stream(update):
    with pytest.raises(Refused):
        changed(Forward("1", Media(audio=Audio({"codec": "opus"}))), update)


def picture(*names: str) -> Picture:
    (view,) = room().document["views"]
    return Picture(view, [Input(name, at) for at, name in enumerate(names)], None, "1")


def arranged(now: Picture, *updates) -> list[str | None]:
    after = stream.arrange(now, stream.parse_changes([Update(*each) for each in updates]))
    return [place.stream for place in layout.shown(after)]


def test_changes_of_a_mixed_stream_build_on_one_another():
    entries = [
        {"stream": name, "region": {"id": name, "shape": "rectangle", "area": dict.fromkeys(
            ("left", "top", "width", "height"), "1/2")}}
        for name in ("c", "a")
    ]  # fmt: skip
    assert arranged(
        picture("a", "b", "c"),
        ("replace", "/info/layout/0/stream", "b"),
        ("replace", "/info/layout", entries),
        ("replace", "/info/layout/1/stream", "c"),
    ) == ["a", "c"]


@pytest.mark.parametrize(
    "update",
    [
        ("add", "/info/inViews", "common"),
        ("replace", "/media/audio/status", "inactive"),
        ("replace", "/info/layout/9/stream", "a"),
        ("replace", "/info/layout/999999999999999999/stream", "a"),
        ("replace", "/info/layout/0/stream", "z"),
    ],
)
def test_refused_changes_of_a_mixed_stream(update):
    with pytest.raises(Refused):
        arranged(picture("a", "b"), update)


def test_the_inputs_of_a_view_stand_in_the_order_of_mixing():
    streams = [Forward(name, PUBLISHED.media, views=views) for name, views in
               {"c": {"v1": 1}, "b": {"v1": 2, "v2": 1}, "a": {"v1": 2}, "d": {"v2": 0}}.items()]  # fmt: skip
    assert [each.stream for each in stream.inputs(streams, "v1")] == ["c", "a", "b"]
    assert [each.stream for each in stream.inputs(streams, "v2")] == ["d", "b"]


def test_a_view_that_is_gone_is_no_label():
    assert stream.labels(Forward("1", PUBLISHED.media, views={"v0": 1, "v2": 2}), VIDS) == ["second"]
