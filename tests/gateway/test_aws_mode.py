"""API Gateway's own behaviour, for tests of what must work behind it."""

import asyncio
import json
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.stub_app import stub
from tests.gateway.support import VISITOR, Running, handshake, masked, running, until


@pytest.mark.parametrize(
    ("path", "accepted"), [("/", True), ("/local", True), (VISITOR, False), ("/dev", False)]
)
def test_only_the_stage_is_a_path_and_it_carries_no_endpoint(path: str, accepted: bool) -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway:
            if accepted:
                async with gateway.connect(f"{path}?a=1"):
                    assert stub.noted("connect")[0]["queryStringParameters"] == {"a": "1"}
            else:
                with pytest.raises(InvalidStatus) as refused:
                    await gateway.connect(path)
                assert refused.value.response.status_code == 403

    asyncio.run(main())


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(2, b"CONNECT"), 1003),
        (masked(1, b"x" * (32 * 1024 + 1)), 1009),
        (b"".join([masked(1, b"x" * 32_000, fin=False), *[masked(0, b"x" * 32_000, fin=False)] * 4]), 1009),
    ],
)
def test_binary_frames_and_large_ones_end_the_connection(frames: bytes, code: int) -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake("/"))
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frames)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert (answer[:1], answer[2:4]) == (b"\x88", code.to_bytes(2, "big"))
            writer.close()
            await until(lambda: stub.noted("disconnect"))
        assert stub.noted("message") == []

    asyncio.run(main())


def test_every_text_reaches_the_handlers_also_a_beat() -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway, gateway.connect("/") as client:
            await client.send("\n")
            await until(lambda: stub.noted("message") == ["\n"])

    asyncio.run(main())


async def post(gateway: Running, identity: str, text: str, query: str = "") -> int:
    status, _, _ = await gateway.manage("POST", f"/@connections/{identity}{query}", text.encode())
    return status


def connection_id() -> str:
    identity: str = stub.noted("connect")[-1]["requestContext"]["connectionId"]
    return identity


def test_handlers_of_one_connection_run_beside_one_another() -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway, gateway.connect("/") as client:
            await client.send("hold")
            await client.send("note")
            await until(lambda: sorted(stub.noted("message")) == ["hold", "note"])
            assert stub.noted("held") == []
            stub.gate.set()
            await until(lambda: stub.noted("held"))

    asyncio.run(main())


def test_there_is_no_dedup_no_bulk_no_close_after_and_no_close_code() -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway, gateway.connect("/") as client:
            await until(lambda: stub.noted("connect"))
            identity = connection_id()
            for _ in range(2):
                assert await post(gateway, identity, "x", "?dedup=k&close_after=0.01") == 200
            assert [await client.recv(), await client.recv()] == ["x", "x"]
            assert (await gateway.manage("POST", "/@bulk", b'{"posts":[]}'))[0] == 404
            assert (await gateway.manage("DELETE", f"/local/@connections/{identity}?code=1008"))[0] == 204
            with suppress(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1000

    asyncio.run(main())


def test_a_handler_that_raises_is_told_to_the_client_and_the_connection_stays() -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway, gateway.connect("/") as client:
            await client.send("boom")
            told = json.loads(await client.recv())
            assert (told["message"], told["connectionId"]) == ("Internal server error", connection_id())
            assert set(told) == {"message", "connectionId", "requestId"}
            assert await post(gateway, connection_id(), "still here") == 200

    asyncio.run(main())


def test_messages_in_either_direction_put_off_the_idle_limit() -> None:
    async def main() -> None:
        async with (
            running(GATEWAY_MODE="aws", GATEWAY_IDLE_S="0.5") as gateway,
            gateway.connect("/") as client,
        ):
            for _ in range(5):
                await asyncio.sleep(0.15)
                assert await post(gateway, connection_id(), "x") == 200
            with suppress(ConnectionClosed):
                while True:
                    await client.recv()
            assert client.close_code == 1001

    asyncio.run(main())


def test_a_connect_handler_that_raises_is_a_bad_gateway() -> None:
    async def main() -> None:
        async with running(GATEWAY_MODE="aws") as gateway:
            with pytest.raises(InvalidStatus) as refused:
                await gateway.connect("/?raise=1")
            assert refused.value.response.status_code == 502

    asyncio.run(main())
