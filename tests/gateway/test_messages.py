"""What a client sends: order, limits, encodings, and the one `$disconnect` at the end."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed

from infra.gateway.sockets import Socket
from tests.gateway.stub_app import stub
from tests.gateway.support import VISITOR, Running, handshake, masked, running, until


def socket_of(gateway: Running) -> Socket:
    """The only open socket."""
    (socket,) = gateway.gateway.sockets.live.values()
    return socket


def test_one_handler_call_at_a_time_in_the_order_of_the_frames() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await client.send("hold slow")
            for number in range(20):
                await client.send(f"echo {number}")
            await until(lambda: len(socket_of(gateway).waiting or ()) == 20)
            assert stub.noted("message") == ["hold slow"]
            stub.gate.set()
            answers = [await client.recv() for _ in range(21)]
            assert answers == ["slow", *map(str, range(20))]

    asyncio.run(main())


def test_sockets_do_not_wait_for_one_another() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as slow, gateway.connect() as quick:
            await slow.send("hold slow")
            await quick.send("echo quick")
            assert await quick.recv() == "quick"
            assert stub.noted("held") == []
            stub.gate.set()
            assert await slow.recv() == "slow"

    asyncio.run(main())


def test_binary_and_fragmented_messages_reach_the_handler_as_text() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await client.send("echo füße".encode())
            assert await client.recv() == "füße"
            await client.send([b"echo f", b"\xc3", b"\xbc", b"r"])
            assert await client.recv() == "für"
            await client.send(["ech", "o text"])
            assert await client.recv() == "text"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(2, b"\xff\xfe"), 1007),
        (masked(1, b"\xff\xfe"), 1007),
        (masked(1, b"x" * (64 * 1024 + 1)), 1009),
        (b"".join([masked(1, b"x" * 40_000, fin=False), masked(0, b"x" * 30_000)]), 1009),
        (masked(3, b""), 1002),
        (b"\x81\x05hello", 1002),  # not masked
        (masked(0, b"x"), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(8, (4242).to_bytes(2, "big")), 4242),
        (masked(8, b""), 1005),
    ],
)
def test_what_ends_a_connection_and_the_code_that_the_handlers_are_told(frames: bytes, code: int) -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frames)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer[:1] == b"\x88"
            assert answer[2:4] == (b"" if code == 1005 else code.to_bytes(2, "big"))
            writer.close()
            await until(lambda: stub.noted("disconnect"))
        assert [told for _, told in stub.noted("disconnect")] == [code]
        assert stub.noted("message") == []

    asyncio.run(main())


def test_the_end_of_the_transport_without_a_close_frame_is_1006() -> None:
    async def main() -> None:
        async with running() as gateway:
            for abort in (False, True):
                reader, writer = await gateway.raw()
                writer.write(handshake())
                await reader.readuntil(b"\r\n\r\n")
                if abort:
                    writer.transport.abort()
                else:
                    writer.close()
            await until(lambda: len(stub.noted("disconnect")) == 2)
        assert [told for _, told in stub.noted("disconnect")] == [1006, 1006]

    asyncio.run(main())


def test_disconnect_comes_after_the_frames_that_were_sent_before_it() -> None:
    async def main() -> None:
        async with running() as gateway:
            async with gateway.connect() as client:
                for message in ("hold", "one", "two"):
                    await client.send(message)
            await until(lambda: gateway.gateway.sockets.held == 0)
            assert stub.noted("message") == ["hold"]
            stub.gate.set()
            await until(lambda: stub.noted("disconnect"))
        kinds = [kind for kind, _ in stub.journal if kind in {"message", "disconnect"}]
        assert kinds == ["message", "message", "message", "disconnect"]

    asyncio.run(main())


def test_a_handler_that_raises_closes_the_socket_with_1011_and_the_log_keeps_the_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await client.send("boom")
            await client.send("echo never")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1011
            await until(lambda: stub.noted("disconnect"))
        assert stub.noted("message") == ["boom"]
        line = json.loads(capsys.readouterr().err.splitlines()[0])
        assert (line["error"], line["handler"]) == ("KeyError", "ws_message")
        assert line["request_id"]
        assert "sesame" not in json.dumps(line)

    asyncio.run(main())


def test_a_client_that_outruns_the_handlers_is_read_no_further_until_they_have_caught_up() -> None:
    async def main() -> None:
        async with running(GATEWAY_QUEUE_MESSAGES="4") as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake() + masked(1, b"hold a"))
            await reader.readuntil(b"\r\n\r\n")
            socket = socket_of(gateway)
            for number in range(10):
                writer.write(masked(1, f"echo {number}".encode()))
                await writer.drain()
                if number < 4:
                    await until(lambda: len(socket.waiting or ()) == number + 1)  # noqa: B023
            assert socket.reading_paused
            assert len(socket.waiting or ()) == 4
            stub.gate.set()
            frames = b"\x81\x01a" + b"".join(b"\x81\x01%d" % number for number in range(10))
            assert await asyncio.wait_for(reader.readexactly(len(frames)), 5) == frames
            await until(lambda: not socket.reading_paused)

    asyncio.run(main())


def test_pings_are_answered_and_tell_the_handlers_nothing() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await (await client.ping(b"are you there"))
        assert stub.noted("message") == []

    asyncio.run(main())


def test_an_idle_socket_keeps_nothing_of_its_handshake() -> None:
    async def main() -> None:
        async with running() as gateway:
            async with gateway.connect(f"{VISITOR}?a=b") as client:
                await client.send("echo x")
                await client.recv()
                (socket,) = gateway.gateway.sockets.live.values()
                await until(lambda: not socket.running)
                kept = ("answer", "early", "parts", "waiting", "dedup")
                assert [name for name in kept if getattr(socket, name) is not None] == []
            await until(lambda: not gateway.gateway.sockets.held)
            assert not gateway.gateway.sockets.live

    asyncio.run(main())
