"""Room patterns: an anchored, linear-time subset."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jitsi import pattern


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("room1", "room1", True),
        ("Room1", "ROOM1", True),
        ("room", "room1", False),
        ("^room.*$", "room1", True),
        ("room.*", "my-room1", False),
        ("team-[a-z0-9]+", "team-x9", True),
        ("team-[a-z0-9]+", "team-", False),
        ("team-[^0-9]?", "team-", True),
        ("team-[^0-9]?", "team-7", False),
        (r"a\.b", "a.b", True),
        (r"a\.b", "axb", False),
        (r"\d+", "2026", True),
        (r"\w*", "a_b1", True),
        (".+", "", False),
        ("", "", True),
        ("x-?y", "xy", True),
        (r"price\$", "price$", True),
    ],
)
def test_the_subset_matches_the_whole_name_ignoring_case(text, room, expected):
    assert pattern.matches(text, room) is expected


@pytest.mark.parametrize(
    "text", ["(a|b)", "a{2}", "a|b", r"(a)\1", "a**", "[a", "[]", "*a", "a\\", r"\p", "x" * 257]
)
def test_what_is_outside_the_subset_is_refused(text):
    with pytest.raises(pattern.BadPattern):
        pattern.matches(text, "a")


def test_a_pattern_that_stalls_backtracking_matchers_takes_linear_steps():
    assert not pattern.matches(".*" * 100 + "x", "a" * 1023)


@given(st.text("ab.*+?", max_size=8), st.text("ab", max_size=8))
def test_what_it_takes_it_matches_as_regular_expressions_do(text, room):
    try:
        ours = pattern.matches(text, room)
    except pattern.BadPattern:
        return
    assert ours is (re.fullmatch(text, room) is not None)
