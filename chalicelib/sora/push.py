"""Sends a channel's listeners what they are owed, in the order of the writes: the worker's part.

One worker at a time has a channel, by a lease; whoever finds it taken leaves the rest to its holder, who
looks once more after giving it back.  So nothing waits for a sweep unless a process died.  Delivery is best
effort: what a socket does not take within the time that a call has is not sent to it again.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition

from chalicelib import clock, ids
from chalicelib import settings as process
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks
from chalicelib.realtime import fanout, fronts, parallel
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.sora import listeners, notices
from chalicelib.sora.listeners import QueuedRow
from chalicelib.sora.notices import CREATED
from chalicelib.sora.store import PUSH, ConnectionRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from chalicelib.store.table import Item

log = logging.getLogger(__name__)

LEASE_S: Final = 10.0
AT_ONCE_S: Final = 20.0
"""For how long one worker goes on, before it leaves the rest to the next one."""
KEPT_S: Final = 3600


class LeaseRow(Item):
    """Which worker has a channel, and until when."""

    owner = UnicodeAttribute()
    until = NumberAttribute()


class _Lease:
    """The right to send what one channel's listeners are owed."""

    def __init__(self, channel_id: str) -> None:
        self._key = keys.sora_lease(channel_id)
        self._owner = ids.new()
        self._length = min(LEASE_S, process.get().work_lease_s)
        self._until = 0.0

    def take(self) -> bool:
        """Take the channel on; `False` while another worker has it."""
        now = clock.now()
        return self._write(
            now, LeaseRow.pk.does_not_exist() | (LeaseRow.until <= now) | (LeaseRow.owner == self._owner)
        )

    def keep(self) -> bool:
        """Prolong it if half of it is over; `False` when another worker has taken over."""
        now = clock.now()
        if self._until - now > self._length / 2:
            return True
        return self._write(now, LeaseRow.owner == self._owner)

    def _write(self, now: float, condition: Condition) -> bool:
        until = now + self._length
        actions = [
            LeaseRow.owner.set(self._owner),
            LeaseRow.until.set(until),
            LeaseRow.expires_at.set(int(until) + KEPT_S),
        ]
        try:
            writes.update(*self._key, actions=actions, condition=condition)
        except writes.Refused:
            return False
        self._until = until
        return True

    def give_back(self) -> None:
        """Let the next worker have the channel."""
        try:
            writes.delete(*self._key, condition=LeaseRow.owner == self._owner)
        except writes.Refused:
            return


def push(key: Key) -> None:
    """Send what the channel of this row is owed, unless that was done or another worker does it.

    Raises `Unavailable`.
    """
    row = writes.get(QueuedRow, *key, consistent=True)
    if row is None:
        return
    channel_id, until = row.channel_id, clock.monotonic() + AT_ONCE_S
    while True:
        lease = _Lease(channel_id)
        if not lease.take():
            return
        try:
            _serve(channel_id, lease, until)
        finally:
            lease.give_back()
        first = next(_queued(channel_id, limit=1), None)
        if first is None:
            return
        if clock.monotonic() > until:
            kicks.kick(PUSH, Key(first.pk, first.sk))
            return


def _queued(channel_id: str, limit: int | None = None) -> Iterator[QueuedRow]:
    """What a channel's listeners are owed."""
    partition = keys.sora_pushes(channel_id)
    rows = writes.query_all(QueuedRow, partition, consistent=True, at_least=keys.SORA_FIRST_PUSH, limit=limit)
    return (row for row in rows if row.channel_id == channel_id)


def _serve(channel_id: str, lease: _Lease, until: float) -> None:
    """Send until nothing is owed, the time is over or another worker has taken over.

    Who is there is read before what is owed: then whoever has come has his notice among what is owed, or was
    sent it, and gets nothing that came before it.
    """
    while clock.monotonic() < until:
        rows, alive = listeners.present(channel_id), fronts.alive()
        listeners.forget(listeners.strays(rows, alive))
        queue = list(_queued(channel_id))
        if not queue:
            return
        room = _Room(channel_id, rows, queue)
        served = room.tell_all(queue, lease, until)
        if len(served) == 1:
            writes.delete(served[0].pk, served[0].sk)
        elif served:
            writes.batch(deletes=[(row.pk, row.sk) for row in served])
        listeners.forget(room.gone.values())
        if not served and not lease.keep():
            return


class _Room:
    """A channel as what it is owed unfolds: who is there, and who of them can be told."""

    def __init__(self, channel_id: str, rows: Sequence[ConnectionRow], queue: Sequence[QueuedRow]) -> None:
        alive = fronts.alive()
        self._channel_id = channel_id
        self._known = {row.sk: row for row in rows}
        """Also those of whom the mark is left that their end leaves, which names no channel."""
        coming = {row.about for row in queue if row.event == CREATED}
        self._there = {
            row.sk: row
            for row in rows
            if row.channel_id == channel_id and listeners.is_there(row, alive) and row.sk not in coming
        }
        self._entries: dict[str, str] = {}
        self._deaf: set[str] = set()
        self.gone: dict[str, ConnectionRow] = {}

    def tell_all(self, queue: Sequence[QueuedRow], lease: _Lease, until: float) -> list[QueuedRow]:
        """Send what is owed as long as that may go on; the rows that are done."""
        served = []
        for row in queue:
            if clock.monotonic() > until or not lease.keep() or not self._tell(row):
                break
            served.append(row)
        return served

    def _tell(self, row: QueuedRow) -> bool:
        """Send what one row owes; `False` when that is about somebody who came after all this was read."""
        if (row.expires_at or 0) <= clock.now():
            return True
        if row.event is None:
            self._send(row.sk, row.text)
        elif row.event == CREATED:
            return self._welcome(row)
        else:
            self._there.pop(row.about or "", None)
            self._send(row.sk, self._counted(row))
        return True

    def _welcome(self, row: QueuedRow) -> bool:
        comer = self._known.get(row.about or "")
        if comer is None:
            return not listeners.was_there(self._channel_id, row.about or "")
        others = list(self._there.values())
        if comer.ended_at is None:
            self._there[comer.sk] = comer
        text = self._counted(row)
        to_comer = notices.with_others(text, map(self._entry, others))
        self._send(row.sk, text, {comer.sk: to_comer})
        return True

    def _entry(self, row: ConnectionRow) -> str:
        text = self._entries.get(row.sk)
        if text is None:
            text = self._entries[row.sk] = notices.entry(listeners.who(row))
        return text

    def _counted(self, row: QueuedRow) -> str:
        return notices.with_counts(row.text, [each.role for each in self._there.values()])

    def _send(self, name: str, text: str, instead: Mapping[str, str] | None = None) -> None:
        """Send one text to all who listen, or another one to some, each front's sockets side by side."""
        own = instead or {}
        by_front: dict[str, list[ConnectionRow]] = {}
        for row in self._there.values():
            if row.socket_id is not None and row.sk not in self.gone and row.sk not in self._deaf:
                by_front.setdefault(row.front or "", []).append(row)

        def to_front(front_id: str) -> list[Outcome]:
            posts = [
                Post(row.socket_id or "", own.get(row.sk, text), dedup=name) for row in by_front[front_id]
            ]
            try:
                return fanout.send(front_id, posts)
            except Unavailable as error:
                log.warning("a front takes no pushes: %s", error)
                return [Outcome.RETRY] * len(posts)

        for front_id, outcomes in zip(by_front, parallel.each(to_front, by_front), strict=True):
            for row, outcome in zip(by_front[front_id], outcomes, strict=True):
                if outcome is Outcome.GONE:
                    self.gone[row.sk] = row
                elif outcome is Outcome.RETRY:
                    self._deaf.add(row.sk)
        if self._deaf:
            log.info("%d listeners are not sent the rest of this round", len(self._deaf))
