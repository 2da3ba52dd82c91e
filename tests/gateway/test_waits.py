"""Requests that wait for somebody else: others are served meanwhile, and nobody outlives the gateway."""

import asyncio
import threading
import time
from typing import Any

import pytest

from chalicelib import waits
from tests.gateway.stub_app import stub
from tests.gateway.support import Running, parse, running, until


async def parked(gateway: Running, count: int) -> list[asyncio.Task[Any]]:
    """So many requests that wait, once all of them do."""
    tasks = [asyncio.create_task(gateway.request("GET", "/parked")) for _ in range(count)]
    await until(lambda: len(stub.noted("parked")) == count)
    return tasks


async def bodies(tasks: list[asyncio.Task[Any]]) -> list[bytes]:
    return [(await task)[2] for task in tasks]


def handlers() -> int:
    return sum(thread.name.startswith("handler-") for thread in threading.enumerate())


def test_requests_that_wait_hold_up_no_others() -> None:
    async def main() -> None:
        async with running(GATEWAY_THREADS="2") as gateway:
            tasks = await parked(gateway, 20)
            status, _, _ = await asyncio.wait_for(gateway.request("GET", "/echo/x"), 2)
            assert status == 200
            waits.ring("gate")
            assert await bodies(tasks) == [b'{"admitted":true}'] * 20
            # What was put in for them goes once there is nothing left to do for it.
            for _ in range(40):
                await gateway.request("GET", "/echo/x")
            assert handlers() <= 2

    asyncio.run(main())


def test_what_waits_in_the_queue_is_served_as_soon_as_a_thread_waits() -> None:
    async def main() -> None:
        async with running(GATEWAY_THREADS="1") as gateway:
            tasks = [asyncio.create_task(gateway.request("GET", "/parked")) for _ in range(3)]
            status, _, _ = await asyncio.wait_for(gateway.request("GET", "/echo/x"), 2)
            assert status == 200
            await until(lambda: len(stub.noted("parked")) == 3)
            waits.ring("gate")
            await bodies(tasks)

    asyncio.run(main())


@pytest.mark.parametrize("waiting", [0, 3])
def test_only_so_many_requests_wait_at_once(waiting: int) -> None:
    async def main() -> None:
        async with running(GATEWAY_THREADS="2", GATEWAY_WAITING=str(waiting)) as gateway:
            tasks = await parked(gateway, waiting + 2)
            waits.ring("gate")
            found = await bodies(tasks)
            assert found.count(b'{"admitted":true}') == waiting
            assert stub.noted("parked").count(False) == 2

    asyncio.run(main())


def test_a_gateway_that_ends_lets_nobody_wait() -> None:
    async def main() -> float:
        async with running() as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /parked HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: stub.noted("parked"))
            began = time.monotonic()
        status, _, body = parse(await reader.read())
        assert (status, body) == (200, b'{"admitted":true}')
        writer.close()
        return time.monotonic() - began

    assert asyncio.run(main()) < 3


def test_a_ring_wakes_those_who_wait_for_the_name_and_no_others() -> None:
    with waits.waiting("a", "b") as mine, waits.waiting("c") as other:
        waits.ring("b")
        waits.ring("nobody's")
        began = time.monotonic()
        assert mine.wait(5)
        assert time.monotonic() - began < 1
        assert other.wait(0.01)
        assert mine.wait(0.01)


def test_a_ring_before_the_wait_is_not_missed() -> None:
    with waits.waiting("a") as mine:
        waits.ring("a")
        began = time.monotonic()
        assert mine.wait(5)
        assert time.monotonic() - began < 1


def test_once_the_process_ends_nobody_waits() -> None:
    try:
        with waits.waiting("a") as mine:
            waits.end()
            assert not mine.wait(5)
    finally:
        waits.begin()


def test_a_thread_that_nobody_hosts_may_wait() -> None:
    assert not waits.hosted()
    with waits.parked() as admitted:
        assert admitted
