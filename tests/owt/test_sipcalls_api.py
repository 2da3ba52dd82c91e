"""SIP calls over HTTP, in this process (contract 12.1)."""

import pytest

from tests.owt import entering
from tests.owt.api import BAD, NO_PARTICIPANT, NO_RESOURCE, NO_ROOM, NO_STREAM, REFUSED, ok, refusal

OPUS = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
VIEW = {"resolution": {"width": 640, "height": 480}, "framerate": 24, "keyFrameInterval": 100}
SIP = {"sipServer": "sip.example.com", "username": "u", "password": "p"}
PEER = "bob@sip.example.com"


@pytest.fixture
def room(api):
    return api.room(sip=SIP)


def path(room, name=""):
    return f"/rooms/{room}/sipcalls" + (f"/{name}" if name else "")


def dial(room, video=True, source=None, **more):
    """The body of a call that gets the room's mixed stream, or another one."""
    there = source or f"{room}-common"
    sent = {"audio": {"from": there}, "video": {"from": there} if video else False}
    return {"peerURI": PEER, "mediaIn": {"audio": True, "video": video}, "mediaOut": sent} | more


def start(api, room, **wanted):
    return ok(api.post(path(room), dial(room, **wanted)))


def replace(where, value):
    return {"op": "replace", "path": where, "value": value}


def empty(api, room):
    """Whether nothing at all is in a room."""
    kinds = ("participants", "streams", "sipcalls", "recordings", "streaming-outs")
    return all(ok(api.get(f"/rooms/{room}/{kind}")) == [] for kind in kinds)


def test_a_call_is_what_the_contract_says(api, room):
    mixed = f"{room}-common"
    made = start(api, room)
    heard = made["input"]
    assert made == {
        "id": made["id"],
        "type": "dial-out",
        "peer": PEER,
        "input": heard,
        "output": {
            "id": made["output"]["id"],
            "media": {
                "audio": {"from": mixed, "format": OPUS, "status": "active"},
                "video": {"from": mixed, "format": {"codec": "vp8"}, "status": "active", "parameters": VIEW},
            },
        },
    }
    assert heard["info"] == {"owner": made["id"], "type": "sip", "inViews": []}
    assert ok(api.get(path(room))) == [made]


@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_the_input_has_the_shape_of_the_paths_version(api, room, version):
    made = start(api, room)
    there = api.at(version)
    (listed,) = ok(there.get(path(room)))
    changed = ok(there.patch(path(room, made["id"]), []))
    stream = ok(there.get(f"/rooms/{room}/streams/{made['input']['id']}"))
    assert listed["input"] == changed["input"] == stream
    assert ("original" in stream["media"]["video"]) is (version == "v1.1")
    assert start(there, room)["input"].keys() == stream.keys()


def test_the_call_is_a_participant_and_its_input_a_forward_stream(api, room):
    made = start(api, room)
    (participant,) = ok(api.get(f"/rooms/{room}/participants"))
    both = {"audio": True, "video": True}
    assert participant == {
        "id": made["id"],
        "user": PEER,
        "role": "sip",
        "permission": {"publish": both, "subscribe": both},
    }
    assert [each["id"] for each in ok(api.get(f"/rooms/{room}/streams"))] == [
        f"{room}-common",
        made["input"]["id"],
    ]


def test_a_call_without_video_has_none_in_either_direction(api, room):
    made = start(api, room, video=False)
    assert made["input"]["media"]["video"] is False
    assert made["output"]["media"]["video"] is False


def test_the_input_can_be_mixed_and_the_call_shows_it(api, room):
    made = start(api, room)
    body = [{"op": "add", "path": "/info/inViews", "value": "common"}]
    ok(api.patch(f"/rooms/{room}/streams/{made['input']['id']}", body))
    (listed,) = ok(api.get(path(room)))
    assert listed["input"]["info"]["inViews"] == ["common"]


@pytest.mark.parametrize(
    "change",
    [
        {"peerURI": 5},
        {"mediaIn": {"audio": False, "video": True}},
        {"mediaIn": {"audio": True, "video": False}},
        {"mediaIn": {"audio": True}},
        {"mediaOut": {"audio": False, "video": {"from": "x"}}},
        {"mediaOut": []},
    ],
)
def test_bad_calls_leave_no_trace(api, room, table, change):
    before = table.rows()
    assert refusal(api.post(path(room), dial(room) | change)) == BAD
    assert table.rows() == before


def test_an_unknown_source_is_refused(api, room, table):
    before = table.rows()
    assert refusal(api.post(path(room), dial(room, source="nothing"))) == REFUSED
    assert table.rows() == before


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sip": {"sipServer": "", "username": "u", "password": "p"}},
        {"sip": SIP, "inputLimit": 0},
        {"sip": SIP, "roles": [{"role": "presenter"}]},
        {"sip": SIP, "mediaIn": {"audio": [], "video": [{"codec": "h264"}]}},
        {"sip": SIP, "mediaIn": {"audio": [OPUS], "video": []}},
    ],
)
def test_a_room_that_cannot_have_the_call_refuses_all_of_it(api, table, options):
    room = api.room(**options)
    before = table.rows()
    assert refusal(api.post(path(room), dial(room))) == REFUSED
    assert table.rows() == before
    assert empty(api, room)


@pytest.mark.parametrize("limit", ["participantLimit", "inputLimit"])
def test_either_limit_holds_for_calls(api, limit):
    room = api.room(sip=SIP, **{limit: 1})
    made = start(api, room)
    assert refusal(api.post(path(room), dial(room))) == REFUSED
    assert [each["id"] for each in ok(api.get(path(room)))] == [made["id"]]
    ok_empty(api.delete(path(room, made["id"])))
    start(api, room)


def ok_empty(answer):
    assert (answer.status, answer.body) == (200, "")


# PATCH


def test_the_output_is_changed_below_output(api, room):
    made = start(api, room)
    there = api.streaming_in(room)
    changed = ok(
        api.patch(
            path(room, made["id"]),
            [
                replace("/output/media/audio/status", "inactive"),
                replace("/output/media/video/parameters/framerate", 15),
                replace("/output/media/video/from", there),
            ],
        )
    )
    assert changed == made | {"output": changed["output"]}
    assert changed["output"] == {
        "id": made["output"]["id"],
        "media": {
            "audio": {"from": f"{room}-common", "format": OPUS, "status": "inactive"},
            "video": {
                "from": there,
                "format": {"codec": "vp8"},
                "status": "active",
                "parameters": {"framerate": 15},
            },
        },
    }
    assert ok(api.get(path(room))) == [changed]


@pytest.mark.parametrize(
    ("update", "error"),
    [
        (replace("/media/audio/status", "inactive"), BAD),
        (replace("/output", {}), BAD),
        (replace("/output/output/media/audio/status", "active"), BAD),
        (replace("/input/media/audio/status", "active"), BAD),
        (replace("/output/media/video/from", "nothing"), REFUSED),
        (replace("/output/media/video/parameters/framerate", 60), REFUSED),
    ],
)
def test_a_list_is_all_or_nothing(api, room, update, error):
    made = start(api, room)
    pause = replace("/output/media/audio/status", "inactive")
    assert refusal(api.patch(path(room, made["id"]), [pause, update])) == error
    assert ok(api.get(path(room))) == [made]


def test_a_video_that_is_not_sent_cannot_be_changed(api, room):
    made = start(api, room, video=False)
    body = [replace("/output/media/video/status", "inactive")]
    assert refusal(api.patch(path(room, made["id"]), body)) == REFUSED


@pytest.mark.parametrize("name", ["165947774960847780", "%20", "x" * 3000])
def test_an_unknown_call_comes_before_the_body(api, room, name):
    assert refusal(api.patch(path(room, name), 5)) == NO_RESOURCE
    assert refusal(api.delete(path(room, name))) == NO_RESOURCE


# Ends


def record(api, room, source):
    return ok(api.post(f"/rooms/{room}/recordings", {"media": {"audio": {"from": source}, "video": False}}))


def test_hanging_up_takes_participant_input_output_and_what_the_input_feeds(api, room, table):
    before = table.rows()
    made = start(api, room)
    record(api, room, made["input"]["id"])
    ok_empty(api.delete(path(room, made["id"])))
    assert empty(api, room)
    assert refusal(api.get(f"/rooms/{room}/participants/{made['id']}")) == NO_PARTICIPANT
    assert refusal(api.get(f"/rooms/{room}/streams/{made['input']['id']}")) == NO_STREAM
    assert refusal(api.delete(path(room, made["id"]))) == NO_RESOURCE
    assert table.rows() == before


def test_dropping_the_participant_ends_the_call(api, room, table):
    before = table.rows()
    made = start(api, room)
    record(api, room, made["input"]["id"])
    ok_empty(api.delete(f"/rooms/{room}/participants/{made['id']}"))
    assert empty(api, room)
    assert refusal(api.patch(path(room, made["id"]), [])) == NO_RESOURCE
    assert table.rows() == before


def test_a_call_ends_with_its_input(api, room, table):
    before = table.rows()
    made = start(api, room)
    ok_empty(api.delete(f"/rooms/{room}/streams/{made['input']['id']}"))
    assert empty(api, room)
    assert table.rows() == before


def test_a_call_ends_with_the_source_of_its_output(api, room, table):
    there = api.streaming_in(room)
    made = start(api, room, source=there)
    other = start(api, room)
    ok_empty(api.delete(f"/rooms/{room}/streams/{there}"))
    assert ok(api.get(path(room))) == [other]
    assert [each["id"] for each in ok(api.get(f"/rooms/{room}/participants"))] == [other["id"]]
    assert made["id"] not in str(table.rows())


def test_a_participant_of_the_role_sip_is_no_call(api, room):
    joined = entering.join(api.service, room, "carol", "sip")
    assert ok(api.get(path(room))) == []
    assert refusal(api.delete(path(room, joined.id))) == NO_RESOURCE


def test_nothing_is_called_from_a_room_that_is_gone(api, room):
    made = start(api, room)
    api.delete(f"/rooms/{room}")
    assert refusal(api.get(path(room))) == NO_ROOM
    assert refusal(api.post(path(room), {})) == NO_ROOM
    assert refusal(api.patch(path(room, made["id"]), [])) == NO_ROOM
    assert refusal(api.delete(path(room, made["id"]))) == NO_ROOM
