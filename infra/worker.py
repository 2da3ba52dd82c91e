"""`python -m infra.worker`: the queue and the schedule without sockets, for scaling out.

Its settings are the gateway's: GATEWAY_APP, GATEWAY_HANDLERS, GATEWAY_WORK_THREADS, GATEWAY_WAITING,
GATEWAY_DIE_WITH_PARENT.
"""

import os
import signal
import sys
import threading
from types import FrameType

import msgspec

from chalicelib import settings as shared
from chalicelib import waits
from chalicelib.outbox import kicks
from chalicelib.settings import BadSetting
from infra.gateway import handlers, log, settings
from infra.gateway.server import die_with_parent
from infra.gateway.sources import LocalKicker, Poller, Schedule


def main() -> int:
    """Run until a signal ends it; a second one ends it at once."""
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
    ours = handlers.make(read)
    sources = (Schedule(ours, interval_s), Poller(ours, queue_url, read.work_threads))
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
