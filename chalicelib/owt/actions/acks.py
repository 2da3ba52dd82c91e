"""What becomes of a command that a worker has carried out, or could not (docs/contracts/media-plane.md)."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pynamodb.expressions.condition import Condition

from chalicelib import ids, waits
from chalicelib.errors import AppError, NotFound, ValidationError
from chalicelib.owt import media_settings, purge
from chalicelib.owt import stream as nouns
from chalicelib.owt.actions import orders, participants, streams, subscriptions
from chalicelib.owt.actions.sipcalls import OUTPUT
from chalicelib.owt.command import Command, Kind
from chalicelib.owt.errors import BadData, NoRoom, Refused
from chalicelib.owt.store import children, commands, ended, rooms
from chalicelib.owt.store.children import Changed, Missing
from chalicelib.owt.store.commands import CommandRow, Make, Order, Write
from chalicelib.owt.store.participants import ParticipantRow
from chalicelib.owt.store.streams import StreamRow, with_media
from chalicelib.owt.store.subscriptions import SubscriptionRow, with_facts
from chalicelib.owt.stream import Media
from chalicelib.owt.subscription import TYPES, Call, Recording, StreamingOut
from chalicelib.store import writes
from chalicelib.store.expressions import STANDS, Same, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Part, Raw
from chalicelib.wire.untrusted import Json

log = logging.getLogger(__name__)

LONGEST_TEXT: Final = 2048
LONGEST_NODE: Final = 256


class Facts(msgspec.Struct, frozen=True):
    """What a worker says of something that it has begun."""

    media: Media | None = None
    url: str | None = None
    storage: tuple[str, str] | None = None
    """Host and file."""
    node: str | None = None


def acknowledge(row: CommandRow, ok: bool, result: Mapping[str, Any] | None, reason: str | None) -> bool:
    """Have a worker's word on a command take effect, once; `False` when somebody was first.

    Raises `ValidationError` for a result that cannot be one of this command, and then nothing has changed;
    `Unavailable`.
    """
    made = commands.of_row(row)
    facts = _read(Kind(made.kind), result or {}) if ok else Facts()
    if row.then is not None:
        done = _apply(made, msgspec.json.decode(row.then)) if ok else orders.note(made, False, reason)
    elif Kind(made.kind) not in orders.ENDS:
        done = orders.note(made, ok, reason)
    elif ok:
        done = children.decided(lambda: _fill_in(made, facts))
    elif row.due is not None:
        done = orders.give_up(made, orders.plain(reason) or orders.FAILED)
    else:
        done = _remove(made, reason)
    waits.ring(made.id)
    return done


# What a result says


def _read(kind: Kind, result: Mapping[str, Json]) -> Facts:
    """What a command of this kind can be answered with; more than that does not count.  Raises `BadData`."""
    if kind not in orders.ENDS:
        return Facts()
    facts = Facts(node=_text(result, "node", LONGEST_NODE))
    if kind is not Kind.OUTPUT_START:
        media = nouns.parse_media(result["media"]) if result.get("media") is not None else None
        return msgspec.structs.replace(facts, media=media)
    return msgspec.structs.replace(
        facts, url=_text(result, "url", LONGEST_TEXT), storage=_storage(result.get("storage"))
    )


def _text(result: Mapping[str, Json], name: str, longest: int) -> str | None:
    value = result.get(name)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= longest):
        raise BadData(f"{name} is a text of at most {longest} characters")
    return value


def _storage(value: Json) -> tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadData("storage is an object")
    host, file = _text(value, "host", LONGEST_TEXT), _text(value, "file", LONGEST_TEXT)
    if host is None or file is None:
        raise BadData("storage has a host and a file")
    return host, file


# What was begun


def _fill_in(made: Command, facts: Facts) -> bool:
    """Have what a worker has begun be what it says, and be there for everybody.

    Raises `Changed`, `BadData`, `Unavailable`.
    """
    try:
        writes.transact([*commands.acking(made.id, True), *_changes(made, facts)])
    except Cancelled as cancelled:
        if 0 in cancelled.failed:
            return False
        raise Changed("what a worker has begun was changed meanwhile") from None
    return True


def _changes(made: Command, facts: Facts) -> list[Part]:
    """The parts that fill rows in; none where they have gone, or nothing is to be said of them."""
    wanted, _ = orders.begun(made)
    raws = writes.get_many(wanted)
    if not all(key in raws for key in wanted):
        return []  # it has ended already, and whoever ended it has told the worker
    found = [_change(key, raws[key], facts) for key in wanted]
    return [each for each in found if each is not None]


def _change(key: Key, raw: Raw, facts: Facts) -> Part | None:
    changes: dict[str, Any] = {"node": facts.node} if facts.node is not None else {}
    if children.PENDING.attr_name in raw:
        changes["pending"] = None
    if key.sk.startswith("w#"):
        stream = StreamRow.from_raw_data(raw)
        if facts.media is not None:
            changes["media"] = with_media(stream, facts.media)
        return _part(key, StreamRow, changes, {"rev": ids.new()}, Same(StreamRow.rev, stream.rev))
    if key.sk.startswith("y#"):
        row = SubscriptionRow.from_raw_data(raw)
        changes |= with_facts(row, facts.url, facts.storage)
        return _part(key, SubscriptionRow, changes, {"rev": row.rev + 1}, Same(SubscriptionRow.rev, row.rev))
    return _part(key, ParticipantRow, changes, {}, STANDS)


def _part(
    key: Key, kind: type[Item], changes: Mapping[str, Any], mark: Mapping[str, Any], condition: Condition
) -> Part | None:
    return Change(key, assign_all(kind, {**changes, **mark}), condition) if changes else None


def _remove(made: Command, reason: str | None) -> bool:
    """Remove what callers see already and a worker could not begin, with what hangs on it.

    Raises `Unavailable`.
    """
    rows, counts = orders.begun(made)
    gone = [(ended.STREAM, row.sk.partition("#")[2]) for row in rows if row.sk.startswith("w#")]
    noted = commands.acking(made.id, False, orders.plain(reason))
    if not media_settings.get().commands:
        return orders.note(made, False, reason)
    try:
        state = rooms.read(made.service, made.room)
        owed = children.remove(state, rows, counts, gone, also=noted)
    except (NoRoom, Missing):
        return orders.note(made, False, reason)  # it has ended already
    except Cancelled:
        return False
    for each in owed:
        purge.end(each)
    return True


# What was to change


class _Late(Exception):
    """Somebody else has acknowledged the command, or given it up."""


def _apply(made: Command, updates: Json) -> bool:
    """Have the updates that a request waits with take effect on what stands now, together with the
    acknowledgement; where they cannot any more, only that is noted.

    Raises `Unavailable`.
    """
    applied: list[bool] = []

    def order(make: Make, write: Write) -> None:
        try:
            write(commands.acking(made.id, True))
        except AppError:
            # Whose condition did not hold?
            if commands.find(made.id) is None:
                raise _Late from None
            raise
        applied.append(True)

    try:
        _again(made, updates, order)
    except _Late:
        return False
    except (NotFound, Refused, ValidationError) as error:
        log.info("what a worker has done is not possible any more: %s", error)
        return orders.note(made, False, str(error))
    return bool(applied) or orders.note(made, True)


def _again(made: Command, updates: Json, order: Order) -> None:
    """What the request did, in a room that may be another one now."""
    where = (made.service, made.room, made.target, lambda: updates)
    match Kind(made.kind):
        case Kind.PARTICIPANT_PERMISSION:
            participants.changed(*where, order)
        case Kind.CALL_UPDATE:
            subscriptions.changed(*where[:2], Call, *where[2:], OUTPUT, order)
        case Kind.OUTPUT_UPDATE if made.args["type"] == TYPES[Recording.kind]:
            subscriptions.changed(*where[:2], Recording, *where[2:], "", order)
        case Kind.OUTPUT_UPDATE:
            subscriptions.changed(*where[:2], StreamingOut, *where[2:], "", order)
        case _:
            streams.changed(*where, "v1", order)
