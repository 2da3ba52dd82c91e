"""What all processes served, by minute: each keeps its part, and `tick` makes one row of the parts.

Every number is absolute and takes the place of the one before, so whatever is written twice counts once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from chalicelib import clock, ids, settings, tally
from chalicelib.outbox.owed import Due
from chalicelib.store import keys, table, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import assign
from chalicelib.store.table import Item
from chalicelib.tally import MINUTE_S, Part

COUNTED: Final = (tally.REQUESTS, tally.ERRORS, tally.REFUSED, tally.HOOKS, tally.RELEASES)
"""What is counted, in the order in which a row has it; what comes later stands behind."""
KEPT_S: Final = 86400
PARTS_KEPT_S: Final = 3600
TELLING: Final = 0.5
"""So much of a request's time for storage it has anew to tell: one attempt, or two that fail at once."""
LATE_MINUTES: Final = 3
"""The sums of so many minutes before the one that runs are made again: parts of them may still come."""
CATCH_UP_MINUTES: Final = 59
"""As far as parts are kept, what nobody summed up is made up for."""

Numbers: TypeAlias = dict[str, list[int]]
"""What is `COUNTED`, by facade."""

encode: Final = msgspec.json.Encoder().encode


class RollupRow(Item):
    """What one process or all of them counted in a minute, what happened last, or what was measured last."""

    counts = UnicodeAttribute(null=True)
    events = UnicodeAttribute(null=True)
    waiting = NumberAttribute(null=True)
    conferences = NumberAttribute(null=True)
    fronts = NumberAttribute(null=True)
    owed = NumberAttribute(null=True)
    oldest = NumberAttribute(null=True)
    first = UnicodeAttribute(null=True)
    """What of it is overdue longest: kind, time and tries of each, as JSON text."""
    at = NumberAttribute(null=True)
    """When it was measured."""
    claimed = NumberAttribute(null=True)
    """When somebody took it on to measure anew."""


class Measured(NamedTuple):
    """What is so at a moment; nobody could add it up from what happened."""

    waiting: int
    conferences: int
    owed: int
    oldest_s: float
    first: Sequence[Due] = ()
    """What is overdue longest."""
    fronts: int = 0
    """So many hold sockets, API Gateway being one of them."""


class _Process:
    """The name under which this process keeps its parts; copies of a snapshot have none yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self._name = ""

    def name(self) -> str:
        with self._lock:
            self._name = self._name or ids.new(8)
            return self._name


_process: Final = _Process()
settings.also_reset(_process.forget)


def keep(parts: Sequence[Part]) -> None:
    """Keep what this process counted, and its last events, minute by minute.  Raises `Unavailable`."""
    with table.budget(settings.get().storage_budget_s * TELLING):
        writes.batch(puts=list(_rows(parts)))


def _rows(parts: Sequence[Part]) -> Iterator[RollupRow]:
    process = _process.name()
    for part in parts:
        end = (part.minute + 1) * MINUTE_S
        yield RollupRow(
            *keys.rollup_part(part.minute, process),
            counts=spell(
                {
                    facade: [counts.get(name, 0) for name in COUNTED]
                    for facade, counts in sorted(part.counts.items())
                }
            ),
            waiting=part.waiting,
            expires_at=end + PARTS_KEPT_S,
        )
        if part.events:
            yield RollupRow(
                *keys.last_events(part.minute, process),
                events=encode(part.events).decode(),
                expires_at=end + KEPT_S,
            )


def spell(numbers: Numbers) -> str:
    """Numbers as a row has them."""
    return encode(numbers).decode()


def read(text: str | None) -> Numbers:
    """The numbers that a row has."""
    numbers: Numbers = msgspec.json.decode(text) if text else {}
    return numbers


def add(to: Numbers, more: Numbers) -> None:
    """Add numbers up."""
    _merge(to, more, int.__add__)


def at_least(to: Numbers, others: Numbers) -> None:
    """Raise numbers to others that are known already: a part may be gone, and was counted all the same."""
    _merge(to, others, max)


def _merge(to: Numbers, more: Numbers, how: Callable[[int, int], int]) -> None:
    for facade, numbers in more.items():
        mine = to.setdefault(facade, [0] * len(COUNTED))
        for at, number in enumerate(numbers[: len(mine)]):
            mine[at] = how(mine[at], number)


def minute_of(row: RollupRow) -> int:
    """The minute of a roll-up or a part."""
    return int(row.sk.partition(".")[0])


def sums(rows: Iterable[RollupRow]) -> dict[int, Numbers]:
    """What all processes counted, by minute, of their parts."""
    found: dict[int, Numbers] = {}
    for row in rows:
        add(found.setdefault(minute_of(row), {}), read(row.counts))
    return found


def held(rows: Iterable[RollupRow]) -> list[int]:
    """How many wait at each process that holds sockets, by what it told last; parts come in their order."""
    found: dict[str, int] = {}
    for row in rows:
        if row.waiting is not None:
            found[row.sk.partition(".")[2]] = int(row.waiting)
    return list(found.values())


def parts(first: int, last: int) -> Iterator[RollupRow]:
    """The parts of some minutes; one call for each MB, which is thousands of processes."""
    return writes.query_all(RollupRow, keys.ROLLUP_PARTS, **_between(first, last))


def some_parts(first: int, last: int) -> list[RollupRow]:
    """The parts of some minutes, as many as one call finds."""
    rows, _ = writes.query(RollupRow, keys.ROLLUP_PARTS, **_between(first, last))
    return rows


def _between(first: int, last: int) -> Mapping[str, str]:
    return {"at_least": keys.minute(first), "at_most": keys.minute(last) + keys.LATEST}


def standing(first: int) -> tuple[dict[int, RollupRow], RollupRow | None]:
    """The roll-ups from a minute on, and what was measured last; a day of them is one call."""
    rows = list(writes.query_all(RollupRow, keys.ROLLUPS, at_least=keys.minute(first)))
    measured = rows.pop() if rows and rows[-1].sk == keys.LATEST else None
    return {minute_of(row): row for row in rows}, measured


def overdue() -> tuple[float | None, list[Due]]:
    """When it was measured last what is overdue, and what was so longest; one call.  Raises `Unavailable`."""
    row = writes.get(RollupRow, *keys.measured())
    if row is None or row.at is None:
        return None, []
    return float(row.at), msgspec.json.decode(row.first, type=list[Due]) if row.first else []


def roll(measure: Callable[[], Measured]) -> bool:
    """Measure, and sum up the minutes of which parts have come; `False` when somebody else just does.

    Every gateway ticks; the first of an interval does it for all.  Raises `Unavailable`.
    """
    now = clock.now()
    before = _claim(now)
    if before is None:
        return False
    measured = measure()
    minute = int(now // MINUTE_S)
    seen = minute if before.at is None else int(float(before.at) // MINUTE_S)
    first = max(minute - CATCH_UP_MINUTES, min(minute, seen) - LATE_MINUTES)
    summed = sums(parts(first, minute))
    stands, _ = standing(first)
    changed: list[Item] = []
    for each in range(first, minute + 1):
        row = _rolled(each, minute, summed.get(each), stands.get(each), measured)
        if row is not None:
            changed.append(row)
    changed.append(
        RollupRow(
            *keys.measured(),
            waiting=measured.waiting,
            conferences=measured.conferences,
            fronts=measured.fronts,
            owed=measured.owed,
            oldest=round(measured.oldest_s, 3),
            first=encode(measured.first).decode() if measured.first else None,
            at=now,
            claimed=now,
            expires_at=int(now) + KEPT_S,
        )
    )
    writes.batch(puts=changed)
    return True


def _claim(now: float) -> RollupRow | None:
    """What was measured before, if it is time to measure anew and nobody else does."""
    interval = settings.get().sweep_interval_s
    free = RollupRow.claimed.does_not_exist()
    free |= RollupRow.claimed <= now - interval / 2
    free |= RollupRow.claimed > now + interval  # by a clock that was wrong
    actions = [assign(RollupRow.claimed, now), assign(RollupRow.expires_at, int(now) + KEPT_S)]
    try:
        raw = writes.update(*keys.measured(), actions=actions, condition=free, returns="ALL_OLD")
    except writes.Refused as refused:
        row = refused.row(RollupRow)
        # This very write, its first answer lost.
        return row if row is not None and row.claimed == now else None
    return writes.read(RollupRow, raw) or RollupRow(*keys.measured())


def _rolled(
    each: int, minute: int, summed: Numbers | None, stands: RollupRow | None, measured: Measured
) -> RollupRow | None:
    """The roll-up of a minute, where it differs from what stands."""
    if summed is None and stands is None and each < minute - 1:
        return None  # nobody looked in that minute, and nobody can say that nothing happened
    numbers = summed or {}
    waiting = None if stands is None else stands.waiting
    if stands is not None:
        at_least(numbers, read(stands.counts))
    if each == minute or (each == minute - 1 and waiting is None):
        waiting = measured.waiting
    counts = spell(dict(sorted(numbers.items())))
    if stands is not None and (stands.counts, stands.waiting) == (counts, waiting):
        return None
    expires_at = (each + 1) * MINUTE_S + KEPT_S
    return RollupRow(*keys.rollup(each), counts=counts, waiting=waiting, expires_at=expires_at)
