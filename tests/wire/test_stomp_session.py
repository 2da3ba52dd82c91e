"""Which frame may follow which (contract 3.6, 12.16), as a table and against a model."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chalicelib.wire.stomp import COMMANDS, ProtocolFault
from chalicelib.wire.stomp_session import TRANSITIONS, OutOfOrder, Phase, Unsupported, advance
from tests.support.counts import full

OPENED, CONNECTED, CLOSED = Phase.OPENED, Phase.CONNECTED, Phase.CLOSED


@pytest.mark.parametrize(
    ("phase", "command", "after"),
    [
        (OPENED, "CONNECT", CONNECTED),
        (OPENED, "STOMP", CONNECTED),
        (OPENED, "DISCONNECT", CLOSED),
        (CONNECTED, "SUBSCRIBE", CONNECTED),
        (CONNECTED, "UNSUBSCRIBE", CONNECTED),
        (CONNECTED, "ACK", CONNECTED),
        (CONNECTED, "NACK", CONNECTED),
        (CONNECTED, "DISCONNECT", CLOSED),
        (CLOSED, "UNSUBSCRIBE", CLOSED),
        (CLOSED, "DISCONNECT", CLOSED),
    ],
)
def test_what_may_come_moves_the_session_on(phase, command, after):
    assert advance(phase, command) is after


@pytest.mark.parametrize(
    ("phase", "command", "fault", "reason"),
    [
        (OPENED, "SUBSCRIBE", OutOfOrder, "SUBSCRIBE before CONNECT"),
        (OPENED, "ACK", OutOfOrder, "ACK before CONNECT"),
        (OPENED, "SEND", OutOfOrder, "SEND before CONNECT"),
        (CONNECTED, "CONNECT", OutOfOrder, "Already connected"),
        (CONNECTED, "STOMP", OutOfOrder, "Already connected"),
        (CLOSED, "CONNECT", OutOfOrder, "CONNECT after DISCONNECT"),
        (CLOSED, "SUBSCRIBE", OutOfOrder, "SUBSCRIBE after DISCONNECT"),
        (CLOSED, "SEND", OutOfOrder, "SEND after DISCONNECT"),
        (CONNECTED, "SEND", Unsupported, "SEND is not allowed"),
        (CONNECTED, "BEGIN", Unsupported, "BEGIN is not supported"),
        (CONNECTED, "COMMIT", Unsupported, "COMMIT is not supported"),
        (CONNECTED, "ABORT", Unsupported, "ABORT is not supported"),
        (CONNECTED, "MESSAGE", Unsupported, "Unknown command"),
        (OPENED, "CONNECTED", Unsupported, "Unknown command"),
        (OPENED, "FROB", Unsupported, "Unknown command"),
        (CLOSED, "<script>", Unsupported, "Unknown command"),
    ],
)
def test_everything_else_is_refused_with_one_sentence(phase, command, fault, reason):
    with pytest.raises(fault) as refused:
        advance(phase, command)

    assert refused.value.reason == reason


def test_the_table_names_known_commands_and_nothing_leads_back():
    order = [OPENED, CONNECTED, CLOSED]
    for (phase, command), after in TRANSITIONS.items():
        assert command in COMMANDS
        assert order.index(after) >= order.index(phase)


class Session(RuleBasedStateMachine):
    """The table against a model that keeps only what was seen: a CONNECT, and a DISCONNECT."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.OPENED
        self.connected = self.left = False

    @rule(command=st.sampled_from([*sorted(COMMANDS), "FROB", "", "connect"]))
    def frame(self, command: str) -> None:
        before = self.phase
        allowed = self.allowed(command)
        try:
            self.phase = advance(self.phase, command)
        except ProtocolFault:
            assert not allowed
            assert self.phase is before
            return
        assert allowed
        self.connected |= command in {"CONNECT", "STOMP"}
        self.left |= command == "DISCONNECT"

    def allowed(self, command: str) -> bool:
        match command:
            case "DISCONNECT":
                return True
            case "CONNECT" | "STOMP":
                return not self.connected and not self.left
            case "SUBSCRIBE":
                return self.connected and not self.left
            case "UNSUBSCRIBE" | "ACK" | "NACK":
                return self.connected or self.left
            case _:
                return False

    @invariant()
    def the_phase_is_what_was_seen(self) -> None:
        expected = CLOSED if self.left else CONNECTED if self.connected else OPENED
        assert self.phase is expected


TestSession = Session.TestCase
TestSession.settings = settings(max_examples=full(100, 2_000), stateful_step_count=20)
