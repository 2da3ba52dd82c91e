"""The table: the row that every row extends, and the one connection to it."""

import json
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import botocore.session
from botocore.awsrequest import AWSPreparedRequest
from pynamodb import attributes
from pynamodb.connection import Connection
from pynamodb.models import Model

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.store import aws
from chalicelib.store.attributes import NumberAttribute, RawMapAttribute, UnicodeAttribute

CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S = 2
ATTEMPTS = 3
POOL = 64

DUE_INDEX = "due"


Row = TypeVar("Row", bound="Item")


class Item(Model):
    """A row of the one table; `expires_at` (seconds since the epoch) is what TTL deletes by, late.

    Rows of plain attributes are made, read and spelled here, as PynamoDB does it and in a fifth of its time.
    """

    class Meta:
        """PynamoDB reads the name when the class is made; the real one comes from the settings."""

        table_name = "foyer"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    expires_at = NumberAttribute(null=True)

    def __init__(
        self,
        hash_key: str | None = None,
        range_key: str | None = None,
        _user_instantiated: bool = True,
        **attributes: Any,
    ) -> None:
        plain = _plain(type(self))
        if plain is None or not attributes.keys() <= plain.by_name.keys():
            super().__init__(hash_key, range_key, _user_instantiated, **attributes)
            return
        self.attribute_values = plain.defaults | attributes
        if hash_key is not None:
            self.attribute_values["pk"] = hash_key
        if range_key is not None:
            self.attribute_values["sk"] = range_key

    @classmethod
    def from_raw_data(cls: type[Row], data: dict[str, Any]) -> Row:
        """The row that an item keeps."""
        plain = _plain(cls)
        if plain is None or not data:
            return super().from_raw_data(data)
        values = plain.defaults.copy()
        for kept_as, kept in data.items():
            column = plain.by_kept.get(kept_as)
            if column is None:
                continue
            name, kind, read = column
            value = kept.get(kind)
            if value is not None:
                values[name] = value if read is None else read(value)
            elif kept and "NULL" not in kept:
                return super().from_raw_data(data)  # it says what is wrong
        row = cls.__new__(cls)
        row.attribute_values = values
        return row

    def serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """The item that keeps the row."""
        plain = _plain(type(self))
        if plain is None:
            return super().serialize(null_check)
        item: dict[str, dict[str, Any]] = {}
        for name, value in self.attribute_values.items():
            kept_as, kind, spell = plain.by_name[name]
            if value is not None and spell is not None:
                value = spell(value)
            if value is not None:
                item[kept_as] = {kind: value}
        if null_check and not plain.demanded <= item.keys():
            return super().serialize(null_check)  # it says what is missing
        return item

    def but(self: Row, **values: Any) -> Row:
        """The same row with other values, which are those of plain attributes."""
        row = type(self).__new__(type(self))
        row.attribute_values = self.attribute_values | values
        return row


class _Column(NamedTuple):
    """A plain attribute: its name here and in an item, DynamoDB's type, and how its values are read there."""

    name: str
    kept_as: str
    type: str
    null: bool
    spell: Callable[[Any], Any] | None
    read: Callable[[Any], Any] | None

    def spelled(self, value: Any) -> dict[str, Any] | None:
        """A value as an item has it; `None` for none."""
        if value is not None and self.spell is not None:
            value = self.spell(value)
        return None if value is None else {self.type: value}


class _Plain(NamedTuple):
    """A kind of row that has plain attributes only."""

    columns: dict[str, _Column]
    by_kept: dict[str, tuple[str, str, Callable[[Any], Any] | None]]
    """Name, type and reading of each, by its name in an item."""
    by_name: dict[str, tuple[str, str, Callable[[Any], Any] | None]]
    """The name in an item, type and spelling of each, by its name here."""
    demanded: frozenset[str]
    """The names in an item of what must be there."""
    defaults: dict[str, Any]


_NUMBERS: Final = frozenset({int, float})


def spell_number(value: float) -> str:
    """A number as DynamoDB has it."""
    return repr(value) if type(value) in _NUMBERS else json.dumps(value)


def read_number(text: str) -> float:
    """A number as DynamoDB spells it."""
    if text.isdigit():
        return int(text)
    number: float = float(text) if "." in text else json.loads(text)
    return number


_KINDS: Final = (
    attributes.BinaryAttribute,
    attributes.BooleanAttribute,
    attributes.JSONAttribute,
    attributes.NumberAttribute,
    attributes.UnicodeAttribute,
    attributes.UnicodeSetAttribute,
    RawMapAttribute,
)


@cache
def _plain(cls: type[Item]) -> _Plain | None:
    """How rows of this kind are kept; `None` where PynamoDB has to see to it."""
    columns = {}
    defaults: dict[str, Any] = {}
    for name, attribute in cls.get_attributes().items():
        computed = callable(attribute.default) or attribute.default_for_new is not None
        if not isinstance(attribute, _KINDS) or computed:
            return None
        if attribute.default is not None:
            defaults[name] = attribute.default
        columns[name] = _column(name, attribute)
    by_kept = {each.kept_as: (each.name, each.type, each.read) for each in columns.values()}
    by_name = {each.name: (each.kept_as, each.type, each.spell) for each in columns.values()}
    demanded = frozenset(each.kept_as for each in columns.values() if not each.null)
    return _Plain(columns, by_kept, by_name, demanded, defaults)


def columns(kind: type[Item]) -> Mapping[str, _Column]:
    """The attributes of a kind of row that has plain ones only."""
    plain = _plain(kind)
    assert plain is not None, kind
    return plain.columns


def _column(name: str, attribute: attributes.Attribute[Any]) -> _Column:
    spell: Callable[[Any], Any] | None = attribute.serialize
    read: Callable[[Any], Any] | None = attribute.deserialize
    if isinstance(attribute, attributes.UnicodeAttribute | RawMapAttribute) or (
        isinstance(attribute, attributes.BinaryAttribute) and not attribute.legacy_encoding
    ):
        spell = read = None
    elif isinstance(attribute, attributes.NumberAttribute):
        spell, read = spell_number, read_number
    elif isinstance(attribute, attributes.UnicodeSetAttribute):
        read = set
    return _Column(name, attribute.attr_name, attribute.attr_type, bool(attribute.null), spell, read)


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


class apart:  # noqa: N801 - reads as a statement: `with apart():`
    """What is waited for in here is not storage: it takes nothing from the request's budget."""

    def __enter__(self) -> None:
        self.began = clock.monotonic()

    def __exit__(self, *_: object) -> None:
        until = _until.get()
        if until is not None:
            _until.set(until + clock.monotonic() - self.began)


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
