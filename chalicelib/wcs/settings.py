"""The settings of hooks and the stream API; the prefix of the names is `WCS_`."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final

from chalicelib import settings
from chalicelib.errors import ValidationError
from chalicelib.outbox import outgoing
from chalicelib.settings import require
from chalicelib.wcs import mapping, messages, server
from chalicelib.wcs.mapping import Target
from chalicelib.wcs.server import Server
from chalicelib.wire.basic import Login

LOCAL: Final = "local"
AT_ONCE: Final = 2
"""So many secrets, or logins, of one api: the old and the new one."""
SHORTEST_KEY: Final = 16

_API: Final = re.compile(r"[A-Za-z0-9._~-]+")
_KEY: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class WcsSettings:
    """What an operator may set; docs/wcs.md explains each."""

    open: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    users: tuple[str, ...] = field(default=(), repr=False)
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    api_users: tuple[str, ...] = field(default=(), repr=False)
    servers: tuple[str, ...] = field(default=(), repr=False)
    stale_after_s: float = 3600.0
    final_kept_s: int = 86400
    others_kept_s: int = 604800
    status_event_config: str = ""
    rooms: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        require(
            all(_is_of_api(item, 2) for item in self.secrets),
            "WCS_SECRETS: items like my_api:secret",
        )
        require(
            all(_is_of_api(item, 3) for item in self.users),
            "WCS_USERS: items like my_api:user:password",
        )
        for name in ("secrets", "users"):
            require(_few(getattr(self, name)), f"WCS_{name.upper()}: at most {AT_ONCE} for one api")
        require(
            all(_KEY.fullmatch(key) and len(key) >= SHORTEST_KEY for key in self.api_keys),
            f"WCS_API_KEYS: {SHORTEST_KEY} characters or more each, letters, digits and -._~+/=",
        )
        require(
            all(_parts(item, 2) for item in self.api_users),
            "WCS_API_USERS: items like user:password",
        )
        _check_servers(self.servers)
        require(
            0 < self.stale_after_s <= self.others_kept_s,
            "WCS_STALE_AFTER_S: more than 0, at most WCS_OTHERS_KEPT_S",
        )
        require(self.final_kept_s > 0, "WCS_FINAL_KEPT_S: more than 0")
        try:
            messages.rest_client_config(self.status_event_config)
        except ValidationError as wrong:
            raise settings.BadSetting(f"WCS_STATUS_EVENT_CONFIG: {wrong}") from None
        try:
            mapping.parse(self.rooms)
        except ValidationError as wrong:
            raise settings.BadSetting(f"WCS_ROOMS: {wrong}") from None

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Which streams belong into which rooms."""
        return mapping.parse(self.rooms)

    @property
    def is_open(self) -> bool:
        """Whether servers of an api without a secret or login of its own may call."""
        return self.open or self.is_local

    @property
    def is_local(self) -> bool:
        """Whether this is the stage that is open to everybody."""
        return settings.get().stage == LOCAL

    def server_of(self, node: str) -> Server | None:
        """Where the server of this `nodeId` is called; `None` where it is not."""
        found = (server.read(item) for item in self.servers if item.startswith(f"{node}="))
        return next((each for each in found if each.node == node), None)

    def secrets_of(self, api: str) -> list[str]:
        """What the hooks of an api may be signed with."""
        return [secret for name, _, secret in (item.partition(":") for item in self.secrets) if name == api]

    def logins_of(self, api: str) -> list[Login]:
        """Who may call the hooks of an api."""
        found = (item.split(":", 2) for item in self.users)
        return [Login(user, password) for name, user, password in found if name == api]

    @property
    def api_logins(self) -> list[Login]:
        """Who may call the stream API by name and password."""
        return [
            Login(user, password) for user, _, password in (item.partition(":") for item in self.api_users)
        ]


def _check_servers(items: Iterable[str]) -> None:
    """Raises `BadSetting`."""
    try:
        found = [server.read(item) for item in items]
    except ValidationError as wrong:
        raise settings.BadSetting(f"WCS_SERVERS: items like {wrong}") from None
    require(
        len({each.node for each in found}) == len(found),
        "WCS_SERVERS: one address for one nodeId",
    )
    require(
        all(each.secure or not outgoing.public(each.host) for each in found),
        "WCS_SERVERS: http to addresses that are not public only",
    )


def _parts(item: str, count: int) -> bool:
    parts = item.split(":", count - 1)
    return len(parts) == count and all(parts)


def _is_of_api(item: str, count: int) -> bool:
    return _parts(item, count) and bool(_API.fullmatch(item.partition(":")[0]))


def _few(items: Iterable[str]) -> bool:
    apis = [item.partition(":")[0] for item in items]
    return all(apis.count(api) <= AT_ONCE for api in apis)


@cache
def get() -> WcsSettings:
    """The process's settings of hooks.  Raises `BadSetting`."""
    return settings.load(WcsSettings, "WCS_", os.environ)


settings.also_reset(get.cache_clear)
