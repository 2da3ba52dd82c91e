"""A gateway beside a stack, on its table and queue: who waits at either front is counted and released."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import pytest

from chalicelib import settings
from chalicelib.jitsi import store
from chalicelib.outbox import kicks, owed
from chalicelib.realtime import fanout, fronts, ports
from chalicelib.realtime.ports import Outcome, Post
from infra.credentials import Credentials
from tests.conftest import Stack
from tests.support.clients import STATE
from tests.support.world import ENDPOINT, LOCAL_FRONT, LONGER_THAN_ANY_LEASE_S, Socket, World

Place = Literal["stack", "gateway"]
PLACES: tuple[Place, ...] = ("stack", "gateway")


class Both:
    """One world at two places: in the functions of a stack, or in the process of a gateway."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.told = False
        """Whether the gateway has the setting that functions have."""
        self._patch = patch
        self._stack_id = world.api_id
        with self._elsewhere():
            world.enter("memory")
            self._ports, self._local = replace(ports.current()), kicks._local[0]

    @contextmanager
    def _elsewhere(self) -> Iterator[None]:
        if not self.told:
            self._patch.delenv("FOYER_API_ENDPOINT")
        self.world.api_id = f"gateway-{LOCAL_FRONT}"
        settings.reset()
        try:
            yield
        finally:
            self.world.leave()
            self.world.api_id = self._stack_id
            self._patch.setenv("FOYER_API_ENDPOINT", ENDPOINT)
            settings.reset()

    @contextmanager
    def at(self, place: Place) -> Iterator[World]:
        """Be a process of that place for a while."""
        if place == "stack":
            yield self.world
            return
        with self._elsewhere():
            ports.install(**vars(self._ports))
            kicks.install(self._local)
            yield self.world

    def wait(self, conference: str) -> dict[Place, Socket]:
        """A visitor at each."""
        found = {}
        for place in PLACES:
            with self.at(place) as world:
                found[place] = world.visitor().wait(conference)
        return found

    def nobody_tells_the_gateway(self) -> None:
        """As in the first minute of a stack, or when its schedule has not run for hours."""
        fronts.withdraw(fronts.API_GATEWAY)
        self._patch.setattr(fronts, "announce", lambda: None)


@pytest.fixture
def both(stack: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    monkeypatch.setenv("FOYER_SHARDS", "2")
    world = World(stack, credentials, monkeypatch, "rows")
    yield Both(world, monkeypatch)
    world.leave()


@pytest.mark.parametrize("told", ["by its setting", "by the registry"])
@pytest.mark.parametrize("worker", PLACES)
@pytest.mark.parametrize("asked", PLACES)
def test_who_waits_at_either_front_is_counted_and_told_once_by_a_golive_at_either(
    both: Both, asked: Place, worker: Place, told: str
):
    both.told = told == "by its setting"
    conference = both.world.conference()
    visitors = both.wait(conference)
    for place in PLACES:
        with both.at(place) as world:
            moderator = world.moderator().connect()
            moderator.subscribe(STATE + conference)
            assert (moderator.line.counts(), world.waiting(conference)) == ([2], 2), place
    with both.at(asked) as world:
        assert world.golive(conference).status == 200
    with both.at(worker) as world:
        world.drain()

    assert {place: each.line.live() for place, each in visitors.items()} == {"stack": 1, "gateway": 1}
    with both.at("stack") as world:
        world.settle()
    assert {place: each.line.live() for place, each in visitors.items()} == {"stack": 1, "gateway": 1}


def test_a_release_at_api_gateway_is_left_for_who_knows_the_way_there(both: Both):
    both.nobody_tells_the_gateway()
    conference = both.world.conference()
    visitor = both.wait(conference)["stack"]
    both.world.golive(conference)
    both.world.work(*both.world.due(store.RELEASE))
    pages = both.world.due(store.PAGE)
    assert len(pages) == 2
    with both.at("gateway") as world:
        assert world.work(*pages) == []
    assert visitor.line.live() == 0
    with both.at("stack") as world:
        world.settle()

    assert visitor.line.live() == 1
    assert owed.dead_letters() == []


def test_rows_of_a_stack_that_was_taken_down_hold_up_no_release_once_they_expired(both: Both):
    both.nobody_tells_the_gateway()
    conference = both.world.conference()
    both.wait(conference)
    both.world.golive(conference)
    both.world.work(*both.world.due(store.RELEASE))
    pages = both.world.due(store.PAGE)
    both.world.advance(fronts.API_GATEWAY_LIFE_S + 1)
    with both.at("gateway") as world:
        assert world.work(*pages) == []
    both.world.advance(LONGER_THAN_ANY_LEASE_S)
    assert both.world.due(store.PAGE) == []


@pytest.mark.parametrize("verdict", [None, Outcome.FAILED])
def test_nobody_at_api_gateway_is_gone_because_this_process_may_not_send_there(
    both: Both, verdict: Outcome | None
):
    both.told = verdict is not None
    both.nobody_tells_the_gateway()
    both.world.lines.verdict = lambda post: verdict
    with both.at("gateway"):
        assert fanout.send(fronts.API_GATEWAY, [Post("a", "text")] * 2) == [Outcome.RETRY] * 2


def test_a_stack_tells_of_its_api_gateway_now_and_then_and_not_each_minute(both: Both):
    def until() -> float:
        (row,) = [each for each in both.world.stack.rows() if each["sk"]["S"] == fronts.API_GATEWAY]
        return float(row["alive_until"]["N"])

    both.world.tick()
    before = until()
    both.world.tick()
    assert until() == before
    both.world.advance(fronts.ANNOUNCED_ANEW_S + 60)
    both.world.tick()
    assert until() > before
    with both.at("gateway") as world:
        assert fronts.alive()[fronts.API_GATEWAY].endpoint == ENDPOINT
        world.advance(fronts.ANNOUNCED_S + 60)
        world.tick()
        assert fronts.API_GATEWAY not in fronts.alive()
