"""Random doings in a room against a model of it: seats, ends, credentials, states; the clock is moved.

The model keeps a list of people and the words of the contract, and knows nothing of rows.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from chalicelib import clock, settings
from infra.credentials import Credentials
from tests.conftest import on_moto
from tests.loop.api import Caller, GuestCaller, HawkCaller, ok, refusal, register
from tests.support.counts import full

LIFE_S = 300
KEPT_S = 1620
EIGHT_WEEKS_S = 1344 * 3600
GRAPH = {
    # From, event: a guard on (connections, sendStreams, recvStreams), to.
    ("init", "Session.connectionCreated"): (lambda c, s, r: c == 1, "waiting"),
    ("waiting", "Session.connectionCreated"): (lambda c, s, r: c != 1, "starting"),
    ("starting", "Session.streamCreated"): (lambda c, s, r: True, "receiving"),
    ("starting", "Publisher.streamCreated"): (lambda c, s, r: True, "sending"),
    ("receiving", "Publisher.streamCreated"): (lambda c, s, r: True, "sendrecv"),
    ("sending", "Session.streamCreated"): (lambda c, s, r: True, "sendrecv"),
    ("sendrecv", "Publisher.streamDestroyed"): (lambda c, s, r: s == 0, "receiving"),
    ("sendrecv", "Session.streamDestroyed"): (lambda c, s, r: r == 0, "sending"),
    ("sending", "Publisher.streamDestroyed"): (lambda c, s, r: s == 0, "cleanup"),
    ("receiving", "Session.streamDestroyed"): (lambda c, s, r: r == 0, "cleanup"),
    ("cleanup", "Session.connectionDestroyed"): (lambda c, s, r: c == 1, "waiting"),
    ("waiting", "Session.connectionDestroyed"): (lambda c, s, r: c == 0, "init"),
    **{
        (state, "Session.connectionDestroyed"): (lambda c, s, r: True, "waiting")
        for state in ("starting", "sending", "receiving", "sendrecv")
    },
}
SIX = sorted({event for _, event in GRAPH})
SPELLINGS = {
    "Session.av.streamCreated": "Session.streamCreated",
    "Session.screen.streamCreated": "Session.streamCreated",
    "Session.StreamDestroyed": "Session.streamDestroyed",
    "Publisher.StreamDestroyed": "Publisher.streamDestroyed",
}
OTHERS = ["sdk.exception.1500", "Session.networkDisconnected"]
STATES = ["init", "waiting", "starting", "sending", "receiving", "sendrecv", "cleanup"]


def as_clients_report(event: str, connections: int, sends: int, receives: int) -> str:
    """The state of a shipped client."""
    if event == "Session.connectionCreated" and connections == 1:
        return "waiting"
    if event == "Session.connectionDestroyed" and connections == 0:
        return "waiting"
    return {(0, 0): "starting", (1, 0): "sending", (0, 1): "receiving", (1, 1): "sendrecv"}[
        min(sends, 1), min(receives, 1)
    ]


def conforms(before: str, event: str, state: str, connections: int, sends: int, receives: int) -> bool:
    """Whether a report fits (contract 7.5.3)."""
    event = SPELLINGS.get(event, event)
    if state == as_clients_report(event, connections, sends, receives):
        return True
    if event not in SIX:
        return False
    guard, target = GRAPH.get((before, event), (lambda c, s, r: False, before))
    return state == (target if guard(connections, sends, receives) else before)


@dataclass
class Person:
    """One participation, as the contract has it."""

    who: str
    """`owner`, `other`, or a guest's number."""
    name: str
    most: int
    until: float
    token: str
    state: str = "init"
    reports: int = 0
    wrong: int = 0
    left: float | None = None

    def lives(self, now: float) -> bool:
        """Whether it takes a seat."""
        return self.left is None and now < self.until

    def ended(self, now: float) -> float | None:
        """When it ended."""
        return self.left if self.left is not None else (None if now < self.until else self.until)


SIZE = st.sampled_from([5, 4, 3, 2, 1])
MOST = st.sampled_from([5, 5, 5, 6, 4, 3, 2, 1, 0])
COUNTERS = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1))


class Timed(HawkCaller):
    """A caller whose clock is the one that is moved."""

    def time(self) -> float:
        """That clock's time."""
        return clock.now()


class Room(RuleBasedStateMachine):
    """A room with its owner, another one who is signed in, and guests who come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000.25
        self.people: list[Person] = []
        self.names = 0
        self.size = 0
        self.ctime = self.ends_at = 0
        self.dead: list[str] = []
        """Session tokens that are worth nothing any more."""

    @initialize(size=SIZE)
    def furnish(self, size: int) -> None:
        """A room."""
        CLOCK.machine = self
        self.callers = {name: Timed(register().credentials) for name in ("owner", "other")}
        self.size = size
        self.room = ok(
            self.callers["owner"].post("/rooms", {"roomOwner": "Ada", "maxSize": size, "roomName": "r"}), 201
        )["roomToken"]
        self.changed()
        self.ends_at = int(self.now) + EIGHT_WEEKS_S

    def changed(self) -> None:
        """Something happened of which `ctime` tells."""
        self.ctime = int(self.now)

    def living(self) -> list[Person]:
        """Those who are in."""
        return [each for each in self.people if each.lives(self.now)]

    def find(self, who: str) -> Person | None:
        """The live participation of somebody."""
        return next((each for each in self.living() if each.who == who), None)

    def caller(self, who: str, token: str = "") -> Caller:
        """Somebody's way to call."""
        return self.callers[who] if who in self.callers else GuestCaller(token)

    # Joining

    def join(self, data: st.DataObject) -> None:
        """Somebody comes; the owner or another one who is signed in perhaps comes again."""
        who = data.draw(st.sampled_from(["guest", "guest", "owner", "other"]))
        most = data.draw(MOST)
        if who == "guest":
            self.enter(Caller(), None, most, f"guest {self.names}")
        else:
            self.enter(self.callers[who], self.find(who), most, who)

    def join_again(self, data: st.DataObject) -> None:
        """A guest takes its own place."""
        guests = [each for each in self.living() if each.who not in self.callers]
        if guests:
            one = data.draw(st.sampled_from(guests))
            self.enter(GuestCaller(one.token), one, data.draw(MOST), one.who)

    def enter(self, caller: Caller, earlier: Person | None, most: int, who: str) -> None:
        """Compare what comes of a join."""
        others = [each for each in self.living() if each is not earlier]
        free = min([self.size, *(each.most for each in others)]) - len(others)
        if who != "owner" and all(each.who != "owner" for each in others):
            free -= 1
        name = f"name {self.names}"
        self.names += 1
        answer = caller.join(self.room, name, most)
        if free <= 0:
            assert refusal(answer) == (400, 202)
        elif most <= len(others):
            assert refusal(answer) == (400, 121)
        else:
            token = ok(answer)["sessionToken"]
            if earlier is not None:
                earlier.left = self.now
                self.dead.append(earlier.token)
            self.people.append(Person(who, name, most, self.now + LIFE_S, token))
            self.changed()
            self.ends_at = int(self.now) + EIGHT_WEEKS_S

    # Being there

    def refresh(self, data: st.DataObject) -> None:
        """Somebody, in the room or not, prolongs its participation."""
        who, token, one = self.somebody(data)
        answer = self.caller(who, token).act(self.room, "refresh")
        if one is None:
            assert refusal(answer) == ((410, 111) if who in self.callers else (401, 110))
        else:
            assert ok(answer) == {"expires": LIFE_S}
            one.until = self.now + LIFE_S

    def leave(self, data: st.DataObject) -> None:
        """Somebody, in the room or not, leaves."""
        who, token, one = self.somebody(data)
        answer = self.caller(who, token).act(self.room, "leave")
        if one is None:
            assert refusal(answer) == ((400, 203) if who in self.callers else (401, 110))
        else:
            ok(answer, 204)
            self.end(one)

    def leave_by_token(self, data: st.DataObject) -> None:
        """Somebody shows a session token in the body."""
        tokens = [each.token for each in self.people] + ["T1==never"]
        token = data.draw(st.sampled_from(tokens))
        one = next((each for each in self.living() if each.token == token), None)
        answer = Caller().act(self.room, "leave", sessionToken=token)
        if one is None:
            assert refusal(answer) == (401, 110)
        else:
            ok(answer, 204)
            self.end(one)

    def end(self, one: Person) -> None:
        """Somebody left."""
        one.left = self.now
        self.dead.append(one.token)
        self.changed()

    def report(self, data: st.DataObject) -> None:
        """Somebody, in the room or not, says what its media do: as clients do, or at random."""
        event = data.draw(st.sampled_from([*SIX, *SIX, *SPELLINGS, *OTHERS]))
        counters = data.draw(COUNTERS)
        who, token, one = self.somebody(data)
        before = one.state if one is not None else "init"
        usual = as_clients_report(event, *counters)
        state = data.draw(st.sampled_from([usual, before, *STATES]))
        self.say(who, token, one, event, state, *counters)

    def report_by_the_graph(self, data: st.DataObject) -> None:
        """Somebody reports some steps in turn, each as the graph leads on, or does not for its guard."""
        who, token, one = self.somebody(data)
        for _ in range(data.draw(st.integers(1, 4))):
            before = one.state if one is not None else "init"
            event = data.draw(st.sampled_from([event for state, event in GRAPH if state == before]))
            guard, led = GRAPH[before, event]
            counters = data.draw(COUNTERS)
            self.say(who, token, one, event, led if guard(*counters) else before, *counters)

    def say(
        self,
        who: str,
        token: str,
        one: Person | None,
        event: str,
        state: str,
        connections: int,
        sends: int,
        receives: int,
    ) -> None:
        """Compare what comes of a report."""
        answer = self.caller(who, token).act(
            self.room,
            "status",
            event=event,
            state=state,
            connections=connections,
            sendStreams=sends,
            recvStreams=receives,
        )
        if one is None:
            assert refusal(answer) == ((400, 203) if who in self.callers else (401, 110))
            return
        ok(answer, 204)
        one.reports += 1
        one.wrong += not conforms(one.state, event, state, connections, sends, receives)
        one.state = state

    def somebody(self, data: st.DataObject) -> tuple[str, str, Person | None]:
        """Who asks, a guest's token, and its live participation if there is one."""
        known = [(each.who, each.token) for each in self.living() * 3 + self.people]
        who, token = data.draw(st.sampled_from([*known, ("owner", ""), ("other", "")]))
        token = "" if who in self.callers else token
        one = self.find(who)
        if one is not None and who not in self.callers and one.token != token:
            one = None  # a token from before
        return who, token, one

    # What else happens

    def wait(self, data: st.DataObject) -> None:
        """Time passes: to the very moment at which somebody runs out, or to just before it."""
        ends = [each.until for each in self.living()]
        match data.draw(st.sampled_from(["moment", "minute", "minute", "before", "end", "end", "long"])):
            case "end" if ends:
                self.now = min(ends)
            case "before" if ends:
                self.now = max(self.now, min(ends) - 0.25)
            case "long":
                self.now += KEPT_S
            case "minute":
                self.now += 60
            case _:
                self.now += 0.25

    def resize(self, data: st.DataObject) -> None:
        """The owner changes how many fit in."""
        size = data.draw(SIZE)
        ok(self.callers["owner"].patch(f"/rooms/{self.room}", {"maxSize": size}))
        self.size = size
        self.changed()
        self.ends_at = int(self.now) + EIGHT_WEEKS_S

    @rule(data=st.data())
    def some_deeds(self, data: st.DataObject) -> None:
        """Some of all that, and then a look at the room."""
        for deed in data.draw(st.lists(st.sampled_from(DEEDS), min_size=3, max_size=9)):
            deed(self, data)

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        """The room as the owner sees it, and what was reported in it."""
        if not self.size:
            return
        owner = self.callers["owner"]
        found = ok(owner.get(f"/rooms/{self.room}"))
        living = self.living()
        shown = [(each["displayName"], each["owner"]) for each in found["participants"]]
        assert sorted(shown) == sorted((each.name, each.who == "owner") for each in living)
        assert found["clientMaxSize"] == min([self.size, *(each.most for each in living)])
        assert (found["ctime"], found["expiresAt"]) == (self.ctime, self.ends_at)
        self.reports_are_as_they_should_be(ok(owner.get(f"/rooms/{self.room}/sessions"))["sessions"])

    def reports_are_as_they_should_be(self, found: list[dict[str, Any]]) -> None:
        """Whoever is in is there with all it reported; who ended not long ago too, and nobody else."""
        known = {each.name: each for each in self.people}
        assert len({each["displayName"] for each in found}) == len(found)
        for each in found:
            one, ended = known[each["displayName"]], known[each["displayName"]].ended(self.now)
            assert each.get("ended") == (None if ended is None else int(ended))
            assert (each["state"], each["reports"], each["nonConforming"]) == (
                one.state,
                one.reports,
                one.wrong,
            )
        ends = [(each.name, at) for each in self.people if (at := each.ended(self.now)) is not None]
        last = {name for name, at in ends if sum(other >= at for _, other in ends) <= 20}
        recent = {name for name, at in ends if at > self.now - KEPT_S}
        wanted = last & recent | {each.name for each in self.living()}
        assert wanted <= {each["displayName"] for each in found}


DEEDS = [
    *[Room.join] * 4,
    *[Room.report_by_the_graph] * 2,
    *[Room.wait] * 2,
    *(Room.join_again, Room.refresh, Room.leave, Room.leave_by_token, Room.report, Room.resize),
]


class Clock:
    """The time of the machine that runs."""

    machine: Room | None = None

    def now(self) -> float:
        """Its time."""
        return self.machine.now if self.machine is not None else 1_700_000_000.25


CLOCK = Clock()


@contextmanager
def fresh_table(credentials: Credentials) -> Iterator[None]:
    """A table of its own for the machine, and the machine's clock."""
    with pytest.MonkeyPatch.context() as patch, on_moto(patch, credentials), ExitStack() as until_the_end:
        patch.setattr(clock, "now", CLOCK.now)
        patch.setenv("LOOP_HAWK_NONCE_CHECK", "off")  # a write less for each look at the room
        settings.reset()
        until_the_end.callback(settings.reset)
        yield


def test_a_room_does_as_its_model(credentials):
    with fresh_table(credentials):
        run_state_machine_as_test(
            Room,
            settings=hypothesis_settings(
                max_examples=full(6, 100), stateful_step_count=full(12, 20), deadline=None
            ),
        )
