"""Two things at once: one runs from its beginning to its end between any two storage calls of the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from chalicelib.jitsi import store
from chalicelib.store import keys
from tests.support.clients import STATE, VISITOR
from tests.support.counts import full
from tests.support.faults import Injector, Interlude, places
from tests.support.world import MODES, Mode, Socket, World

ROWS: tuple[Mode, ...] = ("rows",)


@dataclass
class Case:
    """Who is there, and which subscriptions wait in the end."""

    world: World
    conference: str
    visitors: list[Socket] = field(default_factory=list)
    wanted: dict[tuple[int, str], bool] = field(default_factory=dict)
    moderator: Socket | None = None

    @property
    def visitor(self) -> Socket:
        """The first of them."""
        return self.visitors[0]

    def wants(self, identity: str, yes: bool = True, visitor: int = 0) -> None:
        """Note what the client has asked for last."""
        self.wanted[visitor, identity] = yes


Step = Callable[[Case], None]


def nobody(case: Case) -> None:
    """Nobody is there."""


def here(case: Case) -> None:
    """A visitor has come."""
    case.visitors.append(case.world.visitor().connect())


def subscribe(identity: str, visitor: int = 0) -> Step:
    """A visitor sends SUBSCRIBE."""

    def step(case: Case) -> None:
        case.wants(identity, visitor=visitor)
        case.visitors[visitor].subscribe(VISITOR + case.conference, identity, f"s{identity}")

    return step


def unsubscribe(identity: str) -> Step:
    """The visitor sends UNSUBSCRIBE."""

    def step(case: Case) -> None:
        case.wants(identity, False)
        case.visitor.unsubscribe(identity)

    return step


def waits(*identities: str) -> Step:
    """A visitor waits, by these subscriptions."""

    def step(case: Case) -> None:
        here(case)
        for identity in identities:
            case.wants(identity, visitor=len(case.visitors) - 1)
            case.visitors[-1].wait(case.conference, identity)

    return step


def leaves(case: Case) -> None:
    """The visitor says DISCONNECT."""
    for number, identity in list(case.wanted):
        case.wanted[number, identity] = False
    case.visitor.disconnect()


def goes(case: Case) -> None:
    """The visitor's socket is gone, without a word."""
    for number, identity in list(case.wanted):
        case.wanted[number, identity] = False
    case.visitor.gone()


def comes(case: Case) -> None:
    """Another visitor comes and subscribes."""
    case.visitors.append(case.world.visitor().connect())
    number = len(case.visitors) - 1
    case.wants("sub-0", visitor=number)
    case.visitors[number].subscribe(VISITOR + case.conference, receipt="s")
    assert case.visitors[number].receipt("s")


def goes_live(case: Case) -> None:
    """Prosody calls."""
    assert case.world.golive(case.conference).status == 200


def is_released(case: Case) -> None:
    """The conference goes live and its visitors are told."""
    goes_live(case)
    case.world.drain()


def ends(case: Case) -> None:
    """The room was destroyed."""
    assert case.world.golive(case.conference, "DELETE").status == 200


def all_of_it(case: Case) -> None:
    """The conference goes live, its visitors are told, and it ends."""
    is_released(case)
    ends(case)


def serve(kind: str) -> Step:
    """A worker serves what is kicked, of one kind."""

    def step(case: Case) -> None:
        for again in case.world.work(*dict.fromkeys(case.world.due(kind))):
            case.world.kicked.append((0.0, again))

    return step


def first(*steps: Step) -> Step:
    """One after the other."""

    def step(case: Case) -> None:
        for each in steps:
            each(case)

    return step


def drained(case: Case) -> None:
    """Workers have served everything that was kicked."""
    case.world.drain()


def held_back(case: Case) -> None:
    """A third release is held back; its time has come."""
    is_released(case)
    visitor = case.world.visitor()
    for _ in range(2):
        visitor.wait(case.conference)
        assert visitor.line.live() == 1
        visitor.gone()
        visitor.open()
    case.visitors.append(visitor.wait(case.conference))
    case.wants("sub-0")
    assert visitor.line.live() == 0
    case.world.advance(16)


# What is there before, what is interrupted, and what comes between.
PAIRS: dict[str, tuple[Step, Step, Step, tuple[Mode, ...]]] = {
    # Frames of one socket: behind API Gateway each is an invocation of its own.
    "two subscriptions": (here, subscribe("sub-0"), subscribe("sub-1"), ROWS),
    "one given up while another begins": (waits("sub-0"), unsubscribe("sub-0"), subscribe("sub-1"), ROWS),
    "one begun while another ends": (waits("sub-0"), subscribe("sub-1"), unsubscribe("sub-0"), ROWS),
    "both given up": (waits("sub-0", "sub-1"), unsubscribe("sub-0"), unsubscribe("sub-1"), ROWS),
    "one of two given up while a third begins": (
        waits("sub-0", "sub-1"),
        unsubscribe("sub-1"),
        subscribe("sub-2"),
        ROWS,
    ),
    "a third begun while one of two ends": (
        waits("sub-0", "sub-1"),
        subscribe("sub-2"),
        unsubscribe("sub-1"),
        ROWS,
    ),
    "a leave overtakes the subscription": (here, subscribe("sub-0"), leaves, ROWS),
    "the end overtakes the subscription": (here, subscribe("sub-0"), goes, ROWS),
    "the end overtakes the leave": (waits("sub-0"), leaves, goes, ROWS),
    "the leave comes during the end": (waits("sub-0"), goes, leaves, ROWS),
    "a leave overtakes the giving up": (waits("sub-0"), unsubscribe("sub-0"), leaves, ROWS),
    # A subscription and what happens to the conference.
    "golive during a subscription": (here, subscribe("sub-0"), is_released, MODES),
    "golive without workers during a subscription": (here, subscribe("sub-0"), goes_live, MODES),
    "a subscription during golive": (here, goes_live, subscribe("sub-0"), MODES),
    "a subscription during the release": (
        first(waits("sub-0"), goes_live),
        serve(store.RELEASE),
        comes,
        MODES,
    ),
    "a subscription during a page": (
        first(waits("sub-0"), goes_live, serve(store.RELEASE)),
        serve(store.PAGE),
        comes,
        ROWS,
    ),
    "a second subscription during a page": (
        first(waits("sub-0"), goes_live, serve(store.RELEASE)),
        serve(store.PAGE),
        subscribe("sub-1"),
        ROWS,
    ),
    "a page during a second subscription": (
        first(waits("sub-0"), goes_live, serve(store.RELEASE)),
        subscribe("sub-1"),
        serve(store.PAGE),
        ROWS,
    ),
    "golive during a second subscription": (waits("sub-0"), subscribe("sub-1"), is_released, MODES),
    "the end of the conference during a subscription": (
        first(is_released, here),
        subscribe("sub-0"),
        ends,
        MODES,
    ),
    "a whole meeting during a subscription": (here, subscribe("sub-0"), all_of_it, MODES),
    "golive in a later epoch during a subscription": (
        first(all_of_it, here),
        subscribe("sub-0"),
        is_released,
        MODES,
    ),
    # What happens to the conference meanwhile.
    "golive twice at once": (waits("sub-0"), goes_live, goes_live, MODES),
    "golive and its release during golive": (waits("sub-0"), goes_live, is_released, MODES),
    "the end during golive": (waits("sub-0"), goes_live, ends, MODES),
    "golive during the end": (first(waits("sub-0"), goes_live), ends, goes_live, MODES),
    "golive during the release": (first(waits("sub-0"), goes_live), serve(store.RELEASE), goes_live, MODES),
    "another release during the release": (
        first(waits("sub-0"), goes_live),
        serve(store.RELEASE),
        is_released,
        MODES,
    ),
    "the end during the release": (first(waits("sub-0"), goes_live), serve(store.RELEASE), ends, MODES),
    "the end and the next one during the release": (
        first(waits("sub-0"), goes_live),
        serve(store.RELEASE),
        first(ends, comes, is_released),
        MODES,
    ),
    "another release during a page": (
        first(waits("sub-0"), waits("sub-0"), goes_live, serve(store.RELEASE)),
        serve(store.PAGE),
        is_released,
        ROWS,
    ),
    "the end during a page": (
        first(waits("sub-0"), goes_live, serve(store.RELEASE)),
        serve(store.PAGE),
        first(ends, comes),
        ROWS,
    ),
    "a leave during a page": (
        first(waits("sub-0"), waits("sub-0"), goes_live, serve(store.RELEASE)),
        serve(store.PAGE),
        leaves,
        ROWS,
    ),
    "a release during a leave": (first(waits("sub-0"), goes_live), leaves, drained, MODES),
    "golive during the held back release": (held_back, serve(store.DAMPED), is_released, MODES),
    "the held back release during golive": (held_back, goes_live, serve(store.DAMPED), MODES),
    "a second subscription while one is held back": (
        held_back,
        subscribe("sub-1"),
        serve(store.DAMPED),
        ROWS,
    ),
}


@pytest.fixture
def world(request, stack, credentials, monkeypatch) -> Iterator[World]:
    """A deployment with one shard, so that calls come in one order."""
    monkeypatch.setenv("FOYER_SHARDS", "1")
    monkeypatch.setattr(keys, "DUE_BUCKETS", 1)
    made = World(stack, credentials, monkeypatch, request.param)
    yield made
    made.leave()


@pytest.fixture
def injector(world, monkeypatch) -> Iterator[Injector]:
    """What interrupts the calls of the world's clients."""
    made = Injector(monkeypatch)
    yield made
    made.stop()


def tried(world: World, steps: tuple[Step, Step, Step], injector: Injector, at: int | None) -> Case:
    """Both things, the second one before the `at`-th storage call of the first, or after all of them."""
    before, outer, inner = steps
    case = Case(world, world.conference())
    before(case)
    played = []

    def play() -> None:
        played.append(True)
        inner(case)

    with injector.injecting(None, None if at is None else Interlude(at, play)):
        outer(case)
    if not played:
        inner(case)
    return case


def fair(case: Case) -> None:
    """Who waits is counted and released once; who does not is neither."""
    world, conference = case.world, case.conference
    world.settle()
    asked = {
        number: [identity for (who, identity), yes in case.wanted.items() if who == number and yes]
        for number in range(len(case.visitors))
    }
    still = [
        number
        for number, identities in asked.items()
        if any(not case.visitors[number].line.live(identity) for identity in identities)
    ]
    if not store.read_live(conference).is_live:
        assert world.waiting(conference) == len(still)
        sockets = sorted(store.socket_of(row["sk"]["S"]) for row in world.queue(conference))
        assert sockets == sorted(case.visitors[number].id for number in still)
    else:
        assert still == []
    assert world.golive(conference).status == 200
    world.settle()
    for (number, identity), yes in case.wanted.items():
        told = case.visitors[number].line.live(identity)
        assert told == 1 if yes else told <= 1, (number, identity, case.visitors[number].line.texts)
    assert world.waiting(conference) == 0


@pytest.mark.parametrize(
    ("name", "world"),
    [(name, mode) for name, (*_, modes) in PAIRS.items() for mode in modes],
    indirect=["world"],
)
def test_whatever_comes_between_everybody_who_waits_is_released_once(name, world, injector):
    before, outer, inner, _ = PAIRS[name]
    fair(tried(world, (before, outer, inner), injector, None))
    calls = injector.calls
    wrong = []
    for at in places(calls, full(3, 1000)):
        try:
            fair(tried(world, (before, outer, inner), injector, at))
        except AssertionError as error:
            wrong.append(f"before call {at}: {error}"[:1000])
            world.kicked.clear()
    assert wrong == []


def watches(case: Case) -> None:
    """A moderator subscribes."""
    case.moderator = case.world.moderator().connect()
    case.moderator.subscribe(STATE + case.conference)


def nobody_watches(case: Case) -> None:
    """A moderator has gone, which the next count will find."""
    watches(case)
    assert case.moderator is not None
    case.moderator.gone()
    case.world.advance(15)


COUNTS: dict[str, tuple[Step, Step, Step]] = {
    "a moderator comes during the last count": (nobody_watches, serve(store.COUNT), watches),
    "the last count while a moderator comes": (nobody_watches, watches, serve(store.COUNT)),
    "a visitor comes while a moderator does": (nobody, watches, comes),
    "a moderator comes while a visitor does": (here, subscribe("sub-0"), watches),
}


@pytest.mark.parametrize("world", MODES, indirect=True)
@pytest.mark.parametrize("name", COUNTS)
def test_whatever_comes_between_a_moderator_sees_the_number(name, world, injector):
    wrong = []
    tried(world, COUNTS[name], injector, None)
    world.kicked.clear()
    for at in [*places(injector.calls, full(3, 1000)), None]:
        case = tried(world, COUNTS[name], injector, at)
        assert case.moderator is not None
        waiting = len(case.visitors)
        for _ in range(3):
            a_count(world)
        if case.moderator.line.counts()[-1] != waiting:
            wrong.append((at, case.moderator.line.counts(), waiting))
        comes(case)
        for _ in range(2):
            a_count(world)
        if case.moderator.line.counts()[-1] != waiting + 1:
            wrong.append((at, case.moderator.line.counts(), waiting + 1))
        case.moderator.gone()
        world.kicked.clear()
    assert wrong == []


def a_count(world: World) -> None:
    """The time between two counts goes by."""
    world.advance(15.1)
    world.tick()
    world.drain()
