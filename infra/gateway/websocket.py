"""A WebSocket on asyncio's callbacks: `websockets` checks the handshake and parses, no task is kept."""

import asyncio
import http
import logging
from collections.abc import Mapping
from typing import Any, Final

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN as CORE_OPEN
from websockets.protocol import SERVER, Protocol
from websockets.server import ServerProtocol

from infra.gateway import events
from infra.gateway.peers import Origin
from infra.gateway.router import NOT_FOUND
from infra.gateway.sockets import CLOSED, CLOSING, CONNECTING, OPEN, Socket, Sockets, interned

UNSUPPORTED_DATA: Final = 1003
NO_STATUS: Final = 1005
INVALID_DATA: Final = 1007

HANDSHAKE: Final = frozenset(
    {
        "connection",
        "upgrade",
        "origin",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
    }
)

FORBIDDEN: Final = (403, b'{"message":"Forbidden"}')

_quiet = logging.getLogger("infra.gateway.websocket")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
_quiet.setLevel(logging.CRITICAL)

_plain = ServerProtocol(logger=_quiet)
_deflating = ServerProtocol(
    extensions=[
        ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
    ],
    logger=_quiet,
)


class WebSocketProtocol(Socket, asyncio.Protocol):
    """The bytes of one socket; takes the transport over from the HTTP protocol that read the request."""

    __slots__ = ("answer", "core", "early", "parts", "request_id")

    def __init__(
        self,
        table: Sockets,
        transport: asyncio.Transport,
        origin: Origin,
        early: bytes,
        answer: "Answer",
    ) -> None:
        peer = origin.peer
        super().__init__(
            table, transport, peer._replace(agent=interned(peer.agent), host=interned(peer.host))
        )
        self.core: Protocol | None = None
        self.early: bytearray | None = bytearray(early) if early else None
        self.parts: list[bytes] | None = None
        self.answer: Answer | None = answer
        self.request_id = origin.request_id
        table.held += 1

    def start(self, method: str, path: str, query: str, origin: Origin) -> None:
        """Check the handshake and ask `ws_connect`; the socket is not open before that has said yes."""
        table = self.table
        settings = table.settings
        if table.draining or table.held > settings.max_connections:
            return self.refuse(503, b'{"message":"Service Unavailable"}', {"Retry-After": "5"})
        endpoint = settings.rewrites.get(path)
        if not settings.edge:
            if path not in ("/", f"/{settings.stage}"):
                return self.refuse(*FORBIDDEN)
            endpoint = None
        elif endpoint is None and path != "/":
            return self.refuse(404, NOT_FOUND)
        self.beats = endpoint not in events.WITHOUT_BEATS
        checker = _deflating if settings.compression else _plain
        response = checker.accept(
            Request(path, Headers(pair for pair in origin.headers if pair[0].lower() in HANDSHAKE), method)
        )
        if response.status_code != 101:
            extra = {
                name: response.headers[name] for name in ("Allow", "Upgrade") if name in response.headers
            }
            return self.refuse(response.status_code, bytes(response.body), extra, "text/plain; charset=utf-8")
        assert self.answer is not None
        self.answer.response = response
        self.answer.extensions = checker.extensions
        event = events.connect(
            self.id,
            self.peer,
            self.connected_ms,
            settings.stage,
            self.api_id,
            origin.headers,
            query,
            endpoint,
        )
        self.answer_by(settings.handshake_deadline_s)
        table.calls += 1
        table.pool.submit("ws_connect", event, event["requestContext"]["requestId"], self._decided)
        return None

    def _decided(self, result: Any, error: BaseException | None) -> None:
        self.table.calls -= 1
        settings = self.table.settings
        status = 200
        if error is not None:
            status = 500 if settings.edge else 502
        elif isinstance(result, dict):
            status = int(result.get("statusCode", 200))
        accepted = 200 <= status < 300
        if self.state != CONNECTING or self.transport.is_closing():
            if accepted and self.state == CLOSED:  # the client did not wait, the handlers know it
                self.owe_disconnect()
            elif accepted:  # the end of the transport is on its way
                self.state = CLOSING
            return
        if not accepted:
            body = result.get("body") if isinstance(result, dict) and error is None else None
            text = (
                body
                if isinstance(body, str)
                else '{"message":"Internal server error"}'
                if status >= 500
                else ""
            )
            self.refuse(status, text.encode())
            return
        self._accept(_header(result, "sec-websocket-protocol") if isinstance(result, dict) else None)

    def _accept(self, subprotocol: str | None) -> None:
        answer = self.answer
        assert answer is not None
        assert answer.response is not None
        response = answer.response
        if subprotocol:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        response.headers["x-request-id"] = self.request_id
        settings = self.table.settings
        core = Protocol(
            SERVER, max_size=(settings.max_message_bytes, settings.max_frame_bytes), logger=_quiet
        )
        core.extensions = answer.extensions
        self.core = core
        self.transport.write(response.serialize())
        answer.log(101)
        self.answer = None
        self.stalled_at = 0.0
        early, self.early = self.early, None
        if self.reading_paused:
            self.reading_paused = False
            self.transport.resume_reading()
        self.opened()
        if early:
            self.data_received(bytes(early))

    def refuse(
        self,
        status: int,
        body: bytes = b"",
        extra: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        """Answer the handshake as plain HTTP, and close."""
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
        headers["x-request-id"] = self.request_id
        headers.update(extra or {})
        if not self.transport.is_closing():
            self.transport.write(Response(status, phrase, headers, body).serialize())
            self.transport.close()
        if self.answer is not None:
            self.answer.log(status)
            self.answer = None

    def expired(self) -> None:
        """A deadline passed: the handshake's is answered, all others drop the connection."""
        if self.state == CONNECTING and not self.transport.is_closing():
            self.refuse(504, b'{"message":"Endpoint request timed out"}')
        else:
            self.abort()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Parse, answer pings and closes, and hand on whole messages."""
        core = self.core
        if core is None:
            self._keep(data)
            return
        self.last_in = self.table.loop.time()
        self.pinged = False
        core.receive_data(data)
        for frame in core.events_received():
            if isinstance(frame, Frame):
                self._frame(frame, core)
        if core.parser_exc is not None and self.state == OPEN:
            self.leave(core.close_sent.code if core.close_sent else NO_STATUS)
        self._flush(core)

    def _keep(self, data: bytes) -> None:
        """Frames that came before the handshake's answer wait."""
        if self.early is None:
            self.early = bytearray()
        self.early += data
        if len(self.early) >= self.table.settings.queue_bytes and not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def _frame(self, frame: Frame, core: Protocol) -> None:
        opcode = frame.opcode
        if opcode is Opcode.CLOSE:
            self.leave(core.close_rcvd.code if core.close_rcvd else NO_STATUS)
        elif self.state != OPEN:
            return
        elif opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if opcode is Opcode.BINARY and not self.table.settings.edge:
                self._fail(UNSUPPORTED_DATA)
            elif frame.fin:
                self._message(frame.data)
            else:
                self.parts = [bytes(frame.data)]
        elif opcode is Opcode.CONT and self.parts is not None:
            self.parts.append(bytes(frame.data))
            if frame.fin:
                whole, self.parts = b"".join(self.parts), None
                self._message(whole)

    def _message(self, data: Any) -> None:
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._fail(INVALID_DATA)
            return
        if self.table.settings.edge and not text.strip("\r\n"):
            return  # a heart-beat: life, and nothing to tell the handlers
        self.receive(text)

    def _fail(self, code: int) -> None:
        if self.core is not None and self.state == OPEN:
            self.leave(code)
            self.core.fail(code)

    def _flush(self, core: Protocol) -> None:
        transport = self.transport
        for data in core.data_to_send():
            if data:
                transport.write(data)
            elif core.close_rcvd is not None:
                transport.close()
                self.answer_by(self.table.settings.close_deadline_s)
            else:
                # The peer may still be sending: a plain close would reset the connection under the frame.
                if transport.can_write_eof():
                    transport.write_eof()
                self.answer_by(self.table.settings.close_deadline_s)

    def eof_received(self) -> None:
        """The peer will send no more; the transport closes itself."""
        if self.core is not None:
            self.core.receive_eof()
            self.core.data_to_send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of the transport."""
        if self.answer is not None:
            self.answer.log(499)
            self.answer = None
        if self.core is not None:
            self.core.parser.close()  # the generator and the protocol refer to each other
            self.core = None
        self.early = None
        self.parts = None
        self.lost()

    def say_close(self, code: int) -> None:
        """Send a close frame and wait for the peer's."""
        core = self.core
        if core is not None and core.state is CORE_OPEN:
            if self.reading_paused:  # the peer's answer is to be seen
                self.reading_paused = False
                self.transport.resume_reading()
            core.send_close(code)
            self._flush(core)


class Answer:
    """What is needed until a handshake is answered, and then dropped."""

    __slots__ = ("extensions", "log", "response")

    def __init__(self, log: Any) -> None:
        self.log = log
        self.response: Response | None = None
        self.extensions: Any = []


def _header(result: Mapping[str, Any], name: str) -> str | None:
    for key, value in (result.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    for key, values in (result.get("multiValueHeaders") or {}).items():
        if key.lower() == name and values:
            return str(values[0])
    return None
