"""What becomes of a command that a worker has carried out, or could not (docs/contracts/media-plane.md)."""

from collections.abc import Mapping
from typing import Any

from chalicelib.owt.store import commands
from chalicelib.owt.store.commands import CommandRow
from chalicelib.store import writes
from chalicelib.store.writes import Cancelled


def acknowledge(row: CommandRow, ok: bool, result: Mapping[str, Any] | None, reason: str | None) -> bool:
    """Have a worker's word on a command take effect, once; `False` when somebody was first.

    Raises `ValidationError` for a result that cannot be one of this command, and then nothing has changed;
    `Unavailable`.
    """
    try:
        writes.transact(commands.acking(row.sk, ok, reason))
    except Cancelled:
        return False
    return True
