"""The WebSocket edge of the queue: handshake, frames, the end of a socket."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from chalicelib import journal, metrics, tally
from chalicelib.errors import AppError, Forbidden, Throttled, Unauthenticated, Unavailable, ValidationError
from chalicelib.jitsi import actions, auth, messages, settings
from chalicelib.jitsi.actions import Subscribe
from chalicelib.jitsi.errors import NotConnected
from chalicelib.realtime import fanout, fronts, ports, sessions
from chalicelib.realtime.ports import CLOSED, Post, Session
from chalicelib.realtime.protocols import Socket, Spoken, is_braced, socket_in
from chalicelib.store import table
from chalicelib.wire import stomp, stomp_session
from chalicelib.wire.bearer import InvalidToken
from chalicelib.wire.stomp import Frame, ProtocolFault, Version
from chalicelib.wire.stomp_session import Phase

log = logging.getLogger(__name__)

PATHS: Final = ("/visitor", "/state", "/visitors", "/moderator")
LIST_PATH: Final = "/visitors-list"
SUFFIX: Final = "/websocket"

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
POLICY: Final = 1008
INTERNAL: Final = 1011

DEFAULT_HEARTBEAT: Final = "0,480000"


def endpoints() -> list[str]:
    """Every path below the base that takes a WebSocket."""
    return [path + suffix for path in (*PATHS, LIST_PATH) for suffix in ("", SUFFIX)]


def connect(event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a handshake: select a sub-protocol that was offered, or none if none was (contract 2.1)."""
    endpoint = (event.get("queryStringParameters") or {}).get("endpoint")
    if endpoint is not None and endpoint not in endpoints():
        return {"statusCode": 404}
    offered = _offered(event)
    chosen = next((known for known in stomp.SUBPROTOCOLS if known in offered), None)
    if offered and chosen is None:
        return {"statusCode": 400}
    if endpoint is not None and endpoint.removesuffix(SUFFIX) == LIST_PATH:
        try:
            with table.budget():
                actions.refuse_all(socket_in(event))
        except Unavailable:
            return {"statusCode": 503}
    if chosen is None:
        return {"statusCode": 200}
    return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": chosen}}


def _offered(event: Mapping[str, Any]) -> list[str]:
    values: list[str] = []
    for name, given in (event.get("multiValueHeaders") or {}).items():
        if name.lower() == "sec-websocket-protocol":
            values += given
    if not values:
        values = [
            value
            for name, value in (event.get("headers") or {}).items()
            if name.lower() == "sec-websocket-protocol"
        ]
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


def message(event: Mapping[str, Any]) -> dict[str, Any]:
    """Serve the frames of one WebSocket message."""
    with table.budget():
        _Conversation(socket_in(event), event["requestContext"].get("requestId") or "").serve(
            event.get("body") or ""
        )
    return {"statusCode": 200}


class _Conversation:
    """The frames of one message, in order; the first fault ends it and the socket."""

    def __init__(self, socket: Socket, request_id: str) -> None:
        self.socket = socket
        self.request_id = request_id
        self.session: Session | None = None
        self.asked = False
        self.version = stomp.BEFORE_CONNECT

    def serve(self, text: str) -> None:
        """Read frame after frame until the text ends or a frame is refused."""
        offset = 0
        while True:
            frame: Frame | None = None
            began = time.perf_counter()
            try:
                frame, offset = self._next(text, offset)
                if frame is None:
                    return
                self._serve(frame)
            except Exception as error:
                self._refuse(frame, error, began)
                return
            self._note(frame.command, "ok", began)

    def _next(self, text: str, offset: int) -> tuple[Frame | None, int]:
        """Decode one frame by the session's version.

        In the gateway's memory that is at hand.  Where sessions are rows it is looked up only for
        the few texts in which versions differ: with a backslash, or blanks around a colon.
        """
        if not self.asked and (not sessions.in_rows() or _depends_on_version(text)):
            self._look_up()
        if self.session is None and sessions.in_rows() and not self.asked:
            return stomp.decode_one(text, offset, Version.V1_2 if "\\" not in text else self.version)
        return stomp.decode_one(text, offset, self.version)

    def _look_up(self) -> None:
        self.asked = True
        self.session = sessions.here().read(self.socket.id)
        if self.session is not None and self.session.version in set(Version):
            self.version = Version(self.session.version)

    def _version_for(self, frame: Frame, *names: str) -> Version:
        """The version by which these headers are read and spelled.

        Where sessions are rows it is looked up only if one has a colon, or is not there.
        """
        if not self.asked and any(":" in (frame.get(name) or ":") for name in names):
            self._look_up()
        return self.version if self.asked else Version.V1_2

    def _phase(self) -> Phase:
        if self.session is None or self.session.version == actions.NO_ENTRY:
            return Phase.OPENED
        return Phase.CLOSED if self.session.version == CLOSED else Phase.CONNECTED

    def _serve(self, frame: Frame) -> None:
        if not sessions.in_rows() or frame.command not in FRAMES:
            stomp_session.advance(self._phase() if not sessions.in_rows() else Phase.CONNECTED, frame.command)
        FRAMES[frame.command](self, frame)

    def connect(self, frame: Frame) -> None:
        """CONNECT or STOMP: who is it, and may it be here."""
        version = stomp.negotiate(frame.get("accept-version"))
        stomp.parse_heart_beat(frame.get("heart-beat"))
        who = auth.authenticate(frame.authorization)
        actions.connect(self.socket, who, version)
        self.version = version
        self._look_up_again()
        self._send(messages.connected(version, heartbeat(self.socket.front)))

    def _look_up_again(self) -> None:
        if not sessions.in_rows():
            self._look_up()

    def subscribe(self, frame: Frame) -> None:
        """SUBSCRIBE."""
        version = self._version_for(frame, "id", "destination")
        identity, to, ack = messages.read_subscribe(frame, version)
        override = None
        if frame.authorization is not None:
            override = auth.authenticate(frame.authorization)
        asked = Subscribe(identity, to, stomp.escape(identity, version), stomp.escape(to, version), ack)
        actions.subscribe(self.socket, asked, override)
        self._receipt(frame)

    def unsubscribe(self, frame: Frame) -> None:
        """UNSUBSCRIBE."""
        version = self._version_for(frame, "id")
        actions.unsubscribe(self.socket, messages.read_unsubscribe(frame, version))
        self._receipt(frame)

    def ignore(self, frame: Frame) -> None:
        """ACK and NACK: nothing waits for them."""
        self._receipt(frame)

    def disconnect(self, frame: Frame) -> None:
        """DISCONNECT: its RECEIPT is owed whatever else is the case (contract 3.5)."""
        receipt = frame.get("receipt")
        version = self._version_for_receipt(receipt)
        connected = True
        try:
            connected = actions.disconnect(self.socket)
        except Unavailable as error:
            log.warning("a session was not removed: %s", error)
        if receipt is not None:
            self._send(messages.receipt(receipt, version), settings.get().close_after_release_s)
        if receipt is None or not connected:
            fanout.close(self.socket.front, self.socket.id, NORMAL)

    def _receipt(self, frame: Frame) -> None:
        receipt = frame.get("receipt")
        if receipt is not None:
            self._send(messages.receipt(receipt, self._version_for_receipt(receipt)))

    def _version_for_receipt(self, receipt: str | None) -> Version:
        """The version by which a receipt is spelled (contract 15.3); without a session nothing is escaped.

        Nor where the session cannot be read: a receipt is owed all the same, and its first colon ends
        the header's name for every client.
        """
        if not self.asked and receipt is not None and ":" in receipt:
            try:
                self._look_up()
            except Unavailable as error:
                log.warning("a session was not read: %s", error)
        return self.version

    def _send(self, text: str, close_after: float = 0.0) -> None:
        fanout.send(self.socket.front, [Post(self.socket.id, text, close_after=close_after)])

    def _refuse(self, frame: Frame | None, error: Exception, began: float) -> None:
        """Tell the client why in one sentence, and close (contract 3.7)."""
        summary, sentence, code = _spell(error)
        receipt = frame.get("receipt") if frame is not None else None
        versions = stomp.SUPPORTED if isinstance(error, stomp.NoCommonVersion) else None
        text = messages.error(summary, sentence, self.version, receipt, versions)
        try:
            self._send(text)
            fanout.close(self.socket.front, self.socket.id, code)
        except Unavailable as outage:
            log.error("a socket could not be told: %s", outage)
        if not isinstance(error, AppError):
            log.error("a frame failed", exc_info=error)
        status = 400
        if summary == messages.UNAVAILABLE:
            metrics.FRAME_FAILURES.add(1, "stomp")
            status = 503
        reason = error.reason if isinstance(error, InvalidToken) else sentence
        self._note(frame.command if frame is not None else "-", type(error).__name__, began, reason, status)

    def _note(self, command: str, outcome: str, began: float, reason: str = "", status: int = 200) -> None:
        seconds = time.perf_counter() - began
        known = command if command in FRAMES else "-"
        metrics.frame(known, outcome, seconds)
        tally.frame(tally.JITSI, known, "stomp", status, self.request_id, seconds)
        journal.frame(
            socket=self.socket.id,
            request_id=self.request_id,
            command=command,
            outcome=outcome,
            reason=reason,
            ms=seconds * 1000,
        )


def _depends_on_version(text: str) -> bool:
    return "\\" in text or " :" in text or ": " in text or "\t" in text


FRAMES: Final[Mapping[str, Callable[[_Conversation, Frame], None]]] = {
    "CONNECT": _Conversation.connect,
    "STOMP": _Conversation.connect,
    "SUBSCRIBE": _Conversation.subscribe,
    "UNSUBSCRIBE": _Conversation.unsubscribe,
    "ACK": _Conversation.ignore,
    "NACK": _Conversation.ignore,
    "DISCONNECT": _Conversation.disconnect,
}


SPOKEN: Final = Spoken(
    frozenset(endpoints()), frozenset(actions.STOMP), lambda text: not is_braced(text), connect, message
)


def heartbeat(front_id: str) -> str:
    """The pair that the sockets of a front are told (contract 3.3, 15.11)."""
    here = ports.current()
    if here.heartbeat and front_id == here.front_id:
        return here.heartbeat
    if front_id != fronts.API_GATEWAY:
        front = fanout.known(front_id)
        if front is not None:
            return front.heartbeat
    return settings.get().heartbeat or DEFAULT_HEARTBEAT


def _spell(error: Exception) -> tuple[str, str, int]:
    """An error as the `message` header, the sentence in the body, and the close code."""
    match error:
        case ProtocolFault():
            return messages.MALFORMED, error.reason, PROTOCOL_ERROR
        case NotConnected() | ValidationError():
            return messages.MALFORMED, str(error), PROTOCOL_ERROR
        case Unauthenticated():
            return messages.DENIED, str(error), POLICY
        case Forbidden() | Throttled():
            return messages.DENIED, str(error), POLICY
        case _:
            return messages.UNAVAILABLE, "Try again later", INTERNAL
