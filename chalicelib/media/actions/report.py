"""Taking in what media workers report: each report once, in the order of its list."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from chalicelib import settings
from chalicelib.errors import Unavailable
from chalicelib.media import reports
from chalicelib.media.reports import Report, Told
from chalicelib.owt import media_settings, purge
from chalicelib.owt.auth import Caller
from chalicelib.owt.command import Kind
from chalicelib.owt.store import children, commands, reported, rooms
from chalicelib.owt.store.ended import Ending
from chalicelib.owt.store.reported import Done, Duplicate, Filled, Said, Taking
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.stream import Forward
from chalicelib.store import table
from chalicelib.wire.untrusted import Json

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES: Final = 5
LIST_S: Final = 20.0
"""So long a list may wait for storage: it has a hundred reports, each of which is a transaction."""


class Tally(msgspec.Struct):
    """What became of a list of reports."""

    applied: int = 0
    ignored: int = 0
    duplicates: int = 0


def take(caller: Caller, room_id: str, body: Callable[[], Json]) -> Tally:
    """Take in a list of reports of a room, or nothing of it where one is malformed.

    What was taken in stays so when storage fails in between: the same list may be sent again.
    Raises `NoRoom`, and only then `ValidationError`; `Unavailable`.
    """
    room = rooms.read_for(caller.service, caller.is_super, room_id)
    listed = reports.parse(body(), room_id)
    with table.budget(max(LIST_S, settings.get().storage_budget_s)):
        known = reported.known(room_id, [each.id for each in listed])
        tally = Tally()
        for each in listed:
            _count(tally, room, each, known)
            known.add(each.id)
    return tally


def _count(tally: Tally, room: RoomState, report: Report, known: set[str]) -> None:
    if report.id in known:
        tally.duplicates += 1
        return
    try:
        applied = apply(room, report.told, report=report.id, node=report.node)
    except Duplicate:
        tally.duplicates += 1
    else:
        tally.applied += applied
        tally.ignored += not applied


def apply(room: RoomState, told: Told, *, report: str = "", node: str = "") -> bool:
    """Have what a worker tells take effect, and note the report if it has an id; whether anything did.

    A stream that is not let in is stopped, so that no media runs unseen.
    Raises `NoRoom`, `Duplicate`, `Unavailable`.
    """
    on = Taking(room.service, room.id, report, node)
    owed = persisting(lambda: children.decided(lambda: _do(on, told)))
    if owed is None:
        _ignore(on, told)
        return False
    for key in owed:
        purge.end(key)
    return True


def persisting(write: Callable[[], T]) -> T:
    """Have something written that has to wait until what hung on something of the same name has gone.

    Raises `Unavailable`.
    """
    for _ in range(TRIES):
        try:
            return write()
        except Ending as ending:
            purge.finish(ending.key)
    raise Unavailable("something of this name ends again and again")


def _do(on: Taking, told: Told) -> Done:
    match told:
        case reports.Left():
            return reported.leave(on, told.participant)
        case reports.Added():
            wanted = Forward(told.id, told.media, told.owner, told.type, told.attributes)
            return reported.put_stream(on, wanted, Said(told.media, told.version, told.silent))
        case reports.Updated():
            return reported.update_stream(on, told.id, Said(told.media, told.version, told.silent))
        case reports.Removed():
            return reported.remove_stream(on, told.id)
        case reports.Ready():
            return reported.fill_output(on, told.id, Filled(told.url, told.storage))
        case reports.Ended():
            return reported.end_output(on, told.id)
        case reports.Called():
            return reported.add_call(on, told.id, told.peer, told.stream)
        case reports.HungUp():
            return reported.end_call(on, told.id)
        case reports.Shown():
            return reported.show(on, told.view, told.layout)
        case reports.Gone():
            return reported.end_node(on, told.node)


def _ignore(on: Taking, told: Told) -> None:
    log.info("%s of room %s changes nothing", type(told).__name__, on.room)
    made = []
    if isinstance(told, reports.Added) and media_settings.get().commands:
        made.append(commands.new(on.service, on.room, Kind.STREAM_STOP, told.id, {}))
    reported.ignore(on, made)
