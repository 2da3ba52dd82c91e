"""Basic for guests (contract 4.5): a session token, one colon or none, and no password."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.wire import basic
from chalicelib.wire.basic import Undecodable

TOKEN = "T1==cGFydG5lcl9pZD0xMDA="


def encoded(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("colon", ["", ":"])
def test_one_colon_or_none_stands_behind_the_token(colon):
    assert basic.parse_name(encoded(TOKEN + colon)) == TOKEN


def test_padding_may_be_left_out():
    assert basic.parse_name(encoded(TOKEN + "::"[:1]).rstrip("=")) == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "=", "A", "!", "T1==x", encoded(TOKEN) + "\n", encoded(TOKEN)[:-1] + "*", "ä", "\ud800"),
        *(encoded(""), encoded(":"), encoded(TOKEN + "::"), encoded(TOKEN + ":password"), encoded(":x")),
        *(encoded(b"\xff\xfe"), encoded("x" * 5000)),
    ],
)
def test_what_is_no_name_without_a_password_is_refused(text):
    with pytest.raises(Undecodable):
        basic.parse_name(text)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    try:
        assert ":" not in basic.parse_name(text)
    except Undecodable:
        return
