"""The live message: to whom it goes, and what is left to do when some of it did not arrive."""

from collections.abc import Sequence

from chalicelib import metrics, tally
from chalicelib.jitsi import messages, presence, settings, store
from chalicelib.jitsi.conference import Spread
from chalicelib.jitsi.messages import Address
from chalicelib.jitsi.principal import VISITOR
from chalicelib.realtime import fanout, ports, sessions, subscriptions
from chalicelib.realtime.ports import Outcome, Post, Sessions
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys


def spread() -> Spread:
    """How releases are spread over time."""
    ours = settings.get()
    return Spread(ours.join_rate, ours.min_delay_ms, ours.max_delay_ms)


def message_id(name: str, epoch: int) -> str:
    """The id of a conference's live message, the same on every path."""
    return f"live.{keys.conference(name)}.{epoch}"


def posts(name: str, epoch: int, bound_ms: int, socket_id: str, addresses: Sequence[Address]) -> list[Post]:
    """The live message for each subscription of one socket."""
    ident = message_id(name, epoch)
    body = messages.live_body(name, bound_ms)
    after = settings.get().close_after_release_s
    return [
        Post(socket_id, messages.message(address, ident, body), messages.dedup(ident, address), after)
        for address in addresses
    ]


def release_one(
    row: SubscriptionRow,
    name: str,
    epoch: int,
    bound_ms: int,
    run: int,
    only: list[Address] | None = None,
) -> None:
    """Send one visitor the live message, claimed by one write where its front does not deduplicate.

    `only` are the subscriptions that are still without it, if others of the row have it.  What
    could not be sent is given back, for the release that is owed to latecomers.
    """
    where = (row.pk, row.sk)
    if only is not None or presence.deduplicates(row.front):
        send(row, name, epoch, bound_ms, only)
        return
    claimed = subscriptions.claim(where, run)
    if claimed is not None and send(claimed, name, epoch, bound_ms) is Outcome.RETRY:
        subscriptions.unclaim(where, run)


def send(
    row: SubscriptionRow, name: str, epoch: int, bound_ms: int, only: list[Address] | None = None
) -> Outcome:
    """Send the live message to a visitor's subscriptions; a socket that is gone is forgotten."""
    socket_id = store.socket_of(row.sk)
    addresses = only or messages.unpack(row.data, messages.usual_destination(VISITOR, name))
    outcomes = fanout.send(row.front, posts(name, epoch, bound_ms, socket_id, addresses))
    if Outcome.GONE in outcomes:
        subscriptions.drop([(row.pk, row.sk)])
        return Outcome.GONE
    if Outcome.RETRY in outcomes:
        keep_the_rest(row, name, epoch, addresses, outcomes)
        return Outcome.RETRY
    if fanout.is_local(row.front):
        presence.mark_released(socket_id, name, epoch)
    released(1)
    return Outcome.SENT


def released(number: int) -> None:
    """Count visitors who were sent the live message."""
    metrics.VISITORS_RELEASED.add(number)
    tally.add(tally.JITSI, tally.RELEASES, number)


def keep_the_rest(
    row: SubscriptionRow, name: str, epoch: int, addresses: Sequence[Address], outcomes: Sequence[Outcome]
) -> None:
    """Where some subscriptions of a claimed row were sent the message, have it stand for the others only.

    A front that deduplicates is asked for all of them again: it knows.
    """
    left = [each for each, outcome in zip(addresses, outcomes, strict=True) if outcome is Outcome.RETRY]
    if row.claim is None or len(left) == len(addresses):
        return
    data = messages.pack(left, messages.usual_destination(VISITOR, name))
    subscriptions.say_claimed((row.pk, row.sk), data, int(row.claim))
    sent = frozenset(each.id for each in addresses) - {each.id for each in left}
    presence.mark_released(store.socket_of(row.sk), name, epoch, sent)


def has_left(front_id: str, socket_id: str, name: str) -> bool:
    """Whether a socket no longer waits for a conference, as far as its session can be seen from here."""
    held: Sessions | None = sessions.ROWS
    if fanout.is_local(front_id):
        held = ports.current().sessions
    elif presence.deduplicates(front_id):
        return False
    session = held.read(socket_id) if held is not None else None
    if session is None:
        return True
    return not any(
        (each.kind, each.conference) == (VISITOR, name) for each in presence.subscribed(session).values()
    )
