"""Participants: what each may publish and subscribe to, and how a caller changes that (contract 7).  Pure."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, Final, NamedTuple

import msgspec

from chalicelib.owt.errors import BadData, Refused
from chalicelib.wire.patch import Update
from chalicelib.wire.untrusted import Json

SIP_ROLE: Final = "sip"

DIRECTIONS: Final = ("publish", "subscribe")
TRACKS: Final = ("audio", "video")


class Flag(NamedTuple):
    """One of the four things that a participant may or may not do."""

    direction: str
    track: str


FLAGS: Final = tuple(Flag(*each) for each in product(DIRECTIONS, TRACKS))
PATHS: Final = {f"/permission/{flag.direction}/{flag.track}": flag for flag in FLAGS}
PARENTS: Final = {f"/permission/{direction}": direction for direction in DIRECTIONS}

Flags = Mapping[Flag, bool | None]
"""What a participant may do; a direction whose flags are both `None` is shown as `false`."""


class Participant(msgspec.Struct, frozen=True):
    """Somebody in a room."""

    id: str
    user: str
    role: str
    permission: dict[str, Any]


def permission_of(roles: Iterable[Mapping[str, Any]], role: str) -> dict[Flag, bool | None]:
    """The flags of a room's role of this name, the first of them.  Raises `Refused`."""
    found = next((each for each in roles if each["role"] == role), None)
    if found is None:
        raise Refused("the room has no such role")
    return {flag: _granted(found[flag.direction], flag.track) for flag in FLAGS}


def _granted(tracks: Mapping[str, bool] | bool, track: str) -> bool | None:
    return tracks[track] if isinstance(tracks, Mapping) else None


def spell_permission(flags: Flags) -> dict[str, Any]:
    """The flags as they are answered.

    >>> spell_permission({Flag("publish", "audio"): True, Flag("publish", "video"): False})
    {'publish': {'audio': True, 'video': False}, 'subscribe': False}
    """
    return {direction: _spell(flags, direction) for direction in DIRECTIONS}


def _spell(flags: Flags, direction: str) -> dict[str, bool] | bool:
    found = {track: flags.get(Flag(direction, track)) for track in TRACKS}
    if all(value is None for value in found.values()):
        return False
    return {track: bool(value) for track, value in found.items()}


def fold(updates: Iterable[Update]) -> dict[Flag, bool | None]:
    """The flags that a list of updates sets, the last word on each.

    `None` stands for a flag that only has to be there: the other track of one that is set, which turns
    false where the direction was `false` as a whole and else stays.  Raises `BadData`.
    """
    folded: dict[Flag, bool | None] = {}
    for update in updates:
        if update.op != "replace":
            raise BadData("permissions can only be replaced")
        if (flag := PATHS.get(update.path)) is not None:
            folded[flag] = _boolean(update.value)
            for track in TRACKS:
                folded.setdefault(Flag(flag.direction, track), None)
        elif (direction := PARENTS.get(update.path)) is not None:
            folded |= _both(direction, update.value)
        else:
            raise BadData("there is no such permission")
    return folded


def _both(direction: str, value: Json) -> dict[Flag, bool | None]:
    if not isinstance(value, dict):
        raise BadData("a permission is an object of audio and video")
    return {Flag(direction, track): _boolean(value.get(track)) for track in TRACKS}


def _boolean(value: Json) -> bool:
    if not isinstance(value, bool):
        raise BadData("a permission is true or false")
    return value
