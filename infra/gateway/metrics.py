"""`GET /metrics`: what the registry holds, with what is true of this gateway and this process right now."""

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chalicelib import metrics
from infra.gateway.handlers import Pool, backlog
from infra.gateway.sockets import Sockets

PATH: Final = "/metrics"
TEXT: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
BEGAN: Final = time.time()
STATM: Final = Path("/proc/self/statm")
FILES: Final = ("/proc/self/fd", "/dev/fd")


def process() -> None:
    """Note what the system says of this process."""
    times = os.times()
    metrics.PROCESS_CPU_SECONDS.reach(times.user + times.system)
    metrics.PROCESS_START.set(BEGAN)
    metrics.PROCESS_MEMORY.set(_memory())
    for folder in FILES:
        with contextlib.suppress(OSError):
            metrics.PROCESS_FILES.set(len(os.listdir(folder)) - 1)  # one of them is this look
            break


def _memory() -> int:
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


class Scrape:
    """What a gateway tells whoever measures it."""

    def __init__(self, sockets: Sockets, pools: Mapping[str, Pool]) -> None:
        self._sockets = sockets
        self._pools = pools

    async def text(self) -> bytes:
        """The whole, made aside from the event loop."""
        sockets = self._sockets
        metrics.GATEWAY_SOCKETS.set(len(sockets.live))
        metrics.GATEWAY_CONNECTIONS.set(sockets.held)
        metrics.GATEWAY_CALLS.set(sockets.calls)
        for name, pool in self._pools.items():
            metrics.GATEWAY_BACKLOG.set(backlog(pool), name)
        return await asyncio.to_thread(self._spell)

    @staticmethod
    def _spell() -> bytes:
        process()
        return metrics.exposition().encode()
