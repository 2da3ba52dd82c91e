"""Rows of Hawk credentials: what proves them, until when, and where their owner wants to be pushed."""

import re
import secrets as chance
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pynamodb.expressions.update import Action

from chalicelib import clock
from chalicelib.loop import secrets, settings
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import STANDS, assign
from chalicelib.store.table import Item

SESSION_TOKEN_BYTES: Final = 32
HALF: Final = 32
INFO: Final = b"identity.mozilla.com/picl/v1/sessionToken"
RENEWAL_S: Final = 86_400
"""Use prolongs credentials, at most so often."""

_ID: Final = re.compile(r"[0-9a-f]{64}")


class CredentialRow(Item):
    """Hawk credentials; the key is sealed for this very row."""

    key = BinaryAttribute(legacy_encoding=False)
    ends_at = NumberAttribute()
    renewed_at = NumberAttribute()
    rooms_url = UnicodeAttribute(null=True)
    calls_url = UnicodeAttribute(null=True)
    stands_for = UnicodeAttribute(null=True)
    """What stood for them under an earlier secret and still does, where this row only leads there."""


@dataclass(frozen=True)
class Credential:
    """Hawk credentials that are good now; `uid` stands for their id everywhere in the table."""

    uid: str
    key: str = field(repr=False)
    renewed_at: float
    found_as: str = ""
    """What led there, where that is not `uid`."""


def derive(session_token: bytes) -> tuple[str, str]:
    """The id and the key that both sides make of a session token (contract 4.1)."""
    made = HKDF(SHA256(), 2 * HALF, None, INFO).derive(session_token)
    return made[:HALF].hex(), made[HALF:].hex()


def issue(rooms_url: str | None = None, calls_url: str | None = None) -> str:
    """Make credentials; the session token, of which only their holder knows.  Raises `Unavailable`."""
    token = chance.token_bytes(SESSION_TOKEN_BYTES)
    credential_id, key = derive(token)
    where = keys.loop_credential(secrets.uid(credential_id))
    now = int(clock.now())
    ends_at = now + settings.get().credential_ttl
    writes.put(
        CredentialRow(
            *where,
            key=secrets.seal(bytes.fromhex(key), where),
            ends_at=ends_at,
            renewed_at=now,
            rooms_url=rooms_url,
            calls_url=calls_url,
            expires_at=ends_at,
        )
    )
    return token.hex()


def read(credential_id: str) -> Credential | None:
    """The credentials of this id, if there are any; one read, unless a secret took another's place.

    Raises `Unavailable`.
    """
    if not _ID.fullmatch(credential_id):
        return None
    now, *former = secrets.uids(credential_id)
    row = _row(now)
    if row is not None:
        return _led_to(now, row) if row.stands_for else _found(now, row)
    for uid in former:
        row = _row(uid)
        if row is not None:
            found = _led_to(uid, row) if row.stands_for else _found(uid, row)
            if found is not None:
                _lead(now, found)
            return found
    return None


def _row(uid: str) -> CredentialRow | None:
    """Raises `Unavailable`."""
    row = writes.get(CredentialRow, *keys.loop_credential(uid), consistent=True)
    return row if row is not None and row.ends_at > clock.now() else None


def _found(uid: str, row: CredentialRow) -> Credential:
    """Raises `Unavailable`."""
    key = secrets.unseal(row.key, keys.loop_credential(uid)).hex()
    return Credential(uid, key, row.renewed_at)


def _led_to(by: str, leading: CredentialRow) -> Credential | None:
    """Raises `Unavailable`."""
    row = _row(leading.stands_for)
    if row is None:
        return None
    key = secrets.unseal(leading.key, keys.loop_credential(by)).hex()
    return Credential(leading.stands_for, key, row.renewed_at, by)


def _lead(uid: str, known: Credential) -> None:
    """Have credentials found by the secret of now, so that the earlier one can go.  Raises `Unavailable`."""
    where, now = keys.loop_credential(uid), int(clock.now())
    ends_at = now + settings.get().credential_ttl
    sealed = secrets.seal(bytes.fromhex(known.key), where)
    writes.put(
        CredentialRow(
            *where,
            key=sealed,
            ends_at=ends_at,
            renewed_at=now,
            stands_for=known.uid,
            expires_at=ends_at,
        )
    )


def keep_alive(known: Credential) -> None:
    """Prolong credentials that are in use, once a day.  Raises `Unavailable`."""
    now, ttl = int(clock.now()), settings.get().credential_ttl
    if now - known.renewed_at < min(RENEWAL_S, ttl / 2):
        return
    changes = [
        assign(CredentialRow.ends_at, now + ttl),
        assign(CredentialRow.renewed_at, now),
        assign(CredentialRow.expires_at, now + ttl),
    ]
    if known.found_as:
        _change(known.found_as, changes)
    _change(known.uid, changes)


def set_urls(uid: str, rooms_url: str | None, calls_url: str | None) -> None:
    """Replace where the holder wants to be pushed; `None` for nowhere.  Raises `Unavailable`."""
    _change(uid, [assign(CredentialRow.rooms_url, rooms_url), assign(CredentialRow.calls_url, calls_url)])


def rooms_url(uid: str) -> str | None:
    """Where the holder wants to be told that a room changed.  Raises `Unavailable`."""
    row = writes.get(CredentialRow, *keys.loop_credential(uid), consistent=True)
    return row.rooms_url if row is not None and row.ends_at > clock.now() else None


def delete(uid: str) -> None:
    """End credentials: the next request with them is refused.  Raises `Unavailable`."""
    writes.delete(*keys.loop_credential(uid))


def _change(uid: str, changes: Sequence[Action]) -> None:
    """Change the row if it is still there: credentials that were deleted meanwhile stay so."""
    try:
        writes.update(*keys.loop_credential(uid), changes, STANDS)
    except writes.Refused:
        return
