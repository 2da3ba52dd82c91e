"""What visitors and moderators can do: one function each.  What servers and workers do is elsewhere."""

from typing import Final, NamedTuple

import msgspec

from chalicelib import clock, ids
from chalicelib.errors import Throttled, Unavailable
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import counts, messages, presence, principal, settings, store, waiting
from chalicelib.jitsi.conference import Conference, Live
from chalicelib.jitsi.errors import BadFrame, Denied, NotAConference, NotAllowed, NotConnected
from chalicelib.jitsi.messages import Listening
from chalicelib.jitsi.principal import LIST, STATE, VISITOR, Principal
from chalicelib.outbox import kicks
from chalicelib.realtime import fanout, fronts, ports, protocols, sessions, subscriptions
from chalicelib.realtime.ports import Outcome, Post, Session
from chalicelib.realtime.protocols import Socket
from chalicelib.realtime.subscriptions import SubscriptionRow
from chalicelib.store import keys
from chalicelib.store.keys import Key
from chalicelib.wire.stomp import Version

NO_ENTRY: Final = "no entry"
"""The version of a session whose endpoint admits nobody."""
STOMP: Final = frozenset({*Version, NO_ENTRY, ports.CLOSED})
"""The versions of sessions that are the queue's; any other is another protocol's."""


class Subscribe(NamedTuple):
    """What a SUBSCRIBE frame asks; `wire_id` and `wire_destination` as MESSAGE will spell them."""

    id: str
    destination: str
    wire_id: str
    wire_destination: str
    ack: bool


def refuse_all(socket: Socket) -> None:
    """Remember that a socket came in where nobody is admitted; its CONNECT is denied."""
    sessions.here().create(socket.id, _session(socket, NO_ENTRY, Principal()))


def _session(socket: Socket, version: str, who: Principal) -> Session:
    return Session(
        front=socket.front,
        version=version,
        who=msgspec.json.encode(who).decode(),
        nonce=ids.new(),
        expires_at=int(clock.now()) + fronts.lifetime(socket.front),
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
    standing = sessions.here().create(socket.id, _session(socket, version, who))
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
    session = sessions.here().subscribe(socket.id, asked.id, spelled)
    if session is None or session.version == NO_ENTRY or session.version not in STOMP:
        raise NotConnected("SUBSCRIBE before CONNECT")
    if session.subscriptions[asked.id] != spelled:
        standing = messages.listening(session.subscriptions[asked.id])
        if (standing.kind, standing.conference, standing.destination) == (mine.kind, name, mine.destination):
            return
        raise BadFrame("The subscription's id is taken")
    if len(session.subscriptions) > messages.SUBSCRIPTIONS:
        raise BadFrame("Too many subscriptions")
    mine = presence.listening(session, asked.id, spelled)
    who = presence.who_of(session)
    for each in (who, override):
        if each is not None:
            conference = _authorised(each, to.kind, conference)
    if conference is not None and to.kind == VISITOR:
        waiting.wait(socket, session, asked.id, mine, who, conference)
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


def watch(socket: Socket, session: Session, mine: Listening, conference: Conference) -> None:
    """Let a moderator see how many wait: the number as it is now, and its changes from then on."""
    name = conference.name
    interval = settings.get().state_interval_s
    number = counts.waiting(name)
    row = SubscriptionRow(
        *_moderator(socket, name),
        front=socket.front,
        data=_packed(_watching(session, name)),
        shown=number,
        expires_at=int(clock.now()) + fronts.lifetime(socket.front),
    )
    # The row comes first: a count that finds nobody to tell ends the counting, unless this is after it.
    subscriptions.subscribe(row)
    if store.watch(name, interval, session.nonce + mine.id[:8]):
        kicks.kick(store.COUNT, keys.watch(keys.conference(name)), interval)
    store.note(name)
    text = messages.message(messages.address(mine), ids.new(), messages.count_body(name, number))
    if Outcome.GONE in fanout.send(socket.front, [Post(socket.id, text)]):
        subscriptions.drop([(row.pk, row.sk)])


def _watching(session: Session, name: str) -> list[Listening]:
    """The subscriptions of a socket to a conference's count."""
    found = presence.subscribed(session).values()
    return [each for each in found if (each.kind, each.conference) == (STATE, name)]


def _packed(watching: list[Listening]) -> str:
    usual = messages.usual_destination(STATE, watching[0].conference)
    return messages.pack(messages.addresses(watching), usual)


def _moderator(socket: Socket, name: str) -> Key:
    """Where the row of a moderator stands."""
    return Key(keys.moderators(keys.conference(name)), socket.id)


def unsubscribe(socket: Socket, identity: str) -> None:
    """Serve an UNSUBSCRIBE frame; an id that is not known is no fault.  Raises `NotConnected`."""
    try:
        before = sessions.here().unsubscribe(socket.id, identity)
    except Unavailable:
        leave_later(socket)
        raise
    if before is None or before.version not in STOMP:
        raise NotConnected("UNSUBSCRIBE before CONNECT")
    text = before.subscriptions.pop(identity, None)
    if text is None:
        return
    mine, who = messages.listening(text), presence.who_of(before)
    if mine.kind == STATE:
        left = _watching(before, mine.conference)
        if left:
            subscriptions.say(_moderator(socket, mine.conference), _packed(left))
        else:
            waiting.leave(socket, who, [mine])
    elif mine.kind == VISITOR and not mine.released and not waiting.was_released(mine):
        waiting.leave_one(socket, who, mine, waiting.together(before, mine))


def disconnect(socket: Socket) -> bool:
    """End a session by a DISCONNECT frame; `False` when there was none."""
    session = protocols.end(socket, gone=False)
    return session is not None and session.version != NO_ENTRY


def ended(socket: Socket, session: Session) -> None:
    """Take out of the queue whoever's session has ended."""
    if session.version != NO_ENTRY:
        waiting.leave(socket, presence.who_of(session), presence.subscribed(session).values())


def leave_later(socket: Socket) -> None:
    """Have the end of a socket seen to once storage answers; its session is all that is needed."""
    if sessions.in_rows():
        kicks.kick(store.LEAVE, keys.socket(socket.id), waiting.REPAIR_AFTER_S)


def leave(socket_id: str) -> None:
    """Finish what the end of a socket, whose session is a row, left undone."""
    session = sessions.ROWS.ended(socket_id)
    if session is not None:
        protocols.ended(Socket(socket_id, session.front, ""), session)
