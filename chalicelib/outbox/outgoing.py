"""One request to a URL that somebody else has named: to public machines only, and not for long.

Every address of the name is judged, and the connection is made to an address that was: a name that resolves
to something else a moment later gains nothing by it.  No redirect is followed, no proxy is used, and a timer
cuts off whoever answers in drips.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from chalicelib import clock, metrics, settings

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_URL: Final = 2048
ADDRESSES: Final = 4
"""So many addresses of one name are tried at most."""
RESOLVERS: Final = 32
"""Names that are looked up at once; nobody can tell the system's resolver to give up."""
QUEUE_S: Final = 0.5
"""For how long a name waits for its turn."""
USUAL: Final = {"User-Agent": "foyer", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
LONGEST_WAIT_S: Final = 7 * 86400
LONGEST_NUMBER: Final = 12
RETRIABLE: Final = frozenset({408, 425, 429})

_URL: Final = re.compile(r"[!-\[\]-~]+")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


class Failure(StrEnum):
    """Why there is no answer, or not the whole of it."""

    BAD_URL = "not a URL that we send to"
    NOT_PUBLIC = "an address that is not public"
    NO_ADDRESS = "a name without an address"
    NO_CONNECTION = "no connection"
    NO_TRUST = "no trusted certificate"
    LATE = "no answer in time"
    BROKEN = "no answer that can be read"


class Limits(msgspec.Struct, frozen=True):
    """What a request may cost, and where it may go."""

    within_s: float = 2.0
    """From looking up the name to the last byte of the answer."""
    answer: int = 0
    """So many bytes of the answer's body are kept; the rest is not even read."""
    private: bool = False
    """Whether addresses that are not public are allowed too, and plain http to those."""


USUAL_LIMITS: Final = Limits()


class Outcome(NamedTuple):
    """What became of a request: the answer's status, or why there is none."""

    status: int = 0
    body: bytes = b""
    failure: Failure | None = None
    wait_s: float = 0.0
    """For so long the peer wants to hear nothing more (`Retry-After`)."""

    @property
    def accepted(self) -> bool:
        """Whether the peer took it; that its answer broke off later does not matter."""
        return 200 <= self.status < 300

    @property
    def retriable(self) -> bool:
        """Whether the same request may fare better later."""
        if self.status:
            return self.status >= 500 or self.status in RETRIABLE
        return self.failure not in (Failure.BAD_URL, Failure.NOT_PUBLIC)

    @property
    def reason(self) -> str:
        """For the log: nothing of it is secret, and nothing the peer's own words."""
        return f"status {self.status}" if self.status else str(self.failure or "")


class _Failed(Exception):
    """The request did not come to an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class _Target(NamedTuple):
    """A URL, taken apart."""

    secure: bool
    host: str
    port: int
    path: str


class _Address(NamedTuple):
    """Where a socket may be connected to, as the resolver gave it."""

    family: int
    where: Any


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    limits: Limits = USUAL_LIMITS,
) -> Outcome:
    """Make one request, in one try.  What comes of it is told, never raised."""
    outcome = _send(method, url, dict(headers or {}), body, limits)
    what = str(outcome.status or outcome.failure)
    metrics.OUTGOING.add(1, what)
    if not outcome.accepted:
        metrics.OUTGOING_FAILURES.add(1, what)
    return outcome


def _send(method: str, url: str, headers: dict[str, str], body: bytes, limits: Limits) -> Outcome:
    end = time.monotonic() + limits.within_s
    try:
        target = _target(url, limits)
        addresses = _judged(_resolve(target, end), target, limits)
        return _exchange(target, addresses, end, method, headers, body, limits)
    except _Failed as failed:
        return Outcome(failure=failed.failure)


def _target(url: str, limits: Limits) -> _Target:
    """Raises `_Failed` for what is no plain http(s) URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _Failed(Failure.BAD_URL) from None
    secure = parts.scheme == "https"
    if (
        not _URL.fullmatch(url)
        or len(url) > LONGEST_URL
        or not (secure or (limits.private and parts.scheme == "http"))
        or "@" in parts.netloc
        or not _HOST.fullmatch(host)
        or port == 0
    ):
        raise _Failed(Failure.BAD_URL)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(secure, host, port or (443 if secure else 80), path)


# Addresses

_slots: Final = threading.BoundedSemaphore(RESOLVERS)


def _resolve(target: _Target, end: float) -> list[_Address]:
    """Every address of the target's name, those of IPv4 first.  Raises `_Failed`."""
    slots = _slots
    if not slots.acquire(timeout=max(0.0, min(QUEUE_S, end - time.monotonic()))):
        raise _Failed(Failure.NO_ADDRESS)
    found: list[_Address] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            for family, _, _, _, where in socket.getaddrinfo(
                target.host, target.port, type=socket.SOCK_STREAM
            ):
                found.append(_Address(family, where))
        except (OSError, UnicodeError):
            found.clear()
        finally:
            slots.release()
            done.set()

    try:
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
    except RuntimeError:  # no more threads
        slots.release()
        raise _Failed(Failure.NO_ADDRESS) from None
    if not done.wait(max(0.0, end - time.monotonic())):
        raise _Failed(Failure.LATE)
    if not found:
        raise _Failed(Failure.NO_ADDRESS)
    return sorted(dict.fromkeys(found), key=lambda address: address.family != socket.AF_INET)


def _judged(addresses: list[_Address], target: _Target, limits: Limits) -> list[_Address]:
    """The addresses, if we may send there: one that is not public spoils all.  Raises `_Failed`."""
    all_public = all(public(str(address.where[0])) for address in addresses)
    if not all_public and not limits.private:
        raise _Failed(Failure.NOT_PUBLIC)
    if all_public and not target.secure:
        raise _Failed(Failure.BAD_URL)
    return addresses


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
"""All that is assigned as global unicast; what lies outside has a special meaning or none."""
_SPECIAL_V6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # the IETF's own: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address behind somebody's relay
        "3fff::/20",  # documentation
    )
)
_SPECIAL_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # the IETF's own
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)


def public(text: str) -> bool:
    """Whether an address is one of the public Internet, by IANA's registries of special addresses.

    >>> [public(each) for each in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")]
    [True, True, True, True]
    >>> [public(each) for each in ("127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1")]
    [False, False, False, False]
    """
    try:
        address: IPAddress = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        else:
            return address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)
    return not any(address in network for network in _SPECIAL_V4)


# The connection


class _Judged:
    """A connection that looks up nothing: it goes to addresses that were judged."""

    def __init__(self, *args: Any, addresses: Sequence[_Address], end: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._addresses = addresses
        self._end = end

    def _new_conn(self) -> socket.socket:
        return _connect(self._addresses, self._end)


class _Plain(_Judged, HTTPConnection):
    """One over http."""


class _Secure(_Judged, HTTPSConnection):
    """One over https; the certificate has to be for the URL's name."""


def _connect(addresses: Sequence[_Address], end: float) -> socket.socket:
    """A socket to the first address that takes it, each having its share of the time.

    The socket's timeout is what is left for the TLS handshake, which heeds it as a whole.  Raises `_Failed`.
    """
    tried = addresses[:ADDRESSES]
    for at, address in enumerate(tried):
        left = end - time.monotonic()
        if left <= 0:
            raise _Failed(Failure.LATE)
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left / (len(tried) - at))
            sock.connect(address.where)
            sock.settimeout(max(0.001, end - time.monotonic()))
        except OSError:
            sock.close()
        else:
            return sock
    raise _Failed(_late_or(Failure.NO_CONNECTION, end))


@cache
def _tls() -> ssl.SSLContext:
    """One context for all: loading the trusted roots takes longer than a request."""
    return ssl.create_default_context()


settings.also_reset(_tls.cache_clear)


def warm() -> None:
    """Load the trusted roots now, and not in the first request."""
    _tls()


def _exchange(
    target: _Target,
    addresses: Sequence[_Address],
    end: float,
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    limits: Limits,
) -> Outcome:
    """Raises `_Failed`."""
    connection: HTTPConnection = (
        _Secure(
            target.host,
            target.port,
            timeout=limits.within_s,
            ssl_context=_tls(),
            addresses=addresses,
            end=end,
        )
        if target.secure
        else _Plain(target.host, target.port, timeout=limits.within_s, addresses=addresses, end=end)
    )
    with closing(connection):
        _open(connection, end)
        timer = threading.Timer(max(0.0, end - time.monotonic()), _shut, (connection.sock,))
        timer.daemon = True
        timer.start()
        try:
            return _ask(connection, target, method, headers, body, limits, end)
        finally:
            timer.cancel()


def _open(connection: HTTPConnection, end: float) -> None:
    """Connect, and have the peer prove its name.  Raises `_Failed`."""
    try:
        connection.connect()
    except ssl.SSLError:
        raise _Failed(Failure.NO_TRUST) from None
    except (HTTPError, OSError):
        raise _Failed(_late_or(Failure.NO_CONNECTION, end)) from None


def _shut(sock: socket.socket) -> None:
    """Wake whoever waits for `sock`; past TLS, whose own shutdown would wait for the peer."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _ask(
    connection: HTTPConnection,
    target: _Target,
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    limits: Limits,
    end: float,
) -> Outcome:
    """Raises `_Failed`."""
    given = {name.lower() for name in headers}
    usual = {name: value for name, value in USUAL.items() if name.lower() not in given}
    try:
        connection.request(
            method,
            target.path,
            body=body or None,
            headers=usual | dict(headers),
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
    except (HTTPError, http.client.HTTPException, OSError):
        raise _Failed(_late_or(Failure.BROKEN, end)) from None
    with closing(response):
        status, wait_s = response.status, asked_to_wait(response.headers.get("Retry-After", ""), clock.now())
        if not limits.answer:
            return Outcome(status, wait_s=wait_s)
        try:
            content = response.read(limits.answer)
        except (HTTPError, http.client.HTTPException, OSError, ValueError):
            return Outcome(status, failure=_late_or(Failure.BROKEN, end), wait_s=wait_s)
        # A body without a length ends where the timer cut it off.
        return Outcome(status, content, Failure.LATE if time.monotonic() >= end else None, wait_s)


def asked_to_wait(text: str, now: float) -> float:
    """The seconds that a `Retry-After` means, which has a number of them or a date; 0 for anything else.

    >>> [asked_to_wait(text, 784111777.0) for text in ("120", "Sun, 06 Nov 1994 08:50:37 GMT", "soon", "-1")]
    [120.0, 60.0, 0.0, 0.0]
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:LONGEST_NUMBER]), LONGEST_WAIT_S))
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, moment - now), float(LONGEST_WAIT_S))


def _late_or(failure: Failure, end: float) -> Failure:
    """Why something failed: the time that was up, or what it looks like."""
    return Failure.LATE if time.monotonic() >= end else failure
