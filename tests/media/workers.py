"""What a media worker asks of the media plane, called in this process; and commands put there for it."""

from typing import Any

from chalicelib.owt.command import Command, Kind
from chalicelib.owt.store import commands
from chalicelib.store import writes
from tests.owt.api import Api
from tests.support.events import Answer


class Worker:
    """A worker that signs as a service."""

    def __init__(self, api: Api) -> None:
        self.api = Api(api.service, api.key, "media/v1")

    def waiting(self, query: str = "") -> Answer:
        """The commands that wait."""
        return self.api.get(f"/commands{query}")

    def ack(self, command_id: str, body: Any) -> Answer:
        """Acknowledge a command."""
        return self.api.post(f"/commands/{command_id}/ack", body)


def order(
    service: str,
    room: str,
    kind: Kind = Kind.STREAM_MUTE,
    target: str = "t",
    args: dict[str, Any] | None = None,
    *,
    under: str = "",
) -> Command:
    """Write a command, as a change that it follows from does."""
    made = commands.new(service, room, kind, target, args or {}, listed_under=under)
    writes.transact(commands.parts([made]))
    commands.wake([made])
    return made
