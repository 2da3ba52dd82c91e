"""`foyer golive` and `foyer waiting`: a conference goes live, and how many wait for it until then."""

import base64
import json
import os
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from chalicelib.wire import stomp
from chalicelib.wire.stomp import Frame, Version
from cli import given, http, output, tokens
from cli.errors import Failed
from cli.options import AsCurl, AsJson, SigningKey, Token
from cli.target import Target, members, of

STATE: Final = "/secured/conference/state/topic."
VISITOR: Final = "/secured/conference/visitor/topic."
SUBPROTOCOL: Final = "v12.stomp"
OPEN_S: Final = 20.0
ANSWER_S: Final = 20.0
BEAT_S: Final = 240.0
"""API Gateway closes what says nothing for ten minutes."""
BACK_AFTER_S: Final = 5.0

Conference = Annotated[str, typer.Argument(help="A whole name, or the room alone.")]


def golive_call(target: Target, conference: str, token: str, *, clear: bool = False) -> http.Call:
    """What Prosody sends.  Raises `Misused`."""
    headers = http.JSON | {"Authorization": f"Bearer {token}"}
    body = http.body({"conference": target.queue.conference(conference)})
    return http.Call("DELETE" if clear else "POST", target.golive, headers, body)


def golive(
    context: typer.Context,
    conference: Conference,
    clear: Annotated[
        bool, typer.Option("--clear", help="The conference ended: visitors wait again.")
    ] = False,
    token: Token = "",
    key: SigningKey = "",
    kid: Annotated[str, typer.Option("--kid", help="The id of the key.")] = "",
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Release everybody who waits for a conference, as Prosody does."""
    target = of(context)
    proof = given.secret(token).strip() if token else tokens.server_token(target, key=key, kid=kid)
    call = golive_call(target, conference, proof, clear=clear)
    if as_curl:
        output.verbatim(call.curl())
        return
    answer = members(http.send(call), "conference", "status")
    if as_json:
        output.document(answer)
    else:
        output.text(f"{answer['conference']} is {answer['status']}")


def handshake(address: str) -> http.Call:
    """The request that opens a socket of the queue."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": SUBPROTOCOL,
    }
    return http.Call("GET", http.url(address.replace("ws", "http", 1)), headers)


def handshake_curl(address: str) -> str:
    """A line for the shell that opens a socket, shows what comes for some seconds, and ends."""
    return handshake(address).curl("-N", "--http1.1", "--max-time", "2")


def waiting(
    context: typer.Context,
    conference: Conference,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, a line for each change.")] = False,
    token: Token = "",
    key: SigningKey = "",
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Say how many wait for a conference, as its moderators see it.

    A moderator's token is made where the key is known; --curl prints the handshake of the socket.
    """
    target = of(context)
    if as_curl:
        output.verbatim(handshake_curl(target.sockets))
        return
    name = target.queue.conference(conference)

    def proof() -> str:
        return given.secret(token).strip() if token else tokens.person(target, "*", key=key, moderator=True)

    first = proof()
    while True:
        try:
            for count in counts(target.sockets, first, name):
                _print(name, count, follow=follow, as_json=as_json)
                if not follow:
                    return
            if not follow:
                raise Failed("the service closed the socket before it said a number")
            output.note("the service closed the socket; back in a moment")
        except Failed as why:
            if not follow or isinstance(why, Refused):
                raise
            output.note(f"{why}; trying again")
        time.sleep(BACK_AFTER_S)
        first = first if token else proof()


def _print(name: str, count: int, *, follow: bool, as_json: bool) -> None:
    if as_json and follow:
        output.line({"conference": name, "waiting": count, "at": int(time.time() * 1000)})
    elif as_json:
        output.document({"conference": name, "waiting": count})
    elif follow:
        output.text(f"{time.strftime('%H:%M:%S')}  {count}")
    else:
        output.text(count)


class Refused(Failed):
    """The service does not let us; asking again will not help."""


def counts(address: str, token: str, conference: str) -> Iterator[int]:
    """The numbers as they come, until the service closes the socket.  Raises `Failed`."""
    from websockets.exceptions import ConnectionClosed, WebSocketException
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    login = (("Authorization", f"Bearer {token}"), ("accept-version", "1.2"), ("heart-beat", "0,0"))
    topic = (("id", "sub-0"), ("destination", STATE + conference))
    where = urlsplit(address).netloc
    try:
        with connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], open_timeout=OPEN_S) as socket:
            socket.send(stomp.encode(Frame("CONNECT", login), Version.V1_2))
            quiet = ANSWER_S
            while True:
                try:
                    said = socket.recv(timeout=quiet)
                except TimeoutError:
                    if quiet == ANSWER_S:
                        raise Failed(f"{where} does not answer") from None
                    socket.send("\n")
                    continue
                for frame in stomp.frames(str(said), Version.V1_2):
                    match frame.command:
                        case "CONNECTED":
                            socket.send(stomp.encode(Frame("SUBSCRIBE", topic), Version.V1_2))
                        case "MESSAGE":
                            quiet = BEAT_S
                            yield _count(frame)
                        case "ERROR":
                            raise Refused(f"the service refuses: {_said(frame)}")
    except ConnectionClosed:
        return
    except (OSError, WebSocketException, ValueError) as error:
        raise Failed(f"{where} lets no socket be opened: {http.reason(error)}") from None


def _count(frame: Frame) -> int:
    body: dict[str, Any] = json.loads(frame.body)
    return int(body["visitorsWaiting"])


def _said(frame: Frame) -> str:
    return f"{frame.get('message') or ''} {output.printable(frame.body)}".strip()
