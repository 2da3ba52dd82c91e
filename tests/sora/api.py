"""The metadata API, called in this process as its clients call it, and what is owed to listeners."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from chalicelib.sora import settings
from tests.conftest import Stack
from tests.owt.api import serve
from tests.support.events import Answer

VERSION: Final = "Sora_20201124"
CHANNEL: Final = "sora"
CONNECTION: Final = "0FQE5EA5YN3FS13P01QZ1JG8R0"
OTHER: Final = "V3Q452QQBD5TQ6ZQDMTEDKA07C"

LIST: Final = "ListSignalingNotifyMetadata"
GET: Final = "GetSignalingNotifyMetadata"
PUT: Final = "PutSignalingNotifyMetadata"
DELETE: Final = "DeleteSignalingNotifyMetadata"
PUT_ITEM: Final = "PutSignalingNotifyMetadataItem"
DELETE_ITEM: Final = "DeleteSignalingNotifyMetadataItem"
OPERATIONS: Final = (LIST, GET, PUT, DELETE, PUT_ITEM, DELETE_ITEM)

RICHEST: Final[dict[str, Any]] = {
    "channel_id": CHANNEL,
    "connection_id": CONNECTION,
    "metadata": {"abc": "efg"},
    "key": "abc",
    "value": "efg",
}
"""A body that is right for each operation."""


def given(monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Have these settings, named without their prefix."""
    for name, text in texts.items():
        monkeypatch.setenv(f"SORA_{name}", text)
    settings.get.cache_clear()


def rpc(operation: str, body: Any = None, headers: Mapping[str, str] | None = None, **also: Any) -> Answer:
    """One operation; `body` is JSON, or bytes that are sent as they are."""
    wanted = {**(body or {}), **also} if not isinstance(body, bytes) else body
    sent = wanted if isinstance(wanted, bytes) else json.dumps(wanted, ensure_ascii=False).encode()
    target = operation if "." in operation else f"{VERSION}.{operation}"
    sending = {"content-type": "application/json", "x-sora-target": target} | dict(headers or {})
    return serve("POST", "/", sent, sending)


def about(connection_id: str = CONNECTION, channel_id: str = CHANNEL, **also: Any) -> dict[str, Any]:
    """What says which connection is meant, and more."""
    return {"channel_id": channel_id, "connection_id": connection_id, **also}


def event(kind: str, connection_id: Any = CONNECTION, channel_id: Any = CHANNEL, **also: Any) -> Answer:
    """A webhook call as a media server makes it."""
    body = {
        "type": kind,
        "id": "KB0DTYGZ8H7Q5BYCH6C2SVYQ5R",
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "version": "2024.1.0",
        "label": "WebRTC SFU Sora",
        "node_name": "sora@127.0.0.1",
        "role": "sendrecv",
        "channel_id": channel_id,
        "session_id": "4M9GVF3YF54JQFVJ8ZN1C2NMB0",
        "connection_id": connection_id,
        "multistream": True,
        "data": {"minutes": 0, "audio": True, "video": True, "channel_connections": 1},
        **also,
    }
    return serve("POST", "/sora/event", json.dumps(body).encode(), {"content-type": "application/json"})


def come(connection_id: str = CONNECTION, channel_id: str = CHANNEL, **also: Any) -> None:
    """Have a connection in a channel."""
    answer = event("connection.created", connection_id, channel_id, **also)
    assert (answer.status, answer.body) == (200, "{}")


def go(connection_id: str = CONNECTION, channel_id: str = CHANNEL) -> None:
    """Have a connection end."""
    answer = event("connection.destroyed", connection_id, channel_id)
    assert (answer.status, answer.body) == (200, "{}")


def done(answer: Answer) -> Any:
    """What a successful operation answers."""
    assert answer.status == 200, answer.body
    assert answer.header("content-type") == "application/json"
    return answer.json()


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and kind of an error."""
    return answer.status, answer.json()["error_type"]


def pushed(stack: Stack, prefix: str = "SP") -> list[str]:
    """What is owed, in the order in which it is to be sent."""
    found = [row for row in stack.rows() if row["pk"]["S"].startswith(prefix)]
    name = "text" if prefix == "SP" else "data"
    return [row[name]["S"] for row in sorted(found, key=lambda row: row["sk"]["S"])]


NO_CONNECTION: Final = (400, "ConnectionNotFound")
"""Not, or no longer, there."""
