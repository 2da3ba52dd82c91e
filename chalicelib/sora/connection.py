"""A connection of a channel: who it is, by which door it came, and how ids are spelled."""

from typing import Final, Literal, TypeAlias, get_args

import msgspec

Role: TypeAlias = Literal["sendrecv", "sendonly", "recvonly"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LONGEST_ID: Final = 255
"""In bytes of UTF-8 (contract 2)."""
EVENT: Final = "event"
"""The door of those whom the media server tells us of."""
SOCKET: Final = "socket"
"""The door of those who listen on a WebSocket of ours."""


class Connection(msgspec.Struct, frozen=True):
    """Who is in a channel, as far as it was said."""

    channel_id: str
    connection_id: str
    client_id: str | None = None
    """The connection's own id, where nothing else was ever said; the bundle's likewise."""
    bundle_id: str | None = None
    role: str | None = None
    session_id: str | None = None


def spell_id(raw: bytes) -> str:
    """16 bytes as 26 symbols of Clockwork Base32: no padding sign, the last two bits 0.

    >>> spell_id(bytes(16)), spell_id(b"\\xff" * 16)
    ('00000000000000000000000000', 'ZZZZZZZZZZZZZZZZZZZZZZZZZW')
    """
    number = int.from_bytes(raw, "big") << 2
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def can_exist(identity: str) -> bool:
    """Whether an id has a length that ids have."""
    return 0 < len(identity) <= LONGEST_ID and len(identity.encode()) <= LONGEST_ID
