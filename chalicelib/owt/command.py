"""Commands: what a caller ordered and a media worker carries out (docs/contracts/media-plane.md).  Pure."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

PENDING: Final = "pending"
LIVES_S: Final = 86400
"""For how long a command waits for a worker, and for how long it is known what became of it."""


class Kind(StrEnum):
    """What a worker is to do."""

    ROOM_CLOSED = "room.closed"
    ROOM_UPDATED = "room.updated"
    PARTICIPANT_PERMISSION = "participant.permission"
    PARTICIPANT_DROP = "participant.drop"
    STREAM_START = "stream.start"
    STREAM_STOP = "stream.stop"
    STREAM_MUTE = "stream.mute"
    STREAM_MIX = "stream.mix"
    STREAM_UNMIX = "stream.unmix"
    LAYOUT_SET = "layout.set"
    OUTPUT_START = "output.start"
    OUTPUT_UPDATE = "output.update"
    OUTPUT_STOP = "output.stop"
    CALL_DIAL = "call.dial"
    CALL_UPDATE = "call.update"
    CALL_END = "call.end"


class Command(msgspec.Struct, frozen=True):
    """One order; its id rises with time and names the service under which it is listed."""

    id: str
    service: str
    room: str
    kind: str
    target: str
    args: dict[str, Any]
    created: float
    """Seconds since the epoch."""

    def spell(self) -> dict[str, Any]:
        """As it is answered and sent."""
        return {
            "id": self.id,
            "service": self.service,
            "room": self.room,
            "kind": self.kind,
            "target": self.target,
            "args": self.args,
            "created_at": spell_time(self.created),
            "state": PENDING,
        }


def spell_time(at: float) -> str:
    """A time as RFC 3339 has it, in UTC with milliseconds.

    >>> spell_time(1795886400.25)
    '2026-11-28T17:20:00.250Z'
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def listed_under(command_id: str) -> str:
    """The service under which a command of this id is listed; empty for what is no command's id.

    >>> listed_under("6a1b2c3d4e5f6a1b2c3d4e5f-5188b9af6e53c84ffd600499")
    '5188b9af6e53c84ffd600499'
    """
    return command_id.partition("-")[2]
