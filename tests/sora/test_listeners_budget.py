"""What clients that only listen cost in storage calls, exactly; counted below botocore."""

from collections.abc import Iterator

import pytest

from chalicelib.realtime import fronts
from tests.sora.api import PUT, about, done, rpc
from tests.sora.listening import CHANNEL, Listener
from tests.support.storage import Storage, listening
from tests.support.world import World


@pytest.fixture
def rows(stack, credentials, monkeypatch) -> Iterator[World]:
    """Behind API Gateway."""
    made = World(stack, credentials, monkeypatch, "rows")
    yield made
    made.leave()


@pytest.fixture
def memory(stack, credentials, monkeypatch) -> Iterator[World]:
    """In the process of a gateway."""
    made = World(stack, credentials, monkeypatch, "memory")
    yield made
    made.leave()


@pytest.fixture
def storage(request, monkeypatch) -> Iterator[Storage]:
    """The counter; made after the world, for that makes the clients."""
    for name in ("rows", "memory"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    monkeypatch.setattr(fronts, "CACHE_S", 3600.0)
    fronts.alive()
    with listening() as counter:
        yield counter


def connect(one: Listener) -> None:
    """The first message, and no worker's part."""
    one.say(type="connect", role="recvonly", channel_id=CHANNEL)


def test_coming_is_the_session_a_query_and_one_transaction(rows, storage):
    mark = len(storage.calls)
    connect(Listener(rows))
    spent = storage.since(mark)
    assert [call.operation for call in spent] == ["PutItem", "Query", "TransactWriteItems", "SendMessage"]
    # The connection, what is owed for it, and, for the first one, the channel's life.
    assert len(spent[2].body["TransactItems"]) == 3
    rows.drain()
    mark = len(storage.calls)
    connect(Listener(rows))
    spent = storage.since(mark)
    assert [call.operation for call in spent] == ["PutItem", "Query", "TransactWriteItems", "SendMessage"]
    assert len(spent[2].body["TransactItems"]) == 2


def test_in_a_gateway_the_session_costs_nothing(memory, storage):
    with storage.counting() as spent:
        connect(Listener(memory))
    assert spent == {"Query": 1, "TransactWriteItems": 1, "SendMessage": 1}


def test_signs_of_life_and_what_nobody_knows_cost_nothing(rows, storage):
    one = Listener(rows).join()
    with storage.counting() as spent:
        one.say(type="pong")
        one.say(type="whatever")
    assert spent == {}


def test_leaving_is_the_end_of_the_session_a_read_and_one_transaction(rows, storage):
    one = Listener(rows).join()
    mark = len(storage.calls)
    one.say(type="disconnect")
    assert [call.operation for call in storage.since(mark)] == [
        "UpdateItem",
        "GetItem",
        "TransactWriteItems",
        "SendMessage",
    ]
    with storage.counting() as spent:
        one.gone()
    assert spent == {"GetItem": 1}


def test_a_push_adds_one_owed_row_and_one_kick(rows, storage):
    one = Listener(rows).join()
    with storage.counting() as plain:
        done(rpc(PUT, about(one.me, metadata={"a": 1})))
    mark = len(storage.calls)
    done(rpc(PUT, about(one.me, metadata={"a": 2}, push=True)))
    spent = storage.since(mark)
    assert [call.operation for call in spent] == ["GetItem", "TransactWriteItems", "SendMessage"]
    assert len(spent[1].body["TransactItems"]) == 2
    assert sum(plain.values()) <= 2


def test_a_worker_reads_a_channel_once_for_all_that_it_is_owed(rows, storage):
    one = Listener(rows).join()
    spent = []
    for so_many in (1, 9):
        for number in range(so_many):
            done(rpc(PUT, about(one.me, metadata={"a": number}, push=True)))
        bodies = rows.due("sora.push")
        with storage.counting() as counted:
            rows.work(bodies[0])
        spent.append(counted)
    # The kick's row; the lease, taken and given back; who is there; what is owed, until there is no more.
    assert spent[0] == {"GetItem": 1, "UpdateItem": 1, "Query": 5, "DeleteItem": 2}
    assert spent[1] == {"GetItem": 1, "UpdateItem": 1, "Query": 5, "DeleteItem": 1, "BatchWriteItem": 1}
    assert len(one.pushes()) == 10


def test_a_kick_that_comes_late_is_one_read(rows, storage):
    one = Listener(rows).join()
    done(rpc(PUT, about(one.me, metadata={"a": 1}, push=True)))
    bodies = rows.due("sora.push")
    rows.work(*bodies)
    with storage.counting() as spent:
        rows.work(*bodies)
    assert spent == {"GetItem": 1}
