"""Dead letters: what could not be done, with the reason.  `python -m infra.letters list|replay|drop`.

The table and the queue are those of the environment (`FOYER_TABLE`, `FOYER_QUEUE_URL`, `AWS_…`).
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from chalicelib import references, settings
from chalicelib.errors import AppError
from chalicelib.outbox import owed
from chalicelib.outbox.owed import DeadRow
from chalicelib.store import keys, writes

PAGE = 100


def every() -> Iterator[DeadRow]:
    """All dead letters, the oldest first.  Raises `Unavailable`."""
    start = None
    while True:
        rows, start = writes.query(DeadRow, keys.DEAD, limit=PAGE, start=start)
        yield from rows
        if start is None:
            return


def spelled(letter: DeadRow) -> str:
    """A letter as one line; of what it was about, only what names no person."""
    at = datetime.fromtimestamp(float(letter.at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{letter.sk}  {at}  {letter.kind}  {int(letter.attempts)} tries  {letter.reason}"


def chosen(ids: Sequence[str], kind: str, all_of_them: bool) -> list[DeadRow]:
    """The letters that are meant; none unless somebody says which.  Raises `Unavailable`."""
    return [
        letter
        for letter in every()
        if letter.sk in ids or (kind and letter.kind == kind) or (all_of_them and not ids and not kind)
    ]


def replay(letter: DeadRow) -> bool:
    """Have its work done again; `False` for a message that nobody could read.  Raises `Unavailable`."""
    return bool(letter.owed_pk) and owed.replay(letter)


def drop(letter: DeadRow) -> bool:
    """Forget a letter; what it stands for will not be done.  Raises `Unavailable`."""
    writes.delete(letter.pk, letter.sk)
    return True


VERBS: dict[str, Callable[[DeadRow], bool]] = {"replay": replay, "drop": drop}


def main(arguments: Sequence[str] | None = None) -> int:
    """List, replay or drop."""
    parser = argparse.ArgumentParser(prog="python -m infra.letters", description=main.__doc__)
    parser.add_argument("verb", choices=["list", *VERBS])
    parser.add_argument("ids", nargs="*", metavar="ID", help="what `list` shows first in a line")
    parser.add_argument("--kind", default="", help="those of one kind")
    parser.add_argument("--all", action="store_true", help="all of them")
    given = parser.parse_args(arguments)
    if given.verb != "list" and not (given.ids or given.kind or given.all):
        parser.error("which? name ids, or give --kind or --all")
    references.begin()
    try:
        settings.get()
        importlib.import_module("app")  # facades may have to see to more than the row
        letters = chosen(given.ids, given.kind, given.all or given.verb == "list")
        for letter in letters:
            done = given.verb == "list" or VERBS[given.verb](letter)
            print(spelled(letter) if done else f"{letter.sk}  cannot be replayed: {letter.reason}")
    except AppError as error:
        print(f"foyer: {error}", file=sys.stderr)
        return 1
    print(f"{len(letters)} dead letters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
