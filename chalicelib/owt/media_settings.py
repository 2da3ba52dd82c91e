"""Settings of the media plane: whether workers follow what callers order, and how they are told."""

import os
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from chalicelib import settings
from chalicelib.settings import require

STORE: Final = "store"
FIRE: Final = "fire"
CONFIRM: Final = "confirm"
MODES: Final = (STORE, FIRE, CONFIRM)
LONGEST_CONFIRM_S: Final = 20.0
"""API Gateway waits 29 s for an answer, and what is given up has to be undone within it."""
OURS: Final = ("MEDIA_MODE", "CONFIRM_TIMEOUT_", "COMMAND_WEBHOOK_")
"""Shorter beginnings are those of variables of other programs too."""


@dataclass(frozen=True)
class MediaSettings:
    """What an operator may set; docs/media-plane.md explains each."""

    media_mode: str = STORE
    confirm_timeout_s: float = 10.0
    command_webhook_url: str = ""
    """Where commands are sent: one address for all services, or a JSON object of them by service id."""
    command_webhook_secret: str = field(default="", repr=False)
    """What they are signed with, in the same form; `whsec_` and base64."""
    command_webhook_private: bool = False
    """Whether the address may be one that is not public, as in local work."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        require(self.media_mode in MODES, "MEDIA_MODE: store, fire or confirm")
        require(
            0 < self.confirm_timeout_s <= LONGEST_CONFIRM_S,
            f"CONFIRM_TIMEOUT_S: more than 0, at most {LONGEST_CONFIRM_S:.0f}",
        )

    @property
    def commands(self) -> bool:
        """Whether what callers order is written down for workers."""
        return self.media_mode != STORE

    @property
    def confirms(self) -> bool:
        """Whether an order takes effect once a worker has carried it out."""
        return self.media_mode == CONFIRM


@cache
def get() -> MediaSettings:
    """The process's settings of the media plane.  Raises `BadSetting`."""
    given = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    return settings.load(MediaSettings, "", given)


settings.also_reset(get.cache_clear)
