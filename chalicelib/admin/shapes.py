"""What the answers of the overview and the events are made of."""

import msgspec


class AdminServed(msgspec.Struct, frozen=True):
    """What was served; null where nobody summed it up."""

    requests: int | None
    errors: int | None
    refused: int | None
    hooks: int | None


class AdminQueueServed(AdminServed, frozen=True, omit_defaults=True):
    """The waiting queue's; conferences are those of now."""

    releases: int | None
    waiting: int | None
    conferences: int | None = None


class AdminFacades(msgspec.Struct, frozen=True):
    """The last complete minute and the one that runs, together."""

    jitsi: AdminQueueServed
    owt: AdminServed
    loop: AdminServed
    wcs: AdminServed
    sora: AdminServed


class AdminStep(AdminFacades, frozen=True):
    """Some minutes, from `at` on."""

    at: int


class AdminOwed(msgspec.Struct, frozen=True):
    """What was overdue when it was looked for."""

    rows: int | None
    oldest_s: float | None


class AdminDead(msgspec.Struct, frozen=True):
    """Dead letters; there are `more` of them than were counted."""

    count: int
    more: bool


class AdminOverview(msgspec.Struct, frozen=True):
    """Counters of now, and the minutes before."""

    stage: str
    version: str
    now: int
    step_s: int
    measured_at: int | None
    facades: AdminFacades
    minutes: list[AdminStep]
    owed: AdminOwed
    dead: AdminDead


class AdminEvent(msgspec.Struct, frozen=True):
    """A request or a message of a socket."""

    at: int
    request_id: str
    method: str
    route: str
    facade: str
    status: int
    ms: float


class AdminEvents(msgspec.Struct, frozen=True):
    """Events, the newest first."""

    items: list[AdminEvent]
    next: str | None
