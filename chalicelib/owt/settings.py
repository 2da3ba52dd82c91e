"""The settings of conference management; the prefix of the names is `OWT_`."""

import os
import re
from functools import cache
from typing import Final

from chalicelib import settings
from chalicelib.settings import Given, require

MAUTH: Final = ("compat", "strict")
SHORTEST_SECRET: Final = 32
LONGEST_CACHE_S: Final = 60.0

_SERVICE_ID: Final = re.compile(r"[0-9a-f]{24}")


class OwtSettings(Given, frozen=True):
    """What an operator may set; docs/owt.md explains each."""

    super_service_id: str = ""
    """Without a super service every call is refused."""
    super_service_key: str = ""
    super_service_key_also: str = ""
    """This and the others like it: taken as well, while one takes the other's place."""
    super_require_v2: bool = False
    key_secret: str = ""
    key_secret_also: str = ""
    kms_key_id: str = ""
    kms_key_id_also: str = ""
    mauth: str = "compat"
    mauth_window_s: float = 300.0
    service_cache_s: float = 60.0
    """For how long a process goes on taking the key of a service that another one deleted."""
    portal_host: str = "localhost:8080"
    portal_secure: bool = True
    webtransport_url: str = ""
    token_secret: str = ""
    token_secret_also: str = ""
    recording_host: str = "localhost"
    recording_path: str = "/tmp"

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        require(
            not self.super_service_id or bool(_SERVICE_ID.fullmatch(self.super_service_id)),
            "OWT_SUPER_SERVICE_ID: 24 digits of lower-case hexadecimal",
        )
        require(
            bool(self.super_service_id) == bool(self.super_service_key),
            "OWT_SUPER_SERVICE_ID, OWT_SUPER_SERVICE_KEY: both or neither",
        )
        for name in ("key_secret", "key_secret_also", "token_secret", "token_secret_also"):
            secret = getattr(self, name)
            require(
                not secret or len(secret) >= SHORTEST_SECRET,
                f"OWT_{name.upper()}: {SHORTEST_SECRET} characters or more",
            )
        require(
            not self.super_service_id or bool(self.key_secret or self.kms_key_id),
            "OWT_KEY_SECRET or OWT_KMS_KEY_ID: what the keys of services are encrypted with at rest",
        )
        require(
            not self.super_service_id or bool(self.key_secret or self.token_secret),
            "OWT_TOKEN_SECRET: what tokens are signed with, where there is no OWT_KEY_SECRET",
        )
        require(self.mauth in MAUTH, "OWT_MAUTH: compat or strict")
        require(0 < self.mauth_window_s <= 3600, "OWT_MAUTH_WINDOW_S: more than 0, at most 3600")
        require(0 <= self.service_cache_s <= LONGEST_CACHE_S, "OWT_SERVICE_CACHE_S: between 0 and 60")
        require(bool(self.portal_host), "OWT_PORTAL_HOST: host:port")
        require(bool(self.recording_host), "OWT_RECORDING_HOST: not empty")
        require(self.recording_path.startswith("/"), "OWT_RECORDING_PATH: a path like /srv/recordings")

    @property
    def strict(self) -> bool:
        """Whether a request counts once, and only near its time."""
        return self.mauth == "strict"


@cache
def get() -> OwtSettings:
    """The process's settings of conference management.  Raises `BadSetting`."""
    return settings.load(OwtSettings, "OWT_", os.environ)


settings.also_reset(get.cache_clear)
