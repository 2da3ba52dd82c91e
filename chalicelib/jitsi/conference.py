"""The conference: its name, its tenant, whether it is live, how long its visitors spread out.  Pure."""

import math
from typing import Final

import msgspec

from chalicelib.jitsi.errors import NotAConference

LONGEST_BYTES: Final = 1023


class Rules(msgspec.Struct, frozen=True):
    """What a deployment demands of tokens and names."""

    prefix: str = "conference"
    base: str = ""
    verify_domain: bool = True
    require_room_claim: bool = True
    any_visitor: bool = False
    anonymous: bool = False


class Conference(msgspec.Struct, frozen=True):
    """A conference by its normalised public name `room@host`."""

    name: str
    room: str
    host: str

    def tenant(self, rules: Rules) -> str | None:
        """The tenant in the host, empty where there is none; `None` when the host is not ours.

        The base domain is compared at a label boundary: `evilmeet.local` is not below `meet.local`.
        """
        prefix, dot, rest = self.host.partition(".")
        if prefix != rules.prefix or not dot or not rest:
            return None
        if not rules.base or rest == rules.base:
            return ""
        if rest.endswith("." + rules.base):
            return rest[: -len(rules.base) - 1]
        return None

    def below(self, domain: str) -> bool:
        """Whether the host is `domain` or below it."""
        return self.host == domain or self.host.endswith("." + domain)


def parse(text: str) -> Conference:
    """The conference that `text` names, however it is spelled (contract 4).  Raises `NotAConference`."""
    name = text.strip().lower()
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_BYTES:
        raise NotAConference("the conference's name is too long")
    name = name.partition("/")[0]
    room, at, host = name.partition("@")
    if not at or not room or not host or "@" in host:
        raise NotAConference("the conference's name is not room@host")
    if any(char.isspace() or not char.isprintable() for char in name):
        raise NotAConference("the conference's name has characters that no name has")
    if room.startswith("["):
        tenant, bracket, room = room[1:].partition("]")
        prefix, dot, rest = host.partition(".")
        if not bracket or not tenant or not room or not dot:
            raise NotAConference("the conference's name is not room@host")
        host = f"{prefix}.{tenant}.{rest}"
    if any(not label for label in host.split(".")):
        raise NotAConference("the conference's name is not room@host")
    name = f"{room}@{host}"
    if len(name.encode()) > LONGEST_BYTES:
        raise NotAConference("the conference's name is too long")
    return Conference(name, room, host)


class Live(msgspec.Struct, frozen=True):
    """What the live record says: in which epoch a conference is, and whether that one is live."""

    epoch: int = 1
    live_until: float = 0.0
    golive_at: float = 0.0
    window_ms: int | None = None
    swept: bool = False
    """A look at all visitors is owed and has not begun: it will find whoever comes before it."""
    kept_until: float = 0.0
    """When the record goes by TTL; 0 where there is none."""

    def at(self, now: float) -> "Live":
        """The record as it counts at `now`: the end of its time begins the next epoch."""
        if self.live_until and self.live_until <= now:
            return Live(epoch=self.epoch + 1, kept_until=self.kept_until)
        return self

    @property
    def is_live(self) -> bool:
        """Whether visitors may go; only of a record that counts now."""
        return self.live_until > 0


class Spread(msgspec.Struct, frozen=True):
    """How a release is spread over time: `randomDelayMs` (contract 7.5)."""

    rate: float
    least_ms: int
    most_ms: int

    def window(self, waiting: int) -> int:
        """The upper bound in milliseconds for so many waiting."""
        return min(self.most_ms, max(self.least_ms, math.ceil(waiting / self.rate) * 1000))

    def left(self, live: Live, now: float) -> int:
        """What is left of a release's window for those who come after it, in milliseconds."""
        if live.window_ms is None:
            return self.least_ms
        left = live.window_ms - int((now - live.golive_at) * 1000)
        return min(self.most_ms, max(self.least_ms, left))


DAMPING_WINDOW_S: Final = 600.0
FREE_RELEASES: Final = 2


def damping(earlier: int, steps: tuple[float, ...]) -> float:
    """Seconds that a release waits after `earlier` ones to the same token in ten minutes (contract 7.4)."""
    if earlier < FREE_RELEASES:
        return 0.0
    return steps[min(earlier - FREE_RELEASES, len(steps) - 1)]


def shown(before: int | None, count: int) -> int:
    """The number that moderators see: a rise at once, a fall once two counts agree on it."""
    return count if before is None else max(before, count)
