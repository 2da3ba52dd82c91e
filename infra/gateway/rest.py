"""The public ASGI application: REST requests as API Gateway's events, their answers as HTTP."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from chalicelib import metrics
from infra.gateway import events, log, peers
from infra.gateway.handlers import Pool
from infra.gateway.http import RAW_HEADERS, problem
from infra.gateway.metrics import PATH, TEXT, Scrape
from infra.gateway.pages import Pages
from infra.gateway.router import NOT_FOUND, Router
from infra.gateway.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

JSON: Final = (b"content-type", b"application/json")
# The connection is ours, and so is the request's id.
OURS: Final = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "x-request-id"})


class BodyTooLarge(Exception):
    """The body is longer than its limit."""


class ClientGone(Exception):
    """The client did not wait for an answer."""


async def body_of(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read a whole body.  Raises `BodyTooLarge`, `ClientGone`."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise BodyTooLarge
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"]:
        whole: bytes = message["body"]
        if len(whole) > limit:
            raise BodyTooLarge
        return whole
    parts = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        parts += message["body"]
        if len(parts) > limit:
            raise BodyTooLarge
        if not message["more_body"]:
            return bytes(parts)
        message = await receive()


async def send_answer(send: Send, answer: Answer, request_id: str, *, close: bool = False) -> None:
    """Write an answer with its length and its request's id."""
    status, headers, body = answer
    headers = [*headers, (b"x-request-id", request_id.encode())]
    if status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    else:
        body = b""
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def spelled(result: Any) -> Answer:
    """A Lambda proxy answer as HTTP; a malformed one is the 502 that API Gateway makes of it."""
    try:
        status = int(result["statusCode"])
        body = result.get("body")
        if body is None:
            payload = b""
        elif result.get("isBase64Encoded"):
            payload = base64.b64decode(body, validate=True)
        else:
            payload = body.encode() if isinstance(body, str) else bytes(body)
        headers: list[tuple[bytes, bytes]] = []
        many = result.get("multiValueHeaders") or {}
        replaced = {name.lower() for name in many}
        for name, value in (result.get("headers") or {}).items():
            if name.lower() not in replaced and name.lower() not in OURS:
                headers.append((name.encode("ascii"), str(value).encode("latin-1")))
        for name, values in many.items():
            if name.lower() not in OURS:
                headers += ((name.encode("ascii"), str(value).encode("latin-1")) for value in values)
        if any(b"\n" in value or b"\r" in value or b"\0" in value for _, value in headers):
            raise ValueError
        if not 200 <= status <= 599:
            raise ValueError
    except (TypeError, KeyError, ValueError, AttributeError):
        return 502, [JSON], problem(502)
    if payload and not any(name.lower() == b"content-type" for name, _ in headers):
        headers.append(JSON)
    return status, headers, payload


class PublicApp:
    """Everything that is not a WebSocket on the public port."""

    def __init__(self, settings: Settings, pool: Pool, router: Router, binary_types: list[str]) -> None:
        self._settings = settings
        self._pool = pool
        self._router = router
        self._binary = frozenset(kind.lower() for kind in binary_types)
        self._running = 0
        self.api_id = "gateway"
        self.scrape: Scrape | None = None
        """What answers `GET /metrics` here, where that is allowed."""
        self.pages: Pages | None = None
        """What people open in a browser, on the local stage."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        began = time.monotonic()
        settings = self._settings
        server, client = scope["server"], scope["client"]
        origin = peers.read(
            settings,
            client[0] if client else "",
            scope["scheme"],
            server[1] if server and server[1] else 0,
            scope["extensions"][RAW_HEADERS],
        )
        status = 499
        try:
            answer, close = await self._answer(scope, receive, origin)
            status = answer[0]
            await send_answer(send, answer, origin.request_id, close=close)
        except ClientGone:
            pass
        finally:
            metrics.GATEWAY_REQUESTS.add(1, scope["method"], str(status))
            if settings.access_log:
                log.access(
                    scope["method"], scope["path"], status, time.monotonic() - began, origin.request_id
                )

    async def _answer(self, scope: Scope, receive: Receive, origin: peers.Origin) -> tuple[Answer, bool]:
        try:
            body = await body_of(scope, receive, self._settings.max_body_bytes)
        except BodyTooLarge:
            return (413, [JSON], problem(413)), True
        raw_path = scope["raw_path"].decode("latin-1")
        if self.scrape is not None and raw_path == PATH and scope["method"] == "GET":
            return (200, [TEXT], await self.scrape.text()), False
        if self.pages is not None:
            page = self.pages.answer(
                scope["method"], raw_path, scope["query_string"].decode("latin-1"), scope["headers"]
            )
            if page is not None:
                return page, False
        match = self._router.match(raw_path)
        if match is None:
            return (404, [JSON], NOT_FOUND), False
        if self._running >= self._settings.max_requests:
            return (503, [JSON, (b"retry-after", b"1")], problem(503)), False
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        event = events.rest(
            method=scope["method"],
            path=raw_path,
            query_string=scope["query_string"].decode("latin-1"),
            headers=origin.headers,
            body=body,
            binary=content_type.decode("latin-1").partition(";")[0].strip().lower() in self._binary,
            resource=match.resource,
            parameters=match.parameters,
            peer=origin.peer,
            identity=origin.request_id,
            stage=self._settings.stage,
            api_id=self.api_id,
        )
        result, error = await self._call(event, origin.request_id)
        if error is not None:
            return (502, [JSON], problem(502)), False
        return spelled(result), False

    async def _call(self, event: events.Event, request_id: str) -> tuple[Any, BaseException | None]:
        future: asyncio.Future[tuple[Any, BaseException | None]] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_result((result, error))

        self._running += 1
        try:
            self._pool.submit("app", event, request_id, done)
            return await future
        finally:
            self._running -= 1
