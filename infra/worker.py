"""`python -m infra.worker`: the queue and the schedule without sockets, for scaling out.

Its settings are the gateway's: GATEWAY_APP, GATEWAY_HANDLERS, GATEWAY_WORK_THREADS, GATEWAY_WAITING,
GATEWAY_DIE_WITH_PARENT.  With GATEWAY_MANAGEMENT_PORT it answers `GET /metrics` there.
"""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

import msgspec

from chalicelib import metrics, references, tally, waits
from chalicelib import settings as shared
from chalicelib.outbox import kicks
from chalicelib.settings import BadSetting
from infra.gateway import handlers, log, settings
from infra.gateway import metrics as process
from infra.gateway.server import die_with_parent
from infra.gateway.sources import LocalKicker, Poller, Schedule, Teller


class _Numbers(BaseHTTPRequestHandler):
    """`GET /metrics`, and nothing else."""

    timeout = 10

    def do_GET(self) -> None:
        """Tell every number."""
        process.process()
        found = self.path == process.PATH
        body = metrics.exposition().encode() if found else b""
        self.send_response(200 if found else 404)
        name, kind = (each.decode() for each in process.TEXT)
        self.send_header(name, kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of it."""


def measured(read: settings.Settings) -> ThreadingHTTPServer | None:
    """Answer `GET /metrics` from now on, where a port is given for it.  Raises `OSError`."""
    if not read.management_port or read.metrics == "off":
        return None
    server = ThreadingHTTPServer((read.management_bind, read.management_port), _Numbers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def main() -> int:
    """Run until a signal ends it; a second one ends it at once."""
    references.begin()
    try:
        read = settings.load()
        queue_url, interval_s = shared.get().queue_url, shared.get().sweep_interval_s
    except BadSetting as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not queue_url:
        sys.stderr.write("FOYER_QUEUE_URL: a worker needs a queue\n")
        return 2
    if read.die_with_parent:
        die_with_parent()
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        if ending.is_set():
            os._exit(130)
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        numbers = measured(read)
    except OSError as error:
        sys.stderr.write(f"GATEWAY_MANAGEMENT_PORT: {os.strerror(error.errno or 0)}\n")
        return 2
    ours = handlers.make(read)
    sources = (Schedule(ours, interval_s), Poller(ours, queue_url, read.work_threads))
    teller = Teller() if tally.on() else None
    if teller is not None:
        teller.start()
    # What waits for other machines is not to keep the queue's threads from the rest.
    pool = handlers.Pool(ours, None, read.work_threads, "work", read.waiting)
    if read.handlers == "local":
        kicks.install(None, aside=LocalKicker(pool))
    for source in sources:
        source.start()
    sys.stdout.write(msgspec.json.encode({"worker": os.getpid()}).decode() + "\n")
    sys.stdout.flush()
    while not ending.wait(1.0):
        pass
    log.info("ending")
    for source in sources:
        source.stop()
    waits.end()
    pool.stop(10.0)
    if teller is not None:
        teller.stop()
    if numbers is not None:
        numbers.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
