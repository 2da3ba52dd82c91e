"""Owed rows: claims, leases, the sweep, dead letters."""

import json

import pytest

from chalicelib import clock, settings, waits
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key

KEY = Key("job", "-")


@pytest.fixture
def served(table, monkeypatch):
    """A kind of work, and what its worker was given."""
    calls: list[Key] = []
    monkeypatch.setattr(owed, "_workers", {"job": calls.append})
    return calls


@pytest.fixture
def at(monkeypatch):
    """Move the clock."""

    def move(seconds):
        moment = clock.now() + seconds
        monkeypatch.setattr(clock, "now", lambda: moment)

    return move


def owe(delay=0.0):
    writes.update(*KEY, actions=owed.owing("job", KEY, clock.now() + delay))


def claimed(**options):
    """The row, as its worker holds it."""
    row = owed.claim(OwedRow, KEY, **options)
    assert row is not None
    return row


def bodies(table):
    return [message["Body"] for message in table.messages()]


def test_a_due_row_is_claimed_by_one_worker(table):
    owe()
    assert owed.claim(OwedRow, KEY) is not None
    assert owed.claim(OwedRow, KEY) is None


def test_a_row_is_not_claimed_before_it_is_due(table, at):
    owe(10)
    assert owed.claim(OwedRow, KEY) is None
    assert owed.claim(OwedRow, KEY, early_s=11) is not None


def test_a_dead_workers_row_is_claimed_once_its_lease_is_over(table, at):
    owe()
    first = claimed(lease_s=30)
    at(31)
    second = claimed()
    assert second.attempts == 2
    assert not owed.hold(first)
    assert not owed.finish(first)
    assert not owed.settle(first)
    assert owed.hold(second)


def test_what_is_settled_stays_and_owes_nothing(table, served):
    owe()
    assert owed.settle(claimed())
    assert owed.claim(OwedRow, KEY) is None
    assert owed.sweep() == 0
    assert writes.get(OwedRow, *KEY) is not None


def test_what_is_finished_is_gone(table):
    owe()
    assert owed.finish(claimed())
    assert writes.get(OwedRow, *KEY) is None


def test_what_owes_anew_while_it_is_served_is_not_settled_by_the_old_worker(table):
    owe()
    worker = claimed()
    owe()
    assert not owed.settle(worker)
    assert owed.claim(OwedRow, KEY) is not None


def test_the_sweep_kicks_what_is_due_and_nothing_else(table, served, at):
    owe(100)
    assert owed.sweep() == 0
    at(101)
    assert owed.sweep() == 1
    assert bodies(table) == [kicks.spell("job", KEY)]


def test_work_calls_the_worker_of_the_kind_with_the_rows_key(served):
    assert owed.work([{"messageId": "1", "body": kicks.spell("job", KEY)}]) == []
    assert served == [KEY]


@pytest.mark.parametrize("error", [Unavailable("no"), RuntimeError("bug")])
def test_only_the_messages_that_failed_come_again(table, monkeypatch, error):
    def worker(key):
        if key.sk == "bad":
            raise error

    monkeypatch.setattr(owed, "_workers", {"job": worker})
    records = [
        {"messageId": name, "body": kicks.spell("job", Key("job", name))} for name in ("good", "bad", "fine")
    ]
    assert owed.work(records) == ["bad"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '{"kind":"job"}',
        '{"kind":"nobody","pk":"a","sk":"b"}',
        '{"kind":"job","pk":1,"sk":2}',
    ],
)
def test_a_message_that_nobody_can_read_ends_in_the_dead_letters(served, body):
    assert owed.work([{"messageId": "1", "body": body}]) == []
    assert [letter.kind for letter in owed.dead_letters()] == ["unreadable"]


def test_what_fails_too_often_ends_in_the_dead_letters_and_can_be_replayed(table, served, at):
    owe()
    for _ in range(owed.ATTEMPTS):
        owed.postpone("job", claimed(), "the peer is down")
        at(owed.LONGEST_BACKOFF_S + 1)
    assert owed.claim(OwedRow, KEY) is None
    (letter,) = owed.dead_letters()
    assert (letter.kind, letter.reason, letter.attempts) == ("job", "the peer is down", owed.ATTEMPTS)
    owed.replay(letter)
    assert owed.dead_letters() == []
    assert owed.claim(OwedRow, KEY) is not None


def test_a_postponed_row_comes_later_each_time(table, at):
    owe()
    delays = []
    for _ in range(4):
        row = claimed()
        began = clock.now()
        owed.postpone("job", row, "busy")
        later = writes.get(OwedRow, *KEY)
        assert later is not None
        delays.append(round(float(later.due_at) - began))
        at(owed.LONGEST_BACKOFF_S)
    assert delays == [2, 4, 8, 16]


def test_a_kick_without_a_queue_is_left_to_the_sweep(table, monkeypatch):
    monkeypatch.delenv("FOYER_QUEUE_URL")
    settings.reset()
    assert not kicks.kick("job", KEY)


def test_a_kick_in_a_gateways_process_is_served_there_with_the_queue_as_backup(table, monkeypatch):
    here: list[str] = []
    sent: list[float] = []
    monkeypatch.setattr(kicks, "send", lambda body, delay: sent.append(delay))
    kicks.install(here.append)
    try:
        kicks.kick("job", KEY)
        kicks.kick("job", KEY, 15)
    finally:
        kicks.install(None)
    assert [json.loads(body)["kind"] for body in here] == ["job"]
    assert sent == [kicks.BACKUP_DELAY_S, 15]


def test_owed_rows_are_spread_over_the_index():
    partitions = {keys.due("job", f"row {number}") for number in range(100)}
    assert partitions == set(keys.due_partitions("job"))


class Host:
    """Who lets threads of a process wait."""

    def leave(self):
        return True

    def back(self):
        pass


def test_slow_work_is_left_to_a_thread_that_may_take_its_time_where_there_is_one(served, monkeypatch):
    monkeypatch.setattr(owed, "_slow", {"job"})
    here: list[str] = []
    record = {"messageId": "1", "body": kicks.spell("job", KEY)}
    kicks.install(here.append)
    try:
        assert owed.work([record]) == []
        assert (here, served) == ([record["body"]], [])
        waits.hosted_by(Host())
        assert owed.work([record]) == []
    finally:
        waits.hosted_by(None)
        kicks.install(None)
    assert (len(here), served) == (1, [KEY])
    assert owed.work([record]) == []
    assert served == [KEY, KEY]


def test_slow_work_may_have_threads_of_its_own_where_other_kicks_go_to_the_queue(table, served, monkeypatch):
    monkeypatch.setattr(owed, "_slow", {"job"})
    aside: list[str] = []
    body = kicks.spell("job", KEY)
    kicks.install(None, aside=aside.append)
    try:
        assert kicks.kick("job", KEY)
        assert (bodies(table), aside) == ([body], [])
        assert owed.work([{"messageId": "1", "body": body}]) == []
    finally:
        kicks.install(None)
    assert (aside, served) == ([body], [])


def test_a_kind_may_have_its_own_way_to_be_replayed(table, monkeypatch):
    monkeypatch.setattr(owed, "_replayers", {"job": lambda letter: replayed.append(letter.body)})
    replayed: list[object] = []
    owed.bury("job", KEY, "no", 1, {"all": "of it"})
    (letter,) = owed.dead_letters()
    owed.replay(letter)
    assert replayed == [{"all": "of it"}]
    assert owed.dead_letters() == []


def test_a_schedule_says_how_long_to_wait_after_each_try():
    schedule = owed.Schedule((5.0, 300.0, 1800.0))
    for tries, usual in ((0, 5), (1, 5), (2, 300), (3, 1800)):
        delays = [schedule.after(tries) for _ in range(200)]
        assert all(delay is not None and 0.9 * usual <= delay <= 1.1 * usual for delay in delays)
        assert len(set(delays)) > 100
    assert schedule.after(4) is None
    assert schedule.after(1, at_least_s=60.0) == 60.0
    assert schedule.after(4, at_least_s=60.0) is None
