"""jigasi's client of the queue, byte for byte as the contract observed it (sections 3.1 to 3.5, 5.1).

Text frames with their headers in its order, beats as binary, a parser that splits lines, no sub-protocol.
"""

import json
import threading
import time
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

LONGEST = 2**63 - 1
CLOSED_BY_US = "closed by us"
NO_BEAT = "no beat"


def connect_frame(token: str, beat_ms: int) -> str:
    """CONNECT."""
    return (
        f"CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:{beat_ms},{beat_ms}\n"
        f"Authorization:Bearer {token}\n\n\0"
    )


def subscribe_frame(topic: str) -> str:
    """SUBSCRIBE, the first and only one."""
    return f"SUBSCRIBE\ndestination:{topic}\nid:1\n\n\0"


@dataclass(frozen=True)
class Parsed:
    """One frame as the line-splitting parser sees it."""

    command: str
    headers: dict[str, str]
    body: str


def parse(text: str) -> Parsed:
    """Split at LF: the command, headers up to the first empty line, and all the rest run together."""
    lines = text.split("\n")
    headers: dict[str, str] = {}
    at = 1
    while at < len(lines) and lines[at] != "":
        name, value = lines[at].split(":", 1)
        headers[name] = value
        at += 1
    return Parsed(lines[0], headers, "".join(lines[at + 1 :]).replace("\0", ""))


def long(value: object) -> int:
    """A number of JSON as a 64-bit integer.  Raises `TypeError` for anything else, as the cast does."""
    if type(value) is not int or not -LONGEST - 1 <= value <= LONGEST:
        raise TypeError(f"not a Long: {value!r}")
    return value


@dataclass
class Jigasi:
    """One waiting call; it runs in a thread of its own until it is released, closed or left."""

    url: str
    topic: str
    token: str
    beat_ms: int = 15_000
    connected: threading.Event = field(default_factory=threading.Event)
    live: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    delay_ms: int = -1
    messages: int = 0
    beats_sent: int = 0
    beats_seen: int = 0
    unknown: list[str] = field(default_factory=list)
    """Commands that it does not know, ERROR among them: logged and forgotten."""
    ended: str | int | None = None
    """Why it is over: the close code, or what it says itself."""

    def __post_init__(self) -> None:
        self._socket: ClientConnection = connect(
            self.url,
            subprotocols=None,
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=20,
            close_timeout=2,
            legacy=True,
        )
        assert self._socket.subprotocol is None
        self._sends_s = self._expects_s = 0.0
        self._next_beat = self._silent_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Close the socket, without DISCONNECT; what it does once it is told live, too."""
        self.ended = CLOSED_BY_US
        self._socket.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._socket.send(connect_frame(self.token, self.beat_ms))
            while self.ended is None:
                self._once()
        except ConnectionClosed as closed:
            if self.ended is None:
                self.ended = closed.rcvd.code if closed.rcvd is not None else None
        finally:
            self.over.set()

    def _once(self) -> None:
        try:
            got = self._socket.recv(timeout=0.05)
        except TimeoutError:
            got = None
        now = time.monotonic()
        if isinstance(got, str):  # a binary message is dropped
            self._silent_since = now
            self._take(got)
        if self._sends_s and now >= self._next_beat:
            self._next_beat = now + self._sends_s
            self.beats_sent += 1
            self._socket.send(b"\n")
        if self._expects_s and now - self._silent_since > 2 * self._expects_s:
            self.ended = NO_BEAT

    def _take(self, text: str) -> None:
        if text == "\n":
            self.beats_seen += 1
            return
        frame = parse(text)
        if frame.command == "CONNECTED":
            sends, wants = (int(part) for part in frame.headers.get("heart-beat", "0,0").split(","))
            self._sends_s = max(self.beat_ms, wants) / 1000 if wants else 0.0
            # Without an offer it keeps its own expectation (contract 3.2).
            expects = max(self.beat_ms, sends) if sends else 0
            self._expects_s = (expects if "heart-beat" in frame.headers else self.beat_ms) / 1000
            self._next_beat = time.monotonic() + self._sends_s
            self._socket.send(subscribe_frame(self.topic))
            self.connected.set()
        elif frame.command == "MESSAGE":
            self.messages += 1
            told = json.loads(frame.body)
            if told["status"] == "live":
                self.delay_ms = long(told["randomDelayMs"])
                self.live.set()
        else:
            self.unknown.append(frame.command)
