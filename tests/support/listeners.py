"""Clients that only listen, on real WebSockets: what they are told, and when."""

import asyncio
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.clients import http_call

PATH: Final = "/signaling"
VERSION: Final = "Sora_20201124"


def rpc(base: str, operation: str, **body: Any) -> Any:
    """One operation of the metadata API; what it answers."""
    status, _, answer = http_call(
        base, "POST", "/", json.dumps(body), {"x-sora-target": f"{VERSION}.{operation}"}
    )
    assert status == 200, answer
    return json.loads(answer)


def put(base: str, channel_id: str, connection_id: str, metadata: Any) -> None:
    """Replace metadata, and push."""
    about = {"channel_id": channel_id, "connection_id": connection_id}
    rpc(base, "PutSignalingNotifyMetadata", **about, metadata=metadata, push=True)


def present(base: str, channel_id: str) -> set[str]:
    """The connections of a channel."""
    return {each["connection_id"] for each in rpc(base, "ListSignalingNotifyMetadata", channel_id=channel_id)}


@dataclass
class Listener:
    """One client in the event loop that is running."""

    base: str
    channel_id: str = "sora"
    path: str = PATH
    texts: list[str] = field(default_factory=list)
    pushes: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """When each came, and its `data`."""
    notices: list[dict[str, Any]] = field(default_factory=list)
    code: int | None = None
    came: asyncio.Event = field(default_factory=asyncio.Event)
    _socket: ClientConnection | None = None
    _reader: asyncio.Task[None] | None = None

    @property
    def me(self) -> str:
        """The connection's id."""
        identity: str = self.notices[0]["connection_id"]
        return identity

    async def join(self, **asked: Any) -> "Listener":
        """Connect, say so, and wait to be told."""
        self._socket = await connect(
            self.base + self.path, compression=None, open_timeout=60, close_timeout=1, ping_interval=None,
            proxy=None, max_size=None, max_queue=None,
        )  # fmt: skip
        assert self._socket.subprotocol is None
        self._reader = asyncio.create_task(self._read(self._socket))
        await self.say(type="connect", **({"role": "recvonly", "channel_id": self.channel_id} | asked))
        async with asyncio.timeout(60):
            await self.came.wait()
        return self

    async def say(self, **message: Any) -> None:
        """Send one message."""
        assert self._socket is not None
        await self._socket.send(json.dumps(message))

    async def _read(self, source: ClientConnection) -> None:
        try:
            async for text in source:
                assert isinstance(text, str)
                self._take(text)
        except ConnectionClosed:
            pass
        self.code = source.close_code

    def _take(self, text: str) -> None:
        self.texts.append(text)
        said = json.loads(text)
        if said["type"] == "push":
            self.pushes.append((time.monotonic(), said["data"]))
        elif said["type"] == "notify":
            self.notices.append(said)
            self.came.set()

    def drop(self) -> None:
        """Be gone without a word."""
        assert self._socket is not None
        self._socket.transport.abort()

    async def close(self) -> None:
        """Close, and read what came before that."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader


async def until(condition: Any, timeout_s: float = 30.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        await asyncio.sleep(0.01)


def deaf(base: str, channel_id: str, path: str = PATH) -> socket.socket:
    """A client that joins and then reads nothing: its buffers are as small as the system lets them be."""
    parts = urlsplit(base)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    line.connect((parts.hostname, parts.port))
    line.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b"101" in line.recv(64)
    said = json.dumps({"type": "connect", "role": "recvonly", "channel_id": channel_id}).encode()
    assert len(said) < 126
    line.sendall(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
    return line
