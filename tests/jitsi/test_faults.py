"""Storage that throttles, fails, is silent or loses its answer, at every single call of everything we do."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.jitsi import store
from chalicelib.realtime import fronts
from chalicelib.store import keys
from tests.support.clients import STATE, VISITOR
from tests.support.counts import FULL
from tests.support.faults import ALL, Fault, Injector, places
from tests.support.world import MODES, Line, Mode, Socket, World

UNAVAILABLE = 503
IN_A_SHORT_RUN = 3


@dataclass
class Case:
    """What a scenario works with, and what has to hold in the end."""

    world: World
    conference: str
    waiting: list[Socket] = field(default_factory=list)
    """Visitors who want to be released, whatever happens."""
    left: list[Socket] = field(default_factory=list)
    """Those who want to go."""
    earlier: list[tuple[Socket, Line]] = field(default_factory=list)
    """The sockets that they had before, and what each was sent."""
    moderator: Socket | None = None
    told: list[bool] = field(default_factory=list)
    """Whether each thing that was asked was done, or refused in so many words."""

    def visitor(self) -> Socket:
        """Somebody who waits."""
        found = self.world.visitor().wait(self.conference)
        self.waiting.append(found)
        return found

    def golive(self) -> None:
        """Have the conference live; it has to work."""
        assert self.world.golive(self.conference).status == 200


Step = Callable[[Case], None]


@dataclass(frozen=True)
class Scenario:
    """What is there before, what is done while storage fails, and what has to come of it besides."""

    before: Step
    act: Step
    after: Step | None = None
    modes: tuple[Mode, ...] = MODES


def nothing(case: Case) -> None:
    """Nothing is there before."""


def connecting(case: Case) -> None:
    """A visitor comes."""
    visitor = case.world.visitor()
    case.waiting.append(visitor)
    visitor.connect()
    case.told.append(visitor.connected or visitor.refused)


def connected(case: Case) -> None:
    """A visitor has come."""
    case.waiting.append(case.world.visitor().connect())


def subscribing(case: Case) -> None:
    """Whoever has come subscribes."""
    (visitor,) = case.waiting
    visitor.subscribe(VISITOR + case.conference)
    case.told.append(visitor.receipt("r") or visitor.refused)


def subscribed(case: Case) -> None:
    """A visitor waits."""
    case.visitor()


def subscribing_once_more(case: Case) -> None:
    """The visitor subscribes by another id on the same socket."""
    (visitor,) = case.waiting
    visitor.subscribe(VISITOR + case.conference, "sub-1")
    case.told.append(visitor.receipt("r") or visitor.refused)


def two_subscriptions(case: Case) -> None:
    """A visitor waits twice on one socket."""
    case.visitor().wait(case.conference, "sub-1")


def unsubscribing_one(case: Case) -> None:
    """It gives one of them up."""
    (visitor,) = case.waiting
    visitor.unsubscribe("sub-1")
    case.told.append(visitor.receipt("usub-1") or visitor.refused)


def only_the_other_was_released(case: Case) -> None:
    """What was given up gets nothing."""
    (visitor,) = case.waiting
    assert visitor.line.live("sub-1") == 0


def live(case: Case) -> None:
    """A visitor comes to a conference that is live."""
    case.golive()
    case.world.drain()
    connected(case)


def live_and_restless(case: Case) -> None:
    """A visitor was released twice already in the last minutes."""
    case.golive()
    case.world.drain()
    visitor = case.world.visitor()
    for _ in range(2):
        visitor.wait(case.conference)
        assert visitor.line.live() == 1
        visitor.gone()
        visitor.open()
    visitor.connect()
    case.waiting.append(visitor)


def held_back(case: Case) -> None:
    """A visitor's third release is held back, and its time has come."""
    live_and_restless(case)
    subscribing(case)
    assert case.waiting[0].line.live() == 0
    case.world.advance(16)


def live_again(case: Case) -> None:
    """A conference is in its second epoch, which the process that serves the visitor has not heard of."""
    case.golive()
    case.world.drain()
    assert case.world.golive(case.conference, "DELETE").status == 200
    store._known.clear()
    connected(case)


def one_leaves(case: Case) -> Socket:
    """Somebody who wants to go."""
    (visitor,) = case.waiting
    case.waiting.clear()
    case.left.append(visitor)
    return visitor


def unsubscribing(case: Case) -> None:
    """The visitor gives up waiting."""
    visitor = one_leaves(case)
    visitor.unsubscribe()
    case.told.append(visitor.receipt("usub-0") or visitor.refused)


def disconnecting(case: Case) -> None:
    """The visitor says goodbye; it waits for its RECEIPT and goes, whatever else happens."""
    visitor = one_leaves(case)
    visitor.disconnect()
    assert visitor.receipt("close-1")


def going(case: Case) -> None:
    """The visitor's socket is gone."""
    assert one_leaves(case).gone() in (200, UNAVAILABLE)


def three_wait(case: Case) -> None:
    """Visitors wait, one of them twice."""
    for _ in range(3):
        case.visitor()
    case.waiting[0].wait(case.conference, "sub-1")


def going_live(case: Case) -> None:
    """Prosody calls; it never calls twice."""
    case.told.append(case.world.golive(case.conference).status in (200, UNAVAILABLE))


def it_was_live_and_time_went_by(case: Case) -> None:
    """The record of an earlier meeting has run out."""
    case.golive()
    case.world.drain()
    case.world.advance(13 * 3600)
    three_wait(case)


def clearing(case: Case) -> None:
    """The room was destroyed."""
    case.told.append(case.world.golive(case.conference, "DELETE").status in (200, UNAVAILABLE))


def was_live(case: Case) -> None:
    """A conference is live, and its visitors have left."""
    case.visitor()
    case.golive()
    case.world.drain()


def is_being_released(case: Case) -> None:
    """A conference is live, and nobody has released its visitors yet."""
    three_wait(case)
    case.golive()


def a_newcomer_waits(case: Case) -> None:
    """Once the end of the conference is recorded, whoever comes has to wait."""
    assert case.world.golive(case.conference, "DELETE").status == 200
    case.world.settle()
    newcomer = case.world.visitor().wait(case.conference)
    assert newcomer.line.live() == 0
    assert case.world.waiting(case.conference) == 1
    newcomer.gone()


def serving(kind: str) -> Step:
    """The kicks of one kind are served."""

    def serve(case: Case) -> None:
        bodies = case.world.due(kind)
        assert bodies
        case.world.kicked += [(clock.now() + 180, body) for body in case.world.work(*dict.fromkeys(bodies))]

    return serve


def pages_wait(case: Case) -> None:
    """What is owed is known shard by shard."""
    is_being_released(case)
    case.world.work(*case.world.due(store.RELEASE))


def all_were_sent(case: Case) -> None:
    """All have the message, one has not left, and it is time to close."""
    pages_wait(case)
    case.world.drain()
    case.world.advance(11)


def sweeping(case: Case) -> None:
    """The schedule's call; what it raises is for the next one."""
    try:
        case.world.tick()
    except Unavailable:
        return


def kicks_were_lost(case: Case) -> None:
    """A conference is live, and the queue has lost that."""
    is_being_released(case)
    case.world.kicked.clear()


def watching(case: Case) -> None:
    """A moderator subscribes."""
    case.moderator = case.world.moderator().connect()
    case.moderator.subscribe(STATE + case.conference)
    case.told.append(case.moderator.receipt("r") or case.moderator.refused)


def watched(case: Case) -> None:
    """A moderator watches, and a visitor has come since."""
    watching(case)
    case.visitor()
    case.world.advance(15)


def nobody_watches(case: Case) -> None:
    """The moderator has gone, and the count does not know it yet."""
    watching(case)
    assert case.moderator is not None
    case.moderator.gone()
    case.moderator = None
    case.world.advance(15)


def the_moderator_leaves(case: Case) -> None:
    """The moderator's socket is gone."""
    assert case.moderator is not None
    case.moderator.gone()
    case.moderator = None


def denied(case: Case) -> None:
    """A visitor asks for what only moderators may have."""
    (visitor,) = case.waiting
    visitor.subscribe(STATE + case.conference)
    assert not visitor.line.counts()
    case.told.append(not visitor.line.open and len(visitor.line.frames("ERROR")) == 1)
    case.world.advance(601)


def late(case: Case) -> None:
    """A visitor waited in its token's time, which is over now, and comes again."""
    visitor = case.world.visitor()
    visitor.token = case.world.credentials.visitor_token(lives_s=60 + case.world.ahead, id="late")
    visitor.wait(case.conference)
    case.world.advance(300)
    visitor.disconnect()
    visitor.gone()
    visitor.open()
    visitor.connect()
    case.waiting.append(visitor)


SCENARIOS: dict[str, Scenario] = {
    "connect": Scenario(nothing, connecting),
    "subscribe": Scenario(connected, subscribing),
    "subscribe once more": Scenario(subscribed, subscribing_once_more),
    "subscribe late": Scenario(live, subscribing),
    "subscribe and be held back": Scenario(live_and_restless, subscribing),
    "subscribe in an unknown epoch": Scenario(live_again, subscribing),
    "subscribe in the grace": Scenario(late, subscribing),
    "subscribe without the right": Scenario(connected, denied),
    "unsubscribe": Scenario(subscribed, unsubscribing),
    "unsubscribe one of two": Scenario(two_subscriptions, unsubscribing_one, only_the_other_was_released),
    "disconnect": Scenario(subscribed, disconnecting),
    "gone": Scenario(subscribed, going),
    "golive": Scenario(three_wait, going_live),
    "golive after another": Scenario(it_was_live_and_time_went_by, going_live),
    "clear": Scenario(was_live, clearing, a_newcomer_waits),
    "clear while it is released": Scenario(is_being_released, clearing, a_newcomer_waits),
    "release": Scenario(is_being_released, serving(store.RELEASE)),
    "page": Scenario(pages_wait, serving(store.PAGE), modes=("rows",)),
    "close": Scenario(all_were_sent, serving(store.PAGE), modes=("rows",)),
    "damped": Scenario(held_back, serving(store.DAMPED)),
    "sweep": Scenario(kicks_were_lost, sweeping),
    "watch": Scenario(nothing, watching),
    "count": Scenario(watched, serving(store.COUNT)),
    "count for nobody": Scenario(nobody_watches, serving(store.COUNT)),
    "a moderator leaves": Scenario(watching, the_moderator_leaves),
}


def come_back(case: Case) -> None:
    """Sockets that the service closed end; who still waits comes again, as stompjs does."""
    for visitor in case.waiting:
        if any(line.live() for line in lines_of(case, visitor)):
            continue
        if not visitor.connected:
            visitor.gone()
            case.earlier.append((visitor, visitor.line))
            visitor.open()
            visitor.connect()
        visitor.subscribe(VISITOR + case.conference, receipt="again")
        assert visitor.receipt("again"), visitor.line.texts


def lines_of(case: Case, visitor: Socket) -> list[Line]:
    """All that somebody was sent, on this socket and those before."""
    return [*(line for who, line in case.earlier if who is visitor), visitor.line]


def holds(case: Case) -> None:
    """What has to hold after a fault has passed."""
    world, conference = case.world, case.conference
    assert all(case.told), [visitor.line.texts for visitor in case.waiting + case.left]
    come_back(case)
    for visitor in case.left:
        visitor.gone()
    world.settle()
    released = [visitor for visitor in case.waiting if any(line.live() for line in lines_of(case, visitor))]
    if not released and not store.read_live(conference).is_live:
        assert world.waiting(conference) == len(case.waiting)
        sockets = sorted(store.socket_of(row["sk"]["S"]) for row in world.queue(conference))
        assert sockets == sorted(visitor.id for visitor in case.waiting)
    # Whatever was done of it, the same call completes it.
    case.golive()
    world.settle()
    come_back(case)
    world.settle()
    for visitor in case.waiting:
        lines = lines_of(case, visitor)
        assert any(line.live() for line in lines), [line.texts for line in lines]
        for line in lines:
            assert max(line.live("sub-0"), line.live("sub-1")) <= 1, line.texts
    assert not any(visitor.line.live() for visitor in case.left)
    assert world.waiting(conference) == 0
    if case.moderator is not None:
        sees(case, case.moderator)


def sees(case: Case, moderator: Socket) -> None:
    """A moderator is told of what happens next, in spite of what failed before."""
    world = case.world
    if not moderator.line.open:
        moderator.gone()
        moderator.open()
        moderator.connect()
        moderator.subscribe(STATE + case.conference)
    assert world.golive(case.conference, "DELETE").status == 200
    world.settle()
    visitor = world.visitor().wait(case.conference)
    counted(world)
    assert moderator.line.counts()[-1] == 1
    visitor.gone()
    counted(world)
    counted(world)
    assert moderator.line.counts()[-1] == 0


def counted(world: World) -> None:
    """A minute goes by, with its counts and its sweep."""
    for _ in range(4):
        world.advance(15.1)
        world.drain()
    world.tick()
    world.drain()


@pytest.fixture
def world(request, stack, credentials, monkeypatch) -> Iterator[World]:
    """A deployment with few shards: each costs a storage call that fails in four ways."""
    monkeypatch.setenv("FOYER_SHARDS", "2")
    monkeypatch.setattr(keys, "DUE_BUCKETS", 1)
    monkeypatch.setattr(fronts, "CACHE_S", -1.0)  # each look at the registry is a call that can fail
    made = World(stack, credentials, monkeypatch, request.param)
    yield made
    made.leave()


@pytest.fixture
def injector(world, monkeypatch) -> Iterator[Injector]:
    """What spoils the calls of the world's clients."""
    made = Injector(monkeypatch)
    yield made
    made.stop()


def spoiled(name: str, calls: int) -> list[Fault]:
    """The faults of a scenario: each kind at each call, or in a short run one kind at some of them."""
    if FULL:
        return [Fault(at, kind, lasting) for at in range(calls) for kind, lasting in ALL]
    first = zlib.crc32(name.encode())
    chosen = enumerate(places(calls, IN_A_SHORT_RUN))
    return [Fault(at, *ALL[(first + 3 * number) % len(ALL)]) for number, at in chosen]


def tried(world: World, scenario: Scenario, injector: Injector, fault: Fault | None) -> bool:
    """A scenario from its beginning to its end, with a fault in its middle; whether that happened."""
    case = Case(world, world.conference())
    scenario.before(case)
    with injector.injecting(fault):
        scenario.act(case)
    met = injector.met
    holds(case)
    if scenario.after is not None:
        scenario.after(case)
    for visitor in case.waiting:
        visitor.gone()
    if case.moderator is not None:
        case.moderator.gone()
    world.golive(case.conference, "DELETE")  # or the next ones' sweeps go on looking for who is left behind
    world.settle()
    world.kicked.clear()
    return met


@pytest.mark.parametrize(
    ("name", "world"),
    [(name, mode) for name, scenario in SCENARIOS.items() for mode in scenario.modes],
    indirect=["world"],
)
def test_a_fault_of_storage_leaves_nothing_half_done(name, world, injector):
    scenario = SCENARIOS[name]
    tried(world, scenario, injector, None)
    operations = list(injector.operations)
    faults = spoiled(name, len(operations))
    met, wrong = 0, []
    for fault in faults:
        try:
            met += tried(world, scenario, injector, fault)
        except AssertionError as error:
            wrong.append(f"{fault} {operations[fault.at]}: {error}"[:1000])
            world.kicked.clear()
    assert wrong == []
    # How many calls there are depends on how the sockets fall into shards.
    assert met >= len(faults) * 0.6
