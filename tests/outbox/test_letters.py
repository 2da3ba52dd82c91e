"""What an operator does with dead letters."""

import json

import pytest

from chalicelib import clock
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.store import writes
from chalicelib.store.keys import Key
from infra import letters

FIRST, SECOND = Key("first", "-"), Key("second", "-")


@pytest.fixture
def dead(table, monkeypatch):
    """Two letters of different kinds whose rows are there, and a message that nobody could read."""
    for kind, key in (("a.kind", FIRST), ("b.kind", SECOND)):
        writes.update(*key, actions=owed.owing(kind, key, clock.now() + 600))
        owed.settle(OwedRow(*key, owner=None))
        owed.bury(kind, key, "it does not answer", 12)
    owed.bury("unreadable", Key("", ""), "nobody can read this message", 1, "nonsense")
    return table


def listed(capsys):
    """The kinds that `list` shows."""
    assert letters.main(["list"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert total == f"{len(lines)} dead letters"
    return [line.split("  ")[2] for line in lines]


def test_each_letter_is_one_line_with_the_reason(dead, capsys):
    assert letters.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert any("a.kind  12 tries  it does not answer" in line for line in lines)
    assert not [line for line in lines if "nonsense" in line]


def test_replaying_one_kind_makes_its_rows_owed_again_and_keeps_the_others(dead, capsys):
    assert letters.main(["replay", "--kind", "a.kind"]) == 0
    capsys.readouterr()

    row = writes.get(OwedRow, *FIRST, consistent=True)
    assert row is not None
    assert str(row.due).startswith("a.kind#")
    assert [message["Body"] for message in dead.messages()] == [kicks.spell("a.kind", FIRST)]
    assert json.loads(kicks.spell("a.kind", FIRST))["pk"] == "first"
    assert sorted(listed(capsys)) == ["b.kind", "unreadable"]


def test_a_message_that_nobody_could_read_is_kept_until_it_is_dropped(dead, capsys):
    assert letters.main(["replay", "--all"]) == 0
    assert "cannot be replayed" in capsys.readouterr().out
    assert listed(capsys) == ["unreadable"]
    assert letters.main(["drop", "--kind", "unreadable"]) == 0
    capsys.readouterr()
    assert listed(capsys) == []


def test_a_letter_is_chosen_by_its_id(dead, capsys):
    wanted = next(letter for letter in letters.every() if letter.kind == "b.kind")
    assert letters.main(["drop", wanted.sk]) == 0
    capsys.readouterr()
    assert sorted(listed(capsys)) == ["a.kind", "unreadable"]


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_nothing_is_done_to_all_unless_that_is_said(dead, capsys, verb):
    with pytest.raises(SystemExit):
        letters.main([verb])
    capsys.readouterr()
    assert len(listed(capsys)) == 3
