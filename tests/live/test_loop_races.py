"""Callers of one room who race each other, on the gateway's sockets with an emulator behind (contract 11)."""

import base64
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import hawk
from tests.support.clients import http_call
from tests.support.counts import full
from tests.support.hawk import Credentials

ROOMS = full(8, 50)
ROUNDS = full(15, 200)
CROWD = 12
SEATS = 5
FULL, NO_CALLER = (400, 202), (401, 110)
CREATED = "Session.connectionCreated"
STATUS = {"event": CREATED, "state": "waiting", "connections": 1, "sendStreams": 0, "recvStreams": 0}
ILLEGAL = STATUS | {"event": "Publisher.streamDestroyed", "state": "cleanup", "connections": 2}

Outcome = tuple[int, Any]


@dataclass(frozen=True)
class Caller:
    """Somebody at a gateway: nobody, or with a session token, or with Hawk credentials."""

    http: str
    session_token: str = field(default="", repr=False)
    credentials: Credentials | None = None

    def call(self, method: str, path: str, body: Any = None) -> Outcome:
        """The status, and the answer's JSON or nothing."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | self._authorization(method, path, raw)
        status, _, answer = http_call(self.http, method, path, raw.decode() or None, headers)
        return status, json.loads(answer) if answer else None

    def _authorization(self, method: str, path: str, raw: bytes) -> dict[str, str]:
        if self.session_token:
            return {"Authorization": "Basic " + base64.b64encode(self.session_token.encode()).decode()}
        if self.credentials is None:
            return {}
        where = urlsplit(self.http)
        signed = hawk.sign(self.credentials, method, path, str(where.hostname), str(where.port), body=raw)
        return {"Authorization": signed.header}

    def act(self, room: str, action: str, **fields: Any) -> Outcome:
        """An action on a room."""
        return self.call("POST", f"/rooms/{room}", {"action": action} | fields)

    def join(self, room: str, name: str = "somebody") -> Outcome:
        """`join`."""
        return self.act(room, "join", displayName=name, clientMaxSize=SEATS)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of a call that has to succeed."""
        status, answer = self.call(method, path, body)
        assert status < 300, answer
        return answer


@pytest.fixture(scope="module")
def nobody(standing) -> Caller:
    """Somebody without credentials at a running gateway."""
    return Caller(standing(GATEWAY_ACCESS_LOG="false").http)


@pytest.fixture
def owner(nobody) -> Caller:
    """Somebody who registered."""
    return register(nobody)


def register(nobody: Caller) -> Caller:
    """Somebody else who registered."""
    _, headers, _ = http_call(nobody.http, "POST", "/registration", None, {})
    token = next(value for name, value in headers.items() if name.lower() == "hawk-session-token")
    return Caller(nobody.http, credentials=hawk.derive(token))


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers side by side."""
    with ThreadPoolExecutor(CROWD) as threads:
        yield threads


def side_by_side(pool: ThreadPoolExecutor, *calls: Callable[[], Any]) -> list[Any]:
    """What each call gives; all begin at once."""
    return [future.result() for future in [pool.submit(call) for call in calls]]


def code(outcome: Outcome) -> tuple[int, int]:
    """Status, and errno of a refusal."""
    status, answer = outcome
    return status, answer["errno"] if status >= 400 else 0


def new_room(owner: Caller, **fields: Any) -> str:
    """A room."""
    body = {"roomOwner": "Ada", "roomName": "race", "maxSize": SEATS} | fields
    token: str = owner.done("POST", "/rooms", body)["roomToken"]
    return token


def participants(owner: Caller, room: str) -> list[dict[str, Any]]:
    """Who is in a room."""
    found: list[dict[str, Any]] = owner.done("GET", f"/rooms/{room}")["participants"]
    return found


def sessions(owner: Caller, room: str) -> list[dict[str, Any]]:
    """What was reported in a room."""
    found: list[dict[str, Any]] = owner.done("GET", f"/rooms/{room}/sessions")["sessions"]
    return found


def guest(nobody: Caller, room: str) -> Caller:
    """Somebody who came in."""
    status, answer = nobody.join(room, "guest")
    assert status == 200, answer
    return Caller(nobody.http, answer["sessionToken"])


def test_of_twelve_who_join_at_once_four_come_in_and_the_owners_seat_is_left(owner, nobody, pool):
    for _ in range(ROOMS):
        room = new_room(owner)
        outcomes = side_by_side(
            pool, *(functools.partial(nobody.join, room, f"g{number}") for number in range(CROWD))
        )
        assert Counter(map(code, outcomes)) == {(200, 0): SEATS - 1, FULL: CROWD - SEATS + 1}
        tokens = [answer["sessionToken"] for status, answer in outcomes if status == 200]
        came = {f"g{number}" for number, (status, _) in enumerate(outcomes) if status == 200}
        assert {each["displayName"] for each in participants(owner, room)} == came
        assert len(set(tokens)) == SEATS - 1
        for token in tokens:
            assert Caller(nobody.http, token).act(room, "refresh")[0] == 200
        assert code(owner.join(room)) == (200, 0)
        assert len(participants(owner, room)) == SEATS


def test_the_owner_comes_in_whoever_else_joins_at_that_moment(owner, nobody, pool):
    for _ in range(ROOMS):
        room = new_room(owner)
        first, *others = side_by_side(
            pool,
            functools.partial(owner.join, room, "owner"),
            *[functools.partial(nobody.join, room)] * (CROWD - 1),
        )
        assert code(first) == (200, 0)
        assert Counter(map(code, others)) == {(200, 0): SEATS - 1, FULL: CROWD - SEATS}
        assert sum(each["owner"] for each in participants(owner, room)) == 1


def test_one_caller_who_joins_at_once_from_everywhere_is_in_once(owner, pool):
    for _ in range(max(2, ROOMS // 4)):
        room = new_room(owner, maxSize=1)
        outcomes = side_by_side(pool, *[functools.partial(owner.join, room)] * 6)
        assert Counter(map(code, outcomes)) == {(200, 0): 6}
        (present,) = participants(owner, room)
        (living,) = (each for each in sessions(owner, room) if "ended" not in each)
        assert living["roomConnectionId"] == present["roomConnectionId"]
        assert len(sessions(owner, room)) == 6


def test_of_one_guest_who_takes_its_place_twice_at_once_one_does(owner, nobody, pool):
    for _ in range(ROUNDS):
        room = new_room(owner, maxSize=2)
        one = guest(nobody, room)
        outcomes = side_by_side(pool, *[functools.partial(one.join, room, "again")] * 3)
        assert sorted(map(code, outcomes)) == [(200, 0), NO_CALLER, NO_CALLER]
        assert len(participants(owner, room)) == 1


def test_seats_that_are_left_while_others_join_are_neither_lost_nor_given_twice(owner, nobody, pool):
    for _ in range(ROOMS):
        room = new_room(owner)
        leaving = [guest(nobody, room) for _ in range(SEATS - 1)]
        outcomes = side_by_side(
            pool,
            *(functools.partial(each.act, room, "leave") for each in leaving),
            *[functools.partial(nobody.join, room)] * (CROWD - len(leaving)),
        )
        left, joined = outcomes[: len(leaving)], outcomes[len(leaving) :]
        assert [code(each) for each in left] == [(204, 0)] * len(leaving)
        came = sum(code(each) == (200, 0) for each in joined)
        assert {code(each) for each in joined} <= {(200, 0), FULL}
        assert len(participants(owner, room)) == came <= SEATS - 1
        more = [code(nobody.join(room)) for _ in range(SEATS - came)]
        assert more == [(200, 0)] * (SEATS - 1 - came) + [FULL]


def test_no_more_come_in_than_a_change_of_the_room_allows_from_then_on(owner, nobody, pool):
    for _ in range(ROOMS):
        room = new_room(owner)
        _, *joined = side_by_side(
            pool,
            functools.partial(owner.done, "PATCH", f"/rooms/{room}", {"maxSize": 3}),
            *[functools.partial(nobody.join, room)] * (CROWD - 1),
        )
        assert {code(each) for each in joined} <= {(200, 0), FULL}
        came = sum(code(each) == (200, 0) for each in joined)
        assert 2 <= came <= SEATS - 1
        assert len(participants(owner, room)) == came
        assert code(nobody.join(room)) == FULL


def test_nobody_comes_into_a_room_that_was_deleted(owner, nobody, pool):
    for _ in range(ROOMS):
        room = new_room(owner)
        _, *joined = side_by_side(
            pool,
            functools.partial(owner.done, "DELETE", f"/rooms/{room}"),
            *[functools.partial(nobody.join, room)] * 5,
        )
        assert {code(each) for each in joined} <= {(200, 0), FULL, (404, 105)}
        for status, answer in joined:
            if status == 200:
                outcome = Caller(nobody.http, answer["sessionToken"]).act(room, "refresh")
                assert code(outcome) == (404, 105)


@pytest.mark.parametrize("signed_in", [False, True])
def test_who_left_is_not_brought_back_by_what_it_did_at_that_moment(owner, nobody, pool, signed_in):
    gone = (
        {"refresh": (410, 111), "status": (400, 203)}
        if signed_in
        else dict.fromkeys(("refresh", "status"), NO_CALLER)
    )
    somebody = register(nobody)
    room = new_room(owner)
    for _ in range(ROUNDS):
        one = somebody if signed_in else guest(nobody, room)
        if signed_in:
            assert code(one.join(room)) == (200, 0)
        refresh, *reports, left, late = side_by_side(
            pool,
            functools.partial(one.act, room, "refresh"),
            functools.partial(one.act, room, "status", **STATUS),
            functools.partial(one.act, room, "status", **ILLEGAL),
            functools.partial(one.act, room, "leave"),
            functools.partial(one.act, room, "refresh"),
        )
        assert code(left) == (204, 0)
        assert {code(each) for each in (refresh, late)} <= {(200, 0), gone["refresh"]}
        assert {code(each) for each in reports} <= {(204, 0), gone["status"]}
        assert participants(owner, room) == []
        assert code(one.act(room, "refresh")) == gone["refresh"]
        assert code(one.act(room, "status", **STATUS)) == gone["status"]
        last = sessions(owner, room)[-1]
        assert "ended" in last
        assert last["reports"] == sum(status == 204 for status, _ in reports)


def test_of_several_who_leave_by_one_token_one_does(owner, nobody, pool):
    room = new_room(owner)
    for _ in range(ROUNDS):
        one = guest(nobody, room)
        outcomes = side_by_side(
            pool,
            functools.partial(one.act, room, "leave"),
            functools.partial(one.act, room, "leave"),
            functools.partial(nobody.act, room, "leave", sessionToken=one.session_token),
        )
        assert sorted(map(code, outcomes)) == [(204, 0), NO_CALLER, NO_CALLER]


def test_reports_at_once_are_counted_every_one_of_them(owner, nobody, pool):
    for _ in range(max(2, ROOMS // 4)):
        room = new_room(owner)
        one = guest(nobody, room)
        outcomes = side_by_side(
            pool,
            *[functools.partial(one.act, room, "status", **STATUS)] * 6,
            *[functools.partial(one.act, room, "status", **ILLEGAL | {"sendStreams": 0})] * 6,
        )
        assert {code(each) for each in outcomes} == {(204, 0)}
        (found,) = sessions(owner, room)
        # `cleanup` conforms after another one, and not after `waiting` or at the beginning.
        assert found["reports"] == 12
        assert 1 <= found["nonConforming"] <= 6


def test_a_report_while_its_caller_joins_anew_is_kept_or_belongs_to_the_new_session(owner, nobody, pool):
    somebody = register(nobody)
    room = new_room(owner)
    assert code(somebody.join(room)) == (200, 0)
    for number in range(1, ROUNDS + 1):
        report, joined = side_by_side(
            pool,
            functools.partial(somebody.act, room, "status", **STATUS),
            functools.partial(somebody.join, room),
        )
        assert (code(report), code(joined)) == ((204, 0), (200, 0))
        assert len(participants(owner, room)) == 1
        if number <= 20:  # so many that ended are remembered
            found = sessions(owner, room)
            assert len(found) == number + 1
            assert sum(each["reports"] for each in found) == number
