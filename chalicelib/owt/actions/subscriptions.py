"""What streaming-outs, recordings, calls and analytics have in common (contract 9)."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from chalicelib.errors import NotFound, ValidationError
from chalicelib.owt import purge, selection, subscription
from chalicelib.owt.actions import orders
from chalicelib.owt.command import Kind
from chalicelib.owt.errors import Refused
from chalicelib.owt.room import Room
from chalicelib.owt.selection import Options
from chalicelib.owt.store import commands, rooms, subscriptions
from chalicelib.owt.store.commands import Order, Write
from chalicelib.owt.store.subscriptions import Found
from chalicelib.owt.stream import Forward, Spelled
from chalicelib.owt.subscription import Analysis, Call, Changeable, Recording, StreamingOut
from chalicelib.wire import patch
from chalicelib.wire.untrusted import Json


class Asking(Protocol):
    """A request for a subscription."""

    @property
    def options(self) -> Options:
        """What it shall take of which stream."""


S = TypeVar("S", StreamingOut, Recording, Call, Analysis)
Made = TypeVar("Made", StreamingOut, Recording, Analysis)
Asked = TypeVar("Asked", bound=Asking)
T = TypeVar("T")

Body = Callable[[], Json]
"""Reads the body, which is looked at last.  Raises `ValidationError`."""


def checked(read: Callable[[], T], before: Callable[[], object]) -> T:
    """What a body says, and where that is bad, what comes `before` it is looked for first (contract 2)."""
    try:
        return read()
    except ValidationError:
        before()
        raise


def asked(service_id: str, room_id: str, body: Body, parse: Callable[[Json], Asked]) -> Asked:
    """A request to start something.  Raises `NoRoom`, and only then `ValidationError`."""
    return checked(lambda: parse(body()), lambda: rooms.read(service_id, room_id))


def listed(service_id: str, room_id: str, kind: type[Made]) -> list[Spelled]:
    """The subscriptions of a kind in a room.  Raises `NoRoom`."""
    return [each.spell(name) for name, each in subscriptions.listed(service_id, room_id, kind)]


def start(
    service_id: str,
    room_id: str,
    body: Body,
    parse: Callable[[Json], Asked],
    make: Callable[[str, Room, Mapping[str, Forward], Asked], Made],
) -> Spelled:
    """A new subscription, as the body asks.  Raises `NoRoom`, `ValidationError`, `Refused`."""
    wanted = asked(service_id, room_id, body, parse)
    begun = orders.Start(service_id, room_id, Kind.OUTPUT_START)
    name, made = subscriptions.create(
        service_id,
        room_id,
        wanted.options.sources,
        lambda identity, room, forward: make(identity, room, forward, wanted),
        lambda identity, made: begun.beside(identity, lambda: subscription.ordered(made)),
    )
    if begun.confirmed():
        made = confirmed(service_id, room_id, type(made), name).subscription
    return made.spell(name)


def confirmed(service_id: str, room_id: str, kind: type[S], name: str) -> Found[S]:
    """A subscription that a worker has just begun, as it said.  Raises `Refused` where it is over already."""
    try:
        return subscriptions.find(service_id, room_id, kind, name)
    except NotFound:
        raise Refused("this has ended at once") from None


def change(
    service_id: str,
    room_id: str,
    kind: type[Changeable],
    identity: str,
    body: Body,
    prefix: str = "",
) -> Found[Changeable]:
    """A subscription after a list of updates, of which all take effect or none.

    Raises `NoRoom`, `NoResource`, and only then `ValidationError`; `Refused`.
    """
    read = orders.once(body)
    return orders.changed(
        lambda order: changed(service_id, room_id, kind, identity, read, prefix, order),
        lambda: subscriptions.find(service_id, room_id, kind, identity),
        read,
    )


def changed(
    service_id: str,
    room_id: str,
    kind: type[Changeable],
    identity: str,
    body: Body,
    prefix: str,
    order: Order,
) -> Found[Changeable]:
    """The same with a write as `order` has it made."""
    changes = checked(
        lambda: selection.parse_changes(patch.parse(body()), prefix),
        lambda: subscriptions.find(service_id, room_id, kind, identity),
    )

    def decide(standing: Changeable, room: Room, forward: Mapping[str, Forward]) -> Changeable:
        if not changes:
            return standing
        options = selection.change(standing.chosen.options, changes)
        return subscription.rechosen(standing, room, forward, options)

    def write(made: Changeable, written: Write) -> None:
        command = Kind.CALL_UPDATE if isinstance(made, Call) else Kind.OUTPUT_UPDATE
        args = subscription.ordered(made)
        order(lambda: commands.new(service_id, room_id, command, identity, args), written)

    besides = [each.value for each in changes if each.field == "source"]
    return subscriptions.change(service_id, room_id, kind, identity, besides, decide, write)


def stop(service_id: str, room_id: str, kind: type[S], identity: str) -> None:
    """End a subscription, with all that hangs on it.  Raises `NoRoom`, `NoResource`."""
    command, args = (
        (Kind.CALL_END, {}) if kind is Call else (Kind.OUTPUT_STOP, {"type": subscription.TYPES[kind.kind]})
    )
    written = commands.beside(lambda: commands.new(service_id, room_id, command, identity, args))
    owed = subscriptions.remove(service_id, room_id, kind, identity, written.parts)
    written.sent()
    for each in owed:
        purge.end(each)
