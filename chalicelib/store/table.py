"""The table: the row that every row extends, and the one connection to it."""

import threading
from contextvars import ContextVar
from functools import cache
from typing import Any

import botocore.session
from botocore.awsrequest import AWSPreparedRequest
from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.connection import Connection
from pynamodb.models import Model

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.store import aws

CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S = 2
ATTEMPTS = 3
POOL = 64

DUE_INDEX = "due"


class Item(Model):
    """A row of the one table; `expires_at` (seconds since the epoch) is what TTL deletes by, late."""

    class Meta:
        """PynamoDB reads the name when the class is made; the real one comes from the settings."""

        table_name = "foyer"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    expires_at = NumberAttribute(null=True)


class Owing(Item):
    """A row that may owe something: `due` names what (kind#bucket), `due_at` when it is looked at again."""

    due = UnicodeAttribute(null=True)
    due_at = NumberAttribute(null=True)


_until: ContextVar[float | None] = ContextVar("storage_budget", default=None)
"""The moment (monotonic) until which a request may wait for storage."""


class budget:  # noqa: N801 - reads as a statement: `with budget():`
    """Give the request that runs in this context its share of waiting for storage, in seconds."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = settings.get().storage_budget_s if seconds is None else seconds

    def __enter__(self) -> None:
        self.outer = _until.set(clock.monotonic() + self.seconds)

    def __exit__(self, *_: object) -> None:
        _until.reset(self.outer)


def remaining() -> float | None:
    """How long, in seconds, the request may still wait for storage; `None` outside one."""
    until = _until.get()
    return None if until is None else until - clock.monotonic()


def _within_budget(request: AWSPreparedRequest, **_: Any) -> None:
    """Begin no attempt whose read timeout would overrun the budget.  Raises `Unavailable`."""
    until = _until.get()
    if until is not None and clock.monotonic() + READ_TIMEOUT_S > until + 0.001:
        raise Unavailable("storage does not answer")


_lock = threading.Lock()


class _OneSession(Connection):
    """PynamoDB's connection on the process's session; its own would load the SDK's data once more."""

    @property
    def session(self) -> botocore.session.Session:
        """The process's session."""
        return aws.session()


@cache
def _connection() -> Connection:
    connection = _OneSession(
        connect_timeout_seconds=CONNECT_TIMEOUT_S,
        read_timeout_seconds=READ_TIMEOUT_S,
        max_retry_attempts=ATTEMPTS - 1,
        max_pool_connections=POOL,
    )
    connection.client.meta.events.register("before-send.dynamodb", _within_budget)
    return connection


def client() -> Any:
    """The process's DynamoDB client (PynamoDB's low-level one), made once."""
    with _lock:
        return _connection().client


def name() -> str:
    """The table's name."""
    return settings.get().table


def reset() -> None:
    """Forget the client, for tests that change the endpoint."""
    with _lock:
        _connection.cache_clear()


settings.also_reset(reset)
