"""Requests that wait for somebody else: they are woken early, and hold up no others meanwhile.

Where handlers run in threads of one process, its host puts another thread in for each that waits.  Waking
works within a process only, so whoever waits looks again now and then by itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol


class Host(Protocol):
    """Who runs handlers in threads."""

    def leave(self) -> bool:
        """One of its threads is about to wait; `False` when too many do already."""

    def back(self) -> None:
        """That thread goes on."""


class _Here(threading.local):
    host: Host | None = None


_here = _Here()
_lock: Final = threading.Lock()
_waiting: Final[dict[str, set["Waiter"]]] = {}
_ending: Final = threading.Event()


def hosted_by(host: Host | None) -> None:
    """Tell who runs the current thread."""
    _here.host = host


def hosted() -> bool:
    """Whether somebody puts another thread in while this one waits."""
    return _here.host is not None


@contextmanager
def parked() -> Iterator[bool]:
    """In here the thread waits, and does nothing that others would wait for; `False` when too many do."""
    host = _here.host
    if host is None:
        yield True
        return
    admitted = host.leave()
    try:
        yield admitted
    finally:
        if admitted:
            host.back()


class Waiter:
    """Somebody who waits for things of some names."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Something happened."""
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        """Until it happens or the time is over; `False` once nobody should wait here any longer."""
        if not _ending.is_set():
            self._rung.wait(seconds)
            self._rung.clear()
        return not _ending.is_set()


@contextmanager
def waiting(*names: str) -> Iterator[Waiter]:
    """Hear of what happens in this process under these names from now on; look only after this began."""
    waiter = Waiter()
    with _lock:
        for name in names:
            _waiting.setdefault(name, set()).add(waiter)
    try:
        yield waiter
    finally:
        with _lock:
            for name in names:
                left = _waiting[name]
                left.discard(waiter)
                if not left:
                    del _waiting[name]


def ring(name: str) -> None:
    """Tell those in this process who wait for this name."""
    if not _waiting:
        return
    with _lock:
        waiters = list(_waiting.get(name, ()))
    for waiter in waiters:
        waiter.ring()


def end() -> None:
    """The process is about to end: nobody waits any longer."""
    _ending.set()
    with _lock:
        waiters = {waiter for several in _waiting.values() for waiter in several}
    for waiter in waiters:
        waiter.ring()


def begin() -> None:
    """Undo `end`, for processes that begin anew."""
    _ending.clear()
