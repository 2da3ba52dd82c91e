"""`POST /rooms/{token}` and `GET /rooms/{token}/sessions`, as clients call them (contract 7)."""

import base64
import json
import re
from typing import Any

import pytest

from chalicelib import clock, journal, settings
from tests.conftest import Stack
from tests.loop.api import Caller, GuestCaller, HawkCaller, ok, refusal, register, serve

NOWHERE = "QzBbvGmIZWU"
EIGHT_WEEKS_S = 1344 * 3600
LIFE_S = 300
BAD_JSON, BAD, MISSING = (400, 106), (400, 107), (400, 108)
NO_ROOM, NO_CALLER = (404, 105), (401, 110)
EXPIRED, FULL, CROWDED, NOT_IN_ROOM, FORBIDDEN = (410, 111), (400, 202), (400, 121), (400, 203), (403, 999)
CREATED = "Session.connectionCreated"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved: `now[0] += 1`."""
    held = [1_700_000_000.25]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    monkeypatch.setattr("time.time", lambda: held[0])
    return held


def enter(room: str, name: str = "guest", size: Any = 5) -> GuestCaller:
    """A guest who came in."""
    return GuestCaller(ok(Caller().join(room, name, size))["sessionToken"])


def seen(owner: HawkCaller, room: str) -> dict[str, Any]:
    """The room as its owner sees it."""
    found: dict[str, Any] = ok(owner.get(f"/rooms/{room}"))
    return found


def names(owner: HawkCaller, room: str) -> list[str]:
    """Who is in the room."""
    return [each["displayName"] for each in seen(owner, room)["participants"]]


def sessions(owner: HawkCaller, room: str) -> list[dict[str, Any]]:
    """What was reported."""
    found: list[dict[str, Any]] = ok(owner.get(f"/rooms/{room}/sessions"))["sessions"]
    return found


def report(caller: Caller, room: str, event: str, state: str, *counters: Any) -> Any:
    """A `status`; the counters are connections, sendStreams, recvStreams."""
    connections, sends, receives = counters
    return caller.act(
        room,
        "status",
        event=event,
        state=state,
        connections=connections,
        sendStreams=sends,
        recvStreams=receives,
    )


def role(session_token: str) -> str:
    """The role that a media token grants."""
    found = re.search(r"&role=(\w+)", base64.b64decode(session_token.removeprefix("T1==")).decode())
    assert found is not None
    return found[1]


# Joining


def test_who_joins_is_told_where_the_media_are_and_for_how_long(owner, nobody):
    room = owner.room()
    guest, other, host = ok(nobody.join(room)), ok(nobody.join(room)), ok(owner.join(room))
    for joined in (guest, other, host):
        assert set(joined) == {"apiKey", "sessionId", "sessionToken", "expires"}
        assert all(type(joined[name]) is str for name in ("apiKey", "sessionId", "sessionToken"))
        assert type(joined["expires"]) is int
        assert joined["expires"] == LIFE_S
        assert ":" not in joined["sessionToken"]
    assert len({(each["apiKey"], each["sessionId"]) for each in (guest, other, host)}) == 1
    assert len({each["sessionToken"] for each in (guest, other, host)}) == 3
    assert [role(each["sessionToken"]) for each in (guest, other, host)] == ["publisher"] * 2 + ["moderator"]


def test_a_signed_in_participant_is_a_publisher_and_not_the_owner(owner, other):
    room = owner.room()
    assert role(ok(other.join(room, "Eve"))["sessionToken"]) == "publisher"
    (eve,) = seen(owner, room)["participants"]
    assert (eve["displayName"], eve["owner"]) == ("Eve", False)


def test_participants_are_shown_without_anything_else_in_the_order_of_joining(owner, nobody):
    room = owner.room()
    for name in ("one", "two"):
        enter(room, name)
    ok(owner.join(room, "three"))
    participants = seen(owner, room)["participants"]
    assert [each["displayName"] for each in participants] == ["one", "two", "three"]
    assert [each["owner"] for each in participants] == [False, False, True]
    assert all(set(each) == {"roomConnectionId", "displayName", "owner"} for each in participants)
    assert len({each["roomConnectionId"] for each in participants}) == 3


def test_a_seat_is_kept_for_the_owner(owner, nobody):
    room = owner.room(maxSize=2)
    enter(room)
    assert refusal(nobody.join(room)) == FULL
    ok(owner.join(room))
    assert refusal(nobody.join(room)) == FULL


def test_a_room_for_one_is_the_owners(owner, other, nobody):
    room = owner.room(maxSize=1)
    assert refusal(nobody.join(room)) == FULL
    assert refusal(other.join(room)) == FULL
    ok(owner.join(room))


def test_the_smallest_client_in_the_room_says_how_many_fit(owner, nobody):
    room = owner.room(maxSize=5)
    enter(room, size=2)
    assert seen(owner, room)["clientMaxSize"] == 2
    assert refusal(nobody.join(room)) == FULL
    ok(owner.join(room))
    assert refusal(nobody.join(room)) == FULL


def test_a_client_that_takes_fewer_than_there_are_is_told_so(owner, nobody):
    room = owner.room(maxSize=5)
    for _ in range(2):
        enter(room)
    assert refusal(nobody.join(room, size=2)) == CROWDED
    assert refusal(owner.join(room, size="2")) == CROWDED
    assert refusal(nobody.join(room, size=0)) == CROWDED
    ok(nobody.join(room, size="3"))


def test_a_full_room_is_said_to_be_full_even_to_a_small_client(owner, nobody):
    room = owner.room(maxSize=2)
    enter(room)
    assert refusal(nobody.join(room, size=0)) == FULL


def test_a_room_made_smaller_removes_nobody_and_lets_nobody_in(owner, nobody):
    room = owner.room(maxSize=4)
    guests = [enter(room) for _ in range(3)]
    ok(owner.patch(f"/rooms/{room}", {"maxSize": 2}))
    assert len(names(owner, room)) == 3
    assert refusal(owner.join(room)) == FULL
    ok(guests[0].act(room, "leave"), 204)
    assert refusal(owner.join(room)) == FULL
    ok(guests[1].act(room, "leave"), 204)
    ok(owner.join(room))


def test_the_owner_takes_its_own_place_in_a_full_room(owner, nobody):
    room = owner.room(maxSize=2)
    enter(room)
    ok(owner.join(room, "before"))
    ids = {each["roomConnectionId"] for each in seen(owner, room)["participants"]}
    ok(owner.join(room, "after"))
    assert sorted(names(owner, room)) == ["after", "guest"]
    assert len(ids | {each["roomConnectionId"] for each in seen(owner, room)["participants"]}) == 3


def test_a_signed_in_participant_takes_its_own_place_in_a_full_room(owner, other):
    room = owner.room(maxSize=2)
    for name in ("before", "after"):
        ok(other.join(room, name, 2))
        assert names(owner, room) == [name]


def test_a_guest_takes_its_own_place_and_gets_a_new_token_that_works(owner, nobody):
    room = owner.room(maxSize=2)
    guest = enter(room, "before")
    again = GuestCaller(ok(guest.join(room, "after"))["sessionToken"])
    assert names(owner, room) == ["after"]
    ok(again.act(room, "refresh"))
    assert refusal(guest.act(room, "refresh")) == NO_CALLER
    assert refusal(nobody.join(room)) == FULL


def test_ones_own_smaller_client_does_not_keep_one_out(owner):
    room = owner.room(maxSize=5)
    enter(room, size=3)
    ok(owner.join(room, size=2))
    ok(owner.join(room, size=5))
    assert seen(owner, room)["clientMaxSize"] == 3


def test_a_guest_who_is_no_more_cannot_join_by_its_old_token(owner, other):
    room, elsewhere = owner.room(), other.room()
    guest = enter(room)
    assert refusal(guest.join(elsewhere)) == NO_CALLER
    ok(guest.act(room, "leave"), 204)
    assert refusal(guest.join(room)) == NO_CALLER
    assert refusal(GuestCaller("T1==never").join(room)) == NO_CALLER


def test_a_join_sets_ctime_and_prolongs_the_room_to_eight_weeks(owner, now, nobody):
    room = owner.room(expiresIn=1)
    now[0] += 60
    enter(room)
    found = seen(owner, room)
    assert found["ctime"] == int(now[0])
    assert found["expiresAt"] == int(now[0]) + EIGHT_WEEKS_S


def test_a_join_takes_new_media_where_the_credentials_are_others_now(owner, nobody, monkeypatch):
    room = owner.room()
    before = ok(nobody.join(room))
    monkeypatch.setenv("LOOP_MEDIA_KEY", "200")
    settings.reset()
    after, last = ok(nobody.join(room)), ok(nobody.join(room))
    assert (before["apiKey"], after["apiKey"]) == ("100", "200")
    assert before["sessionId"] != after["sessionId"]
    assert last["sessionId"] == after["sessionId"]


# Refreshing, and running out


def test_a_participation_ends_to_the_second_unless_refreshed(owner, nobody, now):
    room = owner.room()
    guest = enter(room)
    now[0] += LIFE_S - 0.5
    assert ok(guest.act(room, "refresh")) == {"expires": LIFE_S}
    now[0] += LIFE_S - 0.001
    assert names(owner, room) == ["guest"]
    ok(guest.get(f"/rooms/{room}"))
    now[0] += 0.001
    assert names(owner, room) == []
    assert refusal(guest.get(f"/rooms/{room}")) == NO_CALLER
    assert refusal(guest.act(room, "refresh")) == NO_CALLER


def test_one_life_is_as_long_as_is_set(owner, nobody, now, monkeypatch):
    monkeypatch.setenv("LOOP_PARTICIPANT_TTL", "1")
    settings.reset()
    room = owner.room()
    joined = ok(nobody.join(room))
    assert joined["expires"] == 1
    now[0] += 0.9
    assert ok(GuestCaller(joined["sessionToken"]).act(room, "refresh")) == {"expires": 1}
    now[0] += 1
    assert names(owner, room) == []


def test_who_ran_out_is_told_so_by_who_it_is(owner, now):
    room = owner.room()
    ok(owner.join(room))
    guest = enter(room)
    now[0] += LIFE_S
    for action in ("refresh", "leave"):
        assert refusal(guest.act(room, action)) == NO_CALLER
    assert refusal(report(guest, room, CREATED, "waiting", 1, 0, 0)) == NO_CALLER
    assert refusal(owner.act(room, "refresh")) == EXPIRED
    assert refusal(owner.act(room, "leave")) == NOT_IN_ROOM
    assert refusal(report(owner, room, CREATED, "waiting", 1, 0, 0)) == NOT_IN_ROOM
    assert refusal(owner.act(room, "logDomain", domains=[])) == NOT_IN_ROOM


def test_who_never_joined_is_told_so(owner, other):
    room = owner.room()
    assert refusal(other.act(room, "refresh")) == EXPIRED
    assert refusal(other.act(room, "leave")) == NOT_IN_ROOM
    assert refusal(report(other, room, CREATED, "waiting", 1, 0, 0)) == NOT_IN_ROOM


def test_the_seat_of_who_ran_out_is_free_to_the_second(owner, nobody, now):
    room = owner.room(maxSize=2)
    enter(room)
    now[0] += LIFE_S - 0.001
    assert refusal(nobody.join(room)) == FULL
    now[0] += 0.001
    enter(room, "late")
    assert names(owner, room) == ["late"]


def test_refresh_report_and_domains_change_no_ctime(owner, now):
    room = owner.room()
    guest = enter(room)
    before = seen(owner, room)["ctime"]
    now[0] += 10
    ok(guest.act(room, "refresh"))
    ok(report(guest, room, CREATED, "waiting", 1, 0, 0), 204)
    ok(guest.act(room, "logDomain", domains=[{"domain": "a.test", "count": 1}]), 204)
    assert seen(owner, room)["ctime"] == before


def test_a_report_does_not_prolong_a_participation(owner, now):
    room = owner.room()
    guest = enter(room)
    now[0] += LIFE_S - 1
    ok(report(guest, room, CREATED, "waiting", 1, 0, 0), 204)
    now[0] += 1
    assert refusal(guest.act(room, "refresh")) == NO_CALLER


# Leaving


def test_who_leaves_frees_its_seat_and_sets_ctime(owner, nobody, now):
    room = owner.room(maxSize=2)
    guest = enter(room)
    now[0] += 10
    answer = guest.act(room, "leave")
    assert (answer.status, answer.body) == (204, "")
    assert seen(owner, room)["ctime"] == int(now[0])
    assert names(owner, room) == []
    for action in ("leave", "refresh"):
        assert refusal(guest.act(room, action)) == NO_CALLER
    assert refusal(guest.get(f"/rooms/{room}")) == NO_CALLER
    enter(room)


def test_the_owner_who_leaves_is_not_in_the_room(owner):
    room = owner.room()
    ok(owner.join(room))
    ok(owner.act(room, "leave"), 204)
    assert refusal(owner.act(room, "leave")) == NOT_IN_ROOM
    assert refusal(owner.act(room, "refresh")) == EXPIRED
    ok(owner.join(room))
    assert len(names(owner, room)) == 1


def test_a_session_token_in_the_body_is_the_right_to_leave(owner, other, nobody):
    room = owner.room()
    tokens = [ok(each.join(room))["sessionToken"] for each in (nobody, owner, other)]
    for left, token in enumerate(tokens, 1):
        answer = nobody.act(room, "leave", sessionToken=token)
        assert (answer.status, answer.body) == (204, "")
        assert len(names(owner, room)) == 3 - left
        assert refusal(nobody.act(room, "leave", sessionToken=token)) == NO_CALLER
    assert refusal(GuestCaller(tokens[0]).act(room, "refresh")) == NO_CALLER
    assert refusal(owner.act(room, "refresh")) == EXPIRED


@pytest.mark.parametrize("shown", ["", "T1==other", None, 5, ["x"], {"a": 1}])
def test_no_other_value_is(owner, nobody, shown):
    room = owner.room()
    enter(room)
    answer = nobody.act(room, "leave", sessionToken=shown)
    assert refusal(answer) == NO_CALLER
    assert answer.header("WWW-Authenticate") == "Hawk"
    assert names(owner, room) == ["guest"]


def test_a_session_token_is_good_for_its_own_room_and_only_while_it_lives(owner, nobody, now):
    room, elsewhere = owner.room(), owner.room()
    token = ok(nobody.join(room))["sessionToken"]
    assert refusal(nobody.act(elsewhere, "leave", sessionToken=token)) == NO_CALLER
    assert refusal(nobody.act(NOWHERE, "leave", sessionToken=token)) == NO_ROOM
    now[0] += LIFE_S
    assert refusal(nobody.act(room, "leave", sessionToken=token)) == NO_CALLER


def test_a_header_alone_decides_who_leaves(owner, other, nobody):
    room = owner.room()
    token, mine = ok(nobody.join(room, "a"))["sessionToken"], enter(room, "b")
    assert refusal(other.act(room, "leave", sessionToken=token)) == NOT_IN_ROOM
    assert refusal(GuestCaller("T1==x").act(room, "leave", sessionToken=token)) == NO_CALLER
    ok(mine.act(room, "leave", sessionToken=token), 204)
    assert names(owner, room) == ["a"]


@pytest.mark.parametrize("action", ["refresh", "status", "logDomain"])
def test_there_is_no_such_door_for_other_actions(owner, nobody, action):
    room = owner.room()
    token = ok(nobody.join(room))["sessionToken"]
    answer = nobody.act(room, action, sessionToken=token)
    assert refusal(answer) == NO_CALLER
    assert "Hawk" in (answer.header("WWW-Authenticate") or "")


# Order


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"{", BAD_JSON),
        (b"\xff", BAD_JSON),
        (b"[]", BAD),
        (b"5", BAD),
        (b"", MISSING),
        ({}, MISSING),
        ({"action": "dance"}, BAD),
        ({"action": 5}, BAD),
        ({"action": "join"}, MISSING),
        ({"action": "join", "displayName": "a"}, MISSING),
        ({"action": "join", "displayName": "a", "clientMaxSize": "x"}, BAD),
        ({"action": "join", "displayName": 5, "clientMaxSize": 5}, BAD),
        ({"action": "leave"}, NO_CALLER),
        ({"action": "refresh"}, NO_CALLER),
        ({"action": "status", "state": "nonsense"}, NO_CALLER),
        ({"action": "logDomain"}, NO_CALLER),
    ],
)
def test_nobody_is_told_first_that_there_is_no_such_room_then_what_is_wrong(owner, nobody, body, wanted):
    path = f"/rooms/{owner.room()}"
    assert refusal(nobody.post(path, body)) == wanted
    assert refusal(nobody.post(f"/rooms/{NOWHERE}", body)) == NO_ROOM


@pytest.mark.parametrize(
    ("body", "for_guests", "for_hawk"),
    [
        (b"{", BAD_JSON, BAD_JSON),
        ({}, MISSING, MISSING),
        ({"action": "dance"}, BAD, BAD),
        ({"action": "join"}, MISSING, MISSING),
        ({"action": "status"}, BAD, BAD),
        ({"action": "logDomain"}, MISSING, MISSING),
        ({"action": "logDomain", "domains": [5]}, BAD, BAD),
        ({"action": "refresh"}, None, EXPIRED),
        ({"action": "leave"}, None, NOT_IN_ROOM),
    ],
)
def test_somebody_is_told_first_of_the_room_then_of_itself_then_of_the_body(
    owner, other, body, for_guests, for_hawk
):
    path, nowhere = f"/rooms/{owner.room()}", f"/rooms/{NOWHERE}"
    guest, gone = enter(path.removeprefix("/rooms/")), GuestCaller("T1==gone")
    assert refusal(guest.post(nowhere, body)) == NO_ROOM
    assert refusal(gone.post(path, body)) == NO_CALLER
    assert refusal(other.post(nowhere, body)) == NO_ROOM
    assert refusal(other.post(path, body)) == for_hawk
    if for_guests is not None:
        assert refusal(guest.post(path, body)) == for_guests


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic !!!", "Hawk", 'Hawk id="a"', "x"])
def test_a_header_that_nobody_accepts_comes_after_the_room_and_before_the_body(owner, header):
    room = owner.room()
    path, headers = f"/rooms/{room}", {"Authorization": header}
    status, errno = refusal(serve("POST", path, b"{", headers))
    assert (status, errno) in {NO_CALLER, (400, 110)}
    assert refusal(serve("POST", f"/rooms/{NOWHERE}", b"{", headers)) == NO_ROOM


@pytest.mark.parametrize("action", ["join", "refresh", "leave", "status", "logDomain"])
def test_a_room_that_is_not_there_is_not_there_for_anybody(owner, nobody, action):
    for caller in (nobody, owner, GuestCaller("T1==x")):
        for room in (NOWHERE, "x", "QzBbvGmIZWU=", "a" * 300):
            assert refusal(caller.act(room, action, displayName="a", clientMaxSize=2)) == NO_ROOM


def test_a_room_that_was_deleted_or_ended_takes_all_that_was_in_it_along(owner, other, nobody, now):
    deleted, ended = owner.room(), owner.room(expiresIn=1)
    guests = [enter(deleted)]
    ok(other.join(deleted))
    ok(owner.delete(f"/rooms/{deleted}"), 204)
    now[0] += 3600
    for room in (deleted, ended):
        for caller in (*guests, owner, other):
            for action in ("refresh", "leave"):
                assert refusal(caller.act(room, action)) == NO_ROOM
            assert refusal(report(caller, room, CREATED, "waiting", 1, 0, 0)) == NO_ROOM
        assert refusal(nobody.join(room)) == NO_ROOM
        assert refusal(owner.get(f"/rooms/{room}/sessions")) == NO_ROOM


def test_both_prefixes_serve(owner, nobody):
    room = owner.room()
    token = ok(nobody.post(f"/v0/rooms/{room}", {"action": "join", "displayName": "a", "clientMaxSize": 2}))
    guest = GuestCaller(token["sessionToken"], colon=":")
    ok(guest.post(f"/v0/rooms/{room}", {"action": "refresh"}))
    assert len(ok(owner.get(f"/v0/rooms/{room}/sessions"))["sessions"]) == 1


# Reports


def test_a_report_is_recorded_whole(owner, now):
    room = owner.room()
    guest = enter(room)
    now[0] += 7
    ok(report(guest, room, "Publisher.streamCreated", "sending", 2, "1", 0), 204)
    (found,) = sessions(owner, room)
    (participant,) = seen(owner, room)["participants"]
    assert found == {
        "roomConnectionId": participant["roomConnectionId"],
        "displayName": "guest",
        "owner": False,
        "state": "sending",
        "event": "Publisher.streamCreated",
        "connections": 2,
        "sendStreams": 1,
        "recvStreams": 0,
        "time": int(now[0]),
        "reports": 1,
        "nonConforming": 0,
    }


def test_before_the_first_report_a_session_is_at_its_beginning(owner):
    room = owner.room()
    enter(room)
    (found,) = sessions(owner, room)
    assert (found["state"], found["event"], found["time"]) == ("init", None, None)
    assert [found[name] for name in ("connections", "sendStreams", "recvStreams")] == [0, 0, 0]
    assert (found["reports"], found["nonConforming"]) == (0, 0)


def test_a_session_through_the_whole_graph_conforms(owner):
    room = owner.room()
    guest = enter(room)
    way = [
        (CREATED, "waiting", 1, 0, 0),
        (CREATED, "starting", 2, 0, 0),
        ("Publisher.streamCreated", "sending", 2, 1, 0),
        ("Session.streamCreated", "sendrecv", 2, 1, 1),
        ("Publisher.streamDestroyed", "receiving", 2, 0, 1),
        ("Session.streamDestroyed", "cleanup", 2, 0, 0),
        ("Session.connectionDestroyed", "waiting", 1, 0, 0),
        ("Session.connectionDestroyed", "init", 0, 0, 0),
    ]
    for step in way:
        ok(report(guest, room, *step), 204)
    (found,) = sessions(owner, room)
    assert (found["state"], found["reports"], found["nonConforming"]) == ("init", len(way), 0)


def test_what_does_not_conform_is_taken_and_counted(owner):
    room = owner.room()
    guest = enter(room)
    for step, wrong in [
        (("Session.streamDestroyed", "cleanup", 2, 0, 0), 1),  # from init there is no such way
        (("Session.connectionDestroyed", "waiting", 1, 0, 0), 1),  # from cleanup there is
        ((CREATED, "init", 2, 0, 0), 2),
        (("sdk.exception.1500", "cleanup", 2, 1, 1), 3),
        (("sdk.exception.1500", "sendrecv", 2, 1, 1), 3),
    ]:
        ok(report(guest, room, *step), 204)
        (found,) = sessions(owner, room)
        assert (found["event"], found["state"]) == step[:2]
        assert found["nonConforming"] == wrong
    assert found["reports"] == 5


def test_the_wikis_sample_is_taken_as_printed(owner):
    room = owner.room()
    guest = enter(room)
    sample = {
        "action": "status",
        "event": "Session.connectionCreated",
        "state": "sendrecv",
        "sessions": 2,
        "sendStreams": 1,
        "recvStreams": 1,
    }
    ok(guest.post(f"/rooms/{room}", sample), 204)
    (found,) = sessions(owner, room)
    assert (found["connections"], found["state"], found["nonConforming"]) == (2, "sendrecv", 0)


def test_a_state_outside_the_seven_is_refused_unless_any_is_taken(owner, monkeypatch):
    room = owner.room()
    guest = enter(room)
    assert refusal(report(guest, room, CREATED, "dreaming", 2, 0, 0)) == BAD
    monkeypatch.setenv("LOOP_STATUS_STATES", "any")
    settings.reset()
    ok(report(guest, room, CREATED, "dreaming", 2, 0, 0), 204)
    ok(report(guest, room, CREATED, "dreaming", 2, 0, 0), 204)
    (found,) = sessions(owner, room)
    assert (found["state"], found["reports"], found["nonConforming"]) == ("dreaming", 2, 1)


def test_a_join_begins_at_the_beginning_and_what_was_reported_before_stays(owner, now):
    room = owner.room()
    for caller in (owner, enter(room)):
        now[0] += 1  # who joins in the same moment stands in no order
        first = ok(caller.join(room, "before"))
        caller = caller if caller is owner else GuestCaller(first["sessionToken"])
        ok(report(caller, room, CREATED, "waiting", 1, 0, 0), 204)
        now[0] += 5
        ok(caller.join(room, "after"))
        before, after = [
            each for each in sessions(owner, room) if each["displayName"] in ("before", "after")
        ][-2:]
        assert (before["state"], before["reports"], before["ended"]) == ("waiting", 1, int(now[0]))
        assert (after["state"], after["reports"]) == ("init", 0)
        assert "ended" not in after


def test_ended_sessions_say_when(owner, now):
    room = owner.room()
    left, ran_out = enter(room, "left"), enter(room, "ran out")
    ok(report(ran_out, room, CREATED, "waiting", 1, 0, 0), 204)
    now[0] += 10
    ok(left.act(room, "leave"), 204)
    now[0] += LIFE_S
    ended = {each["displayName"]: each["ended"] for each in sessions(owner, room)}
    assert ended == {"left": int(now[0]) - LIFE_S, "ran out": int(now[0]) - 10}


def test_ended_sessions_are_forgotten_after_a_while(owner, now):
    room = owner.room(maxSize=3)
    ok(enter(room, "early").act(room, "leave"), 204)
    now[0] += 1000
    ok(enter(room, "late").act(room, "leave"), 204)
    now[0] += 620
    enter(room, "now")
    assert [each["displayName"] for each in sessions(owner, room)] == ["late", "now"]


def test_no_more_than_twenty_ended_sessions_are_remembered(owner, now):
    room = owner.room()
    for number in range(24):
        now[0] += 1
        ok(enter(room, f"guest {number}").act(room, "leave"), 204)
    found = [each["displayName"] for each in sessions(owner, room)]
    assert found[-1] == "guest 23"
    assert len(found) <= 21


def test_sessions_are_the_owners_alone(owner, other, nobody):
    room = owner.room()
    ok(other.join(room))
    path = f"/rooms/{room}/sessions"
    assert refusal(other.get(path)) == FORBIDDEN
    assert refusal(other.get(f"/rooms/{NOWHERE}/sessions")) == NO_ROOM
    assert refusal(nobody.get(path)) == NO_CALLER
    assert refusal(nobody.get(f"/rooms/{NOWHERE}/sessions")) == NO_CALLER
    assert refusal(enter(room).get(path)) == NO_CALLER


# The log, and what is kept


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The lines of requests and counts."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(journal, "request", lambda **fields: written.append(fields))
    monkeypatch.setattr(
        journal, "count", lambda metric, count, **of: written.append({"metric": metric, "count": count, **of})
    )
    return written


def test_a_line_says_who_did_what_in_which_room(owner, lines):
    room = owner.room()
    guest = enter(room)
    ok(owner.join(room))
    (connection, _) = (each["roomConnectionId"] for each in seen(owner, room)["participants"])
    lines.clear()
    ok(report(guest, room, CREATED, "starting", 2, 0, 0), 204)
    (line,) = lines
    assert {
        "code": 204,
        "token": room,
        "action": "status",
        "userType": "Link-clicker",
        "participants": 2,
        "roomConnectionId": connection,
        "event": CREATED,
        "state": "starting",
        "connections": 2,
        "sendStreams": 0,
        "recvStreams": 0,
    }.items() <= line.items()
    assert line["sessionId"].startswith("2_")
    assert "uid" not in line


@pytest.mark.parametrize("action", ["join", "refresh", "leave"])
def test_a_line_of_a_signed_in_caller_says_so(owner, lines, action):
    room = owner.room()
    ok(owner.join(room))
    lines.clear()
    answer = owner.join(room) if action == "join" else owner.act(room, action)
    assert answer.status < 300
    (line,) = lines
    assert (line["action"], line["userType"]) == (action, "Unregistered")
    assert line["participants"] == (0 if action == "leave" else 1)
    assert {"uid", "sessionId", "roomConnectionId"} <= line.keys()


def test_a_refused_request_is_logged_with_its_number(owner, nobody, lines):
    room = owner.room(maxSize=1)
    lines.clear()
    assert refusal(nobody.join(room)) == FULL
    (line,) = lines
    assert (line["code"], line["errno"], line["action"], line["token"]) == (400, 202, "join", room)


def test_domains_are_counted_and_nobody_is_named(owner, lines):
    room = owner.room()
    guest = enter(room)
    lines.clear()
    domains = [{"domain": "a.test", "count": 2}, {"domain": "b.test", "count": "1"}]
    ok(guest.act(room, "logDomain", domains=[*domains, domains[0]]), 204)
    *counts, line = lines
    assert counts == [
        {"metric": "loop.domain", "count": 4, "domain": "a.test"},
        {"metric": "loop.domain", "count": 1, "domain": "b.test"},
    ]
    assert ".test" not in json.dumps(line)


def test_no_session_token_is_kept(owner, nobody, table: Stack):
    room = owner.room()
    token = ok(nobody.join(room))["sessionToken"]
    ok(owner.join(room))
    assert token not in str(table.rows())


def test_a_session_token_is_worth_nothing_where_another_secret_is_set(owner, nobody, monkeypatch):
    room = owner.room()
    guest = enter(room)
    monkeypatch.setenv("LOOP_SECRET", "another secret of more than 32 characters")
    settings.reset()
    assert refusal(guest.act(room, "refresh")) == NO_CALLER


def test_somebody_without_a_room_registers_and_is_not_in_it(table):
    assert refusal(register().join(NOWHERE)) == NO_ROOM
