"""Who listens to which topic: one row for each socket and topic, found by the topic's partition.

The row is small on purpose (at most 96 bytes): every count and every fan-out reads all of them.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from chalicelib import clock
from chalicelib.realtime import parallel
from chalicelib.store import writes
from chalicelib.store.table import Item

RUNS_A_MS: Final = 1000


class SubscriptionRow(Item):
    """A socket's interest in a topic."""

    front = UnicodeAttribute(attr_name="f")
    data = UnicodeAttribute(attr_name="i")
    """What the facade needs to address the socket."""
    claim = NumberAttribute(attr_name="c", null=True)
    """Which run of a release took it on."""
    shown = NumberAttribute(attr_name="n", null=True)
    """The number that this listener was sent last, where a topic tells numbers."""
    shown_by = NumberAttribute(attr_name="b", null=True)
    """Which of the topic's rounds sent it."""


def subscribe(row: SubscriptionRow) -> None:
    """Keep a subscription; the same again changes nothing."""
    writes.put(row)


def drop(rows: Sequence[tuple[str, str]]) -> None:
    """Forget subscriptions by their keys."""
    if len(rows) == 1:
        writes.delete(*rows[0])
    elif rows:
        writes.batch(deletes=rows)


def take(row_key: tuple[str, str]) -> SubscriptionRow | None:
    """Forget a subscription; the row that stood there."""
    return writes.read(SubscriptionRow, writes.delete(*row_key, returns="ALL_OLD"))


def count(partitions: Sequence[str], fronts: Iterable[str]) -> int:
    """The living, unclaimed rows of a topic on these fronts; one COUNT query for each shard, side by side.

    Read eventually consistently, at half the price: it passes over every row, and is told every 15 s.
    """
    return sum(counts(partitions, fronts))


def counts(partitions: Sequence[str], fronts: Iterable[str]) -> list[int]:
    """The same for each shard by itself."""
    alive = sorted(fronts)
    if not alive:
        return [0] * len(partitions)
    matching = (SubscriptionRow.expires_at > int(clock.now())) & SubscriptionRow.front.is_in(*alive)
    matching &= SubscriptionRow.claim.does_not_exist()
    return parallel.each(lambda each: writes.count(each, matching, consistent=False), partitions)


def page(
    partition: str, limit: int, start: Mapping[str, Any] | None
) -> tuple[list[SubscriptionRow], Mapping[str, Any] | None]:
    """Some rows of one shard, expired ones left out, and where the next ones start."""
    rows, following = writes.query(SubscriptionRow, partition, consistent=True, limit=limit, start=start)
    now = clock.now()
    return [row for row in rows if (row.expires_at or 0) > now], following


def read(row_key: tuple[str, str]) -> SubscriptionRow | None:
    """One row, read strongly, unless it is gone or has expired."""
    row = writes.get(SubscriptionRow, *row_key, consistent=True)
    return row if row is not None and (row.expires_at or 0) > clock.now() else None


def find(partition: str, prefix: str) -> list[SubscriptionRow]:
    """The living rows of one shard whose key begins with `prefix`."""
    rows, _ = writes.query(SubscriptionRow, partition, consistent=True, prefix=prefix, limit=8)
    now = clock.now()
    return [row for row in rows if (row.expires_at or 0) > now]


def new_run() -> int:
    """A number that no other run has: the time and chance; it tells a repeated claim from another's."""
    return int(clock.now() * 1000) * RUNS_A_MS + secrets.randbelow(RUNS_A_MS)


def claimed_at_ms(claim: float) -> int:
    """When a claim was made, in milliseconds."""
    return abs(int(claim)) // RUNS_A_MS


def enter(row: SubscriptionRow) -> SubscriptionRow | None:
    """Keep a subscription that may be claimed at any moment; `None`, or the claimed row that stands there.

    What a claimed row says never changes: whom it names was served by whoever claimed it.  Without
    the condition a put that botocore repeats would wipe the claim away.
    """
    try:
        writes.put(row, SubscriptionRow.claim.does_not_exist())
    except writes.Refused as refused:
        return refused.row(SubscriptionRow)
    return None


def replace(row: SubscriptionRow, claimed: SubscriptionRow) -> bool:
    """Put a row in the place of a claimed one; `False` when that one is gone or was claimed anew."""
    try:
        writes.put(row, SubscriptionRow.claim == claimed.claim)
    except writes.Refused:
        return False
    return True


def amend(row: SubscriptionRow) -> bool:
    """Change what a standing row says; `False` when it is gone or claimed, and then nothing changes."""
    try:
        writes.put(row, SubscriptionRow.pk.exists() & SubscriptionRow.claim.does_not_exist())
    except writes.Refused:
        return False
    return True


def say(row_key: tuple[str, str], data: str) -> None:
    """Change what a standing row says of its socket."""
    try:
        writes.update(
            *row_key, actions=[SubscriptionRow.data.set(data)], condition=SubscriptionRow.pk.exists()
        )
    except writes.Refused:
        return


def say_claimed(row_key: tuple[str, str], data: str, run: int) -> None:
    """Change what a row says that `run` has claimed; nothing happens when it is another's."""
    try:
        writes.update(
            *row_key, actions=[SubscriptionRow.data.set(data)], condition=SubscriptionRow.claim == run
        )
    except writes.Refused:
        return


def drop_if(row: SubscriptionRow) -> bool:
    """Forget a subscription; `False` when the row that stands there says something else."""
    try:
        writes.delete(
            row.pk, row.sk, SubscriptionRow.data.does_not_exist() | (SubscriptionRow.data == row.data)
        )
    except writes.Refused:
        return False
    return True


def claim(row_key: tuple[str, str], run: int, instead_of: Sequence[int] = ()) -> SubscriptionRow | None:
    """Take a row on for `run`, by one conditional write; the row, or `None` when it is gone or another's.

    `instead_of` are earlier runs of the same work that died; what they had claimed is taken over.
    """
    free = SubscriptionRow.claim.does_not_exist()
    if instead_of:
        free |= SubscriptionRow.claim.is_in(*instead_of)
    try:
        raw = writes.update(
            *row_key,
            actions=[SubscriptionRow.claim.set(run)],
            condition=SubscriptionRow.pk.exists() & free,
            returns="ALL_NEW",
        )
    except writes.Refused as refused:
        row = refused.row(SubscriptionRow)
        return row if row is not None and row.claim == run else None
    return writes.read(SubscriptionRow, raw)


def unclaim(row_key: tuple[str, str], run: int) -> None:
    """Give a row back that `run` could not serve."""
    try:
        writes.update(
            *row_key, actions=[SubscriptionRow.claim.remove()], condition=SubscriptionRow.claim == run
        )
    except writes.Refused:
        return


def show(row_key: tuple[str, str], number: int, before: int | None, by: int) -> bool:
    """Note the number a listener is about to be sent, in the round `by`.

    `False` when another worker was first or it left.
    """
    condition = SubscriptionRow.shown.does_not_exist() if before is None else SubscriptionRow.shown == before
    try:
        writes.update(
            *row_key,
            actions=[SubscriptionRow.shown.set(number), SubscriptionRow.shown_by.set(by)],
            condition=SubscriptionRow.pk.exists() & condition,
        )
    except writes.Refused as refused:
        row = refused.row(SubscriptionRow)
        # This very write, its first answer lost.
        return row is not None and row.shown == number and row.shown_by == by
    return True
