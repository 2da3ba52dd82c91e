"""One HTTP answer as plain values, whatever framework sends it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True)
class Reply:
    """What a route answers."""

    status: int
    body: bytes | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """`value` as compact JSON."""
    return Reply(status, msgspec.json.encode(value), {"Content-Type": "application/json", **(headers or {})})
