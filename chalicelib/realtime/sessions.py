"""The two adapters of the `Sessions` port: rows, and the memory of the process that holds the sockets."""

import threading
from collections.abc import Callable
from typing import Any, Final

from pynamodb.attributes import MapAttribute, UnicodeAttribute
from pynamodb.expressions.operand import Path

from chalicelib import clock, ids
from chalicelib.realtime import ports
from chalicelib.realtime.ports import CLOSED, Session, Sessions
from chalicelib.store import keys, writes
from chalicelib.store.table import Item

LEFT_KEPT: Final = 64
"""As many as a gateway remembers messages of one socket."""

ENDED_KEPT_S: Final = 3600.0
"""Frames that come late and repairs look at a session that has ended; then it goes by TTL."""


class SessionRow(Item):
    """A socket's session, where the socket is held by a front that remembers nothing.

    What ends or leaves is marked and not removed: botocore repeats a call whose answer was lost,
    and a removal can say what it removed only once.
    """

    front = UnicodeAttribute(attr_name="f")
    version = UnicodeAttribute(attr_name="v")
    who = UnicodeAttribute(attr_name="w")
    nonce = UnicodeAttribute(attr_name="n")
    subscriptions: MapAttribute[str, Any] = MapAttribute(attr_name="s", default=dict)
    ended = UnicodeAttribute(attr_name="e", null=True)
    """Which call ended the session."""
    left_id = UnicodeAttribute(attr_name="k", null=True)
    left = UnicodeAttribute(attr_name="u", null=True)
    """The subscription that was removed last, and its id."""


def _spelled(subscription_id: str) -> str:
    """A map's key may not be empty; a subscription's id may."""
    return "i" + subscription_id


def _session(row: SessionRow | None) -> Session | None:
    if row is None:
        return None
    return Session(
        front=row.front,
        version=row.version,
        who=row.who,
        nonce=row.nonce,
        expires_at=int(row.expires_at or 0),
        subscriptions={name[1:]: text for name, text in row.subscriptions.as_dict().items()},
    )


def standing_session(raw: writes.Raw | None) -> Session | None:
    """The session in an item that was read, unless it has ended."""
    row = writes.read(SessionRow, raw)
    return None if row is None or row.ended is not None else _session(row)


class RowSessions:
    """Sessions as rows: every call may run in another process than the one before."""

    def create(self, socket_id: str, session: Session) -> Session | None:
        """Keep a new session; `None`, or the one that the socket has already."""
        row = SessionRow(
            *keys.socket(socket_id),
            front=session.front,
            version=session.version,
            who=session.who,
            nonce=session.nonce,
            expires_at=session.expires_at,
        )
        try:
            writes.put(row, SessionRow.pk.does_not_exist() | SessionRow.ended.exists())
        except writes.Refused as refused:
            return _session(refused.row(SessionRow))
        return None

    def read(self, socket_id: str) -> Session | None:
        """The session as it stands."""
        row = writes.get(SessionRow, *keys.socket(socket_id), consistent=True)
        return None if row is None or row.ended is not None else _session(row)

    def subscribe(self, socket_id: str, subscription_id: str, subscription: str) -> Session | None:
        """Add a subscription unless that id is taken; the session after it, `None` without one."""
        path = Path(["s", _spelled(subscription_id)])
        try:
            raw = writes.update(
                *keys.socket(socket_id),
                actions=[path.set(path | subscription)],
                condition=SessionRow.pk.exists() & SessionRow.ended.does_not_exist(),
                returns="ALL_NEW",
            )
        except writes.Refused:
            return None
        return _session(writes.read(SessionRow, raw))

    def change(self, socket_id: str, subscription_id: str, subscription: str) -> None:
        """Replace what is kept of a subscription; nothing happens when it is gone."""
        path = Path(["s", _spelled(subscription_id)])
        try:
            writes.update(*keys.socket(socket_id), actions=[path.set(subscription)], condition=path.exists())
        except writes.Refused:
            return

    def unsubscribe(self, socket_id: str, subscription_id: str) -> Session | None:
        """Remove a subscription; the session before that, `None` without one."""
        path = Path(["s", _spelled(subscription_id)])
        try:
            raw = writes.update(
                *keys.socket(socket_id),
                actions=[Path("u").set(path), SessionRow.left_id.set(subscription_id), path.remove()],
                condition=path.exists() & SessionRow.ended.does_not_exist(),
                returns="ALL_OLD",
            )
        except writes.Refused as refused:
            row = refused.row(SessionRow)
            if row is None:
                return None
            if row.ended is not None:  # a DISCONNECT that the client sent after this has overtaken it
                return Session(row.front, CLOSED, "", row.nonce, 0)
            before = _session(row)
            if before is not None and row.left_id == subscription_id and row.left is not None:
                before.subscriptions[subscription_id] = row.left
            return before
        return _session(writes.read(SessionRow, raw))

    def delete(self, socket_id: str, gone: bool) -> Session | None:
        """End a session; what it was, `None` without one.

        Most sockets that go had sent DISCONNECT: a read finds that out for a fraction of what
        ending it again costs.
        """
        if gone and self.read(socket_id) is None:
            return None
        me = ids.new()
        row = self._end(socket_id, me)
        return _session(row) if row is not None and row.ended == me else None

    def ended(self, socket_id: str) -> Session | None:
        """End a session that may have ended already; what it was, `None` if there never was one.

        What it had left last is in it: nobody may have seen to that.
        """
        row = self._end(socket_id, ids.new())
        session = _session(row)
        if row is not None and session is not None and row.left_id is not None and row.left is not None:
            session.subscriptions.setdefault(row.left_id, row.left)
        return session

    def _end(self, socket_id: str, by: str) -> SessionRow | None:
        try:
            raw = writes.update(
                *keys.socket(socket_id),
                actions=[
                    SessionRow.ended.set(SessionRow.ended | by),
                    SessionRow.expires_at.set(int(clock.now() + ENDED_KEPT_S)),
                ],
                condition=SessionRow.pk.exists(),
                returns="ALL_NEW",
            )
        except writes.Refused:
            return None
        return writes.read(SessionRow, raw)


ROWS: Final = RowSessions()


def here() -> Sessions:
    """Where this process keeps the sessions of its sockets."""
    held = ports.current().sessions
    return ROWS if held is None else held


def in_rows() -> bool:
    """Whether the sessions of this process's sockets are rows."""
    return ports.current().sessions is None


class MemorySessions:
    """Sessions of a gateway that runs the handlers in its own process, with an index of who listens.

    `topic_of` reads the topic out of the facade's text of a subscription.  One socket's calls
    come one at a time; those of different sockets from different threads, hence only operations
    that are atomic in CPython, and a lock where a topic begins and ends.
    """

    def __init__(self, topic_of: Callable[[str], str]) -> None:
        self._topic_of = topic_of
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._topics: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def create(self, socket_id: str, session: Session) -> Session | None:
        """Keep a new session; `None`, or the one that the socket has already."""
        standing = self._sessions.setdefault(socket_id, session)
        return None if standing is session else standing

    def read(self, socket_id: str) -> Session | None:
        """The session as it stands."""
        return self._open(socket_id)

    def _open(self, socket_id: str) -> Session | None:
        session = self._sessions.get(socket_id)
        return None if session is None or session.version == CLOSED else session

    def subscribe(self, socket_id: str, subscription_id: str, subscription: str) -> Session | None:
        """Add a subscription unless that id is taken; the session after it, `None` without one."""
        session = self._open(socket_id)
        if session is None:
            return None
        if session.subscriptions.setdefault(subscription_id, subscription) is subscription:
            topic = self._topic_of(subscription)
            with self._lock:
                self._topics.setdefault(topic, {})[socket_id] = None
        return session

    def change(self, socket_id: str, subscription_id: str, subscription: str) -> None:
        """Replace what is kept of a subscription; nothing happens when it is gone."""
        session = self._sessions.get(socket_id)
        if session is not None and subscription_id in session.subscriptions:
            session.subscriptions[subscription_id] = subscription

    def unsubscribe(self, socket_id: str, subscription_id: str) -> Session | None:
        """Remove a subscription; the session before that, `None` without one."""
        session = self._open(socket_id)
        if session is None:
            return None
        before = Session(
            session.front,
            session.version,
            session.who,
            session.nonce,
            session.expires_at,
            dict(session.subscriptions),
            session.left,
        )
        removed = session.subscriptions.pop(subscription_id, None)
        if removed is not None:
            session.left = (*session.left, subscription_id)[-LEFT_KEPT:]
            topic = self._topic_of(removed)
            if not any(self._topic_of(text) == topic for text in session.subscriptions.values()):
                self._forget(topic, socket_id)
        return before

    def delete(self, socket_id: str, gone: bool) -> Session | None:
        """End a session; what it was, `None` without one.  Its socket stays known as closed till it goes."""
        session = self._open(socket_id)
        if gone:
            self._sessions.pop(socket_id, None)
        elif session is not None:
            self._sessions[socket_id] = Session(session.front, CLOSED, "", session.nonce, 0)
        if session is not None:
            for text in session.subscriptions.values():
                self._forget(self._topic_of(text), socket_id)
        return session

    def listening(self, topic: str) -> list[tuple[str, Session]]:
        """The sockets that listen to a topic, each with its session."""
        found = []
        for socket_id in list(self._topics.get(topic, ())):
            session = self._sessions.get(socket_id)
            if session is not None:
                found.append((socket_id, session))
        return found

    def topics(self, beginning: str) -> list[str]:
        """The topics that somebody listens to and that begin so."""
        with self._lock:
            return [topic for topic in self._topics if topic.startswith(beginning)]

    def _forget(self, topic: str, socket_id: str) -> None:
        with self._lock:
            sockets = self._topics.get(topic)
            if sockets is not None:
                sockets.pop(socket_id, None)
                if not sockets:
                    self._topics.pop(topic, None)
