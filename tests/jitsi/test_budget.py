"""What each frame, call and kind of work costs in storage calls, exactly; counted below botocore."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib import settings
from chalicelib.jitsi import release, store
from chalicelib.outbox import owed
from chalicelib.realtime import fronts
from chalicelib.store import keys
from tests.support.clients import STATE, VISITOR
from tests.support.storage import READS, WRITES, Call, Storage, item_size, listening
from tests.support.world import MODES, World

SHARDS = 16
LARGEST_QUEUE_ROW = 96
LONGEST_SOCKET_ID = 16  # API Gateway's; a gateway's have 12


@pytest.fixture(params=MODES)
def world(request, stack, credentials, monkeypatch) -> Iterator[World]:
    """A deployment of each kind."""
    made = World(stack, credentials, monkeypatch, request.param)
    yield made
    made.leave()


@pytest.fixture
def rows(stack, credentials, monkeypatch) -> Iterator[World]:
    """Behind API Gateway: each event may come to another process."""
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
def one_shard(stack, credentials, monkeypatch) -> Iterator[World]:
    """Behind API Gateway, with all of a conference in one place."""
    monkeypatch.setenv("FOYER_SHARDS", "1")
    made = World(stack, credentials, monkeypatch, "rows")
    yield made
    made.leave()


@pytest.fixture
def storage(request, monkeypatch) -> Iterator[Storage]:
    """The counter; made after the world, for that makes the clients."""
    for name in ("world", "rows", "memory", "one_shard"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    # A process reads the registry of fronts once in five seconds, whatever it serves.
    monkeypatch.setattr(fronts, "CACHE_S", 3600.0)
    fronts.alive()
    with listening() as counter:
        yield counter


def kinds(calls: list[Call]) -> Counter[str]:
    """The calls by operation."""
    return Counter(call.operation for call in calls)


def cold() -> None:
    """Forget what this process knows of conferences and fronts, as another process would not know it."""
    store._known.clear()


# Behind API Gateway


def test_behind_api_gateway_connect_is_one_conditional_put_and_the_read_of_a_denial(rows, storage):
    visitor = rows.visitor()
    with storage.counting() as spent:
        visitor.connect()
    assert visitor.connected
    assert spent == {"PutItem": 1, "GetItem": 1}
    (put,) = [call for call in storage.calls if call.operation == "PutItem"]
    assert "ConditionExpression" in put.body


def test_behind_api_gateway_subscribe_is_the_session_the_row_and_one_strong_read(rows, storage):
    conference = rows.conference()
    visitor = rows.visitor().connect()
    mark = len(storage.calls)
    visitor.subscribe(VISITOR + conference)
    spent = storage.since(mark)
    assert [call.operation for call in spent] == ["UpdateItem", "PutItem", "BatchGetItem"]
    (wanted,) = spent[2].body["RequestItems"].values()
    assert wanted["ConsistentRead"] is True
    assert [key["pk"]["S"] for key in wanted["Keys"]] == [
        keys.live(keys.conference(conference)).pk,
        keys.socket(visitor.id).pk,
    ]


def released(world: World, storage: Storage, visitors: int) -> tuple[Counter[str], Counter[str]]:
    """What a release of so many costs, and the closing of all of them, who stay."""
    conference = world.conference()
    waiting = [world.visitor().wait(conference) for _ in range(visitors)]
    assert world.golive(conference).status == 200
    with storage.counting() as sent:
        world.drain()
    assert [visitor.line.live() for visitor in waiting] == [1] * visitors
    world.advance(11)
    with storage.counting() as closed:
        world.drain()
    return sent, closed


def test_behind_api_gateway_a_release_is_one_claim_for_each_visitor(one_shard, storage):
    few, closing_few = released(one_shard, storage, 3)
    many, closing_many = released(one_shard, storage, 30)
    assert many - few == {"UpdateItem": 27}
    assert few - many == {}
    # The record: taken on, held, settled; that it is looked for those left behind. The shard's page: put,
    # taken on, kept. Counted once, listed once; a release asks anew who else is there.
    assert few == {"UpdateItem": 3 + 3 + 2, "PutItem": 2, "Query": 3, "SendMessage": 2}
    # Who stays is found by one read for a hundred sessions.
    assert closing_few == closing_many == {"UpdateItem": 1, "Query": 1, "BatchGetItem": 1, "DeleteItem": 1}


def test_behind_api_gateway_a_shard_without_visitors_costs_a_page_and_no_more(rows, storage):
    conference = rows.conference()
    rows.golive(conference)
    with storage.counting() as spent:
        rows.drain()
    assert spent == {
        "UpdateItem": 3 + SHARDS,
        "PutItem": 1 + SHARDS,
        "Query": 1 + 2 * SHARDS,
        "DeleteItem": SHARDS,
        "SendMessage": SHARDS,
    }


def test_behind_api_gateway_a_waiting_visitors_leave_takes_its_session_and_its_row(rows, storage):
    conference = rows.conference()
    visitor = rows.visitor().wait(conference)
    with storage.counting() as spent:
        visitor.disconnect()
    assert visitor.receipt("close-1")
    assert spent == {"UpdateItem": 1, "BatchWriteItem": 1}
    (batch,) = storage.calls[-1].body["RequestItems"].values()
    assert sorted(next(iter(write)) for write in batch) == ["DeleteRequest", "PutRequest"]


def test_behind_api_gateway_a_leave_without_a_grace_writes_nothing_besides(rows, storage, monkeypatch):
    monkeypatch.setenv("JITSI_RECONNECT_GRACE_S", "0")
    settings.reset()
    rows.enter("rows")
    visitor = rows.visitor().wait(rows.conference())
    with listening() as restarted, restarted.counting() as spent:
        visitor.disconnect()
    assert spent == {"UpdateItem": 1, "DeleteItem": 1}


def test_behind_api_gateway_the_end_of_a_socket_that_said_goodbye_is_one_read(rows, storage):
    visitor = rows.visitor().wait(rows.conference())
    visitor.disconnect()
    with storage.counting() as spent:
        visitor.gone()
    assert spent == {"GetItem": 1}


def test_behind_api_gateway_the_end_of_a_socket_without_a_word_reads_its_session_first(rows, storage):
    visitor = rows.visitor().wait(rows.conference())
    with storage.counting() as spent:
        visitor.gone()
    assert spent == {"GetItem": 1, "UpdateItem": 1, "BatchWriteItem": 1}


def test_behind_api_gateway_after_a_release_only_the_session_is_ended(rows, storage):
    conference = rows.conference()
    visitor = rows.visitor().wait(conference)
    rows.golive(conference)
    rows.drain()
    assert visitor.line.live() == 1
    with storage.counting() as spent:
        visitor.unsubscribe()
        visitor.disconnect()
        visitor.gone()
    assert visitor.receipt("close-1")
    assert spent == {"UpdateItem": 2, "GetItem": 1}


def test_behind_api_gateway_a_process_that_knows_nothing_of_the_conference_reads_its_record(rows, storage):
    conference = rows.conference()
    visitor = rows.visitor().wait(conference)
    rows.golive(conference)
    rows.drain()
    cold()
    with storage.counting() as spent:
        visitor.disconnect()
    assert spent == {"UpdateItem": 1, "GetItem": 1}


def test_behind_api_gateway_unsubscribe_takes_the_row_and_keeps_the_grace(rows, storage):
    visitor = rows.visitor().wait(rows.conference())
    with storage.counting() as spent:
        visitor.unsubscribe()
    assert visitor.receipt("usub-0")
    assert spent == {"UpdateItem": 1, "PutItem": 1, "DeleteItem": 1}
    with storage.counting() as spent:
        visitor.disconnect()
    assert spent == {"UpdateItem": 1}


def test_behind_api_gateway_who_comes_to_a_live_conference_costs_its_claim_and_a_note(rows, storage):
    conference = rows.conference()
    rows.golive(conference)
    rows.drain()
    first = rows.visitor().connect()
    with storage.counting() as spent:
        first.subscribe(VISITOR + conference)
    assert first.line.live() == 1
    # The first one also has the sweep look after those that come.
    assert spent == {"UpdateItem": 3, "PutItem": 2, "BatchGetItem": 1, "Query": 1}
    second = rows.visitor().connect()
    with storage.counting() as spent:
        second.subscribe(VISITOR + conference)
    assert second.line.live() == 1
    assert spent == {"UpdateItem": 2, "PutItem": 2, "BatchGetItem": 1, "Query": 1}


def test_behind_api_gateway_a_look_for_those_left_behind_is_a_read_and_a_count_of_each_shard(rows, storage):
    conference = rows.conference()
    rows.golive(conference)
    rows.drain()
    rows.advance(release.LOOK_AFTER_S)
    rows.tick()
    (body,) = rows.due(store.LOOK)
    with storage.counting() as spent:
        rows.work(body)
    assert spent == {"UpdateItem": 2, "GetItem": 1, "Query": SHARDS}


# In the gateway's process


def test_in_the_gateways_process_connect_is_the_read_of_a_denial(memory, storage):
    visitor = memory.visitor()
    with storage.counting() as spent:
        visitor.connect()
    assert visitor.connected
    assert spent == {"GetItem": 1}


def test_in_the_gateways_process_subscribe_is_the_row_and_the_strong_read(memory, storage):
    conference = memory.conference()
    visitor = memory.visitor().connect()
    mark = len(storage.calls)
    visitor.subscribe(VISITOR + conference)
    put, read = storage.since(mark)
    assert (put.operation, read.operation) == ("PutItem", "GetItem")
    assert read.body["ConsistentRead"] is True
    assert read.key == keys.live(keys.conference(conference))


@pytest.mark.parametrize("grace", [True, False])
def test_in_the_gateways_process_disconnect_is_one_call(stack, credentials, monkeypatch, grace):
    if not grace:
        monkeypatch.setenv("JITSI_RECONNECT_GRACE_S", "0")
    world = World(stack, credentials, monkeypatch, "memory")
    visitor = world.visitor().wait(world.conference())
    with listening() as storage, storage.counting() as spent:
        visitor.disconnect()
        visitor.gone()
    world.leave()
    assert visitor.receipt("close-1")
    assert spent == {"BatchWriteItem" if grace else "DeleteItem": 1}


def test_in_the_gateways_process_unsubscribe_is_one_call_and_what_follows_is_none(memory, storage):
    visitor = memory.visitor().wait(memory.conference())
    with storage.counting() as spent:
        visitor.unsubscribe()
    assert spent == {"BatchWriteItem": 1}
    with storage.counting() as spent:
        visitor.disconnect()
        visitor.gone()
    assert spent == {}


def test_in_the_gateways_process_a_release_writes_nothing_for_its_visitors(memory, storage):
    def spent_on(visitors: int) -> Counter[str]:
        conference = memory.conference()
        waiting = [memory.visitor().wait(conference) for _ in range(visitors)]
        assert memory.golive(conference).status == 200
        with storage.counting() as spent:
            memory.drain()
        assert [visitor.line.live() for visitor in waiting] == [1] * visitors
        return Counter(spent)

    # Taken on and settled; who else there is to be sent to.
    assert spent_on(1) == spent_on(40) == {"UpdateItem": 2, "Query": 1}


def test_in_the_gateways_process_nothing_is_left_to_do_for_who_was_released(memory, storage):
    conference = memory.conference()
    visitor = memory.visitor().wait(conference)
    memory.golive(conference)
    memory.drain()
    with storage.counting() as spent:
        visitor.unsubscribe()
        visitor.disconnect()
        visitor.gone()
    assert visitor.receipt("close-1")
    assert spent == {}


# On both


def test_golive_is_one_write_and_one_kick_before_it_answers(world, storage):
    conference = world.conference()
    world.visitor().wait(conference)
    with storage.counting() as spent:
        assert world.golive(conference).status == 200
    assert spent == {"UpdateItem": 1, "SendMessage": 1}
    with storage.counting() as spent:
        assert world.golive(conference).status == 200
    assert spent == {"UpdateItem": 1, "SendMessage": 1}


def test_the_end_of_a_conference_is_one_write(world, storage):
    conference = world.conference()
    world.golive(conference)
    world.drain()
    with storage.counting() as spent:
        assert world.golive(conference, "DELETE").status == 200
    assert spent == {"UpdateItem": 1}


def watched(world: World, conference: str) -> Any:
    """A moderator who watches a conference, and the kicks of before taken away."""
    moderator = world.moderator().connect()
    moderator.subscribe(STATE + conference)
    assert moderator.line.counts() == [0]
    return moderator


def next_tick(world: World, storage: Storage) -> tuple[list[Call], int]:
    """One count tick: its storage calls and its posts."""
    world.advance(15)
    (body,) = world.due(store.COUNT)
    mark, posts = len(storage.calls), world.lines.posts
    assert world.work(body) == []
    return storage.since(mark), world.lines.posts - posts


def test_a_count_tick_is_one_count_query_for_each_shard_and_no_post_when_nothing_changed(world, storage):
    conference = world.conference()
    moderator = watched(world, conference)
    next_tick(world, storage)
    calls, posts = next_tick(world, storage)
    counted = [call for call in calls if call.body.get("Select") == "COUNT"]
    assert len(counted) == SHARDS
    assert len({call.body["ExpressionAttributeValues"][":pk"]["S"] for call in counted}) == SHARDS
    # Beside them: taken on, who watches, the live record, the next kick.
    assert kinds(calls) == {"UpdateItem": 1, "Query": SHARDS + 1, "GetItem": 1, "SendMessage": 1}
    assert posts == 0
    assert moderator.line.counts() == [0]


def test_a_change_is_one_write_and_one_post_for_each_moderator_and_one_for_the_number(world, storage):
    conference = world.conference()
    moderators = [watched(world, conference) for _ in range(3)]
    next_tick(world, storage)
    quiet, _ = next_tick(world, storage)
    world.visitor().wait(conference)
    changed, posts = next_tick(world, storage)
    assert posts == len(moderators)
    assert kinds(changed) - kinds(quiet) == {"UpdateItem": len(moderators) + 1}
    assert all(moderator.line.counts() == [0, 1] for moderator in moderators)


def test_an_unwatched_conference_is_not_counted(world, storage):
    conference = world.conference()
    moderator = watched(world, conference)
    moderator.disconnect()
    moderator.gone()
    calls, posts = next_tick(world, storage)
    # The last tick finds nobody to tell, and ends it.
    assert kinds(calls) == {"UpdateItem": 1, "Query": 1, "DeleteItem": 1}
    assert posts == 0
    world.visitor().wait(conference)
    world.advance(120)
    assert world.due(store.COUNT) == []
    mark = len(storage.calls)
    world.tick()
    assert world.kicked == []
    assert all("IndexName" in call.body for call in storage.since(mark))


def test_the_sweep_reads_its_index_and_nothing_else(world, storage):
    mark = len(storage.calls)
    world.tick()
    spent = storage.since(mark)
    assert kinds(spent) == {"Query": len(owed.kinds()) * keys.DUE_BUCKETS}
    assert {call.body["IndexName"] for call in spent} == {"due"}


def test_a_queue_row_is_small_with_the_longest_ids(world, storage):
    conference = "r" * 1000 + "@conference.meet.local"
    short = keys.conference(conference)
    key = keys.live(short)
    epoch = {"N": str(36 * 36 - 1)}  # the last one of two digits
    item = {"pk": {"S": key.pk}, "sk": {"S": key.sk}, "name": {"S": conference}, "epoch": epoch}
    world.stack.dynamodb.put_item(TableName=world.stack.table, Item=item)
    sockets = [world.visitor().wait(conference) for _ in range(30)]
    assert {len(socket.id) for socket in sockets} == {LONGEST_SOCKET_ID}
    written = [
        call.body["Item"]
        for call in storage.calls
        if call.operation == "PutItem" and call.body["Item"]["pk"]["S"].startswith("q")
    ]
    sizes = {item_size(item | {"expires_at": {"N": "1893456789"}}) for item in written}
    assert max(sizes) <= LARGEST_QUEUE_ROW
    assert len([item for item in written if item["pk"]["S"].startswith(f"q{short}zz.")]) == len(sockets)


def test_nothing_is_found_by_a_scan_and_nothing_needs_a_transaction(world, storage):
    conference = world.conference()
    moderator = watched(world, conference)
    visitors = [world.visitor().wait(conference) for _ in range(5)]
    visitors[0].unsubscribe()
    visitors[1].disconnect()
    visitors[2].gone()
    denied = world.visitor().connect()
    denied.subscribe(STATE + conference)
    assert denied.line.frames("ERROR")
    next_tick(world, storage)
    world.golive(conference)
    world.drain()
    world.advance(60)
    world.tick()
    world.drain()
    late = world.visitor()
    late.wait(conference)
    for _ in range(3):
        late.gone()
        late.open()
        late.wait(conference)
    world.settle()
    moderator.gone()
    world.golive(conference, "DELETE")
    assert {call.operation for call in storage.calls} <= (READS | WRITES | {"SendMessage"}) - {
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
    }
    assert all(
        call.body.get("ConsistentRead") is True or "IndexName" in call.body or "Select" in call.body
        for call in storage.calls
        if call.operation in {"GetItem", "Query"}
    )
