"""Reads and conditional writes, on an emulated table."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from chalicelib import ids, settings
from chalicelib.errors import Unavailable
from chalicelib.store import keys, writes
from chalicelib.store import table as tables
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from tests.support.counts import full
from tests.support.faults import Fault, Injector, Kind

ABSENT = Item.pk.does_not_exist()


class Note(Item):
    text = UnicodeAttribute(null=True)


def test_a_put_whose_condition_fails_says_what_stands_there(table):
    writes.put(Note("a", "b", text="first"), ABSENT)
    with pytest.raises(writes.Refused) as refused:
        writes.put(Note("a", "b", text="second"), ABSENT)
    standing = refused.value.row(Note)
    assert standing is not None
    assert standing.text == "first"


def test_a_repeated_put_whose_first_answer_was_lost_is_no_refusal(table):
    note = Note("a", "b", text="same")
    writes.put(note, ABSENT)
    writes.put(note, ABSENT)


def test_an_update_returns_what_was_asked_for(table):
    writes.put(Note("a", "b", text="first"))
    change = [Note.text.set("second")]
    assert writes.update("a", "b", change) is None
    assert writes.update("a", "b", [Note.text.set("third")], returns="ALL_OLD") == {
        "pk": {"S": "a"},
        "sk": {"S": "b"},
        "text": {"S": "second"},
    }
    newest = writes.read(Note, writes.update("a", "b", [Note.text.set("fourth")], returns="ALL_NEW"))
    assert newest is not None
    assert newest.text == "fourth"


def test_an_update_of_nothing_with_a_condition_is_refused_without_an_item(table):
    with pytest.raises(writes.Refused) as refused:
        writes.update("a", "b", [Note.text.set("x")], Note.pk.exists())
    assert refused.value.old is None


def test_a_query_reads_a_partition_page_by_page(table):
    for number in range(7):
        writes.put(Note("p", f"{number}"))
    rows, start = writes.query(Note, "p", limit=3, consistent=True)
    assert [row.sk for row in rows] == ["0", "1", "2"]
    assert start is not None
    assert [row.sk for row in writes.query_all(Note, "p", limit=3)] == list("0123456")
    assert [row.sk for row in writes.query(Note, "p", at_least="5")[0]] == ["5", "6"]


def test_a_count_counts_what_matches(table):
    for number in range(5):
        writes.put(Note("p", f"{number}", text="even" if number % 2 == 0 else "odd"))
    assert writes.count("p") == 5
    assert writes.count("p", Note.text == "even") == 3


def test_a_batch_writes_and_removes_more_than_one_call_takes(table):
    writes.batch(puts=[Note("p", f"{number:02}") for number in range(60)])
    assert writes.count("p") == 60
    writes.batch(puts=[Note("q", "1")], deletes=[("p", f"{number:02}") for number in range(59)])
    assert [row.sk for row in writes.query_all(Note, "p")] == ["59"]
    assert writes.count("q") == 1


def test_several_items_are_read_in_one_call(table):
    writes.put(Note("a", "1", text="x"))
    there, missing = keys.Key("a", "1"), keys.Key("a", "2")
    assert set(writes.get_many([there, missing])) == {there}


def test_a_missing_table_is_unavailable_and_no_refusal(table, monkeypatch):
    monkeypatch.setenv("FOYER_TABLE", "another")
    settings.reset()
    with pytest.raises(Unavailable):
        writes.get(Note, "a", "b")


def test_no_attempt_begins_that_would_overrun_the_requests_budget(table):
    with tables.budget(tables.READ_TIMEOUT_S - 0.5), pytest.raises(Unavailable):
        writes.get(Note, "a", "b")
    assert writes.get(Note, "a", "b") is None


def test_keys_of_queue_rows_are_short():
    assert keys.queue(keys.conference("x" * 1000), 1, 15) == f"q{keys.conference('x' * 1000)}1.f"
    assert len(keys.queue(keys.conference("x"), 35, 35)) == 26


def test_numbers_in_keys_are_base_36():
    assert [keys.base36(number) for number in (0, 35, 36, 1295, 1296)] == ["0", "z", "10", "zz", "100"]


# Transactions


class Counted(Item):
    number = NumberAttribute(default=0)
    limit = NumberAttribute(default=0)


EXISTS = Item.pk.exists()


def count_up(name: str) -> writes.Change:
    """One more, within the limit that the row itself has."""
    actions = [Counted.number.set(Counted.number + 1)]
    return writes.Change(Key("c", name), actions, Counted.number < Counted.limit)


def number(name: str) -> int:
    row = writes.get(Counted, "c", name, consistent=True)
    assert row is not None
    return int(row.number)


def test_a_transaction_puts_changes_removes_and_checks_at_once(stack):
    writes.batch(puts=[Counted("c", "1", limit=5), Note("a", "old"), Note("a", "there")])
    writes.transact(
        [
            writes.Put(Note("a", "new", text="x"), ABSENT),
            count_up("1"),
            writes.Remove(Key("a", "old"), EXISTS),
            writes.Check(Key("a", "there"), EXISTS),
        ]
    )
    assert number("1") == 1
    assert [row.sk for row in writes.query_all(Note, "a", consistent=True)] == ["new", "there"]


def test_a_transaction_that_is_not_made_says_of_each_part_what_stood_there(stack):
    writes.batch(puts=[Counted("c", "1", number=5, limit=5), Note("a", "taken", text="first")])
    parts: list[writes.Part] = [
        writes.Put(Note("a", "free"), ABSENT),
        count_up("1"),
        writes.Put(Note("a", "taken", text="second"), ABSENT),
        writes.Remove(Key("a", "missing"), EXISTS),
    ]
    with pytest.raises(writes.Cancelled) as cancelled:
        writes.transact(parts)
    assert set(cancelled.value.failed) == {1, 2, 3}
    full_row, taken = cancelled.value.row(1, Counted), cancelled.value.row(2, Note)
    assert full_row is not None
    assert full_row.number == 5
    assert taken is not None
    assert taken.text == "first"
    assert cancelled.value.row(3, Note) is None
    assert writes.get(Note, "a", "free") is None
    assert number("1") == 5


def test_a_transaction_repeated_under_its_token_is_made_once(stack):
    writes.put(Counted("c", "1", limit=5))
    for _ in range(3):
        writes.transact([count_up("1")], token="the same")
    assert number("1") == 1
    writes.transact([count_up("1")])
    assert number("1") == 2


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.THROTTLED, Kind.FAILS, Kind.SILENT])
def test_a_transaction_whose_answer_is_lost_is_made_once(stack, monkeypatch, kind):
    writes.put(Counted("c", "1", limit=5))
    injector = Injector(monkeypatch)
    try:
        with injector.injecting(Fault(0, kind, lasting=False)):
            writes.transact([count_up("1"), writes.Put(Note("a", "b"), ABSENT)])
        assert injector.operations == ["TransactWriteItems"]
    finally:
        injector.stop()
    assert number("1") == 1


def cancelled_for(*codes: str) -> Any:
    """What DynamoDB answers when another transaction has an item."""
    reasons = [{"Code": code, "Message": "busy"} for code in codes]
    return ClientError(
        {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons},
        "TransactWriteItems",
    )


def conflicting(name: str) -> Any:
    return ClientError({"Error": {"Code": name}}, "UpdateItem")


class Crowd:
    """Storage that has something in the way for so many calls."""

    def __init__(self, error: Exception, times: int) -> None:
        self.client, self.error, self.left = tables.client(), error, times
        self.tokens: list[str] = []

    def _make_api_call(self, operation: str, request: dict[str, Any]) -> Any:
        self.tokens.append(request.get("ClientRequestToken", ""))
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return self.client._make_api_call(operation, request)


@pytest.mark.parametrize(
    "error",
    [
        cancelled_for("None", "TransactionConflict"),
        cancelled_for("ProvisionedThroughputExceeded", "ThrottlingError"),
        conflicting("TransactionInProgressException"),
    ],
)
def test_a_transaction_that_meets_another_one_is_tried_again_under_its_token(stack, monkeypatch, error):
    writes.put(Counted("c", "1", limit=5))
    crowd = Crowd(error, 4)
    monkeypatch.setattr(tables, "client", lambda: crowd)
    with tables.budget():
        writes.transact([count_up("1")])
    assert len(crowd.tokens) == 5
    assert len(set(crowd.tokens)) == 1
    assert number("1") == 1


def test_a_single_write_that_meets_a_transaction_is_tried_again(stack, monkeypatch):
    crowd = Crowd(conflicting("TransactionConflictException"), 2)
    monkeypatch.setattr(tables, "client", lambda: crowd)
    writes.put(Note("a", "b", text="x"), ABSENT)
    assert len(crowd.tokens) == 3


def test_repetitions_end_with_the_requests_budget(stack, monkeypatch):
    crowd = Crowd(cancelled_for("TransactionConflict"), 10**6)
    monkeypatch.setattr(tables, "client", lambda: crowd)
    began = time.monotonic()
    with tables.budget(tables.READ_TIMEOUT_S + 0.5), pytest.raises(Unavailable):
        writes.transact([count_up("1")])
    assert time.monotonic() - began < 1.5
    with pytest.raises(Unavailable):
        writes.transact([count_up("1")])
    assert crowd.left > 0


def test_a_conflict_beside_a_condition_that_does_not_hold_is_a_refusal(stack, monkeypatch):
    crowd = Crowd(cancelled_for("ConditionalCheckFailed", "TransactionConflict"), 1)
    monkeypatch.setattr(tables, "client", lambda: crowd)
    with pytest.raises(writes.Cancelled) as cancelled:
        writes.transact([count_up("1"), count_up("2")])
    assert cancelled.value.failed == {0: None}


def test_what_dynamodb_never_takes_is_unavailable(stack, monkeypatch):
    crowd = Crowd(cancelled_for("ValidationError"), 10)
    monkeypatch.setattr(tables, "client", lambda: crowd)
    with pytest.raises(Unavailable):
        writes.transact([count_up("1")])
    assert crowd.left == 9


def test_of_many_at_once_exactly_as_many_come_in_as_the_limit_allows(stack):
    limit, callers = 7, full(20, 200)
    writes.put(Counted("c", "1", limit=limit))

    def enter(number: int) -> bool:
        try:
            writes.transact([count_up("1"), writes.Put(Note("in", f"{number:03}"), ABSENT)])
        except writes.Cancelled:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        came_in = sum(pool.map(enter, range(callers)))
    assert came_in == limit == number("1") == writes.count("in")


def test_a_part_of_a_partition_is_read_from_one_key_to_another(table):
    for name in "abcdef":
        writes.put(Note("p", name))
    found = [raw["sk"]["S"] for raw in writes.raw_rows("p", at_least="b", at_most="d", limit=2)]
    assert found == ["b", "c", "d"]


def test_ids_that_rise_do_so_within_a_moment_and_when_the_clock_falls():
    found = [ids.rising(1_700_000_000.0) for _ in range(1000)] + [ids.rising(1_600_000_000.0)]
    assert found == sorted(set(found))
    assert all(re.fullmatch(r"[0-9a-f]{24}", each) for each in found)


def test_an_item_that_would_be_too_large_is_told_from_an_outage(table):
    large = "x" * 250_000
    with pytest.raises(writes.Overfull):
        writes.put(Note("a", "b", text=large * 2))
    writes.put(Note("a", "b", text=large))
    with pytest.raises(writes.Overfull):
        writes.update("a", "b", [UnicodeAttribute(attr_name="more").set(large)])
    with pytest.raises(Unavailable) as refused:
        writes.call("PutItem", {"TableName": tables.name(), "Item": {"pk": {"S": "a"}}})
    assert not isinstance(refused.value, writes.Overfull)
