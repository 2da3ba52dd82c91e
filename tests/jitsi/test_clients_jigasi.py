"""A byte replica of jigasi's client against the gateway: text frames, binary beats, no sub-protocol."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.support import jwts
from tests.support.clients import STATE, VISITOR
from tests.support.fronts import Front, Fronts, Tokens, conference, eventually
from tests.support.jigasi import Jigasi, connect_frame, parse, subscribe_frame

BEAT_MS: Final = 1000
WAIT_S: Final = 20.0
SETTINGS: Final = {
    "edge": {"FOYER_SHARDS": "2", "JITSI_HEARTBEAT": f"{BEAT_MS},{BEAT_MS}"},
    "aws": {"FOYER_SHARDS": "2", "GATEWAY_MODE": "aws"},
}


@pytest.fixture(scope="module")
def fronts(emulator, credentials, tmp_path_factory) -> Iterator[Fronts]:
    """This module's gateways."""
    running = Fronts(emulator, credentials, tmp_path_factory.mktemp("jigasi"), SETTINGS)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tokens(credentials) -> Tokens:
    """Tokens of which no two are equal."""
    return Tokens(credentials)


def asap(tokens: Tokens, **claims: Any) -> str:
    """The token that jigasi signs for one call: five minutes, no `nbf`, `sub`, `room` or `context`."""
    return jwts.sign(jwts.jigasi(time.time(), **claims), tokens.server_key, kid=jwts.SERVER_KID)


Call = Callable[..., Jigasi]


@pytest.fixture
def call(fronts) -> Iterator[Call]:
    """Begin a call: `call(front, room, token)`."""
    calls: list[Jigasi] = []

    def begin(front: Front, room: str, token: str, beat_ms: int = BEAT_MS) -> Jigasi:
        calls.append(Jigasi(front.ws + front.path, VISITOR + room, token, beat_ms))
        return calls[-1]

    yield begin
    for each in calls:
        each.leave()
    fronts.leave()


def number(front: Front, tokens: Tokens, room: str) -> int:
    """How many wait for a conference now."""
    moderator = front.connected(tokens.moderator())
    moderator.subscribe(STATE + room)
    found: int = json.loads(moderator.frame()[2])["visitorsWaiting"]
    moderator.abort()
    return found


def test_its_frames_are_these_bytes():
    assert connect_frame("a.b.c", 15_000).encode() == (
        b"CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:15000,15000\nAuthorization:Bearer a.b.c\n\n\x00"
    )
    assert subscribe_frame(VISITOR + "room1@conference.meet.local").encode() == (
        b"SUBSCRIBE\ndestination:/secured/conference/visitor/topic.room1@conference.meet.local\nid:1\n\n\x00"
    )


def test_its_parser_takes_the_first_empty_line_and_runs_the_rest_together():
    frame = parse('MESSAGE\na:b:c\nd:\n\n{"x":\n1}\0')

    assert (frame.command, frame.headers, frame.body) == ("MESSAGE", {"a": "b:c", "d": ""}, '{"x":1}')


def test_a_call_waits_counts_and_is_released_once(fronts, tokens, call):
    front, room = fronts["edge"], conference()
    caller = call(front, room, asap(tokens))
    assert caller.connected.wait(WAIT_S)
    assert eventually(lambda: number(front, tokens, room) == 1)
    assert not caller.live.is_set()
    front.golive(tokens.server(), room)

    assert caller.live.wait(WAIT_S)
    assert caller.delay_ms == 1000
    caller.leave()
    assert (caller.messages, caller.unknown) == (1, [])


def test_a_call_to_a_live_conference_is_released_at_once(fronts, tokens, call):
    front, room = fronts["edge"], conference()
    front.golive(tokens.server(), room)

    assert call(front, room, asap(tokens)).live.wait(WAIT_S)


def test_a_call_that_hangs_up_without_disconnect_counts_no_more(fronts, tokens, call):
    front, room = fronts["edge"], conference()
    caller = call(front, room, asap(tokens))
    assert caller.connected.wait(WAIT_S)
    assert eventually(lambda: number(front, tokens, room) == 1)
    caller.leave()

    assert eventually(lambda: number(front, tokens, room) == 0)


def test_its_binary_beats_and_ours_keep_it_connected(fronts, tokens, call):
    front, room = fronts["edge"], conference()
    caller = call(front, room, asap(tokens))
    assert caller.connected.wait(WAIT_S)
    # It gives up after two intervals of silence, the gateway after three.
    assert not caller.over.wait(4.5 * BEAT_MS / 1000)

    assert caller.beats_sent >= 3
    assert caller.beats_seen >= 3
    front.golive(tokens.server(), room)
    assert caller.live.wait(WAIT_S)


@pytest.mark.parametrize("case", ["a context", "another key", "another room"])
def test_a_refused_call_sees_an_unknown_command_and_a_close_and_does_not_come_back(
    fronts, tokens, call, case
):
    front, room = fronts["edge"], conference()
    token = {
        "a context": asap(tokens, context={}),
        "another key": jwts.sign(jwts.jigasi(time.time()), jwts.rsa_pair("stranger"), kid="x"),
        "another room": asap(tokens, room="other"),
    }[case]
    caller = call(front, room, token)

    assert caller.over.wait(WAIT_S)
    assert (caller.unknown, caller.ended) == (["ERROR"], 1008)


def test_behind_api_gateway_its_first_beat_is_its_end(fronts, tokens, call):
    front, room = fronts["aws"], conference()
    caller = call(front, room, asap(tokens))
    assert caller.connected.wait(WAIT_S)
    # The pair 0,480000 asks for one beat in eight minutes; an impatient one shows what becomes of it.
    caller._socket.send(b"\n")

    assert caller.over.wait(WAIT_S)
    assert caller.ended == 1003
