"""What `/openapi.json` says of a route: facades list theirs, the composition root joins them."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Operation(msgspec.Struct, frozen=True):
    """One route: its summary, the types of its bodies by status, and the scheme that secures it."""

    method: str
    path: str
    summary: str
    tag: str
    answers: Mapping[int, tuple[str, Any]] = {}
    """Status -> its meaning and the type of the body, `None` without one."""
    body: Any = None
    security: str | None = None
