"""What each operation costs in storage calls, exactly; counted below botocore."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.sora.store import ConnectionRow
from chalicelib.store import keys, writes
from tests.conftest import Stack
from tests.sora.api import (
    CHANNEL,
    DELETE,
    DELETE_ITEM,
    GET,
    LIST,
    PUT,
    PUT_ITEM,
    about,
    come,
    event,
    given,
    go,
    rpc,
)
from tests.support.counts import full
from tests.support.storage import Storage, item_size, listening

WRITE_UNIT = 1024
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    (PUT, {"metadata": {"mood": "busy", "hand": True}}),
    (PUT_ITEM, {"key": "mood", "value": "free"}),
    (DELETE_ITEM, {"key": "mood"}),
    (DELETE, {}),
)


@pytest.fixture
def storage(stack: Stack) -> Iterator[Storage]:
    """The counter; made after the clients."""
    with listening() as counter:
        yield counter


def test_get_is_one_read(storage):
    come()
    assert storage.spent(lambda: rpc(GET, about())) == ["GetItem"]
    assert storage.calls[-1].body["ConsistentRead"] is True


def test_the_list_is_one_query(storage):
    for number in range(50):
        come(f"c{number}")
    assert storage.spent(lambda: rpc(LIST, channel_id=CHANNEL)) == ["Query"]
    assert storage.spent(lambda: rpc(LIST, channel_id="nobody")) == ["Query"]
    assert storage.calls[-1].body["ConsistentRead"] is True


def test_the_list_of_many_mb_is_a_query_for_each(storage):
    for number in range(full(20, 40)):
        come(f"c{number}")
        rpc(PUT, about(f"c{number}", metadata={"k": "x" * 60_000}))
    calls = storage.spent(lambda: rpc(LIST, channel_id=CHANNEL))
    assert calls == ["Query"] * full(2, 3)


@pytest.mark.parametrize(("operation", "more"), CHANGES)
def test_a_change_is_one_read_and_one_write_of_one_unit(operation, more, storage, stack):
    come(client_id="alice", bundle_id="phone")
    for number in range(20):
        rpc(PUT, about(metadata={"mood": number}))
    assert storage.spent(lambda: rpc(operation, about(**more))) == ["GetItem", "UpdateItem"]
    assert storage.calls[-1].body["ConditionExpression"]
    (row,) = stack.rows()
    assert item_size(row) <= WRITE_UNIT


@pytest.mark.parametrize(("operation", "more"), CHANGES)
def test_a_push_adds_one_owed_row_and_one_kick(operation, more, storage, stack):
    come()
    rpc(PUT, about(metadata={"mood": "free"}))
    calls = storage.spent(lambda: rpc(operation, about(push=True, **more)))
    assert calls == ["GetItem", "TransactWriteItems", "SendMessage"]
    parts = [next(iter(each)) for each in storage.calls[-2].body["TransactItems"]]
    assert parts == ["Update", "Put"]
    assert [item_size(row) <= WRITE_UNIT for row in stack.rows()] == [True, True]


def test_a_media_server_that_is_told_too_adds_one_more_of_each(storage, monkeypatch):
    given(monkeypatch, UPSTREAM_URL="http://127.0.0.1:9/")
    come()
    calls = storage.spent(lambda: rpc(PUT, about(push=True, metadata={})))
    assert calls == ["GetItem", "TransactWriteItems", "SendMessage", "SendMessage"]
    assert len(storage.calls[-3].body["TransactItems"]) == 3


def test_a_change_that_changes_nothing_is_one_read(storage):
    come()
    assert storage.spent(lambda: rpc(DELETE_ITEM, about(key="none"))) == ["GetItem"]
    assert storage.spent(lambda: rpc(DELETE, about())) == ["GetItem"]


def test_each_event_of_a_connection_is_one_write(storage):
    for kind in ("created", "updated", "created", "destroyed", "destroyed", "created"):
        assert storage.spent(lambda kind=kind: event(f"connection.{kind}")) == ["UpdateItem"]
    assert storage.spent(lambda: event("connection.failed")) == []


def test_a_refused_request_costs_nothing_or_one_read(storage):
    mark = len(storage.calls)
    rpc(GET, b"")
    rpc(PUT, about(metadata=1))
    rpc("Sora_20201124.Nothing", about())
    assert storage.since(mark) == []
    for operation, more in CHANGES:
        mark = len(storage.calls)
        rpc(operation, about("nobody", **more))
        rpc(operation, about("nobody", push=True, **more))
        assert [call.operation for call in storage.since(mark)] == ["GetItem", "GetItem"]


def test_who_has_ended_leaves_a_small_row(storage, stack):
    come(client_id="x" * 255)
    rpc(PUT, about(metadata={"k": "x" * 60_000}))
    go()
    (row,) = stack.rows()
    assert item_size(row) <= 96


def test_who_is_there_by_a_socket_adds_the_registry_every_few_seconds(storage, stack):
    come()
    key = keys.sora_connection(CHANNEL, "gone")
    writes.put(
        ConnectionRow(
            *key, channel_id=CHANNEL, connection_id="gone", version="v", socket_id="s", front="dead"
        )
    )
    assert storage.spent(lambda: rpc(LIST, channel_id=CHANNEL)) == ["Query", "Query"]
    assert storage.spent(lambda: rpc(LIST, channel_id=CHANNEL)) == ["Query"]
    assert len(rpc(LIST, channel_id=CHANNEL).json()) == 1
