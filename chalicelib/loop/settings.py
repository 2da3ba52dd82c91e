"""The settings of Loop; the prefix of the names is `LOOP_` (contract section 12)."""

import os
import re
from functools import cache
from typing import Final

from chalicelib import settings
from chalicelib.settings import Given, require

PROVIDERS: Final = ("static", "opentok")
STATES: Final = ("strict", "any")
SHORTEST_SECRET: Final = 32
LARGEST_ROOM: Final = 100

_CHANNEL: Final = re.compile(r"[^=:]+=[^=:]+:.+")
_PREFIX: Final = re.compile(r"/[^?#\s]*[^/?#\s]")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")


class LoopSettings(Given, frozen=True):
    """What an operator may set; docs/loop.md explains each."""

    secret: str = ""
    """What identities are hashed and keys encrypted with at rest; without it nobody can register or join."""
    secret_also: str = ""
    """What it was before, while there are credentials and sessions of that time."""
    room_url: str = "http://localhost:8080/{token}"
    max_size: int = 5
    room_name_max: int = 100
    room_owner_max: int = 255
    room_ttl_hours: int = 1344
    participant_ttl: int = 300
    deleted_ttl: int = 1620
    credential_ttl: int = 2_592_000
    hawk_skew: int = 60
    hawk_nonce_check: bool = True
    hawk_path_prefixes: tuple[str, ...] = ()
    """What clients have in front of a path that only `/{stage}/...` is left of: `{api}` and `{stage}` in it
    stand for those of the request."""
    hawk_hosts: tuple[str, ...] = ()
    """What clients have typed as host where a CDN sends another; with the port unless it is the usual one."""
    status_states: str = "strict"
    allowed_origins: tuple[str, ...] = ("*",)
    media_provider: str = "static"
    media_key: str = "100"
    media_secret: str = "a demonstration, known to everybody"
    media_channels: tuple[str, ...] = ()
    """Further credentials as `channel=key:secret`."""
    media_api_url: str = "https://api.opentok.com"
    push: bool = False
    push_allow_private: bool = False
    push_servers: tuple[str, ...] = ("wss://push.services.mozilla.com/",)

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        for name in ("secret", "secret_also"):
            given = getattr(self, name)
            require(
                not given or len(given) >= SHORTEST_SECRET,
                f"LOOP_{name.upper()}: {SHORTEST_SECRET} characters or more",
            )
        require(
            "{token}" in self.room_url and "#" not in self.room_url,
            "LOOP_ROOM_URL: a URL with {token} in it and without #",
        )
        require(1 <= self.max_size <= LARGEST_ROOM, f"LOOP_MAX_SIZE: between 1 and {LARGEST_ROOM}")
        for name in (
            *("room_name_max", "room_owner_max", "room_ttl_hours", "participant_ttl", "deleted_ttl"),
            *("credential_ttl", "hawk_skew"),
        ):
            require(getattr(self, name) >= 1, f"LOOP_{name.upper()}: 1 or more")
        require(
            all(_PREFIX.fullmatch(each) for each in self.hawk_path_prefixes),
            "LOOP_HAWK_PATH_PREFIXES: paths like /restapis/{api}/{stage}/_user_request_",
        )
        require(
            all(_HOST.fullmatch(each) for each in self.hawk_hosts),
            "LOOP_HAWK_HOSTS: hosts like loop.example.com",
        )
        require(self.status_states in STATES, "LOOP_STATUS_STATES: strict or any")
        require(
            all(_ORIGIN.fullmatch(each) for each in self.allowed_origins),
            "LOOP_ALLOWED_ORIGINS: * or origins like https://hello.example",
        )
        require(self.media_provider in PROVIDERS, "LOOP_MEDIA_PROVIDER: static or opentok")
        require(bool(self.media_key and self.media_secret), "LOOP_MEDIA_KEY, LOOP_MEDIA_SECRET: not empty")
        require(
            all(_CHANNEL.fullmatch(each) for each in self.media_channels),
            "LOOP_MEDIA_CHANNELS: entries like channel=key:secret",
        )
        require(
            self.media_api_url.startswith(("https://", "http://")),
            "LOOP_MEDIA_API_URL: a URL like https://api.opentok.com",
        )
        require(
            bool(self.push_servers)
            and all(each.startswith(("wss://", "ws://")) for each in self.push_servers),
            "LOOP_PUSH_SERVERS: URLs like wss://push.example/",
        )


@cache
def get() -> LoopSettings:
    """The process's settings of Loop.  Raises `BadSetting`."""
    return settings.load(LoopSettings, "LOOP_", os.environ)


settings.also_reset(get.cache_clear)
