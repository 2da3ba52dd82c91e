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
    make_live(conference)


def clear(who: Principal, conference: Conference) -> None:
    """Record that a conference is not live any more.  Raises `NotAllowed`, `Unavailable`."""
    principal.covers(who, conference)
    make_wait(conference)


def make_live(conference: Conference) -> None:
    """The same for whoever may do so in any conference.  Raises `Unavailable`."""
    key = store.go_live(conference.name, settings.get().live_ttl_s)
    kicks.kick(store.RELEASE, key)
    store.note(conference.name)


def make_wait(conference: Conference) -> None:
    """The same for whoever may do so in any conference.  Raises `Unavailable`."""
    store.clear(conference.name)
