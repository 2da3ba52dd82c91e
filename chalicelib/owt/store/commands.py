"""Rows of commands: written with the state that they follow from, removed with what was acknowledged.

A command stands once, below its service, in the order of time.  What is sent besides, to a webhook for
instance, stands below its room, so that a room's commands are sent in their order, and is owed by a row of
that partition, as everything is (`outbox.owed`).
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from pynamodb.expressions.update import Action

from chalicelib import clock, ids, waits
from chalicelib.outbox import kicks
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt import command, media_settings
from chalicelib.owt.command import Command, Kind
from chalicelib.owt.errors import BadData
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import STANDS, assign
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Change, Part, Put, Remove

PUSH: Final = "owt.push"
"""What a room's pusher row owes: commands that somebody besides the workers is to be told of."""
CONFIRM: Final = "owt.confirm"
"""What a command owes that a request waits for: to be given up when nobody does it in time."""
LATE_S: Final = 5.0
"""A request that waits gives up by itself; so much later it has died, and the command is given up for it."""
LARGEST_ROW: Final = 350_000
"""Bytes of what a command carries; DynamoDB takes 400 KB."""
PUSH_KEPT_S: Final = 2 * command.LIVES_S
"""A row of it outlives its command, so that it is known what was not told."""


class CommandRow(OwedRow):
    """A command that nobody has acknowledged; it owes `owt.confirm` where a request waits for it."""

    service = UnicodeAttribute()
    room = UnicodeAttribute()
    kind = UnicodeAttribute()
    target = UnicodeAttribute()
    args = UnicodeAttribute()
    created = NumberAttribute()
    then = UnicodeAttribute(null=True)
    """What takes effect once it is acknowledged, as JSON; only where changes wait for that."""

    @property
    def lives(self) -> bool:
        """Whether its time is not over yet; DynamoDB removes it later."""
        return bool((self.expires_at or 0) > clock.now())


class AckedRow(Item):
    """What became of a command."""

    ok = BooleanAttribute()
    reason = UnicodeAttribute(null=True)


class PushRow(Item):
    """A command of a room that somebody is still to be told of."""

    command = UnicodeAttribute()
    """As it is sent, JSON."""
    replayed = BooleanAttribute(default=False)
    """Whether a person wants it told, although it was given up."""

    @property
    def lives_until(self) -> float:
        """When its command expires, in seconds since the epoch."""
        return float((self.expires_at or 0) - PUSH_KEPT_S + command.LIVES_S)


class ErrandRow(OwedRow):
    """A command that somebody besides the workers still has to carry out, whatever these make of it."""

    command = UnicodeAttribute()
    service = UnicodeAttribute()
    room = UnicodeAttribute()
    kind = UnicodeAttribute()
    target = UnicodeAttribute()


class PusherRow(OwedRow):
    """Who tells of a room's commands, and the last one written; it owes as long as there are any."""

    latest = UnicodeAttribute(null=True)
    head = UnicodeAttribute(null=True)
    """The command that was not taken when it was told last."""
    tries = NumberAttribute(default=0)
    """How often that was told."""


Wanted = Callable[[Command], bool]
_followers: list[Wanted] = []


def follow(*wanted: Wanted) -> None:
    """Have every command pushed that one of these wants; the composition root does this."""
    _followers[:] = wanted


def followed(made: Command) -> bool:
    """Whether somebody besides the workers is to be told of a command."""
    return any(wanted(made) for wanted in _followers)


_errands: list[tuple[str, Wanted]] = []


def undertake(*errands: tuple[str, Wanted]) -> None:
    """Have each command that is wanted be owed as an errand of this kind; the composition root does this."""
    _errands[:] = errands


def errand(made: Command) -> str | None:
    """The kind of errand that a command is, if it is one."""
    return next((kind for kind, wanted in _errands if wanted(made)), None)


# Writing


def new(
    service: str, room: str, kind: Kind, target: str, args: dict[str, Any], *, listed_under: str = ""
) -> Command:
    """A command that is not written yet, listed under its service unless that is about to go."""
    now = clock.now()
    identity = f"{ids.rising(now)}-{listed_under or service}"
    return Command(identity, service, room, kind.value, target, args, round(now, 3))


def closed(service: str, room: str, *, listed_under: str = "") -> Command:
    """The command that follows from the end of a room."""
    return new(service, room, Kind.ROOM_CLOSED, room, {}, listed_under=listed_under)


def new_row(made: Command) -> CommandRow:
    """The row of a new command.  Raises `BadData` where there is too much of it to be kept."""
    return CommandRow(
        *keys.owt_command(command.listed_under(made.id), made.id),
        service=made.service,
        room=made.room,
        kind=made.kind,
        target=made.target,
        args=_spell(made.args),
        created=made.created,
        expires_at=int(made.created) + command.LIVES_S,
    )


def _spell(value: Any) -> str:
    """Raises `BadData`."""
    text = msgspec.json.encode(value)
    if len(text) > LARGEST_ROW:
        raise BadData(f"a command is kept in at most {LARGEST_ROW} bytes")
    return text.decode()


def awaited_row(made: Command, then: Any = None) -> CommandRow:
    """The row of a new command that a request waits for; `then` takes effect once a worker did it.

    Raises `BadData` where there is too much of it to be kept.
    """
    where = keys.owt_command(command.listed_under(made.id), made.id)
    text = _spell(then) if then is not None else None
    if text is not None and len(text) + len(_spell(made.args)) > LARGEST_ROW:
        raise BadData(f"a command is kept in at most {LARGEST_ROW} bytes")
    at = made.created + media_settings.get().confirm_timeout_s + LATE_S
    return new_row(made).but(then=text, due=keys.due(CONFIRM, where.pk), due_at=at, attempts=0)


def parts(made: Iterable[Command]) -> list[Part]:
    """What a transaction has to write beside the state that these commands follow from."""
    found: dict[Key, Part] = {}
    for each in made:
        for part in [Put(new_row(each)), *push_parts(each), *errand_parts(each)]:
            # Those of one room have their pusher's row in common, and its last change says it all.
            found[_where(part)] = part
    return list(found.values())


def _where(part: Part) -> Key:
    return Key(part.row.pk, part.row.sk) if isinstance(part, Put) else part.key


def push_parts(made: Command) -> list[Part]:
    """What makes a command owed to whoever follows; nothing where nobody does."""
    if not followed(made):
        return []
    where = keys.owt_pusher(made.room)
    row = PushRow(
        *keys.owt_push(made.room, made.id),
        command=msgspec.json.encode(made.spell()).decode(),
        expires_at=int(made.created) + PUSH_KEPT_S,
    )
    return [Put(row), Change(where, _begin(where, made.id))]


def errand_parts(made: Command) -> list[Part]:
    """What makes a command an errand that is owed; nothing where it is none."""
    kind = errand(made)
    if kind is None:
        return []
    where = keys.owt_errand(made.id)
    row = ErrandRow(
        *where,
        command=made.id,
        service=made.service,
        room=made.room,
        kind=made.kind,
        target=made.target,
        due=keys.due(kind, where.pk),
        due_at=clock.now(),
        expires_at=int(made.created) + command.LIVES_S,
    )
    return [Put(row)]


def push_again(room: str, command_id: str, text: str) -> None:
    """Make a command owed once more that was given up.  Raises `Unavailable`."""
    where = keys.owt_pusher(room)
    row = PushRow(
        *keys.owt_push(room, command_id),
        command=text,
        replayed=True,
        expires_at=int(clock.now()) + PUSH_KEPT_S,
    )
    # Whoever is about to find that nothing is left learns of this row by the mark.
    writes.transact([Put(row), Change(where, _begin(where, ids.new()))])
    kicks.kick(PUSH, where)


def _begin(where: Key, mark: str) -> list[Action]:
    """Have a room's commands told; who does so already, or waits for the next try, goes on."""
    return [
        PusherRow.due.set(PusherRow.due | keys.due(PUSH, where.pk)),
        PusherRow.due_at.set(PusherRow.due_at | clock.now()),
        assign(PusherRow.latest, mark),
    ]


BELL: Final = "commands"
"""Rung in this process when there are commands of any service."""


def bell(owner: str) -> str:
    """What is rung in this process when there are commands of a service, or of a room."""
    return f"{BELL} {owner}"


def wake(made: Collection[Command]) -> None:
    """To be called once the transaction with these commands' parts was made."""
    for each in made:
        for name in (BELL, bell(command.listed_under(each.id)), bell(each.room)):
            waits.ring(name)
    rooms = {each.room for each in made if followed(each)}
    for room in rooms:
        kicks.kick(PUSH, keys.owt_pusher(room))
    for each in made:
        kind = errand(each)
        if kind is not None:
            kicks.kick(kind, keys.owt_errand(each.id))


class Beside(msgspec.Struct, frozen=True):
    """What a transaction writes beside the state that it changes."""

    parts: Sequence[Part] = ()
    made: Command | None = None
    """The command that follows from the change, if one does."""
    pending: str | None = None
    """The command that new rows wait for."""

    def sent(self) -> None:
        """To be called once the transaction was made."""
        if self.made is not None:
            wake([self.made])


NOTHING: Final = Beside()

Make: TypeAlias = Callable[[], Command]
Write: TypeAlias = Callable[[Sequence[Part]], None]
"""Makes a change of the state, and writes these parts in the same transaction."""
Order: TypeAlias = Callable[[Make, Write], None]
"""Has a change made, and what has to be written beside it."""


def beside(make: Make, *, begins: bool = False) -> Beside:
    """What goes beside a change that a command follows from, as the settings say: nothing without workers.

    What `begins` waits for its command where orders are confirmed.
    """
    given = media_settings.get()
    if not given.commands:
        return NOTHING
    made = make()
    if begins and given.confirms:
        return Beside([Put(awaited_row(made)), *push_parts(made)], made, made.id)
    return Beside(parts([made]), made)


def at_once(make: Make, write: Write) -> None:
    """The `Order` that has a change take effect now; workers follow if there are any."""
    written = beside(make)
    write(written.parts)
    written.sent()


# Reading


def of_row(row: CommandRow) -> Command:
    """The command that a row keeps."""
    identity = row.sk
    args = json.loads(row.args)
    return Command(identity, row.service, row.room, row.kind, row.target, args, float(row.created))


def pending(service: str, *, since: float = 0.0, page: int | None = None) -> Iterator[CommandRow]:
    """A service's commands that nobody has acknowledged, oldest first, so many in a read.

    Those made before `since` may be left out.  Raises `Unavailable`.
    """
    rows = writes.query_all(
        CommandRow,
        keys.owt_commands(service),
        consistent=True,
        at_least=ids.rising_from(since) if since else "",
        limit=page,
    )
    return (row for row in rows if row.lives)


def find(command_id: str) -> CommandRow | None:
    """A command that nobody has acknowledged.  Raises `Unavailable`."""
    where = keys.owt_command(command.listed_under(command_id), command_id)
    row = writes.get(CommandRow, *where, consistent=True)
    return row if row is not None and row.lives else None


def outcome(command_id: str) -> AckedRow | None:
    """What became of a command, if that is known.  Raises `Unavailable`."""
    where = keys.owt_acked(command.listed_under(command_id), command_id)
    return writes.get(AckedRow, *where, consistent=True)


# Acknowledging


def acking(command_id: str, ok: bool, reason: str | None = None) -> list[Part]:
    """What a transaction has to write to acknowledge a command, which of several happens once.

    The first part is refused where the command does not wait any more.
    """
    service = command.listed_under(command_id)
    row = AckedRow(
        *keys.owt_acked(service, command_id),
        ok=ok,
        reason=reason,
        expires_at=int(clock.now()) + command.LIVES_S,
    )
    return [Remove(keys.owt_command(service, command_id), STANDS), Put(row)]


def key_of(command_id: str) -> Key:
    """Where a command stands."""
    return keys.owt_command(command.listed_under(command_id), command_id)
