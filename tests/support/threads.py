"""Things that happen at one moment."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from chalicelib.store import table

PATIENCE_S = 30.0
"""An emulator on a busy machine takes longer than storage may."""


def all_at_once(works: Sequence[Callable[[], object]], *errors: type[Exception]) -> list[object]:
    """Have a thread for each do these, with more time than a request has; what they returned or raised."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        gate.wait()
        try:
            with table.budget(PATIENCE_S):
                return work()
        except errors as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(run, work) for work in works]]
