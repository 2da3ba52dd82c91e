"""What `/openapi.json` says of a route: facades list theirs, the composition root joins them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Operation:
    """One route: its summary, the types of its bodies by status, and the scheme that secures it."""

    method: str
    path: str
    summary: str
    tag: str
    answers: Mapping[int, tuple[str, Any]] = field(default_factory=dict)
    """Status -> its meaning and the type of the body, `None` without one."""
    body: Any = None
    security: str | None = None
