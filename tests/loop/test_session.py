"""States of sessions, who is let in, who is forgotten: the rules without a room (contract 7.1 and 7.5)."""

from itertools import product
from typing import Any

import pytest

from chalicelib.loop import session
from chalicelib.loop.errors import ClientCapacity, RoomFull
from chalicelib.loop.session import GRAPH, STATES, Event, Participation, Report, State

CREATED, DESTROYED = "Session.connectionCreated", "Session.connectionDestroyed"
RECEIVES, RECEIVES_NOT = "Session.streamCreated", "Session.streamDestroyed"
SENDS, SENDS_NOT = "Publisher.streamCreated", "Publisher.streamDestroyed"
SIX = [CREATED, DESTROYED, RECEIVES, RECEIVES_NOT, SENDS, SENDS_NOT]

EDGES = [
    # From, event, connections, sendStreams, recvStreams after it, to: the rows of the contract's table.
    ("init", CREATED, 1, 0, 0, "waiting"),
    ("waiting", CREATED, 2, 0, 0, "starting"),
    ("starting", RECEIVES, 2, 0, 1, "receiving"),
    ("starting", SENDS, 2, 1, 0, "sending"),
    ("receiving", SENDS, 2, 1, 1, "sendrecv"),
    ("sending", RECEIVES, 2, 1, 1, "sendrecv"),
    ("sendrecv", SENDS_NOT, 2, 0, 1, "receiving"),
    ("sendrecv", RECEIVES_NOT, 2, 1, 0, "sending"),
    ("sending", SENDS_NOT, 2, 0, 0, "cleanup"),
    ("receiving", RECEIVES_NOT, 2, 0, 0, "cleanup"),
    ("cleanup", DESTROYED, 1, 0, 0, "waiting"),
    ("waiting", DESTROYED, 0, 0, 0, "init"),
    ("starting", DESTROYED, 1, 0, 0, "waiting"),
    ("sending", DESTROYED, 1, 1, 0, "waiting"),
    ("receiving", DESTROYED, 1, 0, 1, "waiting"),
    ("sendrecv", DESTROYED, 1, 1, 1, "waiting"),
]
UNMET = [
    # Guards that do not hold.
    ("init", CREATED, 2, 0, 0),
    ("waiting", CREATED, 1, 0, 0),
    ("sendrecv", SENDS_NOT, 2, 1, 1),
    ("sendrecv", RECEIVES_NOT, 2, 1, 1),
    ("sending", SENDS_NOT, 2, 1, 0),
    ("receiving", RECEIVES_NOT, 2, 0, 1),
    ("cleanup", DESTROYED, 0, 0, 0),
    ("waiting", DESTROYED, 1, 0, 0),
]
CLIENTS = [
    # Event, counters, and what shipped clients report.
    (CREATED, 1, 0, 0, "waiting"),
    (CREATED, 2, 0, 0, "starting"),
    (DESTROYED, 0, 0, 0, "waiting"),
    (DESTROYED, 0, 1, 1, "waiting"),
    (DESTROYED, 1, 0, 0, "starting"),
    (DESTROYED, 2, 1, 1, "sendrecv"),
    (SENDS, 2, 1, 0, "sending"),
    (SENDS, 2, 1, 1, "sendrecv"),
    (RECEIVES, 2, 0, 1, "receiving"),
    (SENDS_NOT, 2, 0, 1, "receiving"),
    (RECEIVES_NOT, 2, 0, 0, "starting"),
    ("Session.av.streamCreated", 2, 0, 1, "receiving"),
    ("Session.subscribeCompleted", 2, 1, 1, "sendrecv"),
    ("sdk.exception.1500", 0, 0, 0, "starting"),
]


@pytest.mark.parametrize(("before", "event", "connections", "sends", "receives", "after"), EDGES)
def test_the_graph_leads_on(before, event, connections, sends, receives, after):
    report = Report(event, after, connections, sends, receives)
    assert session.target(before, report) == after
    assert session.conforms(before, report)


def test_each_row_of_the_table_is_an_edge_and_there_are_no_others():
    assert [(str(edge.source), str(edge.event), str(edge.target)) for edge in GRAPH] == [
        (before, event, after) for before, event, _, _, _, after in EDGES
    ]
    assert len({(edge.source, edge.event) for edge in GRAPH}) == len(GRAPH)


@pytest.mark.parametrize(("before", "event", "connections", "sends", "receives"), UNMET)
def test_where_a_guard_is_not_met_the_state_stays(before, event, connections, sends, receives):
    report = Report(event, before, connections, sends, receives)
    assert session.target(before, report) == before
    assert session.conforms(before, report)


@pytest.mark.parametrize(
    ("before", "event"), sorted({*product(STATES, SIX)} - {(edge[0], edge[1]) for edge in EDGES})
)
def test_at_a_documented_event_that_leads_nowhere_the_state_stays(before, event):
    assert session.target(before, Report(event, before, 7, 7, 7)) == before


@pytest.mark.parametrize(
    ("spelling", "event"),
    [
        ("Session.av.streamCreated", RECEIVES),
        ("Session.screen.streamCreated", RECEIVES),
        ("Session.StreamDestroyed", RECEIVES_NOT),
        ("Publisher.StreamDestroyed", SENDS_NOT),
    ],
)
def test_other_spellings_of_an_event_are_judged_like_it(spelling, event):
    for before, connections, sends, receives in product(STATES, (0, 1, 2), (0, 1), (0, 1)):
        counters = (connections, sends, receives)
        assert session.target(before, Report(spelling, "", *counters)) == session.target(
            before, Report(event, "", *counters)
        )


@pytest.mark.parametrize(("event", "connections", "sends", "receives", "state"), CLIENTS)
def test_what_shipped_clients_report_conforms_from_every_state(event, connections, sends, receives, state):
    report = Report(event, state, connections, sends, receives)
    assert session.as_clients_do(report) == state
    assert session.predecessors(report) is None
    assert all(session.conforms(before, report) for before in STATES)


def test_clients_report_neither_the_beginning_nor_cleaning_up():
    for event, *counters in product([*SIX, "else"], (0, 1, 2), (0, 1), (0, 1)):
        assert session.as_clients_do(Report(event, "", *counters)) not in (State.INIT, State.CLEANUP)


def test_at_an_unknown_event_the_counters_alone_decide():
    for before, state in product(STATES, STATES):
        conforms = session.conforms(before, Report("sdk.datachannel.open", state, 2, 1, 0))
        assert conforms is (state == "sending")


def test_the_sample_of_the_wiki_is_on_no_edge_and_does_as_clients_do():
    sample = Report(CREATED, "sendrecv", 2, 1, 1)
    assert (State.SENDRECV, Event.CONNECTED) not in {(edge.source, edge.event) for edge in GRAPH}
    assert session.conforms("init", sample)


def test_predecessors_are_exactly_the_states_from_which_a_report_conforms():
    for event, state, *counters in product([*SIX, "else"], STATES, (0, 1, 2), (0, 1), (0, 1)):
        report = Report(event, state, *counters)
        found = session.predecessors(report)
        for before in STATES:
            wanted = session.target(before, report) == state or session.as_clients_do(report) == state
            assert (found is None or before in found) is wanted


def test_a_state_of_ones_own_is_legal_only_where_nothing_moves():
    assert session.predecessors(Report(CREATED, "dreaming", 2, 0, 0)) == frozenset({"dreaming"})
    assert session.predecessors(Report("else", "dreaming", 2, 0, 0)) == frozenset()


# Seats


def somebody(name: str, most: int = 5, *, owner: bool = False, **more: Any) -> Participation:
    """A participation."""
    fields: dict[str, Any] = {"until": 300.0, "joined": 0.0} | more
    return Participation(key=f"h{name}", id=name, name=name, is_owner=owner, most=most, token="t", **fields)


A, B, C = somebody("a"), somebody("b"), somebody("c")
OWNER = somebody("o", owner=True)


@pytest.mark.parametrize(
    ("size", "others", "is_owner", "most", "refusal"),
    [
        (2, [], False, 2, None),
        (2, [A], False, 2, RoomFull),  # the owner's seat
        (2, [A], True, 2, None),
        (2, [OWNER], False, 2, None),
        (2, [OWNER, A], False, 2, RoomFull),
        (1, [], False, 5, RoomFull),
        (1, [], True, 5, None),
        (5, [A, B], False, 3, None),
        (5, [A, B], False, 2, ClientCapacity),
        (5, [A, B], True, 2, ClientCapacity),
        (5, [A, B, C], False, 5, None),
        (5, [A, B, C, OWNER], False, 5, None),
        (5, [A, somebody("b", 2)], False, 5, RoomFull),
        (5, [A, somebody("b", 3)], False, 5, RoomFull),
        (5, [A, somebody("b", 3)], True, 5, None),
        (5, [], False, 1, None),
        (5, [], False, 0, ClientCapacity),
        (5, [], False, -1, ClientCapacity),
        (1, [OWNER], False, 1, RoomFull),  # a full room is one before anything is said of the client
        (2, [A, B, C], True, 9, RoomFull),  # the room was made smaller meanwhile
    ],
)
def test_who_is_let_in(size, others, is_owner, most, refusal):
    if refusal is None:
        session.admit(size, others, is_owner, most)
    else:
        with pytest.raises(refusal):
            session.admit(size, others, is_owner, most)


def test_a_participation_lives_until_its_last_moment_and_not_at_it():
    assert A.lives(299.999)
    assert not A.lives(300.0)
    assert A.ended(299.999) is None
    assert A.ended(301.0) == 300.0
    left = somebody("d", left=100.0)
    assert not left.lives(101.0)
    assert left.ended(101.0) == 100.0


def test_the_last_twenty_who_ended_are_remembered_for_a_while():
    ended = [somebody(f"e{number:02}", until=100.0 + number) for number in range(25)]
    gone = session.forgotten([*ended, A], 200.0, 1000.0)
    assert [each.id for each in gone] == ["e04", "e03", "e02", "e01", "e00"]
    assert session.forgotten([A, B], 200.0, 1000.0) == []
    assert {each.id for each in session.forgotten([*ended[:10], A], 200.0, 96.0)} == {
        *("e00", "e01", "e02", "e03", "e04"),
    }
