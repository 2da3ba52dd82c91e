"""The bounded reader: one meaning or none."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.errors import TooLarge, ValidationError
from chalicelib.wire import untrusted
from chalicelib.wire.untrusted import Malformed, parse
from tests.support.counts import full


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"conference":"room1@conference.example.com"}', {"conference": "room1@conference.example.com"}),
        (b" \t\r\n[1, -2.5, 1e3, true, false, null] \n", [1, -2.5, 1000.0, True, False, None]),
        (b'""', ""),
        (b"0", 0),
        (b"12345678901234567890123", 12345678901234567890123),
        ('"é😀\u2028"'.encode(), "é😀\u2028"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\ud83d"', "\\ud83d"),
        (b'{"a":{"a":1},"b":{"a":2}}', {"a": {"a": 1}, "b": {"a": 2}}),
        (b'"[[[[{{{{"', "[[[[{{{{"),
    ],
)
def test_json_is_read(raw, value):
    assert parse(raw, limit=100, depth=2) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"'a'",
        b"{a:1}",
        b"[1,]",
        b'{"a":1,}',
        b"01",
        b"+1",
        b"1.",
        b".5",
        b"0x10",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"-1e999",
        b"1" * 5000,
        b"True",
        b'"\n"',
        b'"\x00"',
        b'"\\x41"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"x":{"b":1,"b":2}}]',
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw):
    with pytest.raises(Malformed):
        parse(raw, limit=10_000)


@pytest.mark.parametrize(("size", "fits"), [(7, True), (8, True), (9, False)])
def test_the_limit_is_in_bytes_and_comes_first(size, fits):
    raw = b'"' + b"x" * (size - 2) + b'"'
    if fits:
        assert parse(raw, limit=8) == "x" * (size - 2)
    else:
        with pytest.raises(TooLarge):
            parse(raw, limit=8)
    with pytest.raises(TooLarge):
        parse(b"\xff" * 9, limit=8)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_bounded(opening: bytes, closing: bytes):
    def nested(levels: int) -> bytes:
        return opening * levels + b"1" + closing * levels

    assert parse(nested(64), limit=1000) is not None
    for levels in (65, 100_000):
        with pytest.raises(Malformed, match="deeper than 64"):
            parse(nested(levels), limit=1_000_000)
    assert parse(b"[" + b",".join([b"[]"] * 1000) + b"]", limit=10_000, depth=2)
    assert parse(b'["' + b"[" * 1000 + b'\\"{{"]', limit=10_000, depth=1)
    with pytest.raises(Malformed):
        parse(b"[" * 100_000, limit=1_000_000, depth=1_000_000)


@settings(max_examples=full(200, 5_000))
@given(st.one_of(st.binary(max_size=40), st.text('{}[]":,\\ud8c0eE+-.1 aNnI', max_size=40).map(str.encode)))
def test_nothing_but_its_own_errors_and_what_is_read_is_portable(raw):
    try:
        value = parse(raw, limit=64)
    except ValidationError:
        return

    assert json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode()) == value


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=full(200, 5_000))
@given(JSON, st.booleans())
def test_every_json_value_is_read_as_it_was_written(value, ascii_only):
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode(), limit=100_000) == value


def test_a_float_keeps_its_type():
    value = parse(b"1.0", limit=10)

    assert isinstance(value, float)
    assert math.copysign(1, parse(b"-0.0", limit=10)) == -1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"{}", {}),
        (b' \t\r\n{ "a" : 1 , "b":"x\\/y" }\n', {"a": "1", "b": '"x\\/y"'}),
        (b'{"a":{"b":[1, 2.0]},"":null}', {"a": '{"b":[1, 2.0]}', "": "null"}),
        (b'{"a":1e999,"b":' + b"9" * 9000 + b"}", {"a": "1e999", "b": "9" * 9000}),
        (b'{"a":"\\ud83d"}', {"a": '"\\ud83d"'}),
        ('{"ä\\u00e4":"é"}'.encode(), {"ää": '"é"'}),
    ],
)
def test_the_members_of_an_object_are_what_stands_there(raw, found):
    assert untrusted.members(raw, limit=10_000) == found


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", b"[1]", b"1", b"null", b"{", b"}", b"{,}", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,}'),
        *(b'{"a":1}x', b"{}{}", b'{"a" 1}', b'{"a":1 "b":2}', b"{a:1}", b'{"a":01}', b'{"a":"\n"}'),
        *(b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b'{"a":{"b":1,"b":2}}'),
        *(b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b'{"a":' * 99_999),
    ],
)
def test_members_are_an_objects_only(raw):
    with pytest.raises(Malformed):
        untrusted.members(raw, limit=1_000_000)


def test_members_may_nest_as_deep_as_any_text():
    assert untrusted.members(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", limit=1000)
    with pytest.raises(TooLarge):
        untrusted.members(b'{"a":1}', limit=6)
