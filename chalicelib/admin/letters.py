"""Having dead letters done again, or dropped: some in one request, the rest in the next ones."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from chalicelib.errors import Unavailable, ValidationError
from chalicelib.outbox import owed
from chalicelib.outbox.owed import DeadRow
from chalicelib.store import table
from chalicelib.wire.untrusted import Json

AT_ONCE: Final = 50
"""So many are done in one request."""
LOOKED_AT: Final = 1000
"""So many are looked at for those of one kind, and for those that can be done again, once one was found."""
PAGE: Final = 100
MOST_IDS: Final = 100
SPARE_S: Final = 1.0
"""Nothing more is begun when less than this is left, beside the time that one call may take."""
_ID: Final = re.compile(r"[0-9]{1,16}\.[0-9]{3}\.[A-Za-z0-9_-]{1,32}")
KIND: Final = re.compile(r"[a-z.]{1,40}")

GONE: Final = "what it was about is not there any more; the letter is forgotten"
UNKNOWN: Final = "there is no such letter"
NOTHING_TO_DO: Final = "nobody could read the message; it can only be dropped"


class Chosen(msgspec.Struct, frozen=True):
    """Which letters are meant: those of these ids, or of a kind, or all."""

    ids: tuple[str, ...] = ()
    kind: str = ""

    @property
    def spelled(self) -> str:
        """As the audit says it."""
        return ",".join(self.ids) or self.kind or "all"


class Done(msgspec.Struct):
    """What came of it."""

    count: int = 0
    failed: list[Mapping[str, str]] = []
    more: bool = False
    """Whether some that are meant were left for another request."""


def choose(body: Mapping[str, Json]) -> Chosen:
    """Read `{"ids": [...]}`, `{"kind": k}` or `{"all": true}`.  Raises `ValidationError`."""
    if len(body) != 1:
        raise ValidationError("which? one of ids, kind and all is expected")
    ((name, value),) = body.items()
    if name == "all" and value is True:
        return Chosen()
    if name == "kind" and isinstance(value, str) and KIND.fullmatch(value):
        return Chosen(kind=value)
    if name == "ids" and isinstance(value, list) and 0 < len(value) <= MOST_IDS:
        ids = tuple(each for each in value if isinstance(each, str) and _ID.fullmatch(each))
        if len(ids) == len(value):
            return Chosen(tuple(dict.fromkeys(ids)))
    raise ValidationError(f"{name[:64]}: this chooses no letters")


def can_be_replayed(letter: DeadRow) -> bool:
    """Whether a letter names something to be done."""
    return bool(letter.owed_pk)


def retry(chosen: Chosen) -> Done:
    """Have what letters stand for owed again, the oldest first.

    Raises `Unavailable` when nothing was done.
    """

    def again(letter: DeadRow) -> str:
        return "" if owed.replay(letter) else GONE

    return _each(chosen, again, can_be_replayed)


def drop(chosen: Chosen) -> Done:
    """Forget letters; what they stand for will not be done.  Raises `Unavailable` when nothing was done."""

    def forget(letter: DeadRow) -> str:
        owed.forget(letter)
        return ""

    return _each(chosen, forget, lambda _: True)


def _each(chosen: Chosen, act: Callable[[DeadRow], str], possible: Callable[[DeadRow], bool]) -> Done:
    """Do something with letters, until all are done, or enough for one request."""
    done = Done()
    if chosen.ids:
        letters = _named(chosen.ids, possible, done)
    else:
        letters = _meant(lambda letter: chosen.kind in ("", letter.kind) and possible(letter), done)
    for acted, letter in enumerate(letters):
        if acted >= AT_ONCE or not _time_is_left():
            done.more = True
            break
        try:
            reason = act(letter)
        except Unavailable:
            if not acted:
                raise
            done.more = True
            break
        if reason:
            _fail(done, letter.sk, reason)
        else:
            done.count += 1
    return done


def _named(ids: tuple[str, ...], possible: Callable[[DeadRow], bool], done: Done) -> Iterator[DeadRow]:
    found = {letter.sk: letter for letter in owed.dead_named(ids)}
    for each in ids:
        if each not in found:
            _fail(done, each, UNKNOWN)
        elif not possible(found[each]):
            _fail(done, each, NOTHING_TO_DO)
        else:
            yield found[each]


def _meant(meant: Callable[[DeadRow], bool], done: Done) -> Iterator[DeadRow]:
    """The oldest first.  Each request begins there, so one that found none yet goes on while it has time."""
    after: str | None = ""
    looked = found = 0
    while after is not None:
        if looked >= LOOKED_AT and (found or not _time_is_left()):
            done.more = True
            return
        rows, after = owed.dead_after(after, PAGE)
        looked += len(rows)
        some = [row for row in rows if meant(row)]
        found += len(some)
        yield from some


def _fail(done: Done, sk: str, reason: str) -> None:
    done.failed.append({"id": sk, "reason": reason})


def _time_is_left() -> bool:
    left = table.remaining()
    return left is None or left > table.READ_TIMEOUT_S + SPARE_S


def shown(letter: DeadRow) -> dict[str, Any]:
    """A letter as it is answered: of what it was about, only what names no person."""
    return {
        "id": letter.sk,
        "kind": letter.kind,
        "reason": letter.reason,
        "attempts": int(letter.attempts),
        "at": int(float(letter.at) * 1000),
        "replayable": can_be_replayed(letter),
    }
