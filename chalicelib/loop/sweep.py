"""What rooms owe, worked off: who left unnoticed, what owners are to be told, rooms that are over.

A room is due as long as it stands: at the next moment at which somebody runs out or it ends, and at once
when its owner has to be told that it changed.
"""

import logging
from typing import Final
from urllib.parse import urlencode

from chalicelib import clock, journal
from chalicelib.loop import settings
from chalicelib.loop.store import credentials, rooms, upkeep
from chalicelib.loop.store.rooms import RoomRow
from chalicelib.loop.store.upkeep import TakenOver
from chalicelib.outbox import outgoing
from chalicelib.outbox.outgoing import Limits, Outcome
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

PUSH_S: Final = 2.0
PUSHES: Final = "loop.push"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


def warm() -> None:
    """Load what the certificates of push servers are checked with, where owners are told."""
    if settings.get().push:
        outgoing.warm()


def room_work(key: Key) -> None:
    """Serve a kick of the kind `loop.room`.  Raises `Unavailable`."""
    row = upkeep.claim(key)
    if row is None:
        return
    try:
        _see_to(row)
    except TakenOver:
        log.info("a room changed while it was seen to, and is due again")


def _see_to(row: RoomRow) -> None:
    """Raises `TakenOver`, `Unavailable`."""
    row = upkeep.expire(row)
    if row.push is not None:
        _tell_owner(row)
    if upkeep.is_over(row, clock.now()):
        upkeep.remove(row)
    elif not upkeep.put_off(row):
        raise TakenOver


def _tell_owner(row: RoomRow) -> None:
    """Push the room's last change to where its owner wants it, once, whatever comes of it (contract 8).

    Raises `Unavailable`.
    """
    if not settings.get().push:
        return  # it was on when the room changed
    url = credentials.rooms_url(row.uid)
    if url is None:
        return
    outcome = _push(url, int(row.push))
    journal.count(PUSHES, 1, token=rooms.token_of(row), uid=row.uid, accepted=outcome.accepted)
    if not outcome.accepted:
        log.warning("an owner was not told: %s", outcome.reason)


def _push(url: str, version: int) -> Outcome:
    limits = Limits(within_s=PUSH_S, private=settings.get().push_allow_private)
    body = urlencode({"version": version}).encode()
    return outgoing.send("PUT", url, headers=FORM, body=body, limits=limits)
