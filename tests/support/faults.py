"""Faults of storage, put between botocore and the network: what it is answered, or not."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from tests.support.storage import clients


class Kind(StrEnum):
    """What happens to a request."""

    THROTTLED = "throttled"
    FAILS = "fails"
    SILENT = "silent"
    LOST = "lost"
    """The request is served, and its answer does not arrive."""


@dataclass(frozen=True)
class Fault:
    """What happens to the `at`-th storage call, on its first attempt or on all that the SDK makes."""

    at: int
    kind: Kind
    lasting: bool

    def __str__(self) -> str:
        return f"{self.at}-{self.kind}-{'lasting' if self.lasting else 'once'}"


def places(calls: int, at_most: int) -> list[int]:
    """Some of so many storage calls, the first and the last among them, evenly spread.

    >>> places(3, 6), places(20, 4), places(0, 4)
    ([0, 1, 2], [0, 6, 13, 19], [])
    """
    if calls <= at_most:
        return list(range(calls))
    return [round(place * (calls - 1) / (at_most - 1)) for place in range(at_most)]


@dataclass(frozen=True)
class Interlude:
    """What happens, from its beginning to its end, right before the `at`-th storage call is sent."""

    at: int
    play: Callable[[], None]


ALL: tuple[tuple[Kind, bool], ...] = tuple((kind, lasting) for kind in Kind for lasting in (False, True))


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def _refusal(url: str, status: int, code: str) -> AWSResponse:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "a fault"}).encode()
    headers = {"content-type": "application/x-amz-json-1.0", "content-length": str(len(body))}
    return AWSResponse(url, status, headers, _Raw(body))


class Injector:
    """Counts the storage calls of a block and spoils one; the SDK's repetitions of a call are no calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._interlude: Interlude | None = None
        self._order: dict[bytes, int] = {}
        self._attempts: dict[bytes, int] = {}
        self.operations: list[str] = []
        self._active = False
        self._unregister: list[Callable[[], None]] = []
        # The pauses between the SDK's attempts are not what is tested.
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
        for client in clients():
            self._register(client)

    def _register(self, client: Any) -> None:
        def before_send(request: Any, event_name: str, **_: Any) -> AWSResponse | None:
            return self._meet(client, request, event_name.rpartition(".")[2])

        client.meta.events.register("before-send", before_send)
        self._unregister.append(lambda: client.meta.events.unregister("before-send", before_send))

    def stop(self) -> None:
        """Leave the clients as they were."""
        for unregister in self._unregister:
            unregister()

    @contextmanager
    def injecting(self, fault: Fault | None, interlude: Interlude | None = None) -> Iterator[None]:
        """Count the calls of the block, and have the fault or the interlude happen."""
        with self._lock:
            self._order, self._attempts, self.operations = {}, {}, []
            self._fault, self._interlude = fault, interlude
            self._active = True
        try:
            yield
        finally:
            with self._lock:
                self._active = False

    @property
    def calls(self) -> int:
        """How many storage calls the last block made."""
        return len(self._order)

    @property
    def met(self) -> bool:
        """Whether the fault happened in the last block."""
        return self._fault is not None and self._fault.at < self.calls

    def _meet(self, client: Any, request: Any, operation: str) -> AWSResponse | None:
        identity = request.headers["amz-sdk-invocation-id"]
        between: Callable[[], None] | None = None
        with self._lock:
            if not self._active:
                return None
            if identity not in self._order:
                self._order[identity] = len(self._order)
                self.operations.append(operation)
                if self._interlude is not None and self._order[identity] == self._interlude.at:
                    self._active = False
                    between = self._interlude.play
            attempt = self._attempts[identity] = self._attempts.get(identity, 0) + 1
            fault = self._fault
            if fault is None or self._order[identity] != fault.at or (attempt > 1 and not fault.lasting):
                fault = None
        if between is not None:
            between()
            self._active = True
        if fault is None:
            return None
        match fault.kind:
            case Kind.THROTTLED:
                return _refusal(request.url, 400, "ProvisionedThroughputExceededException")
            case Kind.FAILS:
                return _refusal(request.url, 500, "InternalServerError")
            case Kind.LOST:
                client._endpoint.http_session.send(request).content  # noqa: B018 - read to its end
        raise ReadTimeoutError(endpoint_url=request.url)
