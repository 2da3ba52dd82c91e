"""A socket of the queue, and what is known of it: its session and what that has subscribed."""

from typing import Final

import msgspec

from chalicelib.jitsi import messages
from chalicelib.jitsi.messages import Listening
from chalicelib.jitsi.principal import VISITOR, Principal
from chalicelib.realtime import fanout, fronts, ports
from chalicelib.realtime.ports import Session, Sessions
from chalicelib.realtime.sessions import RowSessions

API_GATEWAY_LIFE_S: Final = 2 * 3600 + 15 * 60
GATEWAY_LIFE_S: Final = 24 * 3600

rows: Final = RowSessions()
_principal = msgspec.json.Decoder(Principal)


class Socket(msgspec.Struct, frozen=True):
    """One WebSocket, as an event names it."""

    id: str
    front: str
    source: str


def sessions() -> Sessions:
    """Where this process keeps the sessions of sockets."""
    held = ports.current().sessions
    return rows if held is None else held


def in_rows() -> bool:
    """Whether the sessions of this process's sockets are rows."""
    return ports.current().sessions is None


def lifetime(front: str) -> int:
    """Seconds that a row of one of the front's sockets is kept; no socket lives that long."""
    return API_GATEWAY_LIFE_S if front == fronts.API_GATEWAY else GATEWAY_LIFE_S


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
    if identity in session.left or (in_rows() and deduplicates(session.front)):
        return msgspec.structs.replace(found, again=found.at)
    return found


def subscribed(session: Session) -> dict[str, Listening]:
    """What a session has subscribed, by the client's ids."""
    return {
        identity: listening(session, identity, text) for identity, text in list(session.subscriptions.items())
    }


def mark_released(socket_id: str, name: str, epoch: int, ids: frozenset[str] | None = None) -> None:
    """Note that who waited in an epoch, or before it, needs nothing any more; of `ids` only, if given."""
    session = sessions().read(socket_id)
    if session is None:
        return
    for identity, text in list(session.subscriptions.items()):
        found = messages.listening(text)
        waited = (found.kind, found.conference) == (VISITOR, name) and found.epoch <= epoch
        if waited and not found.released and (ids is None or found.id in ids):
            spelled = messages.spell(msgspec.structs.replace(found, released=True))
            sessions().change(socket_id, identity, spelled)
