"""Calls of the management API that race each other, on the gateway's sockets with an emulator behind."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.owt.errors import Refused
from tests.owt import entering
from tests.support.caller import Caller
from tests.support.counts import full
from tests.support.fronts import unique

ROUNDS = full(20, 200)
CROWDS = full(4, 200)
AT_ONCE = 6
SOURCE = {"connection": {"url": "rtsp://127.0.0.1/a"}, "media": {"audio": True, "video": True}}
REFUSED = (500, 1201)


@pytest.fixture(scope="module")
def boss(standing, credentials) -> Caller:
    """The super service at a running gateway."""
    http = standing(GATEWAY_ACCESS_LOG="false").http
    return Caller(http, credentials.super_service_id, credentials.super_service_key)


@pytest.fixture
def caller(boss, entered) -> Caller:
    """A service of the test's own; this process sees its rows."""
    made = boss.done("POST", "/services", {"name": unique(), "key": "a key"})
    return Caller(boss.http, made["_id"], "a key")


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers side by side."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield threads


def side_by_side(pool: ThreadPoolExecutor, *calls: Callable[[], Any]) -> list[Any]:
    """What each call gives; all begin at once."""
    return [future.result() for future in [pool.submit(call) for call in calls]]


def codes(answers: list[tuple[int, Any]]) -> list[tuple[int, int]]:
    """Statuses, each with the code of an error, sorted."""
    return sorted((status, answer["error"]["code"] if status != 200 else 0) for status, answer in answers)


def test_two_puts_of_different_fields_both_take_effect(caller, pool):
    room = caller.room()
    path = f"/v1/rooms/{room}"
    for number in range(1, ROUNDS + 1):
        one, other = {"participantLimit": number}, {"inputLimit": number}
        answers = side_by_side(
            pool, *(lambda each=each: caller.ask("PUT", path, each) for each in (one, other))
        )
        assert codes(answers) == [(200, 0), (200, 0)]
        found = caller.done("GET", path)
        assert (found["participantLimit"], found["inputLimit"]) == (number, number)


def test_of_two_lists_of_updates_each_is_applied_whole(caller, pool):
    base = f"/v1.1/rooms/{caller.room()}/streams"
    stream = caller.done("POST", base.removesuffix("streams") + "streaming-ins", SOURCE)["id"]

    def list_of(status: str) -> list[dict[str, str]]:
        return [
            {"op": "replace", "path": f"/media/{track}/status", "value": status}
            for track in ("audio", "video")
        ]

    for _ in range(ROUNDS):
        answers = side_by_side(
            pool,
            *(
                lambda status=status: caller.ask("PATCH", f"{base}/{stream}", list_of(status))
                for status in ("active", "inactive")
            ),
        )
        assert codes(answers) == [(200, 0), (200, 0)]
        media = caller.done("GET", f"{base}/{stream}")["media"]
        assert media["audio"]["status"] == media["video"]["status"]


def test_no_more_streams_come_in_than_the_limit_admits(caller, pool):
    for _ in range(CROWDS):
        room = caller.room(inputLimit=3)
        path = f"/v1/rooms/{room}/streaming-ins"
        answers = side_by_side(pool, *[functools.partial(caller.ask, "POST", path, SOURCE)] * AT_ONCE)
        assert codes(answers) == [(200, 0)] * 3 + [REFUSED] * 3
        forward = [
            each for each in caller.done("GET", f"/v1/rooms/{room}/streams") if each["type"] == "forward"
        ]
        assert len(forward) == 3


def test_no_more_calls_are_made_than_participants_are_admitted(caller, pool):
    sip = {"sipServer": "sip.example", "username": "u", "password": "p"}
    for _ in range(CROWDS):
        room = caller.room(participantLimit=2, sip=sip)
        source = caller.done("POST", f"/v1/rooms/{room}/streaming-ins", SOURCE)["id"]
        call = {
            "peerURI": "sip:a@b",
            "mediaIn": {"audio": True, "video": False},
            "mediaOut": {"audio": {"from": source}, "video": False},
        }
        path = f"/v1/rooms/{room}/sipcalls"
        answers = side_by_side(pool, *[functools.partial(caller.ask, "POST", path, call)] * AT_ONCE)
        assert codes(answers) == [(200, 0)] * 2 + [REFUSED] * 4
        assert len(caller.done("GET", f"/v1/rooms/{room}/participants")) == 2
        assert len(caller.done("GET", path)) == 2


def redeem(caller: Caller, text: str, **more: str) -> tuple[int, Any]:
    """Join with a token."""
    return caller.ask("POST", "/media/v1/tokens/redeem", {"token": text, **more})


def test_a_token_is_redeemed_by_one_of_two(caller, pool):
    room = caller.room()
    for number in range(1, ROUNDS + 1):
        text = caller.done("POST", f"/v1/rooms/{room}/tokens", {"user": "u", "role": "presenter"})
        answers = side_by_side(pool, *[functools.partial(redeem, caller, text)] * 2)
        assert codes(answers) == [(200, 0), (401, 1101)]
        assert len(caller.done("GET", f"/v1/rooms/{room}/participants")) == number


def test_the_last_place_is_taken_once_and_whoever_lost_keeps_the_token(caller, pool):
    for _ in range(CROWDS):
        room = caller.room(participantLimit=1)
        path = f"/v1/rooms/{room}"
        texts = [caller.done("POST", f"{path}/tokens", {"user": str(n), "role": "viewer"}) for n in range(2)]
        answers = side_by_side(pool, *(functools.partial(redeem, caller, text) for text in texts * 2))
        # Who comes with the token that won is told that it is gone, who comes with the other that it is full.
        assert codes(answers) == [(200, 0), (401, 1101), REFUSED, REFUSED]
        (joined,) = caller.done("GET", f"{path}/participants")
        caller.done("DELETE", f"{path}/participants/{joined['id']}")
        assert codes([redeem(caller, text) for text in texts]) == [(200, 0), (401, 1101)]


def test_a_participant_joins_once_under_one_id(caller, pool):
    room = caller.room()
    for number in range(CROWDS):
        texts = [
            caller.done("POST", f"/v1/rooms/{room}/tokens", {"user": str(n), "role": "viewer"})
            for n in range(2)
        ]
        answers = side_by_side(
            pool,
            *(functools.partial(redeem, caller, text, participant=f"p{number}") for text in texts),
        )
        assert codes(answers) == [(200, 0), REFUSED]


def test_no_more_join_than_participants_are_admitted(caller, pool):
    for _ in range(CROWDS):
        room = caller.room(participantLimit=4)

        def join(room=room) -> bool:
            try:
                entering.join(caller.service, room, "u", "presenter")
            except Refused:
                return False
            return True

        assert sum(side_by_side(pool, *[join] * AT_ONCE)) == 4
        assert len(caller.done("GET", f"/v1/rooms/{room}/participants")) == 4
