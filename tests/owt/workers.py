"""What media workers see and say, in this process: commands that wait, acknowledgements, and the modes."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import clock, waits
from chalicelib.owt import media_settings
from chalicelib.owt.actions import acks
from chalicelib.owt.command import Command
from chalicelib.owt.store import commands
from chalicelib.owt.store.commands import AckedRow

Worker = Callable[[], None]


def mode(monkeypatch: pytest.MonkeyPatch, name: str, **environ: str) -> None:
    """Have `MEDIA_MODE` be this from now on."""
    monkeypatch.setenv("MEDIA_MODE", name)
    for each, value in environ.items():
        monkeypatch.setenv(each, value)
    media_settings.get.cache_clear()  # the others, and the clients made of them, stay


def pending(service: str) -> list[Command]:
    """A service's commands that nobody has acknowledged."""
    return [commands.of_row(row) for row in commands.pending(service)]


def told(service: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, target and arguments of each."""
    return [(each.kind, each.target, each.args) for each in pending(service)]


def ack(
    command_id: str, ok: bool = True, result: dict[str, Any] | None = None, reason: str | None = None
) -> bool:
    """Acknowledge a command that waits; whether that changed anything."""
    row = commands.find(command_id)
    assert row is not None, command_id
    return acks.acknowledge(row, ok, result, reason)


def outcome(command_id: str) -> AckedRow:
    """What became of a command."""
    found = commands.outcome(command_id)
    assert found is not None, command_id
    return found


def while_waiting(monkeypatch: pytest.MonkeyPatch, *worker: Worker) -> list[float]:
    """Have the workers do their parts, one each time that a request looks whether it is confirmed.

    No time passes but what the request means to wait; the pauses are in the list.
    """
    pauses: list[float] = []
    parts = list(worker)

    def wait(_: waits.Waiter, seconds: float) -> bool:
        pauses.append(seconds)
        if parts:
            parts.pop(0)()
        return True

    monkeypatch.setattr(waits.Waiter, "wait", wait)
    monkeypatch.setattr(clock, "monotonic", lambda: sum(pauses))
    return pauses
