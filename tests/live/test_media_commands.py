"""Workers that wait for commands and acknowledge them, and webhooks: on gateways with an emulator behind."""

import base64
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from standardwebhooks import Webhook

from tests.support import receiver
from tests.support.caller import Caller
from tests.support.counts import full
from tests.support.receiver import answering

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
POLLS = 20
ROOMS = full(4, 30)
COMMANDS = full(4, 20)
REFUSED_AT_FIRST = full(1, 3)
PATIENCE_S = 60.0


class Worker(Caller):
    """A service that has commands, and waits for them."""

    def change(self, room: str) -> None:
        """Something that a command follows from."""
        self.done("PUT", f"/v1/rooms/{room}", {"name": "another"})

    def waiting(self, query: str = "") -> list[str]:
        """The ids of the commands that wait."""
        return [each["id"] for each in self.done("GET", f"/media/v1/commands{query}")]


@pytest.fixture
def start(gateway, stack):
    """Start gateways that write commands; the super service on each."""

    def begin(**environ: str) -> Worker:
        http = gateway(GATEWAY_ACCESS_LOG="false", MEDIA_MODE="fire", **environ).http
        given = stack.environment
        return Worker(http, given["OWT_SUPER_SERVICE_ID"], given["OWT_SUPER_SERVICE_KEY"])

    return begin


@pytest.fixture
def server() -> Iterator[receiver.Receiver]:
    """Where webhooks arrive."""
    with receiver.receiving() as running:
        yield running


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Workers side by side."""
    with ThreadPoolExecutor(50) as threads:
        yield threads


def timed(call):
    began = time.monotonic()
    found = call()
    return found, time.monotonic() - began


def test_twenty_workers_that_wait_keep_nobody_out_and_get_a_command_at_once(start, pool):
    caller = start()
    room = caller.room()
    polls = [pool.submit(timed, lambda: caller.waiting("?wait=20")) for _ in range(POLLS)]
    time.sleep(1.5)
    assert not any(poll.done() for poll in polls)
    found, took = timed(lambda: caller.done("GET", f"/v1/rooms/{room}"))
    assert found["_id"] == room
    assert took < 3
    began = time.monotonic()
    caller.change(room)
    answers = [poll.result() for poll in polls]
    assert time.monotonic() - began < 5
    (command,) = caller.waiting()
    assert [found for found, _ in answers] == [[command]] * POLLS
    # The threads that were put in are not needed any more, and nothing is left of those who waited.
    assert all(caller.done("GET", f"/v1/rooms/{room}") for _ in range(40))


def test_a_worker_at_one_gateway_learns_of_what_came_to_another(start, pool):
    one, other = start(), start()
    room = one.room()
    poll = pool.submit(timed, lambda: other.waiting("?wait=20"))
    time.sleep(1)
    one.change(room)
    found, took = poll.result()
    assert found == one.waiting()
    assert len(found) == 1
    assert took < 8


def test_of_many_acknowledgements_all_are_welcome_and_one_counts(start, pool, stack):
    caller = start()
    room = caller.room()
    for number in range(full(3, 30)):
        caller.change(room)
        (command,) = caller.waiting()
        words = [{"ok": True}, {"ok": False, "reason": f"reason {number}"}] * 4
        path = f"/media/v1/commands/{command}/ack"
        statuses = [
            each.result()[0] for each in [pool.submit(caller.ask, "POST", path, word) for word in words]
        ]
        assert statuses == [204] * len(words)
        assert caller.waiting() == []
    acked = [row for row in stack.rows() if row["pk"]["S"].startswith("oA")]
    assert len(acked) == full(3, 30)


# Webhooks


def hooked(start, server, **environ):
    return start(
        COMMAND_WEBHOOK_URL=server.url,
        COMMAND_WEBHOOK_SECRET=SECRET,
        COMMAND_WEBHOOK_PRIVATE="true",
        **environ,
    )


class Hook:
    """Notes the commands that were taken, by room; treats some requests as it is told."""

    def __init__(self, server: receiver.Receiver) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.tried: dict[str, int] = defaultdict(int)
        self.silent: set[str] = set()
        """Rooms that get no answer."""
        self.failing = 0
        """So many commands of each room are refused at first."""
        self.go = threading.Event()
        self._server = server
        self._lock = threading.Lock()
        server.usual = self._answer

    def _answer(self, handler) -> None:
        request = next(
            each for each in self._server.requests if each.headers == dict(handler.headers.items())
        )
        command = Webhook(SECRET).verify(request.body, dict(request.headers))
        if command["room"] in self.silent:
            self.go.wait(PATIENCE_S)
            return
        with self._lock:
            self.tried[command["id"]] += 1
            if self.tried[command["id"]] == 1 and len(self.taken[command["room"]]) < self.failing:
                answering(503)(handler)
                return
            self.taken[command["room"]].append(command["id"])
        answering(204)(handler)

    def wait_for(self, count: int) -> None:
        """Wait until so many commands were taken."""
        until = time.monotonic() + PATIENCE_S
        while sum(map(len, self.taken.values())) < count and time.monotonic() < until:
            time.sleep(0.05)
        assert sum(map(len, self.taken.values())) == count


def test_rooms_whose_commands_nobody_answers_delay_no_others(start, server):
    hook = Hook(server)
    caller = hooked(start, server, GATEWAY_WORK_THREADS="2")
    stuck = [caller.room() for _ in range(8)]
    hook.silent = set(stuck)
    try:
        for room in stuck:
            caller.change(room)
        time.sleep(0.5)
        room = caller.room()
        began = time.monotonic()
        caller.change(room)
        hook.wait_for(1)
        assert time.monotonic() - began < 5
        assert list(hook.taken) == [room]
    finally:
        hook.go.set()


def test_the_order_of_each_room_holds_across_retries_and_workers(start, server, pool):
    hook = Hook(server)
    hook.failing = REFUSED_AT_FIRST
    caller, other = (hooked(start, server, FOYER_SWEEP_INTERVAL_S="1") for _ in range(2))
    rooms = [caller.room() for _ in range(ROOMS)]

    def change(room: str) -> None:
        for number in range(COMMANDS):
            (caller if number % 2 else other).change(room)

    for done in [pool.submit(change, room) for room in rooms]:
        done.result()
    hook.wait_for(ROOMS * COMMANDS)
    listed = caller.waiting("?limit=1000")
    for room in rooms:
        assert hook.taken[room] == [each for each in listed if each in set(hook.taken[room])]
        assert len(hook.taken[room]) == COMMANDS
