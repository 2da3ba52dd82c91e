"""Streams and streaming-ins over HTTP, in process (contract 8 and 17)."""

import json
from collections import Counter
from typing import Any

import pytest

from chalicelib.outbox import owed
from chalicelib.owt.errors import BadData, NoRoom, Refused
from chalicelib.owt.store import new_ids, participants
from chalicelib.owt.store import streams as store
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.store import writes
from tests.owt import entering
from tests.owt.api import BAD, NO_RESOURCE, NO_ROOM, NO_STREAM, NOTHING, REFUSED, Api, ok, refusal
from tests.support.events import Answer

URL = "rtsp://camera.example/1"
H264 = {"codec": "h264", "profile": "CB"}
WEBRTC = Forward(
    "",
    Media(
        Audio({"codec": "opus", "sampleRate": 48000, "channelNum": 2}, "mic"),
        Video((Layer({"codec": "vp8"}, {"resolution": {"width": 1280, "height": 720}}),), "camera"),
    ),
    type="webrtc",
)


@pytest.fixture
def api(api: Api) -> Api:
    """The super service, with the prefix /v1.1."""
    return api.at("v1.1")


@pytest.fixture
def room(api: Api) -> str:
    """A default room."""
    return api.room()


def send(api: Api, method: str, path: str, body: Any) -> Answer:
    """One request; a text is sent as it is, everything else as JSON."""
    return (
        api.call(method, path, raw=body.encode()) if isinstance(body, str) else api.call(method, path, body)
    )


def done(api: Api, method: str, path: str, body: Any = NOTHING) -> Any:
    """What a request that has to succeed answers; `None` for nothing."""
    answer = send(api, method, path, body)
    return ok(answer) if answer.body else None


def failing(api: Api, method: str, path: str, body: Any = NOTHING) -> tuple[int, int]:
    """Status and code of a request that has to fail."""
    answer = send(api, method, path, body)
    assert answer.status >= 400, answer.body
    return refusal(answer)


def streaming_in(api: Api, room: str, audio: Any = "auto", video: Any = "auto", **more: Any) -> str:
    """The id of a new streaming-in."""
    body = {"connection": {"url": URL}, "media": {"audio": audio, "video": video}, **more}
    return str(done(api, "POST", f"/rooms/{room}/streaming-ins", body)["id"])


def mix(api: Api, room: str, stream: str, op: str = "add", label: str = "common") -> Any:
    return done(api, "PATCH", f"/rooms/{room}/streams/{stream}", [update(op, "/info/inViews", label)])


def update(op: str, path: str, value: Any) -> dict[str, Any]:
    return {"op": op, "path": path, "value": value}


def listed(api: Api, room: str) -> list[str]:
    return [each["id"] for each in done(api, "GET", f"/rooms/{room}/streams")]


def shown(api: Api, room: str, label: str = "common") -> list[str | None]:
    """The streams in the regions of a view."""
    layout = done(api, "GET", f"/rooms/{room}/streams/{room}-{label}")["info"]["layout"]
    return [place.get("stream") for place in layout]


def region(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "shape": "rectangle",
        "area": {"left": "0", "top": "1/2", "width": "1", "height": 0.5},
    }


def rows(table, prefix: str) -> list[dict[str, Any]]:
    return [row for row in table.rows() if row["sk"]["S"].startswith(prefix)]


# Streaming-ins (8.3)


def test_a_streaming_in_is_there_at_once_and_what_is_unknown_is_filled_in(api, room):
    body = {"connection": {"url": URL}, "media": {"audio": "auto", "video": True}}
    made = done(api, "POST", f"/rooms/{room}/streaming-ins", body)
    assert made["id"].isdigit()
    assert len(made["id"]) == 18
    assert made["type"] == "forward"
    assert made["info"] == {"owner": "admin", "type": "streaming", "inViews": []}
    audio, video = made["media"]["audio"], made["media"]["video"]
    assert (audio["status"], audio["source"], audio["format"]) == ("active", "streaming", {"codec": "aac"})
    assert (video["status"], video["source"], video["original"]) == (
        "active",
        "streaming",
        [{"format": H264}],
    )
    assert done(api, "GET", f"/rooms/{room}/streams/{made['id']}") == made
    assert done(api, "GET", f"/rooms/{room}/streams")[1] == made


def test_v1_answers_streaming_ins_in_its_own_shape(api, room):
    old = api.at("v1")
    body = {
        "connection": {"url": URL},
        "media": {"audio": False, "video": "auto"},
        "attributes": {"a": [1.5]},
    }
    made = done(old, "POST", f"/rooms/{room}/streaming-ins/", body)
    assert made["media"]["audio"] is False
    assert made["media"]["video"]["format"] == H264
    assert "original" not in made["media"]["video"]
    assert made["info"]["attributes"] == {"a": [1.5]}
    assert done(old, "GET", f"/rooms/{room}/streams/{made['id']}/") == made
    mixed, forward = done(old, "GET", f"/rooms/{room}/streams/")
    assert forward == made
    assert mixed["media"]["video"]["parameters"]["framerate"] == 24
    assert mixed["info"]["label"] == "common"
    assert done(api, "GET", f"/rooms/{room}/streams")[1]["media"]["video"]["original"] == [{"format": H264}]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        {},
        {"connection": {}, "media": {"audio": True, "video": True}},
        {"connection": {"url": URL}, "media": {"audio": True}},
        {"connection": {"url": URL}, "media": {"audio": "no", "video": True}},
        {"connection": {"url": URL, "transportProtocol": "x"}, "media": {"audio": True, "video": True}},
    ],
)
def test_bad_requests_for_a_streaming_in_are_400_d2(api, room, table, body):
    assert failing(api, "POST", f"/rooms/{room}/streaming-ins", body) == BAD
    assert listed(api, room) == []


def test_refused_streaming_ins_change_nothing(api):
    def ask(room: str, audio: Any, video: Any) -> tuple[int, int]:
        body = {"connection": {"url": URL}, "media": {"audio": audio, "video": video}}
        return failing(api, "POST", f"/rooms/{room}/streaming-ins", body)

    deaf, blind = (
        api.room(mediaIn={"video": [{"codec": "vp8"}]}),
        api.room(mediaIn={"audio": [{"codec": "opus"}]}),
    )
    assert ask(deaf, True, False) == ask(blind, False, "auto") == ask(deaf, False, False) == REFUSED
    assert listed(api, deaf) == listed(api, blind) == []
    streaming_in(api, deaf, audio=False)
    streaming_in(api, blind, video=False)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_streams_come_in_than_the_input_limit(api, limit):
    room = api.room(inputLimit=limit)
    made = [streaming_in(api, room) for _ in range(limit)]
    body = {"connection": {"url": URL}, "media": {"audio": True, "video": True}}
    assert failing(api, "POST", f"/rooms/{room}/streaming-ins", body) == REFUSED
    assert listed(api, room)[1:] == made
    if made:
        done(api, "DELETE", f"/rooms/{room}/streaming-ins/{made[0]}")
        streaming_in(api, room)


def test_a_lower_limit_lets_nobody_in_and_nobody_out(api):
    room = api.room(inputLimit=2)
    made = [streaming_in(api, room) for _ in range(2)]
    done(api, "PUT", f"/rooms/{room}", {"inputLimit": 1})
    body = {"connection": {"url": URL}, "media": {"audio": True, "video": True}}
    done(api, "DELETE", f"/rooms/{room}/streams/{made[0]}")
    assert failing(api, "POST", f"/rooms/{room}/streaming-ins", body) == REFUSED
    assert listed(api, room)[1:] == made[1:]


def test_streaming_ins_can_only_be_started_and_stopped(api, room):
    assert failing(api, "GET", f"/rooms/{room}/streaming-ins") == NO_RESOURCE
    assert failing(api, "PATCH", f"/rooms/{room}/streaming-ins/1", []) == NO_RESOURCE
    made = streaming_in(api, room)
    assert api.call("DELETE", f"/rooms/{room}/streaming-ins/{made}").body == ""
    assert listed(api, room) == []


def test_too_much_to_be_kept_is_bad(api, room):
    body = {
        "connection": {"url": URL},
        "media": {"audio": True, "video": True},
        "attributes": {"a": "x" * 400_000},
    }
    assert failing(api, "POST", f"/rooms/{room}/streaming-ins", body) == BAD


def test_numbers_of_any_size_come_back_as_they_are(api, room):
    media = {"audio": True, "video": True}
    text = {"connection": {"url": "u"}, "media": media, "attributes": {"n": 10**40}}
    assert done(api, "POST", f"/rooms/{room}/streaming-ins", text)["info"]["attributes"] == {"n": 10**40}
    assert done(api, "GET", f"/rooms/{room}/streams")[1]["info"]["attributes"] == {"n": 10**40}


# Listing (8, 8.1)


def test_a_fresh_room_lists_nothing_and_after_the_first_streaming_in_the_mixed_stream_too(api, room):
    assert listed(api, room) == []
    assert failing(api, "GET", f"/rooms/{room}/streams/{room}-common") == NO_STREAM
    made = streaming_in(api, room)
    assert listed(api, room) == [f"{room}-common", made]
    assert done(api, "GET", f"/rooms/{room}/streams/{room}-common")["type"] == "mixed"
    done(api, "DELETE", f"/rooms/{room}/streams/{made}")
    assert listed(api, room) == []


def test_a_list_that_cannot_be_sent_is_a_400_that_says_so(api, room):
    for number in range(22):
        entering.bring(
            api.service,
            room,
            Forward(id=f"s{number}", media=Media(Audio({"codec": "opus"})), attributes={"x": "x" * 290_000}),
        )
    answer = send(api, "GET", f"/rooms/{room}/streams", NOTHING)
    assert refusal(answer) == BAD
    assert "larger than 6 MB" in answer.json()["error"]["message"]
    assert done(api, "GET", f"/rooms/{room}/streams/s3")["id"] == "s3"
    assert api.delete(f"/rooms/{room}/streams/s3").status == 200
    assert len(listed(api, room)) == 22


def test_a_participant_makes_a_room_active(api, room, credentials):
    entering.join(credentials.super_service_id, room, "ann", "presenter")
    assert listed(api, room) == [f"{room}-common"]


def test_mixed_streams_come_first_in_the_order_of_the_views_and_forward_ones_as_they_arrived(api):
    labels = ["z", "a", "m"]
    room = api.room(views=[{"label": label} for label in labels])
    made = [streaming_in(api, room) for _ in range(3)]
    assert listed(api, room) == [*(f"{room}-{label}" for label in labels), *made]


def test_a_room_without_views_lists_forward_streams_only(api):
    room = api.room(views=[])
    made = streaming_in(api, room)
    assert listed(api, room) == [made]
    assert (
        failing(api, "PATCH", f"/rooms/{room}/streams/{made}", [update("add", "/info/inViews", "common")])
        == REFUSED
    )


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("name", ["1", "no", "a%20b", "x" * 300, "ä"])
def test_an_unknown_stream_is_404_1004_d3(api, room, method, name):
    streaming_in(api, room)
    body = "{" if method == "PATCH" else NOTHING
    assert failing(api, method, f"/rooms/{room}/streams/{name}", body) == NO_STREAM
    if method == "DELETE":
        assert failing(api, method, f"/rooms/{room}/streaming-ins/{name}") == NO_STREAM


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_the_mixed_stream_of_an_unknown_view_is_404_1004(api, room, method):
    streaming_in(api, room)
    for name in (f"{room}-other", f"{room}-", f"{room}-Common"):
        assert (
            failing(api, method, f"/rooms/{room}/streams/{name}", "[]" if method == "PATCH" else NOTHING)
            == NO_STREAM
        )


@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_streams_of_a_room_that_is_not_there_or_anothers_are_404_1003_d7(api, acme, room, version):
    made = streaming_in(api, room)
    theirs = acme.room()
    here = api.at(version)
    for name in ("5188b9af6e53c84ffd600499", "nonsense", room[:-1], theirs):
        for method, path, body in (
            ("GET", f"/rooms/{name}/streams", NOTHING),
            ("GET", f"/rooms/{name}/streams/{made}", NOTHING),
            ("GET", f"/rooms/{name}/streams/{name}-common", NOTHING),
            ("PATCH", f"/rooms/{name}/streams/{made}", "{"),
            ("PATCH", f"/rooms/{name}/streams/{name}-common", []),
            ("DELETE", f"/rooms/{name}/streams/{made}", NOTHING),
            ("POST", f"/rooms/{name}/streaming-ins", "{"),
            ("DELETE", f"/rooms/{name}/streaming-ins/{made}", NOTHING),
        ):
            assert failing(here, method, path, body) == NO_ROOM, (method, path)


# Changes of forward streams (8.4)


def test_a_stream_is_mixed_and_unmixed(api, room):
    made = streaming_in(api, room)
    assert mix(api, room, made)["info"]["inViews"] == ["common"]
    assert shown(api, room) == [made]
    assert mix(api, room, made)["info"]["inViews"] == ["common"]
    assert mix(api, room, made, "remove")["info"]["inViews"] == []
    assert mix(api, room, made, "remove")["info"]["inViews"] == []
    assert shown(api, room) == []


def test_the_example_of_the_contract(api, room):
    made = streaming_in(api, room)
    answer = mix(api, room, made)
    assert answer["info"] == {"owner": "admin", "type": "streaming", "inViews": ["common"]}
    assert answer["id"] == made


@pytest.mark.parametrize("track", ["audio", "video"])
def test_a_streaming_in_is_muted_and_back_d20(api, room, track):
    made = streaming_in(api, room)
    path = f"/rooms/{room}/streams/{made}"
    before = done(api, "GET", path)
    quiet = done(api, "PATCH", path, [update("replace", f"/media/{track}/status", "inactive")])
    assert quiet["media"][track]["status"] == "inactive"
    assert done(api, "GET", path) == quiet
    assert done(api, "PATCH", path, [update("replace", f"/media/{track}/status", "active")]) == before


def test_a_list_is_applied_in_order_and_answered_as_a_whole(api, room):
    made = streaming_in(api, room)
    answer = done(
        api,
        "PATCH",
        f"/rooms/{room}/streams/{made}",
        [
            update("add", "/info/inViews", "common"),
            update("replace", "/media/audio/status", "inactive"),
            update("remove", "/info/inViews", "common"),
            update("replace", "/media/video/status", "inactive"),
            update("add", "/info/inViews", "common"),
        ],
    )
    assert answer["info"]["inViews"] == ["common"]
    assert answer["media"]["audio"]["status"] == answer["media"]["video"]["status"] == "inactive"
    assert done(api, "GET", f"/rooms/{room}/streams/{made}") == answer


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (update("add", "/info/inViews", "nowhere"), REFUSED),
        (update("replace", "/info/layout", []), REFUSED),
        (update("replace", "/info/layout/0/stream", "1"), REFUSED),
        (update("replace", "/media/audio/status", "off"), BAD),
        (update("replace", "/info/inViews", "common"), BAD),
        ({"op": "add", "path": "/info/inViews"}, BAD),
        (update("add", "/info/owner", "me"), BAD),
        ("add", BAD),
    ],
)
def test_a_list_takes_effect_as_a_whole_or_not_at_all(api, room, last, expected):
    made = streaming_in(api, room)
    before = done(api, "GET", f"/rooms/{room}/streams/{made}")
    updates = [
        update("add", "/info/inViews", "common"),
        update("replace", "/media/audio/status", "inactive"),
        last,
    ]
    assert failing(api, "PATCH", f"/rooms/{room}/streams/{made}", updates) == expected
    assert done(api, "GET", f"/rooms/{room}/streams/{made}") == before


@pytest.mark.parametrize("body", ["", "{", "{}", '"x"', "null", "5"])
def test_a_body_that_is_no_list_is_bad(api, room, body):
    made = streaming_in(api, room)
    for name in (made, f"{room}-common"):
        assert failing(api, "PATCH", f"/rooms/{room}/streams/{name}", body) == BAD


def test_an_empty_list_changes_nothing(api, room):
    made = streaming_in(api, room)
    for name in (made, f"{room}-common"):
        assert done(api, "PATCH", f"/rooms/{room}/streams/{name}", []) == done(
            api, "GET", f"/rooms/{room}/streams/{name}"
        )


def test_a_track_that_is_not_there_cannot_be_muted(api, room):
    made = streaming_in(api, room, video=False)
    path = f"/rooms/{room}/streams/{made}"
    assert failing(api, "PATCH", path, [update("replace", "/media/video/status", "inactive")]) == REFUSED


# Layouts (8.5)


def test_a_mixed_stream_shows_its_inputs_in_the_order_of_mixing(api, room):
    one, two, three = (streaming_in(api, room) for _ in range(3))
    for each in (two, one, three):
        mix(api, room, each)
    assert shown(api, room) == [two, one, three, None]
    mix(api, room, one, "remove")
    assert shown(api, room) == [two, three, None, None]
    mix(api, room, one)
    assert shown(api, room) == [two, three, one, None]


def test_region_zero_of_one_mixed_stream_is_the_whole_picture(api, room):
    made = streaming_in(api, room)
    mix(api, room, made)
    answer = done(
        api,
        "PATCH",
        f"/rooms/{room}/streams/{room}-common",
        [update("replace", "/info/layout/0/stream", made)],
    )
    assert answer["info"]["layout"] == [
        {
            "stream": made,
            "region": {
                "id": "1",
                "shape": "rectangle",
                "area": {"left": "0/1", "top": "0/1", "width": "1/1", "height": "1/1"},
            },
        }
    ]


def test_the_region_of_a_stream_that_is_not_mixed_is_refused_with_500(api, room):
    made = streaming_in(api, room)
    path = f"/rooms/{room}/streams/{room}-common"
    assert failing(api, "PATCH", path, [update("replace", "/info/layout/0/stream", made)]) == REFUSED


def test_two_streams_change_places(api, room):
    one, two = (streaming_in(api, room) for _ in range(2))
    for each in (one, two):
        mix(api, room, each)
    path = f"/rooms/{room}/streams/{room}-common"
    done(api, "PATCH", path, [update("replace", "/info/layout/0/stream", two)])
    assert shown(api, room) == [two, one, None, None]
    for number, stream in ((2, one), (9, one), (0, "1"), (0, f"{room}-common")):
        assert (
            failing(api, "PATCH", path, [update("replace", f"/info/layout/{number}/stream", stream)])
            == REFUSED
        )
    assert shown(api, room) == [two, one, None, None]


def test_a_layout_is_set_and_kept_until_the_inputs_change(api, room):
    one, two, three, four = (streaming_in(api, room) for _ in range(4))
    for each in (one, two, three):
        mix(api, room, each)
    path = f"/rooms/{room}/streams/{room}-common"
    wanted = [{"stream": two, "region": region("x")}, {"region": region("y")}, {"region": region("z")}]
    answer = done(api, "PATCH", path, [update("replace", "/info/layout", wanted)])
    area = {"left": "0/1", "top": "1/2", "width": "1/1", "height": 0.5}
    assert answer["info"]["layout"][0] == {"stream": two, "region": {**region("x"), "area": area}}
    assert (
        [place.get("stream") for place in answer["info"]["layout"]] == shown(api, room) == [two, None, None]
    )
    mix(api, room, four)
    assert shown(api, room) == [two, one, three]
    mix(api, room, four, "remove")
    assert shown(api, room) == [two, one, three]
    done(api, "DELETE", f"/rooms/{room}/streams/{two}")
    assert shown(api, room) == [one, three, None]


def test_an_empty_layout_leaves_the_view_without_regions_c2(api, room):
    mix(api, room, streaming_in(api, room))
    path = f"/rooms/{room}/streams/{room}-common"
    assert done(api, "PATCH", path, [update("replace", "/info/layout", [])])["info"]["layout"] == []
    mix(api, room, streaming_in(api, room))
    assert shown(api, room) == []


def test_refused_and_bad_layouts_change_nothing(api, room):
    made = streaming_in(api, room)
    mix(api, room, made)
    path = f"/rooms/{room}/streams/{room}-common"
    before = done(api, "GET", path)
    wide = {**region("x"), "area": {**region("x")["area"], "width": "3/2"}}
    broken = {**region("x"), "area": {**region("x")["area"], "width": "1/0"}}
    full = {"stream": made, "region": region("x")}
    for value, expected in (
        ([{"region": region("y")}, full], REFUSED),
        ([full, {**full, "region": region("y")}], REFUSED),
        ([full, {"region": region("x")}], REFUSED),
        ([{"stream": "1", "region": region("x")}], REFUSED),
        ([{"stream": f"{room}-common", "region": region("x")}], REFUSED),
        ([{"stream": made, "region": wide}], REFUSED),
        ([{"stream": made, "region": broken}], BAD),
        ([{"stream": made}], BAD),
        ("fluid", BAD),
    ):
        updates = [update("replace", "/info/layout", [full]), update("replace", "/info/layout", value)]
        assert failing(api, "PATCH", path, updates) == expected
    assert failing(api, "PATCH", path, [update("add", "/info/inViews", "common")]) == REFUSED
    assert failing(api, "PATCH", path, [update("replace", "/media/audio/status", "inactive")]) == REFUSED
    assert done(api, "GET", path) == before


def test_custom_templates_are_used_and_spelled_as_fractions(api):
    area = {"left": "0.5", "top": 0.25, "width": "1/2", "height": "1"}
    template = {"region": [{"id": "only", "area": area}]}
    video = {"layout": {"templates": {"base": "void", "custom": [template]}}}
    room = api.room(views=[{"label": "common", "video": video}])
    made = streaming_in(api, room)
    mix(api, room, made)
    layout = done(api, "GET", f"/rooms/{room}/streams/{room}-common")["info"]["layout"]
    assert layout[0]["region"]["area"] == {"left": "1/2", "top": 0.25, "width": "1/2", "height": "1/1"}


# Views that come and go (17.6)


def test_a_view_that_a_put_takes_away_leaves_no_label_and_a_new_one_of_the_name_is_empty(api, room):
    made = streaming_in(api, room)
    mix(api, room, made)
    done(api, "PUT", f"/rooms/{room}", {"views": [{"label": "second"}]})
    assert listed(api, room) == [f"{room}-second", made]
    assert done(api, "GET", f"/rooms/{room}/streams/{made}")["info"]["inViews"] == []
    assert failing(api, "GET", f"/rooms/{room}/streams/{room}-common") == NO_STREAM
    done(api, "PUT", f"/rooms/{room}", {"views": [{"label": "common"}]})
    assert done(api, "GET", f"/rooms/{room}/streams/{made}")["info"]["inViews"] == []
    assert shown(api, room) == []
    mix(api, room, made)
    assert shown(api, room) == [made]


def test_a_view_that_stays_keeps_its_inputs_and_its_layout_unless_its_video_changed(api, room):
    made = streaming_in(api, room)
    mix(api, room, made)
    path = f"/rooms/{room}/streams/{room}-common"
    done(api, "PATCH", path, [update("replace", "/info/layout", [{"stream": made, "region": region("x")}])])
    same = done(api, "GET", f"/rooms/{room}")["views"]
    done(api, "PUT", f"/rooms/{room}", {"views": [{"label": "first"}, *same], "name": "n"})
    place = done(api, "GET", path)["info"]["layout"][0]
    assert (place["stream"], place["region"]["id"]) == (made, "x")
    same[0]["video"]["maxInput"] = 4
    done(api, "PUT", f"/rooms/{room}", {"views": same})
    place = done(api, "GET", path)["info"]["layout"][0]
    assert (place["stream"], place["region"]["id"]) == (made, "1")
    same[0]["video"]["maxInput"] = 16
    done(api, "PUT", f"/rooms/{room}", {"views": same})
    assert done(api, "GET", path)["info"]["layout"][0]["region"]["id"] == "1"


def test_a_view_that_turns_audio_only_has_no_video_and_no_layout(api, room):
    mix(api, room, streaming_in(api, room))
    done(api, "PUT", f"/rooms/{room}", {"views": [{"label": "common", "video": False}]})
    mixed = done(api, "GET", f"/rooms/{room}/streams/{room}-common")
    assert mixed["media"]["video"] is False
    assert mixed["info"]["layout"] == []


# Deletion (8)


@pytest.mark.parametrize("resource", ["streams", "streaming-ins"])
def test_a_forward_stream_goes_with_an_empty_answer_and_a_mixed_one_is_refused(api, room, resource):
    made = streaming_in(api, room)
    assert failing(api, "DELETE", f"/rooms/{room}/{resource}/{room}-common") == REFUSED
    assert api.call("DELETE", f"/rooms/{room}/{resource}/{made}").body == ""
    assert failing(api, "DELETE", f"/rooms/{room}/{resource}/{made}") == NO_STREAM
    assert failing(api, "GET", f"/rooms/{room}/streams/{made}") == NO_STREAM
    assert failing(api, "DELETE", f"/rooms/{room}/{resource}/{room}-common") == NO_STREAM


def test_a_stream_that_goes_ends_what_has_it_as_source_and_nothing_else(api, room, table):
    one, two = (streaming_in(api, room) for _ in range(2))
    mixed = f"{room}-common"

    def out(audio: str, video: str) -> str:
        media = {"audio": {"from": audio}, "video": {"from": video}}
        body = {"protocol": "rtmp", "url": "rtmp://x/y", "media": media}
        return str(done(api, "POST", f"/rooms/{room}/streaming-outs", body)["id"])

    kept = [out(two, two), out(mixed, mixed)]
    for audio, video in ((one, one), (one, two), (two, one), (mixed, one)):
        out(audio, video)
    done(api, "DELETE", f"/rooms/{room}/streams/{one}")
    assert [each["id"] for each in done(api, "GET", f"/rooms/{room}/streaming-outs")] == kept
    assert rows(table, "xe#") == []
    assert len(rows(table, "y#")) == 2


def test_a_deleted_room_answers_404_from_then_on_and_leaves_nothing(api, room, table):
    made = streaming_in(api, room)
    mix(api, room, made)
    path = f"/rooms/{room}/streams"
    done(api, "PATCH", f"{path}/{room}-common", [update("replace", "/info/layout", [])])
    assert api.call("DELETE", f"/rooms/{room}").body == "Room deleted"
    for method, name, body in (
        ("GET", "", NOTHING),
        ("GET", f"/{made}", NOTHING),
        ("PATCH", f"/{made}", []),
        ("DELETE", f"/{made}", NOTHING),
        ("GET", f"/{room}-common", NOTHING),
        ("PATCH", f"/{room}-common", []),
    ):
        assert failing(api, method, f"{path}{name}", body) == NO_ROOM
    for message in table.messages():
        assert owed.work([{"messageId": "1", "body": message["Body"]}]) == []
    assert Counter(row["sk"]["S"] for row in table.rows() if room in row["pk"]["S"]) == {}


# Streams of the media plane


def test_streams_of_participants_are_listed_with_their_owner(api, room, credentials):
    service = credentials.super_service_id
    ann = entering.join(service, room, "ann", "presenter").id
    made = entering.bring(
        service,
        room,
        Forward("", WEBRTC.media, ann, "webrtc", {"from": "here"}),
        in_views=["common"],
    )
    assert done(api, "GET", f"/rooms/{room}/streams/{made.id}")["info"] == {
        "owner": ann,
        "type": "webrtc",
        "inViews": ["common"],
        "attributes": {"from": "here"},
    }
    assert shown(api, room) == [made.id]
    mix(api, room, made.id, "remove")
    mix(api, room, made.id)
    done(
        api,
        "PATCH",
        f"/rooms/{room}/streams/{made.id}",
        [update("replace", "/media/audio/status", "inactive")],
    )
    done(api, "DELETE", f"/rooms/{room}/participants/{ann}")
    assert listed(api, room) == []


def test_streams_of_a_participant_who_was_dropped_are_gone_though_their_rows_still_stand(
    api, room, credentials, table
):
    service = credentials.super_service_id
    ann, bob = (entering.join(service, room, name, "presenter").id for name in ("ann", "bob"))
    made, kept = (
        entering.bring(service, room, Forward("", WEBRTC.media, who, "webrtc"), in_views=["common"]).id
        for who in (ann, bob)
    )
    owed_rows = participants.leave(service, room, ann)
    assert len(rows(table, "w#")) == 2
    assert listed(api, room) == [f"{room}-common", kept]
    assert shown(api, room) == [kept]
    path = f"/rooms/{room}/streams/{made}"
    mixing, muting = (
        update("remove", "/info/inViews", "common"),
        update("replace", "/media/audio/status", "inactive"),
    )
    for method, body in (
        ("GET", NOTHING),
        ("PATCH", []),
        ("PATCH", "{"),
        ("PATCH", [mixing]),
        ("PATCH", [muting]),
        ("PATCH", [mixing, update("add", "/info/inViews", "common")]),
        ("PATCH", [update("add", "/info/inViews", "nowhere")]),
        ("DELETE", NOTHING),
    ):
        assert failing(api, method, path, body) == NO_STREAM
    assert owed_rows


def test_what_the_media_plane_may_not_add(api, credentials):
    service = credentials.super_service_id
    room = api.room(inputLimit=2)
    given = Forward("abc_DEF-1", WEBRTC.media, "p", "webrtc")
    assert entering.bring(service, room, given).id == "abc_DEF-1"
    wrong = [given, *(Forward(name, WEBRTC.media) for name in ("a b", "ä", "x" * 300, f"{room}-common"))]
    for each in wrong:
        with pytest.raises(Refused):
            entering.bring(service, room, each)
    with pytest.raises(Refused):
        entering.bring(service, room, WEBRTC, in_views=["nowhere"])
    with pytest.raises(NoRoom):
        entering.bring(service, "5188b9af6e53c84ffd600499", WEBRTC)
    with pytest.raises(NoRoom):
        entering.bring("5188b9af6e53c84ffd600499", room, WEBRTC)
    with pytest.raises(BadData):
        entering.bring(service, room, Forward("", WEBRTC.media, attributes={"a": "x" * 400_000}))
    entering.bring(service, room, WEBRTC)
    with pytest.raises(Refused):
        entering.bring(service, room, WEBRTC)
    assert len(listed(api, room)) == 3


def test_streams_of_analytics_do_not_count_for_the_input_limit(api, credentials):
    service = credentials.super_service_id
    room = api.room(inputLimit=1)
    for _ in range(3):
        entering.bring(service, room, Forward("", WEBRTC.media, "a", "analytics"))
    made = streaming_in(api, room)
    analysed = [name for name in listed(api, room)[1:] if name != made]
    for name in analysed:
        done(api, "DELETE", f"/rooms/{room}/streams/{name}")
    body = {"connection": {"url": URL}, "media": {"audio": True, "video": True}}
    assert failing(api, "POST", f"/rooms/{room}/streaming-ins", body) == REFUSED
    done(api, "DELETE", f"/rooms/{room}/streams/{made}")
    assert listed(api, room) == []


def test_what_is_kept_of_a_connection(api, room, table):
    where = {"url": URL, "transportProtocol": "udp", "bufferSize": 1, "origin": {"isp": "i", "region": "r"}}
    body = {"connection": where, "media": {"audio": True, "video": True}}
    done(api, "POST", f"/rooms/{room}/streaming-ins", body)
    (row,) = rows(table, "w#")
    assert json.loads(row["con"]["S"]) == {
        "url": URL,
        "protocol": "udp",
        "buffer_size": 1,
        "origin": {"isp": "i", "region": "r"},
    }


# Storage that is slow to answer, and ids that meet


def test_a_change_whose_answer_was_lost_is_not_made_anew(api, room, monkeypatch):
    made = streaming_in(api, room)
    once = writes.update
    calls = []

    def twice(*args: Any, **options: Any) -> Any:
        """As botocore repeats a request whose answer it did not get."""
        calls.append(args)
        once(*args, **options)
        return once(*args, **options)

    monkeypatch.setattr(writes, "update", twice)
    quiet = update("replace", "/media/audio/status", "inactive")
    answer = done(api, "PATCH", f"/rooms/{room}/streams/{made}", [quiet])
    assert answer["media"]["audio"]["status"] == "inactive"
    assert len(calls) == 1


def test_a_stream_whose_new_id_is_taken_gets_another_one(api, room, monkeypatch):
    numbers = iter(["1", "1", "2"])
    monkeypatch.setattr(new_ids, "child", lambda: next(numbers))
    assert [streaming_in(api, room), streaming_in(api, room)] == ["1", "2"]


def test_what_was_decided_upon_an_older_state_is_decided_again(api, room, monkeypatch):
    one, two = (streaming_in(api, room) for _ in range(2))
    path = f"/rooms/{room}/streams/{room}-common"
    for each in (one, two):
        mix(api, room, each)
    find, scene = store.find, store.scene
    meanwhile = [
        ("PATCH", f"/rooms/{room}/streams/{one}", [update("replace", "/media/video/status", "inactive")]),
        ("PATCH", path, [update("replace", "/info/layout/0/stream", two)]),
    ]

    def interrupted(read: Any) -> Any:
        def then(*args: Any) -> Any:
            found = read(*args)
            if meanwhile:
                done(api, *meanwhile.pop())
            return found

        return then

    monkeypatch.setattr(store, "scene", interrupted(scene))
    answer = done(api, "PATCH", path, [update("replace", "/info/layout/0/stream", one)])
    # First the other change, then this one: they are back where they were.
    assert [place.get("stream") for place in answer["info"]["layout"]][:2] == [one, two]
    monkeypatch.setattr(store, "scene", scene)
    monkeypatch.setattr(store, "find", interrupted(find))
    meanwhile[:] = [
        ("PATCH", f"/rooms/{room}/streams/{one}", [update("replace", "/media/video/status", "inactive")])
    ]
    answer = done(
        api, "PATCH", f"/rooms/{room}/streams/{one}", [update("replace", "/media/audio/status", "inactive")]
    )
    assert answer["media"]["audio"]["status"] == answer["media"]["video"]["status"] == "inactive"


def test_a_put_between_reading_and_mixing_is_seen(api, room, monkeypatch):
    made = streaming_in(api, room)
    find = store.find
    puts = [{"views": [{"label": "second"}]}]

    def then(*args: Any) -> Any:
        found = find(*args)
        if puts:
            done(api, "PUT", f"/rooms/{room}", puts.pop())
        return found

    monkeypatch.setattr(store, "find", then)
    updates = [update("add", "/info/inViews", "common")]
    assert failing(api, "PATCH", f"/rooms/{room}/streams/{made}", updates) == REFUSED
