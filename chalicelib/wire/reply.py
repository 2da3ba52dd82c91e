"""One HTTP answer as plain values, whatever framework sends it."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """What a route answers."""

    status: int
    body: bytes | str = ""
    headers: Mapping[str, str] = {}
    notes: Mapping[str, Any] = {}
    """What the log's line of the request says besides; none of it goes to the peer."""


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """`value` as compact JSON."""
    return Reply(status, msgspec.json.encode(value), {"Content-Type": "application/json", **(headers or {})})
