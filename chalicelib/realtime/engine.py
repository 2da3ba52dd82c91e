"""An HTTP/1.1 client for very many small signed calls to very few endpoints, on one event loop.

A *lane* is one endpoint: its waiting calls and its keep-alive connections, the *lines*.  A line has one call
under way at most: API Gateway's edge does not promise to serve pipelined requests.  There is no task and no
future for a call; an answer starts the next call from within the callback that read it.
"""

import asyncio
import logging
import os
import ssl
import threading
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import msgspec

from chalicelib import clock, ids
from chalicelib.realtime.ports import Outcome
from chalicelib.realtime.signing import Signer

log = logging.getLogger(__name__)

HEAD_LIMIT: Final = 16 * 1024
ANSWER_LIMIT: Final = 1024 * 1024
READ_SIZE: Final = 64 * 1024

BURST: Final = 0.02
"""The part of a second's calls that may go at once."""
PACE: Final = 0.95
"""The part of the rate that is used: it holds with a burst on top, and with calls that arrive bunched."""

STALLED_S: Final = 0.2
"""A line that waits longer for its answer is replaced meanwhile by an additional one."""
STALLED_FACTOR: Final = 8
"""How many times the usual number of lines there may be then."""

IDLE_S: Final = 30.0
DOWN_S: Final = 0.5
"""For how long a lane that could not connect refuses calls without trying."""
BACKOFF_S: Final = 0.1
BACKOFF_CAP_S: Final = 1.0
AGAIN: Final = frozenset({408, 425, 429})
_jitter = ids.chance.random


class BadAnswer(Exception):
    """What the peer sent is not an HTTP/1.1 answer that we can delimit."""


class Answer(NamedTuple):
    """One answer: its status, its body, and whether another call may follow on the connection."""

    status: int
    body: bytes
    keep: bool


class Limits(msgspec.Struct, frozen=True):
    """How a client behaves towards its endpoints."""

    connections: int
    timeout_s: float
    tries: int
    budget_s: float


class Address(msgspec.Struct, frozen=True):
    """Where a lane leads."""

    host: str
    port: int
    tls: bool
    authority: str
    """The `Host` header."""
    base: str
    """The path that every target follows."""
    roots: str = ""
    """The file of certificates that vouch for it; the system's, unless given."""


class Signed(NamedTuple):
    """A signer, when to ask for the next one, and until when it is good; seconds since the epoch."""

    signer: Signer
    renew_at: float
    ends_at: float


class Route(msgspec.Struct, frozen=True, eq=False):
    """An endpoint: where it is, and who signs for it."""

    address: Address
    sign: Callable[[], Signed]
    """Called in a thread of its own: it may wait for a credentials service."""


class Call:
    """One request and what is known of its course; a subclass says what becomes of its outcome."""

    __slots__ = ("again", "began", "body", "digest", "json", "method", "target", "tries")

    def __init__(self, method: str, target: str, body: bytes, digest: str, json: bool = False) -> None:
        self.method = method
        self.target = target
        self.body = body
        self.digest = digest
        self.json = json
        self.tries = 0
        self.again = False
        self.began = 0.0

    def settle(self, outcome: Outcome, why: str = "") -> None:
        """Take the final outcome."""
        raise NotImplementedError

    def accept(self, body: bytes) -> None:
        """Take the body of an answer of success."""
        self.settle(Outcome.SENT)


@cache
def tls(roots: str) -> ssl.SSLContext:
    """The process's TLS settings for peers that `roots` vouch for, or whatever file `AWS_CA_BUNDLE` names."""
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or roots or None)


def parse(data: bytes) -> Answer | None:
    """Read the answer that `data` begins with; `None` until it is complete.  Raises `BadAnswer`.

    >>> parse(b"HTTP/1.1 410 Gone\\r\\nContent-Length: 2\\r\\n\\r\\nno")
    Answer(status=410, body=b'no', keep=True)
    >>> parse(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nn") is None
    True
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > HEAD_LIMIT:
            raise BadAnswer("a head without end")
        return None
    status = _status(data)
    if 100 <= status < 200:
        if status == 101:
            raise BadAnswer("a switch of protocols")
        return parse(data[end + 4 :])
    head = data[:end].lower()
    start = end + 4
    connection = _field(head, b"\r\nconnection:")
    keep = b"close" not in connection if connection is not None else data[7] == 0x31
    if status in (204, 304):
        return Answer(status, b"", keep and len(data) == start)
    coding = _field(head, b"\r\ntransfer-encoding:")
    if coding is not None:
        if coding != b"chunked":
            raise BadAnswer("a transfer coding that is not chunked")
        return _chunked(status, data, start, keep)
    length = _field(head, b"\r\ncontent-length:")
    if length is None:
        return Answer(status, data[start:], False)  # RFC 9112, 6.3: the end of the connection ends it
    if not length.isdigit():
        raise BadAnswer("a length that is not a number")
    stop = start + int(length)
    if stop - start > ANSWER_LIMIT:
        raise BadAnswer("an answer that is too long")
    if len(data) < stop:
        return None
    return Answer(status, data[start:stop], keep and len(data) == stop)


def _status(data: bytes) -> int:
    code = data[9:12]
    if not data.startswith(b"HTTP/1.") or not code.isdigit():
        raise BadAnswer("not HTTP/1")
    return int(code)


def _field(head: bytes, name: bytes) -> bytes | None:
    at = head.find(name)
    if at < 0:
        return None
    start = at + len(name)
    stop = head.find(b"\r\n", start)
    value = (head[start:] if stop < 0 else head[start:stop]).strip()
    if stop >= 0 and name != b"\r\nconnection:" and head.find(name, stop) >= 0:
        raise BadAnswer("a field that may occur once occurs twice")
    return value


def _chunked(status: int, data: bytes, at: int, keep: bool) -> Answer | None:
    parts = []
    while True:
        stop = data.find(b"\r\n", at)
        if stop < 0:
            return None
        try:
            size = int(data[at:stop].split(b";")[0], 16)
        except ValueError:
            raise BadAnswer("a chunk without a size") from None
        at = stop + 2
        if not 0 <= size <= ANSWER_LIMIT:
            raise BadAnswer("an answer that is too long")
        if size == 0:
            break
        if len(data) < at + size + 2:
            return None
        parts.append(data[at : at + size])
        at += size + 2
    while True:  # the trailer: lines up to an empty one
        stop = data.find(b"\r\n", at)
        if stop < 0:
            return None
        if stop == at:
            return Answer(status, b"".join(parts), keep and len(data) == stop + 2)
        at = stop + 2


class Pacer:
    """A token bucket (generic cell rate algorithm) that stays below `rate` calls in any second.

    >>> pacer = Pacer(1000)
    >>> sum(pacer.take(10 + ms / 1000) for ms in range(1000) for _ in range(50))
    969
    """

    def __init__(self, rate: float) -> None:
        burst = max(1.0, rate * BURST)
        self.interval = 1.0 / (rate * PACE)
        self.tolerance = (burst - 1.0) * self.interval
        self._next = 0.0

    def take(self, now: float) -> bool:
        """Let one call through now, or not."""
        if self._next - now > self.tolerance:
            return False
        self._next = (self._next if self._next > now else now) + self.interval
        return True

    def ready_at(self) -> float:
        """When the next call may go."""
        return self._next - self.tolerance


class Line(asyncio.BufferedProtocol):
    """One keep-alive connection."""

    __slots__ = (
        "call",
        "deadline",
        "idle_since",
        "idle_since_wall",
        "lane",
        "partial",
        "sent_at",
        "served",
        "transport",
    )

    def __init__(self, lane: "Lane") -> None:
        self.lane = lane
        self.call: Call | None = None
        self.partial = b""
        self.served = 0
        self.sent_at = self.deadline = self.idle_since = self.idle_since_wall = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def start(self, call: Call, now: float, wall: float) -> None:
        """Send a call."""
        lane = self.lane
        self.call = call
        self.sent_at = now
        if not call.tries:
            call.began = now
        self.deadline = min(now + lane.limits.timeout_s, call.began + lane.longest_s)
        self.transport.write(lane.spell(call, wall))

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`; what is read is copied at once, so one buffer serves all lines."""
        return self.lane.engine.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        data = bytes(self.lane.engine.buffer[:nbytes])
        if self.partial:
            data = self.partial + data
        call = self.call
        if call is None:  # nobody asked; a peer may say 408 before it closes
            self.lane.discard(self)
            return
        try:
            answer = parse(data)
            if answer is None and len(data) > HEAD_LIMIT + ANSWER_LIMIT:
                raise BadAnswer("more than was to be expected")
        except BadAnswer as error:
            self.lane.discard(self)
            call.settle(Outcome.RETRY, f"answered with {error}")
            self.lane.pump()
            return
        if answer is None:
            self.partial = data
            return
        self.partial = b""
        self.call = None
        self.served += 1
        self.lane.answered(self, call, answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.lane.lost(self)


class Lane:
    """The calls that wait for one endpoint, and the lines that lead there."""

    def __init__(self, engine: "Engine", route: Route) -> None:
        self.engine = engine
        self.limits = engine.limits
        self.longest_s = max(engine.limits.timeout_s, engine.limits.budget_s)
        self.address = route.address
        self.queue: deque[Call] = deque()
        self.lines: set[Line] = set()
        self.idle: dict[Line, None] = {}  # the last one in is the first one out
        self.connecting: set[asyncio.Task[None]] = set()
        self.stalled = 0
        self.backing_off = 0
        self.down_until = 0.0
        self.used_at = engine.loop.time()
        self._sign = route.sign
        self._signer: Signer | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._reading: asyncio.Task[None] | None = None
        head = (
            f" HTTP/1.1\r\nHost: {self.address.authority}\r\nUser-Agent: foyer\r\nContent-Type: application/"
        )
        self._text_head = head + "octet-stream\r\nContent-Length: "
        self._json_head = head + "json\r\nContent-Length: "

    def spell(self, call: Call, wall: float) -> bytes:
        """A call as it goes over the wire, signed for this second."""
        assert self._signer is not None
        head = self._json_head if call.json else self._text_head
        proof = self._signer.lines(call.method, call.target, call.digest, wall)
        body = call.body
        return (
            f"{call.method} {self.address.base}{call.target}{head}{len(body)}\r\n{proof}\r\n\r\n".encode()
            + body
        )

    def submit(self, call: Call) -> None:
        """Take a call on; `pump` starts it."""
        if self.down_until and self.engine.loop.time() < self.down_until:
            call.settle(Outcome.RETRY, "could not be reached")
        else:
            self.queue.append(call)

    def startable(self, now: float) -> bool:
        """Whether a call waits, a line is free for it and the credentials are good."""
        if not self.queue:
            return False
        wall = clock.now()
        if wall >= self._renew_at and not self._renew(wall):
            return False
        while self.idle:
            line = next(reversed(self.idle))
            if now - line.idle_since < IDLE_S and wall - line.idle_since_wall < IDLE_S:
                return True
            self.discard(line)  # after a freeze the peer has long hung up, whether we have heard of it or not
        return False

    def start_one(self, now: float) -> None:
        """Start the first call that waits; only after `startable`."""
        line, _ = self.idle.popitem()
        self._start(line, now)

    def _start(self, line: Line, now: float) -> None:
        while self.queue:
            call = self.queue.popleft()
            if not call.tries or now < call.began + self.limits.budget_s:
                line.start(call, now, clock.now())
                return
            call.settle(Outcome.RETRY, "was not accepted in time")
        self._rest(line, now)

    def pump(self) -> None:
        """Start as many calls as lines and pace allow, and open lines for the others."""
        engine = self.engine
        now = engine.loop.time()
        while self.startable(now):
            if engine.paused or not engine.pacer.take(now):
                engine.pause(self)
                break
            self.start_one(now)
        if self.queue:
            self.used_at = now
            live = len(self.lines) + len(self.connecting)
            usual = self.limits.connections
            room = min(usual + self.stalled, usual * STALLED_FACTOR) - live
            for _ in range(min(room, len(self.queue) - len(self.connecting) - len(self.idle))):
                self._open()
        if len(self.lines) > len(self.idle):
            engine.watch()

    def answered(self, line: Line, call: Call, answer: Answer) -> None:
        """Take an answer, and start the next call on its line."""
        if answer.keep:
            self._judge(call, answer)
            self._next(line)
        else:
            self.discard(line)
            self._judge(call, answer)
            self.pump()

    def _judge(self, call: Call, answer: Answer) -> None:
        status = answer.status
        if 200 <= status < 300:
            call.accept(answer.body)
        elif status == 410:
            call.settle(Outcome.GONE)
        elif status >= 500 or status in AGAIN:
            self._later(call, f"was answered with {status}")
        else:
            call.settle(Outcome.FAILED, f"was answered with {status}")

    def _later(self, call: Call, why: str) -> None:
        """Have a call tried again after a back-off with full jitter, while its budget lasts."""
        call.tries += 1
        delay = _jitter() * min(BACKOFF_CAP_S, BACKOFF_S * 2 ** (call.tries - 1))
        loop = self.engine.loop
        if call.tries >= self.limits.tries or loop.time() + delay >= call.began + self.limits.budget_s:
            call.settle(Outcome.RETRY, why)
            return
        self.backing_off += 1
        loop.call_later(delay, self._again, call)

    def _again(self, call: Call) -> None:
        self.backing_off -= 1
        self.queue.appendleft(call)
        self.pump()

    def _next(self, line: Line) -> None:
        """Give a free line something to do."""
        engine = self.engine
        now = engine.loop.time()
        if self.queue:
            wall = clock.now()
            if wall < self._renew_at or self._renew(wall):
                if not engine.paused and engine.pacer.take(now):
                    self._start(line, now)
                    return
                engine.pause(self)
        self._rest(line, now)

    def _rest(self, line: Line, now: float) -> None:
        self.idle[line] = None
        line.idle_since = now
        line.idle_since_wall = clock.now()

    def discard(self, line: Line) -> None:
        """Close a line that will not be used again."""
        line.call = None
        self.lines.discard(line)
        self.idle.pop(line, None)
        line.transport.abort()

    def lost(self, line: Line) -> None:
        """The connection of a line is over, by whomever."""
        self.lines.discard(line)
        self.idle.pop(line, None)
        call, line.call = line.call, None
        if call is None:
            return
        if line.served and not line.partial and not call.again:
            # The peer hung up while the call was on its way (RFC 9112, 9.3.1).  Other lines may have met the
            # same fate, so it goes to a new one.
            call.again = True
            self._open(call)
        else:
            call.settle(Outcome.RETRY, "was not answered before the connection ended")
        self.pump()

    def sweep(self, now: float, period: float) -> bool:
        """Give up calls that are not answered; whether calls are under way."""
        self.stalled = 0
        busy = False
        for line in list(self.lines):
            call = line.call
            if call is None:
                continue
            if now + period > line.deadline:
                self.discard(line)
                call.settle(Outcome.RETRY, "was not answered in time")
                continue
            busy = True
            if now - line.sent_at > STALLED_S:
                self.stalled += 1
        self.pump()
        return busy or bool(self.queue)

    def tidy(self, now: float) -> bool:
        """Close lines that have been idle for long; whether anything is left of the lane."""
        for line in list(self.idle):
            if now - line.idle_since >= IDLE_S:
                self.discard(line)
        return bool(
            self.lines
            or self.queue
            or self.connecting
            or self.backing_off
            or self._reading
            or now - self.used_at < IDLE_S
        )

    def open_first(self) -> None:
        """Read the credentials and open a line before there is a call for them."""
        if clock.now() >= self._renew_at:
            self._renew(clock.now())
        if not self.lines and not self.connecting:
            self._open()

    def _open(self, first: Call | None = None) -> None:
        task = self.engine.loop.create_task(self._connect(first))
        self.connecting.add(task)
        task.add_done_callback(self._forget)

    async def _connect(self, first: Call | None) -> None:
        """Open a line, for one call in particular or for those that wait."""
        address = self.address
        try:
            secured = tls(address.roots) if address.tls else None
            async with asyncio.timeout(self.limits.timeout_s):
                _, line = await self.engine.loop.create_connection(
                    lambda: Line(self), address.host, address.port, ssl=secured
                )
        except Exception as error:  # no address, no route, no trust: it is all the same to the calls
            self._forget(asyncio.current_task())
            self._unreachable(error, first)
            return
        self.down_until = 0.0
        if first is not None:
            await self._start_here(line, first)
        elif not line.transport.is_closing():
            self.lines.add(line)
            self._next(line)
        self._forget(asyncio.current_task())
        self.pump()

    async def _start_here(self, line: Line, call: Call) -> None:
        """Start a call on a line that is kept for it."""
        loop = self.engine.loop
        while not self.engine.pacer.take(loop.time()):
            await asyncio.sleep(max(0.001, self.engine.pacer.ready_at() - loop.time()))
        wall = clock.now()
        if line.transport.is_closing() or wall >= self._ends_at:
            line.transport.abort()
            call.settle(Outcome.RETRY, "could not be sent again")
            return
        self.lines.add(line)
        line.start(call, loop.time(), wall)

    def _forget(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self.connecting.discard(task)

    def _unreachable(self, error: Exception, first: Call | None) -> None:
        """A line could not be opened: without any other, nobody waits for the next attempt."""
        why = f"could not be reached ({type(error).__name__})"
        if first is not None:
            first.settle(Outcome.RETRY, why)
        if not self.lines:
            self.down_until = self.engine.loop.time() + DOWN_S
            self._refuse_all(why)

    def _refuse_all(self, why: str) -> None:
        waiting, self.queue = self.queue, deque()
        for call in waiting:
            call.settle(Outcome.RETRY, why)

    def _renew(self, wall: float) -> bool:
        """Have the credentials read anew; whether the ones at hand are good meanwhile."""
        if self._reading is None:
            self._reading = self.engine.loop.create_task(self._read())
        return wall < self._ends_at

    async def _read(self) -> None:
        why = ""
        try:
            signed = await self.engine.loop.run_in_executor(None, self._sign)
        except Exception as error:  # a provider may fail as it likes
            why = type(error).__name__
        else:
            if clock.now() < signed.ends_at:
                self._signer, self._renew_at, self._ends_at = signed
            else:
                why = "they are over"
        self._reading = None
        if why:
            log.warning("no credentials for %s: %s", self.address.authority, why)
            self._renew_at = min(self._ends_at, clock.now() + DOWN_S)
            if clock.now() >= self._ends_at:
                self._refuse_all("could not be signed")
        self.pump()

    def stop(self) -> None:
        """Close every line; calls under way are to be tried again by whoever wants to."""
        self._refuse_all("was given up")
        for task in (*self.connecting, *([self._reading] if self._reading else [])):
            task.cancel()
        for line in list(self.lines):
            call = line.call
            self.discard(line)
            if call is not None:
                call.settle(Outcome.RETRY, "was given up")


class Engine:
    """All lanes of a process, on a loop in a thread of its own.

    Only `submit`, `open_first`, `alive` and `stop` are for other threads.
    """

    def __init__(self, limits: Limits, rate: float) -> None:
        self.limits = limits
        self.pacer = Pacer(rate)
        self.paused: dict[Lane, None] = {}
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.loop = asyncio.new_event_loop()
        self._lanes: dict[Route, Lane] = {}
        self._inbox: deque[tuple[Route, Call]] = deque()
        self._awake = False
        self._period = min(0.1, limits.timeout_s / 20)
        self._watching = False
        self._tidying = False
        self._resuming = False
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs: not after `stop`, nor in a process that was forked off."""
        return self._thread.is_alive()

    def submit(self, route: Route, call: Call) -> None:
        """Have a call made."""
        self._inbox.append((route, call))
        if not self._awake:
            self._awake = True
            self.loop.call_soon_threadsafe(self._drain)

    def open_first(self, route: Route) -> None:
        """Have a connection made before the first call."""
        self.loop.call_soon_threadsafe(lambda: self._lane(route).open_first())

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if not self.alive():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:  # the garbage collector runs anywhere
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self._drain()
            for lane in self._lanes.values():
                lane.stop()
            self.loop.run_until_complete(self._wind_up())
        finally:
            self.loop.close()

    async def _wind_up(self) -> None:
        """Let the cancelled tasks and the closed transports come to their end."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)
        for _ in range(3):  # under TLS a transport closes another one
            await asyncio.sleep(0)
        await self.loop.shutdown_default_executor()

    def _lane(self, route: Route) -> Lane:
        lane = self._lanes.get(route)
        if lane is None:
            lane = self._lanes[route] = Lane(self, route)
            if not self._tidying:
                self._tidying = True
                self.loop.call_later(IDLE_S / 2, self._tidy)
        return lane

    def _drain(self) -> None:
        self._awake = False  # before the inbox is read: what comes later wakes us again
        inbox = self._inbox
        lanes: dict[Lane, None] = {}
        while inbox:
            route, call = inbox.popleft()
            lane = self._lane(route)
            lane.submit(call)
            lanes[lane] = None
        for lane in lanes:
            lane.pump()

    def pause(self, lane: Lane) -> None:
        """Let a lane wait for its turn: it has calls and lines, but the pace allows no more."""
        self.paused[lane] = None
        if not self._resuming:
            self._resuming = True
            self.loop.call_at(max(self.pacer.ready_at(), self.loop.time() + 0.001), self._resume)

    def _resume(self) -> None:
        """Hand out what the pace allows by now, one call to each waiting lane in turn."""
        self._resuming = False
        now = self.loop.time()
        waiting = deque(lane for lane in self.paused if lane.startable(now))
        self.paused.clear()
        while waiting and self.pacer.take(now):
            lane = waiting.popleft()
            lane.start_one(now)
            if lane.startable(now):
                waiting.append(lane)
        for lane in waiting:
            self.pause(lane)
        self.watch()

    def watch(self) -> None:
        """Look after unanswered calls from now on, until there are none."""
        if not self._watching:
            self._watching = True
            self.loop.call_later(self._period, self._sweep)

    def _sweep(self) -> None:
        now = self.loop.time()
        busy = [lane.sweep(now, self._period) for lane in list(self._lanes.values())]
        self._watching = False
        if any(busy):
            self.watch()

    def _tidy(self) -> None:
        now = self.loop.time()
        for route, lane in list(self._lanes.items()):
            if not lane.tidy(now):
                del self._lanes[route]
        self._tidying = bool(self._lanes)
        if self._tidying:
            self.loop.call_later(IDLE_S / 2, self._tidy)
