"""Which STOMP frame may follow which, as one table (contract 3.6)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from chalicelib.wire.stomp import ProtocolFault


class OutOfOrder(ProtocolFault):
    """The command is known, and may not come now."""


class Unsupported(ProtocolFault):
    """The service never takes this command from a client."""


class Phase(StrEnum):
    """Where a socket's STOMP session stands."""

    OPENED = "opened"
    CONNECTED = "connected"
    CLOSED = "closed"


TRANSITIONS: Final[Mapping[tuple[Phase, str], Phase]] = {
    (Phase.OPENED, "STOMP"): Phase.CONNECTED,
    (Phase.OPENED, "CONNECT"): Phase.CONNECTED,
    # Its RECEIPT is owed whatever came before, or the client never leaves (contract 3.5, 15.2).
    (Phase.OPENED, "DISCONNECT"): Phase.CLOSED,
    (Phase.CONNECTED, "SUBSCRIBE"): Phase.CONNECTED,
    (Phase.CONNECTED, "UNSUBSCRIBE"): Phase.CONNECTED,
    (Phase.CONNECTED, "ACK"): Phase.CONNECTED,
    (Phase.CONNECTED, "NACK"): Phase.CONNECTED,
    (Phase.CONNECTED, "DISCONNECT"): Phase.CLOSED,
    # API Gateway may run a client's last frames in any order (contract 7.3).
    (Phase.CLOSED, "UNSUBSCRIBE"): Phase.CLOSED,
    (Phase.CLOSED, "ACK"): Phase.CLOSED,
    (Phase.CLOSED, "NACK"): Phase.CLOSED,
    (Phase.CLOSED, "DISCONNECT"): Phase.CLOSED,
}

REFUSED: Final[Mapping[str, str]] = {
    "SEND": "SEND is not allowed",
    "BEGIN": "BEGIN is not supported",
    "COMMIT": "COMMIT is not supported",
    "ABORT": "ABORT is not supported",
}

_IN_ORDER: Final = frozenset(command for _, command in TRANSITIONS)


def advance(phase: Phase, command: str) -> Phase:
    """The phase after `command`.  Raises `OutOfOrder` or `Unsupported`, and then nothing has changed."""
    try:
        return TRANSITIONS[phase, command]
    except KeyError:
        raise _fault(phase, command) from None


def _fault(phase: Phase, command: str) -> ProtocolFault:
    """Why `command` is refused in `phase`; unknown text is never repeated to the peer."""
    if command not in _IN_ORDER and command not in REFUSED:
        return Unsupported("Unknown command")
    if phase is Phase.OPENED:
        return OutOfOrder(f"{command} before CONNECT")
    if phase is Phase.CLOSED:
        return OutOfOrder(f"{command} after DISCONNECT")
    if command in REFUSED:
        return Unsupported(REFUSED[command])
    return OutOfOrder("Already connected")
