"""Listing the commands that wait for a worker, and waiting for some."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from chalicelib import clock, waits
from chalicelib.owt.auth import Caller
from chalicelib.owt.command import Command
from chalicelib.owt.errors import BadData, NoRoom
from chalicelib.owt.store import commands, rooms, services
from chalicelib.owt.store.rooms import RoomRow
from chalicelib.realtime import parallel
from chalicelib.store import keys, table, writes
from chalicelib.wire.reply import LARGEST_ANSWER, sent_length

USUAL_LIMIT: Final = 100
LARGEST_LIMIT: Final = 1000
LONGEST_WAIT_S: Final = 20.0
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 1.0
"""Between two looks for what other processes wrote; what this one did is seen at once."""
SLACK_S: Final = 60.0
"""Commands may become visible so much later than their ids say."""

_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Wish(msgspec.Struct, frozen=True):
    """What a worker asks for."""

    room: str | None = None
    limit: int = USUAL_LIMIT
    wait_s: float = 0.0


def read_wish(query: Mapping[str, Sequence[str]]) -> Wish:
    """Read a query; what is empty is not there.  Raises `BadData`."""
    given = {name: _one(query, name) for name in ("room", "limit", "wait")}
    limit, wait_s = USUAL_LIMIT, 0.0
    if given["limit"]:
        limit = int(given["limit"]) if _WHOLE.fullmatch(given["limit"]) else 0
    if given["wait"]:
        wait_s = float(given["wait"]) if _SECONDS.fullmatch(given["wait"]) else -1.0
    if not 1 <= limit <= LARGEST_LIMIT:
        raise BadData(f"limit is a whole number from 1 to {LARGEST_LIMIT}")
    if not 0 <= wait_s <= LONGEST_WAIT_S:
        raise BadData(f"wait is a number of seconds from 0 to {LONGEST_WAIT_S:.0f}")
    return Wish(given["room"] or None, limit, wait_s)


def _one(query: Mapping[str, Sequence[str]], name: str) -> str:
    values = query.get(name) or [""]
    if len(values) > 1:
        raise BadData(f"{name} is given twice")
    return values[0]


def pull(caller: Caller, wish: Wish) -> list[Command]:
    """The oldest commands that wait, once there are some or the time is over.

    Raises `NoRoom`, `Unavailable`.
    """
    began, until = clock.now(), clock.monotonic() + wish.wait_s
    with waits.waiting(_bell(caller, wish)) as waiter:
        found = _look(caller, wish)
        if found or not wish.wait_s:
            return found
        with waits.parked() as admitted:
            return _wait(caller, wish, waiter, began, until) if admitted else []


def that_fit(found: Iterable[Command]) -> list[msgspec.Raw]:
    """The first of these, as they are answered: so many as one answer may hold."""
    fitting, length = [], 2
    for each in found:
        spelled = msgspec.json.encode(each.spell())
        length += sent_length(spelled)
        if length > LARGEST_ANSWER:
            break
        fitting.append(msgspec.Raw(spelled))
    return fitting


def _bell(caller: Caller, wish: Wish) -> str:
    """What is rung when there may be something to see."""
    if wish.room is not None:
        return commands.bell(wish.room)
    return commands.BELL if caller.is_super else commands.bell(caller.service)


def _wait(caller: Caller, wish: Wish, waiter: waits.Waiter, began: float, until: float) -> list[Command]:
    """Look again and again.  Raises `Unavailable`."""
    pause = FIRST_PAUSE_S
    while (left := until - clock.monotonic()) > 0:
        with table.apart():
            if not waiter.wait(min(pause, left)):
                return []
        looked = clock.monotonic()
        with table.budget():
            # All that is older was seen, and was none.
            found = _look(caller, wish, since=began - SLACK_S)
        if found:
            return found
        # Whoever looks at many services looks less often.
        pause = max(min(LONGEST_PAUSE_S, pause * 1.5), 2 * (clock.monotonic() - looked))
    return []


def _look(caller: Caller, wish: Wish, since: float = 0.0) -> list[Command]:
    """Raises `NoRoom`, `Unavailable`."""
    if wish.room is None:
        return _oldest(_everywhere(caller), wish.limit, since)
    rooms.checked(wish.room)
    row = writes.get(RoomRow, *keys.owt_room(wish.room), consistent=True)
    if row is not None and not caller.is_super and row.service != caller.service:
        raise NoRoom(wish.room)
    # That a room was closed is told although it is not there any more.
    listed = {row.service, caller.service} if row is not None else _everywhere(caller)
    found = _oldest(listed, wish.limit, since, wish.room)
    if not found and row is None and not since:
        raise NoRoom(wish.room)
    return found


def _everywhere(caller: Caller) -> list[str]:
    """The services under which a caller's commands are listed; the super service's are those of all."""
    return [each.id for each in services.every()] if caller.is_super else [caller.service]


def _oldest(listed: Iterable[str], limit: int, since: float, room: str | None = None) -> list[Command]:
    """Raises `Unavailable`."""

    def of_service(service: str) -> list[Command]:
        # Those of one room may stand anywhere, so they are looked for in reads as large as may be.
        found = commands.pending(service, since=since, page=limit if room is None else None)
        return list(islice((commands.of_row(row) for row in found if room in (None, row.room)), limit))

    several = parallel.each(of_service, listed)
    return sorted((each for some in several for each in some), key=lambda each: each.id)[:limit]
