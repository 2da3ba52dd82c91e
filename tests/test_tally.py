"""What a process serves, until it is told: in absolute numbers, bounded, and never lost to an outage."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from chalicelib import clock, journal, tally
from chalicelib.errors import Unavailable
from chalicelib.tally import Part
from tests.support.counts import full

MINUTE = 29_000_000
"""A minute since the epoch."""


@dataclass
class Time:
    """The clock of a test."""

    now: float = MINUTE * 60.0

    def pass_by(self, seconds: float) -> None:
        """Let so much time go by."""
        self.now += seconds


@dataclass
class Keeper:
    """Takes what is told, as storage would: the last part of a minute stands."""

    told: list[list[Part]] = field(default_factory=list)
    fails: bool = False
    lost: bool = False

    def keep(self, parts: Sequence[Part]) -> None:
        """Take parts, or fail; with `lost` they are taken and the answer does not arrive."""
        if self.fails:
            raise Unavailable("storage does not answer")
        self.told.append(list(parts))
        if self.lost:
            raise Unavailable("storage does not answer")

    def stands(self) -> dict[int, Part]:
        """What storage has, by minute."""
        return {part.minute: part for parts in self.told for part in parts}

    def total(self, facade: str, name: str) -> int:
        """A number over all minutes."""
        return sum(part.counts.get(facade, {}).get(name, 0) for part in self.stands().values())


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    return made


@pytest.fixture
def keeper(time: Time) -> Iterator[Keeper]:
    made = Keeper()
    tally.begin(made.keep, 10.0)
    yield made
    tally.reset()


def served(
    status: int = 200, sort: str = tally.REQUESTS, request_id: str = "r", *, hook: bool = False
) -> None:
    tally.note("loop", "GET", "/rooms/{token}", status, request_id, 1.5, sort=sort, hook=hook)


def test_without_a_console_nothing_is_noted_and_nothing_is_told(time):
    served()
    tally.add("jitsi", tally.RELEASES, 3)
    tally.frame("jitsi", "SEND", "stomp", 200, "r", 0.1)
    tally.tell()
    tally.tell_if_due()

    assert not tally.on()
    assert tally._minutes == {}


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (tally.REQUESTS, {"requests": 1}),
        (tally.REFUSED, {"requests": 1, "refused": 1}),
        (tally.ERRORS, {"requests": 1, "errors": 1}),
    ],
)
def test_a_request_counts_once_and_by_what_became_of_it(keeper, sort, expected):
    served(sort=sort)
    tally.tell()

    (part,) = keeper.told[-1]
    assert (part.minute, part.counts) == (MINUTE, {"loop": expected})


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, {"requests": 1}), (400, {"requests": 1, "refused": 1}), (503, {"requests": 1, "errors": 1})],
)
def test_a_message_of_a_socket_counts_as_a_request(keeper, status, expected):
    tally.frame("sora", "connect", "sora", status, "r-1", 0.0021)
    tally.tell()

    (part,) = keeper.told[-1]
    assert part.counts == {"sora": expected}
    (event,) = part.events
    assert event[1:8] == (MINUTE * 60_000, "sora", "connect", "sora", status, "r-1", 2.1)


def test_a_call_that_a_server_makes_is_a_hook_besides(keeper):
    served(hook=True)
    tally.add("jitsi", tally.RELEASES, 50)
    tally.add("jitsi", tally.RELEASES, 0)
    tally.tell()

    (part,) = keeper.told[-1]
    assert part.counts == {"loop": {"requests": 1, "hooks": 1}, "jitsi": {"releases": 50}}


def test_what_is_told_again_is_the_whole_minute(keeper, time):
    served()
    tally.tell()
    time.pass_by(10)
    served()
    tally.tell()

    assert [[part.counts["loop"]["requests"] for part in parts] for parts in keeper.told] == [[1], [2]]


def test_nothing_is_told_twice_that_has_not_changed(keeper, time):
    served()
    tally.tell()
    time.pass_by(10)
    tally.tell()

    assert len(keeper.told) == 1


def test_a_minute_is_told_apart_from_the_next_one(keeper, time):
    served()
    time.pass_by(60)
    served()
    served()
    tally.tell()

    assert {minute: part.counts["loop"]["requests"] for minute, part in keeper.stands().items()} == {
        MINUTE: 1,
        MINUTE + 1: 2,
    }


def test_the_first_request_tells_and_then_none_before_the_interval_is_over(keeper, time):
    for _ in range(3):
        served()
        tally.tell_if_due()
    assert len(keeper.told) == 1
    time.pass_by(9.9)
    tally.tell_if_due()
    assert len(keeper.told) == 1
    time.pass_by(0.2)
    tally.tell_if_due()
    assert keeper.total("loop", "requests") == 3


def test_where_a_timer_tells_no_request_does(keeper):
    tally.by_timer()
    served()
    tally.tell_if_due()
    assert keeper.told == []
    tally.tell()
    assert keeper.total("loop", "requests") == 1


def test_a_request_that_took_long_does_not_wait_for_storage_again_unless_all_do(keeper, time):
    served()
    tally.tell_if_due()
    for seconds, told in ((10, 1), (10, 1), (10, 2)):
        time.pass_by(seconds)
        served()
        tally.tell_if_due(spent_s=2.5)
        assert len(keeper.told) == told


def test_what_storage_did_not_take_comes_with_the_next_one(keeper, time, caplog):
    keeper.fails = True
    served()
    tally.tell_if_due()
    assert keeper.told == []
    keeper.fails = False
    time.pass_by(5)
    tally.tell_if_due()
    assert keeper.told == []  # an outage is not asked at every request
    time.pass_by(5)
    tally.tell_if_due()
    assert keeper.total("loop", "requests") == 1
    assert "told later" in caplog.text


def test_an_answer_that_was_lost_counts_nothing_twice(keeper, time):
    keeper.lost = True
    served()
    tally.tell()
    keeper.lost = False
    time.pass_by(130)
    served()
    tally.tell()

    assert keeper.total("loop", "requests") == 2


def test_a_bug_in_what_keeps_it_breaks_no_request(keeper, monkeypatch, caplog):
    def broken(parts: Sequence[Part]) -> None:
        raise KeyError("a bug")

    tally.begin(broken, 10.0)
    served()
    tally.tell_if_due()
    assert "could not be told" in caplog.text
    tally.begin(keeper.keep, 10.0)
    tally.tell()
    assert keeper.total("loop", "requests") == 1


def test_what_a_frozen_process_kept_back_counts_when_it_is_told(keeper, time):
    """A function serves two requests within an interval and is frozen for an hour after them."""
    served(request_id="first")
    tally.tell_if_due()
    served(request_id="second")
    tally.tell_if_due()
    time.pass_by(3000)
    served(request_id="third")
    tally.tell_if_due()

    now = MINUTE + 50
    assert {minute: part.counts["loop"]["requests"] for minute, part in keeper.stands().items()} == {
        MINUTE: 1,
        now: 2,
    }
    assert [event.request_id for event in keeper.stands()[MINUTE].events] == ["first", "second"]
    assert [event.request_id for event in keeper.stands()[now].events] == ["third"]


def test_in_the_minute_after_it_still_counts_for_its_own(keeper, time):
    served()
    tally.tell_if_due()
    served()
    time.pass_by(119)
    tally.tell_if_due()

    assert {minute: part.counts["loop"]["requests"] for minute, part in keeper.stands().items()} == {
        MINUTE: 2
    }


def test_the_last_events_are_kept_of_each_sort_and_no_others(keeper):
    for number in range(100):
        served(request_id=f"ok-{number}")
        served(403, tally.REFUSED, f"no-{number}")
        served(500, tally.ERRORS, f"bad-{number}")
    tally.tell()

    (part,) = keeper.told[-1]
    kept = [event.request_id for event in part.events]
    assert [name for name in kept if name.startswith("bad")] == [f"bad-{number}" for number in range(80, 100)]
    assert [name for name in kept if name.startswith("no")] == [f"no-{number}" for number in range(90, 100)]
    assert [name for name in kept if name.startswith("ok")] == [f"ok-{number}" for number in range(90, 100)]
    assert part.counts["loop"] == {"requests": 300, "refused": 100, "errors": 100}


def test_who_waits_here_is_told_when_it_changes_and_once_in_every_minute(keeper, time):
    waiting: list[int | None] = [0]
    tally.measure(lambda: waiting[0])
    for number, expected in ((0, 1), (0, 1), (5, 2), (5, 2), (None, 2), (0, 3)):
        waiting[0] = number
        tally.tell()
        assert len(keeper.told) == expected
    time.pass_by(60)
    tally.tell()
    assert [[(part.minute - MINUTE, part.waiting) for part in parts] for parts in keeper.told] == [
        [(0, 0)],
        [(0, 5)],
        [(0, 0)],
        [(1, 0)],
    ]


def test_a_count_that_fails_breaks_nothing(keeper, caplog):
    def broken() -> int:
        raise KeyError("a bug")

    tally.measure(broken)
    served()
    tally.tell()
    assert keeper.told == []
    assert "could not be told" in caplog.text
    tally.measure(None)
    tally.tell()
    assert keeper.total("loop", "requests") == 1


def test_what_an_outage_keeps_here_is_bounded(keeper, time):
    keeper.fails = True
    for _ in range(1000):
        served()
        tally.tell()
        time.pass_by(60)
    assert len(tally._minutes) <= tally.LONGEST_MINUTES + 1
    keeper.fails = False
    tally.tell()
    assert keeper.total("loop", "requests") == 1000
    assert len(tally._minutes) <= tally.OWN_MINUTES


def test_whatever_fails_whenever_everything_counts_once(keeper, time):
    """Requests, outages, answers that are lost, and pauses in which the process is frozen."""
    chance = random.Random(11)
    for _ in range(full(200, 5000)):
        keeper.told.clear()
        tally.reset()
        tally.begin(keeper.keep, 10.0)
        served_in_all = 0
        for _ in range(40):
            for _ in range(chance.randrange(4)):
                served()
                served_in_all += 1
            keeper.fails, keeper.lost = chance.choice([(False, False)] * 3 + [(True, False), (False, True)])
            tally.tell_if_due(chance.choice([0.0, 0.0, 3.0]))
            time.pass_by(chance.choice([0.1, 5.0, 11.0, 59.0, 121.0]))
        keeper.fails = keeper.lost = False
        tally.tell()
        assert keeper.total("loop", "requests") == served_in_all


def test_every_handler_tells_at_its_end_even_if_it_fails(keeper, time):
    @journal.counting
    def handler() -> None:
        served()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        handler()
    assert keeper.total("loop", "requests") == 1
