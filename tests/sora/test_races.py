"""Many writers on one connection, in two processes: nothing is lost, and what they saw is possible."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
import urllib3

from tests.sora.api import (
    CHANNEL,
    DELETE,
    DELETE_ITEM,
    GET,
    LIST,
    PUT,
    PUT_ITEM,
    VERSION,
    about,
)
from tests.support.counts import full
from tests.support.linear import Done, order

WRITERS: Final = 8
EACH: Final = full(12, 40)
ROUNDS: Final = full(2, 10)
ENDED: Final = None


class Far:
    """Gateways, and the calls that were made."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.pool = urllib3.PoolManager(num_pools=4, maxsize=2 * WRITERS)
        self.history: list[Done] = []
        self._lock = threading.Lock()

    def post(self, address: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        sent = json.dumps(body)
        answer = self.pool.request("POST", address + path, body=sent, headers=headers, retries=False)
        return answer.status, json.loads(answer.data)

    def rpc(self, operation: str, body: Any, by: int = 0) -> tuple[int, Any]:
        address = self.addresses[by % len(self.addresses)]
        return self.post(address, "/", body, {"x-sora-target": f"{VERSION}.{operation}"})

    def event(self, kind: str, connection_id: str) -> None:
        body = {"type": f"connection.{kind}", **about(connection_id)}
        assert self.post(self.addresses[0], "/sora/event", body, {}) == (200, {})

    def note(self, call: tuple[str, dict[str, Any]], connection_id: str, by: int) -> Any:
        """Make a call, and keep when it was made and what came of it."""
        operation, more = call
        began = time.monotonic()
        if operation == "end":
            self.event("destroyed", connection_id)
            answer: Any = {}
        else:
            status, answer = self.rpc(operation, about(connection_id, **more), by)
            assert status in {200, 400}, answer
            if status == 400:
                assert answer == {"error_type": "ConnectionNotFound"}
                answer = ENDED
        with self._lock:
            self.history.append(Done(began, time.monotonic(), call, answer))
        return answer


@pytest.fixture(scope="module")
def far(standing) -> Far:
    return Far([standing(GATEWAY_ACCESS_LOG="false", FOYER_STORAGE_BUDGET_S="30").http for _ in range(2)])


def model(state: str | None, call: tuple[str, dict[str, Any]]) -> tuple[str | None, Any]:
    """The metadata as JSON text, and what a call does to them and answers."""
    operation, more = call
    if operation == "end" or state is ENDED:
        return ENDED, {} if operation == "end" else ENDED
    before = json.loads(state)
    if operation == GET:
        return state, before
    if operation == DELETE:
        return "{}", before
    if operation == PUT:
        after = more["metadata"]
    elif operation == PUT_ITEM:
        after = before | {more["key"]: more["value"]}
    else:
        after = {key: value for key, value in before.items() if key != more["key"]}
    return json.dumps(after, sort_keys=True), after


def at_once(works: list[Any]) -> None:
    gate = threading.Barrier(len(works))

    def run(work: Any) -> None:
        gate.wait()
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for each in [pool.submit(run, work) for work in works]:
            each.result()


def test_none_of_the_items_of_eight_writers_is_lost(far):
    far.event("created", "c")

    def write(by: int) -> None:
        for number in range(EACH):
            push = number % 3 == 0
            status, _ = far.rpc(PUT_ITEM, about("c", key=f"{by}.{number}", value=number, push=push), by)
            assert status == 200
        for number in range(0, EACH, 2):
            status, _ = far.rpc(DELETE_ITEM, about("c", key=f"{by}.{number}"), by)
            assert status == 200

    at_once([lambda by=by: write(by) for by in range(WRITERS)])
    _, metadata = far.rpc(GET, about("c"))
    assert metadata == {f"{by}.{n}": n for by in range(WRITERS) for n in range(1, EACH, 2)}


def random_call(chance: random.Random, by: int, number: int) -> tuple[str, dict[str, Any]]:
    key = chance.choice("ab")
    push = chance.random() < 0.3
    calls: list[tuple[str, dict[str, Any]]] = [
        (PUT, {"metadata": {key: [by, number]}, "push": push}),
        (PUT_ITEM, {"key": key, "value": [by, number], "push": push}),
        (PUT_ITEM, {"key": key, "value": [by, number]}),
        (DELETE_ITEM, {"key": key, "push": push}),
        (DELETE, {"push": push}),
        (GET, {}),
    ]
    return chance.choice(calls)


@pytest.mark.parametrize("ends", [False, True])
def test_what_eight_writers_saw_can_have_happened_one_after_another(far, ends):
    for turn in range(ROUNDS):
        connection_id = f"c{turn} {ends}"
        far.history.clear()
        far.event("created", connection_id)

        def write(by: int, turn: int = turn, connection_id: str = connection_id) -> None:
            chance = random.Random(f"{ends} {turn} {by}")
            for number in range(EACH):
                if ends and by == 0 and number == EACH // 2:
                    far.note(("end", {}), connection_id, by)
                far.note(random_call(chance, by, number), connection_id, by)

        at_once([lambda by=by: write(by) for by in range(WRITERS)])
        assert len(far.history) == WRITERS * EACH + ends
        assert order(far.history, "{}", model) is not None
        if ends:
            _, listed = far.rpc(LIST, {"channel_id": CHANNEL})
            assert connection_id not in {each["connection_id"] for each in listed}
