"""Where the guide and the code of the original disagree: one test for each decision of contract section 3."""

import base64
import re

import pytest

from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from tests.owt import entering
from tests.owt.api import (
    BAD,
    NO_PARTICIPANT,
    NO_RESOURCE,
    NO_ROOM,
    NO_STREAM,
    NOTHING,
    REFUSED,
    Api,
    ok,
    refusal,
    serve,
)
from tests.owt.furnished import SIP, region
from tests.support import mauth

DECISIONS = range(1, 26)
FRAMERATES = [6, 12, 15, 24, 30, 48, 60]
INTERVALS = [100, 30, 5, 2, 1]
UNKNOWN = "5188b9af6e53c84ffd600499"
MIXED_IN = [{"op": "add", "path": "/info/inViews", "value": "common"}]


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def signed(api, method="GET", path="/v1/rooms", **options):
    """The answer to a request with a header made so."""
    return serve(method, path, headers={"Authorization": mauth.header(api.service, api.key, **options)})


def video_only(api, room):
    return api.streaming_in(room, audio=False)


def test_there_is_a_test_for_each_decision():
    found = [int(match[1]) for name in globals() if (match := re.match(r"test_d([0-9]+)_", name))]
    assert sorted(set(found)) == list(DECISIONS)


def test_d1_bad_data_is_400_1301_and_what_the_room_cannot_do_is_500_1201(api):
    room = api.room()
    assert refusal(api.post("/rooms", {"name": ""})) == (400, 1301)
    body = {"media": {"audio": {"from": "nothing"}, "video": False}}
    assert refusal(api.post(f"/rooms/{room}/recordings", body)) == (500, 1201)


def test_d2_bad_updates_and_bad_streaming_ins_are_bad_data(api):
    room = api.room()
    there = api.streaming_in(room)
    assert refusal(api.patch(f"/rooms/{room}/streams/{there}", [replace("/nothing", 1)])) == BAD
    assert refusal(api.post(f"/rooms/{room}/streaming-ins", {"connection": {}})) == BAD


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("streams", NO_STREAM),
        ("participants", NO_PARTICIPANT),
        ("streaming-outs", NO_RESOURCE),
        ("recordings", NO_RESOURCE),
        ("sipcalls", NO_RESOURCE),
        ("analytics", NO_RESOURCE),
    ],
)
def test_d3_what_is_unknown_is_not_found(api, method, kind, error):
    body = [] if method == "PATCH" else NOTHING
    assert refusal(api.call(method, f"/rooms/{api.room()}/{kind}/165947774960847780", body)) == error


def test_d4_rooms_and_services_are_deleted_with_a_text_and_all_else_with_nothing(api):
    room = api.room()
    there = api.streaming_in(room)
    stopped = api.delete(f"/rooms/{room}/streaming-ins/{there}")
    assert (stopped.status, stopped.body) == (200, "")
    deleted = api.delete(f"/rooms/{room}")
    assert (deleted.status, deleted.body) == (200, "Room deleted")
    service = ok(api.post("/services", {"name": "s", "key": "k"}))["_id"]
    deleted = api.delete(f"/services/{service}")
    assert (deleted.status, deleted.body) == (200, "Service deleted")


@pytest.mark.parametrize("comma", [",", ", ", " ,  "])
def test_d5_blanks_at_the_commas_of_the_header_do_not_count(api, comma):
    assert signed(api, comma=comma).status == 200


def test_d6_a_header_may_come_again_and_be_old(api):
    again = {"timestamp": "1406079112038", "cnonce": "87428"}
    assert [signed(api, **again).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_d7_streams_are_those_of_rooms_of_ones_own(api, acme, method):
    room = api.room()
    there = api.streaming_in(room)
    body = MIXED_IN if method == "PATCH" else NOTHING
    for version in ("v1", "v1.1"):
        answer = acme.at(version).call(method, f"/rooms/{room}/streams/{there}", body)
        assert refusal(answer) == NO_ROOM
    assert refusal(acme.at("v1.1").get(f"/rooms/{room}/streams")) == NO_ROOM
    assert ok(api.at("v1.1").get(f"/rooms/{room}/streams/{there}"))["info"]["inViews"] == []


def test_d8_a_service_may_look_at_itself(api, acme):
    room = acme.room()
    shown = ok(acme.get(f"/services/{acme.service}"))
    assert (shown["_id"], shown["rooms"]) == (acme.service, [room])
    assert refusal(acme.get(f"/services/{api.service}")) == (403, 1102)


def test_d9_an_unknown_service_is_not_found(api):
    assert refusal(api.get(f"/services/{UNKNOWN}")) == (404, 1002)


def test_d10_a_bad_configuration_is_bad_data_in_a_new_room_and_in_a_change(api):
    bad = {"views": [{"label": "a"}, {"label": "a"}]}
    assert refusal(api.post("/rooms", {"name": "r", "options": bad})) == BAD
    assert refusal(api.put(f"/rooms/{api.room()}", bad)) == BAD


@pytest.mark.parametrize(("name", "allowed"), [("framerate", FRAMERATES), ("keyFrameInterval", INTERVALS)])
def test_d11_framerate_and_key_frame_interval_of_a_view_are_of_closed_sets(api, name, allowed):
    def answer(value):
        view = {"video": {"parameters": {name: value}}}
        return api.post("/rooms", {"name": "r", "options": {"views": [view]}})

    for value in allowed:
        assert ok(answer(value))["views"][0]["video"]["parameters"][name] == value
    for value in (0, 7, 25, 24.5, -1, "often"):
        assert refusal(answer(value)) == BAD


def test_d12_media_in_and_out_are_kept_as_given(api):
    odd_in = {"audio": [{"codec": "acc", "sampleRate": "16000"}], "video": [{"codec": "h263", "x": [1]}]}
    odd_out = {
        "audio": [{"codec": "opus", "sampleRate": 48000, "channelNum": 2}, {"codec": "odd"}],
        "video": {
            "format": [{"codec": "vp8"}, {"codec": "h264", "profile": "X"}],
            "parameters": {
                "resolution": ["nonsense"],
                "framerate": [5],
                "bitrate": [500, 1000],
                "keyFrameInterval": [7.5],
            },
        },
    }
    room = api.room(mediaIn=odd_in, mediaOut=odd_out)
    shown = ok(api.get(f"/rooms/{room}"))
    assert (shown["mediaIn"], shown["mediaOut"]) == (odd_in, odd_out)


def test_d13_a_put_replaces_the_fields_that_it_has(api):
    room = api.room(inputLimit=5, notifying={"streamChange": False})
    before = ok(api.get(f"/rooms/{room}"))
    after = ok(api.put(f"/rooms/{room}", {"participantLimit": 9, "notifying": {}}))
    everything = {"participantActivities": True, "streamChange": True}
    assert after == before | {"participantLimit": 9, "notifying": everything}


def test_d14_areas_are_fractions_or_numbers(api):
    room = api.room()
    ok(api.patch(f"/rooms/{room}/streams/{api.streaming_in(room)}", MIXED_IN))
    area = {"left": "0", "top": "1/5", "width": 0.5, "height": "1"}
    wanted = [{"region": region() | {"area": area}}]
    shown = ok(api.patch(f"/rooms/{room}/streams/{room}-common", [replace("/info/layout", wanted)]))
    assert shown["info"]["layout"][0]["region"]["area"] == {
        "left": "0/1",
        "top": "1/5",
        "width": 0.5,
        "height": "1/1",
    }


def test_d15_a_streaming_out_shows_its_protocol_and_parameters(api):
    room = api.room()
    media = {"audio": {"from": f"{room}-common"}, "video": False}
    made = ok(api.post(f"/rooms/{room}/streaming-outs", {"url": "http://h/a.mpd", "media": media}))
    assert made.keys() == {"id", "protocol", "url", "parameters", "media"}
    assert made["parameters"] == {"method": "PUT", "dashSegDuration": 2, "dashWindowSize": 5}


def test_d16_an_analytic_has_both_shapes(api):
    room = api.room()
    body = {"algorithm": "a", "media": {"audio": False, "video": {"from": f"{room}-common"}}}
    media = ok(api.post(f"/rooms/{room}/analytics", body))["media"]
    assert (media["format"], media["from"]) == ({"codec": "vp8"}, f"{room}-common")
    assert (media["video"]["format"], media["video"]["from"]) == (media["format"], media["from"])


def test_d17_a_track_that_is_off_is_false(api):
    room = api.room(sip=SIP, views=[{"label": "common"}, {"label": "quiet", "video": False}])
    there = video_only(api, room)
    for version in ("v1", "v1.1"):
        assert ok(api.at(version).get(f"/rooms/{room}/streams/{there}"))["media"]["audio"] is False
    assert ok(api.get(f"/rooms/{room}/streams/{room}-quiet"))["media"]["video"] is False
    media = {"audio": {"from": f"{room}-common"}, "video": False}
    assert ok(api.post(f"/rooms/{room}/recordings", {"media": media}))["media"]["video"] is False


def test_d18_mp4_with_a_codec_that_it_cannot_take_is_bad_data(api):
    room = api.room()
    body = {"container": "mp4", "media": {"audio": {"from": f"{room}-common"}, "video": False}}
    assert refusal(api.post(f"/rooms/{room}/recordings", body)) == BAD


def test_d19_calls_are_a_list(api):
    assert ok(api.get(f"/rooms/{api.room()}/sipcalls")) == []


def test_d20_every_forward_stream_can_be_muted(api):
    room = api.room()
    there = api.streaming_in(room)
    shown = ok(api.patch(f"/rooms/{room}/streams/{there}", [replace("/media/video/status", "inactive")]))
    assert shown["media"]["video"]["status"] == "inactive"


@pytest.mark.parametrize("username", ["alice", base64.b64encode(b"alice").decode(), "YWxpY2U"])
def test_d21_a_user_name_is_a_plain_word_or_base64(api, table, username):
    assert token_with(api, api.room(), username, "presenter").status == 200
    (kept,) = [row for row in table.rows() if row["pk"]["S"].startswith("ot")]
    assert (kept["user"]["S"], kept["role"]["S"]) == ("alice", "presenter")


def token_with(api: Api, room: str, username: str, role: str):
    """A token for whom the header names, by a header signed as contract 4.2 says."""
    stamp, nonce = mauth.now_ms(), "87428"
    text = f"{stamp},{nonce}" + (f",{username},{role}" if username and role else "")
    parts = [
        ("realm", "r"),
        ("mauth_signature_method", "HMAC_SHA256"),
        ("mauth_username", username),
        ("mauth_role", role),
        ("mauth_serviceid", api.service),
        ("mauth_cnonce", nonce),
        ("mauth_timestamp", stamp),
        ("mauth_signature", mauth.mac(api.key, text)),
    ]
    return serve("POST", f"/v1/rooms/{room}/tokens", headers={"Authorization": mauth.spell(parts)})


@pytest.mark.parametrize(("username", "role"), [("", "presenter"), ("alice", ""), ("", "")])
def test_d22_user_and_role_are_signed_when_neither_is_empty(api, username, role):
    # The header proves the service; it names nobody, and so the token has nobody to be for.
    assert refusal(token_with(api, api.room(), username, role)) == BAD
    assert token_with(api, api.room(), "alice", "presenter").status == 200


def test_d23_the_key_of_a_service_is_never_shown(api):
    secret = "a key that is shown to nobody"
    made = api.post("/services", {"name": "s", "key": secret})
    listed, own = api.get("/services"), Api(made.json()["_id"], secret)
    for answer in (made, listed, own.get(f"/services/{own.service}")):
        assert answer.status == 200
        assert secret not in answer.body
        assert base64.b64encode(secret.encode()).decode() not in answer.body
        assert api.key not in answer.body
    assert made.json()["encrypted"] is True


def test_d24_isac_has_no_channel_number_in_the_default_lists(api):
    document = ok(api.get(f"/rooms/{api.room()}"))
    for name in ("mediaIn", "mediaOut"):
        isac = [each for each in document[name]["audio"] if each["codec"] == "isac"]
        assert isac == [{"codec": "isac", "sampleRate": 16000}, {"codec": "isac", "sampleRate": 32000}]
    own = {"codec": "isac", "sampleRate": 16000, "channelNum": 2}
    room = api.room(mediaIn={"audio": [own], "video": []})
    assert ok(api.get(f"/rooms/{room}"))["mediaIn"]["audio"] == [own]


def test_d25_a_format_that_is_wanted_of_a_streaming_out_has_no_effect(api):
    room = api.room(transcoding={"audio": False, "video": {"format": False}})
    made = Media(Audio({"codec": "pcmu"}, "mic"), Video((Layer({"codec": "vp8"}),), "camera"))
    there = entering.bring(api.service, room, Forward("", made, "alice", "webrtc")).id

    def wanted(audio, video):
        return {
            "url": "rtmp://h/a",
            "media": {
                "audio": {"from": there, "format": {"codec": audio}},
                "video": {"from": there, "format": {"codec": video}},
            },
        }

    sent = ok(api.post(f"/rooms/{room}/streaming-outs", wanted("ilbc", "vp9")))["media"]
    assert sent["audio"]["format"] == {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
    assert sent["video"]["format"] == {"codec": "h264", "profile": "CB"}
    assert refusal(api.post(f"/rooms/{room}/streaming-outs", wanted("mp3", "vp9"))) == BAD
    assert refusal(api.post(f"/rooms/{room}/recordings", wanted("ilbc", "vp9"))) == REFUSED
