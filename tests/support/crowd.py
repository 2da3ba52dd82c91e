"""Many STOMP clients in one event loop, and what each of them was told."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.support.clients import VISITOR, parse

OFFERED = [Subprotocol(name) for name in ("v12.stomp", "v11.stomp", "v10.stomp")]


@dataclass
class Visitor:
    """One visitor, who comes back after a while whenever the connection is lost, until it is told to go."""

    base: str
    path: str
    token: str
    conference: str
    back_after_s: float = 0.5
    lives: list[dict[str, object]] = field(default_factory=list)
    """The live messages of every connection, in order."""
    by_connection: list[int] = field(default_factory=list)
    """How many live messages each connection got."""
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: Callable[[], Awaitable[None]] | None = None
    """Awaited before SUBSCRIBE, to choose its moment."""

    async def run(self, linger_s: float = 0.0) -> None:
        """Wait to be released, coming back as needed; then stay `linger_s` to see a second message."""
        while not self.released.is_set():
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError, EOFError):
                await self._once(linger_s)
            if not self.released.is_set():
                await asyncio.sleep(self.back_after_s)

    async def _once(self, linger_s: float) -> None:
        async with connect(
            self.base + self.path, subprotocols=OFFERED, compression=None, open_timeout=20, close_timeout=1
        ) as socket:
            self.by_connection.append(0)
            await socket.send(
                f"CONNECT\nAuthorization:Bearer {self.token}\naccept-version:1.2\nheart-beat:0,0\n\n\0"
            )
            assert (await self._frame(socket))[0] == "CONNECTED"
            if self.wanted is not None:
                await self.wanted()
            await socket.send(
                f"SUBSCRIBE\nid:sub-0\ndestination:{VISITOR}{self.conference}\nreceipt:kept\n\n\0"
            )
            while not self.released.is_set():
                self._note(*await self._frame(socket))
            try:
                async with asyncio.timeout(linger_s):
                    while True:
                        self._note(*await self._frame(socket))
            except (TimeoutError, ConnectionClosed):
                return

    async def _frame(self, socket: ClientConnection) -> tuple[str, dict[str, str], str]:
        while True:
            got = await socket.recv()
            assert isinstance(got, str)
            if got != "\n":
                return parse(got)

    def _note(self, command: str, headers: dict[str, str], body: str) -> None:
        if command == "RECEIPT":
            self.subscribed.set()
        elif command == "MESSAGE":
            assert headers["subscription"] == "sub-0"
            self.lives.append(json.loads(body))
            self.by_connection[-1] += 1
            self.released.set()
        else:
            raise ConnectionResetError(f"{command}: {headers.get('message')}")
