"""Writing to sockets: from handlers of this process, in bulk, and to peers that do not read."""

import asyncio
import threading
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from chalicelib.realtime.ports import Outcome, Post
from infra.gateway.sockets import text_frame
from tests.gateway.stub_app import post, stub
from tests.gateway.support import handshake, running, until


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("", b"\x81\x00"),
        ("x" * 125, b"\x81\x7d"),
        ("x" * 126, b"\x81\x7e\x00\x7e"),
        ("ü" * 40_000, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x38\x80"),
    ],
)
def test_a_text_frame_is_final_unmasked_and_counts_bytes(text: str, head: bytes) -> None:
    assert text_frame(text) == head + text.encode()


def test_one_call_reaches_many_sockets_in_order_and_names_those_that_are_gone() -> None:
    async def main() -> None:
        async with running() as gateway:
            clients = [await gateway.connect() for _ in range(20)]
            ids = [await gateway.socket_id(client) for client in clients]
            posts = [Post(identity, text) for text in ("first", "second") for identity in ids]
            posts.insert(3, Post("nobody", "x"))
            posts.append(Post(ids[0], "y" * (128 * 1024 + 1)))
            assert stub.delivery is not None
            outcomes = await asyncio.to_thread(stub.delivery.post, posts)
            assert outcomes.pop(3) is Outcome.GONE
            assert outcomes.pop() is Outcome.FAILED
            assert set(outcomes) == {Outcome.SENT}
            for client in clients:
                assert [await client.recv(), await client.recv()] == ["first", "second"]
                await client.close()

    asyncio.run(main())


def test_a_post_from_the_loop_s_own_thread_does_not_wait_for_itself() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            identity = await gateway.socket_id(client)
            assert stub.delivery is not None
            assert stub.delivery.post([Post(identity, "a"), Post(identity, "b")]) == [Outcome.SENT] * 2
            assert [await client.recv(), await client.recv()] == ["a", "b"]

    asyncio.run(main())


def test_a_dedup_key_is_written_to_one_socket_once() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as one, gateway.connect() as other:
            first, second = await gateway.socket_id(one), await gateway.socket_id(other)
            sent = [post(first, "live", "key"), post(first, "again", "key"), post(second, "live", "key")]
            assert sent == [Outcome.SENT] * 3
            post(first, "end")
            assert [await one.recv(), await one.recv()] == ["live", "end"]
            assert await other.recv() == "live"

    asyncio.run(main())


def test_a_socket_that_stays_is_closed_after_its_time() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await client.send("soon 0.1")
            assert await client.recv() == "bye"
            with suppress(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1000
            await until(lambda: stub.noted("disconnect"))

    asyncio.run(main())


def test_a_handler_closes_with_the_code_it_wants_after_what_it_wrote() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await client.send("echo last words")
            await client.send("close 1008")
            await client.send("echo too late")
            assert await client.recv() == "last words"
            with suppress(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1008
            await until(lambda: stub.noted("disconnect"))
        assert [code for _, code in stub.noted("disconnect")] == [1008]

    asyncio.run(main())


def test_a_peer_that_does_not_answer_a_close_is_dropped() -> None:
    async def main() -> None:
        async with running(GATEWAY_CLOSE_DEADLINE_S="0.1") as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake())
            await reader.readuntil(b"\r\n\r\n")
            (socket,) = list(gateway.gateway.sockets.live.values())
            stub.delivery.close(socket.id, 1001)  # type: ignore[union-attr]
            assert post(socket.id, "x") is Outcome.GONE
            with suppress(ConnectionError):
                assert (await asyncio.wait_for(reader.read(), 5))[:4] == b"\x88\x02\x03\xe9"
            await until(lambda: stub.noted("disconnect"))
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "limits",
    [
        {"GATEWAY_WRITE_STALL_S": "0.2", "GATEWAY_WRITE_BUFFER_BYTES": "100000000"},
        {"GATEWAY_WRITE_STALL_S": "30", "GATEWAY_WRITE_BUFFER_BYTES": "262144"},
    ],
    ids=["by time", "by size"],
)
def test_a_peer_that_does_not_read_is_dropped_and_holds_up_nobody(limits: dict[str, str]) -> None:
    async def main() -> None:
        async with running(**limits) as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake())
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            (deaf,) = list(gateway.gateway.sockets.live)
            async with gateway.connect(max_queue=None) as client:
                healthy = await gateway.socket_id(client)
                posts = [Post(deaf, "x" * 100_000)] * 100 + [Post(healthy, "y")]
                assert stub.delivery is not None
                outcomes = await asyncio.to_thread(stub.delivery.post, posts)
                assert outcomes[-1] is Outcome.SENT
                assert await client.recv() == "y"
                await until(lambda: stub.noted("disconnect"))
                assert post(deaf, "x") is Outcome.GONE
                assert stub.noted("disconnect") == [[deaf, 1006]]
            writer.transport.abort()

    asyncio.run(main())


def test_many_threads_may_post_at_once() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect(max_queue=None) as client:
            identity = await gateway.socket_id(client)

            def send(name: int) -> None:
                for number in range(50):
                    assert post(identity, f"{name} {number}") is Outcome.SENT

            threads = [threading.Thread(target=send, args=(name,)) for name in range(8)]
            for thread in threads:
                thread.start()
            received = [(await client.recv()).split() for _ in range(400)]
            for thread in threads:
                await asyncio.to_thread(thread.join)
            for name in range(8):
                assert [int(n) for who, n in received if who == str(name)] == list(range(50))

    asyncio.run(main())
