"""Very many visitors on WebSockets in one process, and when each of them came in and was told.

A client that costs more than the server would measure itself.  So: `asyncio.Protocol` without streams, frames
made beforehand and masked with zeros, and no parsing beyond what tells one answer from another.  Frames are
text, which every front takes.
"""

import asyncio
import base64
import contextlib
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

HANDSHAKE: Final = 0
CONNECTING: Final = 1
SUBSCRIBING: Final = 2
WAITING: Final = 3
TOLD: Final = 4
OVER: Final = 5

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
BEAT_S: Final = 10.0
QUIET_S: Final = 0.5
"""For so long after the last message a second one may still come."""
LONGEST_REASON: Final = 120


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame whose mask is all zeros (RFC 6455 5.3).

    >>> masked(TEXT, b"x").hex(), masked(TEXT, b"x" * 200)[:4].hex()
    ('81810000000078', '81fe00c8')
    """
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    else:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def stomp(command: str, *headers: str) -> bytes:
    """A frame of STOMP as a message."""
    return masked(TEXT, "\n".join((command, *headers, "", "\0")).encode())


@dataclass(frozen=True)
class Address:
    """Where visitors go."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str) -> "Address":
        """The parts of a `ws` or `wss` address."""
        parts = urlsplit(url)
        secure = parts.scheme in {"wss", "https"}
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or (443 if secure else 80)
        return cls(parts.hostname or "", port, path, ssl.create_default_context() if secure else None)

    @property
    def request(self) -> bytes:
        """The handshake; no compression is offered."""
        usual = self.port == (443 if self.tls else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = (
            f"GET {self.path} HTTP/1.1",
            f"Host: {host}" if usual else f"Host: {host}:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "User-Agent: foyer",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Protocol: v12.stomp",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Visitor(asyncio.Protocol):
    """One socket: handshake, CONNECT, SUBSCRIBE with a receipt, and then it waits."""

    __slots__ = ("began", "buffer", "connect", "crowd", "phase", "told", "transport")

    def __init__(self, crowd: "Crowd", connect: bytes) -> None:
        self.crowd = crowd
        self.connect = connect
        self.phase = HANDSHAKE
        self.buffer = b""
        self.began = time.monotonic()
        self.told = 0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = transport
        self.transport.write(self.crowd.request)

    def data_received(self, data: bytes) -> None:
        """Take the answer to the handshake, then frames."""
        data = self.buffer + data
        if self.phase == HANDSHAKE:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.crowd.refused(self, head.partition(b"\r\n")[0].decode("latin-1"))
                return
            self.phase = CONNECTING
            self.transport.write(self.connect)
        at = 0
        while (found := _frame(data, at)) is not None:
            opcode, start, at = found
            self._take(opcode, data[start:at])
        self.buffer = data[at:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(masked(PONG, payload))
        elif opcode == CLOSE:
            self.transport.write(masked(CLOSE, payload))
            self.transport.close()
        elif payload.startswith(b"MESSAGE"):
            self.crowd.message(self)
        elif payload.startswith(b"CONNECTED"):
            self.phase = SUBSCRIBING
            self.transport.write(self.crowd.subscribe)
        elif payload.startswith(b"RECEIPT"):
            self.crowd.arrived(self)
        elif payload.startswith(b"ERROR"):
            self.crowd.refused(self, payload.partition(b"\n\n")[2].decode(errors="replace").strip("\0\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The end: of no account once the visitor was told."""
        if self.phase < TOLD:
            self.crowd.refused(self, str(exc) if exc else "the service closed the socket")
        self.phase = OVER


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Opcode, start and end of the frame at an offset; `None` while it is not there as a whole."""
    if len(data) - at < 2:
        return None
    length, start = data[at + 1] & 0x7F, at + 2
    if length >= 126:
        wide = 2 if length == 126 else 8
        length = int.from_bytes(data[start : start + wide], "big")
        start += wide
    end = start + length
    return (data[at] & 15, start, end) if end <= len(data) else None


@dataclass
class Crowd:
    """All visitors, and what became of them."""

    address: Address
    destination: str
    tokens: Sequence[str]
    """One for each visitor."""
    side_by_side: int = 100
    seen: Callable[[int, int], None] = lambda arrived, told: None
    """Told how many came in and how many were told."""
    connects: list[float] = field(default_factory=list)
    """Seconds from the first packet to the receipt."""
    moments: list[float] = field(default_factory=list)
    """When each visitor had its first message."""
    doubled: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Why visitors were lost, and how many."""
    lost: int = 0

    def __post_init__(self) -> None:
        """Make what all visitors send."""
        self.request = self.address.request
        self.subscribe = stomp("SUBSCRIBE", "id:sub-0", "receipt:r", f"destination:{self.destination}")
        self.visitors: list[Visitor] = []
        self._left = iter(self.tokens)
        self._settled = 0
        self._in = asyncio.Event()
        self._told = asyncio.Event()
        self._opening: set[asyncio.Task[Any]] = set()
        self._over = False

    async def arrive(self, timeout_s: float) -> float:
        """Bring all in, so many side by side; the seconds that it took."""
        beats = asyncio.get_running_loop().create_task(self._beat())
        self._opening.add(beats)
        began = time.monotonic()
        for _ in range(min(self.side_by_side, len(self.tokens))):
            self._next()
        with contextlib.suppress(TimeoutError):  # the counts tell who is not in by now
            await asyncio.wait_for(self._in.wait(), timeout_s)
        return time.monotonic() - began

    async def told(self, timeout_s: float | None) -> None:
        """Wait until everybody who came in was told or is lost, and a moment for second messages."""
        self._check()
        try:
            await asyncio.wait_for(self._told.wait(), timeout_s)
        except TimeoutError:
            return
        await asyncio.sleep(QUIET_S)

    async def leave(self) -> None:
        """Close every socket."""
        self._over = True
        for task in self._opening:
            task.cancel()
        for visitor in self.visitors:
            visitor.phase = OVER
            if visitor.transport is not None:
                visitor.transport.abort()
        await asyncio.sleep(0)

    @property
    def here(self) -> int:
        """How many came in."""
        return len(self.connects)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            for visitor in self.visitors:
                if visitor.phase in {WAITING, TOLD}:
                    visitor.transport.write(masked(TEXT, b"\n"))

    def _next(self) -> None:
        token = next(self._left, None)
        if token is None:
            return
        headers = (f"Authorization:Bearer {token}", "accept-version:1.2", "heart-beat:10000,10000")
        visitor = Visitor(self, stomp("CONNECT", *headers))
        self.visitors.append(visitor)
        loop = asyncio.get_running_loop()
        where = self.address
        task = loop.create_task(
            loop.create_connection(lambda: visitor, where.host, where.port, ssl=where.tls)
        )
        self._opening.add(task)

        def opened(task: asyncio.Task[Any]) -> None:
            self._opening.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self.refused(visitor, getattr(error, "strerror", None) or str(error))

        task.add_done_callback(opened)

    def arrived(self, visitor: Visitor) -> None:
        """A visitor has its receipt; the next may come."""
        if visitor.phase == SUBSCRIBING:
            self.connects.append(time.monotonic() - visitor.began)
            visitor.phase = WAITING
            self._settle()

    def message(self, visitor: Visitor) -> None:
        """A visitor was told; who is told before the receipt has come in all the same."""
        visitor.told += 1
        if visitor.told > 1:
            self.doubled += 1
            return
        self.moments.append(time.monotonic())
        early = visitor.phase == SUBSCRIBING
        if early:
            self.connects.append(time.monotonic() - visitor.began)
        visitor.phase = TOLD
        if early:
            self._settle()
        self._check()

    def refused(self, visitor: Visitor, why: str) -> None:
        """A visitor did not come in, or is gone before it was told."""
        if self._over or visitor.phase >= TOLD:
            return
        waited = visitor.phase == WAITING
        visitor.phase = OVER
        if visitor.transport is not None:
            visitor.transport.abort()
        self.lost += 1
        why = why[:LONGEST_REASON] or "no reason was given"
        self.reasons[why] = self.reasons.get(why, 0) + 1
        if not waited:
            self._settle()
        self._check()

    def _settle(self) -> None:
        self._settled += 1
        if self._settled == len(self.tokens):
            self._in.set()
        self._next()
        self.seen(self.here, len(self.moments))

    def _check(self) -> None:
        self.seen(self.here, len(self.moments))
        if len(self.moments) + self.lost >= len(self.tokens):
            self._told.set()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all is not above, by nearest rank; 0 of none.

    >>> percentile([3, 1, 2, 4], 0.5), percentile([1.0], 0.99), percentile([], 0.5)
    (2, 1.0, 0.0)
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]
