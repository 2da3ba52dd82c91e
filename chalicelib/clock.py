"""The time, in one place, so that tests can move it."""

import time


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def monotonic() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()
