"""The entry point: one line for whatever goes wrong, and an exit status that scripts can use."""

import logging
import os
import sys
from collections.abc import Sequence

from cli.errors import FAILED, INTERRUPTED, MISUSED, Failed, Misused

EXTRA = "in a checkout pipx install '.[cli]', else pipx install 'foyer[cli] @ git+https://…'"
"""The package index has another `foyer`, which is not ours, so that no bare name stands here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: 0 when it did what was asked, 1 when that failed, 2 when the call itself is wrong."""
    try:
        from cli.app import app
    except ModuleNotFoundError as missing:
        print(
            f"foyer: {missing.name} is not installed; the command line is an extra: {EXTRA}", file=sys.stderr
        )
        return MISUSED
    logging.getLogger("chalicelib").addHandler(logging.NullHandler())  # we say ourselves what matters
    try:
        app(args=None if arguments is None else list(arguments), prog_name="foyer")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except Misused as why:
        print(f"foyer: {why}", file=sys.stderr)
        return MISUSED
    except Failed as why:
        print(f"foyer: {why}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return 0
