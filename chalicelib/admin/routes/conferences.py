"""Conferences of the waiting queue: which there are, who waits, and what an operator does about it."""

from collections.abc import Sequence
from typing import Any, Final

from chalicelib.admin import paging, spelling
from chalicelib.admin.paging import Place, Some
from chalicelib.admin.routes.common import Call, route
from chalicelib.errors import ValidationError
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import golive, store
from chalicelib.jitsi.conference import Conference, Live
from chalicelib.jitsi.errors import NotAConference
from chalicelib.jitsi.store import ConferenceRow, WatchRow
from chalicelib.realtime import fronts, subscriptions
from chalicelib.store.keys import Key
from chalicelib.wire.reply import Reply

LATELY_S: Final = 120.0
"""For so long the counts of a page that is looked at take the fronts for those that were there."""


@route("GET", "/conferences")
def listed(call: Call) -> Reply:
    """A page of all conferences that were heard of in the last day, by name."""
    asked = call.page(1)
    search = call.text("search", "").lower()
    found, following = paging.collect(asked, _read, (lambda row: search in row.name) if search else None)
    states = store.look_on([row.name for row in found])
    items = [_shown(row, *state) for row, state in zip(found, states, strict=True)]
    return spelling.document(paging.answer(items, following))


def _read(place: Place, limit: int) -> Some:
    rows, left = store.noted_after(place[0] if place else "", limit)
    return Some([(row, (row.name,)) for row in rows], (left,) if left is not None else None)


def _shown(row: ConferenceRow, live: Live, watch: WatchRow | None) -> dict[str, Any]:
    if live.is_live:
        waiting: int | None = 0
    elif watch is not None and watch.counted is not None:
        waiting = int(watch.counted)
    else:
        waiting = None if row.waiting is None else int(row.waiting)
    return {"name": row.name, "waiting": waiting, "watched": watch is not None, **_times(live)}


def _times(live: Live) -> dict[str, Any]:
    return {
        "live": live.is_live,
        "live_since": int(live.golive_at * 1000) if live.is_live else None,
        "live_until": int(live.live_until * 1000) if live.is_live else None,
    }


@route("GET", "/conference")
def one(call: Call) -> Reply:
    """A conference, with those who wait counted in every shard now."""
    conference = _named(call.text("name"))
    ((live, watch),) = store.look_on([conference.name], consistent=True)
    alive = fronts.alive()
    partitions = store.partitions(conference.name, live.epoch)
    counts = [0] * len(partitions) if live.is_live else subscriptions.counts(partitions, alive)
    return spelling.document(
        {
            "name": conference.name,
            "waiting": sum(counts),
            "watched": watch is not None,
            **_times(live),
            "epoch": live.epoch,
            "moderators": len(store.moderators(conference.name, list(alive))),
            "shards": len(partitions),
            "counts": counts,
        }
    )


def _live_key(call: Call) -> Key:
    return store.live_key(_named(call.text("name")).name)


@route("GET", "/conference/counts", beside=_live_key)
def counts_of_shards(call: Call) -> Reply:
    """How many wait in some shards: one call for each, and one for who asks and whether it is live."""
    conference = _named(call.text("name"))
    live = store.live_of(call.caller.beside)
    partitions = store.partitions(conference.name, live.epoch)
    shards = _shards(call.text("shards"), len(partitions))
    counts = [0] * len(shards)
    if not live.is_live:
        alive = fronts.lately_alive(LATELY_S)
        counts = subscriptions.counts([partitions[shard] for shard in shards], alive)
    found = {str(shard): count for shard, count in zip(shards, counts, strict=True)}
    times = _times(live)
    return spelling.document({"live": times["live"], "live_since": times["live_since"], "counts": found})


def _shards(text: str, count: int) -> Sequence[int]:
    """Raises `ValidationError`."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        raise ValidationError("shards: numbers with commas between")
    shards = sorted({int(part) for part in parts})
    if shards[-1] >= count:
        raise ValidationError(f"shards: from 0 to {count - 1}")
    return shards


@route("POST", "/conference/golive")
def go_live(call: Call) -> Reply:
    """Make a conference live and release its visitors, as Prosody's call does."""
    conference = _meant(call)
    golive.make_live(conference)
    return spelling.document({"name": conference.name, "live": True})


@route("POST", "/conference/clear")
def clear(call: Call) -> Reply:
    """Have a conference wait again."""
    conference = _meant(call)
    golive.make_wait(conference)
    return spelling.document({"name": conference.name, "live": False})


def _meant(call: Call) -> Conference:
    name = call.member("name")
    call.audited(name[:1024])
    return _named(name)


def _named(text: str) -> Conference:
    """Raises `ValidationError`."""
    try:
        return conferences.parse(text)
    except NotAConference as error:
        raise ValidationError(f"name: {error}") from None
