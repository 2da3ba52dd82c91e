"""`@connections` of the gateway: signed, on its own port, with the bulk extension."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.stub_app import stub
from tests.gateway.support import VISITOR, handshake, masked, running, signed


def test_a_signed_post_is_written_and_a_gone_socket_says_so() -> None:
    async def main() -> None:
        async with running() as gateway:
            async with gateway.connect() as client:
                path = f"/@connections/{await gateway.socket_id(client)}"
                assert (await gateway.manage("POST", path, "füße".encode()))[0] == 200
                assert await client.recv() == "füße"
                status, _, body = await gateway.manage("GET", path)
                told = json.loads(body)
                assert (status, told["Identity"]["SourceIp"]) == (200, "127.0.0.1")
                for name in ("ConnectedAt", "LastActiveAt"):
                    assert abs((datetime.now(UTC) - datetime.fromisoformat(told[name])).total_seconds()) < 5
            for method in ("POST", "GET", "DELETE"):
                assert (await gateway.manage(method, path))[0] == 410

    asyncio.run(main())


@pytest.mark.parametrize(
    ("secret", "age_s", "status"),
    [("wrong", 0, 403), (None, 61, 403), (None, -65, 403), (None, 55, 410), (None, -50, 410)],
)
def test_a_wrong_or_old_signature_is_refused(secret: str | None, age_s: int, status: int) -> None:
    async def main() -> None:
        async with running() as gateway:
            options = {"secret": secret} if secret else {}
            found, _, _ = await gateway.manage("POST", "/@connections/x", b"hello", age_s=age_s, **options)
            assert found == status

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/@connections/x", b"hello"),
        ("POST", "/@connections/y", b"hello"),
        ("POST", "/@connections/x", b""),
    ],
)
def test_a_signature_is_good_for_one_call_only(method: str, path: str, body: bytes) -> None:
    async def main() -> None:
        async with running() as gateway:
            headers = signed("POST", "/@connections/x", b"hello")
            assert (await gateway.request(method, path, headers, body, gateway.management_port))[0] == 403

    asyncio.run(main())


def test_without_a_secret_every_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from chalicelib import settings

    monkeypatch.setenv("FOYER_GATEWAY_SECRET", "")
    settings.reset()

    async def main() -> None:
        async with running() as gateway:
            assert (await gateway.manage("POST", "/@connections/x", b"hello", secret=""))[0] == 403

    asyncio.run(main())


def test_the_public_port_knows_no_management_calls() -> None:
    async def main() -> None:
        async with running() as gateway:
            for path in ("/@connections/x", "/@bulk"):
                headers = signed("POST", path, b"x")
                assert (await gateway.request("POST", path, headers, b"x"))[0] == 404
            assert (await gateway.manage("GET", "/echo/x"))[0] == 404
            reader, writer = await gateway.raw(gateway.management_port)
            writer.write(handshake())
            assert b" 101 " not in await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)

    asyncio.run(main())


def test_delete_closes_with_the_code_that_is_asked_for() -> None:
    async def main() -> None:
        async with running() as gateway:
            for query, code in (("", 1000), ("?code=1008", 1008), ("?code=1002", 1002)):
                async with gateway.connect() as client:
                    path = f"/@connections/{await gateway.socket_id(client)}{query}"
                    assert (await gateway.manage("DELETE", path))[0] == 204
                    with suppress(ConnectionClosed):
                        await client.recv()
                    assert client.close_code == code
            async with gateway.connect() as client:
                for wrong in ("1005", "1006", "99", "x"):
                    path = f"/@connections/{await gateway.socket_id(client)}?code={wrong}"
                    assert (await gateway.manage("DELETE", path))[0] == 400

    asyncio.run(main())


def test_dedup_and_close_after_are_parameters_of_a_post() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            path = f"/@connections/{await gateway.socket_id(client)}"
            for _ in range(2):
                assert (await gateway.manage("POST", f"{path}?dedup=a%2Fb&close_after=0.1", b"live"))[
                    0
                ] == 200
            assert await client.recv() == "live"
            with suppress(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1000

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "status"), [(b"x" * (128 * 1024), 200), (b"x" * (128 * 1024 + 1), 413), (b"\xff", 400)]
)
def test_a_post_is_text_of_128_kib_at_most(body: bytes, status: int) -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            path = f"/@connections/{await gateway.socket_id(client)}"
            assert (await gateway.manage("POST", path, body))[0] == status

    asyncio.run(main())


def test_bulk_writes_each_text_to_its_sockets_once_and_names_the_gone() -> None:
    async def main() -> None:
        async with running() as gateway, gateway.connect() as one, gateway.connect() as other:
            first, second = await gateway.socket_id(one), await gateway.socket_id(other)
            posts = [
                {"text": "to both", "to": [[first, "k"], ["nobody", "k"], [second, "k"]]},
                {"text": "to one", "to": [[first, "l"]], "close_after": 0.1},
            ]
            body = json.dumps({"posts": posts}).encode()
            for _ in range(2):
                status, _, answer = await gateway.manage("POST", "/@bulk", body)
                assert (status, json.loads(answer)) == (200, {"gone": ["nobody"], "retry": []})
            assert [await one.recv(), await one.recv(), await other.recv()] == [
                "to both",
                "to one",
                "to both",
            ]
            with suppress(ConnectionClosed):
                await one.recv()
            assert one.close_code == 1000
            await other.send("echo still here")
            assert await other.recv() == "still here"

    asyncio.run(main())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"posts":[{"text":1,"to":[]}]}', b'{"posts":[{"to":[]}]}', b"\xff"]
)
def test_a_malformed_bulk_body_is_refused(body: bytes) -> None:
    async def main() -> None:
        async with running() as gateway:
            assert (await gateway.manage("POST", "/@bulk", body))[0] == 400

    asyncio.run(main())


def test_a_socket_is_gone_for_posts_until_its_handshake_is_answered() -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(handshake(f"{VISITOR}?sleep=0.2") + masked(1, b"echo x"))
            while not stub.noted("connect"):
                await asyncio.sleep(0.01)
            identity = stub.noted("connect")[0]["requestContext"]["connectionId"]
            assert (await gateway.manage("POST", f"/@connections/{identity}", b"early"))[0] == 410
            await reader.readuntil(b"\r\n\r\n")
            assert (await gateway.manage("POST", f"/@connections/{identity}", b"now"))[0] == 200

    asyncio.run(main())


def test_the_product_s_own_client_and_this_listener_understand_each_other() -> None:
    from chalicelib.realtime.connections import Connections, Endpoint
    from chalicelib.realtime.ports import Outcome, Post
    from tests.gateway.support import SECRET

    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            identity = await gateway.socket_id(client)
            connections = Connections(rate=1000, secret=SECRET, region="us-east-1")
            try:
                for bulk in (False, True):
                    endpoint = Endpoint(gateway.ready["management"], "gateway", bulk, True)
                    posts = [
                        Post(identity, "live", f"k{bulk}"),
                        Post("gone", "live"),
                        Post(identity, "x", f"k{bulk}"),
                    ]
                    found = await asyncio.to_thread(connections.post_many, endpoint, posts)
                    assert found == [Outcome.SENT, Outcome.GONE, Outcome.SENT]
                    assert await client.recv() == "live"
                assert await asyncio.to_thread(connections.close, endpoint, identity, 1008) is Outcome.SENT
                with suppress(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 1008
            finally:
                connections.stop()

    asyncio.run(main())
