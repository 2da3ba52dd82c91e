"""Reads and conditional writes, on an emulated table."""

import pytest
from pynamodb.attributes import UnicodeAttribute

from chalicelib import settings
from chalicelib.errors import Unavailable
from chalicelib.store import keys, writes
from chalicelib.store import table as tables
from chalicelib.store.table import Item

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
