"""Reads, conditional writes on one item, and transactions; a refused condition says what stood there."""

import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action, AddAction, DeleteAction, RemoveAction, SetAction

from chalicelib import ids, metrics
from chalicelib.errors import AppError, Unavailable
from chalicelib.store import table
from chalicelib.store.keys import Key
from chalicelib.store.table import Item

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Item)
Raw = dict[str, dict[str, Any]]
Returns = Literal["NONE", "ALL_NEW", "ALL_OLD"]

BATCH_READ: Final = 100
BATCH_WRITE: Final = 25
BATCH_TRIES: Final = 8
TOKEN_LENGTH: Final = 36
TRANSACTION: Final = 100
"""So many items at most in one transaction."""

CONFLICT_TRIES: Final = 40
SHORTEST_PAUSE_S: Final = 0.01
LONGEST_PAUSE_S: Final = 0.2
CONFLICTS: Final = frozenset({"TransactionConflictException", "TransactionInProgressException"})
"""Another transaction has the item: nothing was written, and the same call may succeed a moment later."""
CROWDED: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Why a transaction was cancelled that may succeed a moment later."""
NOT_CANCELLED: Final = "None"
VERBS: Final = {"SET ": SetAction, "REMOVE ": RemoveAction, "ADD ": AddAction, "DELETE ": DeleteAction}
"""How the clauses of changes begin, in their order."""
CONDITION: Final = "ConditionalCheckFailed"
OVERFULL: Final = "exceeded the maximum allowed size"
"""What DynamoDB says, of a put as of an update, when an item is too large."""


class Refused(AppError):
    """The condition of a write did not hold; `old` is the item that stood there, or `None`."""

    def __init__(self, old: Raw | None) -> None:
        super().__init__("the row is not in the state that the write demands")
        self.old = old

    def row(self, cls: type[Row]) -> Row | None:
        """The item that stood there, as `cls`."""
        return read(cls, self.old)


def read(cls: type[Row], raw: Raw | None) -> Row | None:
    """An item as `cls`."""
    return cls.from_raw_data(raw) if raw else None


@contextmanager
def refusing(error: AppError) -> Iterator[None]:
    """Raise `error` where a condition fails; outages pass through."""
    try:
        yield
    except Refused as refused:
        raise error from refused


class Overfull(Unavailable):
    """An item would have become larger than items may be."""


class Cancelled(AppError):
    """A transaction was not made, for conditions that did not hold.

    `failed` has their positions among the transaction's parts, each with the item that stood there.
    """

    def __init__(self, failed: Mapping[int, Raw | None]) -> None:
        super().__init__("the rows are not in the state that the transaction demands")
        self.failed = failed

    def row(self, at: int, cls: type[Row]) -> Row | None:
        """The item that stood where the part at this position found its condition broken, as `cls`."""
        return read(cls, self.failed.get(at))


def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """One storage call, repeated while a transaction stands in its way.

    Raises `Refused`, `Cancelled`, `Overfull`, `Unavailable`.
    """
    for tried in itertools.count():
        try:
            answer: dict[str, Any] = table.client()._make_api_call(operation, request)
        except ClientError as error:
            code = _refusal(operation, error)
            if tried >= CONFLICT_TRIES:
                metrics.STORAGE_FAILURES.add(1, operation)
                raise Unavailable("storage is overloaded") from error
            metrics.STORAGE_BUSY.add(1, operation)
            log.info("storage is busy with %s: %s", operation, code)
            _pause(tried)
        except (BotoCoreError, HTTPClientError) as error:
            metrics.STORAGE_FAILURES.add(1, operation)
            log.error("storage did not answer %s: %s", operation, type(error).__name__)
            raise Unavailable("storage does not answer") from error
        else:
            return answer
    raise AssertionError


def _refusal(operation: str, error: ClientError) -> str:
    """Why a call that may be repeated was not served.  Raises what is final."""
    code = str(error.response.get("Error", {}).get("Code"))
    if code == "ConditionalCheckFailedException":
        raise Refused(error.response.get("Item")) from None
    if code in CONFLICTS:
        return code
    reasons = error.response.get("CancellationReasons") or []
    failed = {at: each.get("Item") for at, each in enumerate(reasons) if each.get("Code") == CONDITION}
    if failed:
        raise Cancelled(failed) from None
    if code == "ValidationException" and OVERFULL in str(error.response["Error"].get("Message")).lower():
        raise Overfull("the item would be too large") from error
    codes = {str(each.get("Code")) for each in reasons} - {NOT_CANCELLED}
    if codes and codes <= CROWDED:
        return ", ".join(sorted(codes))
    metrics.STORAGE_FAILURES.add(1, operation)
    log.error("storage refused %s: %s", operation, ", ".join([code, *sorted(codes)]))
    raise Unavailable("storage failed") from error


def _pause(tried: int) -> None:
    """Wait a little, by chance, before a call is repeated.  Raises `Unavailable` when time is up."""
    seconds = ids.chance.uniform(0, min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2**tried))
    left = table.remaining()
    if left is not None and left - seconds < table.READ_TIMEOUT_S:
        raise Unavailable("storage is overloaded")
    time.sleep(seconds)


def _completed(
    request: dict[str, Any], condition: Condition | None, actions: Sequence[Action] = ()
) -> dict[str, Any]:
    """A request with what it changes, and with its condition, whose failure is to tell what stood there."""
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    if actions:
        request["UpdateExpression"] = _spell_update(actions, names, values)
    if condition is not None:
        request["ConditionExpression"] = condition.serialize(names, values)
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return _with_names(request, names, values)


def _with_names(request: dict[str, Any], names: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    """A request with the names and values that its expressions share."""
    if names:
        request["ExpressionAttributeNames"] = {alias: name for name, alias in names.items()}
    if values:
        request["ExpressionAttributeValues"] = values
    return request


def _spell_update(actions: Sequence[Action], names: dict[str, str], values: dict[str, Any]) -> str:
    clauses: dict[str, str] = {}
    for each in actions:
        verb = "SET " if isinstance(each, SetAction) else _verb(each)
        text = each.serialize(names, values)
        clauses[verb] = f"{clauses[verb]}, {text}" if verb in clauses else verb + text
    return " ".join([clauses[verb] for verb in VERBS if verb in clauses])


def _verb(action: Action) -> str:
    return next(verb for verb, kind in VERBS.items() if isinstance(action, kind))


class Put(msgspec.Struct, frozen=True):
    """A row to write whole, in a transaction."""

    row: Item
    condition: Condition | None = None

    def spell(self) -> dict[str, Any]:
        """The part as DynamoDB takes it."""
        return {"Put": _completed({"TableName": table.name(), "Item": self.row.serialize()}, self.condition)}


class Change(msgspec.Struct, frozen=True):
    """An item to change, in a transaction."""

    key: Key
    actions: Sequence[Action]
    condition: Condition | None = None

    def spell(self) -> dict[str, Any]:
        """The part as DynamoDB takes it."""
        return {"Update": _completed(_at(self.key), self.condition, self.actions)}


class Remove(msgspec.Struct, frozen=True):
    """An item to remove, in a transaction."""

    key: Key
    condition: Condition | None = None

    def spell(self) -> dict[str, Any]:
        """The part as DynamoDB takes it."""
        return {"Delete": _completed(_at(self.key), self.condition)}


class Check(msgspec.Struct, frozen=True):
    """An item that a transaction demands to be in some state, and leaves alone."""

    key: Key
    condition: Condition

    def spell(self) -> dict[str, Any]:
        """The part as DynamoDB takes it."""
        return {"ConditionCheck": _completed(_at(self.key), self.condition)}


def _at(where: Key) -> dict[str, Any]:
    return {"TableName": table.name(), "Key": key(*where)}


Part: TypeAlias = Put | Change | Remove | Check


def transact(parts: Sequence[Part], token: str = "") -> None:
    """Make all of these writes or none, each on an item of its own.

    The token names the transaction: repeated within ten minutes under the same one, as after an answer that
    was lost, it is not made again.  Raises `Cancelled`, `Unavailable`.
    """
    request = {
        "TransactItems": [each.spell() for each in parts],
        "ClientRequestToken": token or ids.new(TOKEN_LENGTH),
    }
    call("TransactWriteItems", request)


def key(pk: str, sk: str) -> Raw:
    """A key as DynamoDB spells it."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def put(row: Item, condition: Condition | None = None) -> None:
    """Write `row` whole.  Raises `Refused`; not when the item that stands there is this very one, as after a
    repeated request whose first answer was lost."""
    item = row.serialize()
    request: dict[str, Any] = {"TableName": table.name(), "Item": item}
    try:
        call("PutItem", _completed(request, condition))
    except Refused as refused:
        if refused.old != item:
            raise


def update(
    pk: str,
    sk: str,
    actions: Sequence[Action],
    condition: Condition | None = None,
    returns: Returns = "NONE",
) -> Raw | None:
    """Change one item; the attributes asked for, or `None`.  Raises `Refused`."""
    request = {"TableName": table.name(), "Key": key(pk, sk), "ReturnValues": returns}
    return call("UpdateItem", _completed(request, condition, actions)).get("Attributes")


def delete(pk: str, sk: str, condition: Condition | None = None, returns: Returns = "NONE") -> Raw | None:
    """Remove one item; what stood there if asked for.  Raises `Refused`."""
    request = {"TableName": table.name(), "Key": key(pk, sk), "ReturnValues": returns}
    return call("DeleteItem", _completed(request, condition)).get("Attributes")


def get(cls: type[Row], pk: str, sk: str, consistent: bool = False) -> Row | None:
    """One item, expired or not: callers compare `expires_at`."""
    answer = call("GetItem", {"TableName": table.name(), "Key": key(pk, sk), "ConsistentRead": consistent})
    return read(cls, answer.get("Item"))


def get_many(wanted: Sequence[Key], consistent: bool = True) -> Mapping[tuple[str, str], Raw]:
    """Some items by their keys, read in one call; what does not stand is missing.  Raises `Unavailable`."""
    left: list[Raw] = [key(*each) for each in wanted]
    found: dict[tuple[str, str], Raw] = {}
    name = table.name()
    for _ in range(BATCH_TRIES):
        if not left:
            break
        request = {"RequestItems": {name: {"Keys": left, "ConsistentRead": consistent}}}
        answer = call("BatchGetItem", request)
        for item in answer.get("Responses", {}).get(name, []):
            found[item["pk"]["S"], item["sk"]["S"]] = item
        left = (answer.get("UnprocessedKeys") or {}).get(name, {}).get("Keys", [])
    if left:
        raise Unavailable("storage is overloaded")
    return found


def get_all(wanted: Sequence[Key], consistent: bool = True) -> Mapping[tuple[str, str], Raw]:
    """Items by their keys, a call for each hundred; what does not stand is missing.  Raises `Unavailable`."""
    found: dict[tuple[str, str], Raw] = {}
    for at in range(0, len(wanted), BATCH_READ):
        found |= get_many(wanted[at : at + BATCH_READ], consistent)
    return found


def query_raw(
    pk: str,
    *,
    consistent: bool = False,
    prefix: str = "",
    at_least: str = "",
    at_most: str = "",
    limit: int | None = None,
    start: Mapping[str, Any] | None = None,
    index: str = "",
    until: float | None = None,
    newest: bool = False,
    having: Mapping[str, str] | None = None,
) -> tuple[list[Raw], Mapping[str, Any] | None]:
    """One page of a partition, as DynamoDB spells it, and where the next one starts.

    `prefix`, or `at_least` and perhaps `at_most`, narrow the sort key; `index` with `until` reads the rows
    due by that time (seconds).  `newest` reads backwards.  `having` leaves out, after they were read, the
    items whose attributes do not contain these texts.
    """
    request: dict[str, Any] = {"TableName": table.name(), "ConsistentRead": consistent}
    if newest:
        request["ScanIndexForward"] = False
    values: dict[str, Any] = {":p": {"S": pk}}
    names = {"#p": "due" if index else "pk"}
    conditions = ["#p = :p"]
    if index:
        request["IndexName"] = index
    if until is not None:
        names["#t"] = "due_at"
        values[":t"] = {"N": f"{until:.3f}"}
        conditions.append("#t <= :t")
    if prefix:
        names["#s"] = "sk"
        values[":s"] = {"S": prefix}
        conditions.append("begins_with(#s, :s)")
    if at_least:
        names["#s"] = "sk"
        values[":s"] = {"S": at_least}
        conditions.append("#s BETWEEN :s AND :e" if at_most else "#s >= :s")
    if at_most:
        values[":e"] = {"S": at_most}
    if having:
        filters = []
        for at, (name, text) in enumerate(having.items()):
            names[f"#h{at}"] = name
            values[f":h{at}"] = {"S": text}
            filters.append(f"contains(#h{at}, :h{at})")
        request["FilterExpression"] = " AND ".join(filters)
    if limit is not None:
        request["Limit"] = limit
    if start is not None:
        request["ExclusiveStartKey"] = start
    request["KeyConditionExpression"] = " AND ".join(conditions)
    request["ExpressionAttributeNames"] = names
    request["ExpressionAttributeValues"] = values
    answer = call("Query", request)
    return answer.get("Items", []), answer.get("LastEvaluatedKey")


def query(cls: type[Row], pk: str, **options: Any) -> tuple[list[Row], Mapping[str, Any] | None]:
    """One page of a partition and where the next one starts; `options` are those of `query_raw`."""
    raws, start = query_raw(pk, **options)
    return [cls.from_raw_data(raw) for raw in raws], start


def raw_rows(pk: str, **options: Any) -> Iterator[Raw]:
    """Every item of a part of a partition, page by page, strongly read."""
    start: Mapping[str, Any] | None = None
    while True:
        raws, start = query_raw(pk, consistent=True, start=start, **options)
        yield from raws
        if start is None:
            return


def query_all(cls: type[Row], pk: str, **options: Any) -> Iterator[Row]:
    """Every row of a partition, page by page."""
    start: Mapping[str, Any] | None = None
    while True:
        rows, start = query(cls, pk, start=start, **options)
        yield from rows
        if start is None:
            return


def count(pk: str, matching: Condition | None = None, consistent: bool = True) -> int:
    """How many rows of a partition match; one call for each MB that stands there."""
    total = 0
    start: Mapping[str, Any] | None = None
    while True:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        request: dict[str, Any] = {"TableName": table.name(), "Select": "COUNT", "ConsistentRead": consistent}
        if matching is not None:
            request["FilterExpression"] = matching.serialize(names, values)
        if start is not None:
            request["ExclusiveStartKey"] = start
        names["pk"] = "#pk"
        values[":pk"] = {"S": pk}
        request["KeyConditionExpression"] = "#pk = :pk"
        answer = call("Query", _with_names(request, names, values))
        total += int(answer["Count"])
        start = answer.get("LastEvaluatedKey")
        if start is None:
            return total


def count_some(pk: str, most: int, at_least: str) -> tuple[int, bool]:
    """How many rows of a partition stand at or behind a sort key, up to so many; whether there are more."""
    request = {
        "TableName": table.name(),
        "Select": "COUNT",
        "Limit": most + 1,
        "KeyConditionExpression": "pk = :p AND sk >= :s",
        "ExpressionAttributeValues": {":p": {"S": pk}, ":s": {"S": at_least}},
    }
    found = int(call("Query", request)["Count"])
    return min(found, most), found > most


def batch(puts: Sequence[Item] = (), deletes: Sequence[tuple[str, str]] = ()) -> None:
    """Write and remove several items, each on its own; what DynamoDB leaves over is sent again.

    Raises `Unavailable` when some are left over for good.
    """
    wanted: list[dict[str, Any]] = [{"PutRequest": {"Item": row.serialize()}} for row in puts]
    wanted += [{"DeleteRequest": {"Key": key(*where)}} for where in deletes]
    for at in range(0, len(wanted), BATCH_WRITE):
        left = wanted[at : at + BATCH_WRITE]
        for _ in range(BATCH_TRIES):
            answer = call("BatchWriteItem", {"RequestItems": {table.name(): left}})
            left = (answer.get("UnprocessedItems") or {}).get(table.name(), [])
            if not left:
                break
        else:
            raise Unavailable("storage is overloaded")
