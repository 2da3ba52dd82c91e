"""What visitors, moderators and servers can do: one function each.  The workers' part is elsewhere."""

import logging
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from chalicelib import clock, ids
from chalicelib.errors import Throttled
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import counts, messages, principal, settings, store
from chalicelib.jitsi.conference import Conference, Live, Spread
from chalicelib.jitsi.errors import BadFrame, Denied, NotAConference, NotAllowed, NotConnected
from chalicelib.jitsi.messages import Address, Listening
from chalicelib.jitsi.principal import LIST, STATE, VISITOR, Principal
from chalicelib.outbox import kicks
from chalicelib.realtime import fanout, fronts, ports, subscriptions
from chalicelib.realtime.ports import Outcome, Post, Session, Sessions
from chalicelib.realtime.sessions import RowSessions
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, writes
from chalicelib.store.table import Item
from chalicelib.wire.stomp import Version

log = logging.getLogger(__name__)

API_GATEWAY_LIFE_S: Final = 2 * 3600 + 15 * 60
GATEWAY_LIFE_S: Final = 24 * 3600
LATECOMERS_AFTER_S: Final = 30.0
NO_ENTRY: Final = "no entry"
"""The version of a session whose endpoint admits nobody."""

_rows = RowSessions()
_principal = msgspec.json.Decoder(Principal)


@dataclass(frozen=True)
class Socket:
    """One WebSocket, as an event names it."""

    id: str
    front: str
    source: str


class Subscribe(NamedTuple):
    """What a SUBSCRIBE frame asks; `wire_id` and `wire_destination` as MESSAGE will spell them."""

    id: str
    destination: str
    wire_id: str
    wire_destination: str
    ack: bool


def sessions() -> Sessions:
    """Where this process keeps the sessions of sockets."""
    held = ports.current().sessions
    return _rows if held is None else held


def in_rows() -> bool:
    """Whether the sessions of this process's sockets are rows."""
    return ports.current().sessions is None


def spread() -> Spread:
    """How releases are spread over time."""
    ours = settings.get()
    return Spread(ours.join_rate, ours.min_delay_ms, ours.max_delay_ms)


def lifetime(front: str) -> int:
    """Seconds that a row of one of the front's sockets is kept; no socket lives that long."""
    return API_GATEWAY_LIFE_S if front == fronts.API_GATEWAY else GATEWAY_LIFE_S


def who_of(session: Session) -> Principal:
    """The principal of a session."""
    return _principal.decode(session.who)


def refuse_all(socket: Socket) -> None:
    """Remember that a socket came in where nobody is admitted; its CONNECT is denied."""
    sessions().create(socket.id, _session(socket, NO_ENTRY, Principal()))


def _session(socket: Socket, version: str, who: Principal) -> Session:
    return Session(
        front=socket.front,
        version=version,
        who=msgspec.json.encode(who).decode(),
        nonce=ids.new(),
        expires_at=int(clock.now()) + lifetime(socket.front),
    )


def connect(socket: Socket, who: Principal, version: Version) -> None:
    """Begin a STOMP session.

    Raises `NotAllowed` for whom no destination could admit, `Denied` while a denial is remembered,
    `Throttled` above the caps, `BadFrame` for a second CONNECT.
    """
    ours = settings.get()
    principal.may_connect(who, ours.rules)
    if who.token and store.is_denied(who.token):
        raise Denied("the token was denied")
    if (
        ours.connects_per_token
        and who.token
        and store.connects(who.token, socket.id) > ours.connects_per_token
    ):
        raise Throttled("too many connections with this token")
    source = f"source {socket.source}"
    cap = ours.connects_per_source
    if cap and socket.source and store.connects(source, socket.id) > cap:
        raise Throttled("too many connections from this address")
    standing = sessions().create(socket.id, _session(socket, version, who))
    if standing is None:
        return
    if standing.version == NO_ENTRY:
        raise NotAllowed("nobody is admitted here", LIST)
    raise BadFrame("CONNECT after DISCONNECT" if standing.version == ports.CLOSED else "Already connected")


def subscribe(socket: Socket, asked: Subscribe, override: Principal | None) -> None:
    """Serve a SUBSCRIBE frame; `override` is who its own `Authorization` header names.

    Raises `NotConnected`, `BadFrame`, `NotAllowed`.
    """
    to = messages.destination(asked.destination)
    conference = _conference(to)
    name = conference.name if conference is not None else ""
    guess = (store.known(name) or Live()).epoch if to.kind == VISITOR else 0
    mine = Listening(
        to.kind, name, asked.wire_id, asked.wire_destination, asked.ack, guess, at=int(clock.now() * 1000)
    )
    spelled = messages.spell(mine)
    session = sessions().subscribe(socket.id, asked.id, spelled)
    if session is None or session.version == NO_ENTRY:
        raise NotConnected("SUBSCRIBE before CONNECT")
    if session.subscriptions[asked.id] != spelled:
        standing = messages.listening(session.subscriptions[asked.id])
        if (standing.kind, standing.conference, standing.destination) == (mine.kind, name, mine.destination):
            return
        raise BadFrame("The subscription's id is taken")
    if len(session.subscriptions) > messages.SUBSCRIPTIONS:
        raise BadFrame("Too many subscriptions")
    who = who_of(session)
    for each in (who, override):
        if each is not None:
            conference = _authorised(each, to.kind, conference)
    if conference is not None and to.kind == VISITOR:
        wait(socket, session, asked.id, mine, who, conference)
    elif conference is not None:
        watch(socket, session, mine, conference)


def _conference(to: messages.Destination) -> Conference | None:
    """The conference of a destination, `None` where it names none."""
    if to.kind not in (VISITOR, STATE):
        return None
    try:
        return conferences.parse(to.conference)
    except NotAConference:
        return None


def _authorised(who: Principal, kind: str, conference: Conference | None) -> Conference:
    """The conference, if `who` may subscribe to a destination of `kind` in it.

    A token that may not is remembered, so that its client's tries come to an end (contract 3.7, 15.1).
    Raises `NotAllowed`.
    """
    try:
        return authorise(who, kind, conference)
    except NotAllowed as refused:
        if who.token and refused.kind != LIST and not who.moderator:
            store.deny(who.token, refused.kind, settings.get().denial_memory_s)
        raise


def authorise(who: Principal, kind: str, conference: Conference | None) -> Conference:
    """The conference, if `who` may subscribe to a destination of `kind` in it.  Raises `NotAllowed`."""
    if kind == LIST:
        raise NotAllowed("the list of visitors is not offered", LIST)
    if conference is None:
        raise NotAllowed("there is no such destination", kind)
    rules = settings.get().rules
    if kind == STATE:
        principal.may_watch(who, conference, rules)
        return conference
    principal.may_wait(who, conference, rules)
    if who.late and not accepted_before(conference, who.token):
        raise NotAllowed("the token has expired", VISITOR)
    return conference


def accepted_before(conference: Conference, token: str) -> bool:
    """Whether a token was accepted for a conference in its lifetime, by its own row or a visitor's."""
    if store.has_grace(conference.name, token):
        return True
    epoch = store.fresh_live(conference.name).epoch
    prefix = store.queue_sk(token, "")
    return any(
        subscriptions.find(partition, prefix)
        for around in (epoch, epoch - 1)
        if around > 0
        for partition in store.partitions(conference.name, around)
    )


def wait(
    socket: Socket, session: Session, identity: str, mine: Listening, who: Principal, conference: Conference
) -> None:
    """Put a visitor in the queue, and release it at once if the conference is live.

    The row is written first and the live record is read after, strongly; `golive` does it the
    other way round, so that one of the two sees the other.
    """
    name, epoch = conference.name, mine.epoch
    together = [
        found
        for text in session.subscriptions.values()
        if (found := messages.listening(text)).kind == VISITOR and found.conference == name
    ]
    addresses = messages.addresses(together)
    data = messages.pack(addresses, messages.usual_destination(VISITOR, name))
    expires_at = int(clock.now()) + lifetime(socket.front)
    row = store.queue_row(name, epoch, socket.id, who.token, socket.front, data, expires_at)
    served = False
    if len(together) == 1 or not in_rows():
        subscriptions.subscribe(row)
    else:
        standing = subscriptions.extend(row)
        served = standing is not None and standing.claim is not None
    while True:
        live, connected = _live_and_connected(name, socket.id)
        if not connected:
            subscriptions.drop([(row.pk, row.sk)])
            return
        if live.epoch == epoch:
            break
        old, epoch = (row.pk, row.sk), live.epoch
        row = store.queue_row(name, epoch, socket.id, who.token, socket.front, data, expires_at)
        writes.batch(puts=[row], deletes=[old])
        sessions().change(socket.id, identity, messages.spell(msgspec.structs.replace(mine, epoch=epoch)))
    if live.is_live:
        _release_latecomer(socket, row, name, live, who, [mine_only(mine)] if served else None)


def mine_only(mine: Listening) -> Address:
    """How one subscription is addressed."""
    return Address(mine.id, mine.destination, mine.ack)


def _live_and_connected(name: str, socket_id: str) -> tuple[Live, bool]:
    """The live record, and whether the socket still has its session, read in one call.

    Where events of one socket may overtake each other, a disconnect that came before the queue
    row would otherwise leave that row behind.
    """
    if in_rows():
        return store.read_live_and(name, keys.socket(socket_id))
    return store.read_live(name), True


def _release_latecomer(
    socket: Socket, row: SubscriptionRow, name: str, live: Live, who: Principal, only: list[Address] | None
) -> None:
    """Release a visitor who came to a live conference, or later to damp a loop (contract 7.4)."""
    steps = settings.get().damping_steps
    source = who.token or f"source {socket.source}"
    earlier = store.recent_releases(name, source, len(steps) + conferences.FREE_RELEASES)
    delay = conferences.damping(earlier, steps)
    run = -subscriptions.new_run() if delay else subscriptions.new_run()
    held_until = clock.now() + delay if delay else None
    note = store.note_release(row, name, live.epoch, who.token, source, held_until, run)
    if in_rows() and not live.swept:
        store.owe_latecomers(name, LATECOMERS_AFTER_S)
    if delay:
        if in_rows():
            subscriptions.claim((row.pk, row.sk), run)
        kicks.kick(store.DAMPED, note, delay)
    else:
        release_one(row, name, live.epoch, spread().left(live, clock.now()), run, only)


def message_id(name: str, epoch: int) -> str:
    """The id of a conference's live message, the same on every path."""
    return f"live.{keys.conference(name)}.{epoch}"


def live_posts(name: str, epoch: int, bound_ms: int, socket_id: str, addresses: list[Address]) -> list[Post]:
    """The live message for each subscription of one socket."""
    ident = message_id(name, epoch)
    body = messages.live_body(name, bound_ms)
    after = settings.get().close_after_release_s
    return [
        Post(socket_id, messages.message(address, ident, body), f"{ident}/{address.id}", after)
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
    if only is not None or _deduplicates(row.front):
        send_live(row, name, epoch, bound_ms, only)
        return
    claimed = subscriptions.claim(where, run)
    if claimed is not None and send_live(claimed, name, epoch, bound_ms) is Outcome.RETRY:
        subscriptions.unclaim(where, run)


def send_live(
    row: SubscriptionRow, name: str, epoch: int, bound_ms: int, only: list[Address] | None = None
) -> Outcome:
    """Send the live message to a visitor's subscriptions; a socket that is gone is forgotten."""
    socket_id = store.socket_of(row.sk)
    addresses = only or messages.unpack(row.data, messages.usual_destination(VISITOR, name))
    outcomes = fanout.send(row.front, live_posts(name, epoch, bound_ms, socket_id, addresses))
    if Outcome.GONE in outcomes:
        subscriptions.drop([(row.pk, row.sk)])
        return Outcome.GONE
    if Outcome.RETRY in outcomes:
        return Outcome.RETRY
    if fanout.is_local(row.front):
        mark_released(socket_id, name)
    return Outcome.SENT


def _deduplicates(front_id: str) -> bool:
    if fanout.is_local(front_id):
        return True
    front = fronts.alive().get(front_id)
    return front is not None and front.dedup


def mark_released(socket_id: str, name: str) -> None:
    """Note in this process's memory that a socket's visitor needs nothing any more."""
    session = sessions().read(socket_id)
    if session is None:
        return
    for identity, text in list(session.subscriptions.items()):
        found = messages.listening(text)
        if found.kind == VISITOR and found.conference == name and not found.released:
            sessions().change(
                socket_id, identity, messages.spell(msgspec.structs.replace(found, released=True))
            )


def watch(socket: Socket, session: Session, mine: Listening, conference: Conference) -> None:
    """Let a moderator see how many wait: the number as it is now, and its changes from then on."""
    name = conference.name
    together = [
        found
        for text in session.subscriptions.values()
        if (found := messages.listening(text)).kind == STATE and found.conference == name
    ]
    interval = settings.get().state_interval_s
    if store.watch(name, interval, session.nonce + mine.id[:8]):
        kicks.kick(store.COUNT, keys.watch(keys.conference(name)), interval)
    waiting = counts.waiting(name)
    row = SubscriptionRow(
        keys.moderators(keys.conference(name)),
        socket.id,
        front=socket.front,
        data=messages.pack(messages.addresses(together), messages.usual_destination(STATE, name)),
        shown=waiting,
        expires_at=int(clock.now()) + lifetime(socket.front),
    )
    subscriptions.subscribe(row)
    text = messages.message(mine_only(mine), ids.new(), messages.count_body(name, waiting))
    fanout.send(socket.front, [Post(socket.id, text)])


def unsubscribe(socket: Socket, identity: str) -> None:
    """Serve an UNSUBSCRIBE frame; an id that is not known is no fault.  Raises `NotConnected`."""
    before = sessions().unsubscribe(socket.id, identity)
    if before is None:
        raise NotConnected("UNSUBSCRIBE before CONNECT")
    text = before.subscriptions.pop(identity, None)
    if text is None:
        return
    mine = messages.listening(text)
    left = [
        found
        for other in before.subscriptions.values()
        if (found := messages.listening(other)).kind == mine.kind and found.conference == mine.conference
    ]
    if not left:
        _leave(socket, who_of(before), [mine])
    elif mine.kind == VISITOR and not mine.released:
        row = _queue_row(socket, who_of(before), mine, left)
        subscriptions.extend(row)


def _queue_row(socket: Socket, who: Principal, mine: Listening, left: list[Listening]) -> SubscriptionRow:
    data = messages.pack(messages.addresses(left), messages.usual_destination(VISITOR, mine.conference))
    expires_at = int(clock.now()) + lifetime(socket.front)
    return store.queue_row(mine.conference, mine.epoch, socket.id, who.token, socket.front, data, expires_at)


def disconnect(socket: Socket, gone: bool) -> bool:
    """End a session, by a DISCONNECT frame or because the socket is gone; `False` when there was none.

    In any order, any number of times.
    """
    session = sessions().delete(socket.id, gone)
    if session is None or session.version == NO_ENTRY:
        return False
    _leave(socket, who_of(session), [messages.listening(text) for text in session.subscriptions.values()])
    return True


def _leave(socket: Socket, who: Principal, left: list[Listening]) -> None:
    """Take a socket's rows away; a waiting visitor's token may come again after its time (contract 6.4)."""
    ours = settings.get()
    deletes: dict[tuple[str, str], None] = {}
    puts: dict[str, Item] = {}
    for mine in left:
        conference = keys.conference(mine.conference)
        if mine.kind == STATE:
            deletes[keys.moderators(conference), socket.id] = None
        elif mine.kind == VISITOR and not mine.released and not _was_released(mine):
            partition = keys.queue(conference, mine.epoch, store.shard(socket.id))
            deletes[partition, store.queue_sk(who.token, socket.id)] = None
            if who.token and ours.reconnect_grace_s:
                until = who.expires + ours.reconnect_grace_s
                puts[mine.conference] = store.remember_grace(mine.conference, who.token, until)
    if puts:
        writes.batch(puts=list(puts.values()), deletes=list(deletes))
    else:
        subscriptions.drop(list(deletes))


def _was_released(mine: Listening) -> bool:
    """Whether the epoch in which a visitor waited has been live: then its row never counts again."""
    live = store.fresh_live(mine.conference) if in_rows() else store.known(mine.conference)
    return live is not None and (live.epoch > mine.epoch or (live.epoch == mine.epoch and live.is_live))


def go_live(who: Principal, conference: Conference) -> None:
    """Record that a conference is live; its visitors are released at once, or by whoever finds them owed.

    Raises `NotAllowed`, `Unavailable`.
    """
    principal.covers(who, conference)
    key = store.go_live(conference.name, settings.get().live_ttl_s)
    kicks.kick(store.RELEASE, key)


def clear(who: Principal, conference: Conference) -> None:
    """Record that a conference is not live any more.  Raises `NotAllowed`, `Unavailable`."""
    principal.covers(who, conference)
    store.clear(conference.name)
