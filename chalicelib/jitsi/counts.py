"""Counts for moderators: one COUNT query for each shard, once in an interval, posts only on change."""

from chalicelib import clock, ids
from chalicelib.errors import AppError, Unavailable
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import messages, settings, store
from chalicelib.jitsi.principal import STATE
from chalicelib.jitsi.store import WatchRow
from chalicelib.outbox import kicks, owed
from chalicelib.realtime import fanout, fronts, subscriptions
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store.keys import Key

NEVER = -1
"""No count: who was shown it is due to be told the next one."""

EARLY_S = 0.5
"""A kick may come a little before the moment that the row names; queues count in whole seconds."""


def waiting(name: str) -> int:
    """How many wait for a conference now; none while it is live."""
    live = store.read_live(name)
    if live.is_live:
        return 0
    return subscriptions.count(store.partitions(name, live.epoch), fronts.alive())


def tick(key: Key) -> None:
    """Count a watched conference, tell those for whom the number changed, and come again in an interval."""
    interval = settings.get().state_interval_s
    row = owed.claim(WatchRow, key, lease_s=interval, early_s=min(EARLY_S, interval / 4), endless=True)
    if row is None:
        return
    alive = fronts.alive()
    watching = store.moderators(row.name, list(alive))
    if not watching:
        if not store.unwatch(row):
            kicks.kick(store.COUNT, key, interval)
        return
    live = store.read_live(row.name)
    count = 0 if live.is_live else subscriptions.count(store.partitions(row.name, live.epoch), alive)
    before = None if live.is_live or row.counted is None else int(row.counted)
    number = conferences.shown(before, count)
    unsure = [each for each in watching if _unsure(each, row)]
    told = [each for each in watching if each.shown != number or each in unsure]
    try:
        for moderator in told:
            show(row, number, moderator)
    except AppError:
        _end(row, count, bool(told))
        raise
    if told or row.counted != count:
        _end(row, count, bool(told))
    kicks.kick(store.COUNT, key, interval)


def _unsure(moderator: SubscriptionRow, row: WatchRow) -> bool:
    """Whether a tick that never came to its end noted a number for a moderator, and may not have sent it."""
    return moderator.shown_by is not None and int(row.told or 0) < moderator.shown_by < int(row.attempts)


def _end(row: WatchRow, count: int, told: bool) -> None:
    """Note what was counted, and that whoever was to be told was told."""
    also = [WatchRow.counted.set(count)]
    if told:
        also.append(WatchRow.told.set(int(row.attempts)))
    owed.hold(row, lease_s=max(0.0, float(row.due_at or 0) - clock.now()), also=also)


def show(row: WatchRow, number: int, moderator: SubscriptionRow) -> None:
    """Send a moderator the number.

    It is noted first: whoever dies in between has the next tick send it, once more if it was sent.
    """
    before = None if moderator.shown is None else int(moderator.shown)
    by = int(row.attempts)
    row_key = (moderator.pk, moderator.sk)
    try:
        if not subscriptions.show(row_key, number, before, by):
            return
    except Unavailable:
        owed.insist(lambda: subscriptions.show(row_key, NEVER, number, by))
        raise
    body = messages.count_body(row.name, number)
    posts = [
        Post(moderator.sk, messages.message(address, ids.new(), body))
        for address in messages.unpack(moderator.data, messages.usual_destination(STATE, row.name))
    ]
    outcomes = fanout.send(moderator.front, posts)
    if Outcome.GONE in outcomes:
        subscriptions.drop([row_key])
    elif Outcome.RETRY in outcomes:
        subscriptions.show(row_key, before if before is not None else NEVER, number, by)
