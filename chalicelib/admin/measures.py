"""What `tick` measures for the console: how many wait, and what is overdue."""

import logging
from collections.abc import Iterable
from typing import Final

from chalicelib import clock, journal
from chalicelib.admin import rollups
from chalicelib.admin.rollups import Measured
from chalicelib.errors import AppError
from chalicelib.jitsi import store as queue
from chalicelib.jitsi.store import ConferenceRow
from chalicelib.outbox.owed import Overdue
from chalicelib.realtime import fronts, subscriptions
from chalicelib.store import table

log = logging.getLogger(__name__)

BUDGET_S: Final = 20.0
"""Well below what `tick` is given."""

WATCHED: Final = 400
"""So many watched conferences are looked at; their moderators were told the number a moment ago."""
KNOWN: Final = 1000
"""So many of the others, by name."""
COUNTED: Final = 20
"""So many of them are counted in one tick, a call for each shard: those whose number is the oldest."""
EMPTY_FOR_S: Final = 120.0
"""Where nobody waited it is not looked again for so long."""
COUNTING_S: Final = 10.0
"""After so long no further one is counted."""


def tick(overdue: Overdue) -> None:
    """Measure, and sum up what was served; the next tick makes up for what fails."""
    try:
        with table.budget(BUDGET_S):
            rollups.roll(lambda: measure(overdue))
    except AppError as error:
        log.warning("what was served is summed up later: %s", error)
    except Exception as error:
        journal.failure(error)


def measure(overdue: Overdue) -> Measured:
    """How it is now.  Raises `Unavailable`."""
    watched = {row.name: int(row.counted or 0) for row in queue.watched(WATCHED)}
    known, _ = queue.noted_after("", KNOWN)
    others = {row.name: row for row in known if row.name not in watched}
    waiting = {name: int(row.waiting or 0) for name, row in others.items()} | _count(others.values())
    total = sum(watched.values()) + sum(waiting.values())
    return Measured(
        waiting=total,
        conferences=len(watched) + len(others),
        owed=overdue.rows,
        oldest_s=overdue.oldest_s,
        first=overdue.first,
        fronts=len(fronts.alive()),
    )


def _count(known: Iterable[ConferenceRow]) -> dict[str, int]:
    """Count some of the conferences that nobody watches, and note it for the next tick and for lists."""
    began, now = clock.monotonic(), clock.now()
    old = sorted((float(row.counted or 0), row.name) for row in known if _is_old(row, now))
    names = [name for _, name in old[:COUNTED]]
    found: dict[str, int] = {}
    alive = fronts.alive()
    for name, (live, _) in zip(names, queue.look_on(names), strict=True):
        if clock.monotonic() - began > COUNTING_S:
            break
        partitions = queue.partitions(name, live.epoch)
        found[name] = 0 if live.is_live else subscriptions.count(partitions, alive)
        queue.note_count(name, found[name])
    return found


def _is_old(row: ConferenceRow, now: float) -> bool:
    return bool(row.waiting) or float(row.counted or 0) <= now - EMPTY_FOR_S
