"""Streaming-outs, recordings, calls, analytics: what is asked for and what comes of it (contract 9-12)."""

import json

import msgspec
import pytest

from chalicelib.owt import selection, subscription
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.owt.subscription import Analysis, Call, Recording, StreamingOut
from chalicelib.wire import patch
from tests.owt.documents import ROOM_ID, room

MIXED = f"{ROOM_ID}-common"
OPUS = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
AAC = {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
CB = {"codec": "h264", "profile": "CB"}
VIEW = {"resolution": {"width": 640, "height": 480}, "framerate": 24, "keyFrameInterval": 100}

BOTH = {"audio": {"from": MIXED}, "video": {"from": MIXED}}
AUDIO = {"audio": {"from": MIXED}, "video": False}
VIDEO = {"audio": False, "video": {"from": MIXED}}
NONE = {"audio": False, "video": False}


def forward(identity="cam", audio=OPUS, video=CB, **parameters):
    """A forward stream with these tracks."""
    tracks = Media(
        Audio(audio, "mic") if audio else None,
        Video((Layer(video, parameters),), "camera") if video else None,
    )
    return {identity: Forward(identity, tracks, "alice", "webrtc")}


def out(body, there=None, where=None):
    return subscription.streaming_out(where or room(), there or {}, subscription.parse_streaming_out(body))


def recording(body, there=None, where=None):
    asked = subscription.parse_recording(body)
    return subscription.recording(where or room(), there or {}, asked, "rec1", "/srv/r1")


def call(body, there=None, where=None):
    asked = subscription.parse_call(body)
    return subscription.call(where or sip_room(), there or {}, asked, "in1", "out1")


def analysis(body, there=None, where=None):
    return subscription.analysis(where or room(), there or {}, subscription.parse_analysis(body))


def sip_room(**changes):
    settings = {"sipServer": "sip.example.com", "username": "u", "password": "p"}
    return room(sip=settings, **changes)


def rtmp(media=BOTH, **more):
    return {"protocol": "rtmp", "url": "rtmp://203.0.113.5/live", "media": media} | more


def dial(video=True, **more):
    sent = {"audio": {"from": MIXED}, "video": {"from": MIXED} if video else False}
    return {
        "peerURI": "bob@sip.example.com",
        "mediaIn": {"audio": True, "video": video},
        "mediaOut": sent,
    } | more


# Streaming-outs


def test_a_streaming_out_is_spelled_as_the_contract_shows_it():
    assert out(rtmp()).spell("165947774960847780") == {
        "id": "165947774960847780",
        "protocol": "rtmp",
        "url": "rtmp://203.0.113.5/live",
        "media": {
            "audio": {"from": MIXED, "format": AAC, "status": "active"},
            "video": {"from": MIXED, "format": CB, "status": "active", "parameters": VIEW},
        },
    }


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("rtmp://h/live", "rtmp"),
        ("rtsp://h/live", "rtsp"),
        ("rtsp://h/live.m3u8", "rtsp"),
        ("http://h/live.m3u8", "hls"),
        ("http://h/live.mpd", "dash"),
    ],
)
def test_a_missing_protocol_is_guessed_from_the_url(url, protocol):
    assert out({"url": url, "media": BOTH}).protocol == protocol


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "rtmp",
        {},
        {"url": "http://h/live.m3u8?a=b", "media": BOTH},
        {"url": "rtmps://h/live", "media": BOTH},
        {"protocol": "rtmp", "media": BOTH},
        rtmp(protocol="RTMP"),
        rtmp(protocol="srt"),
        rtmp(protocol=None),
        rtmp(protocol=["rtmp"]),
        rtmp(url=""),
        rtmp(url=5),
        {"protocol": "rtmp", "url": "rtmp://h/live"},
        rtmp(media=None),
        rtmp(media={"audio": {"from": MIXED}}),
        rtmp(media={"audio": {"from": MIXED, "format": {"codec": "mp3"}}, "video": False}),
        rtmp(protocol="hls", parameters=[]),
        rtmp(protocol="hls", parameters=None),
        rtmp(protocol="hls", parameters={"method": "put"}),
        rtmp(protocol="hls", parameters={"method": ["PUT"]}),
        rtmp(protocol="hls", parameters={"hlsTime": "2"}),
        rtmp(protocol="hls", parameters={"hlsListSize": True}),
        rtmp(protocol="dash", parameters={"dashSegDuration": None}),
        rtmp(protocol="dash", parameters={"dashWindowSize": {}}),
    ],
)
def test_a_streaming_out_of_another_form_is_bad(body):
    with pytest.raises(BadData):
        subscription.parse_streaming_out(body)


@pytest.mark.parametrize(
    ("protocol", "given", "shown"),
    [
        ("hls", {}, {"method": "PUT", "hlsTime": 2, "hlsListSize": 5}),
        ("hls", {"method": "POST", "hlsTime": 1.5}, {"method": "POST", "hlsTime": 1.5, "hlsListSize": 5}),
        (
            "hls",
            {"dashSegDuration": "odd", "what": 1},
            {"method": "PUT", "hlsTime": 2, "hlsListSize": 5},
        ),
        ("dash", {"dashWindowSize": 9}, {"method": "PUT", "dashSegDuration": 2, "dashWindowSize": 9}),
        ("rtmp", {"method": 5}, None),
        ("rtsp", "nonsense", None),
    ],
)
def test_parameters_are_completed_for_their_protocol_and_ignored_for_others(protocol, given, shown):
    spelled = out(rtmp(protocol=protocol, parameters=given)).spell("1")
    assert spelled.get("parameters") == shown


def test_hls_without_parameters_gets_them():
    assert out({"url": "http://h/a.m3u8", "media": AUDIO}).spell("1")["parameters"] == {
        "method": "PUT",
        "hlsTime": 2,
        "hlsListSize": 5,
    }


def test_a_room_without_aac_sends_no_audio():
    where = room(mediaOut__audio=[OPUS])
    with pytest.raises(Refused):
        out(rtmp(), where=where)
    assert out(rtmp(VIDEO), where=where).chosen.media["audio"] is False


@pytest.mark.parametrize(
    "media",
    [NONE, {"audio": {"from": "gone"}, "video": False}, {"audio": False, "video": {"from": f"{ROOM_ID}-x"}}],
)
def test_what_the_room_cannot_send_is_refused(media):
    with pytest.raises(Refused):
        out(rtmp(media))


# Recordings


def test_a_recording_shows_where_its_file_is():
    assert recording({"media": AUDIO}).spell("r1") == {
        "id": "r1",
        "media": {"audio": {"from": MIXED, "format": OPUS, "status": "active"}, "video": False},
        "storage": {"host": "rec1", "file": "/srv/r1.mkv"},
    }


def media(audio=None, video=None):
    """A selection from `cam` with these formats; `None` for a track that is off, `True` for no wish."""
    return {"audio": track(audio), "video": track(video)}


def track(wish):
    if wish is None:
        return False
    return {"from": "cam"} | ({} if wish is True else {"format": wish})


@pytest.mark.parametrize(
    ("asked", "wanted", "ends"),
    [
        (None, media(True, True), "mkv"),
        ("auto", media(AAC, True), "mp4"),
        ("auto", media(AAC, {"codec": "vp8"}), "mkv"),
        ("auto", media(AAC), "mp4"),
        ("auto", media(None, True), "mkv"),
        ("mkv", media(AAC, True), "mkv"),
        ("mkv", media(True, {"codec": "vp9"}), "mkv"),
        ("mp4", media(AAC, True), "mp4"),
        ("mp4", media(AAC), "mp4"),
        ("mp4", media(None, True), "mp4"),
    ],
)
def test_the_container_follows_the_codecs(asked, wanted, ends):
    body = {"media": wanted} | ({"container": asked} if asked else {})
    assert recording(body, forward()).file == f"/srv/r1.{ends}"


@pytest.mark.parametrize("wanted", [media(True), media(True, True), media(AAC, {"codec": "vp8"})])
def test_mp4_does_not_take_every_codec(wanted):
    with pytest.raises(BadData):
        recording({"container": "mp4", "media": wanted}, forward())


def test_an_unknown_source_stays_refused_when_mp4_would_not_take_it():
    with pytest.raises(Refused):
        recording({"container": "mp4", "media": media(True, {"codec": "vp8"})})


def test_a_recording_takes_only_some_audio_codecs():
    with pytest.raises(Refused):
        recording({"media": {"audio": {"from": MIXED, "format": {"codec": "ac3"}}, "video": False}})


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"container": "ts", "media": AUDIO},
        {"container": "", "media": AUDIO},
        {"container": None, "media": AUDIO},
        {"container": ["mp4"], "media": AUDIO},
        {"container": "mkv", "media": []},
    ],
)
def test_a_recording_of_another_form_is_bad(body):
    with pytest.raises(BadData):
        subscription.parse_recording(body)


# Calls


def test_a_call_shows_the_peer_its_input_and_its_output():
    heard = {"id": "in1", "type": "forward"}
    assert call(dial()).spell("7", heard) == {
        "id": "7",
        "type": "dial-out",
        "peer": "bob@sip.example.com",
        "input": heard,
        "output": {
            "id": "out1",
            "media": {
                "audio": {"from": MIXED, "format": OPUS, "status": "active"},
                "video": {"from": MIXED, "format": {"codec": "vp8"}, "status": "active", "parameters": VIEW},
            },
        },
    }


def test_parameters_of_a_calls_video_are_wishes_and_a_format_is_not():
    sent = {
        "audio": {"from": MIXED, "format": "odd"},
        "video": {"from": MIXED, "parameters": {"framerate": 15}, "format": 1},
    }
    made = call(dial(mediaOut=sent)).chosen.media
    assert made["video"]["parameters"] == VIEW | {"framerate": 15}
    assert made["video"]["format"] == {"codec": "vp8"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        dial(peerURI=""),
        dial(peerURI=1),
        dial(mediaIn=None),
        dial(mediaIn={"audio": False, "video": True}),
        dial(mediaIn={"audio": True}),
        dial(mediaIn={"audio": 1, "video": True}),
        dial(mediaIn={"audio": True, "video": "true"}),
        dial(mediaIn={"audio": True, "video": False}),
        dial(video=False, mediaIn={"audio": True, "video": True}),
        dial(mediaOut=None),
        dial(mediaOut={"audio": {"from": MIXED}}),
        dial(mediaOut={"audio": False, "video": {"from": MIXED}}),
        dial(mediaOut={"audio": {}, "video": {"from": MIXED}}),
        dial(mediaOut={"audio": {"from": MIXED}, "video": {"parameters": {}}}),
        dial(mediaOut={"audio": {"from": MIXED}, "video": True}),
        dial(mediaOut={"audio": {"from": MIXED}, "video": None}),
    ],
)
def test_a_call_of_another_form_is_bad(body):
    with pytest.raises(BadData):
        subscription.parse_call(body)


@pytest.mark.parametrize("sip", [None, {"sipServer": "", "username": "u", "password": "p"}])
def test_a_room_without_a_sip_server_cannot_dial(sip):
    where = room(sip=sip) if sip else room()
    with pytest.raises(Refused):
        call(dial(), where=where)


def test_a_calls_input_is_what_every_peer_has():
    heard = subscription.heard_media(room(), video=True)
    assert heard.audio == Audio({"codec": "pcmu"}, "mic")
    assert heard.video == Video((Layer(CB),), "camera")
    assert subscription.heard_media(room(), video=False).video is None


def test_a_calls_input_is_what_the_room_takes_first_where_that_is_missing():
    where = room(mediaIn={"audio": [5, {"codec": "opus"}], "video": [{"codec": "vp9"}]})
    heard = subscription.heard_media(where, video=True)
    assert heard.audio is not None
    assert heard.video is not None
    assert (heard.audio.format, heard.video.original[0].format) == ({"codec": "opus"}, {"codec": "vp9"})


@pytest.mark.parametrize("takes", [{"audio": [], "video": [CB]}, {"audio": [OPUS], "video": []}])
def test_a_room_that_takes_none_of_a_calls_tracks_cannot_dial(takes):
    with pytest.raises(Refused):
        subscription.heard_media(room(mediaIn=takes), video=True)


# Analytics


def test_an_analytic_has_the_shapes_of_the_guide_and_of_the_code():
    asked = {"algorithm": "a1", "media": {"audio": False, "video": {"from": MIXED, "format": CB}}}
    video = {"from": MIXED, "format": CB, "status": "active", "parameters": VIEW}
    assert analysis(asked).spell("9") == {
        "id": "9",
        "analytics": {"algorithm": "a1"},
        "media": {"format": CB, "from": MIXED, "video": video},
    }


def test_without_a_wish_an_analytic_shows_what_its_source_has():
    there = forward(framerate=30, resolution={"width": 640, "height": 480})
    wish = {"from": "cam", "parameters": {"framerate": 15}}
    shown = analysis({"algorithm": "a1", "media": {"audio": False, "video": wish}}, there).video
    assert shown["format"] == CB
    assert shown["parameters"] == {"framerate": 15, "resolution": {"width": 640, "height": 480}}


def test_a_source_without_known_parameters_shows_none():
    body = {"algorithm": "a1", "media": {"audio": False, "video": {"from": "cam"}}}
    assert "parameters" not in analysis(body, forward()).video


@pytest.mark.parametrize("wanted", [AUDIO, NONE, {"audio": {"from": "gone"}, "video": {"from": MIXED}}])
def test_an_analytic_without_video_or_with_an_unknown_source_is_refused(wanted):
    with pytest.raises(Refused):
        analysis({"algorithm": "a1", "media": wanted})


@pytest.mark.parametrize(
    "body", [None, {"media": VIDEO}, {"algorithm": 1, "media": VIDEO}, {"algorithm": "a"}]
)
def test_an_analytic_of_another_form_is_bad(body):
    with pytest.raises(BadData):
        subscription.parse_analysis(body)


# Changes


def changed(made, updates, there=None, where=None, prefix=""):
    changes = selection.parse_changes(patch.parse(updates), prefix)
    options = selection.change(made.chosen.options, changes)
    return subscription.rechosen(made, where or room(), there or {}, options)


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def test_a_new_source_leaves_format_and_wishes_and_takes_the_rest_from_the_source():
    made = recording(
        {"media": {"audio": {"from": MIXED}, "video": {"from": MIXED, "parameters": {"framerate": 15}}}}
    )
    after = changed(made, [replace("/media/video/from", "cam")], forward(framerate=30))
    assert after.chosen.media["video"] == {
        "from": "cam",
        "format": {"codec": "vp8"},
        "status": "active",
        "parameters": {"framerate": 15},
    }
    assert after.file == made.file


def test_what_is_sent_out_is_not_checked_against_a_new_source():
    after = changed(
        out(rtmp()),
        [replace("/media/audio/from", "cam"), replace("/media/video/from", "cam")],
        forward(audio={"codec": "g729"}, video={"codec": "h265"}),
        room(transcoding__audio=False, transcoding__video__format=False),
    )
    assert after.chosen.media["audio"] == {"from": "cam", "format": AAC, "status": "active"}
    assert after.chosen.media["video"] == {"from": "cam", "format": CB, "status": "active"}


@pytest.mark.parametrize(
    "update",
    [
        replace("/media/video/from", "gone"),
        replace("/media/video/parameters/framerate", 60),
        replace("/media/video/parameters/resolution", {"width": 641, "height": 480}),
    ],
)
def test_a_change_that_the_source_does_not_offer_is_refused(update):
    with pytest.raises(Refused):
        changed(out(rtmp()), [update])


def test_a_track_that_is_off_cannot_be_changed():
    with pytest.raises(Refused):
        changed(out(rtmp(AUDIO)), [replace("/media/video/status", "inactive")])


@pytest.mark.parametrize(
    ("update", "prefix"),
    [
        (replace("/media/audio/status", "inactive"), "/output"),
        (replace("/output/media/audio/status", "inactive"), ""),
        (replace("/output/output/media/audio/status", "inactive"), "/output"),
        (replace("/media/audio/format", OPUS), ""),
    ],
)
def test_a_call_is_changed_below_output_and_nothing_else_is(update, prefix):
    with pytest.raises(BadData):
        changed(call(dial()), [update], prefix=prefix)


def test_a_call_is_changed_below_output():
    after = changed(call(dial()), [replace("/output/media/audio/status", "inactive")], prefix="/output")
    assert after.chosen.media["audio"]["status"] == "inactive"


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (StreamingOut, out(rtmp(protocol="hls"))),
        (Recording, recording({"media": AUDIO})),
        (Call, call(dial())),
        (Analysis, analysis({"algorithm": "a", "media": VIDEO})),
    ],
)
def test_what_is_stored_is_read_back_equal(kind, made):
    text = msgspec.json.encode(made)
    assert msgspec.json.decode(text, type=kind) == made
    json.loads(text)
