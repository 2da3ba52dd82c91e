"""One visitor on the terminal: waits for a conference of `make run` and ends when it is live."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from chalicelib.wire import stomp
from chalicelib.wire.stomp import Frame, Version
from infra import endpoints
from infra.credentials import HOME, CannotSign, Credentials

TOPIC = "/secured/conference/visitor/topic."


def frames(socket: ClientConnection) -> Iterator[Frame]:
    """What the service says, without heart-beats."""
    for message in socket:
        yield from stomp.frames(str(message), Version.V1_2)


def wait(socket: ClientConnection, token: str, conference: str) -> str:
    """Wait until `conference` is live; why it ended otherwise, or ""."""
    connect_frame = (("Authorization", f"Bearer {token}"), ("accept-version", "1.2"), ("heart-beat", "0,0"))
    subscribe = (("id", "sub-0"), ("destination", TOPIC + conference), ("receipt", "subscribed"))
    socket.send(stomp.encode(Frame("CONNECT", connect_frame), Version.V1_2))
    for said in frames(socket):
        match said.command:
            case "CONNECTED":
                socket.send(stomp.encode(Frame("SUBSCRIBE", subscribe), Version.V1_2))
            case "RECEIPT":
                print(f"waiting for {conference}", flush=True)
            case "MESSAGE":
                print(json.dumps(json.loads(said.body), indent=1), flush=True)
                return ""
            case "ERROR":
                return f"the service refuses: {said.get('message')}"
    return "the service closed the connection"


def main() -> int:
    """Wait; 0 when the conference is live, 1 when the service refuses or goes away."""
    arguments = argparse.ArgumentParser(prog="python -m infra.visitor", description=__doc__)
    arguments.add_argument("room", nargs="?", default=endpoints.ROOM)
    arguments.add_argument("--folder", type=Path, default=HOME, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    found = endpoints.read(given.folder)
    if not found:
        print("foyer: nothing runs here; `make run` does", file=sys.stderr)
        return 1
    jitsi = found["jitsi"]
    conference = f"{given.room}@{jitsi['muc_prefix']}.{jitsi['muc_domain']}"
    address = f"{found['ws']}{jitsi['base_path']}/visitor/websocket"
    try:
        token = Credentials(given.folder, os.environ).visitor_token(given.room)
        with connect(address, subprotocols=[Subprotocol("v12.stomp")], proxy=None) as socket:
            why = wait(socket, token, conference)
    except (CannotSign, OSError, WebSocketException) as error:
        why = str(error)
    if why:
        print(f"foyer: {why}", file=sys.stderr)
    return bool(why)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
