"""One timer for all sockets: a wheel of slots instead of a handle in the event loop for each deadline."""

import asyncio
from typing import Final, Protocol

from infra.gateway import log

SLOTS: Final = 512
CHUNK: Final = 256


class Timed(Protocol):
    """Something with deadlines of its own."""

    def on_timer(self, now: float) -> float:
        """Do what is due; seconds until the next look, 0 for none."""


class Wheel:
    """Calls `on_timer` of its entries after about the asked delay, never all of a crowd in one step.

    A delay beyond the wheel's span is cut to it: entries look at their own clock anyway.
    There is no removal: an entry that is over answers 0 at its next turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float) -> None:
        self._loop = loop
        self.tick_s = tick_s
        self._slots: list[list[Timed]] = [[] for _ in range(SLOTS)]
        self._at = 0
        self._began = loop.time()
        self._handle: asyncio.TimerHandle | None = loop.call_later(tick_s, self._turn)

    def after(self, delay_s: float, entry: Timed) -> None:
        """Have `entry` looked at in `delay_s` seconds."""
        ticks = int(delay_s / self.tick_s) + 1
        self._slots[(self._at + min(ticks, SLOTS - 1)) % SLOTS].append(entry)

    def stop(self) -> None:
        """Turn no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        for slot in self._slots:
            slot.clear()

    def _turn(self) -> None:
        now = self._loop.time()
        due: list[Timed] = []
        behind = min(int((now - self._began) / self.tick_s), SLOTS)
        for _ in range(max(behind, 1)):
            self._at = (self._at + 1) % SLOTS
            slot = self._slots[self._at]
            if slot:
                due += slot
                self._slots[self._at] = []
            self._began += self.tick_s
        if now - self._began > self.tick_s:  # the process was stopped for longer than the wheel spans
            self._began = now
        self._handle = self._loop.call_later(max(0.0, self._began + self.tick_s - now), self._turn)
        if due:
            self._look(due, 0)

    def _look(self, due: list[Timed], start: int) -> None:
        now = self._loop.time()
        for entry in due[start : start + CHUNK]:
            try:
                delay = entry.on_timer(now)
            except Exception as error:  # one socket's trouble is not the others'
                log.failure("timer", error)
                continue
            if delay > 0:
                self.after(delay, entry)
        if start + CHUNK < len(due):
            self._loop.call_soon(self._look, due, start + CHUNK)
