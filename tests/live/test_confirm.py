"""Many calls that wait for a worker at once: on a gateway with an emulator behind, workers outside of it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chalicelib.owt.actions.orders import SILENCE
from chalicelib.store import keys
from infra.children import Gateway
from tests.support.caller import Caller
from tests.support.counts import full

AT_ONCE = 50
THREADS = 8
ROUNDS = full(1, 5)
TIMEOUT_S = 8.0
SHORT_S = 1.0
PATIENCE_S = 60.0
SOURCE = {"connection": {"url": "rtsp://127.0.0.1/a"}, "media": {"audio": True, "video": False}}
FOUND = {"audio": {"status": "active", "format": {"codec": "aac", "sampleRate": 44100, "channelNum": 1}}}
REASON = "no route to host"
REFUSED = 1201

Word = dict[str, Any] | None
Decide = Callable[[dict[str, Any]], Word]


class Service(Caller):
    """A service, which calls a gateway and whose workers do."""

    def begin(self, room: str) -> tuple[int, Any]:
        """A streaming-in."""
        return self.ask("POST", f"/v1/rooms/{room}/streaming-ins", SOURCE)

    def forward(self, room: str) -> dict[str, Any]:
        """The forward streams of a room by id."""
        found = self.done("GET", f"/v1/rooms/{room}/streams")
        return {each["id"]: each for each in found if each["type"] == "forward"}

    @contextmanager
    def worker(self, decide: Decide) -> Iterator[None]:
        """Have a worker long-poll for commands and say what `decide` does of each, if anything."""
        over = threading.Event()
        said: set[str] = set()

        def work() -> None:
            with ThreadPoolExecutor(8) as several:
                while not over.is_set():
                    found = self.done("GET", "/media/v1/commands?wait=1&limit=1000")
                    new = [each for each in found if each["id"] not in said]
                    said.update(each["id"] for each in new)
                    list(several.map(self.say, new, [decide] * len(new)))
                    if found and not new:
                        time.sleep(0.05)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def say(self, command: dict[str, Any], decide: Decide) -> None:
        """A worker's word on a command."""
        word = decide(command)
        if word is not None:
            assert self.ask("POST", f"/media/v1/commands/{command['id']}/ack", word) == (204, "")


@pytest.fixture
def start(gateway, stack):
    """Start a gateway whose calls wait; it, and so many services."""

    def begin(count: int, timeout_s: float) -> tuple[Gateway, list[Service]]:
        running = gateway(
            GATEWAY_ACCESS_LOG="false",
            MEDIA_MODE="confirm",
            CONFIRM_TIMEOUT_S=str(timeout_s),
            GATEWAY_THREADS=str(THREADS),
            FOYER_STORAGE_BUDGET_S="30",
        )
        given = stack.environment
        boss = Service(running.http, given["OWT_SUPER_SERVICE_ID"], given["OWT_SUPER_SERVICE_KEY"])
        made = [boss.done("POST", "/services", {"name": f"s{n}", "key": "a key"}) for n in range(count)]
        return running, [Service(running.http, each["_id"], "a key") for each in made]

    return begin


def threads(running: Gateway) -> int:
    """How many threads the gateway's process has."""
    return len(list(Path(f"/proc/{running.pid}/task").iterdir()))


def settled(count: Callable[[], int], most: int) -> int:
    """What is counted in the end, which may take a while to fall."""
    end = time.monotonic() + PATIENCE_S
    while (found := count()) > most and time.monotonic() < end:
        time.sleep(0.1)
    return found


def left(stack, room: str) -> tuple[int, int]:
    """How many streams have rows in a room, and how many are counted."""
    rows = [row for row in stack.rows() if row["pk"]["S"] == keys.owt_room_partition(room)]
    assert all("pnd" not in row for row in rows)
    counted = next(int(row["inputs"]["N"]) for row in rows if row["sk"]["S"] == "x")
    return sum(row["sk"]["S"].startswith("w#") for row in rows), counted


def codes(answers: list[tuple[int, Any]]) -> Counter[Any]:
    """How often each status came, with what was said of it."""
    return Counter(
        (status, None if status == 200 else answer["error"]["message"]) for status, answer in answers
    )


def test_of_many_that_wait_at_once_each_is_answered_as_its_worker_says(start, stack):
    running, (willing, refusing, silent) = start(3, TIMEOUT_S)
    services = [willing, refusing, silent]
    with (
        willing.worker(lambda _: {"ok": True, "result": {"media": FOUND, "node": "n1"}}),
        refusing.worker(lambda made: _refuse(made)),
    ):
        warm = [each.room() for each in services[:1]]
        willing.begin(warm[0])
        before = threads(running)
        for _ in range(ROUNDS):
            rooms = [each.room() for each in services]
            turns = [number % 3 for number in range(AT_ONCE)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                calls = [pool.submit(services[turn].begin, rooms[turn]) for turn in turns]
                answers = [call.result() for call in calls]
            of = [[answers[at] for at, turn in enumerate(turns) if turn == who] for who in range(3)]
            assert codes(of[0]) == {(200, None): 17}
            assert codes(of[1]) == {(500, REASON): 17}
            assert codes(of[2]) == {(500, SILENCE): 16}
            assert all(answer["error"]["code"] == REFUSED for _, answer in [*of[1], *of[2]])
            made = {answer["id"]: answer for _, answer in of[0]}
            assert willing.forward(rooms[0]) == made
            assert all(each["media"]["audio"]["format"] == FOUND["audio"]["format"] for each in made.values())
            assert [
                each.done("GET", f"/v1/rooms/{room}/streams")
                for each, room in zip(services[1:], rooms[1:], strict=True)
            ] == [[], []]
            assert [left(stack, room) for room in rooms] == [(17, 17), (0, 0), (0, 0)]
            told = silent.done("GET", f"/media/v1/commands?room={rooms[2]}")
            assert Counter(each["kind"] for each in told) == {"stream.stop": 16}
        assert settled(lambda: threads(running), before + THREADS) <= before + THREADS


def _refuse(made: dict[str, Any]) -> Word:
    return {"ok": False, "reason": REASON} if made["kind"] == "stream.start" else {"ok": True}


def test_whoever_is_first_at_the_last_moment_decides_for_both(start, stack):
    _, (service,) = start(1, SHORT_S)
    chance = random.Random(1)

    def late(made: dict[str, Any]) -> Word:
        if made["kind"] == "stream.start":
            time.sleep(max(0.0, chance.uniform(0.0, 0.4)))
        return {"ok": True}

    for _ in range(ROUNDS):
        room = service.room()
        with service.worker(late), ThreadPoolExecutor(AT_ONCE) as pool:
            answers = [call.result() for call in [pool.submit(service.begin, room) for _ in range(AT_ONCE)]]
        assert set(codes(answers)) <= {(200, None), (500, SILENCE)}
        made = {answer["id"] for status, answer in answers if status == 200}
        assert set(service.forward(room)) == made
        assert left(stack, room) == (len(made), len(made))


def test_of_many_changes_at_once_every_one_that_was_confirmed_took_effect(start):
    _, (service,) = start(1, TIMEOUT_S)
    room = service.room()
    with service.worker(lambda _: {"ok": True}):
        made: list[str] = [service.begin(room)[1]["id"] for _ in range(5)]

        def change(number: int) -> tuple[int, Any]:
            muted = {"op": "replace", "path": "/media/audio/status", "value": "inactive"}
            mixed = {"op": "add", "path": "/info/inViews", "value": "common"}
            path = f"/v1/rooms/{room}/streams/{made[number % len(made)]}"
            answer: tuple[int, Any] = service.ask("PATCH", path, [muted if number % 2 else mixed])
            return answer

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(change, range(20)))
        assert [status for status, _ in answers] == [200] * 20
    for stream in service.forward(room).values():
        assert stream["info"]["inViews"] == ["common"]
        assert stream["media"]["audio"]["status"] == "inactive"
