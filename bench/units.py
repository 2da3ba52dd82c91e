"""Request units by DynamoDB's own rules, counted where the storage calls leave the process.

Emulators report consumed capacity without looking at sizes, so it is worked out here: an item's size is that
of its names and values; a write counts each started KB of the larger of old and new item, a strong read each
started 4 KB, a query those of all items it passed; and the sparse index `due` is written too.  Each item of a
transaction counts twice, one that is only looked at as well, but not in the index, which follows later.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Item = Mapping[str, Mapping[str, Any]]

WRITE_BYTES: Final = 1024
READ_BYTES: Final = 4096
IN_TRANSACTION: Final = 2
INDEX: Final = ("due", "due_at")


def value_size(value: Mapping[str, Any]) -> int:
    """The size of one attribute's value, as DynamoDB counts it.

    >>> [value_size(value) for value in ({"S": "né"}, {"N": "1234500"}, {"N": "-1.5"}, {"BOOL": True})]
    [3, 4, 3, 1]
    >>> [value_size(value) for value in ({"M": {"ab": {"S": "c"}}}, {"L": [{"N": "1"}]}, {"SS": ["ab", "c"]})]
    [7, 6, 3]
    """
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            return math.ceil(len(digits) / 2) + 1 + int(content.startswith("-"))
        case "B":
            return len(bytes(content))
        case "BOOL" | "NULL":
            return 1
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(each) for name, each in content.items())
        case "L":
            return 3 + sum(1 + value_size(each) for each in content)
        case "SS":
            return sum(len(each.encode()) for each in content)
    raise ValueError(kind)


def item_size(item: Item | None) -> int:
    """The size of an item: names and values.

    >>> item_size({"pk": {"S": "a"}, "n": {"N": "7"}})
    6
    """
    return sum(len(name.encode()) + value_size(value) for name, value in (item or {}).items())


def write_units(old: Item | None, new: Item | None) -> int:
    """What a write of one item costs in the table, even if its condition failed or it changed nothing."""
    return max(1, math.ceil(max(item_size(old), item_size(new)) / WRITE_BYTES))


def index_units(old: Item | None, new: Item | None) -> int:
    """What the same write costs in the index, which holds all attributes of the rows that owe something.

    >>> a, b = ({"due": {"S": "x"}, "due_at": {"N": at}} for at in "12")
    >>> index_units(None, a), index_units(a, b), index_units(a, a), index_units(a, {}), index_units(None, {})
    (1, 2, 0, 1, 0)
    """
    before, after = (each if each and all(name in each for name in INDEX) else None for each in (old, new))
    if before == after:
        return 0
    if before is None or after is None or any(before[name] != after[name] for name in INDEX):
        return sum(max(1, math.ceil(item_size(each) / WRITE_BYTES)) for each in (before, after) if each)
    return write_units(before, after)


def read_units(size: int, consistent: bool) -> float:
    """What reading so many bytes costs; an empty answer as much as the smallest."""
    return max(1, math.ceil(size / READ_BYTES)) * (1.0 if consistent else 0.5)


@dataclass(frozen=True)
class Use:
    """What one row, or one query, cost."""

    label: str
    operation: str
    partition: str
    writes: int = 0
    index_writes: int = 0
    reads: float = 0.0
    bytes: int = 0
    """How much a query passed over."""
    consistent: bool = True


class Meter:
    """Stands in for the call function of an SDK's DynamoDB client, and keeps account."""

    def __init__(self, call: Callable[[str, dict[str, Any]], dict[str, Any]], table: str) -> None:
        self._call = call
        self._table = table
        self._items: dict[tuple[str, str], Item] = {}
        self._lock = threading.Lock()
        self._within = threading.local()
        self.label = ""
        self.calls = 0
        self.overhead_s = 0.0
        """CPU time that only the account took."""
        self.uses: list[Use] = []

    def __call__(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Make the call and count it."""
        began = time.thread_time()
        self._within.seconds = 0.0
        try:
            return self._counted(operation, request)
        finally:
            spent = time.thread_time() - began - self._within.seconds
            with self._lock:
                self.calls += 1
                self.overhead_s += spent

    def _made(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        began = time.thread_time()
        try:
            return self._call(operation, request)
        finally:
            self._within.seconds += time.thread_time() - began

    def _counted(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation in ("PutItem", "UpdateItem", "DeleteItem"):
            return self._write(operation, request)
        answer = self._made(operation, request)
        match operation:
            case "GetItem":
                size = item_size(answer.get("Item"))
                self._read(operation, request["Key"], size, request["ConsistentRead"])
            case "BatchGetItem":
                found = {_key(item): item for item in answer["Responses"][self._table]}
                asked = request["RequestItems"][self._table]
                for key in asked["Keys"]:
                    self._read(operation, key, item_size(found.get(_key(key))), asked["ConsistentRead"])
            case "BatchWriteItem":
                for each in request["RequestItems"][self._table]:
                    item = each["PutRequest"]["Item"] if "PutRequest" in each else None
                    key = item or each["DeleteRequest"]["Key"]
                    self._wrote(operation, _key(key), item)
            case "Query":
                self._query(request, answer)
            case "TransactWriteItems":
                for part in request["TransactItems"]:
                    self._took_part(part)
            case _:
                raise ValueError(f"{operation} is not expected")
        return answer

    def _took_part(self, part: dict[str, Any]) -> None:
        ((verb, wanted),) = part.items()
        key = _key(wanted.get("Item") or wanted["Key"])
        if verb == "ConditionCheck":
            with self._lock:
                old = self._items.get(key)
                self.uses.append(Use(self.label, verb, key[0], IN_TRANSACTION * write_units(old, old)))
            return
        new = wanted["Item"] if verb == "Put" else self._look(wanted) if verb == "Update" else None
        self._wrote(verb, key, new, IN_TRANSACTION)

    def _write(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request.get("Item") or request["Key"])
        try:
            answer = self._made(operation, request)
        except Exception:
            with self._lock:
                old = self._items.get(key)
                self.uses.append(Use(self.label, operation, key[0], write_units(old, None)))
            raise
        new: Item | None = None
        if operation == "PutItem":
            new = request["Item"]
        elif operation == "UpdateItem":
            new = answer.get("Attributes") if request["ReturnValues"] == "ALL_NEW" else self._look(request)
        self._wrote(operation, key, new)
        return answer

    def _look(self, request: dict[str, Any]) -> Item | None:
        asked = {"TableName": self._table, "Key": request["Key"], "ConsistentRead": True}
        found: Item | None = self._call("GetItem", asked).get("Item")
        return found

    def _wrote(self, operation: str, key: tuple[str, str], new: Item | None, times: int = 1) -> None:
        with self._lock:
            old = self._items.pop(key, None)
            if new:
                self._items[key] = new
            units = times * write_units(old, new), index_units(old, new)
            self.uses.append(Use(self.label, operation, key[0], *units))

    def _read(self, operation: str, key: Any, size: int, consistent: bool) -> None:
        use = Use(self.label, operation, key["pk"]["S"], reads=read_units(size, consistent), bytes=size)
        with self._lock:
            self.uses.append(use)

    def _query(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        partition = request["ExpressionAttributeValues"]
        pk = (partition.get(":pk") or partition[":p"])["S"]
        consistent = request.get("ConsistentRead", False)
        if request.get("Select") == "COUNT":  # the answer has no items: what stands there is known here
            with self._lock:
                size = sum(item_size(item) for (where, _), item in self._items.items() if where == pk)
        else:
            size = sum(map(item_size, answer["Items"]))
        use = Use(
            self.label,
            "Query",
            request.get("IndexName", "") + pk,
            reads=read_units(size, consistent),
            bytes=size,
            consistent=consistent,
        )
        with self._lock:
            self.uses.append(use)


def _key(item: Any) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
