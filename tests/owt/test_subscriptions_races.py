"""Subscriptions while their sources and they themselves change, at one moment; and after deaths."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from chalicelib.errors import AppError
from chalicelib.owt import purge
from chalicelib.owt.actions import participants as people
from chalicelib.owt.actions import recordings, sipcalls, streaming_outs
from chalicelib.owt.actions import streams as stream_actions
from chalicelib.owt.errors import NoParticipant, NoResource, NoStream, Refused
from chalicelib.owt.room import parse_new
from chalicelib.owt.store import rooms
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.store.keys import Key
from tests.owt import entering
from tests.owt.api import NO_RESOURCE, REFUSED, ok, refusal
from tests.owt.furnished import SIP
from tests.support.counts import full
from tests.support.threads import all_at_once

ROUNDS = full(20, 200)
SERVICE = "5188b9af6e53c84ffd600499"
MEDIA = Media(
    Audio({"codec": "opus", "sampleRate": 48000, "channelNum": 2}, "mic"),
    Video((Layer({"codec": "h264", "profile": "CB"}),), "camera"),
)


def new_room(**options: Any) -> str:
    document = parse_new({"name": "r", "options": {"sip": SIP} | options})
    return rooms.create(SERVICE, document, check_service=False).id


def publish(room: str, owner: str = "alice") -> str:
    return entering.bring(SERVICE, room, Forward("", MEDIA, owner, "webrtc")).id


def taking(source: str) -> dict[str, Any]:
    return {"audio": {"from": source}, "video": {"from": source}}


def record(room: str, source: str) -> str:
    return str(recordings.start(SERVICE, room, sent({"media": taking(source)}))["id"])


def dial(room: str, source: str = "") -> dict[str, Any]:
    body = {
        "peerURI": "bob@example.com",
        "mediaIn": {"audio": True, "video": True},
        "mediaOut": taking(source or f"{room}-common"),
    }
    return sipcalls.start(SERVICE, room, sent(body), "v1")


def sent(body: Any) -> Callable[[], Any]:
    """A body as actions read it."""
    return lambda: body


def counts(room: str) -> tuple[int, int, int]:
    state = rooms.read(SERVICE, room)
    return state.participants, state.inputs, state.others


def race(*works: Callable[[], object]) -> Sequence[object]:
    return all_at_once(works, AppError)


@pytest.mark.parametrize("limit", ["participantLimit", "inputLimit"])
def test_of_many_calls_at_once_exactly_as_many_are_made_as_the_limit_says(stack, limit):
    for number in range(ROUNDS):
        fit = 1 + number % 3
        room = new_room(**{limit: fit})
        outcomes = race(*[partial(dial, room)] * 4)
        assert sum(isinstance(each, Refused) for each in outcomes) == 4 - fit, outcomes
        made = {call["id"] for call in sipcalls.listed(SERVICE, room, "v1")}
        assert made == {each["id"] for each in outcomes if isinstance(each, dict)}
        assert {each.id for each in people.listed(SERVICE, room)} == made
        assert counts(room) == (fit, fit, fit)


def test_nothing_is_recorded_from_a_stream_that_went_meanwhile(stack):
    for _ in range(ROUNDS):
        room = new_room()
        camera = publish(room)
        outcomes = race(
            partial(record, room, camera),
            partial(stream_actions.remove, SERVICE, room, camera),
            partial(record, room, camera),
        )
        assert outcomes[1] is None
        assert all(isinstance(each, str | Refused) for each in (outcomes[0], outcomes[2])), outcomes
        assert recordings.listed(SERVICE, room) == []
        assert counts(room) == (0, 0, 0)


def test_what_is_fed_by_a_stream_that_went_while_it_was_changed_is_gone(stack):
    for _ in range(ROUNDS):
        room = new_room()
        camera, mixed = publish(room), f"{room}-common"
        name = record(room, mixed)
        updates = [{"op": "replace", "path": "/media/audio/from", "value": camera}]
        changed, _ = race(
            partial(recordings.change, SERVICE, room, name, sent(updates)),
            partial(stream_actions.remove, SERVICE, room, camera),
        )
        left = recordings.listed(SERVICE, room)
        # It was refused, or it took the source and went with it.
        assert (left != []) is isinstance(changed, Refused), (changed, left)
        assert counts(room) == (0, 0, len(left))


def test_lists_of_updates_at_once_all_take_effect(stack):
    values = {"framerate": 15, "bitrate": "x0.4", "keyFrameInterval": 5}
    for _ in range(ROUNDS):
        room = new_room()
        body = {"url": "rtmp://h/a", "media": taking(f"{room}-common")}
        name = streaming_outs.start(SERVICE, room, sent(body))["id"]
        lists = [
            [{"op": "replace", "path": f"/media/video/parameters/{field}", "value": value}]
            for field, value in values.items()
        ]
        works = [partial(streaming_outs.change, SERVICE, room, name, sent(each)) for each in lists]
        assert not any(isinstance(each, AppError) for each in race(*works))
        (left,) = streaming_outs.listed(SERVICE, room)
        assert left["media"]["video"]["parameters"].items() >= values.items()


def test_of_many_who_stop_one_exactly_one_does(stack):
    for _ in range(ROUNDS):
        room = new_room()
        name = record(room, f"{room}-common")
        outcomes = race(*[partial(recordings.stop, SERVICE, room, name)] * 3)
        assert sorted(each is None for each in outcomes) == [False, False, True], outcomes
        assert all(each is None or isinstance(each, NoResource) for each in outcomes), outcomes
        assert counts(room) == (0, 0, 0)


def test_a_call_that_ends_in_three_ways_at_once_ends_once(stack):
    for _ in range(ROUNDS):
        room = new_room()
        call = dial(room)
        other = dial(room)["id"]
        outcomes = race(
            partial(sipcalls.stop, SERVICE, room, call["id"]),
            partial(people.drop, SERVICE, room, call["id"]),
            partial(stream_actions.remove, SERVICE, room, call["input"]["id"]),
        )
        gone = (NoResource, NoParticipant, NoStream)
        assert all(each is None or isinstance(each, gone) for each in outcomes), outcomes
        assert None in outcomes
        assert [each["id"] for each in sipcalls.listed(SERVICE, room, "v1")] == [other]
        assert [each.id for each in people.listed(SERVICE, room)] == [other]
        owed_now(room)
        assert counts(room) == (1, 1, 1)


def owed_now(room: str) -> None:
    """Serve what a run left to the next one."""
    for row in ended_rows(room):
        purge.ended_work(row)


def ended_rows(room: str) -> list[Key]:
    found = purge._rows(room, "xe#")
    return [Key(raw["pk"]["S"], raw["sk"]["S"]) for raw in found]


# Deaths


@pytest.fixture
def dead(monkeypatch):
    """A process that dies once the answer is durable, before it has cleared up."""
    monkeypatch.setattr(purge, "end", lambda key: None)


@pytest.mark.usefixtures("dead")
def test_what_hung_on_a_dead_process_stream_is_gone_at_once_and_its_rows_later(api, table):
    room = api.room(sip=SIP)
    camera = api.streaming_in(room)
    kinds = {
        "streaming-outs": {"url": "rtmp://h/a", "media": taking(camera)},
        "recordings": {"media": taking(camera)},
        "analytics": {"algorithm": "a", "media": taking(camera)},
        "sipcalls": {
            "peerURI": "b",
            "mediaIn": {"audio": True, "video": True},
            "mediaOut": taking(camera),
        },
    }
    made = {kind: ok(api.post(f"/rooms/{room}/{kind}", body))["id"] for kind, body in kinds.items()}
    assert api.delete(f"/rooms/{room}/streams/{camera}").status == 200
    for kind, name in made.items():
        assert ok(api.get(f"/rooms/{room}/{kind}")) == []
        assert refusal(api.delete(f"/rooms/{room}/{kind}/{name}")) == NO_RESOURCE
        assert refusal(api.post(f"/rooms/{room}/{kind}", kinds[kind])) == REFUSED
        if kind != "analytics":
            assert refusal(api.patch(f"/rooms/{room}/{kind}/{name}", [])) == NO_RESOURCE
    assert made["recordings"] in str(table.rows())


@pytest.mark.usefixtures("dead")
def test_the_worker_clears_up_after_a_dead_process(api, table):
    room = api.room(sip=SIP)
    before = table.rows()
    call = ok(
        api.post(
            f"/rooms/{room}/sipcalls",
            {"peerURI": "b", "mediaIn": {"audio": True, "video": True}, "mediaOut": taking(f"{room}-common")},
        )
    )
    body = {"media": taking(call["input"]["id"])}
    ok(api.post(f"/rooms/{room}/recordings", body))
    assert api.delete(f"/rooms/{room}/participants/{call['id']}").status == 200
    assert ok(api.get(f"/rooms/{room}/sipcalls")) == []
    assert table.rows() != before
    for row in ended_rows(room):
        purge.ended_work(row)
    assert table.rows() == before
