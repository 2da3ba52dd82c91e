"""The WebSocket edge of who only listens: the first message, signs of life, the last one (contract 6.2)."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from chalicelib import journal, metrics, tally
from chalicelib.errors import AppError, Unauthenticated, ValidationError
from chalicelib.realtime import fanout, protocols
from chalicelib.realtime.ports import Post
from chalicelib.realtime.protocols import Socket, Spoken, Taken, socket_in
from chalicelib.sora import auth, listeners, notices
from chalicelib.store import table

log = logging.getLogger(__name__)

PATH: Final = "/signaling"

NORMAL: Final = 1000
POLICY: Final = 1008
INTERNAL: Final = 1011
KNOWN: Final = frozenset({"connect", "pong", "disconnect"})


def handshake(event: Mapping[str, Any]) -> dict[str, Any]:
    """Let everybody in: the first message says who it is."""
    return {"statusCode": 200}


def message(event: Mapping[str, Any]) -> dict[str, Any]:
    """Serve one message; what nobody documented is ignored.  Raises `Taken`."""
    text, socket = event.get("body") or "", socket_in(event)
    kind = (protocols.typed(text) or {}).get("type")
    if kind == "pong":
        return {"statusCode": 200}
    began, outcome, status = time.perf_counter(), "ok", 200
    try:
        with table.budget():
            if kind == "connect":
                _connect(socket, text)
            elif kind == "disconnect":
                _disconnect(socket)
            else:
                outcome = "ignored"
    except Taken:
        raise
    except Exception as error:
        outcome = type(error).__name__
        status = 503 if _refuse(socket, error) == INTERNAL else 400
    command, seconds = kind if kind in KNOWN else "-", time.perf_counter() - began
    request_id = event["requestContext"].get("requestId") or ""
    metrics.frame(command, outcome, seconds)
    tally.frame(tally.SORA, command, "sora", status, request_id, seconds)
    journal.frame(
        socket=socket.id,
        request_id=request_id,
        command=command,
        outcome=outcome,
        reason="",
        ms=seconds * 1000,
    )
    return {"statusCode": 200}


def _connect(socket: Socket, text: str) -> None:
    asked = notices.read_connect(text)
    auth.authenticate_socket(asked.access_token)
    listeners.enter(socket, asked)


def _disconnect(socket: Socket) -> None:
    try:
        protocols.end(socket, gone=False)
    finally:
        fanout.close(socket.front, socket.id, NORMAL)


def _refuse(socket: Socket, error: Exception) -> int:
    """Say why, and close; the code of that."""
    reason, code = _spell(error)
    if not isinstance(error, AppError):
        log.error("a message failed", exc_info=error)
    if code == INTERNAL:
        metrics.FRAME_FAILURES.add(1, "sora")
    try:
        fanout.send(socket.front, [Post(socket.id, notices.refusal(reason))])
        fanout.close(socket.front, socket.id, code)
    except AppError as outage:
        log.error("a socket could not be told: %s", outage)
    return code


def _spell(error: Exception) -> tuple[str, int]:
    """An error as the reason that the client is told, and the close code."""
    match error:
        case ValidationError():
            return str(error), POLICY
        case Unauthenticated():
            return "metadata.access_token: no key that is accepted", POLICY
        case _:
            return "Try again later", INTERNAL


def opens(text: str) -> bool:
    """Whether a text is a message of this protocol: a JSON object with a string `type`."""
    return protocols.typed(text) is not None


SPOKEN: Final = Spoken(frozenset({PATH}), frozenset({listeners.VERSION}), opens, handshake, message)
