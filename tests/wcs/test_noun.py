"""Values of streams and what equals them, without storage."""

import pytest

from chalicelib.wcs import stream
from chalicelib.wcs.stream import same, value

HUGE = "1e99999999999999999999"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "1e0"),
        ("-0", "0"),
        ("0.1", "0.10"),
        ("123456789012345678901234567890", "123456789012345678901234567890.0"),
        ("9" * 5000, "9" * 5000),
        (HUGE, HUGE),
        ('"\\u0061"', '"a"'),
        ('{"a":1,"b":[true,null]}', '{"b":[true,null],"a":1.0}'),
        ("true", "true"),
        ("null", "null"),
        ("[]", "[ ]"),
    ],
)
def test_equal_values_are_the_same(one, other):
    assert same(value(one), value(other))
    assert same(value(other), value(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("0", "false"),
        ("0", "null"),
        ("1", '"1"'),
        ('""', "null"),
        ("[]", "{}"),
        ("[1]", "[1,1]"),
        ("[1]", "[true]"),
        ('{"a":1}', '{"a":true}'),
        ('{"a":1}', '{"b":1}'),
        ('{"a":1}', '{"a":1,"b":1}'),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("0.1", "0.1000000000000000055"),
        (HUGE, "5"),
        (HUGE, '["number"]'),
        ('"a"', '"A"'),
    ],
)
def test_other_values_are_not(one, other):
    assert not same(value(one), value(other))
    assert not same(value(other), value(one))


def test_the_contracts_fields_go_before_others():
    assert list(stream.ordered({"b": "1", "status": "2", "a": "3", "nodeId": "4"})) == [
        "nodeId",
        "status",
        "a",
        "b",
    ]


def test_of_the_contracts_fields_the_largest_go_first():
    fields = {"custom": "x" * 200_000, "info": "x" * 150_000, "name": "x" * 100_000, "other": "x"}
    assert set(stream.documented(fields)) == {"info", "name"}
    assert stream.size(stream.documented(fields)) <= stream.LARGEST
