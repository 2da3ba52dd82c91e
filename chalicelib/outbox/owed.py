"""Owed rows: leases, retries, the sweep, dead letters.

A row that owes something carries `due` (its kind) and `due_at`.  A worker claims it by one
conditional write that moves `due_at` behind a lease, acts, and settles or postpones it.
Whatever dies in between is found by the sweep once the lease is over.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from pynamodb.attributes import JSONAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock, ids, metrics, settings
from chalicelib.errors import AppError, Unavailable
from chalicelib.outbox import kicks
from chalicelib.store import keys, writes
from chalicelib.store.expressions import assign
from chalicelib.store.keys import Key
from chalicelib.store.table import DUE_INDEX, Item, Owing

log = logging.getLogger(__name__)

ATTEMPTS: Final = 12
INSIST: Final = 3
BACKOFF_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 300.0
SWEEP_PAGE: Final = 100
SHOWN: Final = 101
"""So many of the rows that a sweep finds are named: one more than any list shows."""
AHEAD_S: Final = 86400.0
"""So far ahead the sweep looks for what failed and waits for another try."""
LONGEST_REASON: Final = 200
DEAD_KEPT_S: Final = 14 * 86400


class OwedRow(Owing):
    """A row that owes; facades extend it."""

    owner = UnicodeAttribute(attr_name="o", null=True)
    attempts = NumberAttribute(attr_name="a", default=0)
    failed = UnicodeAttribute(null=True)
    """Why it waits for another try; nothing while a worker has it, or where it waits for its first one."""


class DeadRow(Item):
    """Something owed that could not be done, with the reason; it can be replayed."""

    kind = UnicodeAttribute()
    owed_pk = UnicodeAttribute()
    owed_sk = UnicodeAttribute()
    reason = UnicodeAttribute()
    attempts = NumberAttribute()
    at = NumberAttribute()
    body: JSONAttribute = JSONAttribute(null=True)


Row = TypeVar("Row", bound=OwedRow)
T = TypeVar("T")
Worker = Callable[[Key], None]
Replayer = Callable[[DeadRow], bool]

_workers: dict[str, Worker] = {}
_unswept: set[str] = set()
_slow: set[str] = set()
_replayers: dict[str, Replayer] = {}


def serve(
    kind: str, worker: Worker, *, swept: bool = True, slow: bool = False, replay: Replayer | None = None
) -> None:
    """Have `worker` called with the key of each owed row of `kind`; the composition root does this.

    What is not `swept` has no owed rows: the kick itself is all that asks for it.  A `slow` worker waits for
    machines that are not ours: what stands behind it in a batch of kicks does not wait with it, where that
    can be helped.  `replay` makes a dead letter's work owed again, where more than its row is to be seen to.
    """
    _workers[kind] = worker
    if not swept:
        _unswept.add(kind)
    if slow:
        _slow.add(kind)
    if replay is not None:
        replays(kind, replay)


def replays(kind: str, replay: Replayer) -> None:
    """Have dead letters of `kind` done again so, also where nobody serves it; `False` for what cannot be."""
    _replayers[kind] = replay


def kinds() -> Sequence[str]:
    """The kinds of owed rows that somebody serves."""
    return sorted(_workers.keys() - _unswept)


class Schedule(msgspec.Struct, frozen=True):
    """How long to wait after each try that failed, until there are no more."""

    delays_s: tuple[float, ...]
    jitter: float = 0.1
    """Each delay is longer or shorter by chance, by this part of it at most."""

    def after(self, tries: int, at_least_s: float = 0.0) -> float | None:
        """The delay after so many tries, which may be told to be longer; `None` after the last one."""
        if tries > len(self.delays_s):
            return None
        usual = self.delays_s[max(0, tries - 1)]
        return max(at_least_s, usual * ids.chance.uniform(1 - self.jitter, 1 + self.jitter))


def owing(kind: str, key: Key, at: float) -> list[Action]:
    """The part of an update that makes a row owe `kind` at `at`."""
    return [
        assign(OwedRow.due, keys.due(kind, key.pk)),
        assign(OwedRow.due_at, at),
        assign(OwedRow.attempts, 0),
        assign(OwedRow.owner, None),
        OwedRow.failed.remove(),
    ]


def usual_lease_s() -> float:
    """For how long a worker has a row to itself."""
    return settings.get().work_lease_s


def claim(
    cls: type[Row],
    key: Key,
    *,
    lease_s: float | None = None,
    early_s: float = 0.0,
    also: Sequence[Action] = (),
    endless: bool = False,
) -> Row | None:
    """Take an owed row on until its lease is over; `None` when nothing is due or another worker has it.

    What was taken on too often and never done goes to the dead letters, unless it is `endless`.
    """
    now = clock.now()
    owner = ids.new()
    try:
        raw = writes.update(
            *key,
            actions=[
                cls.due_at.set(now + (usual_lease_s() if lease_s is None else lease_s)),
                cls.owner.set(owner),
                cls.attempts.set((cls.attempts | 0) + 1),
                cls.failed.remove(),
                *also,
            ],
            condition=cls.due.exists() & (cls.due_at <= now + early_s),
            returns="ALL_NEW",
        )
        row = writes.read(cls, raw)
    except writes.Refused as refused:
        row = refused.row(cls)
        if row is None or row.owner != owner:
            return None
    if row is not None and not endless and int(row.attempts or 0) > ATTEMPTS:
        kind, attempts = str(row.due).rpartition("#")[0], int(row.attempts or 0)
        bury(kind, key, "it was taken on again and again and never done", attempts)
        settle(row)
        return None
    return row


def insist(write: Callable[[], T]) -> T:
    """Repeat a write that fails: what it notes was done, and would be done again.  Raises `Unavailable`."""
    for _ in range(INSIST - 1):
        try:
            return write()
        except Unavailable:
            continue
    return write()


def mine(row: OwedRow) -> Condition:
    """The condition that the row is still this worker's."""
    return OwedRow.owner == row.owner


def hold(
    row: OwedRow,
    *,
    lease_s: float | None = None,
    also: Sequence[Action] = (),
    provided: Condition | None = None,
) -> bool:
    """Prolong the lease and note progress; `False` when another worker has taken over."""
    until = clock.now() + (usual_lease_s() if lease_s is None else lease_s)
    condition = mine(row) if provided is None else mine(row) & provided
    try:
        writes.update(row.pk, row.sk, actions=[OwedRow.due_at.set(until), *also], condition=condition)
    except writes.Refused:
        return False
    row.due_at = until
    return True


def settle(row: OwedRow, also: Sequence[Action] = (), unless: Condition | None = None) -> bool:
    """Nothing is owed any more, and the row stays; `False` when it was changed meanwhile and owes anew."""
    condition = mine(row) if unless is None else mine(row) & ~unless
    actions = [
        OwedRow.due.remove(),
        OwedRow.due_at.remove(),
        OwedRow.owner.remove(),
        OwedRow.attempts.remove(),
    ]
    try:
        writes.update(row.pk, row.sk, actions=[*actions, *also], condition=condition)
    except writes.Refused:
        return False
    return True


def finish(row: OwedRow, unless: Condition | None = None) -> bool:
    """Nothing is owed any more, and the row goes; `False` when another worker has taken over."""
    try:
        writes.delete(row.pk, row.sk, condition=mine(row) if unless is None else mine(row) & ~unless)
    except writes.Refused:
        return False
    return True


def postpone(
    kind: str, row: OwedRow, reason: str, *, delay_s: float | None = None, also: Sequence[Action] = ()
) -> None:
    """Try again later; after too many attempts the row goes to the dead letters with `reason`."""
    attempts = int(row.attempts or 0)
    if attempts >= ATTEMPTS:
        bury(kind, Key(row.pk, row.sk), reason, attempts)
        settle(row)
        return
    delay = delay_s if delay_s is not None else min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(attempts - 1, 10))
    try:
        writes.update(
            row.pk,
            row.sk,
            actions=[
                OwedRow.due_at.set(clock.now() + delay),
                OwedRow.failed.set(reason[:LONGEST_REASON]),
                *also,
            ],
            condition=mine(row),
        )
    except writes.Refused:
        return
    kicks.kick(kind, Key(row.pk, row.sk), delay)


def bury(kind: str, key: Key, reason: str, attempts: int, body: object = None) -> None:
    """Keep what could not be done, for a person to look at and replay."""
    now = clock.now()
    row = DeadRow(
        *keys.dead(now, ids.new(6)),
        kind=kind,
        owed_pk=key.pk,
        owed_sk=key.sk,
        reason=reason[:500],
        attempts=attempts,
        at=now,
        body=body,
        expires_at=int(now) + DEAD_KEPT_S,
    )
    writes.put(row)
    metrics.DEAD_LETTERS.add(1, kind)
    log.error("dead letter: %s after %d attempts: %s", kind, attempts, reason)


def dead_letters(limit: int = 100) -> list[DeadRow]:
    """The oldest dead letters."""
    rows, _ = writes.query(DeadRow, keys.DEAD, limit=limit)
    return rows


def count_dead(most: int) -> tuple[int, bool]:
    """How many dead letters there are, up to so many; whether there are more.  One call."""
    return writes.count_some(keys.DEAD, most, keys.dead(clock.now() - DEAD_KEPT_S, "").sk)


def dead_after(sk: str, limit: int, *, newest: bool = False) -> tuple[list[DeadRow], str | None]:
    """Some dead letters in the order of time, or against it, behind one, and behind which more may stand.

    Raises `Unavailable`.
    """
    start = writes.key(keys.DEAD, sk) if sk else None
    rows, following = writes.query(DeadRow, keys.DEAD, limit=limit, start=start, newest=newest)
    return rows, following["sk"]["S"] if following is not None else None


def dead_named(ids: Sequence[str]) -> list[DeadRow]:
    """The dead letters of these ids, at most 100, as far as they are there.  Raises `Unavailable`."""
    wanted = [Key(keys.DEAD, each) for each in dict.fromkeys(ids)]
    found = writes.get_many(wanted)
    return [DeadRow.from_raw_data(found[key]) for key in wanted if key in found]


def forget(letter: DeadRow) -> None:
    """Drop a dead letter: what it stands for will not be done.  Raises `Unavailable`."""
    writes.delete(letter.pk, letter.sk)


def oldest(kind: str, limit: int) -> tuple[list["Due"], bool]:
    """The rows that owe `kind` and are due first, now or later; whether there are more.

    Raises `Unavailable`.
    """
    rows: list[Due] = []
    more = False
    for partition in keys.due_partitions(kind):
        found, following = writes.query(OwedRow, partition, index=DUE_INDEX, limit=limit)
        rows += [_due(kind, row) for row in found]
        more = more or following is not None
    rows.sort(key=lambda due: due.at)
    return rows[:limit], more or len(rows) > limit


def replay(letter: DeadRow) -> bool:
    """Make a dead letter's row owe again, now, and forget the letter; `False` when there is nothing to do.

    Raises `Unavailable`.
    """
    again = _replayers.get(letter.kind, _owe_again)(letter)
    forget(letter)
    return again


def _owe_again(letter: DeadRow) -> bool:
    key = Key(letter.owed_pk, letter.owed_sk)
    try:
        writes.update(*key, actions=owing(letter.kind, key, clock.now()), condition=OwedRow.pk.exists())
    except writes.Refused:
        log.warning("dead letter without its row: %s", letter.kind)
        return False
    kicks.kick(letter.kind, key, 0.0)
    return True


def work(records: Sequence[dict[str, Any]]) -> list[str]:
    """Serve kicks; the ids of the messages that have to come again."""
    failed = []
    for record in records:
        try:
            kind, key = kicks.read(record["body"])
            worker = _workers[kind]
        except (KeyError, ValueError, TypeError):
            log.error("a message of the work queue that nobody can read was dropped")
            bury("unreadable", Key("", ""), "nobody can read this message", 1, str(record.get("body"))[:2000])
            continue
        if kind in _slow and kicks.aside(record["body"]):
            continue
        metrics.WORK.add(1, kind)
        try:
            worker(key)
        except AppError as error:
            metrics.WORK_FAILURES.add(1, kind)
            log.warning("%s will be tried again: %s", kind, error)
            failed.append(record["messageId"])
        except Exception:
            metrics.WORK_FAILURES.add(1, kind)
            log.exception("%s failed", kind)
            failed.append(record["messageId"])
    return failed


class Due(NamedTuple):
    """A row that owes: what, when it is due, how often that was tried, and why the last try failed."""

    kind: str
    at: float
    attempts: int
    reason: str | None = None


def _due(kind: str, row: OwedRow) -> Due:
    return Due(kind, float(row.due_at or 0), int(row.attempts or 0), row.failed)


class Overdue(NamedTuple):
    """Rows that were due and not served: how many, and for how long the oldest of them.

    `first` are the oldest of them, and behind them those that failed and wait for another try.
    """

    rows: int
    oldest_s: float
    first: tuple[Due, ...] = ()


def sweep() -> int:
    """Kick every row that is due and has not been served; how many there were."""
    return overdue().rows


def overdue() -> Overdue:
    """Kick every row that is due and has not been served; what there was, and what waits for another try."""
    found, oldest = 0, 0.0
    first: list[Due] = []
    now = clock.now()
    for kind in kinds():
        for partition in keys.due_partitions(kind):
            start = None
            while True:
                rows, start = writes.query(
                    OwedRow, partition, index=DUE_INDEX, until=now + AHEAD_S, limit=SWEEP_PAGE, start=start
                )
                late = [row for row in rows if float(row.due_at or 0) <= now]
                for row in late:
                    kicks.kick(kind, Key(row.pk, row.sk), 0.0)
                found += len(late)
                seen = [*late, *(row for row in rows[len(late) :] if row.failed)]
                first = sorted([*first, *(_due(kind, row) for row in seen)], key=lambda due: due.at)[:SHOWN]
                oldest = max([oldest, *(now - float(row.due_at or now) for row in late)])
                if start is None or len(late) < len(rows):
                    break
    metrics.OWED_ROWS.set(found)
    metrics.OWED_OLDEST_SECONDS.set(round(oldest, 3))
    metrics.SWEEPS.add()
    return Overdue(found, oldest, tuple(first))
