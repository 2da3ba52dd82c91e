"""Rows are made, read and spelled as PynamoDB does it."""

from typing import Any

import pytest
from pynamodb.attributes import (
    BinaryAttribute,
    BooleanAttribute,
    JSONAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.exceptions import AttributeDeserializationError, AttributeNullError
from pynamodb.models import Model

from chalicelib.store.attributes import RawMapAttribute
from chalicelib.store.table import Item


class PlainRow(Item):
    """A row with an attribute of every plain kind."""

    text = UnicodeAttribute(attr_name="t")
    number = NumberAttribute(default=0)
    flag = BooleanAttribute(null=True)
    binary = BinaryAttribute(legacy_encoding=False, null=True)
    old = BinaryAttribute(legacy_encoding=True, null=True)
    names = UnicodeSetAttribute()
    body: JSONAttribute = JSONAttribute(null=True)
    people = RawMapAttribute(null=True)


class MappedRow(Item):
    """A row that is left to PynamoDB."""

    inside: MapAttribute[str, Any] = MapAttribute(default=dict)
    made = NumberAttribute(default=lambda: 7)


def by_pynamodb(cls, raw):
    return super(Item, cls).from_raw_data(raw)


GIVEN = [
    {"text": "a"},
    {
        "text": "",
        "number": 12,
        "flag": False,
        "binary": b"\0\xff",
        "old": b"x",
        "names": {"a"},
        "body": [1, {}],
    },
    {"text": "a", "number": -1.5, "flag": True, "names": set(), "body": None, "expires_at": 1_700_000_000},
    {"text": "a", "number": 10**20, "body": {"a": None}},
    {"text": "a", "people": {}},
    {"text": "a", "people": {"x": {"M": {"n": {"N": "1"}, "l": {"L": []}}}}},
]


@pytest.mark.parametrize("given", GIVEN)
def test_a_row_is_kept_and_read_as_by_pynamodb(given):
    row = PlainRow("p", "s", **given)
    item = row.serialize()
    assert item == Model.serialize(row)
    assert PlainRow.from_raw_data(item).attribute_values == by_pynamodb(PlainRow, item).attribute_values


@pytest.mark.parametrize("number", ["0", "007", "-3", "1.50", "1E+2", "123456789012345678901234567890"])
def test_numbers_are_read_as_dynamodb_may_spell_them(number):
    item = {"pk": {"S": "p"}, "sk": {"S": "s"}, "t": {"S": ""}, "number": {"N": number.removeprefix("00")}}
    assert PlainRow.from_raw_data(item).number == by_pynamodb(PlainRow, item).number


def test_what_is_null_or_unknown_is_left_out():
    item = {"pk": {"S": "p"}, "sk": {"S": "s"}, "t": {"NULL": True}, "other": {"S": "x"}}
    assert PlainRow.from_raw_data(item).attribute_values == {"pk": "p", "sk": "s", "number": 0}


def test_what_is_missing_of_another_type_or_unknown_is_refused():
    with pytest.raises(AttributeNullError, match="text"):
        PlainRow("p", "s").serialize()
    with pytest.raises(AttributeDeserializationError):
        PlainRow.from_raw_data({"pk": {"S": "p"}, "sk": {"S": "s"}, "t": {"N": "1"}})
    with pytest.raises(ValueError, match="does not exist"):
        PlainRow("p", "s", txt="a")


def test_rows_share_no_values():
    one, other = PlainRow("p", "s", text="a"), PlainRow("p", "t", text="b")
    one.number = 5
    assert (one.number, other.number, PlainRow("p", "u", text="c").number) == (5, 0, 0)


def test_a_row_with_other_values_leaves_the_first_as_it_was():
    one = PlainRow("p", "s", text="a", number=1)
    other = one.but(text="b")
    assert (one.text, other.text, other.number, other.pk) == ("a", "b", 1, "p")
    assert other.serialize() == PlainRow("p", "s", text="b", number=1).serialize()


def test_a_row_that_is_not_plain_is_left_to_pynamodb():
    row = MappedRow("p", "s", inside={"a": "b"})
    item = row.serialize()
    assert (row.made, item["inside"]) == (7, {"M": {"a": {"S": "b"}}})
    assert MappedRow.from_raw_data(item).inside.as_dict() == {"a": "b"}
