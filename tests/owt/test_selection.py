"""What a subscription may take (contract 9, and of 10 and 11 what is about formats)."""

from typing import Any

import msgspec
import pytest

from chalicelib.owt import selection
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.selection import Options
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.wire.patch import Update
from tests.owt.documents import ROOM_ID, room

MIXED = f"{ROOM_ID}-common"
OPUS = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
AAC = {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
VIEW = {"resolution": {"width": 640, "height": 480}, "framerate": 24, "keyFrameInterval": 100}
VGA = {"width": 640, "height": 480}
CIF = {"width": 352, "height": 288}


def forward(number: str = "1", *, audio=None, video=None, parameters=None) -> Forward:
    return Forward(
        number,
        Media(
            Audio(audio or {"codec": "aac"}),
            Video((Layer(video or {"codec": "h264", "profile": "CB"}, parameters or {}),)),
        ),
    )


FORWARD = {
    "1": forward(),
    "sound": Forward("sound", Media(audio=Audio({"codec": "pcmu"}))),
    "sight": Forward("sight", Media(video=Video((Layer({"codec": "vp8"}, VIEW),)))),
}


def options(audio: Any = False, video: Any = False) -> Options:
    return selection.parse_options({"audio": audio, "video": video})


def choose(audio: Any = False, video: Any = False, made=None, streams=None, **how):
    return selection.choose(
        made or room(), FORWARD if streams is None else streams, options(audio, video), **how
    )


def refused(*given, **how) -> bool:
    with pytest.raises(Refused):
        choose(*given, **how)
    return True


# The form


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {"audio": False},
        {"video": False},
        {"audio": True, "video": False},
        {"audio": None, "video": False},
        {"audio": {}, "video": False},
        {"audio": {"from": 1}, "video": False},
        {"audio": {"from": ""}, "video": False},
        {"audio": "1", "video": False},
    ],
)
def test_what_does_not_say_of_which_stream_each_track_is_is_bad(value):
    with pytest.raises(BadData):
        selection.parse_options(value)


@pytest.mark.parametrize(
    "form",
    [
        None,
        "opus",
        [],
        {},
        {"codec": 1},
        {"codec": "mp3"},
        {"codec": ["opus"]},
        {"codec": "opus", "sampleRate": "48000"},
        {"codec": "opus", "channelNum": True},
    ],
)
def test_bad_audio_formats(form):
    with pytest.raises(BadData):
        options(audio={"from": "1", "format": form})


@pytest.mark.parametrize(
    "form",
    [
        None,
        [],
        {},
        {"codec": "opus"},
        {"codec": "av1"},
        {"codec": "h264", "profile": "X"},
        {"codec": "h264", "profile": None},
        {"codec": "h264", "profile": ["CB"]},
        {"codec": "vp8", "profile": 1},
    ],
)
def test_bad_video_formats(form):
    with pytest.raises(BadData):
        options(video={"from": "1", "format": form})


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        [],
        "x",
        {"resolution": None},
        {"resolution": "vga"},
        {"resolution": {"width": 1}},
        {"resolution": {"width": "1", "height": 1}},
        {"framerate": "24"},
        {"framerate": True},
        {"framerate": None},
        {"bitrate": None},
        {"bitrate": {}},
        {"bitrate": False},
        {"keyFrameInterval": "1"},
        {"keyFrameInterval": []},
    ],
)
def test_bad_parameters(parameters):
    with pytest.raises(BadData):
        options(video={"from": "1", "parameters": parameters})


@pytest.mark.parametrize(
    "codec", ["pcmu", "pcma", "opus", "g722", "iSAC", "iLBC", "AAC", "ac3", "nellymoser"]
)
def test_audio_codecs_are_known_in_any_case(codec):
    wish = options(audio={"from": "1", "format": {"codec": codec}}).audio
    assert wish is not None
    assert wish.format == {"codec": codec}


@pytest.mark.parametrize("codec", ["h264", "H265", "VP8", "vp9"])
@pytest.mark.parametrize("profile", ["CB", "B", "M", "H", "E"])
def test_video_codecs_are_known_in_any_case_and_profiles_as_they_are(codec, profile):
    wish = options(video={"from": "1", "format": {"codec": codec, "profile": profile}}).video
    assert wish is not None
    assert wish.format == {"codec": codec, "profile": profile}


def test_unknown_fields_are_ignored():
    found = selection.parse_options(
        {
            "audio": {"from": "1", "format": {"codec": "opus", "more": 1}, "x": None},
            "video": {"from": "1", "parameters": {"colour": 7}, "status": 3},
            "z": [],
        }
    )
    assert found == options(audio={"from": "1", "format": {"codec": "opus"}}, video={"from": "1"})


# What cannot be had


def test_neither_track_is_refused():
    assert refused(False, False)


def test_a_track_that_the_room_does_not_give_is_refused():
    assert refused({"from": MIXED}, made=room(mediaOut__audio=[]))
    assert refused(False, {"from": MIXED}, made=room(mediaOut__video__format=[]))
    assert choose(False, {"from": MIXED}, made=room(mediaOut__audio=[])).media["audio"] is False


@pytest.mark.parametrize("source", ["nobody", f"{ROOM_ID}-other", f"{ROOM_ID}-", "common", "sight"])
def test_a_source_without_that_audio_is_refused(source):
    assert refused({"from": source})


@pytest.mark.parametrize("source", ["nobody", f"{ROOM_ID}-other", "sound"])
def test_a_source_without_that_video_is_refused(source):
    assert refused(False, {"from": source})


def test_an_audio_only_view_is_no_source_of_video():
    made = room(views__0__video=False)
    assert refused(False, {"from": MIXED}, made=made)
    assert choose({"from": MIXED}, made=made).media["audio"]["from"] == MIXED


@pytest.mark.parametrize(
    ("form", "fits"),
    [
        ({"codec": "aac"}, True),  # the source's own
        (AAC, True),  # the room's
        (OPUS, True),
        ({"codec": "OPUS", "sampleRate": 48000, "channelNum": 2}, True),
        ({"codec": "opus"}, False),
        ({"codec": "opus", "sampleRate": 48000}, False),
        ({"codec": "opus", "sampleRate": 16000, "channelNum": 2}, False),
        ({"codec": "iSAC", "sampleRate": 16000}, True),
        ({"codec": "isac"}, False),
        ({"codec": "pcmu"}, True),
        ({"codec": "pcmu", "channelNum": 1}, False),
    ],
)
def test_an_audio_format_is_the_sources_or_one_of_its_optional(form, fits):
    given = {"from": "1", "format": form}
    if not fits:
        assert refused(given)
        return
    assert choose(given).media["audio"] == {"from": "1", "format": form, "status": "active"}


def test_without_transcoding_only_the_sources_audio_format_can_be_had():
    made = room(transcoding__audio=False)
    assert refused({"from": "1", "format": OPUS}, made=made)
    assert choose({"from": "1", "format": {"codec": "aac"}}, made=made)


def h264(profile: str | None) -> dict[str, str]:
    return {"codec": "h264"} | ({} if profile is None else {"profile": profile})


@pytest.mark.parametrize("given", ["CB", "B", "M", "H", "E", None])
@pytest.mark.parametrize("asked", ["CB", "B", "M", "H", "E", None])
def test_a_wanted_profile_must_not_rank_below_the_entrys(asked, given):
    order = ["CB", "B", "M", "H"]
    fits = asked not in order or given not in order or order.index(asked) >= order.index(given)
    streams = {"1": forward(video=h264(given))}
    made = room(transcoding__video__format=False)
    wish = {"from": "1", "format": h264(asked)}
    if not fits:
        assert refused(False, wish, made=made, streams=streams)
        return
    assert choose(False, wish, made=made, streams=streams).media["video"]["format"] == h264(asked)
    # The same against an entry of `optional`.
    other = {"1": forward(video={"codec": "vp8"})}
    assert choose(False, wish, made=room(mediaOut__video__format=[h264(given)]), streams=other)


def test_a_video_codec_is_the_sources_or_one_of_its_optional():
    assert choose(False, {"from": "1", "format": {"codec": "VP9"}}).media["video"]["format"] == {
        "codec": "VP9"
    }
    assert refused(False, {"from": "1", "format": {"codec": "h265"}})
    assert refused(
        False, {"from": "1", "format": {"codec": "vp8"}}, made=room(transcoding__video__format=False)
    )


@pytest.mark.parametrize("source", [MIXED, "sight"])
@pytest.mark.parametrize(
    ("parameters", "fits"),
    [
        ({"resolution": VGA}, True),
        ({"resolution": CIF}, True),
        ({"resolution": {"width": 1280, "height": 720}}, False),
        ({"resolution": {"width": 352.0, "height": 288}}, True),
        ({"framerate": 24}, True),
        ({"framerate": 15}, True),
        ({"framerate": 30}, False),
        ({"framerate": 7}, False),
        ({"keyFrameInterval": 100}, True),
        ({"keyFrameInterval": 2}, True),
        ({"keyFrameInterval": 3}, False),
        ({"bitrate": "x0.2"}, True),
        ({"bitrate": "x0.3"}, False),
        ({"bitrate": 500}, False),
        ({"bitrate": "x1"}, True),
        ({"bitrate": "x1.0"}, True),
        ({"resolution": CIF, "framerate": 6, "bitrate": "x0.4", "keyFrameInterval": 1}, True),
        ({"resolution": CIF, "framerate": 7}, False),
    ],
)
def test_parameters_are_the_sources_or_in_its_optional(source, parameters, fits):
    wish = {"from": source, "parameters": parameters}
    if not fits:
        assert refused(False, wish)
        return
    wanted = {} if parameters.get("bitrate") in ("x1", "x1.0") else parameters
    expected = {**VIEW, **wanted} if source == MIXED else wanted
    found = choose(False, wish).media["video"]
    assert found.get("parameters", {}) == expected


def test_a_bitrate_of_the_rooms_list_may_be_a_number():
    made = room(mediaOut__video__parameters__bitrate=[500, 1000])
    found = choose(False, {"from": "1", "parameters": {"bitrate": 500}}, made=made)
    assert found.media["video"]["parameters"] == {"bitrate": 500}


def test_the_sources_own_bitrate_is_no_choice():
    streams = {"1": forward(parameters={"bitrate": 700})}
    assert refused(False, {"from": "1", "parameters": {"bitrate": 700}}, streams=streams)


@pytest.mark.parametrize("name", ["framerate", "bitrate", "keyFrameInterval", "resolution"])
def test_what_is_not_transcoded_can_only_be_had_as_it_is(name):
    made = room(**{f"transcoding__video__parameters__{name}": False})
    other = {"framerate": 6, "bitrate": "x0.2", "keyFrameInterval": 1, "resolution": CIF}[name]
    assert refused(False, {"from": "sight", "parameters": {name: other}}, made=made)
    if name != "bitrate":
        assert choose(False, {"from": "sight", "parameters": {name: VIEW[name]}}, made=made)


def test_a_source_of_unknown_resolution_takes_any():
    wish = {"from": "1", "parameters": {"resolution": {"width": 9999, "height": 7}}}
    assert choose(False, wish).media["video"]["parameters"]["resolution"] == {"width": 9999, "height": 7}
    assert refused(False, {"from": "1", "parameters": {"framerate": 30}})
    assert refused(False, {"from": "1", "parameters": {"keyFrameInterval": 7}})


def test_simulcast_can_be_had_in_any_of_its_layers_and_nothing_else():
    layers = (
        Layer({"codec": "vp8"}, {"resolution": VGA}, "h"),
        Layer({"codec": "vp8"}, {"resolution": CIF}, "l"),
    )
    streams = {"1": Forward("1", Media(video=Video(layers)))}
    for size in (VGA, CIF):
        assert choose(False, {"from": "1", "parameters": {"resolution": size}}, streams=streams)
    assert refused(
        False, {"from": "1", "parameters": {"resolution": {"width": 1, "height": 1}}}, streams=streams
    )
    assert refused(False, {"from": "1", "format": {"codec": "vp9"}}, streams=streams)


# As it is answered


def test_from_a_mixed_stream_the_format_and_parameters_are_the_views():
    assert choose({"from": MIXED}, {"from": MIXED}).media == {
        "audio": {"from": MIXED, "format": OPUS, "status": "active"},
        "video": {"from": MIXED, "format": {"codec": "vp8"}, "status": "active", "parameters": VIEW},
    }


def test_from_a_mixed_stream_wanted_parameters_lie_on_top():
    found = choose(False, {"from": MIXED, "parameters": {"bitrate": "x0.2", "framerate": 6}})
    assert found.media["audio"] is False
    assert found.media["video"]["parameters"] == {**VIEW, "bitrate": "x0.2", "framerate": 6}


def test_from_a_forward_stream_only_wanted_parameters_are_shown():
    assert choose({"from": "sound"}, {"from": "sight"}).media == {
        "audio": {"from": "sound", "format": {"codec": "pcmu"}, "status": "active"},
        "video": {"from": "sight", "format": {"codec": "vp8"}, "status": "active"},
    }
    found = choose(False, {"from": "sight", "parameters": {"framerate": 15}})
    assert found.media["video"]["parameters"] == {"framerate": 15}


def test_the_sources_are_named_once_each():
    assert choose({"from": MIXED}, {"from": MIXED}).sources == [MIXED]
    assert choose({"from": "sound"}, {"from": "sight"}).sources == ["sound", "sight"]
    assert options(video={"from": "x"}).sources == ["x"]


# Streaming-outs (10)


def test_what_is_sent_out_is_aac_and_h264_whatever_was_wanted_d25():
    found = choose(
        {"from": MIXED, "format": {"codec": "pcmu"}}, {"from": MIXED, "format": {"codec": "vp9"}}, sent=True
    )
    assert found.media["audio"] == {"from": MIXED, "format": AAC, "status": "active"}
    assert found.media["video"]["format"] == {"codec": "h264", "profile": "CB"}
    assert found.media["video"]["parameters"] == VIEW


def test_what_is_sent_out_is_not_checked_against_the_source():
    made = room(transcoding__audio=False, transcoding__video__format=False)
    found = choose({"from": "sound"}, {"from": "sight"}, made=made, sent=True)
    assert found.media["audio"]["format"] == AAC
    assert found.media["video"]["format"] == {"codec": "h264", "profile": "CB"}


def test_nothing_is_sent_out_of_a_room_without_aac():
    assert refused({"from": MIXED}, made=room(mediaOut__audio=[OPUS, "aac", None]), sent=True)
    assert choose(False, {"from": MIXED}, made=room(mediaOut__audio=[OPUS]), sent=True)


def test_of_several_aac_entries_the_first_counts():
    made = room(mediaOut__audio=[OPUS, {"codec": "AAC", "sampleRate": 44100}, AAC])
    found = choose({"from": MIXED}, made=made, sent=True)
    assert found.media["audio"]["format"] == {"codec": "aac", "sampleRate": 44100}


def test_parameters_of_what_is_sent_out_are_checked():
    assert refused(False, {"from": MIXED, "parameters": {"framerate": 7}}, sent=True)
    assert refused({"from": "nobody"}, sent=True)


# Recordings (11)


@pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma", "aac"])
def test_a_recording_takes_these_audio_codecs(codec):
    assert choose({"from": "1"}, streams={"1": forward(audio={"codec": codec})}, recorded=True)


@pytest.mark.parametrize("codec", ["g722", "isac", "ilbc", "ac3", "nellymoser"])
def test_a_recording_refuses_other_audio_codecs(codec):
    streams = {"1": forward(audio={"codec": codec})}
    assert refused({"from": "1"}, streams=streams, recorded=True)
    assert choose({"from": "1"}, streams=streams)
    assert refused({"from": "sound", "format": {"codec": "ac3"}}, recorded=True)


@pytest.mark.parametrize(
    ("audio", "video", "container"),
    [
        ("aac", None, "mp4"),
        ("aac", "h264", "mp4"),
        ("aac", "h265", "mp4"),
        ("aac", "vp8", "mkv"),
        ("opus", "h264", "mkv"),
        ("opus", None, "mkv"),
        (None, "h264", "mkv"),
        (None, "vp8", "mkv"),
    ],
)
def test_auto_is_mp4_for_aac_with_h264_or_nothing_and_mkv_else(audio, video, container):
    streams = {"1": forward(audio={"codec": audio or "x"}, video={"codec": video or "x"})}
    found = choose(audio is not None and {"from": "1"}, video is not None and {"from": "1"}, streams=streams)
    assert selection.container("auto", found) == container
    assert selection.container("mkv", found) == "mkv"
    fits_mp4 = audio in (None, "aac") and video in (None, "h264", "h265")
    if fits_mp4:
        assert selection.container("mp4", found) == "mp4"
    else:
        with pytest.raises(BadData):
            selection.container("mp4", found)


def test_mp4_is_judged_by_the_asked_format_d18():
    asked = choose({"from": MIXED, "format": AAC})
    assert selection.container("mp4", asked) == "mp4"
    with pytest.raises(BadData, match="mp4 needs aac audio"):
        selection.container("mp4", choose({"from": MIXED}))


# Changes (9.1)


def changed(chosen, *updates, made=None, streams=None, prefix="", **how):
    """The selection after these updates."""
    changes = selection.parse_changes([Update("replace", *each) for each in updates], prefix)
    wanted = selection.change(chosen.options, changes)
    return selection.choose(made or room(), FORWARD if streams is None else streams, wanted, **how)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/media/audio/from", None),
        ("/media/audio/from", ""),
        ("/media/video/from", 1),
        ("/media/video/parameters/resolution", "vga"),
        ("/media/video/parameters/resolution", {"width": 1}),
        ("/media/video/parameters/framerate", 7),
        ("/media/video/parameters/framerate", "24"),
        ("/media/video/parameters/framerate", [24]),
        ("/media/video/parameters/bitrate", "x1"),
        ("/media/video/parameters/bitrate", 500),
        ("/media/video/parameters/bitrate", None),
        ("/media/video/parameters/keyFrameInterval", 3),
        ("/media/video/parameters/keyFrameInterval", True),
        ("/media/audio/status", "muted"),
        ("/media/video/status", None),
        ("/media/video/status", {}),
        ("/media/audio/format", {}),
        ("/media/audio", False),
        ("", {}),
        ("/media/video/from/", "1"),
        ("/output/media/audio/from", "1"),
    ],
)
def test_bad_changes(path, value):
    with pytest.raises(BadData):
        selection.parse_changes([Update("replace", path, value)])


@pytest.mark.parametrize("op", ["add", "remove", "test"])
def test_only_replace_changes_a_selection(op):
    with pytest.raises(BadData):
        selection.parse_changes([Update(op, "/media/audio/from", "1")])


def test_the_changes_of_a_call_are_below_output():
    (found,) = selection.parse_changes(
        [Update("replace", "/output/media/video/status", "inactive")], "/output"
    )
    assert (found.track, found.field, found.value) == ("video", "status", "inactive")
    for path in ("/media/video/status", "/outputs/media/video/status", "/output"):
        with pytest.raises(BadData):
            selection.parse_changes([Update("replace", path, "inactive")], "/output")


def test_a_change_of_a_track_that_is_off_is_refused():
    with pytest.raises(Refused):
        changed(choose({"from": MIXED}), ("/media/video/from", MIXED))
    with pytest.raises(Refused):
        changed(choose({"from": MIXED}), ("/media/video/status", "active"))


def test_no_changes_leave_the_selection_as_it_is():
    first = choose({"from": MIXED}, {"from": MIXED, "parameters": {"bitrate": "x0.4"}})
    assert changed(first) == first


def test_a_new_source_keeps_the_format_and_the_wanted_parameters():
    first = choose({"from": MIXED}, {"from": MIXED, "parameters": {"framerate": 15}})
    second = changed(first, ("/media/audio/from", "1"), ("/media/video/from", "1"))
    assert second.media == {
        "audio": {"from": "1", "format": OPUS, "status": "active"},
        "video": {
            "from": "1",
            "format": {"codec": "vp8"},
            "status": "active",
            "parameters": {"framerate": 15},
        },
    }
    assert second.sources == ["1"]


def test_parameters_that_came_from_the_old_source_are_taken_from_the_new_one():
    first = choose(False, {"from": "1", "format": {"codec": "vp8"}, "parameters": {"framerate": 15}})
    second = changed(first, ("/media/video/from", MIXED))
    assert second.media["video"]["parameters"] == {**VIEW, "framerate": 15}
    assert changed(second, ("/media/video/from", "1")).media == first.media


def test_a_new_source_that_does_not_offer_the_format_is_refused():
    made = room(transcoding__audio=False)
    first = choose({"from": MIXED}, made=made)
    with pytest.raises(Refused):
        changed(first, ("/media/audio/from", "1"), made=made)
    with pytest.raises(Refused):
        changed(first, ("/media/audio/from", "nobody"))
    with pytest.raises(Refused):
        changed(first, ("/media/audio/from", "sight"))


def test_changed_parameters_are_checked_and_shown_as_asked():
    first = choose(False, {"from": MIXED})
    second = changed(
        first,
        ("/media/video/parameters/resolution", CIF),
        ("/media/video/parameters/framerate", 12),
        ("/media/video/parameters/bitrate", "x0.6"),
        ("/media/video/parameters/keyFrameInterval", 5),
        ("/media/video/status", "inactive"),
    )
    assert second.media["video"] == {
        "from": MIXED,
        "format": {"codec": "vp8"},
        "status": "inactive",
        "parameters": {"resolution": CIF, "framerate": 12, "bitrate": "x0.6", "keyFrameInterval": 5},
    }
    with pytest.raises(Refused):
        changed(first, ("/media/video/parameters/framerate", 60))


def test_later_changes_win_and_the_whole_is_judged_at_the_end():
    first = choose(False, {"from": "1", "format": {"codec": "vp8"}})
    second = changed(first, ("/media/video/from", "nobody"), ("/media/video/from", MIXED))
    assert second.media["video"]["from"] == MIXED
    third = changed(
        first, ("/media/video/parameters/framerate", 60), ("/media/video/parameters/framerate", 6)
    )
    assert third.media["video"]["parameters"] == {"framerate": 6}


def test_what_is_sent_out_stays_aac_and_h264_when_its_source_changes():
    first = choose({"from": MIXED}, {"from": MIXED}, sent=True)
    made = room(transcoding__audio=False, transcoding__video__format=False)
    second = changed(
        first, ("/media/audio/from", "sound"), ("/media/video/from", "sight"), made=made, sent=True
    )
    assert second.media["audio"]["format"] == AAC
    assert second.media["video"] == {
        "from": "sight",
        "format": {"codec": "h264", "profile": "CB"},
        "status": "active",
    }


def test_the_wishes_are_stored_as_json():
    first = choose({"from": MIXED}, {"from": "1", "parameters": {"bitrate": "x0.4"}})
    again = msgspec.json.decode(msgspec.json.encode(first.options), type=Options)
    assert again == first.options
    assert selection.choose(room(), FORWARD, again) == first
