"""The queue's rows and their conditional writes."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from pynamodb.attributes import ListAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib import settings as process
from chalicelib.jitsi.conference import DAMPING_WINDOW_S, Live
from chalicelib.outbox import owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, noted, writes
from chalicelib.store.keys import Key
from chalicelib.store.noted import NotedRow
from chalicelib.store.table import DUE_INDEX, Item

RELEASE: Final = "release"
PAGE: Final = "page"
DAMPED: Final = "damped"
COUNT: Final = "count"
LOOK: Final = "look"
LEAVE: Final = "leave"
DROP: Final = "drop"

EPOCH_KEPT_S: Final = 48 * 3600
"""A live record outlives every row of its epochs (24 h at most), or an epoch would come again."""

CACHED: Final = 10_000
"""So many rows are read in one call."""
FRESH_S: Final = 5.0


class LiveRow(OwedRow):
    """A conference's live record; it owes the release of its epoch, and of all from `release_from` on."""

    name = UnicodeAttribute()
    epoch = NumberAttribute(default=1)
    live_until = NumberAttribute(default=0)
    golive_at = NumberAttribute(default=0)
    window_ms = NumberAttribute(null=True)
    release_from = NumberAttribute(null=True)
    since = NumberAttribute(null=True)
    """Rows that came before this moment were served by an earlier release of the same epoch."""
    late = NumberAttribute(null=True)
    """Since when visitors come who may have been missed by the release that is under way."""


class PageRow(OwedRow):
    """What is left of a release in one shard."""

    name = UnicodeAttribute()
    epoch = NumberAttribute()
    shard = NumberAttribute()
    served = UnicodeAttribute(null=True)
    """The front whose own process began the release, and sent the message to its sockets itself."""
    runs: ListAttribute[int] = ListAttribute(null=True)
    """Runs that began and did not end."""
    closing = NumberAttribute(null=True)
    """Set once all are sent: sockets that have not left by then are closed."""
    since = NumberAttribute(default=0)
    again = NumberAttribute(null=True)
    """Another release began before this one ended: all has to be looked at once more."""
    window_ms = NumberAttribute(default=0)
    golive_at = NumberAttribute(default=0)


class LookRow(OwedRow):
    """That visitors of a live epoch are looked for who were left behind."""

    name = UnicodeAttribute()
    epoch = NumberAttribute()
    interval = NumberAttribute()
    """Seconds between the last look and the next one."""


class WatchRow(OwedRow):
    """That a conference's count is watched."""

    name = UnicodeAttribute()
    counted = NumberAttribute(null=True)
    version = UnicodeAttribute(null=True)
    told = NumberAttribute(null=True)
    """The last tick that told moderators a number and came to its end."""


class ConferenceRow(NotedRow):
    """That there is, or was, a conference; with what it was counted last, where that was done in passing."""

    waiting = NumberAttribute(null=True)
    counted = NumberAttribute(null=True)
    """When that was."""


class DampingRow(OwedRow):
    """One release to a token or source in a conference; it owes the message while it is held back."""

    name = UnicodeAttribute()
    epoch = NumberAttribute()
    socket = UnicodeAttribute()
    token = UnicodeAttribute()
    front = UnicodeAttribute()
    data = UnicodeAttribute()
    run = NumberAttribute(default=0)
    """The claim that keeps others from serving the visitor meanwhile; below 0, for it is held back."""


class DenialRow(Item):
    """Until when a token is refused, by class of destination."""

    visitor = NumberAttribute(null=True)
    state = NumberAttribute(null=True)
    other = NumberAttribute(null=True)


class GraceRow(Item):
    """That a token was accepted for a conference in its lifetime."""


class ConnectsRow(Item):
    """The sockets of one token or source in one minute."""

    sockets = UnicodeSetAttribute()


class _Known:
    """What this process last read of conferences' live records."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[float, Live]] = OrderedDict()

    def put(self, name: str, live: Live) -> None:
        with self._lock:
            self._entries[name] = (clock.monotonic(), live)
            self._entries.move_to_end(name)
            if len(self._entries) > CACHED:
                self._entries.popitem(last=False)

    def get(self, name: str, max_age_s: float) -> Live | None:
        entry = self._entries.get(name)
        if entry is None or clock.monotonic() - entry[0] > max_age_s:
            return None
        return entry[1].at(clock.now())

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


_known = _Known()
process.also_reset(_known.clear)


def _live(name: str, row: LiveRow | None) -> Live:
    """What a live record says now, remembered for this process."""
    live = _state(row)
    _known.put(name, live)
    return live.at(clock.now())


def _state(row: LiveRow | None) -> Live:
    return (
        Live()
        if row is None
        else Live(
            int(row.epoch),
            float(row.live_until or 0),
            float(row.golive_at or 0),
            None if row.window_ms is None else int(row.window_ms),
            (row.due is not None and row.owner is None) or row.late is not None,
            float(row.expires_at or 0),
        )
    )


def known(name: str, max_age_s: float = float("inf")) -> Live | None:
    """The conference's state as this process last saw it, `None` if that is too long ago."""
    return _known.get(name, max_age_s)


def read_live(name: str) -> Live:
    """The conference's state, read strongly."""
    return _live(name, writes.get(LiveRow, *keys.live(keys.conference(name)), consistent=True))


def fresh_live(name: str) -> Live:
    """The conference's state, at most five seconds old."""
    return known(name, FRESH_S) or read_live(name)


def read_live_and(name: str, other: Key) -> tuple[Live, writes.Raw | None]:
    """The conference's state and another item if it stands, read strongly in one call."""
    key = keys.live(keys.conference(name))
    found = writes.get_many([key, other])
    return _live(name, writes.read(LiveRow, found.get(key))), found.get(other)


def keep(name: str) -> bool:
    """Have a live record outlive the rows of its epoch that come now; `False` when it has gone."""
    key = keys.live(keys.conference(name))
    until = int(clock.now()) + EPOCH_KEPT_S
    try:
        writes.update(*key, actions=[LiveRow.expires_at.set(until)], condition=LiveRow.pk.exists())
    except writes.Refused:
        return False
    return True


def go_live(name: str, ttl_s: float) -> Key:
    """Record that a conference is live, and in the same write that its visitors are owed the release.

    A second write only where an earlier record had expired: then a new epoch begins.
    """
    now = clock.now()
    key = keys.live(keys.conference(name))
    current = LiveRow.live_until.does_not_exist() | (LiveRow.live_until > now)
    try:
        raw = _record(key, name, now, ttl_s, current, 0)
    except writes.Refused as refused:
        row = refused.row(LiveRow)
        epoch = int(row.epoch) if row is not None else 1
        over = (LiveRow.live_until <= now) & (LiveRow.epoch == epoch)
        still_owed = row is not None and row.due is not None
        first = [LiveRow.release_from.set(LiveRow.release_from | epoch)] if still_owed else []
        try:
            raw = _record(key, name, now, ttl_s, over, epoch + 1, first)
        except writes.Refused:
            raw = _record(key, name, now, ttl_s, current, 0)
    _live(name, writes.read(LiveRow, raw))
    return key


def _record(
    key: Key,
    name: str,
    now: float,
    ttl_s: float,
    condition: Condition,
    epoch: int,
    also: Sequence[Action] = (),
) -> writes.Raw | None:
    actions = [
        *also,
        LiveRow.name.set(name),
        LiveRow.live_until.set(now + ttl_s),
        LiveRow.golive_at.set(now),
        LiveRow.window_ms.remove(),
        LiveRow.since.remove(),
        LiveRow.late.remove(),
        LiveRow.expires_at.set(int(now + ttl_s) + EPOCH_KEPT_S),
        *owed.owing(RELEASE, key, now),
        # An absent record means epoch 1, so 1 is what the first one writes.
        LiveRow.epoch.set(epoch if epoch else LiveRow.epoch | 1),
    ]
    return writes.update(*key, actions=actions, condition=condition, returns="ALL_NEW")


def clear(name: str) -> None:
    """Record that a conference is not live any more: the next epoch begins.

    A second write only where visitors of this epoch are still owed their release: they get it.
    """
    owes = LiveRow.due.exists()
    try:
        _clear(name, LiveRow.live_until.exists() & ~owes, [])
    except writes.Refused as refused:
        row = refused.row(LiveRow)
        _live(name, row)
        if row is None or not row.live_until:
            return
        try:
            first = LiveRow.release_from.set(LiveRow.release_from | LiveRow.epoch)
            _clear(name, LiveRow.live_until.exists() & (LiveRow.epoch == row.epoch), [first])
        except writes.Refused as again:
            _live(name, again.row(LiveRow))


def _clear(name: str, condition: Condition, also: Sequence[Action]) -> None:
    raw = writes.update(
        *keys.live(keys.conference(name)),
        actions=[
            LiveRow.live_until.remove(),
            LiveRow.golive_at.remove(),
            LiveRow.epoch.set(LiveRow.epoch + 1),
            LiveRow.expires_at.set(int(clock.now()) + EPOCH_KEPT_S),
            *also,
        ],
        condition=condition,
        returns="ALL_NEW",
    )
    _live(name, writes.read(LiveRow, raw))


def note(name: str) -> None:
    """Have a conference stand in the list of all, where somebody may look at that."""
    noted.note(keys.CONFERENCES, name)


def noted_after(name: str, limit: int) -> tuple[list[ConferenceRow], str | None]:
    """Some of all conferences in the order of their names, behind `name`, and behind which more may stand.

    Raises `Unavailable`.
    """
    return noted.page(ConferenceRow, keys.CONFERENCES, limit, name)


def note_count(name: str, waiting: int) -> None:
    """Note with how many a conference was counted, if it is in the list of all.  Raises `Unavailable`."""
    actions = [ConferenceRow.waiting.set(waiting), ConferenceRow.counted.set(round(clock.now(), 3))]
    with contextlib.suppress(writes.Refused):
        writes.update(
            *keys.noted(keys.CONFERENCES, name), actions=actions, condition=ConferenceRow.pk.exists()
        )


def owe_latecomers(name: str, delay_s: float) -> None:
    """Have visitors who come to a live conference from now on looked after in a while.

    One write, which only the first of them makes; where a release is under way, which may have
    passed them already, it is noted that it has to be followed by another.
    """
    now = clock.now()
    key = keys.live(keys.conference(name))
    is_live = LiveRow.live_until.exists()
    # Who came shortly before this is looked after too: the handler may have waited for storage.
    since = now - delay_s
    idle = [*owed.owing(RELEASE, key, now + delay_s), LiveRow.since.set(since)]
    ways = (
        (idle, is_live & LiveRow.due.does_not_exist()),
        ([LiveRow.late.set(LiveRow.late | since)], is_live & LiveRow.owner.exists()),
        (idle, is_live & LiveRow.due.does_not_exist()),
    )
    for actions, condition in ways:
        try:
            writes.update(*key, actions=actions, condition=condition)
        except writes.Refused:
            continue
        return


def shard(socket_id: str) -> int:
    """The shard of a conference's queue in which a socket's row stands."""
    return ids.bucket(socket_id, process.get().shards)


def queue_row(
    name: str, epoch: int, socket_id: str, token: str, front: str, data: str, expires_at: int
) -> SubscriptionRow:
    """A waiting visitor's row."""
    return SubscriptionRow(
        keys.queue(keys.conference(name), epoch, shard(socket_id)),
        queue_sk(token, socket_id),
        front=front,
        data=data,
        expires_at=expires_at,
    )


TOKEN_PART: Final = 11


def queue_sk(token: str, socket_id: str) -> str:
    """A visitor's sort key: it begins with the token, so that a grace can be found by it."""
    return f"{token[:TOKEN_PART]}.{socket_id}"


def socket_of(sk: str) -> str:
    """The socket in a visitor's sort key."""
    return sk.partition(".")[2]


def socket_in(key: Key) -> str:
    """The socket of a session's key."""
    return key.pk[1:]


def partitions(name: str, epoch: int) -> list[str]:
    """The shards of a conference's queue in one epoch."""
    conference = keys.conference(name)
    return [keys.queue(conference, epoch, shard) for shard in range(process.get().shards)]


def remember_grace(name: str, token: str, until: float) -> Item:
    """The row that says a token was accepted for a conference."""
    return GraceRow(*keys.grace(keys.conference(name), token), expires_at=int(until))


def has_grace(name: str, token: str) -> bool:
    """Whether a token was accepted for a conference in its lifetime, as far as a row of its own says so."""
    row = writes.get(GraceRow, *keys.grace(keys.conference(name), token), consistent=True)
    return row is not None and (row.expires_at or 0) > clock.now()


def deny(token: str, kind: str, memory_s: float) -> None:
    """Remember that a token was denied a class of destinations."""
    until = clock.now() + memory_s
    writes.update(
        *keys.denial(token), actions=[Path([kind]).set(until), DenialRow.expires_at.set(int(until) + 1)]
    )


def is_denied(token: str) -> bool:
    """Whether a token was denied any class of destinations a little while ago."""
    row = writes.get(DenialRow, *keys.denial(token), consistent=True)
    now = clock.now()
    return row is not None and any((until or 0) > now for until in (row.visitor, row.state, row.other))


def connects(who: str, socket_id: str) -> int:
    """Note a socket among those that `who` opened in this minute; how many they are.

    A set and not a counter: the same write twice counts once.
    """
    now = clock.now()
    raw = writes.update(
        *keys.connects(who, int(now // 60)),
        actions=[ConnectsRow.sockets.add({socket_id}), ConnectsRow.expires_at.set(int(now) + 120)],
        returns="ALL_NEW",
    )
    row = writes.read(ConnectsRow, raw)
    return len(row.sockets) if row is not None else 0


def recent_releases(name: str, who: str, enough: int) -> int:
    """How many releases a token or source had in a conference in the last ten minutes, up to `enough`."""
    rows, _ = writes.query(
        DampingRow,
        keys.damping(keys.conference(name), who),
        consistent=True,
        at_least=keys.damping_time(clock.now() - DAMPING_WINDOW_S),
        limit=enough,
    )
    return len(rows)


def note_release(
    row: SubscriptionRow, name: str, epoch: int, token: str, who: str, held_until: float | None, run: int
) -> Key:
    """Note a release of the visitor in `row` to a token or source, done now or owed at `held_until`."""
    now = clock.now()
    socket = socket_of(row.sk)
    key = Key(keys.damping(keys.conference(name), who), f"{keys.damping_time(now)}.{socket}")
    note = DampingRow(
        *key,
        name=name,
        epoch=epoch,
        socket=socket,
        token=token,
        front=row.front,
        data=row.data,
        run=run,
        attempts=0,
        expires_at=int(max(now, held_until or now) + 2 * DAMPING_WINDOW_S),
    )
    if held_until is not None:
        note.due = keys.due(DAMPED, key.pk)
        note.due_at = held_until
    writes.put(note)
    return key


def page_rows(
    name: str, epoch: int, golive_at: float, window_ms: int, *, since: float = 0.0, served: str = ""
) -> list[PageRow]:
    """What a release owes in each shard of one epoch, to those who came from `since` on.

    The visitors of the front `served` were sent all that they are owed.
    """
    conference = keys.conference(name)
    now = clock.now()
    rows = []
    for number in range(process.get().shards):
        key = keys.page(conference, epoch, number)
        rows.append(
            PageRow(
                *key,
                name=name,
                epoch=epoch,
                shard=number,
                served=served or None,
                since=since,
                window_ms=window_ms,
                golive_at=golive_at,
                due=keys.due(PAGE, key.pk),
                due_at=now,
                attempts=0,
                expires_at=int(now) + EPOCH_KEPT_S,
            )
        )
    return rows


def owe_look(name: str, epoch: int, after_s: float) -> None:
    """Have visitors looked for who are left behind in a live epoch; it begins anew if it was owed already."""
    now = clock.now()
    key = keys.look(keys.conference(name), epoch)
    writes.put(
        LookRow(
            *key,
            name=name,
            epoch=epoch,
            interval=after_s,
            due=keys.due(LOOK, key.pk),
            due_at=now + after_s,
            attempts=0,
            expires_at=int(now) + EPOCH_KEPT_S,
        )
    )


def owe_page(row: PageRow) -> bool:
    """Keep what a release owes in a shard; `False` when one is under way there, which then begins anew."""
    while True:
        try:
            writes.put(row, PageRow.due.does_not_exist())
        except writes.Refused:
            try:
                writes.update(
                    row.pk, row.sk, actions=[PageRow.again.set(clock.now())], condition=PageRow.due.exists()
                )
            except writes.Refused:
                continue
            return False
        return True


def look_on(names: Sequence[str], *, consistent: bool = False) -> list[tuple[Live, WatchRow | None]]:
    """The states of conferences and whether each is watched, for who looks on.  Raises `Unavailable`."""
    wanted = [key for name in names for key in (live_key(name), keys.watch(keys.conference(name)))]
    found = writes.get_all(wanted, consistent)
    return [
        (
            live_of(found.get(live_key(name))),
            writes.read(WatchRow, found.get(keys.watch(keys.conference(name)))),
        )
        for name in names
    ]


def live_key(name: str) -> Key:
    """Where a conference's live record stands."""
    return keys.live(keys.conference(name))


def live_of(raw: writes.Raw | None) -> Live:
    """The state of a conference by its live record, for who looks on: nothing of it is remembered."""
    return _state(writes.read(LiveRow, raw)).at(clock.now())


def moderators(name: str, fronts: Sequence[str]) -> list[SubscriptionRow]:
    """The living rows of those who watch a conference."""
    now = clock.now()
    rows = writes.query_all(SubscriptionRow, keys.moderators(keys.conference(name)), consistent=True)
    return [row for row in rows if (row.expires_at or 0) > now and row.front in fronts]


def watch(name: str, interval_s: float, nonce: str) -> bool:
    """Note that somebody watches a conference; `True` when nobody did before, and counting has to begin."""
    now = clock.now()
    key = keys.watch(keys.conference(name))
    raw = writes.update(
        *key,
        actions=[
            WatchRow.name.set(name),
            WatchRow.version.set(nonce),
            WatchRow.due.set(keys.due(COUNT, key.pk)),
            WatchRow.due_at.set(WatchRow.due_at | (now + interval_s)),
            WatchRow.expires_at.set(int(now) + EPOCH_KEPT_S),
        ],
        returns="ALL_OLD",
    )
    return raw is None


def watched(most: int) -> list[WatchRow]:
    """Conferences whose count is watched, some of them where they are more."""
    found: list[WatchRow] = []
    for partition in keys.due_partitions(COUNT):
        rows, _ = writes.query(WatchRow, partition, index=DUE_INDEX, limit=most - len(found))
        found += rows
        if len(found) >= most:
            break
    return found


def unwatch(row: WatchRow) -> bool:
    """Stop counting, unless somebody has begun to watch since `row` was read."""
    try:
        writes.delete(row.pk, row.sk, condition=WatchRow.version == row.version)
    except writes.Refused:
        return False
    return True
