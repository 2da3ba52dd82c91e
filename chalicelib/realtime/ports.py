"""The two ports of the realtime core, and which adapters this process has."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec


class Post(NamedTuple):
    """A text for one socket."""

    socket_id: str
    text: str
    dedup: str = ""
    """A front that deduplicates writes one key to one socket once."""
    close_after: float = 0.0
    """Seconds after which the front closes the socket, unless it went before; 0 means never."""


class Outcome(StrEnum):
    """What became of a post."""

    SENT = "sent"
    GONE = "gone"
    RETRY = "retry"
    FAILED = "failed"


class Delivery(Protocol):
    """The way to the sockets of one front."""

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Send each text; the outcomes in the same order."""

    def close(self, socket_id: str, code: int) -> None:
        """Close a socket; nothing happens when it is gone."""


class Session(msgspec.Struct):
    """What is known of a socket since its protocol's first message.

    `who` and the values of `subscriptions` are the facade's own texts.
    """

    front: str
    version: str
    who: str
    nonce: str
    expires_at: int
    subscriptions: dict[str, str] = msgspec.field(default_factory=dict)
    left: tuple[str, ...] = ()
    """Ids of subscriptions that are no more, the latest last: as many as are known."""


CLOSED = "closed"
"""The version of a session that is over while its socket is still there."""


class Sessions(Protocol):
    """Where the sessions of sockets live: rows, or the memory of the gateway that holds the sockets."""

    def create(self, socket_id: str, session: Session) -> Session | None:
        """Keep a new session; `None`, or the one that the socket has already."""

    def read(self, socket_id: str) -> Session | None:
        """The session as it stands."""

    def subscribe(self, socket_id: str, subscription_id: str, subscription: str) -> Session | None:
        """Add a subscription unless that id is taken; the session after it, `None` without one."""

    def change(self, socket_id: str, subscription_id: str, subscription: str) -> None:
        """Replace what is kept of a subscription; nothing happens when it is gone."""

    def unsubscribe(self, socket_id: str, subscription_id: str) -> Session | None:
        """Remove a subscription; the session before that, `None` without one."""

    def delete(self, socket_id: str, gone: bool) -> Session | None:
        """End a session; what it was, `None` without one.  `gone` says that the socket is no more."""


class Listeners(Protocol):
    """What a gateway that runs the handlers in its process knows besides: who listens, without storage."""

    def listening(self, topic: str) -> list[tuple[str, Session]]:
        """The sockets that listen to a topic, each with its session."""

    def topics(self, beginning: str) -> list[str]:
        """The topics that somebody listens to and that begin so."""


@dataclass
class Ports:
    """The adapters of this process; `None` where there is no gateway in it."""

    sessions: Sessions | None = None
    delivery: Delivery | None = None
    listeners: Listeners | None = None
    front_id: str = ""
    heartbeat: str = ""
    """The pair that this process's sockets are told."""


_ports = Ports()


def install(
    *,
    sessions: Sessions | None = None,
    delivery: Delivery | None = None,
    listeners: Listeners | None = None,
    front_id: str = "",
    heartbeat: str = "",
) -> None:
    """Give the process its adapters: a gateway does this before the first event."""
    _ports.sessions = sessions
    _ports.delivery = delivery
    _ports.listeners = listeners
    _ports.front_id = front_id
    _ports.heartbeat = heartbeat


def uninstall() -> None:
    """Back to the adapters of a function on its own."""
    install()


def current() -> Ports:
    """The adapters of this process."""
    return _ports
