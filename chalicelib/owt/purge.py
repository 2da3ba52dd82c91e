"""What goes after something has ended: what hung on a stream, view or participant; a room's rows; a service's
rooms.

Each is owed by a row, so that whoever dies leaves it to the next one.  Nobody sees what is removed here: it
was gone when the row was written.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt import settings
from chalicelib.owt.errors import NoRoom
from chalicelib.owt.store import commands, ended, rooms, services
from chalicelib.owt.store.children import Counts, change_of_counts
from chalicelib.owt.store.ended import EndedRow, ended_row
from chalicelib.owt.store.rooms import RoomPurgeRow, RoomRow
from chalicelib.owt.store.services import ServicePurgeRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Part, Put, Raw, Remove

log = logging.getLogger(__name__)

T = TypeVar("T")

WRITE: Final = writes.BATCH_WRITE
"""So many rows at most in one write."""
PAGE: Final = 500
WORK_S: Final = 20.0
"""A run ends after that, and what is left is for the next one; a lease is longer."""
INLINE_S: Final = 1.5
"""The same within a request."""
FINISH_S: Final = 5.0
"""So long is waited for what another worker has at hand."""
FINISH_PAUSE_S: Final = 0.05
ROUNDS: Final = 20
ANALYTICS: Final = "analytics"
CALL: Final = "c"


class TimeIsUp(Exception):
    """A run has taken its time; the next one goes on."""


class TakenOver(Exception):
    """Another worker has the row, or it is gone with its room."""


class Run:
    """One worker's run on an owed row: keeps the lease while it gets on, and ends when its time is up."""

    def __init__(self, row: OwedRow, seconds: float) -> None:
        self.row = row
        self._until = clock.monotonic() + seconds

    def went_on(self) -> None:
        """After each write.  Raises `TakenOver`, `TimeIsUp`."""
        if clock.monotonic() > self._until:
            raise TimeIsUp
        if float(self.row.due_at) - clock.now() < owed.usual_lease_s() / 2:
            self._hold()

    def _hold(self, lease_s: float | None = None) -> None:
        # What gets on is no poison, however often it is taken on.
        if not owed.hold(self.row, lease_s=lease_s, also=[OwedRow.attempts.set(0)]):
            raise TakenOver

    def leave(self, kind: str) -> None:
        """Leave the rest to the next run, which may begin now."""
        try:
            self._hold(0.0)
        except TakenOver:
            return
        kicks.kick(kind, Key(self.row.pk, self.row.sk))


def _serve(run: Run, kind: str, work: Callable[[], None]) -> None:
    """Do what a claimed row owes, or as much as there is time for.  Raises `Unavailable`."""
    try:
        work()
    except TimeIsUp:
        run.leave(kind)
    except (TakenOver, NoRoom):
        # A room that is gone takes its rows with it.
        return
    else:
        owed.finish(run.row)


# What hung on something that ended


def end(key: Key) -> None:
    """See to a row that `children.remove` or a PUT left, within the request; what fails is left to others."""
    try:
        _end(key, INLINE_S)
    except Unavailable as error:
        log.warning("what hung on something that ended is left for later: %s", error)


def finish(key: Key) -> None:
    """Have what hung on something that ended gone, whoever is at it.  Raises `Unavailable`."""
    until = clock.monotonic() + FINISH_S
    _end(key, INLINE_S)
    while writes.get(Item, *key, consistent=True) is not None:
        if clock.monotonic() > until:
            raise Unavailable("what hung on something that ended has not gone yet")
        time.sleep(FINISH_PAUSE_S)
        _end(key, INLINE_S)


def ended_work(key: Key) -> None:
    """Serve a kick of the kind `owt.end`.  Raises `Unavailable`."""
    _end(key, WORK_S)


def _end(key: Key, seconds: float) -> None:
    row = owed.claim(EndedRow, key)
    if row is None:
        return
    run = Run(row, seconds)
    _serve(run, ended.END, lambda: _end_all(run, row))


def _end_all(run: Run, row: EndedRow) -> None:
    """Raises `NoRoom`, `TimeIsUp`, `TakenOver`, `Unavailable`."""
    room_id = row.pk[len(keys.owt_room_partition("")) :]
    what, names = ended.what_ended(Key(row.pk, row.sk)), set(row.names)
    if what == ended.VIEW:
        _end_subscriptions(run, room_id, {ended.mixed_source(name) for name in names}, set())
        writes.batch(deletes=[keys.owt_view(room_id, name) for name in names])
        return
    if what == ended.STREAM:
        _end_subscriptions(run, room_id, {ended.forward_source(name) for name in names}, set())
        return
    if what == ended.NODE:
        _end_node(run, room_id, names)
        return
    _end_owned(run, room_id, names)


def _end_owned(run: Run, room_id: str, owners: set[str]) -> None:
    """Remove what hung on participants that ended: their streams, what is fed by these, their calls."""
    streams = _end_streams(run, room_id, "owner", owners)
    _end_fed(run, room_id, streams, owners)


def _end_fed(run: Run, room_id: str, streams: Sequence[str], calls: set[str]) -> None:
    """Remove what took something of streams that were removed, and these calls."""
    _end_subscriptions(run, room_id, {ended.forward_source(name) for name in streams}, calls)
    writes.batch(deletes=[keys.owt_ended(room_id, ended.STREAM, name) for name in streams])


def _end_node(run: Run, room_id: str, nodes: set[str]) -> None:
    """Remove what media nodes carried that are gone: streams, then subscriptions, then participants."""
    _end_fed(run, room_id, _end_streams(run, room_id, "node", nodes), set())
    _end_subscriptions(run, room_id, set(), set(), nodes)
    for some in _end_rows(run, room_id, "p#", "node", nodes):
        _end_owned(run, room_id, set(some))
        writes.batch(deletes=[keys.owt_ended(room_id, ended.PARTICIPANT, name) for name in some])


def _end_streams(run: Run, room_id: str, attribute: str, names: set[str]) -> list[str]:
    """Remove the streams that have one of these names as their owner, or as their node; their ids.

    When time is up, those that nothing took anything of are done with.
    """
    removed: list[str] = []
    try:
        for some in _end_rows(run, room_id, "w#", attribute, names):
            removed += some
    except TimeIsUp:
        fed = {source for raw in _rows(room_id, "y#") for source in _texts(raw, "sources")}
        alone = [name for name in removed if ended.forward_source(name) not in fed]
        writes.batch(deletes=[keys.owt_ended(room_id, ended.STREAM, name) for name in alone])
        raise
    return removed


ROWS: Final = {"p#": ended.PARTICIPANT, "w#": ended.STREAM}


def _end_rows(run: Run, room_id: str, prefix: str, attribute: str, values: set[str]) -> Iterator[list[str]]:
    """Remove the participants or streams of which an attribute has one of these values, some at a time.

    Each leaves a row that says so, until what hung on it has gone too.
    """
    for _ in _rounds():
        found = [raw for raw in _rows(room_id, prefix) if _text(raw, attribute) in values]
        all_gone = True
        for some in _some(found, (WRITE - 1) // 2):
            names = [_name(raw) for raw in some]
            # What is seen to at once is not looked for meanwhile.
            lease_s = owed.usual_lease_s() + WORK_S
            noted = [Put(ended_row(room_id, ROWS[prefix], [name], lease_s)) for name in names]
            if _remove(room_id, [_key(raw) for raw in some], _count(some), noted):
                yield names
            else:
                all_gone = False
            run.went_on()
        if all_gone:
            break


def _count(some: Sequence[Raw]) -> Counts:
    """How many participants and streams these are."""
    joined = sum(_key(raw).sk.startswith("p#") for raw in some)
    others = sum(_text(raw, "type") == ANALYTICS for raw in some)
    return Counts(joined, len(some) - joined - others, others)


def _end_subscriptions(
    run: Run, room_id: str, sources: set[str], calls: set[str], nodes: Collection[str] = ()
) -> None:
    """Remove the subscriptions that take something of these sources, or that these nodes carried, and these
    calls.

    A call that loses its source ends as a whole: what hangs on it as a participant is owed by another row.
    """
    for _ in _rounds():
        found = [
            raw
            for raw in _rows(room_id, "y#")
            if not sources.isdisjoint(_texts(raw, "sources"))
            or (_is_call(raw) and _name(raw) in calls)
            or _text(raw, "node") in nodes
        ]
        ending = [raw for raw in found if _is_call(raw) and _name(raw) not in calls]
        others = [raw for raw in found if raw not in ending]
        all_gone = True
        for some in _some(others, WRITE - 1):
            all_gone &= _remove(room_id, [_key(raw) for raw in some], Counts(others=len(some)))
            run.went_on()
        for raw in ending:
            all_gone &= _end_call(room_id, raw)
            run.went_on()
        if all_gone:
            return


def _end_call(room_id: str, raw: Raw) -> bool:
    """Remove a call and its participant; `False` when one of them is not there any more: look again."""
    name = _name(raw)
    note = ended_row(room_id, ended.PARTICIPANT, [name])
    both = [_key(raw), keys.owt_participant(room_id, name)]
    if not _remove(room_id, both, Counts(participants=1, others=1), [Put(note)]):
        return False
    _end(Key(note.pk, note.sk), INLINE_S)
    return True


def _remove(room_id: str, wanted: Sequence[Key], counts: Counts, noted: Sequence[Part] = ()) -> bool:
    """Remove children that were just seen; `False` when one of them is not there any more: look again.

    Raises `NoRoom`, `Unavailable`.
    """
    parts: list[Part] = [change_of_counts(room_id, counts, -1, RoomRow.pk.exists())]
    parts += [Remove(key, Item.pk.exists()) for key in wanted]
    try:
        writes.transact([*parts, *noted])
    except Cancelled as cancelled:
        if 0 in cancelled.failed:
            raise NoRoom(room_id) from None
        return False
    return True


def _rounds() -> Iterator[int]:
    """Look again after others have removed something too.  Raises `Unavailable` when that has no end."""
    yield from range(ROUNDS)
    raise Unavailable("children change again and again")


def _rows(room_id: str, prefix: str) -> list[Raw]:
    return list(writes.raw_rows(keys.owt_room_partition(room_id), prefix=prefix))


def _some(all_of_them: Iterable[T], count: int) -> Iterator[list[T]]:
    """All of them, so many at a time."""
    left = iter(all_of_them)
    while some := list(islice(left, count)):
        yield some


def _key(raw: Raw) -> Key:
    return Key(raw["pk"]["S"], raw["sk"]["S"])


def _name(raw: Raw) -> str:
    """The id at the end of a child's key."""
    return str(raw["sk"]["S"].rpartition("#")[2])


def _is_call(raw: Raw) -> bool:
    return str(raw["sk"]["S"]).startswith(f"y#{CALL}#")


def _text(raw: Raw, name: str) -> str:
    return str(raw.get(name, {}).get("S", ""))


def _texts(raw: Raw, name: str) -> list[str]:
    return list(raw.get(name, {}).get("SS", []))


# A room that was deleted


def room_work(key: Key) -> None:
    """Serve a kick of the kind `owt.purge`: remove all that is left of a room.  Raises `Unavailable`."""
    row = owed.claim(RoomPurgeRow, key)
    if row is None:
        return
    run = Run(row, WORK_S)
    _serve(run, ended.PURGE, lambda: _remove_rows(run, key))


def _remove_rows(run: Run, own: Key) -> None:
    """Raises `TimeIsUp`, `TakenOver`, `Unavailable`."""
    left = (raw for raw in writes.raw_rows(own.pk, limit=PAGE) if _key(raw) != own)
    for some in _some(left, WRITE):
        writes.batch(deletes=[_key(raw) for raw in some])
        run.went_on()


# A service that was deleted


def service_work(key: Key) -> None:
    """Serve a kick of the kind `owt.service`: delete the rooms of a service.  Raises `Unavailable`."""
    row = owed.claim(ServicePurgeRow, key)
    if row is None:
        return
    run = Run(row, WORK_S)
    _serve(run, services.PURGE, lambda: _delete_rooms(run, row.service))


def _delete_rooms(run: Run, service_id: str) -> None:
    """Raises `TimeIsUp`, `TakenOver`, `Unavailable`."""
    # Nobody signs as a deleted service any more: who may act on all rooms is told.
    under = settings.get().super_service_id
    for room_id in rooms.listed(service_id):
        _delete_room(service_id, room_id, under)
        run.went_on()


def _delete_room(service_id: str, room_id: str, listed_under: str) -> None:
    written = commands.beside(lambda: commands.closed(service_id, room_id, listed_under=listed_under))
    try:
        rooms.delete(service_id, room_id, written.parts)
    except NoRoom:
        writes.delete(*keys.owt_room_listed(service_id, room_id))
    else:
        written.sent()
    kicks.kick(ended.PURGE, keys.owt_room_purge(room_id))
