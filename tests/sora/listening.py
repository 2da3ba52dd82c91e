"""Clients that only listen, in this process: `tests.support.world` with the other protocol on its sockets."""

import json
from typing import Any, Final

from tests.support.world import Socket, World

CHANNEL: Final = "sora"


class Listener(Socket):
    """A socket that speaks JSON."""

    def __init__(self, world: World) -> None:
        super().__init__(world, None)

    def say(self, **message: Any) -> None:
        """Send one message."""
        self.send(json.dumps(message, ensure_ascii=False))

    def join(self, channel_id: str = CHANNEL, role: str = "recvonly", **also: Any) -> "Listener":
        """The first message; what is owed for it is done when this returns."""
        self.say(type="connect", role=role, channel_id=channel_id, **also)
        self.world.drain()
        return self

    @property
    def heard(self) -> list[dict[str, Any]]:
        """What came."""
        return [json.loads(text) for text in self.line.texts if text.startswith("{")]

    def events(self) -> list[tuple[str, str]]:
        """The notices that came: what happened, and to whom."""
        return [
            (each["event_type"], each["connection_id"]) for each in self.heard if each["type"] == "notify"
        ]

    def pushes(self) -> list[dict[str, Any]]:
        """The `data` of the pushes that came."""
        return [each["data"] for each in self.heard if each["type"] == "push"]

    @property
    def me(self) -> str:
        """The connection that the first message said to be its own."""
        identity: str = self.heard[0]["connection_id"]
        return identity

    def leave(self) -> None:
        """The last message."""
        self.say(type="disconnect")
        self.world.drain()

    def lost(self) -> int:
        """The socket ends without one."""
        status = self.gone()
        self.world.drain()
        return status


def counts(notice: dict[str, Any]) -> tuple[int, int, int, int]:
    """All, and those of each role."""
    names = ("", "sendrecv_", "sendonly_", "recvonly_")
    total, both, sending, receiving = (notice[f"channel_{name}connections"] for name in names)
    return total, both, sending, receiving
