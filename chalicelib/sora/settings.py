"""The settings of the metadata API; the prefix of the names is `SORA_`."""

import os
import re
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from chalicelib import settings
from chalicelib.settings import Given, require

LARGEST_METADATA: Final = 120 * 1024
"""A push carries it whole, and a gateway takes messages of 128 KiB."""
AN_HOUR_S: Final = 3600

_ORIGIN: Final = re.compile(r"[\x21-\x7e]+")
_BEARER: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class SoraSettings(Given, frozen=True):
    """What an operator may set; docs/sora.md explains each."""

    api_keys: tuple[str, ...] = ()
    """Without one every call is refused, unless the deployment says that it is open."""
    open: bool = False
    """No credentials are asked for, at any door."""
    event_keys: tuple[str, ...] = ()
    """What the media server's webhook brings; where there is none, the keys of the API count."""
    socket_keys: tuple[str, ...] = ()
    socket_open: bool = False
    """Who only listens needs no key."""
    cors_origin: str = ""
    upstream_url: str = ""
    """The API of a Sora that is told of pushes; empty where there is none."""
    upstream_key: str = ""
    metadata_limit: int = 64 * 1024
    tombstone_seconds: int = 2 * AN_HOUR_S

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        for name in ("api_keys", "event_keys", "socket_keys"):
            require(
                all(_BEARER.fullmatch(key) for key in getattr(self, name)),
                f"SORA_{name.upper()}: keys of letters, digits and -._~+/",
            )
        require(
            not self.cors_origin or bool(_ORIGIN.fullmatch(self.cors_origin)),
            "SORA_CORS_ORIGIN: one origin like https://app.example.com",
        )
        require(
            not self.upstream_url or _is_address(self.upstream_url),
            "SORA_UPSTREAM_URL: an address like https://sora.example.com:3000/",
        )
        require(
            not self.upstream_key or bool(_BEARER.fullmatch(self.upstream_key)),
            "SORA_UPSTREAM_KEY: a key of letters, digits and -._~+/",
        )
        require(
            2 <= self.metadata_limit <= LARGEST_METADATA,
            f"SORA_METADATA_LIMIT: between 2 and {LARGEST_METADATA}",
        )
        require(self.tombstone_seconds >= AN_HOUR_S, f"SORA_TOMBSTONE_SECONDS: {AN_HOUR_S} or more")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and not re.search(r"[\s,]", url) and parts.username is None and not parts.fragment
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname)


@cache
def get() -> SoraSettings:
    """The process's settings of the metadata API.  Raises `BadSetting`."""
    return settings.load(SoraSettings, "SORA_", os.environ)


settings.also_reset(get.cache_clear)
