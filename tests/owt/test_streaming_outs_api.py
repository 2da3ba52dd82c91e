"""Streaming-outs over HTTP, in this process (contract 9.1 and 10)."""

import pytest

from tests.owt.api import BAD, NO_RESOURCE, NO_ROOM, REFUSED, ok, refusal

AAC = {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
CB = {"codec": "h264", "profile": "CB"}
VIEW = {"resolution": {"width": 640, "height": 480}, "framerate": 24, "keyFrameInterval": 100}
URL = "rtmp://203.0.113.5/live"


@pytest.fixture
def room(api):
    return api.room()


def path(room, name=""):
    return f"/rooms/{room}/streaming-outs" + (f"/{name}" if name else "")


def both(source, **parameters):
    """A selection of both tracks of a stream."""
    video = {"from": source} | ({"parameters": parameters} if parameters else {})
    return {"audio": {"from": source}, "video": video}


def start(api, room, media, **more):
    body = {"protocol": "rtmp", "url": URL, "media": media} | more
    return ok(api.post(path(room), body))


def replace(where, value):
    return {"op": "replace", "path": where, "value": value}


def test_the_example_of_the_contract(api, room):
    mixed = f"{room}-common"
    made = start(api, room, both(mixed))
    assert made == {
        "id": made["id"],
        "protocol": "rtmp",
        "url": URL,
        "media": {
            "audio": {"from": mixed, "format": AAC, "status": "active"},
            "video": {"from": mixed, "format": CB, "status": "active", "parameters": VIEW},
        },
    }
    assert made["id"].isdigit()
    for version in ("v1", "v1.1"):
        assert ok(api.at(version).get(path(room) + "/")) == [made]


def test_an_idle_rooms_mixed_stream_is_a_source_and_the_first_use_activates_it(api, room):
    assert ok(api.get(f"/rooms/{room}/streams")) == []
    made = start(api, room, both(f"{room}-common"))
    assert [each["id"] for each in ok(api.get(f"/rooms/{room}/streams"))] == [f"{room}-common"]
    assert api.delete(path(room, made["id"])).status == 200
    assert ok(api.get(f"/rooms/{room}/streams")) == []


def test_the_list_is_in_the_order_of_starting(api, room):
    made = [start(api, room, both(f"{room}-common")) for _ in range(4)]
    assert ok(api.get(path(room))) == sorted(made, key=lambda each: each["id"])


def test_wanted_parameters_are_echoed_as_asked(api, room):
    made = start(api, room, both(f"{room}-common", bitrate="x0.2", framerate=15))
    assert made["media"]["video"]["parameters"] == VIEW | {"bitrate": "x0.2", "framerate": 15}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"url": "http://203.0.113.5/live"},
        {"protocol": "srt", "url": URL, "media": {"audio": False, "video": False}},
        {"protocol": "rtmp", "url": URL, "media": {"audio": {"from": 1}, "video": False}},
        {"protocol": "rtmp", "url": URL, "media": {"audio": {"from": "x"}}},
    ],
)
def test_bad_requests_leave_no_trace(api, room, table, body):
    before = table.rows()
    assert refusal(api.post(path(room), body)) == BAD
    assert table.rows() == before


@pytest.mark.parametrize(
    "media",
    [
        {"audio": False, "video": False},
        {"audio": {"from": "nothing"}, "video": False},
        {"audio": {"from": "x" * 5000}, "video": False},
        {"audio": False, "video": {"from": "ä b"}},
        {"audio": False, "video": {"from": "5188b9af6e53c84ffd600499-common"}},
    ],
)
def test_refused_requests_leave_no_trace(api, room, table, media):
    before = table.rows()
    assert refusal(api.post(path(room), {"url": URL, "media": media})) == REFUSED
    assert table.rows() == before


def test_more_than_a_row_can_keep_is_bad(api, room, table):
    body = {"protocol": "rtmp", "url": "rtmp://" + "ä" * 300_000, "media": both(f"{room}-common")}
    before = table.rows()
    assert refusal(api.post(path(room), body)) == BAD
    assert table.rows() == before


def test_a_track_that_the_source_lacks_is_refused(api, room):
    camera = api.streaming_in(room, audio=False)
    assert refusal(api.post(path(room), {"url": URL, "media": both(camera)})) == REFUSED
    start(api, room, {"audio": False, "video": {"from": camera}})


def test_the_room_comes_before_the_body(api):
    unknown = "5188b9af6e53c84ffd600499"
    assert refusal(api.post(path(unknown), 5)) == NO_ROOM
    assert refusal(api.call("POST", path(unknown), raw=b"{")) == NO_ROOM
    assert refusal(api.get(path(unknown))) == NO_ROOM


# PATCH


def test_a_new_source_keeps_the_id_the_formats_and_the_wishes(api, room):
    camera = api.streaming_in(room)
    made = start(api, room, both(f"{room}-common", framerate=15))
    changed = ok(
        api.patch(
            path(room, made["id"]),
            [replace("/media/audio/from", camera), replace("/media/video/from", camera)],
        )
    )
    assert changed == made | {
        "media": {
            "audio": {"from": camera, "format": AAC, "status": "active"},
            "video": {"from": camera, "format": CB, "status": "active", "parameters": {"framerate": 15}},
        }
    }
    assert ok(api.get(path(room))) == [changed]


@pytest.mark.parametrize(
    ("update", "where", "value"),
    [
        (
            replace("/media/video/parameters/resolution", {"width": 320, "height": 240}),
            "resolution",
            {"width": 320, "height": 240},
        ),
        (replace("/media/video/parameters/framerate", 6), "framerate", 6),
        (replace("/media/video/parameters/bitrate", "x0.4"), "bitrate", "x0.4"),
        (replace("/media/video/parameters/keyFrameInterval", 2), "keyFrameInterval", 2),
    ],
)
def test_each_parameter_can_be_changed(api, room, update, where, value):
    made = start(api, room, both(f"{room}-common"))
    changed = ok(api.patch(path(room, made["id"]), [update]))
    assert changed["media"]["video"]["parameters"] == VIEW | {where: value}


def test_tracks_can_be_paused_and_played(api, room):
    made = start(api, room, both(f"{room}-common"))
    where = path(room, made["id"])
    changed = ok(api.patch(where, [replace("/media/audio/status", "inactive")]))
    assert changed["media"]["audio"]["status"] == "inactive"
    assert changed["media"]["video"]["status"] == "active"
    assert ok(api.patch(where, [replace("/media/audio/status", "active")])) == made


def test_an_empty_list_changes_nothing(api, room):
    made = start(api, room, both(f"{room}-common"))
    assert ok(api.patch(path(room, made["id"]), [])) == made


GOOD = replace("/media/video/parameters/framerate", 6)


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (replace("/media/video/parameters/framerate", 7), BAD),
        (replace("/media/video/parameters/bitrate", 0.8), BAD),
        (replace("/media/video/format", CB), BAD),
        (replace("/output/media/audio/status", "active"), BAD),
        ({"op": "add", "path": "/media/audio/from", "value": "x"}, BAD),
        (replace("/media/audio/from", 5), BAD),
        (replace("/media/audio/from", "nothing"), REFUSED),
        (replace("/media/video/parameters/framerate", 60), REFUSED),
        (replace("/media/video/parameters/resolution", {"width": 1, "height": 1}), REFUSED),
        (5, BAD),
    ],
)
def test_a_list_is_all_or_nothing(api, room, table, last, error):
    made = start(api, room, both(f"{room}-common"))
    before = table.rows()
    assert refusal(api.patch(path(room, made["id"]), [GOOD, last])) == error
    assert table.rows() == before
    assert ok(api.get(path(room))) == [made]


def test_a_track_that_is_off_cannot_be_changed(api, room):
    made = start(api, room, {"audio": {"from": f"{room}-common"}, "video": False})
    assert refusal(api.patch(path(room, made["id"]), [GOOD])) == REFUSED


def test_an_unknown_id_comes_before_the_body(api, room):
    for name in ("165947774960847780", "x" * 3000, "%20"):
        for body in ([], [GOOD], 5):
            assert refusal(api.patch(path(room, name), body)) == NO_RESOURCE
        assert refusal(api.delete(path(room, name))) == NO_RESOURCE


# What ends them


def test_stopping_is_answered_with_nothing_and_counts_once(api, room):
    made = start(api, room, both(f"{room}-common"))
    answer = api.delete(path(room, made["id"]) + "/")
    assert (answer.status, answer.body) == (200, "")
    assert refusal(api.delete(path(room, made["id"]))) == NO_RESOURCE
    assert refusal(api.patch(path(room, made["id"]), [])) == NO_RESOURCE
    assert ok(api.get(path(room))) == []


@pytest.mark.parametrize("track", ["audio", "video"])
def test_it_ends_with_either_of_its_sources(api, room, table, track):
    camera = api.streaming_in(room)
    media = both(f"{room}-common")
    media[track] = {"from": camera}
    gone, stays = start(api, room, media), start(api, room, both(f"{room}-common"))
    assert api.delete(f"/rooms/{room}/streams/{camera}").status == 200
    assert ok(api.get(path(room))) == [stays]
    assert refusal(api.patch(path(room, gone["id"]), [])) == NO_RESOURCE
    assert refusal(api.delete(path(room, gone["id"]))) == NO_RESOURCE
    assert gone["id"] not in str(table.rows())


def test_it_does_not_end_with_a_source_that_it_had_before(api, room):
    camera = api.streaming_in(room)
    made = start(api, room, both(camera))
    mixed = f"{room}-common"
    changed = ok(
        api.patch(
            path(room, made["id"]), [replace("/media/audio/from", mixed), replace("/media/video/from", mixed)]
        )
    )
    api.delete(f"/rooms/{room}/streams/{camera}")
    assert ok(api.get(path(room))) == [changed]


def test_it_ends_with_the_view_whose_mixed_stream_feeds_it(api):
    room = api.room(views=[{"label": "a"}, {"label": "b"}])
    gone, stays = start(api, room, both(f"{room}-a")), start(api, room, both(f"{room}-b"))
    ok(api.put(f"/rooms/{room}", {"views": [{"label": "b"}, {"label": "c"}]}))
    assert ok(api.get(path(room))) == [stays]
    assert refusal(api.delete(path(room, gone["id"]))) == NO_RESOURCE
    assert refusal(api.post(path(room), {"url": URL, "media": both(f"{room}-a")})) == REFUSED
    start(api, room, both(f"{room}-c"))


def test_a_view_of_the_same_name_is_another_one(api):
    room = api.room()
    gone = start(api, room, both(f"{room}-common"))
    ok(api.put(f"/rooms/{room}", {"views": []}))
    ok(api.put(f"/rooms/{room}", {"views": [{}]}))
    assert ok(api.get(path(room))) == []
    assert refusal(api.patch(path(room, gone["id"]), [])) == NO_RESOURCE


def test_an_id_of_another_kind_is_unknown_here(api, room):
    media = {"audio": {"from": f"{room}-common"}, "video": False}
    out = start(api, room, media)["id"]
    recording = ok(api.post(f"/rooms/{room}/recordings", {"media": media}))["id"]
    assert refusal(api.delete(path(room, recording))) == NO_RESOURCE
    assert refusal(api.patch(path(room, recording), [])) == NO_RESOURCE
    for kind in ("recordings", "sipcalls", "analytics"):
        assert refusal(api.delete(f"/rooms/{room}/{kind}/{out}")) == NO_RESOURCE
    assert [each["id"] for each in ok(api.get(path(room)))] == [out]
