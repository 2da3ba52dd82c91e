"""Sending to sockets: from handlers of this process, and through the signed management listener."""

import asyncio
import hashlib
import hmac
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from chalicelib.realtime.ports import Outcome, Post
from infra.gateway import log, peers
from infra.gateway.handlers import Mailbox
from infra.gateway.http import RAW_HEADERS, problem
from infra.gateway.metrics import PATH, TEXT, Scrape
from infra.gateway.rest import (
    JSON,
    Answer,
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    body_of,
    send_answer,
)
from infra.gateway.sockets import MAX_FRAME, NORMAL, OPEN, Socket, Sockets, text_frame

STEP: Final = 200
"""After so many writes the loop sees to other things."""
PATIENCE_S: Final = 10.0
SKEW_S: Final = 60
MAX_BULK: Final = 8 * 1024 * 1024

Write = tuple[int, Socket, bytes, str, float]


class LocalDelivery:
    """The `Delivery` port of a gateway's own handlers; safe to call from any thread."""

    def __init__(self, sockets: Sockets, mailbox: Mailbox) -> None:
        self._sockets = sockets
        self._mailbox = mailbox

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Send each text; the outcomes in the same order.

        The loop is woken once for all of them.  A lone post is not waited for: its order
        is kept, and whoever answers a frame need not know when the answer was written.
        """
        outcomes, writes = prepare(self._sockets, posts)
        if not writes:
            return outcomes
        if self._mailbox.inside:
            for write in writes:
                write_one(write, outcomes)
        elif len(writes) == 1:
            self._mailbox.put(write_one, writes[0], list(outcomes))
            outcomes[writes[0][0]] = Outcome.SENT
        else:
            written = threading.Event()
            self._mailbox.put(self._write, writes, 0, outcomes, written.set)
            written.wait(PATIENCE_S)  # what is not written by then is still RETRY
            return list(outcomes)
        return outcomes

    def _write(self, writes: list[Write], start: int, outcomes: list[Outcome], done: Any) -> None:
        for write in writes[start : start + STEP]:
            write_one(write, outcomes)
        if start + STEP < len(writes):
            self._mailbox.loop.call_soon(self._write, writes, start + STEP, outcomes, done)
        else:
            done()

    def close(self, socket_id: str, code: int) -> None:
        """Close a socket; nothing happens when it is gone."""
        if self._mailbox.inside:
            self._close(socket_id, code)
        else:
            self._mailbox.put(self._close, socket_id, code)

    def _close(self, socket_id: str, code: int) -> None:
        socket = self._sockets.live.get(socket_id)
        if socket is not None:
            socket.close(code)


def prepare(sockets: Sockets, posts: Sequence[Post]) -> tuple[list[Outcome], list[Write]]:
    """What is clear without writing, and what is to be written; equal texts are encoded once."""
    live = sockets.live
    frames: dict[str, bytes | None] = {}
    outcomes: list[Outcome] = []
    writes: list[Write] = []
    for index, post in enumerate(posts):
        socket = live.get(post.socket_id)
        if socket is None or socket.state != OPEN:
            outcomes.append(Outcome.GONE)
            continue
        if post.text in frames:
            frame = frames[post.text]
        else:
            frame = frames[post.text] = text_frame(post.text) if len(post.text) <= MAX_FRAME else None
            if frame is not None and len(frame) > MAX_FRAME + 10:
                frame = frames[post.text] = None
        if frame is None:
            log.warning("post too large", connection_id=post.socket_id)
            outcomes.append(Outcome.FAILED)
            continue
        outcomes.append(Outcome.RETRY)
        writes.append((index, socket, frame, post.dedup, post.close_after))
    return outcomes, writes


def write_one(write: Write, outcomes: list[Outcome]) -> None:
    """Write one prepared frame and note what became of it."""
    index, socket, frame, dedup, close_after = write
    outcomes[index] = socket.deliver(frame, dedup, close_after)


class Group(msgspec.Struct, forbid_unknown_fields=True):
    """One text for several sockets, each with its dedup key."""

    text: str
    to: list[tuple[str, str]]
    close_after: float = 0.0


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /@bulk`."""

    posts: list[Group]


_bulk = msgspec.json.Decoder(Bulk)


def signature(secret: str, date: str, method: str, target: str, body: bytes) -> str:
    """What a caller of the management listener proves its knowledge of the secret with."""
    text = "\n".join((date, method, target, hashlib.sha256(body).hexdigest()))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class ManagementApp:
    """`@connections` and its bulk extension, on a listener of its own; all is signed but `/metrics`."""

    def __init__(self, sockets: Sockets, mailbox: Mailbox, secrets: Sequence[str]) -> None:
        self._sockets = sockets
        self._mailbox = mailbox
        self._secrets = [secret for secret in secrets if secret]
        self.scrape: Scrape | None = None
        """What answers `GET /metrics`, which tells numbers only and asks for no signature."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        raw = scope["extensions"][RAW_HEADERS]
        headers = {name.lower(): value.decode("latin-1") for name, value in raw}
        close = False
        try:
            body = await body_of(scope, receive, MAX_BULK)
            answer = await self._answer(scope, headers, body)
        except BodyTooLarge:
            answer, close = (413, [JSON], problem(413)), True
        except ClientGone:
            return
        await send_answer(send, answer, peers.request_id(raw), close=close)

    async def _answer(self, scope: Scope, headers: dict[bytes, str], body: bytes) -> Answer:
        path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        method = scope["method"]
        target = f"{path}?{query}" if query else path
        if self.scrape is not None and (method, path) == ("GET", PATH):
            return 200, [TEXT], await self.scrape.text()
        if not self._signed(headers, method, target, body):
            return 403, [JSON], problem(403)
        _, marker, socket_id = path.rpartition("/@connections/")
        if marker and socket_id:
            return self._one(method, unquote(socket_id), query, body)
        if path == "/@bulk" and method == "POST" and self._sockets.settings.edge:
            return await self._many(body)
        return 404, [JSON], problem(404)

    def _signed(self, headers: dict[bytes, str], method: str, target: str, body: bytes) -> bool:
        date, given = headers.get(b"x-foyer-date", ""), headers.get(b"x-foyer-signature", "")
        if (
            not date.isascii()
            or not date.isdigit()
            or len(date) > 15
            or abs(time.time() - int(date)) > SKEW_S
        ):
            return False
        wanted = (signature(secret, date, method, target, body) for secret in self._secrets)
        return any(hmac.compare_digest(each.encode(), given.encode()) for each in wanted)

    def _one(self, method: str, socket_id: str, query: str, body: bytes) -> Answer:
        socket = self._sockets.live.get(socket_id)
        if socket is None:
            return 410, [JSON], problem(410)
        edge = self._sockets.settings.edge
        options = parse_qs(query) if query and edge else {}
        if method == "POST":
            if len(body) > MAX_FRAME:
                return 413, [JSON], problem(413)
            try:
                frame = text_frame(body.decode())
                seconds = float(options.get("close_after", ["0"])[0])
            except ValueError:
                return 400, [JSON], problem(400)
            outcome = socket.deliver(frame, options.get("dedup", [""])[0], seconds)
            return (200, [], b"") if outcome is Outcome.SENT else (410, [JSON], problem(410))
        if method == "DELETE":
            code = options.get("code", [str(NORMAL)])[0]
            if not code.isdigit() or not sendable(int(code)):
                return 400, [JSON], problem(400)
            socket.close(int(code))
            return 204, [], b""
        if method == "GET":
            return 200, [JSON], msgspec.json.encode(_described(socket))
        return 405, [JSON, (b"allow", b"GET, POST, DELETE")], problem(405)

    async def _many(self, body: bytes) -> Answer:
        try:
            bulk = _bulk.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return 400, [JSON], problem(400)
        posts = [Post(to, group.text, key, group.close_after) for group in bulk.posts for to, key in group.to]
        outcomes, writes = prepare(self._sockets, posts)
        for start in range(0, len(writes), STEP):
            if start:
                await asyncio.sleep(0)
            for write in writes[start : start + STEP]:
                write_one(write, outcomes)
        told = {
            name: [post.socket_id for post, outcome in zip(posts, outcomes, strict=True) if outcome is wanted]
            for name, wanted in (("gone", Outcome.GONE), ("retry", Outcome.RETRY))
        }
        return 200, [JSON], msgspec.json.encode(told)


def sendable(code: int) -> bool:
    """Whether a close frame may carry `code`, RFC 6455 section 7.4."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def _described(socket: Socket) -> dict[str, Any]:
    loop_now, now = socket.table.loop.time(), time.time()
    return {
        "ConnectedAt": _iso(socket.connected_ms / 1000),
        "Identity": {"SourceIp": socket.peer.address, "UserAgent": socket.peer.agent},
        "LastActiveAt": _iso(now - (loop_now - socket.last_in)),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
