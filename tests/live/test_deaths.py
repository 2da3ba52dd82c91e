"""kill -9 at random moments of a release: nobody is left waiting, nobody is told more than twice."""

import asyncio
import json
import random
import sys

import pytest

from infra.children import ROOT, Child
from infra.credentials import Credentials
from infra.emulator import free_port
from tests.conftest import child_environment
from tests.support.clients import ROOM, STATE, StompClient, golive, visitor
from tests.support.counts import full
from tests.support.crowd import Visitor

PATH = "/waiting-queue/visitor/websocket"
QUICK = {
    "FOYER_SHARDS": "4",
    "FOYER_SWEEP_INTERVAL_S": "1",
    "FOYER_WORK_LEASE_S": "3",
    "FOYER_FRONT_LEASE_S": "3",
    "JITSI_CLOSE_AFTER_RELEASE_S": "600",
    "GATEWAY_ACCESS_LOG": "false",
}
VISITORS = full(40, 300)
ROUNDS = full(2, 20)
RELEASED_WITHIN_S = 90
LINGER_S = 5.0


def crowd(
    base: str, credentials: Credentials, conference: str, *, path: str = PATH, count: int = VISITORS
) -> list[Visitor]:
    """So many visitors, each with a token of its own: one that many use is held back (contract 7.4)."""
    return [
        Visitor(base, path, credentials.visitor_token(jti=f"{base} {conference} {number}"), conference)
        for number in range(count)
    ]


async def waiting(visitors: list[Visitor]) -> list[asyncio.Task[None]]:
    """Have all of them wait; their tasks."""
    tasks = []
    for one in visitors:
        tasks.append(asyncio.create_task(one.run(LINGER_S)))
        if len(tasks) % 20 == 0:
            await asyncio.wait_for(one.subscribed.wait(), 60)
    for one in visitors:
        await asyncio.wait_for(one.subscribed.wait(), 60)
    return tasks


async def all_released(tasks: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(RELEASED_WITHIN_S):
        await asyncio.gather(*tasks)


def told(visitors: list[Visitor]) -> set[int]:
    """How many live messages visitors got."""
    return {len(one.lives) for one in visitors}


def test_a_killed_gateway_leaves_nobody_waiting(gateway, credentials):
    chance = random.Random(11)
    port = str(free_port())
    running = gateway(**QUICK, PORT=port)

    async def one_round(number: int) -> list[Visitor]:
        nonlocal running
        conference = f"killed{number}@conference.meet.local"
        visitors = crowd(running.ws, credentials, conference)
        tasks = await waiting(visitors)
        call = asyncio.create_task(
            asyncio.to_thread(golive, running.http, credentials.server_token(), conference)
        )
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        running.kill()
        try:
            durable = (await call)[0] == 200
        except (OSError, EOFError):
            durable = False
        # In this thread, with which a child dies: the loop stands still meanwhile.
        running = gateway(**QUICK, PORT=port)
        if not durable:
            # Prosody was not told that it is; without that nothing was promised.
            answer = await asyncio.to_thread(golive, running.http, credentials.server_token(), conference)
            assert answer[0] == 200
        await all_released(tasks)
        return visitors

    for number in range(ROUNDS):
        visitors = asyncio.run(one_round(number))
        assert told(visitors) <= {1, 2}
        assert {count for one in visitors for count in one.by_connection} <= {0, 1}


def test_a_killed_worker_leaves_nobody_waiting(gateway, credentials, stack, tmp_path):
    chance = random.Random(13)
    running = gateway(**QUICK, GATEWAY_MODE="aws", GATEWAY_SOURCES="off")
    workers: list[Child] = []

    def start_worker() -> Child:
        worker = Child(tmp_path / f"worker-{len(workers)}.log")
        worker.run([sys.executable, "-m", "infra.worker"], child_environment(stack.environment, QUICK), ROOT)
        workers.append(worker)
        worker.until(lambda: '"worker"' in worker.log(), 30, lambda: False)
        return worker

    async def one_round(number: int) -> list[Visitor]:
        conference = f"worker{number}@conference.meet.local"
        visitors = crowd(running.ws, credentials, conference, path="/")
        tasks = await waiting(visitors)
        worker = start_worker()
        answer = await asyncio.to_thread(golive, running.http, credentials.server_token(), conference)
        assert answer[0] == 200
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        worker.kill()
        worker = start_worker()
        await all_released(tasks)
        worker.kill()
        return visitors

    try:
        for number in range(ROUNDS):
            visitors = asyncio.run(one_round(number))
            assert told(visitors) <= {1, 2}
            assert [one.by_connection for one in visitors if len(one.by_connection) != 1] == []
    finally:
        for worker in workers:
            worker.kill()


def test_rows_of_a_killed_gateway_do_not_count(gateway, credentials):
    quick = QUICK | {"JITSI_STATE_INTERVAL_S": "1"}
    first, second = gateway(**quick), gateway(**quick)
    with (
        StompClient(second.ws) as moderator,
        visitor(second.ws, credentials.visitor_token()),
    ):
        assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
        lost = [visitor(first.ws, credentials.visitor_token()) for _ in range(3)]
        moderator.subscribe(STATE + ROOM)
        assert json.loads(moderator.frame()[2])["visitorsWaiting"] == 4
        first.kill()
        assert json.loads(moderator.frame(30)[2])["visitorsWaiting"] == 1
        for one in lost:
            one.close()


@pytest.mark.parametrize("mode", ["edge", "aws"])
def test_visitors_of_two_gateways_are_released_by_one_call(gateway, credentials, mode):
    settings = {"GATEWAY_MODE": mode, "JITSI_STATE_INTERVAL_S": "1", "GATEWAY_ACCESS_LOG": "false"}
    first, second = gateway(**settings), gateway(**settings)
    path = PATH if mode == "edge" else "/"
    visitors = [
        one for each in (first, second) for one in crowd(each.ws, credentials, ROOM, path=path, count=10)
    ]

    async def one_call() -> None:
        tasks = await waiting(visitors)
        with StompClient(second.ws, path) as moderator:
            assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
            moderator.subscribe(STATE + ROOM)
            assert json.loads(moderator.frame()[2])["visitorsWaiting"] == 20
        answer = await asyncio.to_thread(golive, first.http, credentials.server_token())
        assert answer[0] == 200
        await all_released(tasks)

    asyncio.run(one_call())
    assert [one.by_connection for one in visitors] == [[1]] * 20
    assert {one.lives[0]["randomDelayMs"] for one in visitors} == {1000}
