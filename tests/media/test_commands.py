"""`GET /media/v1/commands`: what is listed for whom, in which order, and how long a worker waits for it."""

import json
import re
import threading
import time

import pytest

from chalicelib import clock, waits
from chalicelib.media.actions import pull
from chalicelib.owt.command import LIVES_S, Kind
from chalicelib.owt.store import commands
from chalicelib.wire.reply import can_be_sent
from tests.media.workers import Worker, order
from tests.owt.api import BAD, NO_RESOURCE, NO_ROOM, Api, ok, refusal, serve
from tests.support import mauth

NOBODY = "5188b9af6e53c84ffd600499"


def listed(api, query=""):
    return [each["id"] for each in ok(Worker(api).waiting(query))]


def test_a_command_is_listed_as_it_was_ordered(acme):
    room = acme.room()
    before = clock.now()
    made = order(acme.service, room, Kind.OUTPUT_STOP, "r1", {"type": "recording"})
    (found,) = ok(Worker(acme).waiting())
    created = found.pop("created_at")
    assert found == {
        "id": made.id,
        "service": acme.service,
        "room": room,
        "kind": "output.stop",
        "target": "r1",
        "args": {"type": "recording"},
        "state": "pending",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created)
    assert re.fullmatch(rf"[0-9a-f]{{24}}-{acme.service}", made.id)
    assert abs(made.created - before) < 5


def test_the_answer_can_be_read_by_a_page_of_any_origin(acme):
    answer = Worker(acme).waiting()
    assert (answer.status, answer.body) == (200, "[]")
    assert answer.header("Access-Control-Allow-Origin") == "*"
    assert answer.header("Content-Type") == "application/json"


def test_commands_come_oldest_first_and_no_more_than_asked_for(acme):
    room = acme.room()
    made = [order(acme.service, room).id for _ in range(5)]
    assert listed(acme) == made
    assert listed(acme, "?limit=2") == made[:2]
    assert listed(acme, "?limit=1000") == made


def test_an_answer_has_as_many_of_the_oldest_as_can_be_sent():
    large = {"attributes": {"a": '"' * 100_000}}  # 400 kB once JSON is spelled within JSON
    made = [commands.new(NOBODY, NOBODY, Kind.STREAM_START, str(at), large) for at in range(30)]
    fitting = [bytes(each) for each in pull.that_fit(made)]
    assert 12 <= len(fitting) < 30
    assert [json.loads(each)["target"] for each in fitting] == [str(at) for at in range(len(fitting))]
    assert can_be_sent(b"[" + b",".join(fitting) + b"]")


def test_without_a_limit_a_hundred_are_listed():
    assert pull.read_wish({}) == pull.Wish(room=None, limit=100, wait_s=0.0)


def test_a_service_sees_its_own_and_the_super_service_all_in_the_order_of_time(boss, acme, other):
    rooms = {api.service: api.room() for api in (boss, acme, other)}
    made = [order(api.service, rooms[api.service]) for api in (other, boss, acme, other, acme)]
    assert listed(boss) == [each.id for each in made]
    assert listed(boss, "?limit=3") == [each.id for each in made[:3]]
    for api in (acme, other):
        assert listed(api) == [each.id for each in made if each.service == api.service]


def test_the_commands_of_one_room_are_those_of_no_other(boss, acme):
    one, other = acme.room(), acme.room()
    made = [order(acme.service, room).id for room in (one, other, one, other, one)]
    for api in (acme, boss):
        assert listed(api, f"?room={one}") == made[::2]
        assert listed(api, f"?room={other}&limit=1") == made[1:2]


def test_a_room_that_is_not_the_callers_is_not_there(boss, acme, other):
    theirs = other.room()
    order(other.service, theirs)
    for wait in ("", "&wait=5"):
        for room in (theirs, NOBODY, "none", "a" * 3000):
            assert refusal(Worker(acme).waiting(f"?room={room}{wait}")) == NO_ROOM
        assert refusal(Worker(boss).waiting(f"?room={NOBODY}{wait}")) == NO_ROOM


def test_that_a_room_was_closed_is_told_though_the_room_is_gone(boss, acme, other):
    room = acme.room()
    made = order(acme.service, room, Kind.ROOM_CLOSED, room)
    assert acme.delete(f"/rooms/{room}").status == 200
    for api in (acme, boss):
        assert listed(api, f"?room={room}") == [made.id]
    assert refusal(Worker(other).waiting(f"?room={room}")) == NO_ROOM


def test_what_a_deleted_services_rooms_left_is_the_super_services(boss, acme):
    room = acme.room()
    made = order(acme.service, room, Kind.ROOM_CLOSED, room, under=boss.service)
    assert listed(boss) == [made.id]
    assert listed(boss, f"?room={room}") == [made.id]
    assert listed(acme) == []


def test_a_command_expires_after_a_day(acme, monkeypatch):
    order(acme.service, acme.room())
    until = clock.now() + LIVES_S
    monkeypatch.setattr(clock, "now", lambda: until - 5)
    assert len(listed(acme)) == 1
    monkeypatch.setattr(clock, "now", lambda: until + 1)
    assert listed(acme) == []


BAD_QUERIES = (
    *("?limit=0", "?limit=1001", "?limit=-1", "?limit=1.5", "?limit=ten", "?limit=1e2", "?limit=%D9%A1"),
    *("?wait=-1", "?wait=20.5", "?wait=21", "?wait=nan", "?wait=inf", "?wait=soon"),
    *("?limit=1&limit=2", "?wait=1&wait=1", "?room=a&room=b"),
)
IDLE_QUERIES = ("?room=&limit=&wait=", "?wait=0", "?wait=0.0", "?limit=1", "?other=1", "/")


def test_a_query_that_cannot_be_is_bad(acme):
    assert [query for query in BAD_QUERIES if refusal(Worker(acme).waiting(query)) != BAD] == []


def test_what_is_empty_or_unknown_in_a_query_counts_for_nothing(acme):
    assert [query for query in IDLE_QUERIES if ok(Worker(acme).waiting(query)) != []] == []


# Waiting


@pytest.fixture
def later():
    """Have something done in a moment; it is done when the test ends."""
    threads = []

    def soon(seconds, act):
        thread = threading.Timer(seconds, act)
        threads.append(thread)
        thread.start()

    yield soon
    for thread in threads:
        thread.join()


def timed(call):
    began = time.monotonic()
    found = call()
    return found, time.monotonic() - began


def test_a_worker_that_waits_for_nothing_gets_an_empty_list_in_the_end(acme):
    found, took = timed(lambda: listed(acme, "?wait=1.2"))
    assert found == []
    assert 1.2 <= took < 5


def test_commands_that_wait_already_are_not_waited_for(acme):
    made = order(acme.service, acme.room())
    found, took = timed(lambda: listed(acme, "?wait=20"))
    assert found == [made.id]
    assert took < 5


def test_a_worker_that_waits_gets_a_command_as_soon_as_it_is_there(boss, acme, later):
    room = acme.room()
    for api, query in ((acme, ""), (acme, f"&room={room}"), (boss, "")):
        there = set(listed(boss))
        if there:
            for each in there:
                Worker(boss).ack(each, {"ok": True})
        made: list[str] = []
        later(0.3, lambda made=made: made.append(order(acme.service, room).id))
        found, took = timed(lambda api=api, query=query: listed(api, f"?wait=20{query}"))
        assert found == made
        assert took < 6


def test_a_worker_that_waits_learns_of_what_another_process_wrote(acme, later, monkeypatch):
    room = acme.room()
    monkeypatch.setattr(waits, "ring", lambda name: None)
    made = []
    later(0.3, lambda: made.append(order(acme.service, room).id))
    found, took = timed(lambda: listed(acme, "?wait=20"))
    assert found == made
    assert took < 6


def test_a_room_that_goes_while_its_worker_waits_ends_the_wait(acme, later):
    room = acme.room()
    made = []

    def close():
        made.append(order(acme.service, room, Kind.ROOM_CLOSED, room).id)

    later(0.3, close)
    assert listed(acme, f"?wait=20&room={room}") == made


def test_a_command_of_another_room_ends_no_wait(acme):
    one, other = acme.room(), acme.room()
    order(acme.service, other)
    found, took = timed(lambda: listed(acme, f"?wait=1&room={one}"))
    assert (found, took >= 1) == ([], True)


def test_who_waits_for_one_room_is_not_woken_for_others(boss, acme, later, monkeypatch):
    one, another = acme.room(), acme.room()
    looks: list[str] = []
    pending = commands.pending

    def noting(service, **options):
        looks.append(service)
        return pending(service, **options)

    monkeypatch.setattr(commands, "pending", noting)
    monkeypatch.setattr(pull, "FIRST_PAUSE_S", 20.0)
    later(0.2, lambda: [order(acme.service, another) for _ in range(5)])
    assert listed(boss, f"?wait=1&room={one}") == []
    assert len(looks) <= 4  # two services, at the beginning and at the end


def test_waiting_looks_at_what_is_new_only(acme, monkeypatch):
    asked = []
    pending = commands.pending

    def noting(service, **options):
        asked.append(options["since"])
        return pending(service, **options)

    monkeypatch.setattr(commands, "pending", noting)
    before = clock.now()
    assert listed(acme, "?wait=1") == []
    first, *rest = asked
    assert first == 0.0
    assert rest
    assert all(before - 70 < since <= before - 50 for since in rest)


def test_where_too_many_wait_nobody_else_does(acme):
    class Full:
        def leave(self):
            return False

        def back(self):
            raise AssertionError

    waits.hosted_by(Full())
    try:
        found, took = timed(lambda: listed(acme, "?wait=20"))
    finally:
        waits.hosted_by(None)
    assert found == []
    assert took < 5


def test_a_process_that_ends_keeps_no_worker_waiting(acme, later):
    later(0.3, waits.end)
    try:
        found, took = timed(lambda: listed(acme, "?wait=20"))
    finally:
        waits.begin()
    assert found == []
    assert took < 5


# The edge


def test_who_is_nobody_is_told_nothing(acme):
    order(acme.service, acme.room())
    for liar in (Api(acme.service, "not the key"), Api(NOBODY, "s3cret")):
        assert refusal(Worker(liar).waiting("?limit=none")) == (401, 1101)
    assert serve("GET", "/media/v1/commands").status == 401


def test_a_page_may_ask_what_it_may_send(stack):
    for path in ("/media/v1/commands", "/media/v1/commands/x/ack"):
        answer = serve("OPTIONS", path)
        assert answer.status == 200
        assert "authorization" in (answer.header("Access-Control-Allow-Headers") or "")


NOT_SERVED = (
    ("POST", "/media/v1/commands"),
    ("DELETE", "/media/v1/commands"),
    ("GET", "/media/v1/commands/x/ack"),
    ("PUT", "/media/v1/commands/x/ack"),
    ("GET", "/media/v1/commands/x"),
    ("GET", "/media/v1"),
    ("GET", "/media/v2/commands"),
)


def test_a_method_or_path_that_is_not_served_is_not_there(acme):
    headers = {"Authorization": mauth.header(acme.service, acme.key)}
    for method, path in NOT_SERVED:
        answer = serve(method, path, headers=headers)
        assert (answer.status, answer.json()["error"]["code"]) == NO_RESOURCE, (method, path)
