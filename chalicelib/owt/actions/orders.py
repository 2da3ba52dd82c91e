"""How an order reaches media workers, and how a request waits until one of them has carried it out.

Without workers (`MEDIA_MODE=store`) nothing of this happens.  With `fire` a command goes into the transaction
of what it follows from.  With `confirm` a request waits: what it begins stands, seen by nobody, and what it
changes is kept with the command, until that is acknowledged or given up, one of which happens.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from chalicelib import clock, waits
from chalicelib.errors import Unavailable
from chalicelib.outbox import owed
from chalicelib.owt import command, media_settings
from chalicelib.owt.command import Command, Kind
from chalicelib.owt.errors import NoRoom, Refused
from chalicelib.owt.store import commands
from chalicelib.owt.store.children import PENDING, Counts, change_of_counts
from chalicelib.owt.store.commands import NOTHING, AckedRow, Beside, CommandRow, Make, Order, Write
from chalicelib.owt.store.rooms import RoomRow
from chalicelib.owt.subscription import TYPES, Call
from chalicelib.store import keys, table, writes
from chalicelib.store.expressions import STANDS, Same
from chalicelib.store.keys import Key
from chalicelib.store.writes import Cancelled, Check, Part, Put, Remove
from chalicelib.wire.untrusted import Json

T = TypeVar("T")

SHORTEST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 0.5
GROWS: Final = 1.5
SILENCE: Final = "no media worker has confirmed this in time"
FAILED: Final = "the media worker could not do this"
LONGEST_REASON: Final = 300
ENDS: Final = {
    Kind.STREAM_START: Kind.STREAM_STOP,
    Kind.OUTPUT_START: Kind.OUTPUT_STOP,
    Kind.CALL_DIAL: Kind.CALL_END,
}
"""What begins something, and what ends it."""
KINDS: Final = {name: kind for kind, name in TYPES.items()}


class Start:
    """The command of something that begins: one for each try, of which the last one was written."""

    def __init__(self, service_id: str, room_id: str, kind: Kind) -> None:
        self._about = (service_id, room_id, kind)
        self._written = NOTHING

    def beside(self, target: str, args: Callable[[], dict[str, Any]]) -> Beside:
        """What goes into the transaction of the rows of what begins."""
        self._written = commands.beside(lambda: commands.new(*self._about, target, args()), begins=True)
        return self._written

    def confirmed(self) -> bool:
        """To be called once that was made: whether a worker was waited for, which may have changed the rows.

        Raises `Refused` where none did it, `Unavailable`.
        """
        self._written.sent()
        if self._written.made is None or self._written.pending is None:
            return False
        wait(self._written.made)
        return True


def changed(decide: Callable[[Order], T], look: Callable[[], T], then: Callable[[], Json]) -> T:
    """What `decide` makes of something that stands, once workers follow, or have followed.

    Where orders are confirmed it is only tried now, and done again of what `then` gives when a worker has
    acknowledged it; `look` then shows what stands.  Raises `Refused` where none did it, `Unavailable`, and
    what the functions raise.
    """
    if not media_settings.get().confirms:
        return decide(commands.at_once)
    wanted: list[Command] = []

    def note(make: Make, write: Write) -> None:
        wanted.append(make())

    tried = decide(note)
    if not wanted:
        return tried
    made = wanted[-1]
    row = commands.awaited_row(made, then())
    room = Check(keys.owt_room(made.room), Same(RoomRow.service, made.service))
    try:
        writes.transact([room, Put(row), *commands.push_parts(made)])
    except Cancelled:
        raise NoRoom(made.room) from None
    commands.wake([made])
    wait(made)
    return look()


def once(body: Callable[[], Json]) -> Callable[[], Json]:
    """The same body, read when it is needed first."""
    known: list[Json] = []

    def read() -> Json:
        if not known:
            known.append(body())
        return known[0]

    return read


# Waiting


def wait(made: Command) -> None:
    """Return once a worker has carried a command out; what nobody did in time is given up.

    Raises `Refused`, `Unavailable`.
    """
    outcome = _outcome(made.id)
    if outcome is None and not give_up(made):
        outcome = commands.outcome(made.id)
    if outcome is None:
        raise Refused(SILENCE)
    if not outcome.ok:
        raise Refused(outcome.reason or FAILED)


def _outcome(command_id: str) -> AckedRow | None:
    """What became of a command, as soon as that is known; `None` when the time is over."""
    until = clock.monotonic() + media_settings.get().confirm_timeout_s
    pause = SHORTEST_PAUSE_S
    with waits.waiting(command_id) as waiter, waits.parked() as admitted:
        # Too many who wait would keep out whom they wait for.
        while admitted and (left := until - clock.monotonic()) > 0:
            # Each by itself, so that what it took is no longer missing when the next one begins.
            with table.apart():
                goes_on = waiter.wait(min(pause, left))
            with table.apart():
                outcome = _look(command_id)
            if outcome is not None or not goes_on:
                return outcome
            pause = min(LONGEST_PAUSE_S, pause * GROWS)
    return None


def _look(command_id: str) -> AckedRow | None:
    try:
        return commands.outcome(command_id)
    except Unavailable:
        return None  # there is time to look again


# Giving up


def give_up(made: Command, reason: str = SILENCE) -> bool:
    """Have a command that a request waits for fail, and remove what it was to begin; `False` when somebody
    was first.

    A worker that had begun it after all is told to end it.  Raises `Unavailable`.
    """
    noted = commands.acking(made.id, False, plain(reason))
    undone, stop = _undoing(made)
    try:
        writes.transact([*noted, *undone])
    except Cancelled as cancelled:
        if 0 in cancelled.failed:
            return False
        # What it was to begin has gone, or is about to go, with its room or its source.
        return note(made, False, reason)
    commands.wake(stop)
    waits.ring(made.id)
    return True


def note(made: Command, ok: bool, reason: str | None = None) -> bool:
    """Only note what became of a command; `False` when somebody was first.  Raises `Unavailable`."""
    try:
        writes.transact(commands.acking(made.id, ok, plain(reason)))
    except Cancelled:
        return False
    waits.ring(made.id)
    return True


def plain(reason: str | None) -> str | None:
    """A worker's reason as it may be answered: a line of text, and no long one.

    >>> plain("no\\tsuch\\x00 file\\n")
    'no such file'
    """
    if reason is None:
        return None
    printable = "".join(each if each.isprintable() else " " for each in reason[: 4 * LONGEST_REASON])
    return " ".join(printable.split())[:LONGEST_REASON] or None


def _undoing(made: Command) -> tuple[list[Part], list[Command]]:
    """The parts that remove what a command was to begin, and the command to end it; nothing for others."""
    kind = Kind(made.kind)
    if kind not in ENDS:
        return [], []
    args = {"type": made.args["type"]} if kind is Kind.OUTPUT_START else {}
    under = command.listed_under(made.id)
    stop = commands.new(made.service, made.room, ENDS[kind], made.target, args, listed_under=under)
    rows, counts = begun(made)
    return [
        change_of_counts(made.room, counts, -1, STANDS),
        *(Remove(row, Same(PENDING, made.id)) for row in rows),
        *commands.parts([stop]),
    ], [stop]


def begun(made: Command) -> tuple[list[Key], Counts]:
    """The rows of what a command begins, and what they are counted as.

    A call has its own row, its participant's and its input's.
    """
    room, target, args = made.room, made.target, made.args
    match Kind(made.kind):
        case Kind.STREAM_START:
            return [keys.owt_stream(room, target)], Counts(inputs=1)
        case Kind.OUTPUT_START:
            return [keys.owt_subscription(room, KINDS[args["type"]], target)], Counts(others=1)
        case Kind.CALL_DIAL:
            own = keys.owt_subscription(room, Call.kind, target)
            peer, heard = keys.owt_participant(room, target), keys.owt_stream(room, args["input"])
            return [own, peer, heard], Counts(1, 1, 1)
    return [], Counts()


def confirm_work(key: Key) -> None:
    """Serve a kick of the kind `owt.confirm`: give up for a request that has died.  Raises `Unavailable`."""
    # What is left standing here is seen by nobody and never goes, so it is tried for good.
    row = owed.claim(CommandRow, key, endless=True)
    if row is not None:
        give_up(commands.of_row(row))
