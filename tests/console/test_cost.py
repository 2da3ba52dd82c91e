"""What an open console costs in storage calls, on whichever page it stands."""

from typing import Final
from urllib.parse import quote

import pytest

import app
from chalicelib import clock
from chalicelib.realtime import fronts
from chalicelib.store import keys, writes
from chalicelib.store.noted import NotedRow
from tests.admin import api
from tests.admin.api import Session, done
from tests.support.storage import listening
from tests.wcs.server import Server

A_MINUTE: Final = 4
"""So often a page asks in a minute; test_pages.py holds it to that."""
SELDOM: Final = {"/wcs/streams": 3, "/wcs/streams?search=nobody": 3}
"""The list of streams takes a call more than others, and api.js has it asked for less often."""
MOST: Final = 20
NAME: Final = "townhall@conference.meet.local"
POLLS: Final = (
    "/overview?minutes=15",
    "/overview?minutes=1440",
    "/conferences",
    f"/conference/counts?name={quote(NAME)}&shards=0,1,2,3",
    "/owt/services",
    "/owt/services/5f2b1c0e9a7d4e30/rooms",
    "/loop/rooms",
    "/wcs/streams",
    "/sora/channels",
    "/sora/channel?id=lecture-7",
    "/owed",
    "/dead",
    "/events",
    "/events?errors=1",
    "/conferences?search=nobody",
    "/loop/rooms?search=nobody",
    "/wcs/streams?search=nobody",
    "/sora/channels?search=nobody",
    "/events?request_id=nothing",
)


@pytest.fixture
def session(table, monkeypatch) -> Session:
    """A console that has signed in, on a stage where something is noted."""
    api.given(monkeypatch, ops=api.TOKEN)
    app.warm()
    now = clock.now()
    for which, name in ((keys.CONFERENCES, "r{}@conference.meet.local"), (keys.CHANNELS, "lecture-{}")):
        places = [keys.noted(which, name.format(number)) for number in range(60)]
        writes.batch([NotedRow(*place, seen=now, expires_at=int(now) + 3600) for place in places])
    for number in range(4):
        Server().tell(mediaSessionId=f"m{number}", name=f"camera-{number}")
    return Session()


@pytest.mark.parametrize("path", POLLS)
def test_a_page_that_stays_open_costs_twenty_calls_a_minute_at_most(session, path):
    done(session.call("GET", path))
    fronts.alive()
    with listening() as storage:
        spent = storage.spent(lambda: session.call("GET", path))
    assert 1 <= len(spent) * SELDOM.get(path, A_MINUTE) <= MOST, spent
    assert "Scan" not in spent
