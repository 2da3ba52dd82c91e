"""Analytics over HTTP, in this process (contract 12.2)."""

import pytest

from tests.owt.api import BAD, NO_RESOURCE, NO_ROOM, REFUSED, ok, refusal

CB = {"codec": "h264", "profile": "CB"}
VIEW = {"resolution": {"width": 640, "height": 480}, "framerate": 24, "keyFrameInterval": 100}


@pytest.fixture
def room(api):
    return api.room()


def path(room, name=""):
    return f"/rooms/{room}/analytics" + (f"/{name}" if name else "")


def look(source, **video):
    return {"algorithm": "a1b2", "media": {"audio": False, "video": {"from": source} | video}}


@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_an_analytic_has_both_shapes_at_once(api, room, version):
    mixed = f"{room}-common"
    made = ok(api.at(version).post(path(room), look(mixed, format=CB, parameters={"framerate": 15})))
    video = {"from": mixed, "format": CB, "parameters": VIEW | {"framerate": 15}, "status": "active"}
    assert made == {
        "id": made["id"],
        "analytics": {"algorithm": "a1b2"},
        "media": {"format": CB, "from": mixed, "video": video},
    }
    assert ok(api.at(version).get(path(room) + "/")) == [made]


def test_without_a_wish_the_sources_format_is_shown(api, room):
    there = api.streaming_in(room)
    made = ok(api.post(path(room), look(there)))
    assert made["media"] == {
        "format": CB,
        "from": there,
        "video": {"from": there, "format": CB, "status": "active"},
    }


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"media": {"audio": False, "video": {"from": "x"}}},
        {"algorithm": "", "media": {"audio": False, "video": {"from": "x"}}},
        {"algorithm": 1, "media": {"audio": False, "video": {"from": "x"}}},
        {"algorithm": "a"},
        {"algorithm": "a", "media": {"video": {"from": "x"}}},
        {"algorithm": "a", "media": {"audio": True, "video": {"from": "x"}}},
    ],
)
def test_bad_requests_leave_no_trace(api, room, table, body):
    before = table.rows()
    assert refusal(api.post(path(room), body)) == BAD
    assert table.rows() == before


def test_no_video_or_an_unknown_source_is_refused(api, room, table):
    mixed = f"{room}-common"
    before = table.rows()
    for media in (
        {"audio": False, "video": False},
        {"audio": {"from": mixed}, "video": False},
        {"audio": False, "video": {"from": "nothing"}},
        {"audio": {"from": "nothing"}, "video": {"from": mixed}},
    ):
        assert refusal(api.post(path(room), {"algorithm": "a", "media": media})) == REFUSED
    assert table.rows() == before


def test_there_is_no_patch(api, room):
    made = ok(api.post(path(room), look(f"{room}-common")))
    assert refusal(api.patch(path(room, made["id"]), [])) == NO_RESOURCE


def test_a_stopped_analytic_is_gone(api, room):
    made = ok(api.post(path(room), look(f"{room}-common")))
    answer = api.delete(path(room, made["id"]))
    assert (answer.status, answer.body) == (200, "")
    assert ok(api.get(path(room))) == []
    assert refusal(api.delete(path(room, made["id"]))) == NO_RESOURCE


def test_an_analytic_ends_with_its_source(api, room):
    there = api.streaming_in(room)
    made = ok(api.post(path(room), look(there)))
    api.delete(f"/rooms/{room}/streaming-ins/{there}")
    assert ok(api.get(path(room))) == []
    assert refusal(api.delete(path(room, made["id"]))) == NO_RESOURCE


def test_the_room_comes_first(api):
    unknown = "5188b9af6e53c84ffd600499"
    assert refusal(api.get(path(unknown))) == NO_ROOM
    assert refusal(api.post(path(unknown), 5)) == NO_ROOM
    assert refusal(api.delete(path(unknown, "x"))) == NO_ROOM
