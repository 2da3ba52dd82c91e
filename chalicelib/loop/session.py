"""Who is in a room, what its media stack reports, and whether reports fit together (contract 7.5).  Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

import msgspec

from chalicelib.loop import room
from chalicelib.loop.errors import ClientCapacity, RoomFull

LONGEST_EVENT: Final = 256
"""So many characters of an event's name are kept."""
REMEMBERED: Final = 20
"""So many participations that ended a room remembers at most."""


class State(StrEnum):
    """What a client's media stack is at."""

    INIT = "init"
    """The beginning and the end."""
    WAITING = "waiting"
    """Alone in the room."""
    STARTING = "starting"
    """A peer is there, no media yet."""
    SENDING = "sending"
    RECEIVING = "receiving"
    SENDRECV = "sendrecv"
    CLEANUP = "cleanup"
    """No streams are left; the connection is about to close."""


class Event(StrEnum):
    """The documented events; clients send others too."""

    CONNECTED = "Session.connectionCreated"
    DISCONNECTED = "Session.connectionDestroyed"
    RECEIVES = "Session.streamCreated"
    RECEIVES_NOT = "Session.streamDestroyed"
    SENDS = "Publisher.streamCreated"
    SENDS_NOT = "Publisher.streamDestroyed"


ALSO: Final[Mapping[str, Event]] = {
    "Session.av.streamCreated": Event.RECEIVES,
    "Session.screen.streamCreated": Event.RECEIVES,
    "Session.StreamDestroyed": Event.RECEIVES_NOT,
    "Publisher.StreamDestroyed": Event.SENDS_NOT,
}
"""Other names of documented events: what clients send, and the wiki's second spelling."""


class Report(msgspec.Struct, frozen=True):
    """What a media stack just did, and where that leaves it; the counters are those after the event."""

    event: str
    """As it was sent."""
    state: str
    """One of the seven, unless a deployment takes any."""
    connections: int
    sends: int
    receives: int


Guard: TypeAlias = Callable[[Report], bool]


def _always(_: Report) -> bool:
    return True


def _own_created(report: Report) -> bool:
    """A report does not say whose connection it was: the first one to be counted is the client's own."""
    return report.connections == 1


def _peers_created(report: Report) -> bool:
    return report.connections != 1


def _own_destroyed(report: Report) -> bool:
    """The last one to go is the client's own."""
    return report.connections == 0


def _one_is_left(report: Report) -> bool:
    return report.connections == 1


def _sends_nothing(report: Report) -> bool:
    return report.sends == 0


def _receives_nothing(report: Report) -> bool:
    return report.receives == 0


class Edge(NamedTuple):
    """A way through the graph."""

    source: State
    event: Event
    guard: Guard
    target: State


GRAPH: Final = (
    Edge(State.INIT, Event.CONNECTED, _own_created, State.WAITING),
    Edge(State.WAITING, Event.CONNECTED, _peers_created, State.STARTING),
    Edge(State.STARTING, Event.RECEIVES, _always, State.RECEIVING),
    Edge(State.STARTING, Event.SENDS, _always, State.SENDING),
    Edge(State.RECEIVING, Event.SENDS, _always, State.SENDRECV),
    Edge(State.SENDING, Event.RECEIVES, _always, State.SENDRECV),
    Edge(State.SENDRECV, Event.SENDS_NOT, _sends_nothing, State.RECEIVING),
    Edge(State.SENDRECV, Event.RECEIVES_NOT, _receives_nothing, State.SENDING),
    Edge(State.SENDING, Event.SENDS_NOT, _sends_nothing, State.CLEANUP),
    Edge(State.RECEIVING, Event.RECEIVES_NOT, _receives_nothing, State.CLEANUP),
    Edge(State.CLEANUP, Event.DISCONNECTED, _one_is_left, State.WAITING),
    Edge(State.WAITING, Event.DISCONNECTED, _own_destroyed, State.INIT),
    Edge(State.STARTING, Event.DISCONNECTED, _always, State.WAITING),
    Edge(State.SENDING, Event.DISCONNECTED, _always, State.WAITING),
    Edge(State.RECEIVING, Event.DISCONNECTED, _always, State.WAITING),
    Edge(State.SENDRECV, Event.DISCONNECTED, _always, State.WAITING),
)
"""The graph of the wiki's later revision; where it leads nowhere, a documented event changes nothing."""

STATES: Final = tuple(map(str, State))

_EDGES: Final[Mapping[tuple[str, Event], Edge]] = {(edge.source, edge.event): edge for edge in GRAPH}
_EVENTS: Final[Mapping[str, Event]] = {**{str(event): event for event in Event}, **ALSO}


def target(state: str, report: Report) -> str | None:
    """The state to which the graph leads from `state`; `None` for an event that it does not know.

    >>> str(target("waiting", Report("Session.connectionCreated", "starting", 2, 0, 0)))
    'starting'
    """
    event = _EVENTS.get(report.event)
    if event is None:
        return None
    edge = _EDGES.get((state, event))
    return edge.target if edge is not None and edge.guard(report) else state


def as_clients_do(report: Report) -> State:
    """The state that shipped clients report at such an event with such counters (contract 7.5.2).

    >>> str(as_clients_do(Report("sdk.exception.1500", "", 2, 1, 1)))
    'sendrecv'
    """
    event = _EVENTS.get(report.event)
    if event is Event.CONNECTED and report.connections == 1:
        return State.WAITING
    if event is Event.DISCONNECTED and report.connections == 0:
        # Clients report no end of their own connection: what is counted no more was a peer's.
        return State.WAITING
    if report.sends:
        return State.SENDRECV if report.receives else State.SENDING
    return State.RECEIVING if report.receives else State.STARTING


def predecessors(report: Report) -> frozenset[str] | None:
    """The states from which a report conforms: none, some, or `None` for whichever there is.

    >>> sorted(predecessors(Report("Publisher.streamDestroyed", "cleanup", 2, 0, 0)))
    ['cleanup', 'sending']
    """
    if report.state == as_clients_do(report):
        return None
    known = (*STATES, report.state)
    return frozenset(state for state in known if target(state, report) == report.state)


def conforms(before: str, report: Report) -> bool:
    """Whether a report fits to the state before it (contract 7.5.3)."""
    legal = predecessors(report)
    return legal is None or before in legal


class Participation(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's presence in a room, from one join to its end."""

    key: str
    """Under which it stands in the room: `g` and the hash of a token, `h` and a uid, `z` and `id`."""
    id: str
    """`roomConnectionId`."""
    name: str
    is_owner: bool
    most: int
    """How many people the client can take: `clientMaxSize`."""
    until: float
    token: str
    """The hash of the session token."""
    joined: float
    state: str = State.INIT.value
    event: str | None = None
    connections: int = 0
    sends: int = 0
    receives: int = 0
    reported: float | None = None
    """When the last report came."""
    reports: int = 0
    non_conforming: int = 0
    left: float | None = None
    """When it ended: it was left, or ran out and somebody took note of that."""

    def lives(self, now: float) -> bool:
        """Whether it takes a seat."""
        return self.left is None and self.until > now

    def ended(self, now: float) -> float | None:
        """When it ended; `None` while it lives."""
        if self.left is not None:
            return self.left
        return None if self.until > now else self.until


def admit(max_size: int, others: Sequence[Participation], is_owner: bool, most: int) -> None:
    """Let somebody who can take `most` people into a room beside those `others` (contract 7.1).

    Raises `RoomFull`, `ClientCapacity`.
    """
    capacity = room.capacity(max_size, (each.most for each in others))
    owner_is_in = is_owner or any(each.is_owner for each in others)
    if room.free_seats(capacity, len(others), owner_is_in) <= 0:
        raise RoomFull("the room is full")
    if most <= len(others):
        raise ClientCapacity("there are more people in the room than this client can take")


def forgotten(remembered: Iterable[Participation], now: float, kept_s: float) -> list[Participation]:
    """Those who ended too long ago, or before too many others, to be remembered."""
    ended = [(at, each.id, each) for each in remembered if (at := each.ended(now)) is not None]
    ended.sort(key=lambda found: found[:2], reverse=True)
    return [each for rank, (at, _, each) in enumerate(ended) if rank >= REMEMBERED or at <= now - kept_s]
