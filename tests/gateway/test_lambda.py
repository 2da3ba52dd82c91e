"""Handlers as functions of a deployed stack: invoked over HTTP, here on a small stand-in for Lambda."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.support import VISITOR, running, until


class FakeLambda:
    """Lambda's Invoke operation; what each function answers is up to the test."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                name = self.path.split("/")[3]
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.invoked.append((name, event))
                answer = fake.answers.get(name, {"statusCode": 200})
                failed = answer == "raise"
                payload = json.dumps({"errorType": "KeyError"} if failed else answer).encode()
                self.send_response(200)
                if failed:
                    self.send_header("X-Amz-Function-Error", "Unhandled")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What a function was invoked with."""
        return [event for invoked, event in list(self.invoked) if invoked == name]

    def stop(self) -> None:
        """End the server."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLambda]:
    """Lambda on loopback."""
    fake = FakeLambda()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{fake.server.server_port}")
    yield fake
    fake.stop()


MODE = {"GATEWAY_HANDLERS": "lambda", "GATEWAY_LAMBDA_PREFIX": "foyer-dev"}


def test_sockets_and_requests_invoke_the_deployed_functions(fake: FakeLambda) -> None:
    fake.answers["foyer-dev-websocket_connect"] = {
        "statusCode": 200,
        "headers": {"Sec-WebSocket-Protocol": "v12.stomp"},
    }
    fake.answers["foyer-dev"] = {"statusCode": 201, "body": "made", "headers": {"Content-Type": "text/plain"}}

    async def main() -> None:
        async with running(**MODE) as gateway:
            async with gateway.connect(subprotocols=["v12.stomp"]) as client:
                assert client.subprotocol == "v12.stomp"
                await client.send(b"CONNECT\n\n\0")
                await until(lambda: fake.events("foyer-dev-websocket_message"))
            status, headers, body = await gateway.request("POST", "/echo/x", {}, b"{}")
            assert (status, headers["content-type"], body) == (201, "text/plain", b"made")
            await until(lambda: fake.events("foyer-dev-websocket_disconnect"))

    asyncio.run(main())
    assert fake.events("foyer-dev-websocket_connect")[0]["queryStringParameters"] == {
        "endpoint": "/visitor/websocket"
    }
    assert fake.events("foyer-dev-websocket_message")[0]["body"] == "CONNECT\n\n\0"
    assert fake.events("foyer-dev")[0]["pathParameters"] == {"name": "x"}


def test_what_the_function_posts_comes_through_the_management_listener(fake: FakeLambda) -> None:
    async def main() -> None:
        async with running(**MODE) as gateway, gateway.connect() as client:
            context = fake.events("foyer-dev-websocket_connect")[0]["requestContext"]
            assert context["apiId"] == f"gateway-{gateway.ready['front']}"
            assert (await gateway.manage("POST", f"/@connections/{context['connectionId']}", b"hello"))[
                0
            ] == 200
            assert await client.recv() == "hello"

    asyncio.run(main())


def test_a_function_error_is_the_handler_s_failure(fake: FakeLambda) -> None:
    fake.answers["foyer-dev"] = "raise"
    fake.answers["foyer-dev-websocket_message"] = "raise"

    async def main() -> None:
        async with running(**MODE) as gateway:
            assert (await gateway.request("GET", "/empty"))[0] == 502
            async with gateway.connect() as client:
                await client.send("CONNECT")
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 1011
            fake.answers["foyer-dev-websocket_connect"] = {"statusCode": 403}
            with pytest.raises(InvalidStatus) as refused:
                await gateway.connect(VISITOR)
            assert refused.value.response.status_code == 403

    asyncio.run(main())
