"""Acknowledging a command: a worker has carried it out, or could not."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from chalicelib import waits
from chalicelib.owt import command
from chalicelib.owt.actions import acks
from chalicelib.owt.auth import Caller
from chalicelib.owt.errors import BadData, NoResource
from chalicelib.owt.store import commands
from chalicelib.wire.untrusted import Json

LONGEST_REASON: Final = 500
"""Characters; the rest is cut off."""

_ID: Final = re.compile(r"[0-9a-f]{24}-[0-9a-f]{24}")


class Word(msgspec.Struct, frozen=True):
    """What a worker says of a command."""

    ok: bool
    result: dict[str, Any] | None = None
    reason: str | None = None


def read_word(body: Json) -> Word:
    """Read the body of an acknowledgement.  Raises `BadData`."""
    if not isinstance(body, dict) or not isinstance(body.get("ok"), bool):
        raise BadData("ok is true or false")
    if not body["ok"]:
        reason = body.get("reason")
        if not isinstance(reason, str) or not reason.strip():
            raise BadData("what is not ok has a reason")
        return Word(False, reason=reason.strip()[:LONGEST_REASON])
    result = body.get("result", {})
    if not isinstance(result, dict):
        raise BadData("result is an object")
    return Word(True, result if "result" in body else None)


def acknowledge(caller: Caller, command_id: str, read: Callable[[], Json]) -> None:
    """Have a worker's word take effect; what was acknowledged before stays as it is.

    Raises `NoResource` for what is no command of the caller's, or is forgotten; `BadData`, `Unavailable`.
    """
    if not _is_callers(caller, command_id):
        raise NoResource(command_id)
    row = commands.find(command_id)
    if row is None and commands.outcome(command_id) is None:
        raise NoResource(command_id)
    word = read_word(read())
    if row is not None and acks.acknowledge(row, word.ok, word.result, word.reason):
        waits.ring(command_id)


def _is_callers(caller: Caller, command_id: str) -> bool:
    if not _ID.fullmatch(command_id):
        return False
    return caller.is_super or command.listed_under(command_id) == caller.service
