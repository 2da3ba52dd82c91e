"""Bodies about rooms: whatever they are, they are understood or refused as the contract says."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.loop import fields, messages
from chalicelib.loop.errors import Missing, ValidationError
from chalicelib.loop.room import Limits, Room
from chalicelib.loop.session import Participation
from chalicelib.wire.untrusted import Json
from tests.support.counts import full

LIMITS = Limits(max_size=5, name_characters=100, owner_characters=255, hours=1344)
ROOM = Room("QzBbvGmIZWU", "uid", "Ada", None, 5, 1, 3601, 2)
URL = "https://hello.example/{token}"

NAMES = st.sampled_from(
    ["context", "roomName", "roomOwner", "maxSize", "expiresIn", "channel", "deleteRoomTokens", "other"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
LIKELY = (
    st.sampled_from(["3", "3.7", " 2x", "", "0", 1, 5, 6, 0, -1, 1344, 1345, 2.5, "x" * 101, "x" * 256, None])
    | st.fixed_dictionaries({}, optional={"value": st.text(), "alg": st.text(), "wrappedKey": st.text()})
    | JSON
)
BODIES = st.dictionaries(NAMES, LIKELY, max_size=6)


@given(BODIES)
@settings(max_examples=full(100, 1000))
def test_a_new_room_is_within_the_limits_or_refused(body):
    try:
        new = messages.parse_new(body, LIMITS)
    except Missing:
        assert {"roomOwner", "maxSize"} - body.keys() or not {"context", "roomName"} & body.keys()
    except ValidationError:
        assert {"roomOwner", "maxSize"} <= body.keys()
    else:
        assert (1 <= new.max_size <= 5, 1 <= new.hours <= 1344) == (True, True)
        assert (new.context is None) != (new.name is None)
        assert len(new.owner) <= 255
        assert len(new.name or "") <= 100
        assert new.context is None or json.loads(new.context) == body["context"]


@given(BODIES)
@settings(max_examples=full(100, 1000))
def test_a_change_is_within_the_limits_or_refused(body):
    try:
        change = messages.parse_change(body, LIMITS)
    except Missing:
        pytest.fail("a change may leave anything out")
    except ValidationError:
        assert body
    else:
        assert 1 <= change.hours <= 1344
        assert (change.max_size is None) == ("maxSize" not in body)
        assert (change.owner is None) == ("roomOwner" not in body)
        assert (change.context is None) == ("context" not in body)
        assert (change.name is None) == ("roomName" not in body)


@given(BODIES)
def test_tokens_to_be_deleted_are_texts_each_once_or_refused(body):
    try:
        tokens = messages.parse_deletion(body)
    except Missing:
        assert "deleteRoomTokens" not in body
    except ValidationError:
        assert "deleteRoomTokens" in body
    else:
        assert tokens
        assert sorted(tokens) == sorted(set(body["deleteRoomTokens"]))


@given(st.integers(-(10**9), 10**9), st.text(alphabet="abc .-\n", max_size=3))
def test_a_number_may_be_a_text_that_begins_with_it(number, rest):
    assert fields.whole(f" {number}{rest}") == number
    assert fields.whole(number + 0.0) == number


def test_a_room_of_limits_of_its_own():
    narrow = Limits(max_size=2, name_characters=3, owner_characters=2, hours=1)
    body: dict[str, Json] = {"roomOwner": "ab", "maxSize": 2, "roomName": "abc"}
    assert messages.parse_new(body, narrow).hours == 1
    for name, wrong in (("roomOwner", "abc"), ("maxSize", 3), ("roomName", "abcd"), ("expiresIn", 2)):
        with pytest.raises(ValidationError):
            messages.parse_new(body | {name: wrong}, narrow)


def test_what_each_takes_caps_what_all_can():
    present = [
        Participation(
            key=f"g{name}", id=name, name=name, is_owner=False, most=most, until=9.0, token="t", joined=0.0
        )
        for name, most in (("a", 4), ("b", 3))
    ]
    shown = messages.full(ROOM, URL, None, present)
    assert (shown["maxSize"], shown["clientMaxSize"]) == (5, 3)
    assert shown["participants"] == [
        {"roomConnectionId": name, "displayName": name, "owner": False} for name in ("a", "b")
    ]
    assert messages.full(ROOM, URL, None, [])["clientMaxSize"] == 5


def test_the_address_is_made_of_the_template():
    assert messages.public(ROOM, URL, "{}")["roomUrl"] == "https://hello.example/QzBbvGmIZWU"
