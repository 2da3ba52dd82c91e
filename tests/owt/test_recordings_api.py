"""Recordings over HTTP, in this process (contract 11)."""

import pytest

from chalicelib import settings
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from tests.owt import entering
from tests.owt.api import BAD, NO_RESOURCE, NO_ROOM, REFUSED, ok, refusal

OPUS = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
AAC = {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
CB = {"codec": "h264", "profile": "CB"}


@pytest.fixture(autouse=True)
def _store(monkeypatch):
    """Where this deployment keeps recordings."""
    monkeypatch.setenv("OWT_RECORDING_HOST", "rec.example.com")
    monkeypatch.setenv("OWT_RECORDING_PATH", "/srv/recordings/")
    settings.reset()


@pytest.fixture
def room(api):
    return api.room()


def path(room, name=""):
    return f"/rooms/{room}/recordings" + (f"/{name}" if name else "")


def tracks(source, audio=None, video=None):
    """Both tracks of a stream, in these formats; `False` leaves one out."""
    return {
        name: wish is not False and ({"from": source} | ({"format": wish} if wish else {}))
        for name, wish in (("audio", audio), ("video", video))
    }


def start(api, room, media, **more):
    return ok(api.post(path(room), {"media": media} | more))


def camera(api, room, audio=OPUS, video=CB):
    """The id of a stream that somebody publishes."""
    media = Media(Audio(audio, "mic"), Video((Layer(video),), "camera"))
    return entering.bring(api.service, room, Forward("", media, "alice", "webrtc")).id


def replace(where, value):
    return {"op": "replace", "path": where, "value": value}


@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_a_recording_has_its_id_in_its_files_name(api, room, version):
    mixed = f"{room}-common"
    made = start(api.at(version), room, tracks(mixed, video=False))
    assert made == {
        "id": made["id"],
        "media": {"audio": {"from": mixed, "format": OPUS, "status": "active"}, "video": False},
        "storage": {"host": "rec.example.com", "file": f"/srv/recordings/{made['id']}.mkv"},
    }
    assert ok(api.at(version).get(path(room))) == [made]


@pytest.mark.parametrize(
    ("wanted", "media", "ends"),
    [
        (None, {"audio": AAC, "video": CB}, "mp4"),
        ("auto", {"audio": AAC, "video": CB}, "mp4"),
        ("auto", {"audio": AAC, "video": False}, "mp4"),
        ("auto", {"audio": AAC}, "mkv"),
        ("auto", {"audio": False, "video": CB}, "mkv"),
        ("auto", {}, "mkv"),
        ("mkv", {"audio": AAC, "video": CB}, "mkv"),
        ("mp4", {"audio": AAC, "video": CB}, "mp4"),
        ("mp4", {"audio": False, "video": CB}, "mp4"),
    ],
)
def test_the_container_follows_the_codecs(api, room, wanted, media, ends):
    body = {"container": wanted} if wanted else {}
    made = start(api, room, tracks(f"{room}-common", **media), **body)
    assert made["storage"]["file"].endswith(f"{made['id']}.{ends}")


def test_without_a_wish_the_sources_codecs_count(api, room):
    made = start(api, room, tracks(camera(api, room, AAC)))
    assert made["storage"]["file"].endswith(".mp4")
    assert made["media"]["video"] == {
        "from": made["media"]["video"]["from"],
        "format": CB,
        "status": "active",
    }


def test_the_example_of_the_contract(api, room):
    answer = api.post(
        path(room), {"container": "mp4", "media": {"audio": {"from": f"{room}-common"}, "video": False}}
    )
    assert (answer.status, answer.json()) == (
        400,
        {"error": {"code": 1301, "message": "mp4 needs aac audio"}},
    )


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"container": "mp4", "media": {"audio": {"from": "nothing"}, "video": False}}, REFUSED),
        ({"media": {"audio": False, "video": False}}, REFUSED),
        ({"container": "ts", "media": {"audio": {"from": "nothing"}, "video": False}}, BAD),
        ({"container": 5, "media": {"audio": {"from": "nothing"}, "video": False}}, BAD),
        ({}, BAD),
        (None, BAD),
        ([], BAD),
    ],
)
def test_what_is_not_recorded_leaves_no_trace(api, room, table, body, error):
    before = table.rows()
    assert refusal(api.post(path(room), body)) == error
    assert table.rows() == before


@pytest.mark.parametrize(
    "codec", [{"codec": "ac3"}, {"codec": "nellymoser"}, {"codec": "isac", "sampleRate": 16000}]
)
def test_some_audio_codecs_are_not_recorded(api, room, codec):
    assert refusal(api.post(path(room), {"media": tracks(f"{room}-common", audio=codec)})) == REFUSED
    there = camera(api, room, audio=codec)
    assert refusal(api.post(path(room), {"media": tracks(there)})) == REFUSED
    start(api, room, tracks(there, audio={"codec": "pcmu"}))


def test_a_change_keeps_id_file_and_format(api, room):
    made = start(api, room, tracks(f"{room}-common", audio=AAC, video=CB))
    there = camera(api, room)
    changed = ok(
        api.patch(
            path(room, made["id"]), [replace("/media/audio/from", there), replace("/media/video/from", there)]
        )
    )
    assert changed["id"] == made["id"]
    assert changed["storage"] == made["storage"]
    assert changed["media"] == {
        "audio": {"from": there, "format": AAC, "status": "active"},
        "video": {"from": there, "format": CB, "status": "active"},
    }
    assert ok(api.get(path(room))) == [changed]


def test_a_format_that_the_new_source_does_not_offer_is_refused(api, table):
    room = api.room(transcoding={"audio": False})
    made = start(api, room, tracks(f"{room}-common"))
    there = camera(api, room, audio=AAC)
    before = table.rows()
    assert refusal(api.patch(path(room, made["id"]), [replace("/media/audio/from", there)])) == REFUSED
    assert table.rows() == before
    assert ok(api.get(path(room))) == [made]


@pytest.mark.parametrize(
    ("update", "error"),
    [
        (replace("/container", "mkv"), BAD),
        (replace("/storage/file", "x"), BAD),
        (replace("/media/audio/from", "nothing"), REFUSED),
    ],
)
def test_bad_changes_change_nothing(api, room, update, error):
    made = start(api, room, tracks(f"{room}-common"))
    pause = replace("/media/audio/status", "inactive")
    assert refusal(api.patch(path(room, made["id"]), [pause, update])) == error
    assert ok(api.get(path(room))) == [made]


def test_a_stopped_recording_is_gone(api, room):
    made = start(api, room, tracks(f"{room}-common"))
    answer = api.delete(path(room, made["id"]))
    assert (answer.status, answer.body) == (200, "")
    assert ok(api.get(path(room))) == []
    assert refusal(api.delete(path(room, made["id"]))) == NO_RESOURCE


def test_a_recording_ends_with_its_source(api, room):
    there = camera(api, room)
    made = start(api, room, tracks(there))
    api.delete(f"/rooms/{room}/streams/{there}")
    assert ok(api.get(path(room))) == []
    assert refusal(api.patch(path(room, made["id"]), [])) == NO_RESOURCE


def test_nothing_is_recorded_in_a_room_that_is_gone(api, room):
    made = start(api, room, tracks(f"{room}-common"))
    api.delete(f"/rooms/{room}")
    assert refusal(api.get(path(room))) == NO_ROOM
    assert refusal(api.post(path(room), {})) == NO_ROOM
    assert refusal(api.patch(path(room, made["id"]), [])) == NO_ROOM
    assert refusal(api.delete(path(room, made["id"]))) == NO_ROOM
