"""Releases: the worker's part.  A conference's release, one shard's page of it, and those held back."""

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.jitsi import actions, messages, settings, store
from chalicelib.jitsi.conference import Live
from chalicelib.jitsi.principal import VISITOR
from chalicelib.jitsi.store import DampingRow, LiveRow, PageRow
from chalicelib.outbox import kicks, owed
from chalicelib.realtime import fanout, fronts, parallel, ports, subscriptions
from chalicelib.realtime.fronts import Front
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

PAGE: Final = 500
CHUNK: Final = 100
CLOSE_CHUNK: Final = 100
FENCE_S: Final = 5.0


def release(key: Key) -> None:
    """Serve a conference's owed release: those in this process at once, all others shard by shard."""
    row = owed.claim(LiveRow, key)
    if row is None:
        return
    now = clock.now()
    name, epoch = row.name, int(row.epoch)
    live_now = bool(row.live_until) and row.live_until > now
    last = epoch if live_now else epoch - 1
    first = int(row.release_from or last)
    here = ports.current()
    alive = fronts.alive(fresh=True)
    others = [front for front in alive if not fanout.is_local(front)]
    owed_epochs = range(first, last + 1)
    if row.window_ms is None:
        row.window_ms = actions.spread().window(_waiting(name, owed_epochs, others))
    if here.delivery is not None:
        _release_local(name, owed_epochs, int(row.window_ms))
    if others and owed_epochs:
        if not owed.hold(row, also=[LiveRow.window_ms.set(row.window_ms)]):
            return
        pages = [page for each in owed_epochs for page in store.page_rows(row, each)]
        for page, new in zip(pages, parallel.each(store.owe_page, pages), strict=True):
            if new:
                kicks.kick(store.PAGE, Key(page.pk, page.sk))
    over = [LiveRow.window_ms.set(row.window_ms), LiveRow.release_from.remove(), LiveRow.since.remove()]
    if not owed.settle(row, also=over, unless=LiveRow.late.exists()):
        _look_again(row)


def _look_again(row: LiveRow) -> None:
    """Visitors came while the release was under way, which may have passed them: owe it once more."""
    after = actions.LATECOMERS_AFTER_S
    late = [LiveRow.since.set(LiveRow.late), LiveRow.late.remove(), LiveRow.owner.remove()]
    owed.hold(row, lease_s=after, also=late, provided=LiveRow.late.exists())


def _waiting(name: str, epochs: range, others: list[str]) -> int:
    """How many are to be released: the sockets of this process by its memory, all others by their rows."""
    here = ports.current()
    local = 0
    if here.listeners is not None and here.delivery is not None:
        local = len(here.listeners.listening(messages.topic(VISITOR, name)))
    partitions = [partition for epoch in epochs for partition in store.partitions(name, epoch)]
    return local + subscriptions.count(partitions, others)


def _release_local(name: str, epochs: range, window_ms: int) -> None:
    """Send the live message to every visitor of this process who waits in one of `epochs`."""
    here = ports.current()
    if here.listeners is None or here.delivery is None or not epochs:
        return
    epoch = epochs[-1]
    posts: list[Post] = []
    sockets: list[str] = []
    ident = actions.message_id(name, epoch)
    body = messages.live_body(name, window_ms)
    after = settings.get().close_after_release_s
    texts: dict[tuple[str, str, bool], str] = {}
    for socket_id, subscribed in here.listeners.listening(messages.topic(VISITOR, name)):
        for text in subscribed:
            found = messages.listening(text)
            if found.released or found.epoch not in epochs:
                continue
            address = (found.id, found.destination, found.ack)
            frame = texts.get(address)
            if frame is None:
                frame = texts[address] = messages.message(messages.Address(*address), ident, body)
            posts.append(Post(socket_id, frame, f"{ident}/{found.id}", after))
        sockets.append(socket_id)
    here.delivery.post(posts)
    for socket_id in sockets:
        actions.mark_released(socket_id, name)


def page(key: Key) -> None:
    """Serve what a release owes in one shard: send to the unserved, then close those who do not leave."""
    run = subscriptions.new_run()
    row = owed.claim(PageRow, key, also=[PageRow.runs.set((PageRow.runs | []).append([run]))])
    if row is None:
        return
    if row.closing:
        _close_those_who_stay(row)
        _end(row)
        return
    died = tuple(int(each) for each in (row.runs or [])[:-1])
    bound = _bound(row)
    left_over = claimed = False
    for rows in _pages(row):
        by_front: dict[str, list[SubscriptionRow]] = {}
        for visitor in rows:
            by_front.setdefault(visitor.front, []).append(visitor)
        alive = fronts.alive()
        for front_id, visitors in by_front.items():
            front = alive.get(front_id)
            if front is None or fanout.is_local(front_id):
                continue
            if not front.dedup:
                claimed = True
            for at in range(0, len(visitors), CHUNK):
                _fence(row)
                left_over |= _serve(row, front, visitors[at : at + CHUNK], bound, run, died)
    if left_over:
        owed.postpone(
            store.PAGE, row, "some sockets could not be reached", also=[PageRow.runs.set(list(died))]
        )
    elif claimed and settings.get().close_after_release_s:
        _close_later(row)
    else:
        _end(row)


def _end(row: PageRow) -> None:
    """A shard is done, unless another release began meanwhile: then it is looked at once more."""
    if owed.finish(row, unless=PageRow.again.exists()):
        return
    anew = [PageRow.again.remove(), PageRow.closing.remove(), PageRow.runs.remove(), PageRow.since.set(0)]
    if owed.hold(row, lease_s=0, also=anew, provided=PageRow.again.exists()):
        kicks.kick(store.PAGE, Key(row.pk, row.sk))


def _bound(row: PageRow) -> int:
    """What is left of the release's window, in milliseconds."""
    live = Live(int(row.epoch), 1, float(row.golive_at or 0), int(row.window_ms or 0))
    return int(row.window_ms or 0) if not row.since else actions.spread().left(live, clock.now())


def _pages(row: PageRow) -> Iterator[list[SubscriptionRow]]:
    """The visitors of a shard, page by page; the lease is prolonged between pages.  Raises `Unavailable`."""
    partition = keys.queue(keys.conference(row.name), int(row.epoch), int(row.shard))
    start = None
    while True:
        rows, start = subscriptions.page(partition, PAGE, start)
        since = float(row.since or 0)
        yield [
            each for each in rows if float(each.expires_at or 0) - actions.lifetime(each.front) >= since - 1
        ]
        if start is None:
            return
        if not owed.hold(row):
            raise Unavailable("another worker has taken over")


def _fence(row: PageRow) -> None:
    """Stop well before the lease is over, when another worker may begin.  Raises `Unavailable`."""
    if clock.now() > float(row.due_at or 0) - FENCE_S and not owed.hold(row):
        raise Unavailable("another worker has taken over")


def _serve(
    row: PageRow, front: Front, visitors: list[SubscriptionRow], bound: int, run: int, died: tuple[int, ...]
) -> bool:
    """Send to some visitors of one front; `True` when some have to be tried again."""
    usual = messages.usual_destination(VISITOR, row.name)
    mine: list[SubscriptionRow]
    free = [each for each in visitors if each.claim is None or each.claim in died]
    if front.dedup:
        mine = free
    else:
        claims = parallel.each(lambda each: subscriptions.claim((each.pk, each.sk), run, died), free)
        mine = [each for each in claims if each is not None]
    posts: list[Post] = []
    owners: list[SubscriptionRow] = []
    for visitor in mine:
        addresses = messages.unpack(visitor.data, usual)
        for post in actions.live_posts(
            row.name, int(row.epoch), bound, store.socket_of(visitor.sk), addresses
        ):
            posts.append(post)
            owners.append(visitor)
    gone: dict[tuple[str, str], None] = {}
    again: dict[tuple[str, str], None] = {}
    for visitor, outcome in zip(owners, fanout.send(front.id, posts), strict=True):
        if outcome is Outcome.GONE:
            gone[visitor.pk, visitor.sk] = None
        elif outcome is Outcome.RETRY:
            again[visitor.pk, visitor.sk] = None
    subscriptions.drop(list(gone))
    if not front.dedup:
        parallel.each(lambda where: subscriptions.unclaim(where, run), list(again))
    return bool(again)


def _close_later(row: PageRow) -> None:
    """Have the sockets of those who were sent the message closed in a while, unless they go themselves."""
    after = settings.get().close_after_release_s
    at = clock.now() + after
    if owed.hold(row, lease_s=after, also=[PageRow.closing.set(at), PageRow.runs.remove()]):
        kicks.kick(store.PAGE, Key(row.pk, row.sk), after)


def _close_those_who_stay(row: PageRow) -> None:
    """Close released sockets that still have a session.

    The client waits for that; or its message was lost with whoever had claimed it, and it comes again.
    """
    for rows in _pages(row):
        alive = fronts.alive()
        stay = [each for each in rows if _is_served(each, alive)]
        for at in range(0, len(stay), CLOSE_CHUNK):
            chunk = stay[at : at + CLOSE_CHUNK]
            sockets = {keys.socket(store.socket_of(each.sk)): each for each in chunk}
            found = writes.get_many(list(sockets))
            for where in found:
                visitor = sockets[where]
                fanout.close(visitor.front, store.socket_of(visitor.sk), 1000)


def _is_served(visitor: SubscriptionRow, alive: Mapping[str, Front]) -> bool:
    """Whether a visitor was claimed, on a front that does not deduplicate, and is not held back."""
    front = alive.get(visitor.front)
    return front is not None and not front.dedup and (visitor.claim or 0) > 0


def damped(key: Key) -> None:
    """Send the live message to a visitor who was held back to damp a loop."""
    row = owed.claim(DampingRow, key)
    if row is None:
        return
    visitor = store.queue_row(
        row.name, int(row.epoch), row.socket, row.token, row.front, row.data, int(row.expires_at or 0)
    )
    where = (visitor.pk, visitor.sk)
    standing = subscriptions.read(where)
    if standing is None or (standing.claim not in (None, row.run)):
        owed.settle(row)
        return
    if standing.claim is None and actions.in_rows() and subscriptions.claim(where, int(row.run)) is None:
        owed.settle(row)
        return
    bound = actions.spread().left(store.read_live(row.name), clock.now())
    if actions.send_live(standing, row.name, int(row.epoch), bound) is Outcome.RETRY:
        owed.postpone(store.DAMPED, row, "the socket could not be reached")
    else:
        owed.settle(row)
