"""How a command can end, other than well."""

from typing import Final

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130


class Failed(Exception):
    """What was asked for was not done: refused, not reachable, not in order.  The text is one line."""


class Misused(Exception):
    """The call lacks something, or has something that cannot be; the text says what to give."""
