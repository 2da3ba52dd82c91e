"""Requests that only wait keep no thread from the others."""

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from chalicelib import idle
from infra.gateway import handlers
from infra.gateway.handlers import Mailbox, Pool

PATIENCE_S = 10.0
THREADS = 2
WAITING = 20


class Waiters:
    """Handlers that wait for each other: one of the others lets all of them go."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.go = threading.Event()
        self.threads = 0

    def call(self, name: str, event: Any, request_id: str) -> Any:
        """Wait, let go, or answer."""
        match name:
            case "wait":
                with idle.waiting():
                    self.waiting.release()
                    return self.go.wait(PATIENCE_S)
            case "go":
                self.threads = len(handlers._running.pool._threads)
                self.go.set()
        return True

    def routes(self) -> dict[str, Any]:
        """None."""
        return {}

    def binary_types(self) -> list[str]:
        """None."""
        return []


@pytest.fixture(autouse=True)
def _installed():
    idle.install(handlers.place_given_up)
    yield
    idle.install(None)


def done(answer: "asyncio.Future[Any]", result: Any, _: BaseException | None) -> None:
    """Hand on what a handler returned."""
    answer.set_result(result)


def run(names: list[str], waiters: Waiters) -> tuple[list[Any], int]:
    """What each call returned, and how many threads there are in the end."""

    async def main() -> tuple[list[Any], int]:
        loop = asyncio.get_running_loop()
        pool = Pool(waiters, Mailbox(loop), THREADS, "handler")
        answers: list[asyncio.Future[Any]] = []
        for name in names:
            answer = loop.create_future()
            answers.append(answer)
            pool.submit(name, {}, "r", partial(done, answer))
        for _ in names[:-1]:
            assert await asyncio.to_thread(waiters.waiting.acquire, timeout=PATIENCE_S)
        returned = await asyncio.gather(*answers)
        for _ in range(100):
            if len(pool._threads) <= THREADS:
                break
            await asyncio.sleep(0.01)
        left = len(pool._threads)
        await asyncio.to_thread(pool.stop, PATIENCE_S)
        return list(returned), left

    return asyncio.run(main())


@pytest.mark.parametrize("most", [1000, WAITING, WAITING - 1])
def test_whom_requests_wait_for_is_served_however_many_wait_and_no_thread_is_left_over(monkeypatch, most):
    monkeypatch.setattr(handlers, "MOST_WAITING", most)
    waiters = Waiters()
    returned, left = run([*["wait"] * WAITING, "go"], waiters)
    assert returned == [True] * (WAITING + 1)
    assert WAITING < waiters.threads <= min(most, WAITING) + THREADS
    assert left == THREADS


def test_outside_of_a_gateway_nobody_is_told():
    with idle.waiting():
        assert not hasattr(handlers._running, "pool")
