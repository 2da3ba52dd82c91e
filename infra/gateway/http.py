"""uvicorn's HTTP protocol with the deadlines and limits it lacks, and the way over to WebSockets."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Literal

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from infra.gateway import log, peers
from infra.gateway.settings import Settings

RAW_HEADERS: Final = "foyer.raw_headers"

Phase = Literal["idle", "head", "body", "answer"]
Upgrade = Callable[["GatewayHttp", str, str, bytes], None]
"""Takes a connection over: its path, its query, and what the client has sent already."""


def problem(status: int) -> bytes:
    """The body of an answer that the gateway gives by itself."""
    return msgspec.json.encode({"message": HTTPStatus(status).phrase})


class GatewayHttp(HttpToolsProtocol):
    """One HTTP connection; somebody who sends slowly, or without end, is answered and dropped.

    The deadlines are looked at by one sweep over all connections (`overdue`), not by a timer each.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        upgrade: Upgrade | None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._settings = settings
        self._upgrade = upgrade
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._phase: Phase = "head"
        self._deadline = loop.time() + settings.header_deadline_s
        self._head_bytes = 0
        self._behind = 0
        self._dropped = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection on while there is room."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            self._refuse(503)

    def overdue(self, now: float) -> None:
        """Drop the connection if what it is doing has taken too long."""
        if self._deadline and now >= self._deadline and not self._dropped:
            self._deadline = 0.0
            if self._phase == "head" and not self._head_bytes:
                self.transport.close()
            elif self._phase == "answer":
                self.transport.abort()
            else:
                self._refuse(408)

    def data_received(self, data: bytes) -> None:
        """Count and time what belongs to a request's head; the rest is uvicorn's."""
        if self._dropped:
            return
        if self._phase == "idle":
            self._begin_head()
        if self._phase == "head":
            self._head_bytes += len(data)
        elif self._phase == "answer":  # the next request, while this one is being answered
            self._behind += len(data)
            if self._behind > self._settings.max_header_bytes:
                self.flow.pause_reading()
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgraded:
            if not self._dropped and self._upgrade is not None and self._should_upgrade():
                self._leave_http(data[upgraded.args[0] :])
            return
        except httptools.HttpParserError:
            if not self._dropped:
                self._refuse(400)
            return
        if self._phase == "head" and self._head_bytes > self._settings.max_header_bytes:
            self._refuse(431)

    def _begin_head(self) -> None:
        self._phase = "head"
        self._head_bytes, self._behind = self._behind, 0
        self._deadline = self.loop.time() + self._settings.header_deadline_s

    def on_message_begin(self) -> None:
        """A request begins, perhaps behind another on the same connection."""
        super().on_message_begin()
        self.raw_headers = []
        self.scope["extensions"] = {RAW_HEADERS: self.raw_headers}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the header's name as it was sent, too."""
        self.raw_headers.append((name, value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: from now on the body's deadline runs."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.raw_headers)
        if size > self._settings.max_header_bytes:
            self._refuse(431)
            return
        self._phase = "body"
        self._behind = 0
        self._deadline = self.loop.time() + self._settings.body_deadline_s
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        if not self._dropped:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: what follows takes the time that the handler takes."""
        if self._dropped:
            return
        self._phase = "answer"
        self._deadline = 0.0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written; the connection waits for the next request, which may have come already."""
        if self._phase == "answer" and not self.pipeline:
            self._phase = "idle"
            self._deadline = 0.0
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The peer does not read its answer."""
        super().pause_writing()
        self._phase = "answer"
        self._deadline = self.loop.time() + self._settings.body_deadline_s

    def resume_writing(self) -> None:
        """The peer has read on."""
        super().resume_writing()
        self._deadline = 0.0

    def _leave_http(self, early: bytes) -> None:
        try:
            url = httptools.parse_url(self.url)
            path, query = url.path.decode("latin-1"), (url.query or b"").decode("latin-1")
        except (httptools.HttpParserError, AttributeError):
            self._refuse(400)
            return
        self.connections.discard(self)
        self._deadline = 0.0
        assert self._upgrade is not None
        self._upgrade(self, path, query, early)
        # It refers back to this object: thousands of such circles would wait for the collector.
        self.parser = None  # type: ignore[assignment]

    def _refuse(self, status: int) -> None:
        """Answer without asking the application, and close."""
        self._dropped = True
        self._deadline = 0.0
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = problem(status)
            identity = peers.request_id(self.raw_headers).encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"x-request-id: %s\r\nconnection: close\r\n\r\n%s"
                % (
                    status,
                    HTTPStatus(status).phrase.encode(),
                    len(body),
                    identity,
                    body,
                )
            )
            if self._settings.access_log and self._phase == "head":
                log.access("-", "-", status, 0.0, identity.decode())
        self.transport.close()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
