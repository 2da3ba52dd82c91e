"""Rows of connections, and of the pushes that changes of their metadata owe.

A connection is one row, and its metadata is JSON text in it.  A change reads the row and writes it provided
that nobody else has since; the row that a refused write shows is what the next try begins with.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks
from chalicelib.outbox.owed import OwedRow
from chalicelib.sora import settings
from chalicelib.sora.connection import EVENT, Connection
from chalicelib.sora.errors import ConnectionNotFound
from chalicelib.store import expressions, keys, noted, table, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute
from chalicelib.store.keys import Key
from chalicelib.store.noted import NotedRow
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change, Put, Refused

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=OwedRow)

PUSH: Final = "sora.push"
"""What is owed to a channel's listeners."""
UPSTREAM: Final = "sora.upstream"
"""What is owed to the media server."""
CLOCKS_APART_S: Final = 1.0
PUSH_KEPT_S: Final = 600
"""What could not be sent for so long is news no more."""

LARGEST_PUSH: Final = 128 * 1024
"""The largest message of a gateway."""

EMPTY: Final = "{}"
MARKS: Final = "."
MARK: Final = 6
KEPT_MARKS: Final = 12
TRIES: Final = 200
LONGEST_PAUSE_S: Final = 0.005
TURNS: Final = 256


class ConnectionRow(Item):
    """A connection; once it has ended only the time of that is left, and keeps it from coming back."""

    channel_id = UnicodeAttribute(attr_name="h", null=True)
    connection_id = UnicodeAttribute(attr_name="i", null=True)
    client_id = UnicodeAttribute(attr_name="l", null=True)
    """Missing where it is the connection's id; the bundle's likewise."""
    bundle_id = UnicodeAttribute(attr_name="b", null=True)
    role = UnicodeAttribute(attr_name="r", null=True)
    session_id = UnicodeAttribute(attr_name="s", null=True)
    metadata = UnicodeAttribute(attr_name="m", null=True)
    """JSON text, compact and without escapes that it can do without."""
    version = UnicodeAttribute(attr_name="v", null=True)
    """The marks of the last writes of the metadata, the latest first: whose answer was lost finds its own."""
    pushed = UnicodeAttribute(attr_name="p", null=True)
    """Where the last push stands in the channel's order."""
    door = UnicodeAttribute(attr_name="d", null=True)
    socket_id = UnicodeAttribute(attr_name="k", null=True)
    front = UnicodeAttribute(attr_name="f", null=True)
    authn = UnicodeAttribute(attr_name="a", null=True)
    """What the client said of itself when it came, as JSON text."""
    created = NumberAttribute(attr_name="t", null=True)
    ended_at = NumberAttribute(attr_name="e", null=True)

    @property
    def stands(self) -> bool:
        """Whether the connection is there now."""
        return self.ended_at is None and not (self.expires_at and self.expires_at <= clock.now())

    @property
    def client(self) -> str:
        """The client's id."""
        return _or(self.client_id, self.connection_id)

    @property
    def bundle(self) -> str:
        """The bundle's id."""
        return _or(self.bundle_id, self.connection_id)


def _or(given: str | None, otherwise: str | None) -> str:
    return given if given is not None else otherwise or ""


class PushRow(OwedRow):
    """A text that is owed to everybody who listens to a channel; its sort key rises with the writes."""

    channel_id = UnicodeAttribute()
    text = UnicodeAttribute()


class UpstreamRow(OwedRow):
    """A push that a media server is to pass on: the `data` of it, as JSON text."""

    channel_id = UnicodeAttribute()
    data = UnicodeAttribute()


def _standing(row: ConnectionRow | None, channel_id: str, connection_id: str) -> ConnectionRow:
    """The row, if it is this very connection's and that is there.  Raises `ConnectionNotFound`."""
    if row is None or not row.stands or row.channel_id != channel_id or row.connection_id != connection_id:
        raise ConnectionNotFound("there is no such connection in the channel")
    return row


def find(channel_id: str, connection_id: str) -> ConnectionRow:
    """A connection, by one read.  Raises `ConnectionNotFound`."""
    key = keys.sora_connection(channel_id, connection_id)
    return _standing(writes.get(ConnectionRow, *key, consistent=True), channel_id, connection_id)


def living(channel_id: str) -> Iterator[ConnectionRow]:
    """The connections of a channel, by one query for each MB of them."""
    partition, prefix = keys.sora_channel(channel_id), keys.SORA_CONNECTIONS
    for row in writes.query_all(ConnectionRow, partition, consistent=True, prefix=prefix):
        if row.stands and row.channel_id == channel_id:
            yield row


def listed_after(channel_id: str, sk: str, limit: int) -> tuple[list[ConnectionRow], str | None]:
    """Some connections of a channel, behind one, and behind which more may stand.  Raises `Unavailable`."""
    pk = keys.sora_channel(channel_id)
    start = writes.key(pk, sk) if sk else None
    prefix = keys.SORA_CONNECTIONS
    rows, following = writes.query(ConnectionRow, pk, prefix=prefix, limit=limit, start=start)
    found = [row for row in rows if row.stands and row.channel_id == channel_id]
    return found, following["sk"]["S"] if following is not None else None


def note(channel_id: str) -> None:
    """Have a channel stand in the list of all, where somebody may look at that."""
    noted.note(keys.CHANNELS, channel_id)


def noted_after(channel_id: str, limit: int) -> tuple[list[NotedRow], str | None]:
    """Some of all channels in the order of their ids, behind one, and behind which more may stand.

    Raises `Unavailable`.
    """
    return noted.page(NotedRow, keys.CHANNELS, limit, channel_id)


def enter(known: Connection) -> None:
    """Keep a connection that the media server tells of, unless it has ended; its metadata stay as they are.

    What is not said of one that is there already is left as it was.
    """
    own = known.connection_id
    actions = [
        expressions.assign(ConnectionRow.channel_id, known.channel_id),
        expressions.assign(ConnectionRow.connection_id, own),
        ConnectionRow.door.set(ConnectionRow.door | EVENT),
        ConnectionRow.metadata.set(ConnectionRow.metadata | EMPTY),
        ConnectionRow.version.set(ConnectionRow.version | ids.new(MARK)),
        ConnectionRow.created.set(ConnectionRow.created | clock.now()),
    ]
    if known.client_id is not None:
        actions.append(expressions.assign(ConnectionRow.client_id, _unless(known.client_id, own)))
    if known.bundle_id is not None:
        actions.append(expressions.assign(ConnectionRow.bundle_id, _unless(known.bundle_id, own)))
    if known.role is not None:
        actions.append(expressions.assign(ConnectionRow.role, known.role))
    if known.session_id is not None:
        actions.append(expressions.assign(ConnectionRow.session_id, known.session_id))
    key = keys.sora_connection(known.channel_id, own)
    try:
        writes.update(*key, actions=actions, condition=ConnectionRow.ended_at.does_not_exist())
    except Refused:
        return  # it has ended; ids are never used again
    note(known.channel_id)


def _unless(given: str, otherwise: str) -> str | None:
    return given if given != otherwise else None


_OVER: Final = (
    ConnectionRow.channel_id,
    ConnectionRow.connection_id,
    ConnectionRow.client_id,
    ConnectionRow.bundle_id,
    ConnectionRow.role,
    ConnectionRow.session_id,
    ConnectionRow.metadata,
    ConnectionRow.version,
    ConnectionRow.pushed,
    ConnectionRow.door,
    ConnectionRow.socket_id,
    ConnectionRow.front,
    ConnectionRow.authn,
    ConnectionRow.created,
)


def end(channel_id: str, connection_id: str) -> ConnectionRow | None:
    """End a connection, also one that we never heard of, by one write; what it was if it was there.

    The mark that is left keeps what comes late from bringing it back.
    """
    key = keys.sora_connection(channel_id, connection_id)
    row = writes.read(ConnectionRow, writes.update(*key, actions=ending(clock.now()), returns="ALL_OLD"))
    return row if row is not None and row.stands else None


def ending(now: float) -> list[Action]:
    """What makes a connection's row the mark that is left of it."""
    return [
        ConnectionRow.ended_at.set(ConnectionRow.ended_at | now),
        expressions.assign(ConnectionRow.expires_at, int(now) + settings.get().tombstone_seconds),
        *(expressions.assign(attribute, None) for attribute in _OVER),
    ]


Decide = Callable[[str], str]
"""From the metadata before to those after.  Raises what the change is refused for."""
Announce = Callable[[str, str], str]
"""From both to the `data` of a push."""
Owe = Callable[[ConnectionRow, str, str], Sequence[OwedRow]]
"""From a connection and its metadata before and after to the rows of what is owed to others for it."""


def change(channel_id: str, connection_id: str, decide: Decide) -> tuple[str, str]:
    """Change a connection's metadata; those before and after.  Raises `ConnectionNotFound`, `Unavailable`."""
    became = _change(channel_id, connection_id, decide, lambda *_: ())
    note(channel_id)
    return became


def change_and_push(
    channel_id: str, connection_id: str, decide: Decide, announce: Announce
) -> tuple[str, str]:
    """The same, and what is owed to others for it, in one transaction.

    So no push is lost with a process or sent for a change that was refused, and the pushes of one connection
    stand in the order of its changes, whichever processes made them.  A put after the change would be half
    the price, and could do none of this.  Raises `ConnectionNotFound`, `Unavailable`.
    """
    owed: list[OwedRow] = []

    def owe(row: ConnectionRow, before: str, after: str) -> list[OwedRow]:
        owed[:] = _owed(channel_id, order(row), announce(before, after))
        return owed

    became = _change(channel_id, connection_id, decide, owe)
    note(channel_id)
    for row in owed:
        kicks.kick(PUSH if isinstance(row, PushRow) else UPSTREAM, Key(row.pk, row.sk))
    return became


def _change(channel_id: str, connection_id: str, decide: Decide, owe: Owe) -> tuple[str, str]:
    with _turn(keys.sora_connection(channel_id, connection_id)):
        return _change_in_turn(channel_id, connection_id, decide, owe)


@contextmanager
def _turn(key: Key) -> Iterator[None]:
    """Have the changes of one connection wait for each other in this process: then none of them starves.

    Those of other processes meet at the row.  Raises `Unavailable` when time is up.
    """
    lock = _turns[hash(key) % len(_turns)]
    left = table.remaining()
    if not lock.acquire(timeout=-1 if left is None else max(0.0, left - table.READ_TIMEOUT_S)):
        raise Unavailable("storage is overloaded")
    try:
        yield
    finally:
        lock.release()


_turns: Final = tuple(threading.Lock() for _ in range(TURNS))


def _change_in_turn(channel_id: str, connection_id: str, decide: Decide, owe: Owe) -> tuple[str, str]:
    row = find(channel_id, connection_id)
    for tried in itertools.count():
        before = row.metadata or EMPTY
        after = decide(before)
        owed = owe(row, before, after)
        if after == before and not owed:
            return before, after
        refused = _write(row, after, owed)
        if refused is None:
            return before, after
        row = _standing(refused.row, channel_id, connection_id)
        if refused.mark in (row.version or "").split(MARKS):
            return before, after  # this very write, its first answer lost
        _pause(tried)
    raise AssertionError


def _write(row: ConnectionRow, metadata: str, owed: Sequence[OwedRow]) -> "_Overtaken | None":
    """Write the metadata, and what is owed, unless somebody else was first."""
    key, mark = Key(row.pk, row.sk), ids.new(MARK)
    actions = [
        expressions.assign(ConnectionRow.metadata, metadata),
        expressions.assign(ConnectionRow.version, _marked(row.version, mark)),
    ]
    condition = expressions.Same(ConnectionRow.version, row.version)
    try:
        if owed:
            actions.append(expressions.assign(ConnectionRow.pushed, owed[0].sk))
            writes.transact([Change(key, actions, condition), *(Put(each) for each in owed)])
        else:
            writes.update(*key, actions=actions, condition=condition)
    except Refused as refused:
        return _Overtaken(mark, refused.row(ConnectionRow))
    except Cancelled as cancelled:
        return _Overtaken(mark, cancelled.row(0, ConnectionRow))
    return None


class _Overtaken(NamedTuple):
    """A write that was refused: its mark, and the row that stands now."""

    mark: str
    row: ConnectionRow | None


def _marked(version: str | None, mark: str) -> str:
    return MARKS.join([mark, *(version or "").split(MARKS)[: KEPT_MARKS - 1]])


def _pause(tried: int) -> None:
    """Let who was first go, for a moment: the row is at hand, and who waited long is not to wait longer.

    Raises `Unavailable` when time is up.
    """
    left = table.remaining()
    if tried >= TRIES or (left is not None and left < table.READ_TIMEOUT_S):
        raise Unavailable("storage is overloaded")
    time.sleep(ids.chance.uniform(0, LONGEST_PAUSE_S))


def order(row: ConnectionRow) -> str:
    """Where the connection's next push stands: behind its last one, whatever the clocks say."""
    latest = ids.rising(clock.now())
    if row.pushed and row.pushed >= latest:
        return f"{int(row.pushed, 16) + 1:0{len(row.pushed)}x}"
    return latest


def _owed(channel_id: str, at: str, data: str) -> list[OwedRow]:
    """The rows of what a push owes: to the listeners here, and to a media server where there is one.

    What no gateway would take is not owed.
    """
    text = f'{{"type":"push","data":{data}}}'
    if len(text.encode()) > LARGEST_PUSH:
        log.warning("a push is too long and is not sent")
        return []
    # Due a moment ago: the clock of who serves it may be behind.
    now = clock.now() - CLOCKS_APART_S
    expires_at = int(now) + PUSH_KEPT_S
    key = keys.sora_push(channel_id, at)
    rows: list[OwedRow] = [
        PushRow(
            *key,
            channel_id=channel_id,
            text=text,
            due=keys.due(PUSH, key.pk),
            due_at=now,
            attempts=0,
            expires_at=expires_at,
        )
    ]
    if settings.get().upstream_url:
        key = keys.sora_upstream(channel_id, at)
        rows.append(
            UpstreamRow(
                *key,
                channel_id=channel_id,
                data=data,
                due=keys.due(UPSTREAM, key.pk),
                due_at=now,
                attempts=0,
                expires_at=expires_at,
            )
        )
    return rows


def first_upstream(partition: str) -> UpstreamRow | None:
    """What a media server is to be told first of a channel."""
    return _first(UpstreamRow, partition)


def _first(cls: type[Row], partition: str) -> Row | None:
    rows, _ = writes.query(cls, partition, consistent=True, limit=1)
    return next(iter(rows), None)
