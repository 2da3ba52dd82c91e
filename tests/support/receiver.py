"""A server on loopback that somebody's URL names: it notes what it gets, and answers as it is told."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from infra import tls

Behaviour = Callable[[BaseHTTPRequestHandler], None]
"""Writes the whole answer, or fails to."""


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, list[str]]:
        """The body's fields, where it is a form."""
        return parse_qs(self.body.decode(), strict_parsing=True)


@dataclass
class Receiver:
    """A running server."""

    url: str
    port: int
    requests: list[Received] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    """What each TLS handshake asked for (SNI)."""
    behaviours: list[Behaviour] = field(default_factory=list)
    """For the next requests, one each; the usual one after them."""
    usual: Behaviour | None = None
    came: threading.Event = field(default_factory=threading.Event)


def answering(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Behaviour:
    """An ordinary answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


OK: Final = answering(200)


@contextmanager
def receiving(certificates: tls.Certificates | None = None, *, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A server, with TLS where it is given certificates; gone when the block ends."""
    receiver = Receiver("", 0)

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (OSError, ValueError):  # the client had enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            receiver.requests.append(Received(self.command, self.path, dict(self.headers.items()), body))
            receiver.came.set()
            behave = receiver.behaviours.pop(0) if receiver.behaviours else receiver.usual or OK
            behave(self)

        do_GET = do_PUT = do_POST = do_DELETE = _take  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # broken handshakes and broken pipes are what is tested
            pass

        def get_request(self) -> Any:
            sock, address = super().get_request()
            sock.settimeout(5)
            return (context.wrap_socket(sock, server_side=True) if context else sock), address

    context = server_side(certificates) if certificates else None
    if context:
        context.sni_callback = lambda _sock, name, _context: receiver.names.append(name)
    with Server((host, 0), Handler) as server:
        receiver.port = int(server.server_address[1])
        receiver.url = f"{'https' if context else 'http'}://localhost:{receiver.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def server_side(certificates: tls.Certificates) -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    return context


def certificates(folder: Path) -> tls.Certificates:
    """An authority of the test's own, and a certificate for this machine's names."""
    return tls.ensure(folder)
