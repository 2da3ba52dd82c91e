"""The other side of `@connections`: a loopback server that records calls and answers as it is told."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

STEPS_TO_SERVE = 5
"""Turns of the loop from the acceptance of a connection to the start of `_serve`, and one more."""


@dataclass(frozen=True)
class Request:
    """One call as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float

    @property
    def path(self) -> str:
        """The target without its query, still encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The decoded query."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def socket_id(self) -> str:
        """The socket that the path names."""
        return unquote(self.path.rpartition("/")[2])


@dataclass(frozen=True)
class Reply:
    """What to answer, and what to do to the connection."""

    status: int = 200
    body: bytes = b""
    close: bool = False
    """Say `Connection: close`, and do."""
    raw: bytes | None = None
    """Exactly these bytes instead of an answer."""
    hang: bool = False
    """No answer at all."""
    after: int = 0
    """Not before so many requests have come."""
    hang_up: bool = False
    """Close before an answer, or, with `raw`, right after it."""
    hang_up_after: bool = False
    """Close after the answer without having said so."""


@dataclass
class Server:
    """Answers each request with `reply(request)` and keeps the record."""

    reply: Callable[[Request], Reply] = lambda request: Reply()
    tls: ssl.SSLContext | None = None
    recording: bool = True
    requests: list[Request] = field(default_factory=list)
    count: int = 0
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def bodies(self) -> list[str]:
        """The texts that came, in their order."""
        return [request.body.decode() for request in self.requests]

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Serve on a free port, in a thread of its own."""
        ready = threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(self._main(ready),), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._done.set)
            thread.join(10)
            assert not thread.is_alive()

    def hang_up_all(self) -> None:
        """Close every connection, as a peer does that restarts."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, backlog=1024, limit=2**20
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._done.wait()
        # Who was accepted a moment ago has no transport yet, gets none from a closed server, and stays open.
        self._loop.remove_reader(server.sockets[0].fileno())
        for _ in range(STEPS_TO_SERVE):
            await asyncio.sleep(0)
        server.close()
        self._abort_all()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._converse(reader, writer, self.connections)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            method, target, version = first.split(" ")
            assert version == "HTTP/1.1"
            headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
            assert len(headers) == len(lines)
            body = await reader.readexactly(int(headers["content-length"]))
            request = Request(method, target, headers, body, connection, time.monotonic())
            self.count += 1
            if self.recording:
                self.requests.append(request)
            reply = self.reply(request)
            while self.count < reply.after:
                await asyncio.sleep(0.005)
            if reply.hang:
                await self._done.wait()
            if reply.raw is not None:
                writer.write(reply.raw)
                await writer.drain()
            if reply.hang_up:
                if reply.raw is not None:
                    await asyncio.sleep(0.05)  # an abort discards what was not yet sent
                return
            if reply.raw is not None:
                continue
            said = "Connection: close\r\n" if reply.close else ""
            writer.write(
                f"HTTP/1.1 {reply.status} Said\r\n{said}Content-Length: {len(reply.body)}\r\n\r\n".encode()
                + reply.body
            )
            await writer.drain()
            if reply.close or reply.hang_up_after:
                writer.close()
                await writer.wait_closed()
                return
