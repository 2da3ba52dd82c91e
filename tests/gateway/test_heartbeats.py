"""Beats both ways, silence, and the longest life."""

import asyncio
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.stub_app import stub
from tests.gateway.support import handshake, masked, running, until


@pytest.mark.parametrize("beat", [b"\n", b"\r\n", b"\n\n\r\n", b""])
@pytest.mark.parametrize("opcode", [1, 2])
def test_a_client_s_beats_are_swallowed(opcode: int, beat: bytes) -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake() + masked(opcode, beat) * 3 + masked(1, b"echo last"))
            await reader.readuntil(b"\r\n\r\n")
            assert await asyncio.wait_for(reader.readexactly(6), 5) == b"\x81\x04last"
            writer.close()
        assert stub.noted("message") == ["echo last"]

    asyncio.run(main())


def test_the_gateway_beats_as_its_pair_says() -> None:
    async def main() -> None:
        async with running(JITSI_HEARTBEAT="60,0") as gateway, gateway.connect() as client:
            assert [await client.recv() for _ in range(3)] == ["\n", "\n", "\n"]
        assert stub.noted("message") == []

    asyncio.run(main())


def test_a_silent_peer_is_pinged_and_then_closed() -> None:
    async def main() -> None:
        async with running(JITSI_HEARTBEAT="0,60") as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake())
            await reader.readuntil(b"\r\n\r\n")
            assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\x89\x00"
            assert (await asyncio.wait_for(reader.readexactly(4), 5))[:1] == b"\x88"
            await until(lambda: stub.noted("disconnect"))
            writer.close()
        assert [code for _, code in stub.noted("disconnect")] == [1001]

    asyncio.run(main())


def test_an_answer_to_the_ping_is_life() -> None:
    async def main() -> None:
        async with running(JITSI_HEARTBEAT="0,150") as gateway, gateway.connect(ping_interval=None) as client:
            await asyncio.sleep(0.7)  # the client library answers pings by itself
            await client.send("echo alive")
            assert await client.recv() == "alive"

    asyncio.run(main())


@pytest.mark.parametrize("limit", ["GATEWAY_LIFE_S", "GATEWAY_IDLE_S"])
def test_a_socket_is_closed_at_the_end_of_its_time(limit: str) -> None:
    async def main() -> None:
        async with running(**{limit: "0.1"}) as gateway, gateway.connect() as client:
            with suppress(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001

    asyncio.run(main())


def test_no_beat_goes_out_and_nobody_is_silent_with_a_pair_of_zeros() -> None:
    async def main() -> None:
        async with running(JITSI_HEARTBEAT="0,0") as gateway, gateway.connect() as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.2)

    asyncio.run(main())
