"""What callers do with rooms: create, look, list, change, delete (contract 6)."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from chalicelib.outbox import kicks
from chalicelib.owt import purge, room
from chalicelib.owt.auth import Caller
from chalicelib.owt.command import Kind
from chalicelib.owt.errors import BadData
from chalicelib.owt.store import commands, ended, rooms
from chalicelib.store import keys
from chalicelib.store.writes import Part
from chalicelib.wire.reply import LARGEST_ANSWER, sent_length
from chalicelib.wire.untrusted import Json

LARGEST_PAGE: Final = 10**9


def create(caller: Caller, body: Json) -> msgspec.Raw:
    """Make a room.  Raises `BadData`, `Unauthenticated`, `Unavailable`."""
    document = room.parse_new(body)
    return rooms.create(caller.service, document, check_service=not caller.is_super).answer()


def look(caller: Caller, room_id: str) -> msgspec.Raw:
    """One room.  Raises `NoRoom`, `Unavailable`."""
    return rooms.read(caller.service, room_id).answer()


def page(caller: Caller, number: str | None, size: str | None) -> list[msgspec.Raw]:
    """A page of the service's rooms, or all of them (contract 6.1).

    Raises `BadData` when the answer would be larger than what can be sent, `Unavailable`.
    """
    skip, count = bounds(number, size)
    found: list[msgspec.Raw] = []
    length = 0
    for some in rooms.page(caller.service, skip, count):
        for each in some:
            answer = each.answer()
            length += sent_length(bytes(answer)) + 1
            if length > LARGEST_ANSWER:
                raise BadData("the list is larger than 6 MB: ask for fewer rooms with per_page")
            found.append(answer)
    return found


def bounds(number: str | None, size: str | None) -> tuple[int, int | None]:
    """How many rooms a page skips, and how many it has; `None` for all.

    >>> [bounds(*each) for each in (("0", "20"), ("3", "20"), ("2", None), ("x", "1"), ("-1", "0"))]
    [(0, 20), (40, 20), (0, None), (0, 1), (0, None)]
    """
    count = _whole(size)
    if count <= 0:
        return 0, None
    return (max(1, _whole(number)) - 1) * count, count


def _whole(text: str | None) -> int:
    """A whole number that may stand in a query; 0 for everything else."""
    plain = (text or "").strip()
    if not plain.lstrip("+-").isascii() or not plain.lstrip("+-").isdigit() or len(plain) > 18:
        return 0
    return min(LARGEST_PAGE, int(plain)) if plain.count("+") + plain.count("-") <= 1 else 0


def change(caller: Caller, room_id: str, read_body: Callable[[], Json]) -> msgspec.Raw:
    """Replace the fields that the body has; it is looked at once the room was found.

    Views that it takes away end, and what takes something of their mixed streams.
    Raises `NoRoom`, `ValidationError`, `Unavailable`.
    """
    known = rooms.read(caller.service, room_id)
    written = commands.NOTHING

    def also(version: int) -> Sequence[Part]:
        nonlocal written
        args = {"version": version}
        written = commands.beside(
            lambda: commands.new(caller.service, room_id, Kind.ROOM_UPDATED, room_id, args)
        )
        return written.parts

    changed, owed = rooms.replace(known, read_body(), also)
    written.sent()
    if owed is not None:
        purge.end(owed)
    return changed.answer()


def delete(caller: Caller, room_id: str) -> None:
    """Remove a room, and have what was in it removed.  Raises `NoRoom`, `Unavailable`."""
    written = commands.beside(lambda: commands.closed(caller.service, room_id))
    rooms.delete(caller.service, room_id, written.parts)
    written.sent()
    kicks.kick(ended.PURGE, keys.owt_room_purge(room_id))
