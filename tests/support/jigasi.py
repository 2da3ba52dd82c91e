"""jigasi's side of the queue, byte for byte: text frames, binary heart-beats, a parser that splits lines."""

import json
import time
from typing import Any

from websockets.sync.client import connect

LONGEST = 2**63 - 1


class Jigasi:
    """The SIP gateway's hand-written STOMP over one WebSocket, without a sub-protocol."""

    def __init__(self, url: str, token: str) -> None:
        self.socket = connect(
            url, subprotocols=None, compression=None, legacy=True, open_timeout=20, close_timeout=2
        )
        self.token = token

    def close(self) -> None:
        """Close the socket; jigasi sends no DISCONNECT."""
        self.socket.close()

    def connect(self) -> None:
        """CONNECT with jigasi's headers in its order; the answer has to be CONNECTED."""
        self.socket.send(
            "CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:15000,15000\n"
            f"Authorization:Bearer {self.token}\n\n\0"
        )
        command, headers, _ = self.read()
        assert command == "CONNECTED"
        assert headers["version"] == "1.2"
        assert headers["heart-beat"].count(",") == 1

    def subscribe(self, conference: str) -> None:
        """SUBSCRIBE with `destination` before `id:1`."""
        self.socket.send(f"SUBSCRIBE\ndestination:/secured/conference/visitor/topic.{conference}\nid:1\n\n\0")

    def beat(self) -> None:
        """A heart-beat, as a binary message."""
        self.socket.send(b"\n")

    def read(self, timeout: float = 20.0) -> tuple[str, dict[str, str], str]:
        """The next frame: the first line is the command, the first empty line ends the headers, and all lines
        behind it are the body.  Binary messages are dropped; a lone line end is a heart-beat."""
        end = time.monotonic() + timeout
        while True:
            got = self.socket.recv(timeout=max(0.0, end - time.monotonic()))
            if isinstance(got, bytes) or got == "\n":
                continue
            lines = got.split("\n")
            headers = {}
            at = 1
            while lines[at]:
                name, _, value = lines[at].partition(":")
                headers[name] = value
                at += 1
            return lines[0], headers, "".join(lines[at + 1 :]).rstrip("\0")

    def live(self) -> dict[str, Any]:
        """Wait for the live message; both fields are read without asking whether they are there."""
        command, headers, body = self.read()
        assert command == "MESSAGE"
        assert headers["subscription"] == "1"
        message: dict[str, Any] = json.loads(body)
        delay = message["randomDelayMs"]
        assert message["status"] == "live"
        assert type(delay) is int
        assert 0 <= delay <= LONGEST
        return message
