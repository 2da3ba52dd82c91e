"""Our conditions and changes say what PynamoDB's say."""

from typing import Any

import pytest
from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.expressions.update import Update

from chalicelib.store import attributes, writes
from chalicelib.store.expressions import ABSENT, STANDS, Less, Same, add, assign, assign_all
from chalicelib.store.keys import Key
from chalicelib.store.table import Item


class ExampleRow(Item):
    """A row as PynamoDB's attributes make it."""

    text = UnicodeAttribute(attr_name="t", null=True)
    number = NumberAttribute(default=0)
    most = NumberAttribute(default=0)
    names = UnicodeSetAttribute()


class QuickRow(Item):
    """The same of our attributes."""

    text = attributes.UnicodeAttribute(attr_name="t", null=True)
    number = attributes.NumberAttribute(default=0)
    most = attributes.NumberAttribute(default=0)
    names = attributes.UnicodeSetAttribute()


ROWS = pytest.mark.parametrize("row", [ExampleRow, QuickRow])


def spelled(expression):
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    return expression.serialize(names, values), names, values


@ROWS
def test_conditions_are_those_of_pynamodb(row):
    theirs = ExampleRow
    pairs: list[tuple[Any, Any]] = [
        (Same(row.text, "a"), theirs.text == "a"),
        (Same(row.number, 3), theirs.number == 3),
        (Same(row.number, 0.5), theirs.number == 0.5),
        (Less(row.number, row.most), theirs.number < theirs.most),
        (STANDS, theirs.pk.exists()),
        (ABSENT, theirs.pk.does_not_exist()),
        (Same(row.text, "a") & Same(row.number, 1), (theirs.text == "a") & (theirs.number == 1)),
        (
            Same(row.text, "a") & Same(row.number, 1) & Less(row.number, row.most),
            (theirs.text == "a") & (theirs.number == 1) & (theirs.number < theirs.most),
        ),
        (
            ABSENT & (Same(row.text, "a") | STANDS),
            theirs.pk.does_not_exist() & ((theirs.text == "a") | theirs.pk.exists()),
        ),
        (Same(row.text, "a") & theirs.sk.exists(), (theirs.text == "a") & theirs.sk.exists()),
        (ABSENT | Same(row.text, "a"), theirs.pk.does_not_exist() | (theirs.text == "a")),
    ]
    for ours, known in pairs:
        assert spelled(ours) == spelled(known)


@ROWS
def test_changes_are_those_of_pynamodb(row):
    theirs = ExampleRow
    pairs: list[tuple[list[Any], list[Any]]] = [
        ([assign(row.text, "a")], [theirs.text.set("a")]),
        ([assign(row.text, None)], [theirs.text.remove()]),
        ([assign(row.names, {"a"})], [theirs.names.set({"a"})]),
        ([add(row.number, -1)], [theirs.number.set(theirs.number + -1)]),
        (
            [assign(row.number, 1), add(row.most, 2), assign(row.text, None)],
            [theirs.number.set(1), theirs.most.set(theirs.most + 2), theirs.text.remove()],
        ),
        ([assign(row.text, "a"), theirs.names.add({"b"})], [theirs.text.set("a"), theirs.names.add({"b"})]),
    ]
    for ours, known in pairs:
        assert spelled(Update(*ours)) == spelled(Update(*known))
        where = Key("p", "s")
        assert writes.Change(where, ours, STANDS).spell() == writes.Change(where, known, STANDS).spell()


@ROWS
def test_a_row_s_attributes_are_assigned_as_one_by_one(row):
    values = {"text": "a", "number": 0.5, "names": {"b"}}
    one_by_one = [assign(getattr(row, name), value) for name, value in values.items()]
    assert spelled(Update(*assign_all(row, values))) == spelled(Update(*one_by_one))
    removed = assign_all(row, {"number": 1, "text": None})
    assert spelled(Update(*removed)) == spelled(Update(assign(row.number, 1), assign(row.text, None)))
    assert spelled(Update(*assign_all(row, {"text": None}))) == spelled(Update(assign(row.text, None)))


def test_an_attribute_that_a_row_does_not_have_is_not_assigned():
    with pytest.raises(KeyError):
        assign_all(QuickRow, {"txt": "a"})


def test_a_removal_may_stand_before_an_assignment():
    where = Key("p", "s")
    ours = writes.Change(where, [assign(QuickRow.text, None), assign(QuickRow.number, 1)]).spell()["Update"]
    assert ours["UpdateExpression"] == "SET #1 = :0 REMOVE #0"
    assert ours["ExpressionAttributeNames"] == {"#0": "t", "#1": "number"}


def test_our_attributes_are_kept_with_the_row_under_their_names():
    row = QuickRow("p", "s", text="a")
    row.number = 2
    assert row.attribute_values == {"pk": "p", "sk": "s", "text": "a", "number": 2, "most": 0}
    assert (row.pk, row.text, row.number) == ("p", "a", 2)
    assert row.serialize() == ExampleRow("p", "s", text="a", number=2).serialize()
    assert QuickRow.from_raw_data(row.serialize()).attribute_values == row.attribute_values
