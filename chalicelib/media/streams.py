"""Streams of a media server in rooms: what `WCS_ROOMS` maps (docs/contracts/media-plane.md, section 5).

A stream's row owes that a room shows what became of it.  Whoever sees to that looks at the row as it stands,
not at the event that was: so events may come twice, late and in any order.  A stream is put into a room once
in its life, by one transaction with the note of it on its own row; who takes it out of there has taken it
out, whatever else its server tells of it.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.media import tracks
from chalicelib.media.actions.report import persisting
from chalicelib.media.tracks import WEBRTC
from chalicelib.outbox import kicks, owed
from chalicelib.owt import media_settings, purge
from chalicelib.owt.command import Command, Kind
from chalicelib.owt.errors import NoRoom
from chalicelib.owt.purge import Run, TakenOver, TimeIsUp
from chalicelib.owt.store import children, commands, reported
from chalicelib.owt.store.commands import ErrandRow
from chalicelib.owt.store.reported import Done, Said, Taking
from chalicelib.owt.stream import ID, Forward, Media, mixed_id
from chalicelib.store import writes
from chalicelib.store.expressions import assign
from chalicelib.store.keys import Key
from chalicelib.store.writes import Cancelled
from chalicelib.wcs import mapping, settings
from chalicelib.wcs import store as wcs
from chalicelib.wcs import stream as wcs_stream
from chalicelib.wcs.mapping import Target
from chalicelib.wcs.store import StreamRow

log = logging.getLogger(__name__)

STOP: Final = "wcs.stop"
"""What a command owes after which streams of a media server shall end."""
ROUNDS: Final = 10
"""So often one worker looks again at a stream that goes on changing."""
PATIENCE: Final = 3
"""So often a stream asks to come in: hooks overtake each other, and whom it follows may not have left yet."""
WORK_S: Final = 20.0


class _Moved(Exception):
    """The stream is not as it was read."""


class _Waits(Exception):
    """The room does not take the stream, and may do so in a moment."""


# A server told something


def follow(key: Key) -> None:
    """Have a room show what became of a stream, unless another worker does.  Raises `Unavailable`."""
    row = owed.claim(StreamRow, key)
    if row is None:
        return
    owner, attempts = row.owner, int(row.attempts or 0)
    for _ in range(ROUNDS):
        try:
            if wcs.followed(row, _see_to(row, attempts)):
                return
        except _Waits:
            owed.postpone(wcs.FOLLOW, row, "its room does not take the stream")
            return
        except _Moved:
            pass
        found = writes.get(StreamRow, *key, consistent=True)
        if found is None or found.owner != owner:
            return
        row = found
    if owed.hold(row, lease_s=0.0, also=[StreamRow.attempts.set(0)]):
        kicks.kick(wcs.FOLLOW, key)


def _see_to(row: StreamRow, attempts: int) -> Sequence[Action]:
    """Have the room show a stream as it stands now; what is to be noted of it.

    Raises `_Moved`, `_Waits`, `Unavailable`.
    """
    if row.room is not None:
        if row.final:
            _leave(row)
        elif clock.now() >= wcs.last_look(row):
            log.info("nothing was heard of a stream for so long that its room forgets it")
            _leave(row)
            row.room = None  # with news it may come again
            return [assign(StreamRow.room, None), assign(StreamRow.shown, None)]
        else:
            return _update(row)
    elif not row.final and row.ending is None and _is_live(row):
        target = mapping.target_of(settings.get().targets, row.fields)
        if target is not None:
            _enter(row, target, attempts)
    return []


def _is_live(row: StreamRow) -> bool:
    """Whether it is published: it was, and has not ended since, whatever came late."""
    return bool(row.began) or wcs_stream.text_of(row.fields.get("status")) == mapping.PUBLISHING


class _Comer:
    """A stream that comes into its room: put there and noted on its own row by one transaction."""

    def __init__(self, row: StreamRow, target: Target, media: Media) -> None:
        self._row = row
        self._said = Said(media, silent=tracks.silent(row.fields))
        self._stream = Forward(
            _id(row), media, owner=target.owner, type=WEBRTC, attributes=tracks.attributes(row.fields)
        )
        note = wcs.entering(row, _where(target.service, target.room), _mark(self._said))
        self.on = Taking(target.service, target.room, node=_node(row), also=[note])
        self._tried = False

    def put(self, on: Taking) -> Done:
        """Raises `_Moved` where it is the stream that is not as it was, and what `put_stream` does."""
        if self._tried:
            found = writes.get(StreamRow, *self._row.key, consistent=True)
            if found is None or _state(found) != _state(self._row):
                raise _Moved
        self._tried = True
        return reported.put_stream(on, self._stream, self._said)


def _state(row: StreamRow) -> tuple[object, ...]:
    return row.owner, row.news, row.final, row.ending, row.room


def _enter(row: StreamRow, target: Target, attempts: int) -> None:
    """Put a stream into its room.  Raises `_Moved`, `_Waits`, `Unavailable`."""
    media = tracks.media(row.fields)
    if media is None or not _may_be(_id(row), target.room):
        log.warning("a stream without tracks, or with an id that no stream of a room can have, stays outside")
        return
    comer = _Comer(row, target, media)
    try:
        done = _done(comer.put, comer.on)
    except NoRoom:
        log.warning("WCS_ROOMS names a room that is not there")
        return
    if done is not None:
        log.info("a stream came into its room")
    elif attempts < PATIENCE:
        raise _Waits
    else:
        log.warning("a room does not take a stream: it is full, or its owner may not publish this")
        if media_settings.get().commands:
            wcs.ask_for_end(row)  # lest media run that nobody sees


def _update(row: StreamRow) -> list[Action]:
    """Have a stream be what its server says, if it is still in its room.  Raises `Unavailable`."""
    media = tracks.media(row.fields)
    if media is None:
        return []
    said = Said(media, silent=tracks.silent(row.fields))
    mark = _mark(said)
    if mark == row.shown:
        return []
    _in_room(lambda on: reported.update_stream(on, _id(row), said), row)
    return [assign(StreamRow.shown, mark)]


def _mark(said: Said) -> str:
    """What stands for tracks that a room was told of."""
    return ids.short_hash(msgspec.json.encode([said.media, sorted(said.silent)]).decode())


def _leave(row: StreamRow) -> None:
    """Take a stream out of its room, if it is still there.  Raises `Unavailable`."""
    _in_room(lambda on: reported.remove_stream(on, _id(row)), row)


def _in_room(report: Callable[[Taking], Done], row: StreamRow) -> None:
    service, _, room = (row.room or "").rpartition("/")
    try:
        _done(report, Taking(service, room))
    except NoRoom:
        return


def _done(report: Callable[[Taking], Done], on: Taking) -> Done:
    """Have something be true of a room, as if a worker had reported it.  Raises `NoRoom`, `Unavailable`."""
    done = persisting(lambda: children.decided(lambda: report(on)))
    for owed_row in done or ():
        purge.end(owed_row)
    return done


def _may_be(stream_id: str, room: str) -> bool:
    """Whether a forward stream of a room can have this id."""
    return bool(ID.fullmatch(stream_id)) and not stream_id.startswith(mixed_id(room, ""))


def _id(row: StreamRow) -> str:
    return wcs_stream.text_of(row.fields.get("mediaSessionId")) or ""


def _node(row: StreamRow) -> str:
    return wcs_stream.text_of(row.fields.get("nodeId")) or ""


def _where(service: str, room: str) -> str:
    return f"{service}/{room}"


# A caller ordered something


def wanted(made: Command) -> bool:
    """Whether streams of a media server may have to end after a command."""
    return made.kind in _ENDS and any(
        (each.service, each.room) == (made.service, made.room) for each in settings.get().targets
    )


def stop(key: Key) -> None:
    """Ask for the end of the streams that a command ends, unless another worker does.

    Raises `Unavailable`.
    """
    row = owed.claim(ErrandRow, key)
    if row is None:
        return
    run = Run(row, WORK_S)
    try:
        _ENDS[row.kind](row, run)
    except TimeIsUp:
        run.leave(STOP)
    except TakenOver:
        return
    else:
        owed.finish(row)


def _end_one(row: ErrandRow, run: Run) -> None:
    """Have the stream that a command means end, and acknowledge it; others are not of a media server."""
    where = _where(row.service, row.room)
    ours = [each for each in wcs.of_session(row.target) if each.room == where]
    for each in ours:
        wcs.ask_for_end(each)
        run.went_on()
    if ours:
        try:
            writes.transact(commands.acking(row.command, ok=True))
        except Cancelled:
            log.info("a command was acknowledged before, or has expired")


def _end_of_owner(row: ErrandRow, run: Run) -> None:
    """Have the streams of a participant end who was dropped."""
    targets = settings.get().targets
    if any((each.room, each.owner) == (row.room, row.target) for each in targets):
        _end_all(row, run, lambda each: _owner(each) == row.target)


def _owner(row: StreamRow) -> str | None:
    target = mapping.target_of(settings.get().targets, row.fields)
    return target.owner if target is not None else None


def _end_of_room(row: ErrandRow, run: Run) -> None:
    """Have the streams of a room end that is gone."""
    _end_all(row, run, lambda _: True)


def _end_all(row: ErrandRow, run: Run, meant: Callable[[StreamRow], bool]) -> None:
    for each in wcs.of_room(_where(row.service, row.room)):
        if meant(each):
            wcs.ask_for_end(each)
            run.went_on()


_ENDS: Final[dict[str, Callable[[ErrandRow, Run], None]]] = {
    Kind.STREAM_STOP: _end_one,
    Kind.PARTICIPANT_DROP: _end_of_owner,
    Kind.ROOM_CLOSED: _end_of_room,
}
