"""Joining, refreshing, leaving and reporting: writes of one room's item, each with all that it depends on.

Who joins writes on the condition that nobody else did since the room was read.  What one participation does
with itself needs no reading: it holds as long as the room stands and the participation lives.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.errors import Conflict, Unavailable
from chalicelib.loop import room, session, settings
from chalicelib.loop.errors import InvalidToken, NotInRoom
from chalicelib.loop.session import Participation, Report
from chalicelib.loop.store import participations, rooms
from chalicelib.loop.store.participations import Among, StateIn, Unchanged, Value, number, text
from chalicelib.loop.store.rooms import RoomRow
from chalicelib.store import keys, writes
from chalicelib.store.expressions import Same, assign
from chalicelib.store.keys import Key
from chalicelib.store.writes import Refused

log = logging.getLogger(__name__)

TRIES: Final = 20
SESSION_ID: Final = RoomRow.session_id.attr_name


class Changed(Conflict):
    """The room is not as it was read; `row` is what stands there."""

    def __init__(self, row: RoomRow) -> None:
        super().__init__("the room was changed meanwhile")
        self.row = row


class Seen(NamedTuple):
    """A participation and its room, as a request saw them."""

    session_id: str | None
    """The room's session of the media platform."""
    connection_id: str
    """The participation's `roomConnectionId`."""
    present: int
    """How many are in the room."""


def _seen(session_id: str | None, entries: Mapping[str, Value], key: str, now: float) -> Seen:
    return Seen(session_id, participations.id_of(entries[key]), participations.present(entries, now))


def _seen_in(row: RoomRow, key: str, now: float) -> Seen:
    return _seen(row.session_id, row.participations, key, now)


def living(row: RoomRow, now: float) -> list[Participation]:
    """Those who are in a room, in the order of joining."""
    return [each for each in participations.every(row) if each.lives(now)]


def find(room_token: str, key: str) -> Seen:
    """A participation that lives, by one read.  Raises `InvalidToken`, `NotInRoom`, `Unavailable`."""
    row, now = rooms.get(room_token), clock.now()
    found = participations.of_key(row, key)
    if found is None or not found.lives(now):
        raise NotInRoom
    return _seen_in(row, key, now)


# Joining


class Entry(msgspec.Struct, frozen=True):
    """Somebody who comes into a room as it was read."""

    comes: Participation
    now: float
    replaces: Participation | None = None
    """The caller's earlier participation, whether it lives or not."""
    api_key: str | None = None
    session_id: str | None = None
    """What the room's media have from now on, where that changes."""


def enter(row: RoomRow, entry: Entry) -> None:
    """Take a seat in a room, provided that it is still as `row` says.

    Raises `Changed`, `InvalidToken`, `Unavailable`.
    """
    seat = _Seating(row, entry)
    try:
        writes.update(row.pk, row.sk, seat.actions, seat.condition)
    except Refused as refused:
        stood = rooms.living(refused.row(RoomRow))
        found = participations.of_key(stood, entry.comes.key)
        if found is None or found.id != entry.comes.id:  # else it was written, and the answer lost
            raise Changed(stood) from None
    rooms.tell(rooms.token_of(row))


class _Seating:
    """The update by which somebody enters.

    Those who ran out are marked, on condition that they still have: a refresh that was sent before their
    end, and comes after it, must not bring them back to a seat that was given away.
    """

    def __init__(self, row: RoomRow, entry: Entry) -> None:
        self.actions: list[Action] = [participations.put(entry.comes)]
        self.condition: Condition = Same(RoomRow.version, row.version) & rooms.NOT_DELETED
        others = [each for each in participations.every(row) if each.key != entry.comes.key]
        self._replace(entry)
        gone = {each.key for each in session.forgotten(others, entry.now, settings.get().deleted_ttl)}
        for each in others:
            ran_out = each.left is None and not each.lives(entry.now)
            if ran_out:
                self._demand(each, participations.UNTIL, number(each.until))
            if each.key in gone:
                self.actions.append(participations.remove(each.key))
            elif ran_out:
                self._mark(each.key, each.until)
        self._room(row, entry)

    def _replace(self, entry: Entry) -> None:
        """End the caller's earlier participation; what it reported stays."""
        old = entry.replaces
        if old is None:
            return
        if old.key != entry.comes.key:  # a guest has a new key with each token
            self._demand(old, participations.LEFT, None)
            self._mark(old.key, entry.now)
            return
        self._demand(old, participations.REPORTS, number(old.reports))
        ended = old.ended(entry.now)
        at = entry.now if ended is None else ended
        moved = msgspec.structs.replace(old, key=participations.replaced(old.id), left=at)
        self.actions.append(participations.put(moved))

    def _room(self, row: RoomRow, entry: Entry) -> None:
        ctime = int(entry.now)
        ends_at = room.ends_at(entry.now, settings.get().room_ttl_hours)
        self.actions += [
            assign(RoomRow.version, int(row.version) + 1),
            assign(RoomRow.ctime, ctime),
            assign(RoomRow.ends_at, ends_at),
        ]
        if entry.session_id is not None:
            self.actions += [
                assign(RoomRow.api_key, entry.api_key),
                assign(RoomRow.session_id, entry.session_id),
            ]
        news = rooms.telling(ctime, entry.now)
        if not news:
            due_at = float(row.due_at or ends_at)
            self.condition &= rooms.same_due(row)
            news = [assign(RoomRow.due_at, min(due_at, entry.comes.until, ends_at))]
        self.actions += news

    def _demand(self, one: Participation, name: str, value: Value | None) -> None:
        self.condition &= Unchanged(one.key, name, value)

    def _mark(self, key: str, at: float) -> None:
        self.actions.append(participations.assign(key, {participations.LEFT: number(at)}))


# What a participation does with itself


def refresh(room_token: str, key: str) -> Seen:
    """Have a participation live on for its full life.  Raises `InvalidToken`, `NotInRoom`, `Unavailable`."""
    now = clock.now()
    until = number(now + settings.get().participant_ttl)
    actions = [participations.assign(key, {participations.UNTIL: until})]
    return _update(room_token, key, now, actions, Among(key, now))


def leave(room_token: str, key: str) -> Seen:
    """End a participation.  Raises `InvalidToken`, `NotInRoom`, `Unavailable`."""
    return _leave(room_token, key)


def leave_by_token(room_token: str, token_hash: str) -> Seen:
    """End the participation that has this session token, whosever it is.

    A guest's is found by one write; for another one's the item is looked through that this write came upon.
    Raises `InvalidToken`, `NotInRoom`, `Unavailable`.
    """
    try:
        return _leave(room_token, participations.guest(token_hash))
    except _NotThere as not_there:
        now = clock.now()
        for each in participations.every(not_there.row):
            if each.token == token_hash and each.lives(now):
                return _leave(room_token, each.key, token_hash)
        raise


def _leave(room_token: str, key: str, token_hash: str = "") -> Seen:
    now, by = clock.now(), ids.new(8)
    ended = {participations.LEFT: number(now), participations.LEAVE: text(by)}
    actions = [
        participations.assign(key, ended),
        assign(RoomRow.ctime, int(now)),
        *rooms.telling(int(now), now),
    ]
    same = {participations.TOKEN: text(token_hash)} if token_hash else {}
    try:
        seen = _update(room_token, key, now, actions, Among(key, now, **same))
    except _NotThere as not_there:
        if participations.leave_of(not_there.row, key) != by:
            raise
        seen = _seen_in(not_there.row, key, now)  # it was written, and the answer lost
    rooms.tell(room_token)
    return seen


def report(room_token: str, key: str, given: Report) -> Seen:
    """Keep what a participation reports, and whether that fits to its last state.

    The first write takes it that it does; only where it does not, there is a second one.
    Raises `InvalidToken`, `NotInRoom`, `Unavailable`.
    """
    now = clock.now()
    legal = session.predecessors(given)
    fits = legal is None or bool(legal)
    for _ in range(TRIES):
        condition: Condition = Among(key, now)
        if legal:
            condition &= StateIn(key, legal, unless=not fits)
        try:
            return _update(room_token, key, now, [_reported(key, given, now, fits)], condition)
        except _NotThere as not_there:
            found = participations.of_key(not_there.row, key)
            if legal is None or found is None or not found.lives(now):
                raise
            fits = found.state in legal
    raise Unavailable("a participation reports again and again")


def _reported(key: str, given: Report, now: float, fits: bool) -> Action:
    kept = {
        participations.STATE: text(given.state),
        participations.EVENT: text(given.event),
        participations.CONNECTIONS: number(given.connections),
        participations.SENDS: number(given.sends),
        participations.RECEIVES: number(given.receives),
        participations.REPORTED: number(now),
    }
    counted = [participations.REPORTS] if fits else [participations.REPORTS, participations.NON_CONFORMING]
    return participations.assign(key, kept, counted)


class _NotThere(NotInRoom):
    """The caller is not in the room; `row` is what stands there."""

    def __init__(self, row: RoomRow) -> None:
        super().__init__("no live participation")
        self.row = row


def _update(room_token: str, key: str, now: float, actions: Sequence[Action], condition: Condition) -> Seen:
    """Change a room that stands.  Raises `InvalidToken`, `_NotThere` for a condition, `Unavailable`."""
    where: Key = keys.loop_room(rooms.checked(room_token))
    try:
        raw = writes.update(*where, actions, condition, returns="ALL_NEW")
    except Refused as refused:
        row = refused.row(RoomRow)
        if row is None or not rooms.lives(row, now):
            raise InvalidToken from None
        raise _NotThere(row) from None
    assert raw is not None  # reading all of it as a row would take longer than all the rest
    return _seen(raw.get(SESSION_ID, {}).get("S"), raw[participations.MAP]["M"], key, now)
