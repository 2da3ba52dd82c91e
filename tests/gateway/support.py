"""The other side of the gateway: a running one, raw sockets, and a signer written from the contract."""

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from infra.gateway import settings
from infra.gateway.server import Gateway
from tests.gateway.stub_app import Glue, Stub, stub

SECRET = "a shared secret of the tests"
VISITOR = "/waiting-queue/visitor/websocket"


class Running:
    """A gateway in this process, and ways to talk to it."""

    def __init__(self, gateway: Gateway, ready: dict[str, Any]) -> None:
        self.gateway = gateway
        self.ready = ready
        self.port = int(ready["http"].rpartition(":")[2])
        self.management_port = int(ready["management"].rpartition(":")[2])
        self._writers: list[asyncio.StreamWriter] = []

    def connect(self, path: str = VISITOR, **options: Any) -> connect:
        """A WebSocket client."""
        options.setdefault("compression", None)
        return connect(self.ready["ws"] + path, **options)

    async def raw(self, port: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection to the public port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        self._writers.append(writer)
        return reader, writer

    async def hang_up(self) -> None:
        """Close what `raw` opened and the test left open."""
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", port: int = 0
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request on a connection of its own."""
        reader, writer = await self.raw(port)
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway.test", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return parse(answer)

    async def manage(
        self, method: str, path: str, body: bytes = b"", *, secret: str = SECRET, age_s: int = 0
    ) -> tuple[int, dict[str, str], bytes]:
        """A signed call of the management listener."""
        return await self.request(
            method, path, signed(method, path, body, secret, age_s), body, self.management_port
        )

    async def socket_id(self, client: ClientConnection) -> str:
        """The id under which the handlers know a client."""
        await client.send("event")
        identity: str = json.loads(await client.recv())["requestContext"]["connectionId"]
        return identity


def signed(method: str, path: str, body: bytes, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    """The headers of a management call."""
    date = str(int(time.time()) - age_s)
    text = "\n".join([date, method, path, hashlib.sha256(body).hexdigest()])
    return {
        "x-foyer-date": date,
        "x-foyer-signature": hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest(),
    }


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with names in lower case, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


@asynccontextmanager
async def running(**environ: str) -> AsyncIterator[Running]:
    """A gateway around the stub; silent, on free ports, without sources unless told otherwise."""
    kept = stub.ids_taken
    reset_stub()
    stub.ids_taken = kept
    defaults = {
        "GATEWAY_APP": "tests.gateway.stub_app",
        "PORT": "0",
        "JITSI_HEARTBEAT": "0,0",
        "GATEWAY_SOURCES": "off",
        "GATEWAY_ACCESS_LOG": "false",
        "GATEWAY_CLOSE_DEADLINE_S": "0.5",
        "GATEWAY_DRAIN_RATE": "10000",
    }
    gateway = Gateway(settings.load(defaults | environ), Glue())
    ready = await gateway.start()
    talk = Running(gateway, ready)
    try:
        yield talk
    finally:
        await talk.hang_up()
        await gateway.stop()
        left = [
            thread.name for thread in threading.enumerate() if thread.name.startswith(("handler-", "work-"))
        ]
        assert left == []


def reset_stub() -> None:
    """Forget what the stub noted."""
    vars(stub).update(vars(Stub()))


async def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """Wait for something to become true."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it did not become true"
        await asyncio.sleep(0.005)
    return found


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, RFC 6455 section 5.2, with a mask of zeros."""
    head = bytes(((0x80 if fin else 0) | opcode,))
    if len(payload) < 126:
        head += bytes((0x80 | len(payload),))
    elif len(payload) < 65536:
        head += b"\xfe" + len(payload).to_bytes(2, "big")
    else:
        head += b"\xff" + len(payload).to_bytes(8, "big")
    return head + bytes(4) + payload


def handshake(path: str = VISITOR, *extra: str) -> bytes:
    """A client's opening handshake."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: gateway.test",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode()
