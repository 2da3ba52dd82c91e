"""Very many STOMP visitors on WebSockets in one lean process, told what to do by lines of JSON.

A load client that costs more than the server measures itself.  So: `asyncio.Protocol` without streams or
tasks, frames made beforehand, masked with zeros (RFC 6455 asks for a mask, and any server has to apply it),
and no parsing beyond what tells one answer from another.  Moments are those of CLOCK_MONOTONIC, which all
processes of a machine share.
"""

import asyncio
import base64
import gc
import json
import os
import resource
import ssl
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

HANDSHAKE: Final = 0
CONNECTING: Final = 1
SUBSCRIBING: Final = 2
WAITING: Final = 3
OVER: Final = 4

BEAT_S: Final = 10.0  # what stompjs sends
BEAT: Final = b"\x81\x81\x00\x00\x00\x00\n"
QUIET_S: Final = 0.5  # for so long after the last message a double may still come


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame whose mask is all zeros."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    else:
        head = bytes((0x80 | opcode, 0xFE)) + length.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


def stomp(command: str, *headers: str) -> bytes:
    """A STOMP frame without a body, as a binary message."""
    return masked(2, "\n".join((command, *headers, "", "\0")).encode())


def handshake(host: str, port: int, path: str) -> bytes:
    """What a browser asks, except that no compression is offered: some servers would take it, others not."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0",
        "Upgrade: websocket",
        "Origin: https://meet.example.com",
        "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Protocol: v12.stomp,v11.stomp,v10.stomp",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Visitor(asyncio.Protocol):
    """One connection: handshake, CONNECT, SUBSCRIBE with a receipt, and then it waits."""

    __slots__ = ("buffer", "connect", "crowd", "messages", "phase", "transport")

    def __init__(self, crowd: "Crowd", connect: bytes) -> None:
        self.crowd = crowd
        self.connect = connect
        self.phase = HANDSHAKE
        self.buffer = b""
        self.messages = 0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands."""
        self.transport = transport
        self.transport.write(self.crowd.request)

    def data_received(self, data: bytes) -> None:
        """Take the answer to the handshake, then frames."""
        if self.buffer:
            data = self.buffer + data
            self.buffer = b""
        if self.phase == HANDSHAKE:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self.crowd.failed(self, data[:60].decode("latin-1"))
                return
            self.phase = CONNECTING
            self.transport.write(self.connect)
            data = data[end + 4 :]
        at, size = 0, len(data)
        while size - at >= 2:
            length = data[at + 1]
            start = at + 2
            if length == 126:
                length = int.from_bytes(data[at + 2 : at + 4], "big")
                start = at + 4
            elif length == 127:
                length = int.from_bytes(data[at + 2 : at + 10], "big")
                start = at + 10
            if size < start + length:
                break
            self._frame(data[at] & 15, data, start, length)
            at = start + length
        if at < size:
            self.buffer = data[at:]

    def _frame(self, opcode: int, data: bytes, start: int, length: int) -> None:
        if opcode == 9:
            self.transport.write(masked(10, data[start : start + length]))
        elif opcode == 8:
            self.transport.write(masked(8, data[start : start + length]))
            self.transport.close()
        elif length <= 2:
            pass  # a heart-beat
        elif data.startswith(b"MESSAGE", start):
            self.messages += 1
            self.crowd.message(self)
        elif data.startswith(b"CONNECTED", start):
            self.phase = SUBSCRIBING
            self.transport.write(self.crowd.subscribe)
        elif data.startswith(b"RECEIPT", start):
            self.phase = WAITING
            self.crowd.arrived()
        else:
            self.crowd.failed(self, data[start : start + 200].decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        if self.phase < WAITING:
            self.crowd.failed(self, f"closed ({exc})")
        elif self.phase == WAITING:
            self.crowd.lost += 1
        self.phase = OVER


class Crowd:
    """All visitors, and one command at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.visitors: list[Visitor] = []
        self.complaints: list[str] = []
        self.lost = 0
        self.request = self.subscribe = b""
        self.first = self.last = 0.0
        self.moments: list[float] = []
        self._pending: list[bytes] = []
        self._opening: set[asyncio.Task[Any]] = set()
        self._here = 0
        self._wanted = 0
        self._served = 0
        self._done: Callable[[], None] | None = None
        loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        for visitor in self.visitors:
            if visitor.phase == WAITING:
                visitor.transport.write(BEAT)
        self.loop.call_later(BEAT_S, self._beat)

    # Arriving

    async def arrive(self, given: dict[str, Any]) -> dict[str, Any]:
        """Bring visitors in, `side_by_side` at a time; ends when each has its receipt."""
        host, port = given["host"], given["port"]
        self.request = handshake(host, port, given["path"])
        self.subscribe = stomp("SUBSCRIBE", "id:sub-0", "receipt:r", f"destination:{given['destination']}")
        headers = ("accept-version:1.2,1.1,1.0", "heart-beat:10000,10000")
        self._pending = [stomp("CONNECT", *login, *headers) for login in reversed(given["logins"])]
        self._wanted = len(self._pending)
        self._here = 0
        self.complaints.clear()
        ended: asyncio.Future[None] = self.loop.create_future()
        self._done = partial(_end, ended)
        self._where = host, port
        self._tls = ssl.create_default_context(cafile=given["ca"]) if given.get("ca") else None
        gc.collect()
        gc.freeze()
        began, cpu = self.loop.time(), time.process_time()
        for _ in range(min(given["side_by_side"], self._wanted)):
            self._open()
        try:
            await asyncio.wait_for(ended, given.get("timeout", 300))
        except TimeoutError:
            self.complaints.append("not all arrived in time")
        return {
            "began": began,
            "ended": self.loop.time(),
            "cpu": time.process_time() - cpu,
            "here": self._here,
            "complaints": self.complaints[:3],
        }

    def _open(self) -> None:
        if not self._pending:
            return
        connect = self._pending.pop()

        def make() -> Visitor:
            visitor = Visitor(self, connect)
            self.visitors.append(visitor)
            return visitor

        task = self.loop.create_task(self.loop.create_connection(make, *self._where, ssl=self._tls))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        if task.exception() is not None:
            self.complaints.append(str(task.exception()))
            self._settled()

    def arrived(self) -> None:
        """A visitor has its receipt: the next may come."""
        self._here += 1
        self._settled()

    def failed(self, visitor: Visitor, why: str) -> None:
        """A visitor did not get in, or was told that something is wrong."""
        self.complaints.append(why)
        inside = visitor.phase == WAITING
        visitor.phase = OVER
        visitor.transport.abort()
        if inside:
            self.lost += 1
        else:
            self._settled()

    def _settled(self) -> None:
        self._wanted -= 1
        if self._wanted == 0 and self._done is not None:
            self._done()
        self._open()

    # Being released

    def message(self, visitor: Visitor) -> None:
        """A visitor was sent something."""
        self.moments.append(self.loop.time())
        if visitor.messages == 1:
            self._served += 1
            if self._served == self._wanted and self._done is not None:
                self._done()

    def listen(self) -> dict[str, Any]:
        """Forget the messages of before."""
        for visitor in self.visitors:
            visitor.messages = 0
        self.moments = []
        self._served, self._wanted = 0, sum(visitor.phase == WAITING for visitor in self.visitors)
        gc.collect()
        gc.freeze()
        gc.disable()
        self._cpu = time.process_time()
        return {"listening": self._wanted, "lost": self.lost}

    async def served(self, timeout_s: float) -> dict[str, Any]:
        """Wait until each visitor has its message, and a while for doubles; when the first and last came."""
        ended: asyncio.Future[None] = self.loop.create_future()
        self._done = partial(_end, ended)
        if self._served < self._wanted:
            try:
                await asyncio.wait_for(ended, timeout_s)
            except TimeoutError:
                self.complaints.append("not all were served in time")
        cpu = time.process_time() - self._cpu
        last = max(self.moments, default=0.0)
        await asyncio.sleep(QUIET_S)
        gc.enable()
        moments = sorted(self.moments)
        return {
            "served": self._served,
            "missing": self._wanted - self._served,
            "doubled": len(moments) - self._served,
            "first": moments[0] if moments else 0.0,
            "median": moments[len(moments) // 2] if moments else 0.0,
            "last": last,
            "cpu": cpu,
        }

    async def leave(self) -> dict[str, Any]:
        """Close every connection."""
        for visitor in self.visitors:
            visitor.phase = OVER
            if visitor.transport is not None:
                visitor.transport.abort()
        gone = len(self.visitors)
        await asyncio.sleep(0.1)
        self.visitors = []
        self.lost = 0
        gc.unfreeze()
        gc.collect()
        return {"left": gone}

    async def obey(self, given: dict[str, Any]) -> dict[str, Any]:
        """Carry a command out."""
        match given["do"]:
            case "arrive":
                return await self.arrive(given)
            case "listen":
                return self.listen()
            case "served":
                return await self.served(given["timeout"])
            case "leave":
                return await self.leave()
        raise ValueError(given["do"])


async def main() -> None:
    """Obey the lines of standard input until it ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    crowd = Crowd(loop)
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        print(json.dumps(await crowd.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
