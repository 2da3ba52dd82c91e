"""Roll-ups: parts of processes become one row a minute, whoever sums up, however often, and whatever dies."""

import json
import random
from collections.abc import Callable

import pytest

from chalicelib import clock, tally
from chalicelib.admin import measures, rollups
from chalicelib.admin.rollups import COUNTED, Measured, RollupRow
from chalicelib.errors import Unavailable
from chalicelib.jitsi.store import WatchRow
from chalicelib.outbox.owed import Overdue
from chalicelib.store import keys, writes
from chalicelib.store import table as store_table
from chalicelib.tally import Part
from tests.conftest import Stack
from tests.support.counts import full
from tests.support.storage import item_size, listening
from tests.test_tally import MINUTE, Time

DAY_S = 86400


@pytest.fixture
def time(table: Stack, monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time(MINUTE * 60.0 + 20)
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


def part(minute: int, requests: int = 1, **more: int) -> Part:
    return Part(minute, {"loop": {"requests": requests, **more}}, [])


def another_process() -> None:
    rollups._process.forget()


def measured(waiting: int = 0) -> Callable[[], Measured]:
    return lambda: Measured(waiting, 1, 2, 3.5)


def rolled() -> dict[int, tuple[int | None, float | None]]:
    """Requests of Loop and who waited, by minutes from `MINUTE` on."""
    rows, _ = rollups.standing(0)
    return {
        minute - MINUTE: (
            dict(zip(COUNTED, rollups.read(row.counts).get("loop", []), strict=False)).get("requests"),
            row.waiting,
        )
        for minute, row in rows.items()
    }


def test_parts_of_all_processes_become_one_row_a_minute(time):
    rollups.keep([part(MINUTE - 1, 5), part(MINUTE, 1)])
    another_process()
    rollups.keep([part(MINUTE - 1, 7, errors=2)])

    assert rollups.roll(measured(4))
    assert rolled() == {-1: (12, 4), 0: (1, 4)}
    rows, _ = rollups.standing(0)
    assert json.loads(rows[MINUTE - 1].counts) == {"loop": [12, 2, 0, 0, 0]}
    assert rows[MINUTE - 1].expires_at == MINUTE * 60 + DAY_S


def test_summing_up_again_changes_nothing(time):
    rollups.keep([part(MINUTE, 5)])
    rollups.roll(measured(4))
    before = rolled()
    for _ in range(3):
        time.pass_by(10)
        rollups.keep([part(MINUTE, 5)])
        time.pass_by(0.01)
        rollups._claim(clock.now() + 1000)
        writes.update(*keys.measured(), actions=[RollupRow.claimed.remove()])
        assert rollups.roll(measured(4))
    assert rolled() == before


def test_a_part_that_comes_late_is_added_for_three_minutes(time):
    rollups.roll(measured())
    for late, counted in ((1, True), (2, True), (3, True)):
        minute = int(clock.now() // 60)
        time.pass_by(60 * late)
        another_process()
        rollups.keep([part(minute, 10)])
        rollups.roll(measured())
        assert (rolled()[minute - MINUTE][0] == 10) is counted


def test_who_waits_belongs_to_the_minute_in_which_somebody_looked(time):
    for waiting in (10, 20, 30):
        rollups.keep([part(int(clock.now() // 60))])
        assert rollups.roll(measured(waiting))
        time.pass_by(60)
    assert rolled() == {-1: (None, 10), 0: (1, 10), 1: (1, 20), 2: (1, 30)}


def test_a_minute_that_the_schedule_stepped_over_has_what_was_measured_next(time):
    time.now = MINUTE * 60 + 59.9
    rollups.roll(measured(1))
    time.now = (MINUTE + 2) * 60 + 0.1
    rollups.roll(measured(2))
    assert {minute: waiting for minute, (_, waiting) in rolled().items()} == {-1: 1, 0: 1, 1: 2, 2: 2}


def test_one_of_those_who_look_at_the_same_time_does_it(time):
    assert rollups.roll(measured(1))
    time.pass_by(29)
    assert not rollups.roll(lambda: pytest.fail("it is somebody else's turn"))
    time.pass_by(2)
    assert rollups.roll(measured(2))
    assert rolled()[0] == (None, 2)


def test_a_clock_that_was_wrong_stops_nobody_for_long(time):
    time.pass_by(DAY_S)
    assert rollups.roll(measured(1))
    time.pass_by(-DAY_S)
    assert rollups.roll(measured(2))
    assert rolled()[0] == (None, 2)


def test_whoever_dies_while_summing_up_is_made_up_for_in_the_next_interval(time):
    rollups.keep([part(MINUTE, 5)])

    def dies() -> Measured:
        raise Unavailable("storage does not answer")

    with pytest.raises(Unavailable):
        rollups.roll(dies)
    assert rolled() == {}
    time.pass_by(60)
    rollups.roll(measured(3))
    assert rolled() == {0: (5, 3), 1: (None, 3)}


def test_an_hour_in_which_nobody_summed_up_is_made_up_for_as_far_as_there_are_parts(time):
    rollups.roll(measured(1))
    for minute in (5, 30, 50):
        rollups.keep([part(MINUTE + minute, minute)])
    time.pass_by(55 * 60)
    rollups.roll(measured(2))
    found = rolled()
    assert {minute: requests for minute, (requests, _) in found.items() if requests} == {5: 5, 30: 30, 50: 50}
    # Of the others nobody knows anything.
    assert sorted(found) == [-1, 0, 5, 30, 50, 54, 55]


def test_sums_do_not_fall_when_parts_have_gone(time, table):
    rollups.keep([part(MINUTE, 5)])
    rollups.roll(measured())
    for item in table.rows():
        if item["pk"]["S"] == keys.ROLLUP_PARTS:
            writes.delete(item["pk"]["S"], item["sk"]["S"])
    another_process()
    rollups.keep([part(MINUTE, 2)])
    time.pass_by(60)
    rollups.roll(measured())
    assert rolled()[0][0] == 5


def test_any_order_of_parts_and_ticks_ends_in_the_same_sums(time):
    """Processes tell absolute numbers whenever they like; somebody sums up now and then."""
    chance = random.Random(7)
    for turn in range(full(3, 20)):
        time.now = (MINUTE + 100 * turn) * 60.0 + chance.uniform(0, 60)
        told: dict[tuple[str, int], int] = {}
        for _ in range(25):
            time.pass_by(chance.uniform(0, 20))
            process = chance.choice("abc")
            minute = int(clock.now() // 60) - chance.randrange(2)
            told[process, minute] = told.get((process, minute), 0) + chance.randrange(5)
            rollups._process._name = process
            rollups.keep([part(minute, told[process, minute])])
            if chance.random() < 0.3:
                rollups.roll(measured())
        for _ in range(2):
            time.pass_by(60)
            rollups.roll(measured())
        expected: dict[int, int] = {}
        for (_, minute), number in told.items():
            expected[minute] = expected.get(minute, 0) + number
        found = {MINUTE + minute: requests for minute, (requests, _) in rolled().items()}
        assert {minute: found[minute] for minute in expected} == expected
        another_process()


def test_a_process_keeps_two_rows_a_minute_in_one_call(time, table):
    event = tally.Event(1, MINUTE * 60_000, "loop", "GET", "/rooms/{token}", 200, "r-1", 1.5, "requests")
    store_table.client()
    with listening() as storage, storage.counting() as spent:
        rollups.keep([part(MINUTE, 5)._replace(events=[event])])
    assert spent == {"BatchWriteItem": 1}
    kept = {item["pk"]["S"]: item for item in table.rows()}
    assert sorted(kept) == ["ae", "ap"]
    assert kept["ap"]["sk"]["S"].startswith(f"{MINUTE:010d}.")
    assert kept["ap"]["expires_at"]["N"] == str((MINUTE + 1) * 60 + 3600)
    assert kept["ae"]["expires_at"]["N"] == str((MINUTE + 1) * 60 + DAY_S)


def test_a_part_is_small_and_its_events_have_an_end(time, table):
    numbers = dict.fromkeys(COUNTED, 999_999)
    longest = [
        tally.Event(
            10**9 + number, MINUTE * 60_000, "jitsi", "SUBSCRIBE", "/v1.1/rooms/{room}/streaming-outs/{id}",
            503, "x" * 128, 29999.99, "requests",
        )
        for number in range(sum(tally.KEPT.values()))
    ]  # fmt: skip
    rollups.keep([Part(MINUTE, dict.fromkeys(tally.FACADES, numbers), longest)])
    sizes = {item["pk"]["S"]: item_size(item) for item in table.rows()}
    assert sizes["ap"] <= 512
    assert sizes["ae"] <= 12_000


def test_a_day_of_roll_ups_is_read_in_one_call(time):
    """A query ends at 1 MB."""
    numbers = {facade: [9_999_999] * len(COUNTED) for facade in tally.FACADES}
    row = RollupRow(
        *keys.rollup(MINUTE), counts=rollups.spell(numbers), waiting=999_999, expires_at=MINUTE * 60
    )
    assert item_size(row.serialize()) * 1440 < 2**20 / 2


def test_what_a_tick_costs(time):
    rollups.roll(measured())
    time.pass_by(60)
    rollups.keep([part(MINUTE, 5), part(MINUTE + 1, 5)])
    with listening() as storage, storage.counting() as spent:
        rollups.roll(measured())
    assert spent == {"UpdateItem": 1, "Query": 2, "BatchWriteItem": 1}


def test_what_is_measured_is_what_moderators_were_told_and_what_is_overdue(time):
    for number, name in enumerate(("a@conference.meet.example", "b@conference.meet.example")):
        key = keys.watch(keys.conference(name))
        writes.put(
            WatchRow(*key, name=name, counted=10 + number, due=keys.due("count", key.pk), due_at=clock.now())
        )
    assert measures.measure(Overdue(7, 1.5)) == Measured(21, 2, 7, 1.5)
