"""Rows of participants: who is in a room, in which role, and what each may do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pynamodb.expressions.update import Action

from chalicelib import clock
from chalicelib.owt import participant
from chalicelib.owt.errors import NoParticipant
from chalicelib.owt.participant import FLAGS, Flag, Participant
from chalicelib.owt.store import children, ended, rooms
from chalicelib.owt.store.children import Changed, Counts, Missing
from chalicelib.owt.store.commands import Write
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.stream import ID
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import Same, absent, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Part, Raw

MICROSECONDS: Final = 1_000_000


class ParticipantRow(Item):
    """A participant; a direction whose two flags are missing is `false` as a whole."""

    user = UnicodeAttribute()
    role = UnicodeAttribute()
    publish_audio = BooleanAttribute(attr_name="pa", null=True)
    publish_video = BooleanAttribute(attr_name="pv", null=True)
    subscribe_audio = BooleanAttribute(attr_name="sa", null=True)
    subscribe_video = BooleanAttribute(attr_name="sv", null=True)
    joined = NumberAttribute()
    """Microseconds since the epoch."""
    isp = UnicodeAttribute(null=True)
    region = UnicodeAttribute(null=True)
    node = UnicodeAttribute(null=True)
    """Which media node carries them."""
    pending = UnicodeAttribute(attr_name="pnd", null=True)
    """The command that a call's participant waits for; nobody sees it until then."""

    @property
    def order(self) -> tuple[int, str]:
        """Sorts participants as they joined."""
        return int(self.joined), self.sk


ATTRIBUTES: Final[Mapping[Flag, BooleanAttribute]] = {
    Flag("publish", "audio"): ParticipantRow.publish_audio,
    Flag("publish", "video"): ParticipantRow.publish_video,
    Flag("subscribe", "audio"): ParticipantRow.subscribe_audio,
    Flag("subscribe", "video"): ParticipantRow.subscribe_video,
}


def of_row(row: ParticipantRow) -> Participant:
    """The participant that a row keeps."""
    flags = {flag: getattr(row, _name(flag)) for flag in FLAGS}
    return Participant(row.sk.partition("#")[2], row.user, row.role, participant.spell_permission(flags))


def _visible(raw: Raw | None, participant_id: str) -> ParticipantRow:
    """The row of a participant who waits for nothing.  Raises `NoParticipant`."""
    row = writes.read(ParticipantRow, raw)
    if row is None or row.pending is not None:
        raise NoParticipant(participant_id)
    return row


# Reading


def listed(service_id: str, room_id: str) -> list[Participant]:
    """Everybody in a room, in the order of joining.  Raises `NoRoom`, `Unavailable`."""
    return of(children.participants(service_id, room_id))


def of(found: children.Listing) -> list[Participant]:
    """The same of what was read already."""
    rows = [ParticipantRow.from_raw_data(raw) for raw in found.of(children.PARTICIPANTS)]
    return [of_row(row) for row in sorted(rows, key=lambda row: row.order) if row.pending is None]


def read(service_id: str, room_id: str, participant_id: str) -> Participant:
    """One participant, read beside the room.  Raises `NoRoom`, `NoParticipant`, `Unavailable`."""
    return of_row(_find(service_id, room_id, participant_id))


def _find(service_id: str, room_id: str, participant_id: str) -> ParticipantRow:
    if not ID.fullmatch(participant_id):
        rooms.read(service_id, room_id)
        raise NoParticipant(participant_id)
    _, (raw,) = children.some(service_id, room_id, keys.owt_participant(room_id, participant_id))
    return _visible(raw, participant_id)


# Changing


def update(
    service_id: str, room_id: str, participant_id: str, flags: Mapping[Flag, bool | None]
) -> Participant:
    """A participant after these flags were set: one write, which tells whether there is such a one.

    `None` stands for a flag that only has to be there.  Raises `NoRoom`, `NoParticipant`, `Unavailable`.
    """
    if not flags or not ID.fullmatch(participant_id):
        return read(service_id, room_id, participant_id)
    rooms.read(service_id, room_id)
    with writes.refusing(NoParticipant(participant_id)):
        raw = writes.update(
            *keys.owt_participant(room_id, participant_id),
            actions=[_assignment(flag, value) for flag, value in flags.items()],
            condition=children.VISIBLE,
            returns="ALL_NEW",
        )
    return of_row(_visible(raw, participant_id))


def change(
    service_id: str,
    room_id: str,
    participant_id: str,
    flags: Mapping[Flag, bool | None],
    order: Callable[[Participant, Write], None],
) -> Participant:
    """The same where it matters to others what comes of it, and `order` has it written: one read, one
    transaction; nothing where nothing changes.

    Raises `NoRoom`, `NoParticipant`, `Unavailable`, and what `order` raises.
    """

    def once() -> Participant:
        row = _find(service_id, room_id, participant_id)
        stood = {flag: getattr(row, _name(flag)) for flag in FLAGS}
        wanted = {flag: bool(stood[flag]) if value is None else value for flag, value in flags.items()}
        changed = {_name(flag): value for flag, value in wanted.items() if value is not stood[flag]}
        if not changed:
            return of_row(row)
        after = of_row(row.but(**changed))
        condition = children.VISIBLE
        for flag, value in stood.items():
            attribute = ATTRIBUTES[flag]
            condition &= absent(attribute) if value is None else Same(attribute, value)
        own = Change(Key(row.pk, row.sk), assign_all(ParticipantRow, changed), condition)
        order(after, lambda also: _write(own, also))
        return after

    return children.decided(once)


def _name(flag: Flag) -> str:
    return f"{flag.direction}_{flag.track}"


def _write(own: Change, also: Sequence[Part]) -> None:
    """Raises `Changed`, `Unavailable`."""
    try:
        writes.transact([own, *also])
    except Cancelled:
        raise Changed("the participant was changed") from None


def _assignment(flag: Flag, value: bool | None) -> Action:
    attribute = ATTRIBUTES[flag]
    return attribute.set(attribute | False) if value is None else attribute.set(value)


# Joining and leaving


def new_row(state: RoomState, participant_id: str, user: str, role: str) -> ParticipantRow:
    """The row of somebody who joins now.  Raises `Refused` where the room has no such role."""
    row = ParticipantRow(
        *keys.owt_participant(state.id, participant_id),
        user=user,
        role=role,
        joined=int(clock.now() * MICROSECONDS),
    )
    for flag, value in participant.permission_of(state.room.roles, role).items():
        setattr(row, _name(flag), value)
    return row


def leave(service_id: str, room_id: str, participant_id: str, also: Sequence[Part] = ()) -> list[Key]:
    """Take a participant out of a room; its streams and its call are gone from then on.

    `also` is any other part of the transaction, without a condition.  Have `purge.end` serve what is
    returned: their rows are owed.  Raises `NoRoom`, `NoParticipant`, `Unavailable`.
    """
    state = rooms.read(service_id, room_id)
    if not ID.fullmatch(participant_id):
        raise NoParticipant(participant_id)
    try:
        return children.remove(
            state,
            [keys.owt_participant(room_id, participant_id)],
            Counts(participants=1),
            [(ended.PARTICIPANT, participant_id)],
            also=also,
        )
    except Missing:
        raise NoParticipant(participant_id) from None
