"""Counts for moderators: one COUNT query for each shard, once in an interval, posts only on change."""

from chalicelib import clock, ids
from chalicelib.errors import Unavailable
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
    show(row.name, conferences.shown(before, count), watching)
    if row.counted != count:
        owed.hold(
            row, lease_s=max(0.0, float(row.due_at or 0) - clock.now()), also=[WatchRow.counted.set(count)]
        )
    kicks.kick(store.COUNT, key, interval)


def _note(row_key: tuple[str, str], number: int, before: int | None) -> bool:
    """Note the number that a moderator is about to be sent; if it is not sent, nothing stays noted."""
    try:
        return subscriptions.show(row_key, number, before)
    except Unavailable:
        owed.insist(lambda: subscriptions.show(row_key, NEVER, number))
        raise


def show(name: str, number: int, watching: list[SubscriptionRow]) -> None:
    """Send the number to those who were sent another one last."""
    body = messages.count_body(name, number)
    usual = messages.usual_destination(STATE, name)
    for moderator in watching:
        before = None if moderator.shown is None else int(moderator.shown)
        row_key = (moderator.pk, moderator.sk)
        if before == number or not _note(row_key, number, before):
            continue
        posts = [
            Post(moderator.sk, messages.message(address, ids.new(), body))
            for address in messages.unpack(moderator.data, usual)
        ]
        outcomes = fanout.send(moderator.front, posts)
        if Outcome.GONE in outcomes:
            subscriptions.drop([row_key])
        elif Outcome.RETRY in outcomes:
            subscriptions.show(row_key, before if before is not None else NEVER, number)
