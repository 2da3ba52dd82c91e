"""SUBSCRIBE races GOLIVE in both orders: exactly one live message, whatever the front."""

import asyncio
import random

import pytest

from tests.support.clients import golive
from tests.support.counts import full
from tests.support.crowd import Visitor

AT_ONCE = 10
LINGER_S = 1.0
PATHS = {"edge": "/waiting-queue/visitor/websocket", "aws": "/"}


@pytest.mark.parametrize("mode", ["edge", "aws"])
def test_a_visitor_who_subscribes_while_the_conference_goes_live_gets_exactly_one_message(
    gateway, credentials, mode
):
    # Few shards: behind API Gateway each is a page to serve, and the emulator shares this machine's cores.
    running = gateway(
        GATEWAY_MODE=mode, FOYER_SHARDS="2", FOYER_SWEEP_INTERVAL_S="5", GATEWAY_ACCESS_LOG="false"
    )
    rounds = full(60, 1000)
    chance = random.Random(7)
    wrong = []

    async def race(number: int) -> None:
        conference = f"race{number}@conference.meet.local"
        begin = asyncio.Event()
        one = Visitor(running.ws, PATHS[mode], credentials.visitor_token(), conference)
        offset = chance.uniform(-0.03, 0.03)
        ready = asyncio.Event()

        async def moment() -> None:
            ready.set()
            await begin.wait()
            await asyncio.sleep(max(0.0, offset))

        one.wanted = moment
        task = asyncio.create_task(one.run(LINGER_S))
        await ready.wait()
        begin.set()
        await asyncio.sleep(max(0.0, -offset))
        status, _, _ = await asyncio.to_thread(golive, running.http, credentials.server_token(), conference)
        assert status == 200
        async with asyncio.timeout(60):
            await task
        # A conference that is live goes on being looked after.
        status, _, _ = await asyncio.to_thread(
            golive, running.http, credentials.server_token(), conference, method="DELETE"
        )
        assert status == 200
        if one.by_connection != [1]:
            wrong.append((number, offset, one.by_connection))

    async def all_rounds() -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                await race(number)

        await asyncio.gather(*(one(number) for number in range(rounds)))

    asyncio.run(all_rounds())
    assert wrong == []
