"""Rooms by invitation: everybody's rooms, and who is in one.  No token is shown: who has it may enter."""

from typing import Any, Final

from chalicelib import clock, ids
from chalicelib.admin import paging, spelling
from chalicelib.admin.paging import Place, Some
from chalicelib.admin.routes.common import Call, route
from chalicelib.errors import ValidationError
from chalicelib.loop import masks
from chalicelib.loop.errors import InvalidToken
from chalicelib.loop.session import Participation
from chalicelib.loop.store import participations, rooms, sessions
from chalicelib.loop.store.rooms import RoomRow
from chalicelib.wire.reply import Reply

SHOWN: Final = 4
"""So many characters of a token are shown, by which people tell rooms apart."""
SHORT: Final = 8


@route("GET", "/loop/rooms")
def listed(call: Call) -> Reply:
    """A page of all rooms that are neither deleted nor over."""
    now = clock.now()
    search = call.text("search", "").casefold()

    def wanted(row: RoomRow) -> bool:
        texts = (row.room_name or "", row.room_owner or "")
        return rooms.lives(row, now) and any(search in text.casefold() for text in texts)

    # Without a search nearly every row is wanted.
    at_once = paging.AT_ONCE if search else paging.MOST
    found, following = paging.collect(call.page(3), _read, wanted, at_once=at_once)
    return spelling.document(paging.answer([_shown(row, now) for row in found], following))


def _read(place: Place, limit: int) -> Some:
    """The parts of the index one after the other; a place in one is its last row's."""
    part, after = _where(place)
    rows, more = rooms.listed_after(part, after, limit)
    places = [(row, _place(part, row)) for row in rows]
    following: Place | None = places[-1][1] if more and places else None
    if following is None and part + 1 < rooms.PARTS:
        following = (str(part + 1), "0", BEGIN)
    return Some(places, following)


LATEST: Final = 1e11
"""Seconds since the epoch that no room is due after."""
BEGIN: Final = "-"
"""The place before all rows of a part."""


def _place(part: int, row: RoomRow) -> Place:
    return str(part), repr(float(row.due_at or 0)), masks.mask(rooms.token_of(row))


def _where(place: Place) -> tuple[int, tuple[float, str] | None]:
    """Raises `ValidationError`."""
    if not place:
        return 0, None
    part, at, masked = place
    try:
        if not 0 <= int(part) < rooms.PARTS or not 0 <= float(at) < LATEST:
            raise ValueError
        return int(part), None if masked == BEGIN else (float(at), masks.unmask(masked))
    except (ValueError, InvalidToken):
        raise ValidationError("after: this is no place in this list") from None


def _shown(row: RoomRow, now: float) -> dict[str, Any]:
    token = rooms.token_of(row)
    return {
        "id": masks.mask(token),
        "token": token[:SHOWN] + "…",
        "name": row.room_name,
        "owner": row.room_owner or None,
        "participants": participations.present(row.participations or {}, now),
        "max_size": int(row.max_size),
        "created_at": int(row.created) * 1000,
        "expires_at": int(row.ends_at) * 1000,
    }


@route("GET", "/loop/rooms/{room}")
def room(call: Call, room: str) -> Reply:
    """A room, with the sessions in it and their states."""
    row, now = rooms.get(masks.unmask(room)), clock.now()
    people = [_participation(each) for each in sessions.living(row, now)]
    return spelling.document({**_shown(row, now), "sessions": people})


def _participation(one: Participation) -> dict[str, Any]:
    return {
        "session_id": ids.short_hash(one.id)[:SHORT],
        "name": one.name,
        "owner": one.is_owner,
        "state": one.state,
        "event": one.event,
        "connections": one.connections,
        "sends": one.sends,
        "receives": one.receives,
        "non_conforming": one.non_conforming,
        "joined_at": int(one.joined * 1000),
        "expires_at": int(one.until * 1000),
    }
