"""Connections that are sockets of ours: how they come, how they go, and what the others are owed for it.

A connection and the notice of it are one transaction, as are its end and the notice of that.  A socket whose
end nobody tells us of is found by the first message that does not reach it; where nothing is sent, by a look
at the channel now and then.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from chalicelib import clock, ids
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.realtime import fronts, parallel, ports, protocols, sessions
from chalicelib.realtime.fronts import Front
from chalicelib.realtime.ports import Session
from chalicelib.realtime.protocols import Socket
from chalicelib.sora import connection, notices, store
from chalicelib.sora.connection import SOCKET
from chalicelib.sora.notices import CREATED, DESTROYED, Connect, Who
from chalicelib.sora.store import EMPTY, PUSH, PUSH_KEPT_S, ConnectionRow, PushRow
from chalicelib.store import expressions, keys, writes
from chalicelib.store.expressions import ABSENT
from chalicelib.store.keys import Key
from chalicelib.store.writes import Cancelled, Change, Part, Put

log = logging.getLogger(__name__)

VERSION: Final = "sora"
"""What the sessions of listening sockets say."""
LOOK: Final = "sora.look"
LEFT: Final = "sora.left"

LOOK_S: Final = 300.0
"""How often a channel is looked at in which somebody listens."""
REPAIR_AFTER_S: Final = 30.0
FEW: Final = 20
"""So many rows are read at once to find who is there."""
TRIES: Final = 40


class QueuedRow(PushRow):
    """What a channel's listeners are owed; a notice says of whom it is."""

    event = UnicodeAttribute(attr_name="n", null=True)
    about = UnicodeAttribute(attr_name="w", null=True)
    """The sort key of the connection's row."""


class LifeRow(OwedRow):
    """One life of a channel: its session, and that it is looked at as long as somebody listens."""

    session_id = UnicodeAttribute()
    channel_id = UnicodeAttribute()
    began = NumberAttribute()


class Seat(msgspec.Struct):
    """What a session says of its socket: which connection it is."""

    channel_id: str
    connection_id: str


_seat = msgspec.json.Decoder(Seat)


def enter(socket: Socket, asked: Connect) -> bool:
    """Let a socket listen; `False` when it does already.  Raises `Taken`, `Unavailable`."""
    connection_id = connection.spell_id(uuid.uuid4().bytes)
    seat = Seat(asked.channel_id, connection_id)
    expires_at = int(clock.now()) + fronts.lifetime(socket.front)
    session = Session(socket.front, VERSION, msgspec.json.encode(seat).decode(), ids.new(), expires_at)
    standing = sessions.here().create(socket.id, session)
    if standing is not None:
        if standing.version in (VERSION, ports.CLOSED):
            return False
        raise protocols.Taken("the socket speaks another protocol")
    row = ConnectionRow(
        *keys.sora_connection(asked.channel_id, connection_id),
        channel_id=asked.channel_id,
        connection_id=connection_id,
        client_id=asked.client_id,
        bundle_id=asked.bundle_id,
        role=asked.role,
        metadata=EMPTY,
        version=ids.new(store.MARK),
        door=SOCKET,
        socket_id=socket.id,
        front=socket.front,
        authn=asked.authn,
        created=clock.now(),
        expires_at=expires_at,
    )
    _tell(asked.channel_id, _enter(row))
    store.note(asked.channel_id)
    return True


def _enter(row: ConnectionRow) -> QueuedRow:
    """Keep a connection in the life that its channel has, or begins; the notice that is owed for it.

    Who finds the channel empty begins a life, provided that nobody else has since; he then finds that one.
    """
    for _ in range(TRIES):
        session_id, life = _life(row.channel_id or "")
        row.session_id = session_id
        owed_row = _notice(CREATED, row)
        row.pushed = owed_row.sk
        parts: list[Part] = [Put(row, ABSENT), Put(owed_row)]
        if life is not None:
            parts.append(life)
        try:
            writes.transact(parts)
        except Cancelled:
            continue
        return owed_row
    raise Unavailable("storage is overloaded")


def _life(channel_id: str) -> tuple[str, Put | None]:
    """The session of a channel, and what begins its life where nobody listens in it yet."""
    alive = fronts.alive()
    session_id: str | None = None
    start: Mapping[str, object] | None = None
    life: LifeRow | None = None
    while True:
        raws, start = writes.query_raw(keys.sora_channel(channel_id), consistent=True, limit=FEW, start=start)
        for raw in raws:
            if not raw["sk"]["S"].startswith(keys.SORA_CONNECTIONS):
                life = writes.read(LifeRow, raw)
                continue
            row = ConnectionRow.from_raw_data(raw)
            if row.channel_id != channel_id or not is_there(row, alive):
                continue
            session_id = session_id or row.session_id
            if row.door == SOCKET and row.session_id is not None:
                return row.session_id, None
        if start is None:
            return _begin(channel_id, session_id, life)


def _begin(channel_id: str, session_id: str | None, before: LifeRow | None) -> tuple[str, Put]:
    session = session_id or connection.spell_id(uuid.uuid4().bytes)
    key, now = keys.sora_session(channel_id), clock.now()
    row = LifeRow(
        *key,
        session_id=session,
        channel_id=channel_id,
        began=now,
        due=keys.due(LOOK, key.pk),
        due_at=now + LOOK_S,
        attempts=0,
    )
    unchanged = ABSENT if before is None else expressions.Same(LifeRow.began, before.began)
    return session, Put(row, unchanged)


def is_there(row: ConnectionRow, alive: Mapping[str, Front]) -> bool:
    """Whether a connection stands, and the front that holds its socket, if one of ours does, is alive."""
    return row.stands and (row.front is None or row.front in alive)


def present(channel_id: str) -> list[ConnectionRow]:
    """The rows of all connections of a channel, also of those that ended a while ago."""
    partition, prefix = keys.sora_channel(channel_id), keys.SORA_CONNECTIONS
    return list(writes.query_all(ConnectionRow, partition, consistent=True, prefix=prefix))


def was_there(channel_id: str, sk: str) -> bool:
    """Whether there is a row of a connection, be it only the mark that its end left."""
    return writes.get(ConnectionRow, keys.sora_channel(channel_id), sk, consistent=True) is not None


def ended(socket: Socket, session: Session) -> None:
    """End the connection of a session that has ended.  Raises `Unavailable`, and then it is done later."""
    seat = _seat.decode(session.who)
    try:
        leave(seat.channel_id, seat.connection_id)
    except Unavailable:
        if not sessions.in_rows():  # a session that is a row is ended once more, with all of this
            kicks.kick(LEFT, keys.sora_connection(seat.channel_id, seat.connection_id), REPAIR_AFTER_S)
        raise


def left(key: Key) -> None:
    """Finish what the end of a socket left undone."""
    row = writes.get(ConnectionRow, *key, consistent=True)
    if row is not None and row.channel_id is not None and row.connection_id is not None:
        leave(row.channel_id, row.connection_id)


def leave(channel_id: str, connection_id: str) -> bool:
    """End a connection and owe the others the notice; `False` when it is over.  Raises `Unavailable`."""
    row = writes.get(ConnectionRow, *keys.sora_connection(channel_id, connection_id), consistent=True)
    for _ in range(TRIES):
        if row is None or (row.channel_id, row.connection_id) != (channel_id, connection_id):
            return False
        owed_row = _notice(DESTROYED, row)
        actions = store.ending(clock.now())
        unchanged = expressions.Same(ConnectionRow.version, row.version)
        try:
            writes.transact([Change(Key(row.pk, row.sk), actions, unchanged), Put(owed_row)])
        except Cancelled as cancelled:
            row = cancelled.row(0, ConnectionRow)
            continue
        _tell(channel_id, owed_row)
        return True
    raise Unavailable("storage is overloaded")


def _notice(event: str, row: ConnectionRow) -> QueuedRow:
    """The row that owes the channel a notice of a connection."""
    channel_id = row.channel_id or ""
    now = clock.now()
    key = keys.sora_push(channel_id, store.order(row))
    timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    minutes = max(0, int(now - float(row.created or now))) // 60
    return QueuedRow(
        *key,
        channel_id=channel_id,
        text=notices.notice(event, who(row), timestamp, minutes),
        event=event,
        about=row.sk,
        due=keys.due(PUSH, key.pk),
        due_at=now,
        attempts=0,
        expires_at=int(now) + PUSH_KEPT_S,
    )


def who(row: ConnectionRow) -> Who:
    """A connection as notices name it."""
    return Who(
        row.connection_id or "",
        row.client,
        row.bundle,
        row.role,
        row.session_id,
        row.authn,
        row.metadata or EMPTY,
    )


def _tell(channel_id: str, row: QueuedRow) -> None:
    kicks.kick(PUSH, Key(row.pk, row.sk))


def forget(rows: Iterable[ConnectionRow]) -> None:
    """End connections whose sockets are gone."""
    parallel.each(lambda row: leave(row.channel_id or "", row.connection_id or ""), rows)


def strays(rows: Sequence[ConnectionRow], alive: Mapping[str, Front]) -> list[ConnectionRow]:
    """The connections whose sockets went without a word: with their front, or longer ago than any lives."""
    return [
        row for row in rows if row.ended_at is None and row.socket_id is not None and not is_there(row, alive)
    ]


def look(key: Key) -> None:
    """Look at a channel for connections whose sockets went without a word, as long as anybody listens."""
    row = owed.claim(LifeRow, key, endless=True)
    if row is None:
        return
    rows, alive = present(row.channel_id), fronts.alive()
    gone = strays(rows, alive)
    forget(gone)
    if any(each.door == SOCKET and is_there(each, alive) for each in rows):
        owed.hold(row, lease_s=LOOK_S)
    else:
        owed.finish(row)
