"""Who is let in, what the handlers are told of it, and what the client is told."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.gateway.stub_app import stub
from tests.gateway.support import VISITOR, handshake, masked, parse, running, until


def test_the_sub_protocol_of_the_handler_is_selected_exactly() -> None:
    async def main() -> None:
        async with running() as gateway:
            async with gateway.connect(subprotocols=["v11.stomp", "v12.stomp"]) as client:
                assert client.subprotocol == "v11.stomp"
            async with gateway.connect() as client:
                assert client.subprotocol is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/waiting-queue/visitor", "/visitor"),
        ("/waiting-queue/visitor/websocket", "/visitor/websocket"),
        ("/waiting-queue/state/websocket", "/state/websocket"),
        ("/waiting-queue/visitors-list/websocket", "/visitors-list/websocket"),
        ("/", None),
    ],
)
def test_the_path_below_the_base_becomes_the_endpoint(path: str, endpoint: str | None) -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect(f"{path}?a=1&endpoint=forged&a=2"):
            event: dict[str, Any] = stub.noted("connect")[0]
            ours = {} if endpoint is None else {"endpoint": endpoint}
            assert event["queryStringParameters"] == {"a": "2", **ours}
            assert event["multiValueQueryStringParameters"]["a"] == ["1", "2"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "path", ["/waiting-queue", "/visitor/websocket", "/waiting-queue/visitor/websocket/", "/x"]
)
def test_an_unknown_path_is_not_found_without_asking_the_handlers(path: str) -> None:
    async def main() -> None:
        async with running() as gateway:
            with pytest.raises(InvalidStatus) as refused:
                await gateway.connect(path)
            assert refused.value.response.status_code == 404
            assert b'"errno":999' in refused.value.response.body
            assert stub.journal[1:] == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("deny=400", 400, b"denied"),
        ("deny=429", 429, b"denied"),
        ("raise=1", 500, b'{"message":"Internal server error"}'),
    ],
)
def test_the_handler_s_refusal_is_the_http_answer_and_no_disconnect_follows(
    query: str, status: int, body: bytes
) -> None:
    async def main() -> None:
        async with running() as gateway:
            with pytest.raises(InvalidStatus) as refused:
                await gateway.connect(f"{VISITOR}?{query}")
            assert (refused.value.response.status_code, refused.value.response.body) == (status, body)
            assert "x-request-id" in refused.value.response.headers
        assert stub.noted("disconnect") == []

    asyncio.run(main())


def test_frames_that_come_before_the_answer_wait_for_it() -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake(f"{VISITOR}?sleep=0.1") + masked(1, b"echo same packet"))
            await asyncio.sleep(0.03)
            writer.write(masked(1, b"echo later"))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert parse(answer)[0] == 101
            frames = b"\x81\x0bsame packet\x81\x05later"
            assert await asyncio.wait_for(reader.readexactly(len(frames)), 5) == frames
            writer.close()

    asyncio.run(main())


def test_a_client_that_leaves_during_the_handshake_is_disconnected_once() -> None:
    async def main() -> None:
        async with running() as gateway:
            _, writer = await gateway.raw()
            writer.write(handshake(f"{VISITOR}?sleep=0.1"))
            await until(lambda: stub.noted("connect"))
            writer.transport.abort()
            await until(lambda: stub.noted("disconnect"))
        assert [code for _, code in stub.noted("disconnect")] == [1006]

    asyncio.run(main())


def test_a_handshake_that_takes_too_long_is_answered() -> None:
    async def main() -> None:
        async with running(GATEWAY_HANDSHAKE_DEADLINE_S="0.1") as gateway:
            with pytest.raises(InvalidStatus) as refused:
                await gateway.connect(f"{VISITOR}?sleep=0.5")
            assert refused.value.response.status_code == 504
        assert len(stub.noted("disconnect")) == 1

    asyncio.run(main())


def test_above_the_limit_of_connections_the_answer_is_503() -> None:
    async def main() -> None:
        async with running(GATEWAY_MAX_CONNECTIONS="1") as gateway:
            async with gateway.connect():
                with pytest.raises(InvalidStatus) as refused:
                    await gateway.connect()
                assert refused.value.response.status_code == 503
            async with gateway.connect():
                pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 400),
        (("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: short"), 400),
        (("Sec-WebSocket-Key", "Sec-Nothing"), 400),
        (("GET", "POST"), 405),
        (("GET /", "GET http://["), 400),
        (("Host", "X" * 70_000), 431),
    ],
)
def test_a_malformed_handshake_is_refused(change: tuple[str, str], status: int) -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake().replace(change[0].encode(), change[1].encode()))
            found, headers, _ = parse(await asyncio.wait_for(reader.read(), 5))
            assert found == status
            assert "x-request-id" in headers
            writer.close()

    asyncio.run(main())


def test_the_handlers_see_header_names_as_they_were_sent_but_nothing_only_a_front_may_say() -> None:
    async def main() -> None:
        async with running() as gateway:
            forged = {"x-FOYER-Front": "forged", "X-CuStOm": "1", "X-Forwarded-For": "9.9.9.9"}
            async with gateway.connect(additional_headers=forged):
                event = stub.noted("connect")[0]
        assert event["headers"]["X-CuStOm"] == "1"
        assert not [name for name in event["headers"] if name.lower().startswith("x-foyer-")]
        assert event["headers"]["X-Forwarded-For"] == "127.0.0.1"
        assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
        assert event["requestContext"]["apiId"] == f"gateway-{stub.registered[0]}"

    asyncio.run(main())


def test_compression_is_off_unless_it_is_set() -> None:
    async def main(setting: str, extensions: int) -> None:
        async with (
            running(GATEWAY_COMPRESSION=setting) as gateway,
            gateway.connect(compression="deflate") as client,
        ):
            assert len(client.protocol.extensions) == extensions
            await client.send("echo " + "x" * 1000)
            assert await client.recv() == "x" * 1000

    asyncio.run(main("false", 0))
    asyncio.run(main("true", 1))
