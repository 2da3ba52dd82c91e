"""How often the long runs repeat: reduced in `make test`, in full in `make test-full`."""

import os

FULL = os.environ.get("FOYER_TEST_FULL", "").lower() in {"1", "true", "yes"}


def scaled(reduced: int, full: int) -> int:
    """The count for this run."""
    return full if FULL else reduced
