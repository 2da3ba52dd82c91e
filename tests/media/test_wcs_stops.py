"""What a caller orders of a media server's streams: their server learns of it when it asks (contract 5)."""

import pytest

from chalicelib.media import streams
from chalicelib.outbox import owed
from chalicelib.owt.store import commands
from chalicelib.store import keys
from tests.media.mapped import Mapped
from tests.owt import entering
from tests.owt.api import Api, ok
from tests.support.faults import Fault, Injector, Kind
from tests.wcs.server import SESSION

OTHER = "e9c002d0-fde2-11e6-a2bf-c99492323844"
MODES = pytest.mark.parametrize("mode", ["fire", "confirm"])


@pytest.fixture
def world(stack, credentials, monkeypatch):
    """On ministack, which is faster than moto; what callers order is carried out."""
    api = Api(credentials.super_service_id, credentials.super_service_key)
    made = Mapped(api, stack, monkeypatch)
    made.set(MEDIA_MODE="fire")
    return made


def pending(world):
    """The commands that wait for workers: kinds and targets."""
    return [(row.kind, row.target) for row in commands.pending(world.api.service)]


@MODES
@pytest.mark.parametrize("path", ["streams", "streaming-ins"])
def test_a_stream_that_is_deleted_ends_with_the_servers_next_question(world, mode, path):
    world.set(MEDIA_MODE=mode)
    world.say()
    world.say(mediaSessionId=OTHER)
    assert world.goes_on()
    assert world.call("DELETE", f"/{path}/{SESSION}").status == 200
    assert not world.goes_on()
    assert world.goes_on(OTHER)
    assert set(world.streams()) == {OTHER}
    assert pending(world) == []
    assert world.owing() == []
    world.say(status="FAILED", info="Terminated by keep-alive")
    assert set(world.streams()) == {OTHER}
    assert world.owing() == []


def test_without_workers_it_only_leaves_the_room(world):
    world.set(MEDIA_MODE="store")
    world.say()
    assert world.call("DELETE", f"/streams/{SESSION}").status == 200
    assert world.streams() == {}
    assert world.goes_on()


@MODES
def test_the_command_is_acknowledged_and_says_so(world, mode):
    world.set(MEDIA_MODE=mode)
    world.say()
    with world.catching():
        assert world.api.delete(f"/rooms/{world.room}/streams/{SESSION}").status == 200
    ((kind, target),) = pending(world)
    (row,) = commands.pending(world.api.service)
    assert (kind, target) == ("stream.stop", SESSION)
    assert world.owing() == [streams.STOP]
    world.serve()
    known = commands.outcome(row.sk)
    assert known is not None
    assert known.ok is True


def test_a_stop_of_any_other_stream_is_left_to_the_workers(world):
    world.say()
    other = world.api.streaming_in(world.room)
    assert world.call("DELETE", f"/streams/{other}").status == 200
    assert ("stream.stop", other) in pending(world)
    assert world.owing() == []
    assert world.goes_on()


def test_a_stop_in_a_room_that_is_not_mapped_owes_nothing(world):
    room, world.room = world.room, world.api.room()
    stream = world.api.streaming_in(world.room)
    with world.catching():
        world.api.delete(f"/rooms/{world.room}/streams/{stream}")
    assert world.owing() == []
    world.room = room


def test_a_worker_that_acknowledges_first_keeps_nobody_from_ending_it(world):
    world.say()
    with world.catching():
        world.api.delete(f"/rooms/{world.room}/streams/{SESSION}")
    (row,) = commands.pending(world.api.service)
    worker = world.api.at("media/v1")
    assert worker.post(f"/commands/{row.sk}/ack", {"ok": False, "reason": "no such stream"}).status == 204
    world.serve()
    assert not world.goes_on()
    assert world.owing() == []


def test_who_is_dropped_takes_the_streams_that_are_theirs_along(world):
    who = entering.join(world.api.service, world.room, "alice", "presenter")
    world.map({"owner": who.id, "name": "b*"}, {})
    world.say()
    world.say(mediaSessionId=OTHER, name="x")
    assert world.call("DELETE", f"/participants/{who.id}").status == 200
    assert set(world.streams()) == {OTHER}
    assert not world.goes_on()
    assert world.goes_on(OTHER)
    assert world.owing() == []
    assert ("participant.drop", who.id) in pending(world)


def test_a_room_that_is_deleted_ends_all_that_were_in_it(world):
    room = world.api.room()
    world.map({"name": "b*"}, {"name": "x*", "room": room})
    world.say()
    world.say(mediaSessionId=OTHER, name="x")
    assert world.call("DELETE", "").status == 200
    assert not world.goes_on()
    assert world.goes_on(OTHER)
    assert world.owing() == []


def test_a_service_that_is_deleted_ends_all_that_were_in_its_rooms(world):
    acme = Api(ok(world.api.post("/services", {"name": "acme", "key": "s3cret"}))["_id"], "s3cret")
    room = acme.room()
    world.map({"service": acme.service, "room": room})
    world.say()
    with world.catching():
        assert world.api.delete(f"/services/{acme.service}").status == 200
    for _ in range(3):
        world.serve()
        world.pass_by(1)
    assert not world.goes_on()


def test_a_kick_that_was_lost_is_the_sweeps_business(world):
    world.say()
    with world.catching():
        world.api.delete(f"/rooms/{world.room}/streams/{SESSION}")
    world.pass_by(1)
    assert not world.goes_on()
    assert pending(world) == []


def test_one_worker_sees_to_it(world):
    world.say()
    with world.catching():
        world.api.delete(f"/rooms/{world.room}/streams/{SESSION}")
    (row,) = commands.pending(world.api.service)
    assert owed.claim(commands.ErrandRow, keys.owt_errand(row.sk)) is not None
    world.serve()
    assert world.goes_on()
    world.pass_by(31)
    assert not world.goes_on()


@pytest.mark.parametrize("kind", [Kind.FAILS, Kind.LOST])
@pytest.mark.parametrize("what", ["stream", "room"])
def test_a_worker_that_dies_leaves_it_to_the_next(stack, credentials, monkeypatch, kind, what):
    api = Api(credentials.super_service_id, credentials.super_service_key)
    world = Mapped(api, stack, monkeypatch)
    rooms = [api.room() for _ in range(12)]
    world.map(*({"name": f"n{at}", "room": room} for at, room in enumerate(rooms)), MEDIA_MODE="fire")
    injector = Injector(monkeypatch)
    try:
        for at, world.room in enumerate(rooms):
            session = f"s{at}"
            world.say(mediaSessionId=session, name=f"n{at}")
            with world.catching():
                api.delete(f"/rooms/{world.room}" + (f"/streams/{session}" if what == "stream" else ""))
            with injector.injecting(Fault(at, kind, True)):
                world.serve(failing=True)
            for _ in range(2):
                world.pass_by(31)
            assert not world.goes_on(session), at
            assert world.owing() == [], at
            if not injector.met:
                break
        assert at >= 3
    finally:
        injector.stop()


def test_one_that_was_asked_to_end_before_it_was_seen_to_stays_outside(world):
    world.tell()
    ok(world.user.post("terminate", {"mediaSessionId": SESSION}))
    world.serve()
    assert world.streams() == {}
    assert world.owing() == []
