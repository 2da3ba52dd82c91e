"""What a room is: whose, until when, how many fit in (contract 6 and 7.1).  Pure."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

TOKEN_BYTES: Final = 8
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{11}")
HOUR_S: Final = 3600


class Room(msgspec.Struct, frozen=True):
    """A room, without those who are in it and without its context."""

    token: str
    uid: str
    """Its owner."""
    owner: str
    """How the owner calls itself."""
    name: str | None
    max_size: int
    created: int
    ends_at: int
    ctime: int

    def lives(self, now: float) -> bool:
        """Whether it has not ended yet; to the second."""
        return now < self.ends_at


class Limits(msgspec.Struct, frozen=True):
    """What a deployment allows."""

    max_size: int
    name_characters: int
    owner_characters: int
    hours: int
    """How long a room lives at most, and unless somebody says otherwise."""


class NewRoom(msgspec.Struct, frozen=True):
    """What a room is made of; `context` is JSON text."""

    owner: str
    max_size: int
    hours: int
    channel: str
    name: str | None
    context: str | None


class RoomChange(msgspec.Struct, frozen=True):
    """What a room gets anew; `None` leaves a field as it is, and the end is always set anew."""

    hours: int
    owner: str | None
    name: str | None
    max_size: int | None
    context: str | None


def could_be_token(text: str) -> bool:
    """Whether a room may have this token; others need not be looked for.

    >>> [could_be_token(each) for each in ("QzBbvGmIZWU", "QzBbvGmIZW", "QzBbvGmIZWU=", "QzBbvGmIZW/")]
    [True, False, False, False]
    """
    return TOKEN.fullmatch(text) is not None


def ends_at(now: float, hours: int) -> int:
    """When a room ends that lives for so long."""
    return int(now) + hours * HOUR_S


def capacity(max_size: int, client_max_sizes: Iterable[int]) -> int:
    """How many the room takes, and everybody who is in it.

    >>> capacity(5, []), capacity(5, [4, 2]), capacity(2, [4])
    (5, 2, 2)
    """
    return min([max_size, *client_max_sizes])


def free_seats(capacity: int, others: int, owner_is_in: bool) -> int:
    """How many seats are left besides `others`; one is kept for the owner until it is in.

    `owner_is_in` holds as well when the owner is who asks.

    >>> free_seats(2, 0, False), free_seats(2, 1, False), free_seats(2, 1, True), free_seats(2, 2, True)
    (1, 0, 1, 0)
    """
    return capacity - others - (0 if owner_is_in else 1)
