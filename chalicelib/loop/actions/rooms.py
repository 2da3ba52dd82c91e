"""What callers do with rooms: make, look, list, change, delete (contract 6)."""

import json
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from chalicelib import clock
from chalicelib.errors import AppError, Unavailable
from chalicelib.loop import media, messages, settings, spelling
from chalicelib.loop.auth import Caller, Guest, Hawk, Nobody
from chalicelib.loop.errors import Forbidden, InvalidToken, NotASession, ValidationError
from chalicelib.loop.messages import Body, Shown
from chalicelib.loop.room import Limits
from chalicelib.loop.session import Participation
from chalicelib.loop.store import participations, rooms
from chalicelib.loop.store.rooms import Found, RoomRow

LARGEST_LIST: Final = 5 * 1024 * 1024
"""Bytes of a list as it is sent: Lambda answers with 6 MB at most."""
GROWTH: Final = 3
"""So many times larger a text may get as a part of what Lambda sends: JSON within JSON."""


def limits() -> Limits:
    """What this deployment allows."""
    given = settings.get()
    return Limits(given.max_size, given.room_name_max, given.room_owner_max, given.room_ttl_hours)


def create(caller: Hawk, body: Body) -> Shown:
    """Make a room.  Raises `Missing`, `ValidationError`, `Unavailable`."""
    new = messages.parse_new(body, limits())
    api_key, session_id = media.new_session(new.channel)
    return messages.made(rooms.create(caller.uid, new, api_key, session_id), settings.get().room_url)


def find(token: str) -> Found:
    """A room with its context.  Raises `InvalidToken`, `Unavailable`."""
    return rooms.read(token)


def look(found: Found, caller: Caller) -> Shown:
    """What the caller may see of a room.  Raises `Forbidden`, `NotASession`."""
    template = settings.get().room_url
    if isinstance(caller, Nobody):
        return messages.public(found.room, template, found.context)
    present = _present(found.row, clock.now())
    _check_insider(found.row, present, caller)
    return messages.full(found.room, template, found.context, present)


def _present(row: RoomRow, now: float) -> list[Participation]:
    return [each for each in participations.every(row) if each.lives(now)]


def _check_insider(row: RoomRow, present: Sequence[Participation], caller: Hawk | Guest) -> None:
    """Raises `Forbidden`, `NotASession`."""
    here = {each.key for each in present}
    if isinstance(caller, Guest):
        if not any(participations.guest(each) in here for each in caller.token_hashes):
            raise NotASession
    elif row.uid != caller.uid and participations.signed_in(caller.uid) not in here:
        raise Forbidden("the caller neither owns the room nor is in it")


def every(caller: Hawk, version: int) -> bytes:
    """The caller's rooms, those that changed last at the end, as JSON (contract 6.6).

    With a version: what changed since, and what was deleted since.
    Raises `ValidationError` for a list larger than what can be sent, `Unavailable`.
    """
    now, template = clock.now(), settings.get().room_url
    known = rooms.listed(caller.uid)
    living = sorted(
        (row for row in known if rooms.lives(row, now) and row.ctime >= version),
        key=lambda row: (row.ctime, row.created, row.pk),
    )
    contexts = _contexts(living)
    shown = []
    for row in living:
        context = contexts.get(row.pk) if row.has_context else None
        shown.append(messages.full(rooms.of(row), template, context, _present(row, now)))
    if version:
        shown += [messages.deleted(rooms.token_of(row)) for row in _tombstones(known, version, now)]
    body = msgspec.json.encode(shown)
    if len(body) * GROWTH > LARGEST_LIST and len(json.dumps(body.decode())) > LARGEST_LIST:
        raise _too_large()
    return body


def _contexts(some: Sequence[RoomRow]) -> dict[str, str]:
    """The contexts of rooms by partition.  Raises `ValidationError`, `Unavailable`."""
    found: dict[str, str] = {}
    length = 0
    for page in rooms.contexts(some):
        found |= page
        length += sum(map(len, page.values()))
        if length > LARGEST_LIST:
            raise _too_large()
    return found


def _too_large() -> ValidationError:
    return ValidationError("the list is larger than 5 MB: ask for what changed lately, with ?version=")


def _tombstones(known: Sequence[RoomRow], version: int, now: float) -> list[RoomRow]:
    since = now - settings.get().deleted_ttl
    found = [row for row in known if row.deleted_at is not None and row.deleted_at > since]
    return sorted(
        (row for row in found if row.deleted_at >= version), key=lambda row: (row.deleted_at, row.pk)
    )


def change(caller: Hawk, token: str, read_body: Callable[[], Body]) -> Shown:
    """Change a room; the body is looked at once the room was found, and its owner after that (contract 4.6).

    Raises `InvalidToken`, `ValidationError`, `Forbidden`, `Unavailable`.
    """
    row = rooms.get(token)
    wanted = messages.parse_change(read_body(), limits())
    return messages.changed(rooms.change(rooms.owned(row, caller.uid), wanted))


def delete(caller: Hawk, token: str) -> None:
    """Delete a room with everybody in it.  Raises `InvalidToken`, `Forbidden`, `Unavailable`."""
    rooms.delete(token, caller.uid)


def delete_some(caller: Hawk, body: Body) -> tuple[Shown, bool]:
    """Delete several rooms: how each went, and whether any did (contract 6.5).

    Raises `Missing`, `ValidationError`, `Unavailable` when storage failed and nothing is gone.
    """
    went = dict(rooms.delete_some(messages.parse_deletion(body), caller.uid))
    gone = None in went.values()
    for error in went.values():
        if isinstance(error, Unavailable) and not gone:
            raise error
    shown = messages.responses((token, _deletion(error)) for token, error in went.items())
    return (shown if gone else _refusal(InvalidToken()) | shown), gone


def _deletion(error: AppError | None) -> Shown:
    return {"code": 200} if error is None else _refusal(error)


def _refusal(error: AppError) -> Shown:
    status, errno = spelling.number(error)
    return {"code": status, "errno": errno, "error": str(error)}
