"""What visitors, moderators and servers can do: one function each.  The workers' part is elsewhere."""

import logging
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from chalicelib import clock, ids
from chalicelib.errors import Throttled, Unavailable
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import counts, messages, principal, settings, store
from chalicelib.jitsi.conference import Conference, Live, Spread
from chalicelib.jitsi.errors import BadFrame, Denied, NotAConference, NotAllowed, NotConnected
from chalicelib.jitsi.messages import Address, Listening
from chalicelib.jitsi.principal import LIST, STATE, VISITOR, Principal
from chalicelib.outbox import kicks
from chalicelib.realtime import fanout, fronts, ports, subscriptions
from chalicelib.realtime.ports import Outcome, Post, Session, Sessions
from chalicelib.realtime.sessions import RowSessions, standing_session
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.wire.stomp import Version

log = logging.getLogger(__name__)

API_GATEWAY_LIFE_S: Final = 2 * 3600 + 15 * 60
GATEWAY_LIFE_S: Final = 24 * 3600
LATECOMERS_AFTER_S: Final = 30.0
REPAIR_AFTER_S: Final = 30.0
"""Longer than a client takes to come back: until then its row speaks for a token whose time is over."""
KEPT_LONGER_S: Final = 3600.0
TRIES: Final = 8
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
    other way round, so that one of the two sees the other.  The session is read with it: where
    frames of one socket may overtake each other, the row has to say in the end what the session says.
    """
    name = conference.name
    row = _queue_row(socket, who, mine, _together(session, mine, identity))
    claimed = _enter(row)
    while True:
        live, current = _live_and_session(name, socket.id)
        if current is None:
            subscriptions.drop([(row.pk, row.sk)])
            return
        text = current.subscriptions.get(identity)
        kept = messages.listening(text) if text is not None else None
        if kept is None or kept.at != mine.at:
            _agree(socket, who, mine)
            return
        if kept.released:
            return
        if live.epoch != mine.epoch:
            before = subscriptions.take((row.pk, row.sk))
            if before is not None and before.claim and mine.id in _served(before, mine):
                return  # it was released where it stood, before that epoch ended
            mine = msgspec.structs.replace(mine, epoch=live.epoch)
            sessions().change(socket.id, identity, messages.spell(mine))
            row = _queue_row(socket, who, mine, _together(current, mine, identity))
            claimed = _enter(row)
            continue
        if _fades(live, socket.front) and not store.keep(name):
            continue
        asked = _queue_row(socket, who, mine, _together(current, mine, identity))
        if claimed is not None or asked.data == row.data:
            break
        row = asked
        claimed = _enter(row)
    if live.is_live:
        _release(socket, row, claimed, mine, who, live)


def _release(
    socket: Socket,
    row: SubscriptionRow,
    claimed: SubscriptionRow | None,
    mine: Listening,
    who: Principal,
    live: Live,
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
                _release(socket, row, _enter(row), mine, who, live)
            return
        if not held_back and subscriptions.claimed_at_ms(claim) < mine.at:
            # It served what the socket had subscribed before.
            row = _queue_row(socket, who, mine, [mine])
            subscriptions.replace(row, claimed)
        elif mine.id in _served(claimed, mine):
            return
        else:
            only = [mine_only(mine)]
    _release_latecomer(socket, row, mine.conference, live, who, only)


def _served(claimed: SubscriptionRow, mine: Listening) -> list[str]:
    """The ids of the subscriptions that whoever claimed a row serves."""
    usual = messages.usual_destination(VISITOR, mine.conference)
    return [address.id for address in messages.unpack(claimed.data, usual)]


def _together(session: Session, mine: Listening, identity: str | None = None) -> list[Listening]:
    """The subscriptions that the queue row of `mine` stands for: those that wait in its epoch.

    `identity` is that of `mine`, if it is one of them: the session may still have it as it was.
    """
    together = []
    for each, text in session.subscriptions.items():
        found = mine if each == identity else messages.listening(text)
        waits = found.epoch >= mine.epoch and not found.released
        if waits and (found.kind, found.conference) == (VISITOR, mine.conference):
            together.append(found)
    return together


def _queue_row(socket: Socket, who: Principal, mine: Listening, together: list[Listening]) -> SubscriptionRow:
    """The row of a socket's visitor in the epoch of `mine`."""
    name = mine.conference
    data = messages.pack(messages.addresses(together), messages.usual_destination(VISITOR, name))
    expires_at = int(clock.now()) + lifetime(socket.front)
    return store.queue_row(name, mine.epoch, socket.id, who.token, socket.front, data, expires_at)


def _enter(row: SubscriptionRow) -> SubscriptionRow | None:
    """Keep a visitor's row; `None`, or the claimed row that stands there.

    Where the sockets are in this process none is claimed: their front deduplicates.
    """
    if in_rows():
        return subscriptions.enter(row)
    subscriptions.subscribe(row)
    return None


def _agree(socket: Socket, who: Principal, mine: Listening) -> None:
    """Have a socket's queue row say what its session says, whoever changes either meanwhile.

    The row is read before the session: a SUBSCRIBE that comes after changes the row, and is seen.
    """
    for _ in range(TRIES):
        key = _queue_row(socket, who, mine, [])
        row = subscriptions.read((key.pk, key.sk))
        if row is None or row.claim is not None:
            return
        session = sessions().read(socket.id)
        together = _together(session, mine) if session is not None else []
        if together:
            wanted = _queue_row(socket, who, mine, together)
            if wanted.data == row.data:
                return
            subscriptions.amend(wanted)
        elif subscriptions.drop_if(row):
            return


def _fades(live: Live, front: str) -> bool:
    """Whether a record that is not live may go by TTL before a row that comes now.

    The next `golive` would then begin with the first epoch and release nobody.
    """
    end = clock.now() + lifetime(front) + KEPT_LONGER_S
    return not live.is_live and 0 < live.kept_until < end


def mine_only(mine: Listening) -> Address:
    """How one subscription is addressed."""
    return Address(mine.id, mine.destination, mine.ack)


def _live_and_session(name: str, socket_id: str) -> tuple[Live, Session | None]:
    """The live record and the socket's session, read in one call where both are rows."""
    if not in_rows():
        return store.read_live(name), sessions().read(socket_id)
    live, raw = store.read_live_and(name, keys.socket(socket_id))
    return live, standing_session(raw)


def _release_latecomer(
    socket: Socket, row: SubscriptionRow, name: str, live: Live, who: Principal, only: list[Address] | None
) -> None:
    """Release a visitor who came to a live conference, or later to damp a loop (contract 7.4)."""
    if in_rows() and not live.swept:
        store.owe_latecomers(name, LATECOMERS_AFTER_S)
    steps = settings.get().damping_steps
    source = who.token or f"source {socket.source}"
    earlier = store.recent_releases(name, source, len(steps) + conferences.FREE_RELEASES)
    delay = conferences.damping(earlier, steps) if only is None else 0.0
    run = -subscriptions.new_run() if delay else subscriptions.new_run()
    held_until = clock.now() + delay if delay else None
    note = store.note_release(row, name, live.epoch, who.token, source, held_until, run)
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
    if only is not None or deduplicates(row.front):
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
        mark_released(socket_id, name, epoch)
    return Outcome.SENT


def deduplicates(front_id: str) -> bool:
    """Whether a front writes one message to one subscription once, however often it is asked to."""
    if fanout.is_local(front_id):
        return True
    front = fanout.known(front_id)
    return front is not None and front.dedup


def has_left(front_id: str, socket_id: str, name: str) -> bool:
    """Whether a socket no longer waits for a conference, as far as its session can be seen from here."""
    held: Sessions | None = _rows
    if fanout.is_local(front_id):
        held = ports.current().sessions
    elif deduplicates(front_id):
        return False
    session = held.read(socket_id) if held is not None else None
    if session is None:
        return True
    return not any((each.kind, each.conference) == (VISITOR, name) for each in _subscriptions(session))


def mark_released(socket_id: str, name: str, epoch: int) -> None:
    """Note in this process's memory that who waited in an epoch, or before it, needs nothing any more."""
    session = sessions().read(socket_id)
    if session is None:
        return
    for identity, text in list(session.subscriptions.items()):
        found = messages.listening(text)
        waited = found.kind == VISITOR and found.conference == name and found.epoch <= epoch
        if waited and not found.released:
            sessions().change(
                socket_id, identity, messages.spell(msgspec.structs.replace(found, released=True))
            )


def watch(socket: Socket, session: Session, mine: Listening, conference: Conference) -> None:
    """Let a moderator see how many wait: the number as it is now, and its changes from then on."""
    name = conference.name
    interval = settings.get().state_interval_s
    waiting = counts.waiting(name)
    row = SubscriptionRow(
        *_moderator(socket, name),
        front=socket.front,
        data=_packed(_watching(session, name)),
        shown=waiting,
        expires_at=int(clock.now()) + lifetime(socket.front),
    )
    # The row comes first: a count that finds nobody to tell ends the counting, unless this is after it.
    subscriptions.subscribe(row)
    if store.watch(name, interval, session.nonce + mine.id[:8]):
        kicks.kick(store.COUNT, keys.watch(keys.conference(name)), interval)
    text = messages.message(mine_only(mine), ids.new(), messages.count_body(name, waiting))
    if Outcome.GONE in fanout.send(socket.front, [Post(socket.id, text)]):
        subscriptions.drop([(row.pk, row.sk)])


def _watching(session: Session, name: str) -> list[Listening]:
    """The subscriptions of a socket to a conference's count."""
    found = [messages.listening(text) for text in session.subscriptions.values()]
    return [each for each in found if each.kind == STATE and each.conference == name]


def _packed(watching: list[Listening]) -> str:
    usual = messages.usual_destination(STATE, watching[0].conference)
    return messages.pack(messages.addresses(watching), usual)


def _moderator(socket: Socket, name: str) -> Key:
    """Where the row of a moderator stands."""
    return Key(keys.moderators(keys.conference(name)), socket.id)


def unsubscribe(socket: Socket, identity: str) -> None:
    """Serve an UNSUBSCRIBE frame; an id that is not known is no fault.  Raises `NotConnected`."""
    try:
        before = sessions().unsubscribe(socket.id, identity)
    except Unavailable:
        _leave_later(socket)
        raise
    if before is None:
        raise NotConnected("UNSUBSCRIBE before CONNECT")
    text = before.subscriptions.pop(identity, None)
    if text is None:
        return
    mine, who = messages.listening(text), who_of(before)
    if mine.kind == STATE:
        left = _watching(before, mine.conference)
        if left:
            subscriptions.say(_moderator(socket, mine.conference), _packed(left))
        else:
            _leave(socket, who, [mine])
    elif mine.kind == VISITOR and not mine.released and not _was_released(mine):
        _unwait(socket, who, mine, _together(before, mine))


def _unwait(socket: Socket, who: Principal, mine: Listening, left: list[Listening]) -> None:
    """Take one subscription out of a socket's queue row, while other frames of the socket are served."""
    if not in_rows():
        if left:
            subscriptions.subscribe(_queue_row(socket, who, mine, left))
        else:
            _leave(socket, who, [mine])
        return
    row = _queue_row(socket, who, mine, [mine])
    try:
        if not left and (grace := _grace(who, mine, (row.pk, row.sk))) is not None:
            writes.put(grace)
        if left or not subscriptions.drop_if(row):
            _agree(socket, who, mine)
    except Unavailable:
        kicks.kick(store.DROP, Key(row.pk, row.sk), REPAIR_AFTER_S)
        raise


def disconnect(socket: Socket, gone: bool) -> bool:
    """End a session, by a DISCONNECT frame or because the socket is gone; `False` when there was none.

    In any order, any number of times.  What storage does not take now is done later.
    """
    try:
        session = sessions().delete(socket.id, gone)
        if session is None or session.version == NO_ENTRY:
            return False
        _leave(socket, who_of(session), _subscriptions(session))
    except Unavailable:
        _leave_later(socket)
        raise
    return True


def _leave_later(socket: Socket) -> None:
    """Have the end of a socket seen to once storage answers; its session is all that is needed."""
    if in_rows():
        kicks.kick(store.LEAVE, keys.socket(socket.id), REPAIR_AFTER_S)


def leave(socket_id: str) -> None:
    """Finish what the end of a socket, whose session is a row, left undone."""
    session = _rows.ended(socket_id)
    if session is not None and session.version != NO_ENTRY:
        _leave(Socket(socket_id, session.front, ""), who_of(session), _subscriptions(session))


def _subscriptions(session: Session) -> list[Listening]:
    return [messages.listening(text) for text in session.subscriptions.values()]


def _leave(socket: Socket, who: Principal, left: list[Listening]) -> None:
    """Take a socket's rows away; a waiting visitor's token may come again after its time (contract 6.4)."""
    deletes: dict[Key, None] = {}
    puts: dict[str, Item] = {}
    for mine in left:
        conference = keys.conference(mine.conference)
        if mine.kind == STATE:
            deletes[_moderator(socket, mine.conference)] = None
        elif mine.kind == VISITOR and not mine.released and not _was_released(mine):
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
        if not in_rows():
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
