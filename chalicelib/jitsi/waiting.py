"""A waiting visitor's row: entered, kept in step with what its socket says, released late, taken away."""

from collections.abc import Iterable
from typing import Final

import msgspec

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import live, messages, presence, settings, store
from chalicelib.jitsi.conference import Conference, Live
from chalicelib.jitsi.messages import Address, Listening
from chalicelib.jitsi.principal import STATE, VISITOR, Principal
from chalicelib.outbox import kicks
from chalicelib.realtime import fronts, sessions, subscriptions
from chalicelib.realtime.ports import Session
from chalicelib.realtime.protocols import Socket
from chalicelib.realtime.sessions import standing_session
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from chalicelib.store.table import Item

LATECOMERS_AFTER_S: Final = 30.0
REPAIR_AFTER_S: Final = 30.0
"""Longer than a client takes to come back: until then its row speaks for a token whose time is over."""
KEPT_LONGER_S: Final = 3600.0
TRIES: Final = 8


def wait(
    socket: Socket, session: Session, identity: str, mine: Listening, who: Principal, conference: Conference
) -> None:
    """Put a visitor in the queue, and release it at once if the conference is live.

    The row is written first and the live record is read after, strongly; `golive` does it the
    other way round, so that one of the two sees the other.  The session is read with it: where
    frames of one socket may overtake each other, the row has to say in the end what the session says.
    """
    name = conference.name
    row = queue_row(socket, who, mine, together(session, mine, identity))
    claimed = _enter(row)
    store.note(name)
    while True:
        record, current = _record_and_session(name, socket.id)
        if current is None:
            subscriptions.drop([(row.pk, row.sk)])
            return
        kept = presence.subscribed(current).get(identity)
        if kept is None or kept.at != mine.at:
            _agree(socket, who, mine)
            return
        if kept.released:
            return
        if record.epoch != mine.epoch:
            before = subscriptions.take((row.pk, row.sk))
            if before is not None and before.claim and mine.id in _served(before, mine):
                return  # it was released where it stood, before that epoch ended
            mine = msgspec.structs.replace(mine, epoch=record.epoch)
            sessions.here().change(socket.id, identity, messages.spell(mine))
            row = queue_row(socket, who, mine, together(current, mine, identity))
            claimed = _enter(row)
            continue
        if _fades(record, socket.front) and not store.keep(name):
            continue
        asked = queue_row(socket, who, mine, together(current, mine, identity))
        if claimed is not None or asked.data == row.data:
            break
        row = asked
        claimed = _enter(row)
    if record.is_live:
        _release(socket, row, claimed, mine, who, record)


def _release(
    socket: Socket,
    row: SubscriptionRow,
    claimed: SubscriptionRow | None,
    mine: Listening,
    who: Principal,
    record: Live,
) -> None:
    """Release a visitor who came to a live conference; `claimed` is what stands in the place of its row."""
    only = None
    if claimed is not None:
        claim = int(claimed.claim or 0)
        held_back = claim < 0
        if held_back and mine.id not in _served(claimed, mine):
            row.claim = claimed.claim
            if not subscriptions.replace(row, claimed):  # it has been served meanwhile
                row.claim = None
                _release(socket, row, _enter(row), mine, who, record)
            return
        if not held_back and subscriptions.claimed_at_ms(claim) < mine.at:
            # It served what the socket had subscribed before.
            row = queue_row(socket, who, mine, [mine])
            subscriptions.replace(row, claimed)
        elif mine.id in _served(claimed, mine):
            return
        else:
            only = [messages.address(mine)]
    _release_latecomer(socket, row, mine.conference, record, who, only)


def _served(claimed: SubscriptionRow, mine: Listening) -> list[str]:
    """The ids of the subscriptions that whoever claimed a row serves."""
    usual = messages.usual_destination(VISITOR, mine.conference)
    return [address.id for address in messages.unpack(claimed.data, usual)]


def together(session: Session, mine: Listening, identity: str | None = None) -> list[Listening]:
    """The subscriptions that the queue row of `mine` stands for: those that wait in its epoch.

    `identity` is that of `mine`, if it is one of them: the session may still have it as it was.
    """
    found = presence.subscribed(session)
    if identity in found:
        found[identity] = mine
    return [
        each
        for each in found.values()
        if (each.kind, each.conference) == (VISITOR, mine.conference)
        and each.epoch >= mine.epoch
        and not each.released
    ]


def queue_row(socket: Socket, who: Principal, mine: Listening, waits: list[Listening]) -> SubscriptionRow:
    """The row of a socket's visitor in the epoch of `mine`."""
    name = mine.conference
    data = messages.pack(messages.addresses(waits), messages.usual_destination(VISITOR, name))
    expires_at = int(clock.now()) + fronts.lifetime(socket.front)
    return store.queue_row(name, mine.epoch, socket.id, who.token, socket.front, data, expires_at)


def _enter(row: SubscriptionRow) -> SubscriptionRow | None:
    """Keep a visitor's row; `None`, or the claimed row that stands there.

    Where the sockets are in this process none is claimed: their front deduplicates.
    """
    if sessions.in_rows():
        return subscriptions.enter(row)
    subscriptions.subscribe(row)
    return None


def _agree(socket: Socket, who: Principal, mine: Listening) -> None:
    """Have a socket's queue row say what its session says, whoever changes either meanwhile.

    The row is read before the session: a SUBSCRIBE that comes after changes the row, and is seen.
    """
    for _ in range(TRIES):
        key = queue_row(socket, who, mine, [])
        row = subscriptions.read((key.pk, key.sk))
        if row is None or row.claim is not None:
            return
        session = sessions.here().read(socket.id)
        waits = together(session, mine) if session is not None else []
        if waits:
            wanted = queue_row(socket, who, mine, waits)
            if wanted.data == row.data:
                return
            subscriptions.amend(wanted)
        elif subscriptions.drop_if(row):
            return


def _fades(record: Live, front: str) -> bool:
    """Whether a record that is not live may go by TTL before a row that comes now.

    The next `golive` would then begin with the first epoch and release nobody.
    """
    end = clock.now() + fronts.lifetime(front) + KEPT_LONGER_S
    return not record.is_live and 0 < record.kept_until < end


def _record_and_session(name: str, socket_id: str) -> tuple[Live, Session | None]:
    """The live record and the socket's session, read in one call where both are rows."""
    if not sessions.in_rows():
        return store.read_live(name), sessions.here().read(socket_id)
    record, raw = store.read_live_and(name, keys.socket(socket_id))
    return record, standing_session(raw)


def _release_latecomer(
    socket: Socket, row: SubscriptionRow, name: str, record: Live, who: Principal, only: list[Address] | None
) -> None:
    """Release a visitor who came to a live conference, or later to damp a loop (contract 7.4)."""
    if sessions.in_rows() and not record.swept:
        store.owe_latecomers(name, LATECOMERS_AFTER_S)
    steps = settings.get().damping_steps
    source = who.token or f"source {socket.source}"
    earlier = store.recent_releases(name, source, len(steps) + conferences.FREE_RELEASES)
    delay = conferences.damping(earlier, steps) if only is None else 0.0
    run = -subscriptions.new_run() if delay else subscriptions.new_run()
    held_until = clock.now() + delay if delay else None
    note = store.note_release(row, name, record.epoch, who.token, source, held_until, run)
    if delay:
        if sessions.in_rows():
            subscriptions.claim((row.pk, row.sk), run)
        kicks.kick(store.DAMPED, note, delay)
    else:
        bound = live.spread().left(record, clock.now())
        live.release_one(row, name, record.epoch, bound, run, only)


def leave_one(socket: Socket, who: Principal, mine: Listening, left: list[Listening]) -> None:
    """Take one subscription out of a socket's queue row, and keep those in `left`.

    Where sessions are rows, other frames of the socket may be served meanwhile.
    """
    row = queue_row(socket, who, mine, left or [mine])
    if not sessions.in_rows():
        if left:
            subscriptions.subscribe(row)
        else:
            leave(socket, who, [mine])
        return
    try:
        if not left and (grace := _grace(who, mine, (row.pk, row.sk))) is not None:
            writes.put(grace)
        if left or not subscriptions.drop_if(row):
            _agree(socket, who, mine)
    except Unavailable:
        kicks.kick(store.DROP, Key(row.pk, row.sk), REPAIR_AFTER_S)
        raise


def leave(socket: Socket, who: Principal, left: Iterable[Listening]) -> None:
    """Take a socket's rows away; a waiting visitor's token may come again after its time (contract 6.4)."""
    deletes: dict[Key, None] = {}
    puts: dict[str, Item] = {}
    for mine in left:
        conference = keys.conference(mine.conference)
        if mine.kind == STATE:
            deletes[Key(keys.moderators(conference), socket.id)] = None
        elif mine.kind == VISITOR and not mine.released and not was_released(mine):
            partition = keys.queue(conference, mine.epoch, store.shard(socket.id))
            row_key = Key(partition, store.queue_sk(who.token, socket.id))
            deletes[row_key] = None
            grace = _grace(who, mine, row_key)
            if grace is not None:
                puts[mine.conference] = grace
    try:
        if puts:
            writes.batch(puts=list(puts.values()), deletes=list(deletes))
        else:
            subscriptions.drop(list(deletes))
    except Unavailable:
        if not sessions.in_rows():
            for row_key in deletes:
                kicks.kick(store.DROP, row_key, REPAIR_AFTER_S)
        raise


def _grace(who: Principal, mine: Listening, row_key: tuple[str, str]) -> Item | None:
    """The row by which a token may come again after its time, if it may.

    A token whose time was over already shows by its queue row that it was accepted: a session
    also names what was asked for and refused.
    """
    grace_s = settings.get().reconnect_grace_s
    if not who.token or not grace_s or (who.late and subscriptions.read(row_key) is None):
        return None
    return store.remember_grace(mine.conference, who.token, who.expires + grace_s)


def was_released(mine: Listening) -> bool:
    """Whether the epoch in which a visitor waited has been live: then its row never counts again."""
    record = store.fresh_live(mine.conference) if sessions.in_rows() else store.known(mine.conference)
    if record is None:
        return False
    return record.epoch > mine.epoch or (record.epoch == mine.epoch and record.is_live)
