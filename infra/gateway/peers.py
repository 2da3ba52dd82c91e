"""Who sent a request: addresses through trusted proxies, and headers without what only a front may say."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from infra.gateway import events
from infra.gateway.events import Peer
from infra.gateway.settings import Network, Settings

RawHeaders = Iterable[tuple[bytes, bytes]]

RESERVED: Final = b"x-foyer-"
FORWARDED: Final = b"x-forwarded-"
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id(raw: RawHeaders) -> str:
    """The client's own id if it is harmless in logs and headers, else a new one."""
    for name, value in raw:
        if name.lower() == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode()
    return events.request_id()


class Origin(NamedTuple):
    """A request's sender, its id, and its headers as a front of AWS would hand them on."""

    peer: Peer
    request_id: str
    headers: list[tuple[str, str]]


def read(settings: Settings, address: str, scheme: str, port: int, raw: RawHeaders) -> Origin:
    """Judge the headers of one request that came in from `address`."""
    headers: list[tuple[str, str]] = []
    agent = host = identity = forwarded_for = forwarded_proto = ""
    for name, value in raw:
        lowered = name.lower()
        if lowered.startswith(RESERVED):
            continue
        text = value.decode("latin-1")
        if lowered.startswith(FORWARDED):
            if lowered == b"x-forwarded-for":
                forwarded_for = f"{forwarded_for}, {text}" if forwarded_for else text
            elif lowered == b"x-forwarded-proto":
                forwarded_proto = text
            continue
        if lowered == b"x-request-id":
            if not identity and REQUEST_ID.fullmatch(value):
                identity = text
            continue
        if lowered == b"user-agent":
            agent = text
        elif lowered == b"host":
            host = text
        headers.append((name.decode("latin-1"), text))
    identity = identity or events.request_id()
    chain = address
    if forwarded_for and settings.proxies and _trusted(address, settings.proxies):
        chain = f"{forwarded_for}, {address}"
        address = _first_untrusted(forwarded_for, address, settings.proxies)
        scheme = forwarded_proto or scheme
    headers += (
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Port", str(port)),
        ("X-Forwarded-Proto", scheme),
        ("X-Request-Id", identity),
    )
    return Origin(Peer(address, agent, _name(host)), identity, headers)


def _name(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


@lru_cache(maxsize=1024)
def _trusted(address: str, proxies: Sequence[Network]) -> bool:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(known.version == network.version and known in network for network in proxies)


def _first_untrusted(forwarded_for: str, address: str, proxies: Sequence[Network]) -> str:
    """The nearest address that none of our proxies vouches for; whatever is left of it may be made up."""
    for text in reversed(forwarded_for.split(",")):
        hop = text.strip().strip("[]")
        try:
            ipaddress.ip_address(hop)
        except ValueError:
            return address
        address = hop
        if not _trusted(hop, proxies):
            return hop
    return address
