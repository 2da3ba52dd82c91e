"""Rows of commands: written with the state that they follow from, removed with what was acknowledged.

A command stands once, below its service, in the order of time.  What is sent besides, to a webhook for
instance, stands below its room, so that a room's commands are sent in their order, and is owed by a row of
that partition, as everything is (`outbox.owed`).
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.outbox import kicks
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt import command
from chalicelib.owt.command import Command, Kind
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import STANDS, assign
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Change, Part, Put, Remove

PUSH: Final = "owt.push"
"""What a room's pusher row owes: commands that somebody besides the workers is to be told of."""


class CommandRow(OwedRow):
    """A command that nobody has acknowledged."""

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
    result = UnicodeAttribute(null=True)


class PushRow(Item):
    """A command of a room that somebody is still to be told of."""

    command = UnicodeAttribute()
    """As it is sent, JSON."""


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


def new_row(made: Command) -> CommandRow:
    """The row of a new command."""
    return CommandRow(
        *keys.owt_command(command.listed_under(made.id), made.id),
        service=made.service,
        room=made.room,
        kind=made.kind,
        target=made.target,
        args=json.dumps(made.args, separators=(",", ":")),
        created=made.created,
        expires_at=int(made.created) + command.LIVES_S,
    )


def parts(made: Iterable[Command]) -> list[Part]:
    """What a transaction has to write beside the state that these commands follow from."""
    return [part for each in made for part in [Put(new_row(each)), *push_parts(each), *errand_parts(each)]]


def push_parts(made: Command) -> list[Part]:
    """What makes a command owed to whoever follows; nothing where nobody does."""
    if not followed(made):
        return []
    where = keys.owt_pusher(made.room)
    # Who sends already, or waits for the next try, goes on: the row only notes that there is more.
    begin: list[Action] = [
        PusherRow.due.set(PusherRow.due | keys.due(PUSH, where.pk)),
        PusherRow.due_at.set(PusherRow.due_at | clock.now()),
        assign(PusherRow.latest, made.id),
    ]
    row = PushRow(
        *keys.owt_push(made.room, made.id),
        command=json.dumps(made.spell(), separators=(",", ":")),
        expires_at=int(made.created) + command.LIVES_S,
    )
    return [Put(row), Change(where, begin)]


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


def wake(made: Collection[Command]) -> None:
    """To be called once the transaction with these commands' parts was made."""
    rooms = {each.room for each in made if followed(each)}
    for room in rooms:
        kicks.kick(PUSH, keys.owt_pusher(room))
    for each in made:
        kind = errand(each)
        if kind is not None:
            kicks.kick(kind, keys.owt_errand(each.id))


# Reading


def of_row(row: CommandRow) -> Command:
    """The command that a row keeps."""
    identity = row.sk
    args = json.loads(row.args)
    return Command(identity, row.service, row.room, row.kind, row.target, args, float(row.created))


def pending(service: str) -> Iterator[CommandRow]:
    """A service's commands that nobody has acknowledged, oldest first.  Raises `Unavailable`."""
    rows = writes.query_all(CommandRow, keys.owt_commands(service), consistent=True)
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


def acking(command_id: str, ok: bool, reason: str | None = None, result: str | None = None) -> list[Part]:
    """What a transaction has to write to acknowledge a command, which of several happens once.

    The first part is refused where the command does not wait any more.
    """
    service = command.listed_under(command_id)
    row = AckedRow(
        *keys.owt_acked(service, command_id),
        ok=ok,
        reason=reason,
        result=result,
        expires_at=int(clock.now()) + command.LIVES_S,
    )
    return [Remove(keys.owt_command(service, command_id), STANDS), Put(row)]


def key_of(command_id: str) -> Key:
    """Where a command stands."""
    return keys.owt_command(command.listed_under(command_id), command_id)
