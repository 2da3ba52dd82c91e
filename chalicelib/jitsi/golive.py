"""What servers can do.  They speak HTTP, so nothing here knows sockets or what sends to them."""

from chalicelib.jitsi import principal, settings, store
from chalicelib.jitsi.conference import Conference
from chalicelib.jitsi.principal import Principal
from chalicelib.outbox import kicks


def go_live(who: Principal, conference: Conference) -> None:
    """Record that a conference is live; its visitors are released at once, or by whoever finds them owed.

    Raises `NotAllowed`, `Unavailable`.
    """
    principal.covers(who, conference)
    key = store.go_live(conference.name, settings.get().live_ttl_s)
    kicks.kick(store.RELEASE, key)


def clear(who: Principal, conference: Conference) -> None:
    """Record that a conference is not live any more.  Raises `NotAllowed`, `Unavailable`."""
    principal.covers(who, conference)
    store.clear(conference.name)
