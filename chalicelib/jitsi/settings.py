"""The settings of the waiting queue; the prefix of the names is `JITSI_`."""

import os
from functools import cache

from chalicelib import settings
from chalicelib.jitsi.conference import Rules
from chalicelib.settings import Given, require

POLICIES = ("role", "any")


class JitsiSettings(Given, frozen=True):
    """What an operator may set; docs/jitsi.md explains each."""

    queue_base_path: str = "/waiting-queue"
    heartbeat: str = ""
    """The pair of the sockets' front; empty: `0,480000` behind API Gateway, `15000,15000` on a gateway."""
    state_interval_s: float = 15.0
    live_ttl_s: int = 43200
    join_rate: float = 100.0
    min_delay_ms: int = 0
    max_delay_ms: int = 120000
    close_after_release_s: float = 10.0
    visitor_policy: str = "role"
    allow_empty_token: bool = False
    require_room_claim: bool = True
    verify_domain: bool = True
    muc_domain_base: str = ""
    muc_domain_prefix: str = "conference"
    user_keys: str = ""
    server_keys: str = ""
    user_issuers: tuple[str, ...] = ("chat",)
    user_audiences: tuple[str, ...] = ("jitsi",)
    server_issuers: tuple[str, ...] = ("jitsi",)
    server_audiences: tuple[str, ...] = ("jitsi",)
    moderator_claims: tuple[str, ...] = ()
    reconnect_grace_s: int = 43200
    denial_memory_s: int = 600
    connects_per_token: int = 0
    connects_per_source: int = 0
    damping_s: tuple[str, ...] = ("15", "30", "60", "120")

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        base = self.queue_base_path
        require(
            base == "" or (base.startswith("/") and not base.endswith("/") and "//" not in base),
            "JITSI_QUEUE_BASE_PATH: empty, or a path like /waiting-queue",
        )
        parts = self.heartbeat.split(",")
        require(
            not self.heartbeat
            or (len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts)),
            "JITSI_HEARTBEAT: two numbers of milliseconds like 0,480000",
        )
        require(self.state_interval_s > 0, "JITSI_STATE_INTERVAL_S: more than 0")
        require(self.live_ttl_s > 0, "JITSI_LIVE_TTL_S: more than 0")
        require(self.join_rate > 0, "JITSI_JOIN_RATE: more than 0")
        require(
            0 <= self.min_delay_ms <= self.max_delay_ms <= 600000,
            "JITSI_MIN_DELAY_MS, JITSI_MAX_DELAY_MS: 0 <= min <= max <= 600000",
        )
        require(self.visitor_policy in POLICIES, "JITSI_VISITOR_POLICY: role or any")
        require(bool(self.muc_domain_prefix), "JITSI_MUC_DOMAIN_PREFIX: not empty")
        # It is also how those are served again whose message was lost with a process (docs/architecture.md).
        require(self.close_after_release_s > 0, "JITSI_CLOSE_AFTER_RELEASE_S: more than 0")
        for name in ("reconnect_grace_s", "denial_memory_s"):
            require(getattr(self, name) >= 0, f"JITSI_{name.upper()}: 0 or more")
        for name in ("connects_per_token", "connects_per_source"):
            require(getattr(self, name) >= 0, f"JITSI_{name.upper()}: 0 (no limit) or more")
        require(
            all(claim.count("=") == 1 for claim in self.moderator_claims),
            "JITSI_MODERATOR_CLAIMS: items like context.user.affiliation=owner",
        )
        require(
            bool(self.damping_s) and all(_is_number(step) for step in self.damping_s),
            "JITSI_DAMPING_S: numbers of seconds like 15,30,60,120",
        )

    @property
    def rules(self) -> Rules:
        """What decides whether a token is valid for a conference."""
        return Rules(
            prefix=self.muc_domain_prefix.lower(),
            base=self.muc_domain_base.lower().strip("."),
            verify_domain=self.verify_domain,
            require_room_claim=self.require_room_claim,
            any_visitor=self.visitor_policy == "any",
            anonymous=self.allow_empty_token,
        )

    @property
    def damping_steps(self) -> tuple[float, ...]:
        """Seconds that the third and later releases wait."""
        return tuple(float(step) for step in self.damping_s)


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) < 86400
    except ValueError:
        return False


@cache
def get() -> JitsiSettings:
    """The process's settings of the queue.  Raises `BadSetting`."""
    return settings.load(JitsiSettings, "JITSI_", os.environ)


settings.also_reset(get.cache_clear)
