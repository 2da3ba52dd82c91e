"""The live sockets: one handler call at a time for each, what waits behind it, deadlines, and writing."""

import asyncio
import sys
import time
from collections import deque
from typing import Any, Final

import msgspec

from chalicelib.realtime.ports import Outcome
from chalicelib.realtime.protocols import is_braced
from infra.gateway import events, log
from infra.gateway.events import Peer
from infra.gateway.handlers import Pool
from infra.gateway.settings import Settings
from infra.gateway.wheel import Wheel

CONNECTING: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
ABNORMAL: Final = 1006
INTERNAL_ERROR: Final = 1011

MAX_FRAME: Final = 128 * 1024  # what API Gateway's management API takes
DEDUP_KEPT: Final = 64
PING: Final = b"\x89\x00"


def text_frame(text: str) -> bytes:
    """A server's unmasked text frame, RFC 6455 section 5.2."""
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


BEAT: Final = text_frame("\n")


class Sockets:
    """The table of one gateway's sockets, and what they share."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, wheel: Wheel, pool: Pool) -> None:
        self.settings = settings
        self.loop = loop
        self.wheel = wheel
        self.pool = pool
        self.live: dict[str, Socket] = {}
        """Those whose `$connect` succeeded and that nobody began to close: what a post can reach."""
        self.held = 0
        """All whose transport is open, handshakes included."""
        self.calls = 0
        """Handler calls for sockets that have not returned."""
        self.draining = False
        self.front_id = ""
        periods = (settings.beat_s, settings.silence_s, settings.idle_s / 4, settings.life_s)
        self.period = min(period for period in periods if period > 0)

    @property
    def front_id(self) -> str:
        """The id under which this front is registered."""
        return self._front_id

    @front_id.setter
    def front_id(self, value: str) -> None:
        self._front_id = value
        self.api_id = f"gateway-{value}"

    async def drain(self, rate: float) -> None:
        """Close what is open with 1001, at most `rate` a second: all clients return after the same delay."""
        began, closed = self.loop.time(), 0
        for socket in list(self.live.values()):
            if socket.state != OPEN:
                continue
            socket.close(GOING_AWAY)
            closed += 1
            early = began + closed / rate - self.loop.time()
            if early > 0:
                await asyncio.sleep(early)

    async def emptied(self, timeout_s: float) -> None:
        """Wait until no socket is held and no handler runs for one, but not for ever."""
        end = self.loop.time() + timeout_s
        while (self.held or self.calls) and self.loop.time() < end:
            await asyncio.sleep(0.02)


class _CloseAfter:
    """Closes a socket normally when its time is over."""

    __slots__ = ("at", "socket")

    def __init__(self, socket: "Socket", at: float) -> None:
        self.socket = socket
        self.at = at

    def on_timer(self, now: float) -> float:
        if now >= self.at:
            self.socket.close(NORMAL)
            return 0.0
        return self.at - now if self.socket.state == OPEN else 0.0


class _Stall:
    """Aborts a socket whose peer has not taken what was written, or not answered a close."""

    __slots__ = ("at", "mark", "socket")

    def __init__(self, socket: "Socket", mark: float, at: float) -> None:
        self.socket = socket
        self.mark = mark
        self.at = at

    def on_timer(self, now: float) -> float:
        if self.socket.stalled_at != self.mark or self.socket.state == CLOSED:
            return 0.0
        if now >= self.at:
            self.socket.expired()
            return 0.0
        return self.at - now


class Socket:
    """One client's connection, from the handshake to the end of its `$disconnect`."""

    __slots__ = (
        "api_id",
        "beat_at",
        "beats",
        "born",
        "code",
        "connected_ms",
        "dedup",
        "id",
        "last_in",
        "peer",
        "pinged",
        "reading_paused",
        "running",
        "stalled_at",
        "state",
        "table",
        "transport",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, table: Sockets, transport: asyncio.Transport, peer: Peer) -> None:
        self.table = table
        self.transport = transport
        self.peer = peer
        self.id = events.socket_id()
        self.api_id = table.api_id
        self.state = CONNECTING
        self.born = self.last_in = table.loop.time()
        self.beat_at = 0.0
        self.beats = True
        self.connected_ms = int(time.time() * 1000)
        self.code = ABNORMAL
        self.running = 0
        self.waiting: deque[str] | None = None
        self.waiting_bytes = 0
        self.reading_paused = False
        self.pinged = False
        self.stalled_at = 0.0
        self.dedup: list[str] | None = None

    # The life of a socket

    def opened(self) -> None:
        """`$connect` said yes: from here on the socket can be posted to."""
        table = self.table
        self.state = OPEN
        table.live[self.id] = self
        self.transport.set_write_buffer_limits(high=0)  # `pause_writing` as soon as the kernel takes no more
        self.beat_at = table.loop.time() + table.settings.beat_s
        table.wheel.after(table.period, self)
        if table.draining or self.api_id != table.api_id:  # it came in while the others were sent away
            self.close(GOING_AWAY)

    def close(self, code: int) -> None:
        """Begin to close: the peer has a while to answer, and nothing that waits is handled any more."""
        if self.state != OPEN:
            return
        self.leave(code)
        self.waiting = None
        self.say_close(code)
        self.answer_by(self.table.settings.close_deadline_s)

    def answer_by(self, delay_s: float) -> None:
        """Abort unless the transport is closed within `delay_s`."""
        now = self.table.loop.time()
        self.stalled_at = now
        self.table.wheel.after(delay_s, _Stall(self, now, now + delay_s))

    def expired(self) -> None:
        """A deadline of `answer_by` passed."""
        self.abort()

    def leave(self, code: int) -> None:
        """No post can reach the socket any more; the first reason stays."""
        if self.state == OPEN:
            self.state = CLOSING
            self.code = code
            self.table.live.pop(self.id, None)

    def abort(self) -> None:
        """Drop the connection with whatever is still unsent."""
        self.leave(ABNORMAL)
        self.waiting = None
        self.transport.abort()

    def lost(self) -> None:
        """The transport is gone: `$disconnect` follows what is still running, exactly once."""
        self.leave(ABNORMAL)
        connected = self.state == CLOSING
        self.state = CLOSED
        self.table.held -= 1
        self.dedup = None
        if connected:
            self.owe_disconnect()

    def owe_disconnect(self) -> None:
        """The handlers were told of a connection that is over."""
        if not self.table.settings.edge or not self.running:
            self._disconnect()

    def _disconnect(self) -> None:
        self.table.calls += 1
        event = events.disconnect(
            self.id, self.peer, self.connected_ms, self.table.settings.stage, self.api_id, self.code
        )
        self.table.pool.submit(
            "ws_disconnect", event, event["requestContext"]["requestId"], self._disconnected
        )

    def _disconnected(self, result: Any, error: BaseException | None) -> None:
        self.table.calls -= 1

    # What comes in

    def receive(self, text: str) -> None:
        """Hand one message on: at once, or in the edge after those before it."""
        settings = self.table.settings
        if self.beats and is_braced(text):
            self.beats = False
        if settings.edge and self.running:
            if self.waiting is None:
                self.waiting = deque()
            self.waiting.append(text)
            self.waiting_bytes += len(text)
            if len(self.waiting) >= settings.queue_messages or self.waiting_bytes >= settings.queue_bytes:
                self._pause()
            return
        self._call(text)
        if self.running >= settings.queue_messages:
            self._pause()

    def _call(self, text: str) -> None:
        self.running += 1
        self.table.calls += 1
        event = events.message(
            self.id, self.peer, self.connected_ms, self.table.settings.stage, self.api_id, text
        )
        identity = event["requestContext"]["requestId"]
        self.table.pool.submit("ws_message", event, identity, self._returned)

    def _returned(self, result: Any, error: BaseException | None) -> None:
        self.running -= 1
        self.table.calls -= 1
        settings = self.table.settings
        if error is not None:
            self._failed()
        if settings.edge and self.waiting:
            text = self.waiting.popleft()
            self.waiting_bytes -= len(text)
            self._call(text)
            room = (
                len(self.waiting) * 2 <= settings.queue_messages
                and self.waiting_bytes * 2 <= settings.queue_bytes
            )
        else:
            self.waiting = None
            self.waiting_bytes = 0
            room = self.running * 2 <= settings.queue_messages
        if self.reading_paused and room:
            self.reading_paused = False
            self.transport.resume_reading()
        if settings.edge and self.state == CLOSED and not self.running:
            self._disconnect()

    def _failed(self) -> None:
        if self.table.settings.edge:
            self.close(INTERNAL_ERROR)
        else:  # API Gateway tells the client and keeps the connection
            said = {
                "message": "Internal server error",
                "connectionId": self.id,
                "requestId": events.message_id(),
            }
            self.deliver(text_frame(msgspec.json.encode(said).decode()))

    def _pause(self) -> None:
        if not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    # What goes out

    def deliver(self, frame: bytes, dedup: str = "", close_after: float = 0.0) -> Outcome:
        """Write a prepared frame; a peer that takes nothing costs its own connection and nobody's time."""
        if self.state != OPEN:
            return Outcome.GONE
        if dedup:
            if self.dedup is None:
                self.dedup = [dedup]
            elif dedup in self.dedup:
                return Outcome.SENT
            else:
                self.dedup.append(dedup)
                del self.dedup[:-DEDUP_KEPT]
        transport = self.transport
        transport.write(frame)
        if self.stalled_at and transport.get_write_buffer_size() > self.table.settings.write_buffer_bytes:
            self.abort()
            return Outcome.GONE
        if not self.table.settings.edge:
            self.last_in = self.table.loop.time()  # API Gateway's idle limit counts both directions
        if close_after > 0:
            self.table.wheel.after(close_after, _CloseAfter(self, self.table.loop.time() + close_after))
        return Outcome.SENT

    def pause_writing(self) -> None:
        """The kernel takes no more for this peer: it has a while to read."""
        if self.state == OPEN:
            self.answer_by(self.table.settings.write_stall_s)

    def resume_writing(self) -> None:
        """The peer has read everything."""
        if self.state == OPEN:
            self.stalled_at = 0.0

    def on_timer(self, now: float) -> float:
        """Heart-beat, silence, idleness and age; seconds until the next look."""
        if self.state != OPEN:
            return 0.0
        settings = self.table.settings
        if now - self.born >= settings.life_s:
            self.close(GOING_AWAY)
            return 0.0
        quiet = now - self.last_in
        if settings.idle_s and quiet >= settings.idle_s:
            self.close(GOING_AWAY)
            return 0.0
        if settings.silence_s:
            if quiet > 3 * settings.silence_s and self.pinged:
                log.info("peer is silent", connection_id=self.id)
                self.close(GOING_AWAY)
                return 0.0
            if quiet > 2 * settings.silence_s and not self.pinged:
                self.pinged = True
                self.transport.write(PING)
        if settings.beat_s and self.beats and now >= self.beat_at - self.table.wheel.tick_s / 2:
            self.beat_at = now + settings.beat_s
            if not self.stalled_at:
                self.transport.write(BEAT)
        delay = self.table.period
        if settings.beat_s and self.beats:
            delay = min(delay, max(self.beat_at - now, 0.001))
        return delay

    # What only the wire knows

    def say_close(self, code: int) -> None:
        """Send a close frame."""
        raise NotImplementedError


def interned(text: str) -> str:
    """One copy of a text that many sockets share, such as a browser's name."""
    return sys.intern(text)
