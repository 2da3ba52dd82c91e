"""Releases: the worker's part.  A conference's release, one shard's page of it, and those held back."""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from chalicelib import clock, metrics
from chalicelib.errors import AppError, Unavailable
from chalicelib.jitsi import actions, live, messages, presence, settings, store, waiting
from chalicelib.jitsi.conference import Live
from chalicelib.jitsi.messages import Address
from chalicelib.jitsi.principal import VISITOR
from chalicelib.jitsi.store import DampingRow, LiveRow, LookRow, PageRow
from chalicelib.outbox import kicks, owed
from chalicelib.realtime import fanout, fronts, parallel, ports, subscriptions
from chalicelib.realtime.fronts import Front
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.realtime.sessions import standing_session
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

PAGE: Final = 500
CHUNK: Final = 100
CLOSE_CHUNK: Final = 100
FENCE: Final = 6
"""The part of a lease that a page does not begin anything in."""
LOOK_AFTER_S: Final = 60.0
LOOK_AT_LEAST_EVERY_S: Final = 300.0
EVER: Final = 1.0
"""A moment before anybody came: a page with one is for latecomers, for whom the window is partly over."""


def release(key: Key) -> None:
    """Serve a conference's owed release: those in this process at once, all others shard by shard."""
    row = owed.claim(LiveRow, key)
    if row is None:
        return
    name, epoch = row.name, int(row.epoch)
    # What was live is owed, also when its time has run out meanwhile; clearing it began the next epoch.
    last = epoch if row.live_until else epoch - 1
    first = int(row.release_from or last)
    here = ports.current()
    alive = fronts.alive(fresh=True)
    others = [front for front in alive if not fanout.is_local(front)]
    owed_epochs = range(first, last + 1)
    if row.window_ms is None:
        row.window_ms = live.spread().window(_waiting(name, owed_epochs, others))
    if here.delivery is not None:
        _release_local(name, owed_epochs, int(row.window_ms))
    if others and owed_epochs:
        if not owed.hold(row, also=[LiveRow.window_ms.set(row.window_ms)]):
            return
        served = here.front_id if here.delivery is not None else ""
        pages = [page for each in owed_epochs for page in _pages_of(row, each, served)]
        _owe_pages(pages)
        if any(not alive[front].remembers for front in others):
            for each in owed_epochs:
                store.owe_look(name, each, LOOK_AFTER_S)
    over = [LiveRow.window_ms.set(row.window_ms), LiveRow.release_from.remove(), LiveRow.since.remove()]
    if not owed.settle(row, also=over, unless=LiveRow.late.exists()):
        _look_again(row)


def _pages_of(row: LiveRow, epoch: int, served: str) -> list[PageRow]:
    """What a release owes in each shard of one of its epochs."""
    window_ms, golive_at, since = int(row.window_ms or 0), float(row.golive_at or 0), float(row.since or 0)
    return store.page_rows(row.name, epoch, golive_at, window_ms, since=since, served=served)


def _owe_pages(pages: Sequence[PageRow]) -> None:
    """Have shards served: at once, unless one is under way, which then begins anew."""
    for page, new in zip(pages, parallel.each(store.owe_page, pages), strict=True):
        if new:
            kicks.kick(store.PAGE, Key(page.pk, page.sk))


def look(key: Key) -> None:
    """Look for visitors who are left behind in a live epoch, and again as long as it is live.

    A handler of its own may die after it wrote the visitor's row and before it saw that the conference is
    live.  Nobody else knows of that visitor then, and the socket stands.
    """
    row = owed.claim(LookRow, key, endless=True)
    if row is None:
        return
    record = store.read_live(row.name)
    fronts_left = [front.id for front in fronts.alive().values() if not front.remembers]
    partitions = store.partitions(row.name, int(row.epoch))
    left = parallel.each(lambda each: subscriptions.count([each], fronts_left), partitions)
    if any(left):
        metrics.VISITORS_LEFT_BEHIND.add(sum(left))
        log.warning("visitors were left behind, and are served now: %d", sum(left))
        pages = store.page_rows(row.name, int(row.epoch), record.golive_at, record.window_ms or 0, since=EVER)
        _owe_pages([page for page, number in zip(pages, left, strict=True) if number])
    if not (record.is_live and record.epoch == int(row.epoch)):
        owed.finish(row)
        return
    interval = min(LOOK_AT_LEAST_EVERY_S, float(row.interval) * 2)
    again = [LookRow.interval.set(interval), LookRow.attempts.set(0)]
    owed.hold(row, lease_s=interval, also=again)


def _look_again(row: LiveRow) -> None:
    """Visitors came while the release was under way, which may have passed them: owe it once more."""
    after = waiting.LATECOMERS_AFTER_S
    late = [
        LiveRow.since.set(LiveRow.late),
        LiveRow.late.remove(),
        LiveRow.owner.remove(),
        LiveRow.attempts.set(0),
    ]
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
    ident = live.message_id(name, epoch)
    body = messages.live_body(name, window_ms)
    after = settings.get().close_after_release_s
    texts: dict[Address, str] = {}
    for socket_id, session in here.listeners.listening(messages.topic(VISITOR, name)):
        before = len(posts)
        for found in presence.subscribed(session).values():
            if (found.kind, found.conference) != (VISITOR, name):
                continue
            if found.released or found.epoch not in epochs:
                continue
            address = messages.address(found)
            frame = texts.get(address)
            if frame is None:
                frame = texts[address] = messages.message(address, ident, body)
            posts.append(Post(socket_id, frame, messages.dedup(ident, address), after))
        if len(posts) > before:
            sockets.append(socket_id)
    here.delivery.post(posts)
    live.released(len(sockets))
    for socket_id in sockets:
        presence.mark_released(socket_id, name, epoch)


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
    try:
        left_over, claimed = _send_all(row, run, died)
        if not left_over:
            _done(row, claimed)
            return
        reason = "some sockets could not be reached"
    except Unavailable as error:
        # This run has not died: whom it sent the message is not to get it from the next one too.
        reason = str(error)
    owed.insist(lambda: owed.postpone(store.PAGE, row, reason, also=[PageRow.runs.set(list(died))]))


def _send_all(row: PageRow, run: int, died: tuple[int, ...]) -> tuple[bool, bool]:
    """Send to the unserved; whether some have to be tried again, and whether any had to be claimed."""
    bound = _bound(row)
    left_over = claimed = False
    for rows in _pages(row):
        by_front: dict[str, list[SubscriptionRow]] = {}
        for visitor in rows:
            by_front.setdefault(visitor.front, []).append(visitor)
        for front_id, visitors in by_front.items():
            if front_id == row.served:
                continue
            # One that this process has not heard of may have come a moment ago.
            front = fanout.known(front_id)
            if front is None:
                # No process ends with API Gateway's sockets: another one knows the way to them.
                left_over |= front_id == fronts.API_GATEWAY and any(_lives(each) for each in visitors)
                continue
            if not front.dedup:
                claimed = True
            for at in range(0, len(visitors), CHUNK):
                _fence(row)
                left_over |= _serve(row, front, visitors[at : at + CHUNK], bound, run, died)
    return left_over, claimed


def _lives(visitor: SubscriptionRow) -> bool:
    return float(visitor.expires_at or 0) > clock.now()


def _done(row: PageRow, claimed: bool) -> None:
    """All were sent the message: look after those who do not leave, where the front does not."""
    if claimed:
        _close_later(row)
    else:
        _end(row)


def _end(row: PageRow) -> None:
    """A shard is done, unless another release began meanwhile: then it is looked at once more."""
    if owed.finish(row, unless=PageRow.again.exists()):
        return
    anew = [
        PageRow.again.remove(),
        PageRow.closing.remove(),
        PageRow.runs.remove(),
        PageRow.served.remove(),
        PageRow.attempts.set(0),
        PageRow.since.set(0),
    ]
    if owed.hold(row, lease_s=0, also=anew, provided=PageRow.again.exists()):
        kicks.kick(store.PAGE, Key(row.pk, row.sk))


def _bound(row: PageRow) -> int:
    """What is left of the release's window, in milliseconds."""
    window_ms = int(row.window_ms or 0)
    if not row.since:
        return window_ms
    record = Live(int(row.epoch), 1, float(row.golive_at or 0), window_ms)
    return live.spread().left(record, clock.now())


def _pages(row: PageRow) -> Iterator[list[SubscriptionRow]]:
    """The visitors of a shard, page by page; the lease is prolonged between pages.  Raises `Unavailable`."""
    partition = keys.queue(keys.conference(row.name), int(row.epoch), int(row.shard))
    start = None
    while True:
        rows, start = subscriptions.page(partition, PAGE, start)
        since = float(row.since or 0)
        yield [
            each for each in rows if float(each.expires_at or 0) - fronts.lifetime(each.front) >= since - 1
        ]
        if start is None:
            return
        if not owed.hold(row):
            raise Unavailable("another worker has taken over")


def _fence(row: PageRow) -> None:
    """Stop well before the lease is over, when another worker may begin.  Raises `Unavailable`."""
    if clock.now() > float(row.due_at or 0) - owed.usual_lease_s() / FENCE and not owed.hold(row):
        raise Unavailable("another worker has taken over")


def _serve(
    row: PageRow, front: Front, visitors: list[SubscriptionRow], bound: int, run: int, died: tuple[int, ...]
) -> bool:
    """Send to some visitors of one front; `True` when some have to be tried again."""
    usual = messages.usual_destination(VISITOR, row.name)
    free = [each for each in visitors if each.claim is None or each.claim in died]
    mine = free if front.dedup else _claim(free, run, died)
    addresses = [messages.unpack(visitor.data, usual) for visitor in mine]
    posts = [
        post
        for visitor, each in zip(mine, addresses, strict=True)
        for post in live.posts(row.name, int(row.epoch), bound, store.socket_of(visitor.sk), each)
    ]
    try:
        outcomes = iter(fanout.send(front.id, posts))
    except AppError:
        if not front.dedup:
            _unclaim(mine, run)
        raise
    gone: list[tuple[str, str]] = []
    again: list[SubscriptionRow] = []
    served = 0
    for visitor, each in zip(mine, addresses, strict=True):
        became = list(itertools.islice(outcomes, len(each)))
        if Outcome.GONE in became:
            gone.append((visitor.pk, visitor.sk))
        elif Outcome.RETRY in became:
            live.keep_the_rest(visitor, row.name, int(row.epoch), each, became)
            again.append(visitor)
        else:
            served += 1
    live.released(served)
    if not front.dedup:
        _unclaim(again, run)
    subscriptions.drop(gone)
    return bool(again)


def _claim(free: Sequence[SubscriptionRow], run: int, died: tuple[int, ...]) -> list[SubscriptionRow]:
    """Claim rows for a run; if storage fails, whatever was claimed is given back.  Raises `Unavailable`."""
    try:
        claims = parallel.each(lambda each: subscriptions.claim((each.pk, each.sk), run, died), free)
    except Unavailable:
        _unclaim(free, run)
        raise
    return [each for each in claims if each is not None]


def _unclaim(visitors: Sequence[SubscriptionRow], run: int) -> None:
    """Give back what a run could not serve."""
    parallel.each(lambda each: subscriptions.unclaim((each.pk, each.sk), run), visitors)


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
            found = writes.get_many(list(sockets), consistent=False)
            for where, visitor in sockets.items():
                if standing_session(found.get(where)) is not None:
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
    run = int(row.run)
    if presence.deduplicates(row.front):
        standing = subscriptions.read(where)
    else:
        standing = subscriptions.claim(where, -run, (run,))
    if standing is None or live.has_left(row.front, row.socket, row.name):
        owed.settle(row)
        return
    bound = live.spread().left(store.read_live(row.name), clock.now())
    if live.send(standing, row.name, int(row.epoch), bound) is Outcome.RETRY:
        owed.postpone(store.DAMPED, row, "the socket could not be reached")
    else:
        owed.insist(lambda: owed.settle(row))


def leave(key: Key) -> None:
    """Finish what the end of a socket left undone."""
    actions.leave(store.socket_in(key))


def drop(key: Key) -> None:
    """Remove the row of a subscription that is over."""
    subscriptions.drop([key])
