"""Refuses every attempt of the test process to reach another machine, and remembers it."""

import ipaddress
import socket
import sys
from typing import Any

attempts: list[str] = []
_armed = False


class LeftTheMachine(ConnectionError):
    """A test tried to talk to an address that is not loopback."""


def local(host: object) -> bool:
    """Whether a host, as given to the socket calls, is this machine.

    >>> [local(host) for host in (None, "localhost", "127.0.0.9", b"::1", "::ffff:127.0.0.1")]
    [True, True, True, True, True]
    >>> [local(host) for host in ("192.0.2.1", "2001:db8::1", "aws.example")]
    [False, False, False]
    """
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in {"", "localhost", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or bool(mapped and mapped.is_loopback)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _armed:
        return
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        if not isinstance(address, tuple):  # a path: this machine
            return
        host = address[0]
    else:
        return
    if not local(host):
        attempts.append(f"{event} {host}")
        raise LeftTheMachine(f"a test tried to reach {host}")


def guard() -> None:
    """Begin to refuse; there is no end to it."""
    global _armed
    if not _armed:
        sys.addaudithook(_audit)
        _armed = True


def leave() -> None:
    """Let the process go where it wants: a person has named a target outside."""
    global _armed
    _armed = False
