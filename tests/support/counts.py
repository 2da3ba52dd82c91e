"""How often the long runs repeat: the full counts in `make test-full`, fewer in `make test`."""

import os

FULL = os.environ.get("FOYER_TEST_FULL", "") not in {"", "0"}


def full(reduced: int, complete: int) -> int:
    """`complete` where the full counts are asked for, else `reduced`."""
    return complete if FULL else reduced


def a_second() -> float:
    """A second of a machine that does nothing else: longer where others want its cores, too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
