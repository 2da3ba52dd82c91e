"""What is known of a socket of the queue: its session and what that has subscribed."""

import msgspec

from chalicelib.jitsi import messages
from chalicelib.jitsi.messages import Listening
from chalicelib.jitsi.principal import VISITOR, Principal
from chalicelib.realtime import fanout, ports, sessions
from chalicelib.realtime.ports import Session

_principal = msgspec.json.Decoder(Principal)


def who_of(session: Session) -> Principal:
    """The principal of a session."""
    return _principal.decode(session.who)


def deduplicates(front_id: str) -> bool:
    """Whether a front writes one message to one subscription once, however often it is asked to."""
    if fanout.is_local(front_id):
        return True
    front = fanout.known(front_id)
    return front is not None and front.dedup


def listening(session: Session, identity: str, text: str) -> Listening:
    """A subscription as its session keeps it.

    Where the front deduplicates, a subscription whose id the socket has used before says which one it is:
    the front must not take its message for the one that the earlier one got.
    """
    found = messages.listening(text)
    if identity in session.left or (sessions.in_rows() and deduplicates(session.front)):
        return msgspec.structs.replace(found, again=found.at)
    return found


def subscribed(session: Session) -> dict[str, Listening]:
    """What a session has subscribed, by the client's ids."""
    return {
        identity: listening(session, identity, text) for identity, text in list(session.subscriptions.items())
    }


def waiting_here() -> int | None:
    """How many visitors wait on sockets that this process holds; `None` where it holds none."""
    listeners = ports.current().listeners
    if listeners is None:
        return None
    return sum(
        any(_waits(text, topic) for text in list(session.subscriptions.values()))
        for topic in listeners.topics(messages.topic(VISITOR, ""))
        for _, session in listeners.listening(topic)
    )


def _waits(text: str, topic: str) -> bool:
    found = messages.listening(text)
    return not found.released and messages.topic(found.kind, found.conference) == topic


def mark_released(socket_id: str, name: str, epoch: int, ids: frozenset[str] | None = None) -> None:
    """Note that who waited in an epoch, or before it, needs nothing any more; of `ids` only, if given."""
    session = sessions.here().read(socket_id)
    if session is None:
        return
    for identity, text in list(session.subscriptions.items()):
        found = messages.listening(text)
        waited = (found.kind, found.conference) == (VISITOR, name) and found.epoch <= epoch
        if waited and not found.released and (ids is None or found.id in ids):
            spelled = messages.spell(msgspec.structs.replace(found, released=True))
            sessions.here().change(socket_id, identity, spelled)
