"""What `tick` measures: who waits, within bounds; and the way from a frame to the overview."""

from collections.abc import Iterator
from typing import Any

import pytest

import app
from chalicelib import clock, tally
from chalicelib.admin import measures
from chalicelib.admin.rollups import Measured
from chalicelib.errors import Unavailable
from chalicelib.jitsi import presence, store
from chalicelib.outbox.owed import Overdue
from chalicelib.realtime import fronts
from chalicelib.store import keys
from infra.credentials import Credentials
from infra.gateway import events
from tests.admin import api
from tests.admin.api import ask, done
from tests.conftest import Stack
from tests.support.clients import STATE
from tests.support.storage import listening
from tests.support.world import MODES, World

NOTHING = Overdue(0, 0.0)


@pytest.fixture(params=MODES)
def world(
    request: pytest.FixtureRequest, table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A deployment of each kind that has an operator; conferences stand in one shard."""
    yield from deployed(table, credentials, monkeypatch, request.param)


@pytest.fixture
def rows(table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One behind API Gateway."""
    yield from deployed(table, credentials, monkeypatch, "rows")


def deployed(
    table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> Iterator[World]:
    monkeypatch.setenv("FOYER_SHARDS", "1")
    api.given(monkeypatch, ops=api.TOKEN)
    made = World(table, credentials, monkeypatch, mode)
    yield made
    made.leave()


def noted(world: World, number: int) -> list[str]:
    """Conferences that were heard of, in the order of their names."""
    names = sorted(world.conference() for _ in range(number))
    for name in names:
        store.note(name)
    return names


def overview() -> dict[str, Any]:
    """What the overview says of the queue now, and of all that is owed."""
    answer = done(ask("GET", "/overview"))
    return {**answer["facades"]["jitsi"], "last": answer["minutes"][-1]["jitsi"], "owed": answer["owed"]}


def test_from_frames_to_the_overview_and_back_to_nobody(world: World):
    world.ahead = 20.0 - clock.now() % 60
    name = world.conference()
    visitors = [world.visitor().wait(name) for _ in range(5)]
    world.tick()
    tally.tell()

    now = overview()
    assert (now["waiting"], now["conferences"], now["releases"]) == (5, 1, 0)
    assert (now["requests"], now["errors"], now["refused"], now["hooks"]) == (10, 0, 0, 0)
    assert world.golive(name).status == 200
    world.drain()
    assert [visitor.line.live() for visitor in visitors] == [1] * 5
    world.advance(60)
    tally.tell()
    world.tick()

    now = overview()
    assert (now["waiting"], now["hooks"], now["releases"]) == (0, 1, 5)
    assert now["last"]["requests"] == 11
    assert (now["last"]["waiting"], now["last"]["releases"]) == (5, 5)
    # The closing of those who stay, and the look for those left behind.
    assert now["owed"]["rows"] == (2 if world.rows else 0)


def test_who_waits_at_a_gateway_is_known_without_storage(
    table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
):
    for world in deployed(table, credentials, monkeypatch, "memory"):
        name, other = world.conference(), world.conference()
        first, second = world.visitor().wait(name), world.visitor().wait(name)
        first.wait(name, "sub-1")
        world.visitor().wait(other)
        world.moderator().connect().subscribe(STATE + name)
        with listening() as storage, storage.counting() as spent:
            assert presence.waiting_here() == 3
            second.unsubscribe()
            spare = presence.waiting_here()
        assert (spare, "Query" in spent) == (2, False)
        world.golive(name)
        world.drain()
        assert presence.waiting_here() == 1
    assert presence.waiting_here() is None


def test_a_frame_that_is_refused_is_an_event_too(rows: World):
    stranger = rows.visitor()
    stranger.token = "not-a-token"
    stranger.connect()
    stranger.open()
    stranger.send("NONSENSE\n\n\0")
    tally.tell()

    found = done(ask("GET", "/events?facade=jitsi&refused=1"))["items"]
    assert [(each["method"], each["route"], each["status"]) for each in found] == [
        ("-", "stomp", 400),
        ("CONNECT", "stomp", 400),
    ]


def test_a_conference_that_is_watched_costs_no_count(rows: World):
    name = rows.conference()
    rows.visitor().wait(name)
    rows.moderator().connect().subscribe(STATE + name)
    rows.advance(16)
    rows.drain()
    with listening() as storage, storage.counting() as spent:
        assert measures.measure(NOTHING) == Measured(1, 1, 0, 0.0, fronts=1)
    assert not spent.keys() - {"Query"}
    assert spent["Query"] == len(keys.due_partitions(store.COUNT)) + 1


def test_one_that_is_live_has_nobody_waiting(rows: World):
    name = rows.conference()
    rows.visitor().wait(name)
    assert measures.measure(NOTHING).waiting == 1
    rows.golive(name)
    with listening() as storage, storage.counting() as spent:
        assert measures.measure(NOTHING) == Measured(0, 1, 0, 0.0, fronts=1)
    # Who watches, which there are, the fronts; whether it is live; and that nobody waits there.
    assert spent == {"Query": 4 + 1, "BatchGetItem": 1, "UpdateItem": 1}


def test_so_many_are_counted_in_a_tick_and_the_others_in_the_next_ones(rows: World, monkeypatch):
    monkeypatch.setattr(measures, "COUNTED", 3)
    for name in noted(rows, 8):
        rows.visitor().wait(name)
    fronts.alive()
    counted = []
    for _ in range(4):
        rows.advance(60)
        fronts.alive()
        with listening() as storage, storage.counting() as spent:
            counted.append(measures.measure(NOTHING).waiting)
        assert (
            spent == {"Query": 4 + 1 + 3, "BatchGetItem": 1, "UpdateItem": 3} or spent["Query"] == 4 + 1 + 2
        )
    assert counted == [3, 6, 8, 8]


def test_where_nobody_waits_it_is_looked_again_after_a_while(rows: World):
    (name,) = noted(rows, 1)
    assert measures.measure(NOTHING).waiting == 0
    rows.visitor().wait(name)
    rows.advance(measures.EMPTY_FOR_S - 1)
    assert measures.measure(NOTHING).waiting == 0
    rows.advance(2)
    assert measures.measure(NOTHING).waiting == 1
    rows.visitor().wait(name)
    assert measures.measure(NOTHING).waiting == 2


def test_counting_takes_no_longer_than_it_may(rows: World, monkeypatch):
    names = noted(rows, 5)
    for name in names:
        rows.visitor().wait(name)
    moments = iter(range(0, 1000, 4))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(moments)))
    monkeypatch.setattr(fronts, "alive", lambda: {fronts.API_GATEWAY: fronts.api_gateway()})
    assert measures._count(store.noted_after("", 10)[0]) == dict.fromkeys(names[:2], 1)


@pytest.mark.parametrize(
    ("failure", "logged"),
    [
        (Unavailable("storage does not answer"), "summed up later: storage does not answer"),
        (RuntimeError("a bug"), '"error":"RuntimeError"'),
    ],
)
def test_a_tick_does_what_is_owed_whatever_becomes_of_the_sums(
    rows: World, monkeypatch, capsys, failure, logged
):
    def fails(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(measures, "measure", fails)
    assert app.tick(events.scheduled(), None) == {"kicked": 0}
    assert logged in capsys.readouterr().err


def test_without_operators_a_tick_and_a_frame_write_nothing_of_it(
    table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
):
    made = World(table, credentials, monkeypatch, "rows")
    made.visitor().wait(made.conference())
    made.tick()
    made.leave()
    assert not tally.on()
    assert not [item for item in table.rows() if item["pk"]["S"][:1] == "a"]


@pytest.mark.parametrize("seconds", ["0", "0.0"])
def test_counting_can_be_off_where_operators_are(
    table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, seconds: str
):
    monkeypatch.setenv("ADMIN_ROLLUP_FLUSH_S", seconds)
    for made in deployed(table, credentials, monkeypatch, "rows"):
        made.visitor().wait(made.conference())
        made.tick()
    assert not [item for item in table.rows() if item["pk"]["S"] in ("ap", "ae", "ar")]
    assert done(ask("GET", "/overview"))["measured_at"] is None
