"""The product's storage functions replaced by a dictionary, to see what is left without storage.

Conditions are not looked at: nobody here wants another's row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.outbox import kicks
from chalicelib.store import writes
from chalicelib.store.keys import Key

rows: dict[tuple[str, str], Any] = {}


def put(row: Any, condition: Any = None) -> None:
    """See `writes.put`."""
    rows[row.pk, row.sk] = row.serialize()


def update(
    pk: str, sk: str, actions: Any, condition: Any = None, returns: str = "NONE"
) -> dict[str, Any] | None:
    """See `writes.update`; changes nothing, which the lease of a front and the sweep can bear."""
    return rows.get((pk, sk))


def delete(pk: str, sk: str, condition: Any = None, returns: str = "NONE") -> dict[str, Any] | None:
    """See `writes.delete`."""
    old: dict[str, Any] | None = rows.pop((pk, sk), None)
    return old


def get(cls: Any, pk: str, sk: str, consistent: bool = False) -> Any:
    """See `writes.get`."""
    return writes.read(cls, rows.get((pk, sk)))


def get_many(wanted: Sequence[Key]) -> dict[Key, Any]:
    """See `writes.get_many`."""
    return {key: rows[key] for key in wanted if key in rows}


def query(cls: Any, pk: str, **_: Any) -> tuple[list[Any], Mapping[str, Any] | None]:
    """See `writes.query`."""
    return [writes.read(cls, raw) for (partition, _), raw in list(rows.items()) if partition == pk], None


def count(pk: str, matching: Any = None, consistent: bool = True) -> int:
    """See `writes.count`."""
    return sum(partition == pk for partition, _ in list(rows))


def batch(puts: Sequence[Any] = (), deletes: Sequence[tuple[str, str]] = ()) -> None:
    """See `writes.batch`."""
    for row in puts:
        put(row)
    for where in deletes:
        rows.pop(where, None)


def install() -> None:
    """Have the whole process use the dictionary, and no queue."""
    for function in (put, update, delete, get, get_many, query, count, batch):
        setattr(writes, function.__name__, function)
    kicks.send = lambda body, delay_s: False
