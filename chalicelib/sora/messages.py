"""JSON in, JSON out: the six operations, the events of a media server, and what pushes say.  Pure.

What nobody looks into stays text: numbers of any length and the order of keys come out as they went in.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from chalicelib.sora import connection, metadata
from chalicelib.sora.connection import Connection
from chalicelib.sora.errors import (
    BadData,
    BodyTooLarge,
    EmptyBody,
    MalformedTarget,
    NoTarget,
    Target,
    UnknownTarget,
)
from chalicelib.wire import untrusted
from chalicelib.wire.untrusted import Malformed

SERVICE: Final = "Sora"
VERSION: Final = "20201124"
LARGEST_BODY: Final = 6 * 1024 * 1024
"""What a function takes; a front may take less."""

LIST: Final = "ListSignalingNotifyMetadata"
GET: Final = "GetSignalingNotifyMetadata"
PUT: Final = "PutSignalingNotifyMetadata"
DELETE: Final = "DeleteSignalingNotifyMetadata"
PUT_ITEM: Final = "PutSignalingNotifyMetadataItem"
DELETE_ITEM: Final = "DeleteSignalingNotifyMetadataItem"

STRING: Final = "string"
OBJECT: Final = "object"
BOOLEAN: Final = "boolean"
ANY: Final = ""

_TARGET: Final = re.compile(r"([A-Za-z]+)_([0-9]{8})\.([A-Za-z]+)")
_KINDS: Final[Mapping[str, str]] = {'"': STRING, "{": OBJECT, "t": BOOLEAN, "f": BOOLEAN}
"""By what the text of a value begins with."""

_ONE: Final = {"channel_id": STRING, "connection_id": STRING}
REQUIRED: Final[Mapping[str, Mapping[str, str]]] = {
    LIST: {"channel_id": STRING},
    GET: _ONE,
    PUT: {**_ONE, "metadata": OBJECT},
    DELETE: _ONE,
    PUT_ITEM: {**_ONE, "key": STRING, "value": ANY},
    DELETE_ITEM: {**_ONE, "key": STRING},
}
"""The keys that each operation demands, with their types."""
PUSHING: Final = frozenset({PUT, DELETE, PUT_ITEM, DELETE_ITEM})
_PUSH: Final = {"push": BOOLEAN}

CREATED: Final = "connection.created"
UPDATED: Final = "connection.updated"
DESTROYED: Final = "connection.destroyed"
_EVENTS: Final = frozenset({CREATED, UPDATED, DESTROYED})


class Ask(NamedTuple):
    """What an operation is to be done to; `metadata` and `value` are JSON texts."""

    channel_id: str
    connection_id: str = ""
    key: str = ""
    metadata: str = ""
    value: str = ""
    push: bool = False


class Event(NamedTuple):
    """What a media server tells of a connection."""

    kind: str
    connection: Connection


class Listed(NamedTuple):
    """A connection as the list shows it; `metadata` is JSON text."""

    client_id: str
    bundle_id: str
    connection_id: str
    metadata: str


def read_target(header: str | None) -> Target:
    """The operation that a request names.  Raises `NoTarget`, `MalformedTarget`."""
    if header is None:
        raise NoTarget("there is no x-sora-target")
    found = _TARGET.fullmatch(header)
    if found is None:
        raise MalformedTarget("x-sora-target names no operation")
    return Target(*found.groups())


def read(target: Target, body: bytes) -> Ask:
    """What an operation is to be done to.

    Raises `BodyTooLarge`, `EmptyBody`, `UnknownTarget`, `Malformed`, `BadData`, in this order.
    """
    known = (target.service, target.version) == (SERVICE, VERSION) and target.operation in REQUIRED
    if len(body) > LARGEST_BODY:
        raise BodyTooLarge("the body is too large")
    if not body:
        raise EmptyBody(target if known else None)
    if not known:
        raise UnknownTarget(target)
    members = _members(body)
    required = REQUIRED[target.operation]
    _check(members, required, _PUSH if target.operation in PUSHING else {})
    texts = {name: _text(members[name]) for name, kind in required.items() if kind == STRING}
    raw = {name: metadata.compact(members[name]) for name in required if name not in texts}
    return Ask(**texts, **raw, push=target.operation in PUSHING and members.get("push") == "true")


def _members(body: bytes) -> dict[str, str]:
    """The members of an object, each value as text.  Raises `BodyTooLarge`, `Malformed`, `BadData`."""
    if len(body) > LARGEST_BODY:
        raise BodyTooLarge("the body is too large")
    if not body.lstrip().startswith(b"{"):
        untrusted.parse(body, limit=LARGEST_BODY)
        raise BadData("wrong_type", metadata.compact(body.decode()))
    return untrusted.members(body, limit=LARGEST_BODY)


def _check(members: Mapping[str, str], required: Mapping[str, str], optional: Mapping[str, str]) -> None:
    """Find the first fault in the order of the schema: types, then what is missing.  Raises `BadData`."""
    for name, kind in {**required, **optional}.items():
        if name in members and kind != ANY and _KINDS.get(members[name][0]) != kind:
            raise BadData("wrong_type", metadata.compact(members[name]), [name])
    for name in required:
        if name not in members:
            raise BadData("missing_required_property", metadata.spell(name))


def _text(raw: str) -> str:
    """A string of JSON.  Raises `Malformed` for half a surrogate pair."""
    text: str = json.loads(raw)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed("The body has half a surrogate pair") from None
    return text


def read_event(body: bytes) -> Event | None:
    """What a media server tells of a connection; `None` where it is nothing that changes anything.

    An id that cannot exist belongs to no connection; other fields that are not as documented count as
    missing.  Raises `BodyTooLarge`, `Malformed`, `BadData`.
    """
    members = _members(body)
    kind = _string(members, "type")
    if kind not in _EVENTS:
        return None
    _check(members, _ONE, {})
    channel_id, connection_id = _text(members["channel_id"]), _text(members["connection_id"])
    if not (connection.can_exist(channel_id) and connection.can_exist(connection_id)):
        return None
    rest = {name: _string(members, name) for name in ("client_id", "bundle_id", "role", "session_id")}
    return Event(kind, Connection(channel_id, connection_id, **rest))


def _string(members: Mapping[str, str], name: str) -> str | None:
    """A short text; `None` where there is something else or nothing."""
    raw = members.get(name, "")
    if not raw.startswith('"') or len(raw) > 6 * connection.LONGEST_ID + 2:
        return None
    text = _text(raw)
    return text if len(text.encode()) <= connection.LONGEST_ID else None


def spell_list(connections: Iterable[Listed]) -> str:
    """The connections of a channel with their metadata."""
    return "[" + ",".join(map(spell_listed, connections)) + "]"


def spell_listed(each: Listed) -> str:
    """One connection of the list."""
    return (
        f'{{"client_id":{metadata.spell(each.client_id)},"bundle_id":{metadata.spell(each.bundle_id)},'
        f'"connection_id":{metadata.spell(each.connection_id)},"metadata":{each.metadata}}}'
    )


def put_push(connection_id: str, after: str) -> str:
    """What is pushed when metadata were replaced."""
    return _push("PutMetadata", connection_id, f',"metadata":{after}')


def delete_push(connection_id: str, before: str) -> str:
    """What is pushed when metadata were emptied."""
    return _push("DeleteMetadata", connection_id, f',"metadata":{before}')


def put_item_push(connection_id: str, key: str, value: str) -> str:
    """What is pushed when an item was put."""
    return _push("PutMetadataItem", connection_id, f',"key":{metadata.spell(key)},"value":{value}')


def delete_item_push(connection_id: str, key: str) -> str:
    """What is pushed when an item was deleted."""
    return _push("DeleteMetadataItem", connection_id, f',"key":{metadata.spell(key)}')


def _push(action: str, connection_id: str, more: str) -> str:
    return (
        f'{{"action":"{action}","connection_id":{metadata.spell(connection_id)}{more},'
        f'"type":"signaling_notify_metadata_ext"}}'
    )
