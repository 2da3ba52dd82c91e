"""What may be done with participants (contract section 7)."""

from collections.abc import Callable, Mapping

from chalicelib.errors import ValidationError
from chalicelib.owt import media_settings, participant, purge
from chalicelib.owt.actions import orders
from chalicelib.owt.command import Kind
from chalicelib.owt.participant import Flag, Participant
from chalicelib.owt.store import commands, participants
from chalicelib.owt.store.commands import Order, Write
from chalicelib.wire import patch
from chalicelib.wire.untrusted import Json


def listed(service_id: str, room_id: str) -> list[Participant]:
    """Everybody in a room, in the order of joining.  Raises `NoRoom`."""
    return participants.listed(service_id, room_id)


def read(service_id: str, room_id: str, participant_id: str) -> Participant:
    """One participant.  Raises `NoRoom`, `NoParticipant`."""
    return participants.read(service_id, room_id, participant_id)


def update(service_id: str, room_id: str, participant_id: str, body: Callable[[], Json]) -> Participant:
    """A participant after a list of updates, of which all take effect or none.

    Raises `NoRoom`, `NoParticipant`, and only then `ValidationError`; `Refused` where workers have to
    confirm it.
    """
    if not media_settings.get().commands:
        flags = _flags(service_id, room_id, participant_id, body)
        return participants.update(service_id, room_id, participant_id, flags)
    known = orders.once(body)
    return orders.changed(
        lambda order: changed(service_id, room_id, participant_id, known, order),
        lambda: read(service_id, room_id, participant_id),
        known,
    )


def changed(
    service_id: str, room_id: str, participant_id: str, body: Callable[[], Json], order: Order
) -> Participant:
    """The same with a write as `order` has it made."""
    flags = _flags(service_id, room_id, participant_id, body)

    def write(after: Participant, written: Write) -> None:
        kind, args = Kind.PARTICIPANT_PERMISSION, {"permission": after.permission}
        order(lambda: commands.new(service_id, room_id, kind, participant_id, args), written)

    return participants.change(service_id, room_id, participant_id, flags, write)


def _flags(
    service_id: str, room_id: str, participant_id: str, body: Callable[[], Json]
) -> Mapping[Flag, bool | None]:
    try:
        return participant.fold(patch.parse(body()))
    except ValidationError:
        participants.read(service_id, room_id, participant_id)
        raise


def drop(service_id: str, room_id: str, participant_id: str) -> None:
    """Take a participant out of a room, with its streams, its subscriptions and its call.

    Raises `NoRoom`, `NoParticipant`.
    """
    written = commands.beside(
        lambda: commands.new(service_id, room_id, Kind.PARTICIPANT_DROP, participant_id, {})
    )
    owed = participants.leave(service_id, room_id, participant_id, written.parts)
    written.sent()
    for each in owed:
        purge.end(each)
