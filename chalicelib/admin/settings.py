"""The operators' settings: whose tokens are accepted, and for how long a session lasts."""

import os
import re
from functools import cache
from typing import Final

from chalicelib import settings
from chalicelib.settings import Given, require

_TOKEN: Final = re.compile(r"[^\s,:]{1,64}:[0-9a-f]{64}")


class AdminSettings(Given, frozen=True):
    """The prefix of the names is `ADMIN_`."""

    tokens: tuple[str, ...] = ()
    """Items like `name:hash`, the SHA-256 of a token in hexadecimal digits; without any, all of it is off."""
    session_s: int = 43200
    rollup_flush_s: float = 10.0
    """How long a process keeps what it counts to itself; 0 means that nothing is counted for the console."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        require(
            all(_TOKEN.fullmatch(item) for item in self.tokens),
            "ADMIN_TOKENS: items like name:hash, the hash being 64 hexadecimal digits in lower case",
        )
        names = [item.partition(":")[0] for item in self.tokens]
        require(len(set(names)) == len(names), "ADMIN_TOKENS: each name once")
        require(60 <= self.session_s <= 30 * 86400, "ADMIN_SESSION_S: between 60 and 2592000")
        require(self.rollup_flush_s >= 0, "ADMIN_ROLLUP_FLUSH_S: 0 or more")

    @property
    def on(self) -> bool:
        """Whether there is an operators' API here."""
        return bool(self.tokens)

    @property
    def rolls_up(self) -> bool:
        """Whether what is served is counted for them."""
        return self.on and self.rollup_flush_s > 0


@cache
def get() -> AdminSettings:
    """The process's settings.  Raises `BadSetting`."""
    return settings.load(AdminSettings, "ADMIN_", os.environ)


settings.also_reset(get.cache_clear)
