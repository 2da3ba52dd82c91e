"""Rows of services, and the keys that this process knows."""

import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from chalicelib import clock, ids
from chalicelib.outbox import kicks
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt import service, settings, vault
from chalicelib.owt.errors import BadData, NoService
from chalicelib.owt.service import NewService, Service
from chalicelib.settings import also_reset
from chalicelib.store import keys, writes
from chalicelib.store.attributes import BinaryAttribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Part, Put, Remove

PURGE: Final = "owt.service"
"""What is owed after a service was deleted: its rooms go."""
REMEMBERED: Final = 10_000
NOBODY: Final = "0" * 24

_ID: Final = re.compile(r"[0-9a-f]{24}")


class ServiceRow(Item):
    """A service; its key is sealed for this very row."""

    name = UnicodeAttribute()
    key = BinaryAttribute(legacy_encoding=False)
    require_v2 = BooleanAttribute(default=False)
    created = NumberAttribute()
    also = BinaryAttribute(legacy_encoding=False, null=True)
    """Another key that is good, sealed in the same way."""


class ListedServiceRow(Item):
    """What the list shows of a service; no service ever changes."""

    name = UnicodeAttribute()
    shown_key = UnicodeAttribute()
    require_v2 = BooleanAttribute(default=False)


class ServiceNameRow(Item):
    """That a name is taken, and by whom."""

    service = UnicodeAttribute()


class ServicePurgeRow(OwedRow):
    """A deleted service, whose rooms still have to go."""

    service = UnicodeAttribute()


@dataclass(frozen=True)
class Credentials:
    """What a service's requests are checked against; what does not exist has some that nobody knows."""

    key: str = field(repr=False)
    require_v2: bool = False
    also: str = field(default="", repr=False)
    """Another key that is taken, if there is one."""
    exists: bool = True
    was_read: bool = False
    """Whether this very call has read it."""


_known: dict[str, tuple[float, Credentials]] = {}
_lock = threading.Lock()


def forget() -> None:
    """Know no service, as a new process."""
    with _lock:
        _known.clear()


also_reset(forget)


def credentials(service_id: str) -> Credentials:
    """The super service's from the settings, another one's from this process's memory or by one read.

    Raises `Unavailable`.
    """
    given = settings.get()
    if given.super_service_id and service_id == given.super_service_id:
        return Credentials(given.super_service_key, given.super_require_v2, given.super_service_key_also)
    until, found = _known.get(service_id, (0.0, None))
    if found is not None and clock.monotonic() < until:
        return found
    return read_credentials(service_id)


def read_credentials(service_id: str) -> Credentials:
    """A service's by one read, which takes as long where there is no such service.

    Raises `Unavailable`.
    """
    key = keys.owt_service(service_id if _ID.fullmatch(service_id) else NOBODY)
    asked_at = clock.monotonic()
    row = writes.get(ServiceRow, *key, consistent=True)
    if row is None:
        return _decoy()
    also = vault.unseal(row.also, key) if row.also is not None else ""
    found = Credentials(vault.unseal(row.key, key), bool(row.require_v2), also)
    with _lock:
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known[service_id] = (asked_at + settings.get().service_cache_s, found)
    return replace(found, was_read=True)


def _decoy() -> Credentials:
    """Credentials of nobody, unsealed like anybody's."""
    where = keys.owt_service(NOBODY)
    return Credentials(vault.unseal(_sealed_decoy(), where), exists=False, was_read=True)


@cache
def _sealed_decoy() -> bytes:
    return vault.seal(secrets.token_hex(), keys.owt_service(NOBODY))


also_reset(_sealed_decoy.cache_clear)


def create(new: NewService) -> Service:
    """Make a service.  Raises `BadData` for a name in use, `Unavailable`."""
    if new.name == service.SUPER_NAME:
        raise BadData("The name is in use")
    now = clock.now()
    service_id = ids.rising(now)
    key = keys.owt_service(service_id)
    sealed = vault.seal(new.key, key)
    made = Service(service_id, new.name, service.shown(sealed), new.require_v2)
    absent = Item.pk.does_not_exist()
    parts = [
        Put(ServiceNameRow(*keys.owt_service_name(new.name), service=service_id), absent),
        Put(ServiceRow(*key, name=new.name, key=sealed, require_v2=new.require_v2, created=now), absent),
        Put(_listed(made), absent),
    ]
    try:
        writes.transact(parts)
    except Cancelled:
        raise BadData("The name is in use") from None
    return made


def _listed(made: Service) -> ListedServiceRow:
    where = keys.owt_service_listed(made.id)
    return ListedServiceRow(*where, name=made.name, shown_key=made.shown_key, require_v2=made.require_v2)


def read(service_id: str) -> Service:
    """A service; the super service too.  Raises `NoService`, `Unavailable`."""
    found = the_super_service()
    if found.id == service_id:
        return found
    if not _ID.fullmatch(service_id):
        raise NoService(service_id)
    row = writes.get(ServiceRow, *keys.owt_service(service_id), consistent=True)
    if row is None:
        raise NoService(service_id)
    return Service(service_id, row.name, service.shown(row.key), bool(row.require_v2))


def the_super_service() -> Service:
    """The super service, which the settings name."""
    given = settings.get()
    return service.super_service(given.super_service_id, given.super_require_v2)


def every() -> Iterator[Service]:
    """The super service, then all others in the order of their creation.  Raises `Unavailable`."""
    yield the_super_service()
    for row in writes.query_all(ListedServiceRow, keys.OWT_SERVICES, consistent=True):
        yield Service(row.sk, row.name, row.shown_key, bool(row.require_v2))


def listed_after(service_id: str, limit: int) -> tuple[list[Service], str | None]:
    """Some services but the super service, behind one, and behind which more may stand.

    Raises `Unavailable`.
    """
    start = writes.key(*keys.owt_service_listed(service_id)) if service_id else None
    rows, following = writes.query(ListedServiceRow, keys.OWT_SERVICES, limit=limit, start=start)
    found = [Service(row.sk, row.name, row.shown_key, bool(row.require_v2)) for row in rows]
    return found, following["sk"]["S"] if following is not None else None


def delete(service_id: str) -> None:
    """Remove a service, and owe the removal of its rooms in the same transaction.

    Raises `NoService`, `Unavailable`.
    """
    if not _ID.fullmatch(service_id):
        raise NoService(service_id)
    row = writes.get(ServiceRow, *keys.owt_service(service_id), consistent=True)
    if row is None:
        raise NoService(service_id)
    owed = keys.owt_service_purge(service_id)
    parts: list[Part] = [
        Remove(keys.owt_service(service_id), Item.pk.exists()),
        Remove(keys.owt_service_listed(service_id)),
        Remove(keys.owt_service_name(row.name)),
        Put(_purge(owed, service_id)),
    ]
    try:
        writes.transact(parts)
    except Cancelled:
        raise NoService(service_id) from None
    finally:
        with _lock:
            _known.pop(service_id, None)
    kicks.kick(PURGE, owed)


def _purge(owed: Key, service_id: str) -> ServicePurgeRow:
    return ServicePurgeRow(
        *owed, service=service_id, due=keys.due(PURGE, owed.pk), due_at=clock.now(), attempts=0
    )
