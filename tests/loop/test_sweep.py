"""What happens to rooms by itself: participations run out, owners are told, rooms end, tombstones go."""

import logging
from functools import partial

import pytest

import app
from chalicelib import clock, journal, settings
from chalicelib.errors import Unavailable
from chalicelib.loop import secrets, sweep
from chalicelib.loop.actions import sessions as actions
from chalicelib.loop.actions_messages import Join
from chalicelib.loop.auth import NOBODY
from chalicelib.loop.errors import InvalidToken
from chalicelib.loop.room import RoomChange
from chalicelib.loop.store import credentials, participations, rooms, sessions, upkeep
from chalicelib.outbox import kicks, outgoing, owed
from chalicelib.outbox.outgoing import Failure, Outcome
from chalicelib.store import keys, writes
from tests.conftest import Stack
from tests.loop.api import Caller, GuestCaller, ok, refusal, register
from tests.support import receiver
from tests.support.counts import full
from tests.support.receiver import answering
from tests.support.threads import all_at_once

BEGINNING = 4_100_000_000.25
"""After today: an emulator removes at once what expired long ago by its own clock."""
LIFE_S = 300
TOMBSTONE_S = 1620
PUSH_URL = "https://push.example/abc"


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """The time, to be moved: `now[0] += 1`."""
    held = [BEGINNING]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    monkeypatch.setattr("time.time", lambda: held[0])
    return held


@pytest.fixture
def pushing(monkeypatch):
    """Owners are told."""
    monkeypatch.setenv("LOOP_PUSH", "on")
    monkeypatch.setenv("LOOP_PUSH_ALLOW_PRIVATE", "on")
    settings.reset()


@pytest.fixture
def pushes(pushing, monkeypatch):
    """What owners are told, and where, without a network."""
    sent = []

    def send(method, url, *, headers, body, limits):
        sent.append((method, url, body.decode()))
        return Outcome(200)

    monkeypatch.setattr(outgoing, "send", send)
    return sent


@pytest.fixture
def kicked(monkeypatch):
    """The kicks, in their order, to be served by `work`."""
    found = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: found.append((kind, key)))
    return found


def work(*tokens):
    for token in tokens:
        sweep.room_work(keys.loop_room(token))


def row_of(token):
    return writes.get(rooms.RoomRow, *keys.loop_room(token), consistent=True)


def guest(room, name="guest"):
    return GuestCaller(ok(Caller().join(room, name))["sessionToken"])


def shown(owner, room):
    return ok(owner.get(f"/rooms/{room}"))


def recorded(owner, room):
    return ok(owner.get(f"/rooms/{room}/sessions"))["sessions"]


# Participations that run out


def test_who_runs_out_is_noted_at_its_end_and_changes_the_room(owner, now):
    room = owner.room()
    guest(room)
    now[0] += LIFE_S
    work(room)
    found = shown(owner, room)
    assert found["participants"] == []
    assert found["ctime"] == int(BEGINNING) + LIFE_S
    (session,) = recorded(owner, room)
    assert session["ended"] == int(BEGINNING) + LIFE_S
    assert row_of(room).due_at == row_of(room).ends_at


def test_nobody_runs_out_before_the_second(owner, now):
    room = owner.room()
    guest(room)
    before = row_of(room)
    now[0] += LIFE_S - 0.5
    work(room)
    assert row_of(room).attribute_values == before.attribute_values


def test_an_end_is_noted_once(owner, now):
    room = owner.room()
    guest(room)
    now[0] += LIFE_S + 10
    work(room)
    before = row_of(room)
    now[0] += 60
    work(room)
    assert row_of(room).attribute_values == before.attribute_values


def test_who_refreshed_is_looked_at_when_that_is_over(owner, now):
    room = owner.room()
    one, other = guest(room), guest(room)
    now[0] += 100
    ok(one.act(room, "refresh"))
    now[0] += 100
    ok(other.act(room, "refresh"))
    before = row_of(room)
    assert before.due_at == BEGINNING + LIFE_S
    now[0] += 100
    work(room)
    found = row_of(room)
    assert (found.ctime, found.version, found.push) == (before.ctime, before.version, None)
    assert found.due_at == BEGINNING + 100 + LIFE_S
    now[0] += 100
    work(room)
    assert row_of(room).due_at == BEGINNING + 200 + LIFE_S
    assert [each["displayName"] for each in shown(owner, room)["participants"]] == ["guest"]


def test_some_run_out_at_once_and_others_stay(owner, now):
    room = owner.room()
    for name in ("a", "b"):
        guest(room, name)
    now[0] += LIFE_S - 1
    guest(room, "c")
    now[0] += 1
    version = row_of(room).version
    work(room)
    assert [each["displayName"] for each in shown(owner, room)["participants"]] == ["c"]
    ended = {each["displayName"] for each in recorded(owner, room) if "ended" in each}
    assert ended == {"a", "b"}
    assert row_of(room).version == version + 1
    assert row_of(room).due_at == now[0] - 1 + LIFE_S


def test_ctime_never_goes_back(owner, now):
    room = owner.room()
    guest(room)
    now[0] += LIFE_S
    writes.update(*keys.loop_room(room), actions=[rooms.RoomRow.ctime.set(int(now[0]) + 5)])
    work(room)
    assert row_of(room).ctime == int(now[0]) + 5


def during(monkeypatch, step, happens):
    """Have something happen right before a step of the worker, once."""
    real, done = getattr(upkeep, step), list[int]()

    def instead(*arguments):
        if not done:
            done.append(1)
            happens()
        return real(*arguments)

    monkeypatch.setattr(upkeep, step, instead)


def test_a_refresh_at_the_last_moment_wins(owner, now, monkeypatch):
    room = owner.room()
    late = guest(room)
    now[0] += LIFE_S

    def refresh():
        now[0] -= 0.01  # it was sent in time
        ok(late.act(room, "refresh"))
        now[0] += 0.01

    during(monkeypatch, "_marking", refresh)
    ctime = row_of(room).ctime
    work(room)
    assert len(shown(owner, room)["participants"]) == 1
    assert row_of(room).ctime == ctime
    assert row_of(room).due_at == now[0] - 0.01 + LIFE_S


def test_a_leave_at_the_last_moment_is_no_second_end(owner, now, monkeypatch):
    room = owner.room()
    late = guest(room)
    now[0] += LIFE_S

    def leave():
        now[0] -= 0.01
        ok(late.act(room, "leave"), 204)
        now[0] += 0.01

    during(monkeypatch, "_marking", leave)
    version = row_of(room).version
    work(room)
    (session,) = recorded(owner, room)
    assert session["ended"] == int(now[0] - 0.01)
    assert row_of(room).version == version


def test_who_joins_while_the_room_is_seen_to_is_looked_at_in_time(owner, now, monkeypatch):
    room = owner.room()
    guest(room)
    now[0] += LIFE_S
    during(monkeypatch, "_untouched", lambda: guest(room, "late"))
    work(room)
    found = row_of(room)
    assert found.due_at <= now[0] + owed.usual_lease_s()
    now[0] = found.due_at
    work(room)
    assert row_of(room).due_at == BEGINNING + 2 * LIFE_S


def test_the_ended_are_forgotten_in_time(owner, now):
    room = owner.room()
    first = guest(room, "first")
    ok(first.act(room, "leave"), 204)
    now[0] += TOMBSTONE_S - LIFE_S
    guest(room, "second")
    now[0] += LIFE_S
    work(room)
    assert [each["displayName"] for each in recorded(owner, room)] == ["second"]
    assert len(row_of(room).participations) == 1


# Telling owners


def told_owner(url=PUSH_URL):
    return register({"simplePushURLs": {"rooms": url, "calls": "https://push.example/calls"}})


def test_every_change_is_told_and_nothing_else(table, kicked, pushes, now):
    owner, nobody = told_owner(), Caller()
    told = []

    def changed(step, answer, status=200):
        ok(answer, status)
        assert len(kicked) == (step is not None)
        while kicked:
            sweep.room_work(kicked.pop()[1])
        told.append(pushes.pop() if pushes else None)
        assert pushes == []
        now[0] += 1
        return answer

    def expected():
        return ("PUT", PUSH_URL, f"version={int(now[0]) - 1}")

    def assert_told(yes=True):
        assert told.pop() == (expected() if yes else None)

    made = changed(1, owner.post("/rooms", {"roomOwner": "A", "maxSize": 3, "roomName": "r"}), 201)
    room = made.json()["roomToken"]
    assert_told()
    changed(1, owner.patch(f"/rooms/{room}", {"roomName": "s"}))
    assert_told()
    token = changed(1, nobody.join(room)).json()["sessionToken"]
    assert_told()
    someone = GuestCaller(token)
    changed(None, someone.act(room, "refresh"))
    assert_told(False)
    report = {"event": "e", "state": "starting", "connections": 0, "sendStreams": 0, "recvStreams": 0}
    changed(None, someone.act(room, "status", **report), 204)
    assert_told(False)
    changed(None, owner.get(f"/rooms/{room}"))
    assert_told(False)
    domains = [{"domain": "example.org", "count": 1}]
    changed(None, someone.act(room, "logDomain", domains=domains), 204)
    assert_told(False)
    changed(1, someone.act(room, "leave"), 204)
    assert_told()
    changed(1, owner.delete(f"/rooms/{room}"), 204)
    assert_told()


def test_an_end_is_told_once(table, kicked, pushes, now):
    owner = told_owner()
    room = owner.room()
    guest(room)
    work(room)
    pushes.clear()
    now[0] += LIFE_S + 7
    for _ in range(3):
        work(room)
        now[0] += 1
    assert pushes == [("PUT", PUSH_URL, f"version={int(BEGINNING) + LIFE_S + 7}")]
    (listed,) = ok(owner.get(f"/rooms?version={int(BEGINNING) + LIFE_S + 7}"))
    assert (listed["roomToken"], listed["participants"]) == (room, [])


def test_by_default_nothing_is_told_and_nothing_is_owed(table, kicked, monkeypatch):
    monkeypatch.setattr(outgoing, "send", None)
    owner = told_owner()
    room = owner.room()
    guest(room)
    assert kicked == []
    assert row_of(room).push is None
    work(room)


def test_what_was_owed_when_telling_was_switched_off_is_forgotten(table, kicked, pushes, monkeypatch):
    room = told_owner().room()
    monkeypatch.setenv("LOOP_PUSH", "off")
    settings.reset()
    work(room)
    assert (pushes, row_of(room).push) == ([], None)


@pytest.mark.parametrize("end", ["/registration", "/account"])
def test_who_wants_to_be_told_no_more_is_not(table, kicked, pushes, end):
    owner = told_owner()
    room = owner.room()
    ok(owner.delete(end), 204)
    work(room)
    assert pushes == []
    assert row_of(room).push is None


def test_credentials_that_ran_out_are_told_nothing(table, kicked, pushes, now):
    owner = told_owner()
    room = owner.room()
    now[0] += 2_592_001
    work(room)
    assert pushes == []


def test_the_newest_change_is_told_for_all_of_them(table, kicked, pushes, now):
    room = told_owner().room()
    for _ in range(3):
        now[0] += 1
        guest(room)
    for _, key in kicked:
        sweep.room_work(key)
    assert pushes == [("PUT", PUSH_URL, f"version={int(BEGINNING) + 3}")]


def test_a_change_while_the_owner_is_told_is_told_after_it(table, kicked, pushes, monkeypatch):
    """Also within one second: the owner may have looked in between."""
    room = told_owner().room()
    during(monkeypatch, "is_over", lambda: guest(room))
    for _, key in list(kicked):
        sweep.room_work(key)
    assert len(pushes) == 1
    assert row_of(room).push is not None
    sweep.room_work(kicked[-1][1])
    assert len(pushes) == 2
    assert row_of(room).push is None


def test_what_becomes_of_telling_is_counted_and_changes_nothing(table, kicked, pushing, monkeypatch, caplog):
    counted = []
    monkeypatch.setattr(journal, "count", lambda metric, count, **of: counted.append((metric, of)))
    outcomes = [
        Outcome(200),
        Outcome(500),
        Outcome(failure=Failure.LATE),
        Outcome(failure=Failure.NOT_PUBLIC),
    ]
    owner = told_owner()
    caplog.set_level(logging.INFO)
    for outcome in outcomes:
        monkeypatch.setattr(outgoing, "send", lambda *_, outcome=outcome, **__: outcome)
        room = owner.room()
        work(room)
        assert row_of(room).push is None
    assert [(metric, of["accepted"]) for metric, of in counted] == [
        ("loop.push", True),
        ("loop.push", False),
        ("loop.push", False),
        ("loop.push", False),
    ]
    for text in ("status 500", "no answer in time", "an address that is not public"):
        assert f"an owner was not told: {text}" in caplog.text
    assert PUSH_URL not in caplog.text


def test_who_cannot_be_looked_up_is_told_later(table, kicked, pushes, monkeypatch):
    room = told_owner().room()
    real = credentials.rooms_url

    def fails(_):
        raise Unavailable("storage does not answer")

    monkeypatch.setattr(credentials, "rooms_url", fails)
    with pytest.raises(Unavailable):
        work(room)
    monkeypatch.setattr(credentials, "rooms_url", real)
    writes.update(*keys.loop_room(room), actions=[rooms.RoomRow.due_at.set(clock.now())])
    work(room)
    assert len(pushes) == 1


# Real sockets


@pytest.fixture
def server(pushing, tmp_path, monkeypatch):
    """A push server with a certificate that is trusted."""
    monkeypatch.undo()  # certificates are checked against the real time
    made = receiver.certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    monkeypatch.setenv("LOOP_PUSH", "on")
    monkeypatch.setenv("LOOP_PUSH_ALLOW_PRIVATE", "on")
    with receiver.receiving(made) as running:
        yield running


def test_a_push_on_a_real_socket(server, stack):
    settings.reset()
    room = told_owner(f"{server.url}/wake/up?a=b").room()
    work(room)
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", "/wake/up?a=b")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.form == {"version": [str(int(row_of(room).ctime))]}
    assert row_of(room).push is None


def test_a_push_follows_nowhere_and_goes_nowhere_private_unless_allowed(server, stack, monkeypatch):
    settings.reset()
    owner = told_owner(f"{server.url}/wake")
    server.usual = answering(307, headers={"Location": f"{server.url}/secret"})
    work(owner.room())
    assert [request.path for request in server.requests] == ["/wake"]
    monkeypatch.setenv("LOOP_PUSH_ALLOW_PRIVATE", "off")
    settings.reset()
    room = owner.room()
    work(room)
    assert len(server.requests) == 1
    assert row_of(room).push is None


def test_the_whole_way_from_a_join_over_the_queue_to_the_owner(server, stack):
    settings.reset()
    owner = told_owner(f"{server.url}/wake")
    room = owner.room()
    guest(room)
    records = [{"messageId": str(at), "body": each["Body"]} for at, each in enumerate(stack.messages())]
    assert len(records) == 2
    assert owed.work(records) == []
    assert len(server.requests) == 1
    assert owed.sweep() == 0


# Rooms that end


def rows(table, room):
    return sorted(row["sk"]["S"] for row in table.rows() if row["pk"]["S"] == keys.loop_room(room).pk)


def listed(owner_uid):
    return [raw["sk"]["S"] for raw in writes.raw_rows(keys.loop_rooms(owner_uid))]


CONTEXT = {"value": "8Wc=", "alg": "AES-GCM", "wrappedKey": "k+A="}


def with_context(owner, **fields):
    body = {"roomOwner": "A", "maxSize": 3, "context": CONTEXT, "expiresIn": 1} | fields
    return ok(owner.post("/rooms", body), 201)["roomToken"]


def test_a_room_that_ended_leaves_nothing(owner, table, now):
    room = with_context(owner)
    uid = row_of(room).uid
    assert rows(table, room) == ["-", "c"]
    now[0] += 3600
    work(room)
    assert rows(table, room) == []
    assert listed(uid) == []
    assert ok(owner.get("/rooms?version=1")) == []


def test_a_room_stands_until_its_last_second(owner, table, now):
    room = with_context(owner)
    now[0] = BEGINNING - 0.25 + 3599.5
    work(room)
    assert rows(table, room) == ["-", "c"]
    assert shown(owner, room)["roomToken"] == room


def test_a_room_that_is_prolonged_at_its_end_stays(owner, table, now, monkeypatch):
    room = with_context(owner)
    now[0] += 3600

    def prolong():
        now[0] -= 1  # it was looked at while it lived
        ok(owner.patch(f"/rooms/{room}", {"expiresIn": 2}))
        now[0] += 1

    during(monkeypatch, "_close", prolong)
    work(room)
    assert rows(table, room) == ["-", "c"]
    assert shown(owner, room)["expiresAt"] == int(now[0] - 1) + 7200
    now[0] = row_of(room).due_at
    work(room)
    assert row_of(room).due_at == row_of(room).ends_at


def test_a_room_that_is_about_to_go_is_nobodys_any_more(owner, table, now, monkeypatch):
    room = with_context(owner)
    row = row_of(room)
    now[0] += 3600
    monkeypatch.setattr(writes, "batch", lambda **_: (_ for _ in ()).throw(Unavailable("dies here")))
    with pytest.raises(Unavailable):
        work(room)
    monkeypatch.undo()
    monkeypatch.setattr(clock, "now", lambda: BEGINNING)
    with pytest.raises(InvalidToken):  # whoever read it before goes on with that
        rooms.change(row, RoomChange(5, None, None, None, None))
    assert row_of(room).deleted_at == 0


@pytest.mark.parametrize("step", ["batch", "delete"])
def test_what_a_death_leaves_of_a_room_is_removed_by_the_next_worker(owner, table, now, monkeypatch, step):
    room = with_context(owner)
    uid = row_of(room).uid
    now[0] += 3600
    real = getattr(writes, step)

    def dies(*_, **__):
        raise Unavailable("dies here")

    monkeypatch.setattr(writes, step, dies)
    with pytest.raises(Unavailable):
        work(room)
    monkeypatch.setattr(writes, step, real)
    assert ok(owner.get("/rooms?version=1")) == []
    assert refusal(Caller().get(f"/rooms/{room}")) == (404, 105)
    now[0] += owed.usual_lease_s()
    work(room)
    assert rows(table, room) == []
    assert listed(uid) == []


def test_a_tombstone_stands_for_27_minutes(owner, table, now):
    room = with_context(owner)
    uid = row_of(room).uid
    now[0] += 100
    ok(owner.delete(f"/rooms/{room}"), 204)
    work(room)
    assert row_of(room).due_at == int(now[0]) + TOMBSTONE_S
    now[0] = int(now[0]) + TOMBSTONE_S - 0.5
    work(room)
    assert ok(owner.get("/rooms?version=1")) == [{"roomToken": room, "deleted": True}]
    now[0] += 0.5
    assert ok(owner.get("/rooms?version=1")) == []
    work(room)
    assert rows(table, room) == []
    assert listed(uid) == []


def test_a_tombstone_outlives_the_end_that_its_room_had(owner, table, now):
    room = with_context(owner)
    now[0] += 3599
    ok(owner.delete(f"/rooms/{room}"), 204)
    now[0] += 60
    work(room)
    assert ok(owner.get("/rooms?version=1")) == [{"roomToken": room, "deleted": True}]


# The worker


def test_the_sweep_finds_rooms_that_are_due(owner, table, now, kicked):
    assert app.WORK
    room = owner.room()
    guest(room)
    assert owed.sweep() == 0
    now[0] += LIFE_S
    assert owed.sweep() == 1
    assert kicked == [(rooms.ROOM, keys.loop_room(room))]
    assert owed.work([{"messageId": "1", "body": kicks.spell(rooms.ROOM, keys.loop_room(room))}]) == []
    assert owed.sweep() == 0


def test_a_room_is_never_too_often_due(owner, now):
    room = owner.room()
    one = guest(room)
    now[0] += 1
    for _ in range(3 * owed.ATTEMPTS):
        ok(one.act(room, "refresh"))
        now[0] = row_of(room).due_at
        work(room)
        assert row_of(room).attempts == 0
    assert owed.dead_letters() == []
    assert len(shown(owner, room)["participants"]) == 1


def test_what_the_worker_costs(owner, now, storage):
    room = owner.room()
    guest(room)
    with storage.counting() as early:
        work(room)
    assert dict(early) == {"UpdateItem": 1}  # refused: it is not due
    now[0] += LIFE_S
    with storage.counting() as expiry:
        work(room)
    assert dict(expiry) == {"UpdateItem": 3}  # claimed, noted, put off


def test_what_telling_costs(table, kicked, pushes, storage, now):
    room = told_owner().room()
    with storage.counting() as counted:
        work(room)
    assert dict(counted) == {"UpdateItem": 2, "GetItem": 1}
    with storage.counting() as counted:
        work(room)
    assert dict(counted) == {"UpdateItem": 1}


def race(*works):
    """Have these happen at once; none of them fails."""
    assert not [each for each in all_at_once(works, Exception) if isinstance(each, Exception)]


def test_two_workers_at_once_note_and_tell_an_end_once(stack: Stack, kicked, pushes, now):
    owner = told_owner()
    for _ in range(full(10, 100)):
        room = owner.room()
        guest(room)
        work(room)
        pushes.clear()
        version = row_of(room).version
        now[0] += LIFE_S
        race(*[partial(work, room)] * 4)
        assert len(pushes) == 1
        assert row_of(room).version == version + 1
        assert row_of(room).push is None


def test_a_worker_beside_leaves_and_joins_loses_nothing(stack: Stack, kicked, pushes, now):
    """Whatever the order was: the owner was told of the last change, and the room is due in time."""
    owner = told_owner()
    for _ in range(full(10, 100)):
        room = owner.room()
        guest(room, "stays")
        now[0] += 1
        leaver = ok(Caller().join(room, "leaves"))["sessionToken"]
        key = participations.guest(secrets.token_hash(leaver))
        now[0] += LIFE_S - 1
        race(
            partial(work, room),
            partial(work, room),
            partial(sessions.leave, room, key),
            partial(actions.join, room, NOBODY, Join(name="comes", most=5)),
        )
        while kicked:
            sweep.room_work(kicked.pop(0)[1])
        now[0] += owed.usual_lease_s()
        work(room)
        found = row_of(room)
        everybody = participations.every(found)
        assert found.push is None
        assert pushes[-1][2] == f"version={int(found.ctime)}"
        assert found.due_at == min(each.until for each in everybody if each.left is None)
        here = {each.name: each.left is None for each in everybody}
        assert here == {"stays": False, "leaves": False, "comes": True}
