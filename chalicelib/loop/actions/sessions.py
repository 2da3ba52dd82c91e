"""What may be done in a room: join, refresh, leave, report, and look at what was reported (contract 7)."""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from chalicelib import clock, ids, journal
from chalicelib.errors import AppError
from chalicelib.loop import actions_messages as messages
from chalicelib.loop import media, secrets, session, settings
from chalicelib.loop.actions_messages import Domain, Join
from chalicelib.loop.auth import Caller, Guest, Hawk
from chalicelib.loop.errors import Expired, NotASession, NotInRoom, RoomFull, Unauthenticated
from chalicelib.loop.session import Participation, Report
from chalicelib.loop.store import participations, rooms, sessions
from chalicelib.loop.store.rooms import RoomRow
from chalicelib.loop.store.sessions import Changed, Entry, Seen

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES: Final = 20
PAUSE_S: Final = 0.01
LONGEST_PAUSES: Final = 5
DOMAINS: Final = "loop.domain"


def check(room_token: str, caller: Caller) -> None:
    """That the room stands, and a guest is in it: what comes before any fault of a body (contract 4.6).

    Raises `InvalidToken`, `NotASession`, `Unavailable`.
    """
    row = rooms.get(room_token)
    if isinstance(caller, Guest):
        _earlier(row, caller, clock.now())


def _keys(caller: Hawk | Guest) -> list[str]:
    """What the caller's participation may be found by, the most likely first."""
    if isinstance(caller, Guest):
        return [participations.guest(each) for each in caller.token_hashes]
    return [participations.signed_in(caller.uid)]


def _first(keys: Sequence[str], act: Callable[[str], T]) -> T:
    """What `act` returns for the first key that somebody in the room has.  Raises `NotInRoom`."""
    for key in keys[:-1]:
        with suppress(NotInRoom):
            return act(key)
    return act(keys[-1])


def _acting(caller: Hawk | Guest, error: AppError, act: Callable[[str], T]) -> T:
    """Who is not in the room is refused by `error`; a guest's credential died with its participation."""
    try:
        return _first(_keys(caller), act)
    except NotInRoom:
        raise (NotASession() if isinstance(caller, Guest) else error) from None


# Joining


class Joined(msgspec.Struct, frozen=True):
    """Somebody who came in."""

    participation: Participation
    api_key: str
    session_id: str
    session_token: str
    present: int
    """How many are in the room now."""


def join(room_token: str, caller: Caller, wanted: Join) -> Joined:
    """Let the caller into a room, in place of an earlier participation of its own.

    Whoever comes at the same moment decides anew on what the other one left; a race that is lost again and
    again ends as a full room.

    Raises `InvalidToken`, `NotASession`, `RoomFull`, `ClientCapacity`, `Unavailable`.
    """
    row = rooms.get(room_token)
    media_of = _Media()
    for tried in range(TRIES):
        entry, joined = _decide(row, caller, wanted, media_of)
        try:
            sessions.enter(row, entry)
        except Changed as changed:
            row = changed.row
            time.sleep(ids.chance.uniform(0, PAUSE_S * min(tried, LONGEST_PAUSES)))
        else:
            return joined
    log.warning("a room changes all the time")
    raise RoomFull


def _decide(row: RoomRow, caller: Caller, wanted: Join, media_of: "_Media") -> tuple[Entry, Joined]:
    """How the caller enters the room as it was read.

    Raises `NotASession`, `RoomFull`, `ClientCapacity`, `Unavailable`.
    """
    now = clock.now()
    earlier = _earlier(row, caller, now)
    others = [each for each in sessions.living(row, now) if earlier is None or each.key != earlier.key]
    is_owner = isinstance(caller, Hawk) and caller.uid == row.uid
    session.admit(int(row.max_size), others, is_owner, wanted.most)
    api_key, session_id = media_of.session(row)
    token, token_hash = media_of.token(session_id, is_owner, row.channel)
    comes = Participation(
        key=_keys(caller)[0] if isinstance(caller, Hawk) else participations.guest(token_hash),
        id=media_of.connection_id,
        name=wanted.name,
        is_owner=is_owner,
        most=wanted.most,
        until=now + settings.get().participant_ttl,
        token=token_hash,
        joined=now,
    )
    is_new = session_id != row.session_id
    entry = Entry(comes, now, earlier, api_key if is_new else None, session_id if is_new else None)
    return entry, Joined(comes, api_key, session_id, token, len(others) + 1)


def _earlier(row: RoomRow, caller: Caller, now: float) -> Participation | None:
    """The caller's own participation, if the room has one; a guest's has to live.  Raises `NotASession`."""
    if not isinstance(caller, Hawk | Guest):
        return None
    mine = (participations.of_key(row, key) for key in _keys(caller))
    found = next((each for each in mine if each is not None), None)
    if isinstance(caller, Guest) and (found is None or not found.lives(now)):
        raise NotASession
    return found


class _Media:
    """What one join gets of the media provider, and who it is: the same however often it is decided anew."""

    def __init__(self) -> None:
        self.connection_id = str(uuid.uuid4())
        self._new: tuple[str, str] | None = None
        self._tokens: dict[tuple[str, bool], tuple[str, str]] = {}

    def session(self, row: RoomRow) -> tuple[str, str]:
        """The room's media session; a new one where the provider's credentials are others now."""
        if row.session_id is not None and row.api_key == media.api_key(row.channel):
            return row.api_key, row.session_id
        if self._new is None:
            self._new = media.new_session(row.channel)
        return self._new

    def token(self, session_id: str, is_owner: bool, channel: str) -> tuple[str, str]:
        """A session token, and its hash."""
        wanted = (session_id, is_owner)
        if wanted not in self._tokens:
            role = media.MODERATOR if is_owner else media.PUBLISHER
            made = media.token(session_id, role, channel)
            self._tokens[wanted] = made, secrets.token_hash(made)
        return self._tokens[wanted]


# What somebody in a room does


def refresh(room_token: str, caller: Hawk | Guest) -> Seen:
    """Prolong the caller's participation by its full life.

    Raises `InvalidToken`, `Expired`, `NotASession`, `Unavailable`.
    """
    return _acting(caller, Expired(), lambda key: sessions.refresh(room_token, key))


def leave(room_token: str, caller: Hawk | Guest) -> Seen:
    """End the caller's participation.  Raises `InvalidToken`, `NotInRoom`, `NotASession`, `Unavailable`."""
    return _acting(caller, NotInRoom(), lambda key: sessions.leave(room_token, key))


def leave_by_token(room_token: str, session_token: str) -> Seen:
    """End the participation whose session token this is: the token is the right to do so (contract 7.3).

    Raises `InvalidToken`, `Unauthenticated`, `Unavailable`.
    """
    try:
        hashes = secrets.token_hashes(session_token)
        return _first(hashes, lambda each: sessions.leave_by_token(room_token, each))
    except NotInRoom:
        raise Unauthenticated("no live participation has this session token") from None


def report(room_token: str, caller: Hawk | Guest, given: Report) -> Seen:
    """Record what the caller's media stack reports.

    Raises `InvalidToken`, `NotInRoom`, `NotASession`, `Unavailable`.
    """
    return _acting(caller, NotInRoom(), lambda key: sessions.report(room_token, key, given))


def log_domains(room_token: str, caller: Hawk | Guest, domains: Iterable[Domain]) -> Seen:
    """Count the domains that were shared in a room; who shared them is not kept.

    Raises `InvalidToken`, `NotInRoom`, `NotASession`, `Unavailable`.
    """
    seen = _acting(caller, NotInRoom(), lambda key: sessions.find(room_token, key))
    counts: Counter[str] = Counter()
    for each in domains:
        counts[each.domain] += each.count
    for domain, count in counts.items():
        journal.count(DOMAINS, count, domain=domain)
    return seen


def listed(caller: Hawk, room_token: str) -> dict[str, Any]:
    """What everybody reported who is or lately was in a room of the caller's.

    Raises `InvalidToken`, `Forbidden`, `Unavailable`.
    """
    row = rooms.owned(rooms.get(room_token), caller.uid)
    return messages.sessions(participations.every(row), clock.now())
