"""Reads and conditional writes on one item; a refused condition says what stood there."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action, Update

from chalicelib.errors import AppError, Unavailable
from chalicelib.store import table
from chalicelib.store.keys import Key
from chalicelib.store.table import Item

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Item)
Raw = dict[str, dict[str, Any]]
Returns = Literal["NONE", "ALL_NEW", "ALL_OLD"]

BATCH_WRITE: Final = 25
BATCH_TRIES: Final = 8


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


def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """One storage call.  Raises `Refused`, `Unavailable`."""
    try:
        answer: dict[str, Any] = table.client()._make_api_call(operation, request)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "ConditionalCheckFailedException":
            raise Refused(error.response.get("Item")) from None
        log.error("storage refused %s: %s", operation, code)
        raise Unavailable("storage failed") from error
    except (BotoCoreError, HTTPClientError) as error:
        log.error("storage did not answer %s: %s", operation, type(error).__name__)
        raise Unavailable("storage does not answer") from error
    return answer


class _Expressions:
    """The names and values that the expressions of one request share."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def into(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.names:
            request["ExpressionAttributeNames"] = {alias: name for name, alias in self.names.items()}
        if self.values:
            request["ExpressionAttributeValues"] = self.values
        return request

    def condition(self, condition: Condition) -> str:
        return str(condition.serialize(self.names, self.values))

    def update(self, actions: Sequence[Action]) -> str:
        return str(Update(*actions).serialize(self.names, self.values))


def key(pk: str, sk: str) -> Raw:
    """A key as DynamoDB spells it."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def put(row: Item, condition: Condition | None = None) -> None:
    """Write `row` whole.  Raises `Refused`; not when the item that stands there is this very one, as after a
    repeated request whose first answer was lost."""
    item = row.serialize()
    request: dict[str, Any] = {"TableName": table.name(), "Item": item}
    expressions = _Expressions()
    if condition is not None:
        request["ConditionExpression"] = expressions.condition(condition)
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    try:
        call("PutItem", expressions.into(request))
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
    expressions = _Expressions()
    request: dict[str, Any] = {
        "TableName": table.name(),
        "Key": key(pk, sk),
        "UpdateExpression": expressions.update(actions),
        "ReturnValues": returns,
    }
    if condition is not None:
        request["ConditionExpression"] = expressions.condition(condition)
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return call("UpdateItem", expressions.into(request)).get("Attributes")


def delete(pk: str, sk: str, condition: Condition | None = None, returns: Returns = "NONE") -> Raw | None:
    """Remove one item; what stood there if asked for.  Raises `Refused`."""
    expressions = _Expressions()
    request: dict[str, Any] = {"TableName": table.name(), "Key": key(pk, sk), "ReturnValues": returns}
    if condition is not None:
        request["ConditionExpression"] = expressions.condition(condition)
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return call("DeleteItem", expressions.into(request)).get("Attributes")


def get(cls: type[Row], pk: str, sk: str, consistent: bool = False) -> Row | None:
    """One item, expired or not: callers compare `expires_at`."""
    answer = call("GetItem", {"TableName": table.name(), "Key": key(pk, sk), "ConsistentRead": consistent})
    return read(cls, answer.get("Item"))


def get_many(wanted: Sequence[Key], consistent: bool = True) -> dict[Key, Raw]:
    """Some items, read in one call; those that do not stand are missing.  Raises `Unavailable`."""
    left: list[Raw] = [key(*each) for each in wanted]
    found: dict[Key, Raw] = {}
    for _ in range(BATCH_TRIES):
        request = {"RequestItems": {table.name(): {"Keys": left, "ConsistentRead": consistent}}}
        answer = call("BatchGetItem", request)
        for item in answer.get("Responses", {}).get(table.name(), []):
            found[Key(item["pk"]["S"], item["sk"]["S"])] = item
        left = (answer.get("UnprocessedKeys") or {}).get(table.name(), {}).get("Keys", [])
        if not left:
            return found
    raise Unavailable("storage is overloaded")


def query(
    cls: type[Row],
    pk: str,
    *,
    consistent: bool = False,
    prefix: str = "",
    at_least: str = "",
    limit: int | None = None,
    start: Mapping[str, Any] | None = None,
    index: str = "",
    until: float | None = None,
) -> tuple[list[Row], Mapping[str, Any] | None]:
    """One page of a partition and where the next one starts.

    `prefix` and `at_least` narrow the sort key; `index` with `until` reads the rows due by that time
    (seconds).
    """
    request: dict[str, Any] = {"TableName": table.name(), "ConsistentRead": consistent}
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
        conditions.append("#s >= :s")
    if limit is not None:
        request["Limit"] = limit
    if start is not None:
        request["ExclusiveStartKey"] = start
    request["KeyConditionExpression"] = " AND ".join(conditions)
    request["ExpressionAttributeNames"] = names
    request["ExpressionAttributeValues"] = values
    answer = call("Query", request)
    rows = [cls.from_raw_data(raw) for raw in answer.get("Items", [])]
    return rows, answer.get("LastEvaluatedKey")


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
        expressions = _Expressions()
        request: dict[str, Any] = {"TableName": table.name(), "Select": "COUNT", "ConsistentRead": consistent}
        if matching is not None:
            request["FilterExpression"] = expressions.condition(matching)
        if start is not None:
            request["ExclusiveStartKey"] = start
        expressions.names["pk"] = "#pk"
        expressions.values[":pk"] = {"S": pk}
        request["KeyConditionExpression"] = "#pk = :pk"
        answer = call("Query", expressions.into(request))
        total += int(answer["Count"])
        start = answer.get("LastEvaluatedKey")
        if start is None:
            return total


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
