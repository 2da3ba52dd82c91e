"""What goes to DynamoDB and SQS, seen below botocore: every HTTP request, and the sizes of items."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.outbox import kicks
from chalicelib.store import table
from tests.support.events import Answer

READS: Final = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})


@dataclass(frozen=True)
class Call:
    """One HTTP request, and not one call of the SDK: that may repeat it."""

    operation: str
    body: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """`pk` and `sk` of the item, where the call is about one."""
        found = self.body.get("Key") or self.body["Item"]
        return found["pk"]["S"], found["sk"]["S"]


def clients() -> list[Any]:
    """The botocore clients of the product in this process."""
    return [table.client(), kicks.client()]


class Storage:
    """Hears of every request of the product's own clients; `Counter`s by operation, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Begin to count."""
        for client in clients():
            client.meta.events.register_last("before-send", self._hear)

    def deafen(self) -> None:
        """Count no more."""
        for client in clients():
            client.meta.events.unregister("before-send", self._hear)

    def _hear(self, request: Any, event_name: str, **_: Any) -> None:
        body = request.body or b"{}"
        call = Call(event_name.rpartition(".")[2], json.loads(body))
        with self._lock:
            self.calls.append(call)

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """The requests within the block, by operation; filled when the block ends."""
        before, counted = len(self.calls), Counter[str]()
        yield counted
        counted.update(call.operation for call in self.calls[before:])

    def since(self, mark: int) -> list[Call]:
        """The requests after the first `mark` ones."""
        return self.calls[mark:]

    def spent(self, work: Callable[[], object], *statuses: int) -> list[str]:
        """The operations that some work costs; an answer that it gives has one of these statuses, or 200."""
        mark = len(self.calls)
        answer = work()
        if isinstance(answer, Answer):
            assert answer.status in (statuses or (200,)), answer
        return [call.operation for call in self.since(mark)]


@contextmanager
def listening() -> Iterator[Storage]:
    """A counter, within the block; the clients have to be those of that time."""
    counter = Storage()
    counter.listen()
    try:
        yield counter
    finally:
        counter.deafen()


def item_size(item: dict[str, Any]) -> int:
    """An item's size by DynamoDB's rules ("Item sizes and formats"): names and values in bytes.

    >>> item_size({"pk": {"S": "abc"}, "n": {"N": "-120"}, "é": {"BOOL": True}})
    12
    """
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value: dict[str, Any]) -> int:
    """A value's size.

    Numbers take a byte for two significant digits, one more, and another if negative.

    >>> [value_size({"N": text}) for text in ("0", "7", "1767225600", "1767225601.5", "-12")]
    [2, 2, 5, 7, 3]
    """
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_size(content)
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(each.encode()) for each in content)
        case "L":
            return 3 + sum(1 + value_size(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(each) for name, each in content.items())
        case _:
            raise AssertionError(kind)


def _number_size(text: str) -> int:
    whole, _, fraction = text.lstrip("-").partition(".")
    fraction = fraction.rstrip("0")
    digits = (whole + fraction).lstrip("0")
    if not fraction:
        digits = digits.rstrip("0")
    return max(1, (len(digits) + 1) // 2) + 1 + text.startswith("-")
