"""What this process serves, by facade and minute, for the console; now and then it is told.

Nothing is noted before `begin` says how to tell it: who has no console pays nothing.  What is told of a
minute takes the place of what was told of it before, so telling twice is telling once.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from chalicelib import clock, settings
from chalicelib.errors import AppError

log = logging.getLogger(__name__)

JITSI: Final = "jitsi"
SORA: Final = "sora"
FACADES: Final = (JITSI, "owt", "loop", "wcs", SORA)

REQUESTS: Final = "requests"
ERRORS: Final = "errors"
REFUSED: Final = "refused"
HOOKS: Final = "hooks"
RELEASES: Final = "releases"

KEPT: Final = {ERRORS: 20, REFUSED: 10, REQUESTS: 10}
"""So many events of a minute are kept of each sort: the last ones, so that what fails is not pushed out."""
OWN_MINUTES: Final = 2
"""What was kept back for longer counts in the minute in which it is told: the sums are made by then.

So what was told while its answer was lost, and could not be told again within a minute, is summed up twice.
"""
LONGEST_MINUTES: Final = 60
"""The events of a minute that was not told for so long are forgotten."""
MINUTE_S: Final = 60
SLOW_S: Final = 2.0
"""A request that took longer may have waited for storage, and does not wait for it once more."""
PATIENCE: Final = 3
"""After so many intervals even such a request tells."""

Counts = Mapping[str, Mapping[str, int]]
"""Numbers by facade and name."""


class Event(NamedTuple):
    """A request or a message of a socket, without anything that is secret."""

    number: int
    """It rises within the process."""
    at: int
    facade: str
    method: str
    route: str
    status: int
    request_id: str
    ms: float
    sort: str
    """One of `KEPT`."""


class Part(NamedTuple):
    """What a process knows of one minute."""

    minute: int
    counts: Counts
    events: Sequence[Event]
    waiting: int | None = None
    """How many wait on sockets that this process holds, at that time; `None` where it holds none."""


Gauge = Callable[[], int | None]
Tell = Callable[[Sequence[Part]], None]
"""Keeps parts, each in the place of what it kept of that minute.  Raises `AppError`: then they come again."""


class _Minute:
    """What happened in one minute, and what of it was told."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.told: dict[tuple[str, str], int] = {}
        self.events = {sort: deque[Event](maxlen=most) for sort, most in KEPT.items()}
        self.waiting: int | None = None
        self.changed = False

    def hold(self, waiting: int | None) -> None:
        """Note how many wait here now."""
        if waiting != self.waiting:
            self.waiting = waiting
            self.changed = True

    def add(self, facade: str, name: str, more: int) -> None:
        """Count."""
        at = (facade, name)
        self.counts[at] = self.counts.get(at, 0) + more
        self.changed = True

    def give(self, other: "_Minute") -> None:
        """Let another minute count what was not told of this one."""
        for (facade, name), number in self.counts.items():
            more = number - self.told.get((facade, name), 0)
            if more:
                other.add(facade, name, more)
        self.counts = dict(self.told)

    def part(self, minute: int) -> Part:
        """What there is to tell of it."""
        counts: dict[str, dict[str, int]] = {}
        for (facade, name), number in self.counts.items():
            counts.setdefault(facade, {})[name] = number
        events = sorted(event for kept in self.events.values() for event in kept)
        return Part(minute, counts, events, self.waiting)


_lock = threading.Lock()
_telling = threading.Lock()
_minutes: dict[int, _Minute] = {}


class _State:
    """How and when it is told."""

    tell: Tell | None = None
    gauge: Gauge | None = None
    every_s = 0.0
    last = float("-inf")
    timed = False
    number = 0


_state = _State()


def begin(tell: Tell, every_s: float) -> None:
    """Note from now on what happens, and have it told every so often."""
    _state.tell, _state.every_s = tell, every_s


def on() -> bool:
    """Whether anything is noted."""
    return _state.tell is not None


def every_s() -> float:
    """How often it is told."""
    return _state.every_s


def measure(gauge: Gauge | None) -> None:
    """Have it told, too, how many wait here."""
    _state.gauge = gauge


def by_timer() -> None:
    """Have no request tell any more: somebody calls `tell` in an interval."""
    _state.timed = True


def reset() -> None:
    """Forget everything, and note nothing."""
    with _lock:
        _minutes.clear()
        _state.tell, _state.gauge, _state.every_s, _state.last = None, None, 0.0, float("-inf")
        _state.timed, _state.number = False, 0


settings.also_reset(reset)


def add(facade: str, name: str, more: int = 1) -> None:
    """Count something of a facade."""
    if _state.tell is not None and more:
        with _lock:
            _now().add(facade, name, more)


def note(
    facade: str,
    method: str,
    route: str,
    status: int,
    request_id: str,
    ms: float,
    *,
    sort: str,
    hook: bool = False,
) -> None:
    """Count what was served, and keep it among the last events of its sort."""
    if _state.tell is None:
        return
    at = int(clock.now() * 1000)
    with _lock:
        _state.number += 1
        event = Event(_state.number, at, facade, method, route, status, request_id, round(ms, 2), sort)
        minute = _now()
        minute.add(facade, REQUESTS, 1)
        if sort != REQUESTS:
            minute.add(facade, sort, 1)
        if hook:
            minute.add(facade, HOOKS, 1)
        minute.events[sort].append(event)


SORTS: Final = {200: REQUESTS, 400: REFUSED, 503: ERRORS}


def frame(facade: str, command: str, protocol: str, status: int, request_id: str, seconds: float) -> None:
    """Count a message of a socket: 200 when it was served, 400 when refused, 503 for a fault of ours."""
    if _state.tell is not None:
        note(facade, command, protocol, status, request_id, seconds * 1000, sort=SORTS[status])


def _now() -> _Minute:
    """The minute that runs; whoever calls has the lock."""
    minute = int(clock.now() // MINUTE_S)
    found = _minutes.get(minute)
    if found is None:
        found = _minutes[minute] = _Minute()
    return found


def tell_if_due(spent_s: float = 0.0) -> None:
    """Tell at the end of a request that took so long, if it is time and nobody else sees to it."""
    if _state.tell is None or _state.timed:
        return
    since = clock.monotonic() - _state.last
    if since < _state.every_s or (spent_s > SLOW_S and since < PATIENCE * _state.every_s):
        return
    tell()


def tell() -> None:
    """Tell what has changed; what fails comes again the next time, and nobody hears of it but the log."""
    if _state.tell is None or not _telling.acquire(blocking=False):
        return
    parts: list[Part] = []
    try:
        _state.last = clock.monotonic()
        try:
            parts = _take(_state.gauge() if _state.gauge is not None else None)
            if parts:
                _state.tell(parts)
        except AppError as error:
            log.warning("what was counted is told later: %s", error)
            _again(parts)
        except Exception:
            log.exception("what was counted could not be told")
            _again(parts)
        else:
            _told(parts)
    finally:
        _telling.release()


def _take(waiting: int | None) -> list[Part]:
    """What has changed since it was told."""
    with _lock:
        if waiting is not None:
            _now().hold(waiting)
        current = int(clock.now() // MINUTE_S)
        for minute, kept in list(_minutes.items()):
            if minute <= current - OWN_MINUTES and kept.changed:
                kept.give(_now())
            if minute <= current - LONGEST_MINUTES:
                del _minutes[minute]
        changed = sorted((minute, kept) for minute, kept in _minutes.items() if kept.changed)
        for _, kept in changed:
            kept.changed = False
        return [kept.part(minute) for minute, kept in changed]


def _again(parts: Sequence[Part]) -> None:
    with _lock:
        for part in parts:
            kept = _minutes.get(part.minute)
            if kept is not None:
                kept.changed = True


def _told(parts: Sequence[Part]) -> None:
    """Note what was told, and forget what nothing is added to any more."""
    with _lock:
        for part in parts:
            kept = _minutes.get(part.minute)
            if kept is not None:
                kept.told = {
                    (facade, name): number
                    for facade, counts in part.counts.items()
                    for name, number in counts.items()
                }
        current = int(clock.now() // MINUTE_S)
        for minute in [
            each for each, kept in _minutes.items() if each <= current - OWN_MINUTES and not kept.changed
        ]:
            del _minutes[minute]
