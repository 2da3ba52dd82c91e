"""The registry of fronts: who holds sockets, where it is told to send, and until when its word counts."""

import logging
import threading
from collections.abc import Mapping
from typing import Final

import msgspec
from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.store import keys, writes
from chalicelib.store.table import Item

log = logging.getLogger(__name__)

API_GATEWAY: Final = "aws"
PREFIX: Final = "gateway-"
CACHE_S: Final = 5.0
STALE_S: Final = 15.0
"""Up to this age what was read goes on to be used while it is read anew."""
FOREVER: Final = float("inf")
KEPT_S: Final = 3600
API_GATEWAY_LIFE_S: Final = 2 * 3600 + 15 * 60
GATEWAY_LIFE_S: Final = 24 * 3600
ANNOUNCED_S: Final = API_GATEWAY_LIFE_S + 45 * 60
"""How long others go by what a stack said of its API Gateway: longer than any socket of it lives."""
ANNOUNCED_ANEW_S: Final = 30 * 60


class FrontRow(Item):
    """A gateway's lease, or that there is an API Gateway; `alive_until` in seconds since the epoch."""

    endpoint = UnicodeAttribute()
    bulk = BooleanAttribute(default=False)
    dedup = BooleanAttribute(default=False)
    heartbeat = UnicodeAttribute(default="0,0")
    remembers = BooleanAttribute(default=False)
    alive_until = NumberAttribute()


class Front(msgspec.Struct, frozen=True):
    """A place where sockets end."""

    id: str
    endpoint: str
    kind: str
    bulk: bool
    dedup: bool
    heartbeat: str
    alive_until: float
    remembers: bool = False
    """Whether the handlers run in its own process, so that none of them ends without its sockets."""


def of(api_id: str) -> str:
    """The id of the front that sent an event, by the event's `apiId`, which clients cannot set."""
    return api_id[len(PREFIX) :] if api_id.startswith(PREFIX) else API_GATEWAY


def lifetime(front_id: str) -> int:
    """Seconds that a row of one of the front's sockets is kept; no socket lives that long."""
    return API_GATEWAY_LIFE_S if front_id == API_GATEWAY else GATEWAY_LIFE_S


def register(front: Front) -> bool:
    """Begin a gateway's lease; `False` when its id is taken."""
    row = FrontRow(
        *keys.front(front.id),
        endpoint=front.endpoint,
        bulk=front.bulk,
        dedup=front.dedup,
        heartbeat=front.heartbeat,
        remembers=front.remembers,
        alive_until=front.alive_until,
        expires_at=int(front.alive_until) + KEPT_S,
    )
    try:
        writes.put(row, FrontRow.pk.does_not_exist())
    except writes.Refused:
        return False
    _cache.forget()
    return True


def renew(front_id: str) -> bool:
    """Prolong a lease that is not over; `False` when it is, and then the front is gone for everybody."""
    now = clock.now()
    until = now + settings.get().front_lease_s
    try:
        writes.update(
            *keys.front(front_id),
            actions=[FrontRow.alive_until.set(until), FrontRow.expires_at.set(int(until) + KEPT_S)],
            condition=FrontRow.alive_until > now,
        )
    except writes.Refused:
        return False
    return True


def withdraw(front_id: str) -> None:
    """End a lease."""
    writes.delete(*keys.front(front_id))
    _cache.forget()


class _Announced:
    """When this process last told others of API Gateway."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.at = -FOREVER


_announced = _Announced()
settings.also_reset(_announced.forget)


def announce() -> None:
    """Tell all who share the table of API Gateway, where there is one, unless that was done lately.

    A gateway that knew nothing of it would take those who wait there for gone.
    """
    ours, now = api_gateway(), clock.now()
    if ours is None or now < _announced.at + ANNOUNCED_ANEW_S:
        return
    until = now + ANNOUNCED_S
    try:
        writes.update(
            *keys.front(ours.id),
            actions=[
                FrontRow.endpoint.set(ours.endpoint),
                FrontRow.alive_until.set(until),
                FrontRow.expires_at.set(int(until) + KEPT_S),
            ],
        )
    except Unavailable as error:
        log.warning("gateways were not told of API Gateway: %s", error)
        return
    _announced.at = now


class _Cache:
    """What this process last read of the registry, and whether one of its threads reads it just now."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reading = False
        self.forget()

    def forget(self) -> None:
        self.at = -FOREVER
        self.fronts: dict[str, Front] = {}


_cache = _Cache()
settings.also_reset(_cache.forget)


def alive(fresh: bool = False) -> Mapping[str, Front]:
    """The fronts whose lease runs, API Gateway among them where there is one: set here, or announced.

    Read anew every five seconds, when a lease seems to be over that was prolonged meanwhile, or
    now if `fresh`.  While one thread reads, the others go on with what was read before: storage that
    is slow to answer holds up one of them.
    """
    now = clock.now()
    with _cache.lock:
        age = clock.monotonic() - _cache.at
        over = any(front.alive_until <= now for front in _cache.fronts.values())
        young = age <= CACHE_S or (_cache.reading and age <= STALE_S)
        if young and not over and not fresh:
            return dict(_cache.fronts)
        _cache.reading = True
    began = clock.monotonic()
    try:
        found = {name: front for name, front in _read().items() if front.alive_until > now}
        with _cache.lock:
            if began >= _cache.at:  # a later read may have ended before this one
                _cache.fronts, _cache.at = found, began
    finally:
        _cache.reading = False
    return dict(found)


def lately_alive(within_s: float) -> Mapping[str, Front]:
    """The fronts that were alive when this process last looked, if that is not too long ago; else as `alive`.

    For who looks on: a gateway that was killed meanwhile is still among them.
    """
    with _cache.lock:
        if clock.monotonic() - _cache.at <= within_s:
            return dict(_cache.fronts)
    return alive()


def _read() -> dict[str, Front]:
    fronts = {
        row.sk: Front(
            id=row.sk,
            endpoint=row.endpoint,
            kind="apigateway" if row.sk == API_GATEWAY else "gateway",
            bulk=row.bulk,
            dedup=row.dedup,
            heartbeat=row.heartbeat,
            alive_until=float(row.alive_until),
            remembers=row.remembers,
        )
        for row in writes.query_all(FrontRow, keys.FRONTS, consistent=True)
    }
    ours = api_gateway()
    if ours is not None:
        fronts[ours.id] = ours
    return fronts


def api_gateway() -> Front | None:
    """API Gateway, where this process was told of one; others find it in the registry."""
    endpoint = settings.get().api_endpoint
    return Front(API_GATEWAY, endpoint, "apigateway", False, False, "", FOREVER) if endpoint else None
