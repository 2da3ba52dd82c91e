"""What a command says: tables and lines for a person, JSON for a program.

Data goes to standard output and everything else to standard error.  What others named - conferences, rooms,
streams - may hold what a terminal obeys, so only what can be printed is.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES: Final = {"error": "red", "failed": "red", "warning": "yellow", "ok": "green", "made": "green"}
INSTEAD: Final = "\N{REPLACEMENT CHARACTER}"


def printable(value: object) -> str:
    """A value as text on one line, without what a terminal would obey.

    >>> printable("a\\x1b[31mb\\nc"), printable(None), printable(True), printable({"a": 1})
    ('a�[31mb�c', '-', 'yes', '{"a": 1}')
    """
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return "".join(char if char.isprintable() else INSTEAD for char in text)


def moment(at_ms: object) -> str:
    """A time of our APIs as people read it.

    >>> moment(1406079112038), moment(None)
    ('2014-07-23 01:31:52Z', '-')
    """
    if not isinstance(at_ms, int | float) or isinstance(at_ms, bool):
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def plain() -> bool:
    """Whether standard output is no terminal, or one that can show text only."""
    return not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"


def document(value: Any) -> None:
    """Print a document: indented for a person, one line for a program."""
    indent = None if plain() else 2
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)


def line(value: Any) -> None:
    """Print one of several documents on a line of its own."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)


def text(value: object) -> None:
    """Print one line."""
    print(printable(value), flush=True)


def verbatim(value: str) -> None:
    """Print what we made ourselves, and what a shell or a program is to read as it is."""
    print(value, flush=True)


def note(value: str) -> None:
    """Tell the person something that is no data."""
    print(f"foyer: {value}", file=sys.stderr, flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows: as a table on a terminal, separated by tabs elsewhere; a note if there are none."""
    found = [[printable(value) for value in row] for row in rows]
    if not found:
        note(empty)
        return
    if plain():
        for row in (columns, *found):
            print("\t".join(row))
        sys.stdout.flush()
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in found:
        shown.add_row(*(Text(value, STYLES.get(value, "")) for value in row))
    Console().print(shown)


def pairs(found: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one under the other."""
    listed = [(name, printable(value)) for name, value in found]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        print(f"{name:<{width}}  {value}")
    sys.stdout.flush()
