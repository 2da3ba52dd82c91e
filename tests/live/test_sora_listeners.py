"""Clients that only listen, on real fronts: pushes to many of them, the dead and the deaf among them."""

import asyncio
import time

import pytest

from tests.support.clients import VISITOR, StompClient, visitor
from tests.support.counts import full
from tests.support.listeners import Listener, deaf, present, put, until

LISTENERS = {"edge": full(60, 500), "aws": full(30, 60)}
"""Behind API Gateway each notice of a newcomer is one call for each of them: test_delivery has 500."""
JOINING = 20
BIG = 60 * 1024
DELAY_S = 2.0
USUAL = {"GATEWAY_ACCESS_LOG": "false"}
QUICK = USUAL | {
    "FOYER_SWEEP_INTERVAL_S": "1",
    "FOYER_WORK_LEASE_S": "3",
    "FOYER_FRONT_LEASE_S": "3",
}
MODES = [("edge", "/signaling"), ("aws", "/")]


async def crowd(base: str, count: int, path: str, channel_id: str = "sora") -> list[Listener]:
    """So many listeners, each told that it is there."""
    found = [Listener(base, channel_id, path) for _ in range(count)]
    for at in range(0, count, JOINING):
        await asyncio.gather(*(each.join() for each in found[at : at + JOINING]))
    return found


async def close(listeners: list[Listener]) -> None:
    """Close all of them."""
    await asyncio.gather(*(each.close() for each in listeners))


@pytest.mark.parametrize(("mode", "path"), MODES)
def test_one_dead_and_one_deaf_listener_do_not_delay_the_rest(gateway, mode, path):
    running = gateway(**USUAL, GATEWAY_MODE=mode)

    async def main() -> None:
        rest = await crowd(running.ws, LISTENERS[mode] - 2, path)
        mute = await asyncio.to_thread(deaf, running.ws, "sora", path)
        dead = await Listener(running.ws, path=path).join()
        await until(lambda: LISTENERS[mode] in [each["channel_connections"] for each in rest[0].notices])
        for number in range(4):
            if number == 1:
                dead.drop()
            began = time.monotonic()
            await asyncio.to_thread(put, running.http, "sora", rest[0].me, {"n": number, "a": "x" * BIG})
            answered = time.monotonic() - began
            await until(lambda so_many=number + 1: all(len(each.pushes) == so_many for each in rest))
            last = max(each.pushes[-1][0] for each in rest) - began
            first = min(each.pushes[-1][0] for each in rest) - began
            assert answered < DELAY_S
            assert last - first < DELAY_S, (first, last)
        assert [data["metadata"]["n"] for _, data in rest[-1].pushes] == [0, 1, 2, 3]
        mute.close()
        await close([*rest, dead])

    asyncio.run(main())


@pytest.mark.parametrize(("mode", "path"), MODES)
def test_a_channel_from_the_first_to_the_last(gateway, mode, path):
    running = gateway(**QUICK, GATEWAY_MODE=mode, JITSI_HEARTBEAT="100,0")

    async def main() -> None:
        one = await Listener(running.ws, path=path).join(
            role="sendrecv", signaling_notify_metadata={"name": "一"}
        )
        two = await Listener(running.ws, path=path).join()
        await until(lambda: len(one.notices) == 2)
        assert [each["connection_id"] for each in two.notices[0]["data"]] == [one.me]
        assert await asyncio.to_thread(present, running.http, "sora") == {one.me, two.me}
        await asyncio.to_thread(put, running.http, "sora", two.me, {"mood": "忙"})
        await until(lambda: one.pushes and two.pushes)
        pushed = (
            f'{{"type":"push","data":{{"action":"PutMetadata","connection_id":"{two.me}",'
            '"metadata":{"mood":"忙"},"type":"signaling_notify_metadata_ext"}}'
        )
        assert (one.texts[-1], two.texts[-1]) == (pushed, pushed)
        await asyncio.sleep(0.5)
        await one.say(type="pong")
        await two.say(type="disconnect")
        await until(lambda: one.notices[-1]["event_type"] == "connection.destroyed")
        assert one.notices[-1]["channel_connections"] == 1
        assert one.notices[-1]["metadata"] == {"mood": "忙"}
        await until(lambda: two.code is not None)
        assert await asyncio.to_thread(present, running.http, "sora") == {one.me}
        await close([one, two])
        await until(lambda: present(running.http, "sora") == set())
        assert [text for text in one.texts + two.texts if not text.startswith("{")] == []

    asyncio.run(main())


def test_one_address_serves_both_protocols(gateway, credentials):
    running = gateway(**QUICK)
    with StompClient(running.ws, "/") as stomp, visitor(running.ws, credentials.visitor_token()):
        assert stomp.connect(credentials.visitor_token(jti="another"))[0] == "CONNECTED"
        stomp.subscribed(VISITOR + "room2@conference.meet.local")

        async def main() -> None:
            one = await Listener(running.ws, path="/").join()
            two = await Listener(running.ws, path="/waiting-queue/visitor/websocket").join()
            await until(lambda: len(one.notices) == 2)
            stray = Listener(running.ws)
            await stray.join()
            assert stray._socket is not None
            await stray._socket.send("CONNECT\naccept-version:1.2\n\n\0")
            await stray._socket.send("x")
            await asyncio.sleep(0.3)
            assert await asyncio.to_thread(present, running.http, "sora") >= {one.me, two.me}
            await close([one, two, stray])

        asyncio.run(main())


def test_who_asks_wrongly_is_told_and_closed(gateway):
    running = gateway(**QUICK, SORA_SOCKET_KEYS="sesame", SORA_SOCKET_OPEN="false", SORA_OPEN="false",
                      SORA_API_KEYS="other")  # fmt: skip

    async def main() -> None:
        one = Listener(running.ws)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await one.join()
        assert one.code == 1008
        assert [text.partition(",")[0] for text in one.texts] == ['{"type":"error"']
        two = await Listener(running.ws).join(metadata={"access_token": "sesame"})
        await close([one, two])

    asyncio.run(main())


def test_a_killed_gateway_loses_no_push_to_those_on_another_one(gateway):
    first, second = gateway(**QUICK), gateway(**QUICK)

    async def main() -> None:
        lost = await crowd(first.ws, 5, "/signaling")
        kept = await crowd(second.ws, 5, "/signaling")
        promised = []
        for number in range(20):
            if number == 12:
                first.kill()
            base = first.http if number < 12 and number % 2 else second.http
            await asyncio.to_thread(put, base, "sora", kept[0].me, {"n": number})
            promised.append(number)
        await until(lambda: all(len(each.pushes) >= len(promised) for each in kept), 60)
        for each in kept:
            assert [data["metadata"]["n"] for _, data in each.pushes] == promised
        # Once its lease is over, whoever was on the other one has left.
        gone = {each.me for each in lost}
        deadline = time.monotonic() + 30
        while await asyncio.to_thread(present, second.http, "sora") & gone:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        await asyncio.to_thread(put, second.http, "sora", kept[0].me, {"n": -1})
        await until(
            lambda: (
                gone
                <= {n["connection_id"] for n in kept[1].notices if n["event_type"] == "connection.destroyed"}
            )
        )
        assert kept[1].notices[-1]["channel_connections"] == 5
        await close([*lost, *kept])

    asyncio.run(main())
