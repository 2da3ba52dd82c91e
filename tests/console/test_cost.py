"""What an open console costs in storage calls, on whichever page it stands, where there is much to show."""

import copy
import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final
from urllib.parse import quote

import pytest

import app
from chalicelib import clock
from chalicelib.loop.store import rooms as loop_rooms
from chalicelib.owt.store import rooms as owt_rooms
from chalicelib.owt.store.services import ListedServiceRow
from chalicelib.realtime import fronts
from chalicelib.store import keys, writes
from chalicelib.store.noted import NotedRow
from chalicelib.store.table import Item
from chalicelib.wcs.store import ListedRow, StreamRow
from tests.admin import api
from tests.admin.api import Session, done
from tests.loop.api import register
from tests.owt import documents
from tests.support.storage import listening
from tests.wcs.server import NODE, Server

A_MINUTE: Final = 4
"""So often a page asks in a minute; test_pages.py holds it to that."""
SELDOM: Final = {"/wcs/streams": 3}
"""The list of streams takes a call more than others, and api.js has it asked for less often."""
ONCE: Final = "search="
"""A list that is searched stands until somebody refreshes it; test_pages.py holds it to that."""
MOST: Final = 20
MANY: Final = 1_000
NAME: Final = "townhall@conference.meet.local"


def write(some: Iterable[Item]) -> None:
    """Have these rows stand."""
    left = list(some)
    for at in range(0, len(left), 25):
        writes.batch(left[at : at + 25])


def names() -> Iterator[Item]:
    """Conferences and channels."""
    now = clock.now()
    for which, name in ((keys.CONFERENCES, "r{}@conference.meet.local"), (keys.CHANNELS, "lecture-{}")):
        for number in range(MANY):
            yield NotedRow(*keys.noted(which, name.format(number)), seen=now, expires_at=int(now) + 3600)


def services() -> Iterator[Item]:
    """Services of conference management."""
    for number in range(MANY):
        where = keys.owt_service_listed(f"{number:024x}")
        yield ListedServiceRow(*where, name=f"service {number}", shown_key="k")


def rooms() -> Iterator[Item]:
    """Rooms of one service, as the first of them was made."""
    made = owt_rooms.create(SERVICE, documents.room(name="room").document, check_service=False)
    row = writes.get(owt_rooms.RoomRow, *keys.owt_room(made.id))
    assert row is not None
    for number in range(MANY):
        row.pk, row.sk = keys.owt_room(f"{number:024x}")
        yield copy.deepcopy(row)
        yield owt_rooms.ListedRoomRow(*keys.owt_room_listed(SERVICE, f"{number:024x}"))


def invitations() -> Iterator[Item]:
    """Rooms by invitation, as the first of them was made."""
    answer = register().post("/rooms", {"roomName": "room", "maxSize": 2, "roomOwner": "a"})
    row = writes.get(loop_rooms.RoomRow, *keys.loop_room(answer.json()["roomToken"]))
    assert row is not None
    for number in range(MANY):
        row.pk, row.sk = keys.loop_room(f"{number:011}")
        row.due = keys.due(loop_rooms.ROOM, row.pk)
        yield copy.deepcopy(row)


def streams() -> Iterator[Item]:
    """Streams of a media server, as it told of the first of them."""
    Server().tell(mediaSessionId="m", name="camera")
    row = writes.get(StreamRow, *keys.wcs_stream("m", NODE))
    assert row is not None
    for number in range(MANY):
        name, where = f"camera-{number}", keys.wcs_stream(f"m{number}", NODE)
        row.pk, row.sk = where
        row.fields = {**row.fields, "name": json.dumps(name)}
        yield copy.deepcopy(row)
        yield ListedRow(*keys.wcs_listed(name, where))


SERVICE: Final = "5f2b1c0e9a7d4e305f2b1c0e"
POLLS: Final = {
    names: (
        "/overview?minutes=15",
        "/overview?minutes=1440",
        "/conferences",
        f"/conference/counts?name={quote(NAME)}&shards=0,1,2,3",
        "/sora/channels",
        "/sora/channel?id=lecture-7",
        "/owed?limit=100",
        "/dead",
        "/events",
        "/events?errors=1",
        "/events?request_id=nothing",
        "/conferences?search=nobody",
        "/conferences?search=r",
        "/sora/channels?search=nobody",
    ),
    services: ("/owt/services", "/owt/services?search=nobody"),
    rooms: (f"/owt/services/{SERVICE}/rooms", f"/owt/services/{SERVICE}/rooms?search=nobody"),
    invitations: ("/loop/rooms", "/loop/rooms?search=nobody", "/loop/rooms?search=room"),
    streams: ("/wcs/streams", "/wcs/streams?search=nobody", "/wcs/streams?search=camera"),
}
"""What there is much of, and what pages ask where that is so."""


def _look(session: Session, path: str) -> None:
    done(session.call("GET", path))


@pytest.mark.parametrize("much", POLLS, ids=lambda much: much.__name__)
def test_a_page_that_stays_open_costs_twenty_calls_a_minute_at_most(table, monkeypatch, much):
    api.given(monkeypatch, ops=api.TOKEN)
    app.warm()
    write(much())
    session = Session()
    for path in POLLS[much]:
        fronts.alive()
        with listening() as storage:
            spent = storage.spent(partial(_look, session, path))
        often = 1 if ONCE in path else SELDOM.get(path, A_MINUTE)
        assert 1 <= len(spent) * often <= MOST, (path, spent)
        assert "Scan" not in spent, path
