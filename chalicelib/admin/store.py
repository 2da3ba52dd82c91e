"""Rows of sessions, and of wrong tokens by source and minute."""

from typing import Final

from pynamodb.expressions.condition import size

from chalicelib import clock, ids
from chalicelib.store import keys, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from chalicelib.store.expressions import assign
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Raw

MINUTE_S: Final = 60
NOTED: Final = 100
"""So many attempts of a minute are noted at most: more make no difference, and an item has its limit."""


class SessionRow(Item):
    """A session: hashes of its cookie and of the token that began it, and whose that was."""

    cookie = UnicodeAttribute()
    token = UnicodeAttribute()
    name = UnicodeAttribute()
    until = NumberAttribute()


class AttemptsRow(Item):
    """The wrong tokens of one source in one minute: a set and not a counter, as writes may come twice."""

    attempts = UnicodeSetAttribute(null=True)


_MORE_FIT: Final = AttemptsRow.attempts.does_not_exist() | (
    size(AttemptsRow.attempts) < NOTED  # type: ignore[no-untyped-call]
)


def begin(cookie_hash: str, token_hash: str, name: str, until: float) -> None:
    """Keep a new session.  Raises `Unavailable`."""
    where = keys.admin_session(cookie_hash)
    expires_at = int(until) + MINUTE_S
    row = SessionRow(
        *where, cookie=cookie_hash, token=token_hash, name=name, until=until, expires_at=expires_at
    )
    writes.put(row)


def end(cookie_hash: str) -> None:
    """Forget a session.  Raises `Unavailable`."""
    writes.delete(*keys.admin_session(cookie_hash))


def session(cookie_hash: str, beside: Key | None = None) -> tuple[SessionRow | None, Raw | None]:
    """A session, over or not, and another item if it stands, read in one call.  Raises `Unavailable`."""
    found, other = _read(keys.admin_session(cookie_hash), beside)
    return writes.read(SessionRow, found), other


def attempts(source: str, minute: int, beside: Key | None = None) -> tuple[int, Raw | None]:
    """How many wrong tokens came from a source in a minute, and another item, read in one call.

    Raises `Unavailable`.
    """
    found, other = _read(keys.admin_attempts(source, minute), beside)
    row = writes.read(AttemptsRow, found)
    return len(row.attempts or ()) if row is not None else 0, other


def _read(where: Key, beside: Key | None) -> tuple[Raw | None, Raw | None]:
    found = writes.get_many([where] if beside is None else [where, beside])
    return found.get(where), found.get(beside) if beside is not None else None


def note_attempt(source: str, minute: int) -> int:
    """Note a wrong token; how many there are now.  Raises `Unavailable`."""
    actions = [
        AttemptsRow.attempts.add({ids.new(8)}),
        assign(AttemptsRow.expires_at, int(clock.now()) + 2 * MINUTE_S),
    ]
    try:
        raw = writes.update(
            *keys.admin_attempts(source, minute),
            actions=actions,
            condition=_MORE_FIT,
            returns="ALL_NEW",
        )
    except writes.Refused:
        return NOTED
    row = writes.read(AttemptsRow, raw)
    return len(row.attempts or ()) if row is not None else 0
