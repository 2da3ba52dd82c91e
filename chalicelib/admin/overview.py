"""What the overview shows, and the last events; both read what processes told and `tick` summed up."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from chalicelib import clock, tally
from chalicelib.admin import rollups
from chalicelib.admin.rollups import COUNTED, Numbers, RollupRow
from chalicelib.errors import ValidationError
from chalicelib.outbox import owed
from chalicelib.store import keys, writes
from chalicelib.tally import MINUTE_S, Event

LONGEST: Final = 1440
"""Minutes for which roll-ups are kept."""
FINE: Final = 120
"""Up to so many minutes each stands for itself; of more, ten make one."""
COARSE_STEP: Final = 10
DEAD_COUNTED: Final = 100
PAGES: Final = 4
"""So many calls, of up to 1 MB each, a look for events makes at most."""

EVERYWHERE: Final = (tally.REQUESTS, tally.ERRORS, tally.REFUSED, tally.HOOKS)
IN_THE_QUEUE: Final = (*EVERYWHERE, tally.RELEASES)
WAITING: Final = "waiting"

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._=+/:-]{1,128}")
"""Of clients and of fronts; none of these characters is spelled otherwise in JSON."""
_POSITION: Final = re.compile(r"e\.([0-9]{1,10})\.([0-9]{1,16})\.([A-Za-z0-9_-]{1,32})\.([0-9]{1,16})")
_ROW: Final = re.compile(r"r\.([0-9]{10}\.[A-Za-z0-9_-]{1,32})")


def overview(minutes: int) -> dict[str, Any]:
    """What is served now and was in so many minutes before, what waits and what is owed: three calls."""
    now = clock.now()
    current = int(now // MINUTE_S)
    step = 1 if minutes <= FINE else COARSE_STEP
    first = (current - minutes) // step * step
    stands, measured = rollups.standing(first)
    counted = {minute: rollups.read(row.counts) for minute, row in stands.items()}
    told = rollups.some_parts(current - 1, current)
    for minute, fresh in rollups.sums(told).items():
        rollups.at_least(counted.setdefault(minute, {}), fresh)
    dead, more = owed.count_dead(DEAD_COUNTED)
    seen = measured if measured is not None and measured.at is not None else RollupRow()
    return {
        "now": int(now * 1000),
        "step_s": step * MINUTE_S,
        "measured_at": None if seen.at is None else int(float(seen.at) * 1000),
        "facades": _facades(counted, current, seen, _waiting(seen, rollups.held(told))),
        "minutes": [
            _step(start, range(start, min(start + step, current)), counted, stands)
            for start in range(first, current, step)
        ],
        "owed": {"rows": seen.owed, "oldest_s": seen.oldest},
        "dead": {"count": dead, "more": more},
    }


def _waiting(seen: RollupRow, held: Sequence[int]) -> int | None:
    """How many wait now: by what gateways told a moment ago if all fronts are such, else by the last tick."""
    if seen.waiting is None or not held or len(held) != seen.fronts:
        return None if seen.waiting is None else int(seen.waiting)
    return sum(held)


def _facades(
    counted: Mapping[int, Numbers], current: int, seen: RollupRow, waiting: int | None
) -> dict[str, dict[str, Any]]:
    """The last complete minute and the current one, together."""
    total: Numbers = {}
    for minute in (current - 1, current):
        rollups.add(total, counted.get(minute, {}))
    found = {facade: _named(facade, total) for facade in tally.FACADES}
    found[tally.JITSI] |= {WAITING: waiting, "conferences": seen.conferences}
    return found


def _named(facade: str, numbers: Numbers) -> dict[str, Any]:
    values = dict(zip(COUNTED, numbers.get(facade) or [0] * len(COUNTED), strict=False))
    return {name: values.get(name, 0) for name in _names(facade)}


def _names(facade: str) -> Sequence[str]:
    return IN_THE_QUEUE if facade == tally.JITSI else EVERYWHERE


def _step(
    start: int, within: range, counted: Mapping[int, Numbers], stands: Mapping[int, RollupRow]
) -> dict[str, Any]:
    """One point of each line; without numbers where nobody summed up."""
    known = [counted[minute] for minute in within if minute in counted]
    waits = [row.waiting for minute in within if (row := stands.get(minute)) and row.waiting is not None]
    total: Numbers = {}
    for numbers in known:
        rollups.add(total, numbers)
    shown: dict[str, Any] = {
        facade: _named(facade, total) if known else dict.fromkeys(_names(facade)) for facade in tally.FACADES
    }
    shown[tally.JITSI][WAITING] = max(waits, default=None)
    return {"at": start * MINUTE_S * 1000, **shown}


class Wanted(NamedTuple):
    """Which events are looked for."""

    request_id: str = ""
    facade: str = ""
    sort: str = ""

    def check(self) -> None:
        """Raises `ValidationError`."""
        if self.request_id and not REQUEST_ID.fullmatch(self.request_id):
            raise ValidationError("request_id: letters, digits and ._=+/:- are expected")
        if self.facade and self.facade not in tally.FACADES:
            raise ValidationError(f"facade: one of {', '.join(tally.FACADES)} is expected")

    def clue(self) -> str:
        """What the text of every row contains that has such an event: storage leaves out the others."""
        if self.request_id:
            return f'"{self.request_id}"'
        if self.sort:
            return f'"{self.sort}"]'
        return f'"{self.facade}"' if self.facade else ""

    def fits(self, event: Event) -> bool:
        """Whether it is one of them."""
        return all(
            wanted in ("", found)
            for wanted, found in (
                (self.request_id, event.request_id),
                (self.facade, event.facade),
                (self.sort, event.sort),
            )
        )


class _Position(NamedTuple):
    """Where an event stands: in its minute by its time, and then by whatever is not equal."""

    minute: int
    at: int
    process: str
    number: int


class Found(NamedTuple):
    """Some events, the newest first, and from where to go on."""

    events: list[Event]
    following: str | None


def events(wanted: Wanted, limit: int, after: str) -> Found:
    """The last events that are looked for.

    A look ends after some calls, and says where to go on: there may be more even where it found nothing.
    Raises `ValidationError`.
    """
    wanted.check()
    before, row = _read_cursor(after)
    found: list[tuple[_Position, Event]] = []
    of_minute: list[tuple[_Position, Event]] = []

    def settle() -> bool:
        """Put the events of a minute in their order; whether there are enough."""
        found.extend(sorted(of_minute, reverse=True))
        of_minute.clear()
        return len(found) > limit

    newest = row or (keys.minute(before.minute) + keys.LATEST if before else keys.LATEST)
    oldest = keys.minute(int(clock.now() // MINUTE_S) - LONGEST)
    start: Mapping[str, Any] | None = None
    minute = -1
    for _ in range(PAGES):
        rows, start = writes.query(
            RollupRow,
            keys.LAST_EVENTS,
            at_least=oldest,
            at_most=max(oldest, newest),
            newest=True,
            having={"events": clue} if (clue := wanted.clue()) else None,
            start=start,
        )
        for each in rows:
            if each.sk == row:
                continue
            if rollups.minute_of(each) != minute and settle():
                return _cut(found, limit)
            minute = rollups.minute_of(each)
            of_minute += [
                (position, event)
                for position, event in _events_of(each)
                if wanted.fits(event) and (before is None or position < before)
            ]
        if start is None:
            break
    if settle():
        return _cut(found, limit)
    following = None if start is None else f"r.{start['sk']['S']}"
    return Found([event for _, event in found], following)


def _events_of(row: RollupRow) -> Iterator[tuple[_Position, Event]]:
    minute, process = rollups.minute_of(row), row.sk.partition(".")[2]
    for fields in msgspec.json.decode(row.events or "[]"):
        event = Event(*fields)
        yield _Position(minute, event.at, process, event.number), event


def _cut(found: Sequence[tuple[_Position, Event]], limit: int) -> Found:
    last = found[limit - 1][0]
    following = f"e.{last.minute}.{last.at}.{last.process}.{last.number}"
    return Found([event for _, event in found[:limit]], following)


def _read_cursor(text: str) -> tuple[_Position | None, str]:
    """The event behind which a page begins, or the row.  Raises `ValidationError`."""
    if not text:
        return None, ""
    position = _POSITION.fullmatch(text)
    if position is not None:
        minute, at, process, number = position.groups()
        return _Position(int(minute), int(at), process, int(number)), ""
    row = _ROW.fullmatch(text)
    if row is None:
        raise ValidationError("after: what an answer said is next is expected")
    return None, row.group(1)
