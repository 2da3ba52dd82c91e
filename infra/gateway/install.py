"""Where the gateway meets the product: the adapters it installs, and the registry of fronts."""

import time
from collections.abc import Callable
from typing import Protocol

from chalicelib import settings as shared
from chalicelib import tally
from chalicelib.jitsi import presence
from chalicelib.jitsi.messages import topic_of
from chalicelib.outbox import kicks
from chalicelib.realtime import fronts, ports
from chalicelib.realtime.sessions import MemorySessions
from infra.gateway.settings import Settings

Kick = Callable[[str], None]
"""Have `work` look at once at what the body of a kick names."""


class Glue(Protocol):
    """What a gateway needs of the product besides its handlers."""

    def install(self, front_id: str, settings: Settings, delivery: ports.Delivery, kicker: Kick) -> None:
        """Give the handlers of this process the gateway's adapters."""

    def uninstall(self) -> None:
        """Take the adapters away again."""

    def register(self, front_id: str, endpoint: str, settings: Settings) -> bool:
        """Begin the front's lease; `False` when the id is taken."""

    def renew(self, front_id: str) -> bool:
        """Prolong the lease; `False` when it is lost."""

    def withdraw(self, front_id: str) -> None:
        """End the lease."""


class Product:
    """The glue to `chalicelib`."""

    def __init__(self) -> None:
        self._sessions: MemorySessions | None = None

    def install(self, front_id: str, settings: Settings, delivery: ports.Delivery, kicker: Kick) -> None:
        """Give the handlers of this process the gateway's adapters.

        Sessions outlive a change of the front's id: the sockets of before are still to be closed.
        """
        if self._sessions is None:
            self._sessions = MemorySessions(topic_of)
        ports.install(
            sessions=self._sessions,
            delivery=delivery,
            listeners=self._sessions,
            front_id=front_id,
            heartbeat=settings.heartbeat,
        )
        kicks.install(kicker)
        tally.measure(presence.waiting_here)

    def uninstall(self) -> None:
        """Take the adapters away again."""
        ports.uninstall()
        kicks.install(None)
        tally.measure(None)

    def register(self, front_id: str, endpoint: str, settings: Settings) -> bool:
        """Begin the front's lease; `False` when the id is taken."""
        return fronts.register(
            fronts.Front(
                id=front_id,
                endpoint=endpoint,
                kind="gateway",
                bulk=settings.edge,
                dedup=settings.edge,
                heartbeat=settings.heartbeat,
                alive_until=time.time() + shared.get().front_lease_s,
                remembers=settings.handlers == "local",
            )
        )

    def renew(self, front_id: str) -> bool:
        """Prolong the lease; `False` when it is lost."""
        return fronts.renew(front_id)

    def withdraw(self, front_id: str) -> None:
        """End the lease."""
        fronts.withdraw(front_id)
