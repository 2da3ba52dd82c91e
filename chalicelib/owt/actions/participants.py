"""What may be done with participants (contract section 7)."""

from collections.abc import Callable
from typing import TypeVar

from chalicelib.errors import ValidationError
from chalicelib.owt import participant, purge
from chalicelib.owt.participant import Participant
from chalicelib.owt.store import participants
from chalicelib.wire import patch
from chalicelib.wire.untrusted import Json

T = TypeVar("T")


def listed(service_id: str, room_id: str) -> list[Participant]:
    """Everybody in a room, in the order of joining.  Raises `NoRoom`."""
    return participants.listed(service_id, room_id)


def read(service_id: str, room_id: str, participant_id: str) -> Participant:
    """One participant.  Raises `NoRoom`, `NoParticipant`."""
    return participants.read(service_id, room_id, participant_id)


def update(service_id: str, room_id: str, participant_id: str, body: Callable[[], Json]) -> Participant:
    """A participant after a list of updates, of which all take effect or none.

    Raises `NoRoom`, `NoParticipant`, and only then `ValidationError`.
    """
    try:
        flags = participant.fold(patch.parse(body()))
    except ValidationError:
        participants.read(service_id, room_id, participant_id)
        raise
    return participants.update(service_id, room_id, participant_id, flags)


def drop(service_id: str, room_id: str, participant_id: str) -> None:
    """Take a participant out of a room, with its streams, its subscriptions and its call.

    Raises `NoRoom`, `NoParticipant`.
    """
    for owed in participants.leave(service_id, room_id, participant_id):
        purge.end(owed)
