"""What `tick` measures for the console: how many wait, and what is overdue."""

import logging
from typing import Final

from chalicelib import journal
from chalicelib.admin import rollups
from chalicelib.admin.rollups import Measured
from chalicelib.errors import AppError
from chalicelib.jitsi import store as queue
from chalicelib.outbox.owed import Overdue
from chalicelib.store import table

log = logging.getLogger(__name__)

BUDGET_S: Final = 20.0
"""Well below what `tick` is given."""

WATCHED: Final = 400
"""So many watched conferences are looked at; their moderators were told the number a moment ago."""


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
    return Measured(sum(watched.values()), len(watched), overdue.rows, overdue.oldest_s)
