"""Bodies of what is done in a room, field by field (contract 7)."""

from typing import Any

import pytest

from chalicelib.loop import actions_messages as messages
from chalicelib.loop.actions_messages import Action, Domain, Join
from chalicelib.loop.errors import Missing, ValidationError
from chalicelib.loop.session import STATES, Report

STATUS: dict[str, Any] = {
    "action": "status",
    "event": "Session.connectionCreated",
    "state": "sendrecv",
    "connections": 2,
    "sendStreams": 1,
    "recvStreams": 1,
}


@pytest.mark.parametrize("action", ["join", "refresh", "leave", "status", "logDomain"])
def test_five_actions_are_known(action):
    assert messages.parse_action({"action": action}) is Action(action)


def test_an_action_has_to_be_named():
    with pytest.raises(Missing, match="action"):
        messages.parse_action({})


@pytest.mark.parametrize("action", ["", "JOIN", "join ", None, 1, ["join"], {}, True, "dance"])
def test_an_unknown_action_is_a_bad_value(action):
    with pytest.raises(ValidationError) as caught:
        messages.parse_action({"action": action})
    assert not isinstance(caught.value, Missing)


@pytest.mark.parametrize(
    ("size", "most"), [(2, 2), ("3", 3), ("4 people", 4), (2.9, 2), (0, 0), (-1, -1), (10**30, 10**9)]
)
def test_a_join_says_how_many_the_client_takes(size, most):
    body = {"displayName": "Guest", "clientMaxSize": size, "more": 1}
    assert messages.parse_join(body) == Join("Guest", most)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "displayName, clientMaxSize"),
        ({"displayName": "a"}, "clientMaxSize"),
        ({"clientMaxSize": 2}, "displayName"),
    ],
)
def test_a_join_lacks_nothing(body, names):
    with pytest.raises(Missing, match=f": {names}$"):
        messages.parse_join(body)


@pytest.mark.parametrize(
    ("name", "size"),
    [("a", "x"), ("a", None), ("a", []), ("a", True), ("a", {}), (None, 2), (5, 2), ("a" * 256, 2)],
)
def test_a_join_has_a_name_and_a_number(name, size):
    with pytest.raises(ValidationError) as caught:
        messages.parse_join({"displayName": name, "clientMaxSize": size})
    assert not isinstance(caught.value, Missing)


def test_a_report_is_read_with_numbers_or_digits():
    report = Report("Session.connectionCreated", "sendrecv", 2, 1, 1)
    assert messages.parse_status(STATUS, any_state=False) == report
    digits = {"connections": "2", "sendStreams": "1", "recvStreams": 1.7}
    assert messages.parse_status(STATUS | digits, any_state=False) == report


@pytest.mark.parametrize(
    ("given", "connections"),
    [
        ({"sessions": 3}, 3),
        ({"sessions": 3, "connections": 2}, 2),
        ({"sessions": "x", "connections": 2}, 2),
        ({"sessions": "3"}, 3),
    ],
)
def test_sessions_stand_for_connections_where_those_are_not_told(given, connections):
    body = {name: value for name, value in STATUS.items() if name != "connections"} | given
    assert messages.parse_status(body, any_state=False).connections == connections


def test_connections_that_are_wrong_are_not_made_good_by_sessions():
    with pytest.raises(ValidationError, match="connections"):
        messages.parse_status(STATUS | {"connections": "x", "sessions": 3}, any_state=False)


@pytest.mark.parametrize("name", ["event", "state", "connections", "sendStreams", "recvStreams"])
def test_a_report_that_lacks_something_has_a_bad_value_and_is_told_its_name(name):
    body = {each: value for each, value in STATUS.items() if each != name}
    with pytest.raises(ValidationError, match=name) as caught:
        messages.parse_status(body, any_state=False)
    assert not isinstance(caught.value, Missing)


@pytest.mark.parametrize("name", ["connections", "sendStreams", "recvStreams"])
@pytest.mark.parametrize("value", [-1, "-1", "x", "", None, [], {}, True])
def test_a_counter_is_a_number_of_nothing_or_more(name, value):
    with pytest.raises(ValidationError, match=name):
        messages.parse_status(STATUS | {name: value}, any_state=False)


@pytest.mark.parametrize("value", ["", None, 5, [], {}, True])
@pytest.mark.parametrize("name", ["event", "state"])
def test_event_and_state_are_texts(name, value):
    with pytest.raises(ValidationError, match=name):
        messages.parse_status(STATUS | {name: value}, any_state=True)


@pytest.mark.parametrize("state", STATES)
def test_seven_states_are_known(state):
    assert messages.parse_status(STATUS | {"state": state}, any_state=False).state == state


@pytest.mark.parametrize("state", ["connected", "INIT", "init ", "send"])
def test_other_states_are_taken_only_where_a_deployment_takes_any(state):
    with pytest.raises(ValidationError, match="state"):
        messages.parse_status(STATUS | {"state": state}, any_state=False)
    assert messages.parse_status(STATUS | {"state": state}, any_state=True).state == state


@pytest.mark.parametrize("event", ["sdk.exception.1500", "Session.networkDisconnected", "x", "\N{SNOWMAN}"])
def test_any_event_is_taken(event):
    assert messages.parse_status(STATUS | {"event": event}, any_state=False).event == event


def test_a_long_event_is_cut():
    report = messages.parse_status(STATUS | {"event": "e" * 300}, any_state=False)
    assert report.event == "e" * 256


def test_domains_are_read_with_their_counts():
    listed: list[Any] = [{"domain": "example.org", "count": 2}, {"domain": "a.test", "count": "3", "more": 1}]
    found = messages.parse_domains({"domains": listed})
    assert found == [Domain("example.org", 2), Domain("a.test", 3)]
    assert messages.parse_domains({"domains": []}) == []


def test_domains_have_to_be_there():
    with pytest.raises(Missing, match="domains"):
        messages.parse_domains({})


@pytest.mark.parametrize(
    "listed",
    [
        *(None, "example.org", {}, 1, [1], ["example.org"], [None], [[]], [{}]),
        *([{"domain": "a.test"}], [{"count": 1}], [{"domain": 1, "count": 1}]),
        *([{"domain": "", "count": 1}], [{"domain": "a.test", "count": "x"}]),
        *([{"domain": "a.test", "count": -1}], [{"domain": "a" * 254, "count": 1}]),
        [{"domain": "a.test", "count": 1}, 5],
    ],
)
def test_a_bad_entry_is_a_bad_value(listed):
    with pytest.raises(ValidationError) as caught:
        messages.parse_domains({"domains": listed})
    assert not isinstance(caught.value, Missing)


def test_a_session_token_in_a_body_is_a_text():
    shown: list[Any] = ["T1==", "", None, 5, []]
    bodies = [*({"sessionToken": value} for value in shown), {}]
    assert [messages.session_token(body) for body in bodies] == ["T1==", *[None] * 5]
