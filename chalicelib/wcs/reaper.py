"""Who finds out which streams have fallen silent: `work`, at the rows of the list that owe a look.

Their status stays what the server said last; the mark is ours, and the next event takes it away.
"""

import logging

from chalicelib import clock
from chalicelib.outbox import owed
from chalicelib.store import keys
from chalicelib.store.keys import Key
from chalicelib.wcs import settings, store
from chalicelib.wcs.store import ListedRow, StreamRow

log = logging.getLogger(__name__)


def look(key: Key) -> None:
    """Look at the stream of one row of the list.  Raises `Unavailable`."""
    listed = owed.claim(ListedRow, key, endless=True)
    if listed is None:
        return
    row = store.read(keys.wcs_of_listed(key))
    if row is None or row.stale is not None:
        owed.settle(listed)
    elif row.final:
        # The list forgets it when the stream does.
        owed.settle(listed, also=[ListedRow.expires_at.set(row.expires_at)])
    else:
        _look_at_living(listed, row)


def _look_at_living(listed: ListedRow, row: StreamRow) -> None:
    silent_from = float(row.seen) + settings.get().stale_after_s
    left = silent_from - clock.now()
    if left <= 0 and store.mark_stale(row):
        log.info("a stream has been silent for too long")
        owed.settle(listed)
    else:
        # There was news: look again when it is old.
        owed.hold(listed, lease_s=left if left > 0 else settings.get().stale_after_s)
