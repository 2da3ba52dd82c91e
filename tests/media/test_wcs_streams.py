"""Streams of a media server in rooms (contract 5): what its events make of them, in whatever order."""

import itertools
import json
from typing import Any

import pytest

from chalicelib import settings
from chalicelib.outbox import kicks, owed
from chalicelib.store import keys
from chalicelib.wcs import settings as wcs_settings
from chalicelib.wcs import store as wcs
from tests.conftest import Stack
from tests.media.mapped import APP, Mapped
from tests.owt import entering
from tests.owt.api import Api, ok
from tests.support.faults import Fault, Injector, Interlude, Kind
from tests.support.storage import Storage
from tests.wcs.server import NODE, SESSION

OTHER = "e9c002d0-fde2-11e6-a2bf-c99492323844"
FINAL = ("UNPUBLISHED", "STOPPED", "FAILED", "DISCONNECTED")


@pytest.fixture
def world(stack, credentials, monkeypatch):
    """On ministack, which is faster than moto."""
    api = Api(credentials.super_service_id, credentials.super_service_key)
    return Mapped(api, stack, monkeypatch)


@pytest.fixture
def make(stack: Stack, credentials, monkeypatch):
    """On ministack, which keeps what several do at once."""
    api = Api(credentials.super_service_id, credentials.super_service_key)
    return lambda **options: Mapped(api, stack, monkeypatch, **options)


def test_a_stream_that_is_published_is_one_of_the_room(world):
    world.say()
    assert world.streams()[SESSION] == {
        "id": SESSION,
        "type": "forward",
        "media": {
            "audio": {
                "status": "active",
                "source": "mic",
                "format": {"codec": "opus", "sampleRate": 48000, "channelNum": 2},
                "optional": world.streams()[SESSION]["media"]["audio"]["optional"],
            },
            "video": {
                "status": "active",
                "source": "camera",
                "original": [{"format": {"codec": "h264", "profile": "CB"}}],
                "optional": world.streams()[SESSION]["media"]["video"]["optional"],
            },
        },
        "info": {
            "owner": "admin",
            "type": "webrtc",
            "inViews": [],
            "attributes": {"nodeId": NODE, "appKey": APP, "name": "b4e7"},
        },
    }
    assert world.owing() == []


def test_a_final_status_takes_it_out(world):
    for status in FINAL:
        world.say(mediaSessionId=status)
        assert set(world.streams()) == {status}
        world.say(mediaSessionId=status, status=status)
        assert ok(world.api.get(f"/rooms/{world.room}/streams")) == []
        assert world.owing() == []


def test_no_other_status_brings_it_in_or_takes_it_out(world):
    world.say()
    for status in ("NEW", "PENDING", "RESIZE", "PLAYING", "SOMETHING_NEW"):
        world.say(mediaSessionId=status, status=status)
        world.say(status=status)
        assert set(world.streams()) == {SESSION}
        assert world.owing() == []


def test_what_is_not_mapped_stays_outside(world):
    others: list[dict[str, Any]] = [{"published": False}, {"published": ...}]
    others += [{"appKey": "another"}, {"appKey": 1}, {"appKey": ...}]
    for number, changed in enumerate(others):
        for status in ("PUBLISHING", "UNPUBLISHED"):
            world.say(mediaSessionId=f"s{number}", status=status, **changed)
            assert world.streams() == {}
            assert world.owing() == []


NAMES = [
    ("b4e7", "b4e7", True),
    ("b4e7", "b4e70", False),
    ("lesson-*", "lesson-1", True),
    ("lesson-*", "a lesson-1", False),
    ("*-in", "b4e7-in", True),
    ("a*b*c", "a.b.c", True),
    ("a*b*c", "acb", False),
    ("*", "", True),
    ("*", 5, True),
    ("?", "x", False),
]


def test_names_decide_by_a_pattern(world):
    world.map(*({"appKey": f"app{at}", "name": pattern} for at, (pattern, _, _) in enumerate(NAMES)))
    for at, (_, name, _) in enumerate(NAMES):
        world.say(mediaSessionId=f"s{at}", appKey=f"app{at}", name=name)
    assert set(world.streams()) == {f"s{at}" for at, (_, _, comes) in enumerate(NAMES) if comes}
    assert world.owing() == []


def test_the_first_target_that_fits_counts(world):
    other = world.api.room()
    world.map({"name": "b*", "room": other}, {"name": "*"})
    world.say()
    world.say(mediaSessionId=OTHER, name="x")
    assert set(world.streams()) == {OTHER}
    assert world.row().room == f"{world.api.service}/{other}"


def test_a_room_of_another_service_can_be_meant(world):
    made = ok(world.api.post("/services", {"name": "acme", "key": "s3cret"}))
    acme = Api(made["_id"], "s3cret")
    world.room = acme.room()
    world.map({"service": acme.service})
    world.api = acme
    world.say()
    assert set(world.streams()) == {SESSION}
    world.say(status="FAILED")
    assert world.streams() == {}


@pytest.mark.parametrize("target", [{"room": "0" * 24}, {"service": "0" * 24}], ids=str)
def test_a_room_that_is_not_there_is_no_error(world, target):
    world.map(target)
    world.say()
    world.say(status="UNPUBLISHED")
    assert world.streams() == {}
    assert world.owing() == []


def test_an_id_that_no_stream_of_a_room_can_have_stays_outside(world):
    for session in ("a/b", "x" * 300, "é", f"{world.room}-common"):
        world.say(mediaSessionId=session)
        assert world.streams() == {}
        assert world.owing() == []


# Any order, any number


def test_events_in_any_order_leave_nothing_behind(world):
    for number, order in enumerate(
        itertools.permutations(("PENDING", "PUBLISHING", "RESIZE", "UNPUBLISHED"))
    ):
        for status in order:
            world.say(mediaSessionId=f"s{number}", status=status)
        assert world.streams() == {}, order
    assert world.owing() == []


def test_of_any_beginning_only_the_order_of_the_end_matters(world):
    for number, order in enumerate(itertools.permutations(("PENDING", "PUBLISHING", "RESIZE"))):
        session = f"s{number}"
        for status in order:
            world.tell(mediaSessionId=session, status=status)
        world.serve()
        assert session in world.streams(), order


def test_duplicates_change_nothing(world):
    for _ in range(3):
        world.say()
    first = world.streams()
    world.say()
    assert world.streams() == first
    for _ in range(3):
        world.say(status="UNPUBLISHED")
    world.say()
    assert world.streams() == {}
    assert world.owing() == []


def test_events_that_were_told_before_any_was_seen_to_count_as_one(world):
    for status in ("PENDING", "PUBLISHING", "RESIZE", "PUBLISHING"):
        world.tell(status=status)
    world.serve()
    assert set(world.streams()) == {SESSION}
    world.tell(mediaSessionId=OTHER)
    world.tell(mediaSessionId=OTHER, status="UNPUBLISHED")
    world.serve()
    assert set(world.streams()) == {SESSION}


@pytest.mark.parametrize("first", ["old ends", "new begins"])
def test_a_stream_that_begins_anew_under_its_name_is_another_one(world, first):
    world.say()
    steps = [{"status": "UNPUBLISHED"}, {"mediaSessionId": OTHER}]
    for step in steps if first == "old ends" else reversed(steps):
        world.say(**step)
    assert set(world.streams()) == {OTHER}
    assert world.streams()[OTHER]["info"]["attributes"]["name"] == "b4e7"


def test_an_end_that_tells_nothing_but_itself_is_followed(world):
    world.say()
    left_out = dict.fromkeys(("appKey", "name", "published", "hasVideo", "hasAudio"), ...)
    world.say(status="UNPUBLISHED", **left_out)
    assert world.streams() == {}


def test_a_stream_that_changes_its_name_stays_where_it_is(world):
    world.map({"name": "b*"})
    world.say()
    world.say(name="x")
    assert set(world.streams()) == {SESSION}
    world.say(name="x", status="FAILED")
    assert world.streams() == {}


# What is said of its tracks

TRACKS: list[tuple[dict[str, Any], str, Any]] = [
    ({"hasVideo": False}, "video", False),
    ({"hasAudio": False}, "audio", False),
    ({"audioCodec": "G722"}, "audio.format", {"codec": "g722", "sampleRate": 16000, "channelNum": 1}),
    ({"audioCodec": "alaw"}, "audio.format", {"codec": "pcma"}),
    ({"audioCodec": "mpeg4-generic"}, "audio.format", {"codec": "aac"}),
    ({"audioCodec": ""}, "audio.format", {"codec": "opus", "sampleRate": 48000, "channelNum": 2}),
    ({"videoCodec": "VP8"}, "video.original.0.format", {"codec": "vp8"}),
    ({"videoCodec": 7}, "video.original.0.format", {"codec": "h264", "profile": "CB"}),
    (
        {"width": 1280, "height": 720, "fps": 30},
        "video.original.0.parameters",
        {"resolution": {"width": 1280, "height": 720}, "framerate": 30},
    ),
    (
        {"width": 1280, "height": 0, "fps": -1},
        "video.original.0",
        {"format": {"codec": "h264", "profile": "CB"}},
    ),
    (
        {"width": 1.5, "height": "9", "fps": 1e99},
        "video.original.0",
        {"format": {"codec": "h264", "profile": "CB"}},
    ),
    ({"audioState": {"muted": True}}, "audio.status", "inactive"),
    ({"videoState": {"muted": True}}, "video.status", "inactive"),
    ({"videoState": {"muted": "x"}, "audioState": None}, "video.status", "active"),
]


def test_tracks_are_what_the_server_says_from_the_start_and_later(world):
    for number, (said, _, _) in enumerate(TRACKS):
        world.say(mediaSessionId=f"first{number}", **said)
        world.say(mediaSessionId=f"later{number}")
        world.say(mediaSessionId=f"later{number}", **said)
    found = world.streams()
    for number, (said, where, expected) in enumerate(TRACKS):
        for session in (f"first{number}", f"later{number}"):
            value = found[session]["media"]
            for step in where.split("."):
                value = value[int(step) if step.isdigit() else step]
            assert value == expected, (said, session)


def test_a_resize_is_seen_and_takes_it_out_of_no_view(world):
    world.say()
    path = f"/streams/{SESSION}"
    ok(world.call("PATCH", path, [{"op": "add", "path": "/info/inViews", "value": "common"}]))
    world.say(status="RESIZE", width=320, height=240)
    (found,) = world.streams().values()
    size = found["media"]["video"]["original"][0]["parameters"]["resolution"]
    assert size == {"width": 320, "height": 240}
    assert found["info"]["inViews"] == ["common"]


def test_what_a_caller_set_stays_unless_the_server_says_otherwise(world):
    world.say()
    mute = [{"op": "replace", "path": "/media/audio/status", "value": "inactive"}]
    ok(world.call("PATCH", f"/streams/{SESSION}", mute))
    world.say(status="RESIZE", width=320, height=240)
    assert world.streams()[SESSION]["media"]["audio"]["status"] == "inactive"
    world.say(audioState={"muted": False})
    assert world.streams()[SESSION]["media"]["audio"]["status"] == "active"


def test_a_stream_without_tracks_stays_outside_until_it_has_some(world):
    world.say(hasAudio=False, hasVideo=False)
    assert world.streams() == {}
    world.say(hasAudio=True, hasVideo=False)
    assert set(world.streams()) == {SESSION}


# Who lets it in


def test_it_belongs_to_the_owner_that_is_set_and_goes_with_that_one(world):
    who = entering.join(world.api.service, world.room, "alice", "presenter")
    world.map({"owner": who.id})
    world.say()
    assert world.streams()[SESSION]["info"]["owner"] == who.id
    assert world.call("DELETE", f"/participants/{who.id}").status == 200
    assert world.streams() == {}
    world.say(status="RESIZE", width=7, height=7)
    world.say(status="UNPUBLISHED")
    assert world.owing() == []


def test_an_owner_has_to_be_there_and_to_be_allowed_to(world):
    roles = ("presenter", "audio_only_presenter", "viewer")
    owners = {role: entering.join(world.api.service, world.room, "u", role).id for role in roles}
    owners["nobody"] = "nobody"
    world.map(*({"name": name, "owner": owner} for name, owner in owners.items()), MEDIA_MODE="fire")
    told = [(name, has_video) for name in owners for has_video in (True, False)]
    for name, has_video in told:
        world.say(mediaSessionId=f"{name}{has_video}", name=name, hasVideo=has_video)
    for _ in range(3):
        world.pass_by(5)
    comes = {"presenterTrue", "presenterFalse", "audio_only_presenterFalse"}
    assert set(world.streams()) == comes
    for name, has_video in told:
        session = f"{name}{has_video}"
        assert world.goes_on(session) is (session in comes)


@pytest.mark.parametrize("mode", ["store", "fire", "confirm"])
def test_a_stream_that_the_room_does_not_take_is_tried_again_and_then_told_to_end(world, mode):
    world.room = world.api.room(inputLimit=1)
    world.map({}, MEDIA_MODE=mode)
    world.say()
    world.say(mediaSessionId=OTHER)
    assert set(world.streams()) == {SESSION}
    assert world.goes_on(OTHER)
    for _ in range(3):
        world.pass_by(5)
    assert set(world.streams()) == {SESSION}
    assert world.owing() == []
    assert world.goes_on(OTHER) is (mode == "store")
    assert world.goes_on(SESSION)


def test_one_that_came_before_the_one_that_it_replaces_had_left_comes_in(world):
    world.room = world.api.room(inputLimit=1)
    world.map({}, MEDIA_MODE="fire")
    world.say()
    world.say(mediaSessionId=OTHER)
    world.say(status="UNPUBLISHED")
    world.pass_by(5)
    assert set(world.streams()) == {OTHER}
    assert world.goes_on(OTHER)


def test_in_store_mode_one_that_was_not_taken_comes_in_with_later_news(world):
    world.room = world.api.room(inputLimit=1)
    world.map({})
    world.say()
    world.say(mediaSessionId=OTHER)
    for _ in range(3):
        world.pass_by(5)
    world.say(status="UNPUBLISHED")
    assert world.streams() == {}
    world.say(mediaSessionId=OTHER, status="RESIZE")
    assert set(world.streams()) == {OTHER}


# Nothing is lost, nothing comes back


def test_who_deleted_it_has_deleted_it_whatever_the_server_tells(world):
    world.say()
    assert world.call("DELETE", f"/streams/{SESSION}").status == 200
    for status in ("PUBLISHING", "RESIZE", "PENDING", "PUBLISHING"):
        world.say(status=status, width=7, height=7)
        assert world.streams() == {}
    world.say(status="UNPUBLISHED")
    assert world.owing() == []


def test_a_room_that_is_deleted_meanwhile_is_no_error(world):
    world.say()
    assert world.api.delete(f"/rooms/{world.room}").status == 200
    world.say(status="RESIZE", width=7, height=7)
    world.say(status="UNPUBLISHED")
    assert world.owing() == []


def test_the_event_itself_owes_what_follows_from_it(world):
    world.tell()
    assert world.owing() == [wcs.FOLLOW]
    row = world.row()
    assert (row.due, row.due_at) == (keys.due(wcs.FOLLOW, row.pk), world.now)
    assert [kicks.read(body) for body in world.kicked] == [(wcs.FOLLOW, row.key)]


def test_a_kick_that_was_lost_is_the_sweeps_business(world):
    world.tell()
    assert world.pass_by(0) == 1
    assert set(world.streams()) == {SESSION}
    world.tell(status="UNPUBLISHED")
    assert world.pass_by(0) == 1
    assert world.streams() == {}
    assert world.pass_by(60) == 0


def test_without_rooms_nothing_is_owed_and_nothing_kicked(world):
    world.set(WCS_ROOMS="")
    world.tell()
    world.tell(status="UNPUBLISHED")
    assert (world.owing(), world.kicked) == ([], [])
    assert set(world.stack.rows()[0]) & {"n", "p", "r", "m"} == set()


def test_two_workers_do_not_meet(world):
    world.tell()
    assert owed.claim(wcs.StreamRow, world.row().key) is not None
    world.serve()
    assert world.streams() == {}
    world.pass_by(31)
    assert set(world.streams()) == {SESSION}


def test_news_while_a_worker_has_the_stream_is_seen_to_by_it(make, monkeypatch):
    world = make()
    injector = Injector(monkeypatch)
    try:
        for at in range(4):
            session = f"s{at}"
            world.tell(mediaSessionId=session)

            def end(session=session):
                world.server.tell(mediaSessionId=session, status="FAILED")

            with injector.injecting(None, Interlude(at, end)):
                world.serve()
            assert injector.calls > at
            assert session not in world.streams(), at
            assert world.owing() == [], at
    finally:
        injector.stop()


@pytest.mark.parametrize("kind", [Kind.FAILS, Kind.LOST])
@pytest.mark.parametrize("status", ["PUBLISHING", "UNPUBLISHED"])
def test_a_worker_that_dies_leaves_it_to_the_next(make, monkeypatch, kind, status):
    world = make()
    injector = Injector(monkeypatch)
    try:
        for at in range(8):
            session = f"s{at}"
            if status == "UNPUBLISHED":
                world.say(mediaSessionId=session)
            world.tell(mediaSessionId=session, status=status)
            with injector.injecting(Fault(at, kind, True)):
                world.serve(failing=True)
            if not injector.met:
                break
            for _ in range(2):
                world.pass_by(31)
            assert (session in world.streams()) is (status == "PUBLISHING"), at
            assert world.owing() == [], at
        assert at >= 3
    finally:
        injector.stop()


def test_a_worker_that_died_after_it_put_the_stream_there_does_not_bring_it_back(make, monkeypatch):
    world = make()
    world.tell()
    injector = Injector(monkeypatch)
    try:
        with injector.injecting(Fault(3, Kind.FAILS, True)):
            world.serve(failing=True)
        assert injector.met
    finally:
        injector.stop()
    assert set(world.streams()) == {SESSION}
    assert world.call("DELETE", f"/streams/{SESSION}").status == 200
    world.pass_by(31)
    assert world.streams() == {}
    assert world.owing() == []


# Whose server has gone


def test_a_stream_that_is_silent_stays_until_it_is_forgotten(world):
    world.set(WCS_STALE_AFTER_S=600, WCS_OTHERS_KEPT_S=10_000)
    world.say()
    world.pass_by(601)
    assert world.row().stale is not None
    assert set(world.streams()) == {SESSION}
    world.pass_by(9_000)
    assert set(world.streams()) == {SESSION}
    world.pass_by(310)
    assert world.streams() == {}
    assert world.owing() == []


@pytest.mark.parametrize("news", ["PUBLISHING", "keep-alive"])
def test_news_put_that_off(world, news):
    world.set(WCS_STALE_AFTER_S=600, WCS_OTHERS_KEPT_S=10_000)
    world.say()
    world.pass_by(601)
    if news == "keep-alive":
        assert world.goes_on()
    else:
        world.say()
    world.pass_by(1)
    assert world.owing() == []
    world.pass_by(9_500)
    assert set(world.streams()) == {SESSION}
    world.say(status="UNPUBLISHED")
    assert world.streams() == {}
    assert world.owing() == []


def test_one_that_was_forgotten_by_its_room_comes_back_with_news(world):
    world.set(WCS_STALE_AFTER_S=600, WCS_OTHERS_KEPT_S=10_000)
    world.say()
    world.pass_by(601)
    world.pass_by(9_310)
    assert world.streams() == {}
    world.say()
    assert set(world.streams()) == {SESSION}


def test_a_stream_that_is_cut_to_what_may_be_kept_is_followed(world):
    world.say()
    for number in range(8):
        world.tell(**{f"x{number}": "x" * 60_000})
    world.serve()
    assert set(world.streams()) == {SESSION}
    assert world.call("DELETE", f"/streams/{SESSION}").status == 200
    for number in range(8):
        world.tell(**{f"y{number}": "y" * 60_000})
    world.serve()
    assert world.streams() == {}
    world.say(status="UNPUBLISHED", **{f"z{number}": "z" * 60_000 for number in range(4)})
    assert world.owing() == []


# Costs


def test_what_following_costs(make):
    world = make()
    storage = Storage()
    storage.listen()

    def spent(work):
        mark = len(storage.calls)
        work()
        return [call.operation for call in storage.since(mark)]

    world.server.tell(mediaSessionId="warm")
    assert spent(lambda: world.server.tell(status="PENDING")) == ["UpdateItem", "UpdateItem"]
    assert spent(lambda: world.server.tell(published=False, mediaSessionId="p")) == ["UpdateItem"] * 2
    assert spent(world.server.tell) == ["UpdateItem", "SendMessage"]
    world.say()
    world.tell()
    assert spent(world.serve) == ["UpdateItem", "UpdateItem"]
    world.tell(width=8, height=8)
    assert spent(world.serve) == ["UpdateItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]
    world.tell(mediaSessionId=OTHER)
    assert spent(world.serve) == ["UpdateItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]


# The setting


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '[{"service":"%(id)s","appKey":"a"}]',
        '[{"service":"%(id)s","appKey":"a","room":"r"}]',
        '[{"service":"s","appKey":"a","room":"%(id)s"}]',
        '[{"service":"%(id)s","appKey":"","room":"%(id)s"}]',
        '[{"service":"%(id)s","appKey":5,"room":"%(id)s"}]',
        '[{"service":"%(id)s","appKey":"a","room":"%(id)s","owner":"a b"}]',
        '[{"service":"%(id)s","appKey":"a","room":"%(id)s","names":"*"}]',
    ],
)
def test_a_malformed_setting_stops_the_start(monkeypatch, text):
    monkeypatch.setenv("WCS_ROOMS", text % {"id": "0" * 24} if "%" in text else text)
    settings.reset()
    with pytest.raises(settings.BadSetting, match="WCS_ROOMS: "):
        wcs_settings.get()


def test_names_and_owners_may_be_left_out(monkeypatch):
    identity = "0123456789abcdef01234567"
    monkeypatch.setenv("WCS_ROOMS", json.dumps([{"service": identity, "appKey": "a", "room": identity}]))
    settings.reset()
    (target,) = wcs_settings.get().targets
    assert (target.name, target.owner) == ("*", "admin")
