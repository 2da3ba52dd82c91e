"""The other side of the wire: a STOMP client on a real WebSocket, and `golive` as Prosody calls it."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support import tunnel

VISITOR = "/secured/conference/visitor/topic."
STATE = "/secured/conference/state/topic."
ROOM = "room1@conference.meet.local"
OFFERED = ("v12.stomp", "v11.stomp", "v10.stomp")


def parse(text: str) -> tuple[str, dict[str, str], str]:
    """Command, headers and body of a frame, by splitting lines and nothing else."""
    head, _, body = text.partition("\n\n")
    command, *lines = head.split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name, value)
    assert body.endswith("\0"), text
    return command, headers, body[:-1]


class StompClient:
    """One WebSocket that sends what it is told, as binary if asked, and keeps what comes."""

    def __init__(
        self,
        base: str,
        path: str = "/waiting-queue/visitor/websocket",
        *,
        offered: Sequence[str] | None = OFFERED,
        binary: bool = False,
        source: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.binary = binary
        given: dict[str, Any] = {"source_address": (source, 0)} if source else {}
        if tls is not None:
            address = urlsplit(base)
            given = {"sock": tunnel.through(address.hostname or "", address.port or 443, tls, source)}
            base = base.replace("wss:", "ws:", 1)
        self.socket: ClientConnection = connect(
            base + path,
            subprotocols=None if offered is None else [Subprotocol(each) for each in offered],
            compression=None,
            open_timeout=20,
            close_timeout=2,
            max_size=None,
            max_queue=None,  # beats that nobody reads shall not keep the end of the socket from being seen
            ping_interval=None,
            proxy=None,  # to look for one means to read an environment that pytest is changing
            legacy=True,
            **given,
        )

    @property
    def subprotocol(self) -> str | None:
        """What the server selected."""
        return self.socket.subprotocol

    def __enter__(self) -> "StompClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)

    def send(self, text: str) -> None:
        """Send a WebSocket message."""
        self.socket.send(text.encode() if self.binary else text)

    def receive(self, timeout: float = 10.0) -> str:
        """The next message that is no heart-beat; always text.  Raises `TimeoutError`, `ConnectionClosed`."""
        end = time.monotonic() + timeout
        while True:
            got = self.socket.recv(timeout=max(0.0, end - time.monotonic()))
            assert isinstance(got, str), "the server sends text only"
            if got != "\n":
                return got

    def frame(self, timeout: float = 10.0) -> tuple[str, dict[str, str], str]:
        """The next frame."""
        return parse(self.receive(timeout))

    def nothing(self, seconds: float) -> None:
        """Fail if anything but heart-beats comes within `seconds`."""
        try:
            got = self.receive(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"unexpected: {got!r}")

    def closed(self, timeout: float = 10.0) -> int | None:
        """Wait for the server's close; its code.  Frames that come before it are dropped."""
        end = time.monotonic() + timeout
        while True:
            try:
                self.socket.recv(timeout=max(0.0, end - time.monotonic()))
            except ConnectionClosed as over:
                return over.rcvd.code if over.rcvd is not None else None

    def connect(self, token: str | None, *, version: str = "1.2,1.1,1.0") -> tuple[str, dict[str, str], str]:
        """Send CONNECT as the stock client does; the answer."""
        authorization = "" if token is None else f"Authorization:Bearer {token}\n"
        self.send(f"CONNECT\n{authorization}accept-version:{version}\nheart-beat:0,0\n\n\0")
        return self.frame()

    def subscribe(self, destination: str, identity: str = "sub-0", *, receipt: str = "") -> None:
        """Send SUBSCRIBE."""
        wanted = f"receipt:{receipt}\n" if receipt else ""
        self.send(f"SUBSCRIBE\nid:{identity}\ndestination:{destination}\n{wanted}\n\0")

    def subscribed(self, destination: str, identity: str = "sub-0") -> None:
        """Send SUBSCRIBE and wait until it is durable."""
        self.subscribe(destination, identity, receipt="subscribed")
        command, headers, _ = self.frame()
        assert (command, headers.get("receipt-id")) == ("RECEIPT", "subscribed")


def visitor(base: str, token: str | None, room: str = ROOM, **options: Any) -> StompClient:
    """A visitor who waits."""
    client = StompClient(base, **options)
    assert client.connect(token)[0] == "CONNECTED"
    client.subscribed(VISITOR + room)
    return client


def http_call(
    base: str,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """One HTTP request on a connection of its own: status, headers by lower-case name, body."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPConnection(host, parts.port, timeout=20)
        if tls is None
        else http.client.HTTPSConnection(host, parts.port, timeout=20, context=tls)
    )
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def golive(
    base: str,
    token: str | None,
    conference: object = ROOM,
    *,
    method: str = "POST",
    tls: ssl.SSLContext | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """`golive` with the headers that Prosody sends."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "Prosody (0.12; Linux)",
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"conference": conference}, separators=(",", ":"))
    return http_call(base, method, "/waiting-queue/golive", body, headers, tls)
