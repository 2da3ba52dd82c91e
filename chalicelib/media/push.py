"""Tells webhooks of commands, in the order of each room (docs/contracts/media-plane.md).

One worker at a time has a room, by the lease of the row that owes.  It sends the oldest command until that is
taken, or given up, and then the next one; so nothing overtakes, and what stands still is one room only.
"""

import base64
import hmac
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from chalicelib import clock, waits
from chalicelib.media import settings
from chalicelib.media.settings import Endpoint
from chalicelib.outbox import kicks, outgoing, owed
from chalicelib.outbox.outgoing import Limits, Outcome
from chalicelib.outbox.owed import DeadRow, Schedule
from chalicelib.owt.command import Command
from chalicelib.owt.store import commands
from chalicelib.owt.store.commands import PusherRow, PushRow
from chalicelib.store import keys, writes
from chalicelib.store.attributes import NumberAttribute
from chalicelib.store.keys import Key
from chalicelib.store.table import Item
from chalicelib.store.writes import Overfull

log = logging.getLogger(__name__)

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
SCHEDULE: Final = Schedule(
    (
        *(5.0, 5 * MINUTE_S, 30 * MINUTE_S),
        *(2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S),
    )
)
WITHIN_S: Final = 10.0
ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read."""
GONE: Final = 410
SPARE_S: Final = 2.0
"""So much of a lease is left, at least, when an answer is waited for no longer."""
AT_ONCE_S: Final = 20.0
"""For how long one worker goes on, before it leaves the rest to the next one."""
PAGE: Final = 25
FIRST: Final = "0"
"""Where commands begin behind the row that owes them."""


class SilencedRow(Item):
    """An address that nothing is sent to any more: it answered that it is gone."""

    since = NumberAttribute()


def lease_s() -> float:
    """For how long a worker has a room to itself: as usual, but never for less than a request takes."""
    return max(owed.usual_lease_s(), WITHIN_S + 2 * SPARE_S)


def serve(key: Key) -> None:
    """Tell of the commands of this row's room, unless another worker does.  Raises `Unavailable`."""
    row = owed.claim(PusherRow, key, lease_s=lease_s(), endless=True)
    if row is not None:
        _Run(row).go()


def replay(letter: DeadRow) -> bool:
    """Have a command that was given up sent again, whatever has become of its time; `False` without one.

    Raises `Unavailable`.
    """
    body: Any = letter.body
    if not body:
        log.warning("a dead letter without its command was too large to be kept: %s", letter.reason)
        return False
    commands.push_again(body["room"], body["id"], body["command"])
    return True


def enable(url: str) -> None:
    """Send to an address again that answered that it is gone.  Raises `Unavailable`."""
    writes.delete(*keys.owt_webhook(url))


class _Stopped(Exception):
    """This worker has nothing more to do for the room."""


class _Run:
    """One worker's work for one room."""

    def __init__(self, row: PusherRow) -> None:
        self._row = row
        self._key = Key(row.pk, row.sk)
        self._tries = 0
        """How often the oldest command was sent, in earlier runs too."""
        self._until = clock.monotonic() + AT_ONCE_S
        self._silenced: dict[str, bool] = {}

    def go(self) -> None:
        """Raises `Unavailable`."""
        known: str | None = self._row.latest
        try:
            while True:
                queue, more = writes.query(PushRow, self._key.pk, consistent=True, at_least=FIRST, limit=PAGE)
                for push in queue:
                    self._keep()
                    self._deliver(push)
                    owed.insist(partial(writes.delete, push.pk, push.sk))
                if more is not None:
                    continue
                # Whoever wrote a command after `known` was read has changed the row: then there is more.
                if owed.finish(self._row, unless=PusherRow.latest != known):
                    return
                known = self._again()
        except _Stopped:
            return

    def _again(self) -> str | None:
        """The mark of the last command written, as it is now.  Raises `_Stopped`, `Unavailable`."""
        row = writes.get(PusherRow, *self._key, consistent=True)
        if row is None or row.owner != self._row.owner:
            raise _Stopped
        return row.latest

    def _keep(self) -> None:
        """Make sure that the room stays with this worker for one more request.  Raises `_Stopped`."""
        if clock.monotonic() > self._until:
            if owed.hold(self._row, lease_s=0.0):
                kicks.kick(commands.PUSH, self._key)
            raise _Stopped
        enough = float(self._row.due_at) - clock.now() >= WITHIN_S + SPARE_S
        if not enough and not owed.hold(self._row, lease_s=lease_s()):
            raise _Stopped

    def _deliver(self, push: PushRow) -> None:
        """Tell of one command, or see that nobody has to be told.  Raises `_Stopped`, `Unavailable`."""
        made = _read(push.command)
        self._tries = int(self._row.tries) if self._row.head == push.sk else 0
        endpoint = settings.get().of(made.service)
        if endpoint is None or self._is_silenced(endpoint) or not self._is_open(push, made):
            return
        self._tries += 1
        outcome = _send(endpoint, made.id, push.command)
        if outcome.accepted:
            return
        log.info("a webhook did not take command %s: %s", made.id, outcome.reason)
        if outcome.status == GONE:
            self._silence(endpoint)
            _bury(push, made, "the address is gone, and is not used any more", self._tries)
        else:
            self._later(push, made, outcome.reason, outcome.wait_s)

    def _is_open(self, push: PushRow, made: Command) -> bool:
        """Whether a command is still to be told of; one that expired untold is a dead letter."""
        if not push.replayed and commands.find(made.id) is not None:
            return True
        if commands.outcome(made.id) is not None:
            return False
        if push.replayed:
            return True
        if clock.now() >= push.lives_until:
            _bury(push, made, "it expired before it was taken", self._tries)
        return False

    def _later(self, push: PushRow, made: Command, reason: str, at_least_s: float = 0.0) -> None:
        """Try again as the schedule says; after the last try, give the command up and go on.

        Raises `_Stopped`, `Unavailable`.
        """
        delay_s = SCHEDULE.after(self._tries, at_least_s)
        if delay_s is None:
            _bury(push, made, reason, self._tries)
            return
        # Nothing waits behind a command whose time is over.
        delay_s = min(delay_s, max(0.0, push.lives_until - clock.now()))
        tried = [PusherRow.head.set(push.sk), PusherRow.tries.set(self._tries)]
        self._row.attempts = 0  # it is the schedule that gives up
        owed.postpone(commands.PUSH, self._row, reason, delay_s=delay_s, also=tried)
        raise _Stopped

    def _is_silenced(self, endpoint: Endpoint) -> bool:
        known = self._silenced.get(endpoint.url)
        if known is None:
            row = writes.get(SilencedRow, *keys.owt_webhook(endpoint.url), consistent=True)
            known = self._silenced[endpoint.url] = row is not None
        return known

    def _silence(self, endpoint: Endpoint) -> None:
        where = keys.owt_webhook(endpoint.url)
        writes.put(SilencedRow(*where, since=round(clock.now(), 3)))
        self._silenced[endpoint.url] = True
        log.error("a webhook is gone, and nothing is sent to it while there is the row %s", where.pk)


def _bury(push: PushRow, made: Command, reason: str, tries: int) -> None:
    body = {"room": made.room, "id": made.id, "command": push.command}
    bury = partial(owed.bury, commands.PUSH, Key(push.pk, push.sk), f"{made.id}: {reason}", tries)
    try:
        owed.insist(partial(bury, body))
    except Overfull:
        owed.insist(bury)


def _read(text: str) -> Command:
    """The command that a row has as it is sent."""
    fields: Mapping[str, Any] = json.loads(text)
    created = datetime.fromisoformat(fields["created_at"]).timestamp()
    names = ("id", "service", "room", "kind", "target", "args")
    return Command(**{name: fields[name] for name in names}, created=created)


def _send(endpoint: Endpoint, identity: str, body: str) -> Outcome:
    """One request, signed for this moment; others are served meanwhile."""
    stamp = str(int(clock.now()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(
            signature(secret, f"{identity}.{stamp}.{body}") for secret in endpoint.secrets
        ),
    }
    limits = Limits(within_s=WITHIN_S, answer=ANSWER, private=settings.get().private)
    with waits.parked():
        return outgoing.send("POST", endpoint.url, headers=headers, body=body.encode(), limits=limits)


def signature(secret: bytes, text: str) -> str:
    """The signature of an id, a time and a body with points between them, as Standard Webhooks has it.

    >>> signature(b"0123456789abcdef01234567", "msg_1.1614265330.{}")
    'v1,drNL48mq2Gz9Aob4a9QOsgzDtgRjiMTaVlkoEPtJ9Ng='
    """
    return "v1," + base64.b64encode(hmac.digest(secret, text.encode(), "sha256")).decode()
