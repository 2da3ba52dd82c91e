"""What each request about rooms costs in storage calls, exactly; counted below botocore."""

from collections.abc import Iterator

import pytest

from chalicelib import settings
from chalicelib.loop.room import NewRoom
from chalicelib.loop.store import rooms as store
from chalicelib.store import keys
from tests.conftest import Stack
from tests.loop.api import Caller, GuestCaller, HawkCaller, ok, register
from tests.support.storage import READS, Storage, item_size, listening

HAWK = ["GetItem", "PutItem"]
"""Who calls: its credentials, and that the request is a new one."""
CONTEXT = {"value": "x" * 90_000, "alg": "AES-GCM", "wrappedKey": "k+A="}
ROOM = {"roomOwner": "Ada", "maxSize": 5, "context": CONTEXT}
LARGEST_LISTED_ROW = 80
LARGEST_NEW_ROW = 512


@pytest.fixture
def owner(stack: Stack) -> HawkCaller:
    """An owner, on ministack."""
    return register()


@pytest.fixture
def storage(owner: HawkCaller) -> Iterator[Storage]:
    """The counter; made after the clients."""
    with listening() as counter:
        yield counter


def made(owner):
    return ok(owner.post("/rooms", ROOM), 201)["roomToken"]


def test_a_new_room_is_one_batch_of_what_stands_beside_it_and_one_conditional_put(owner, storage):
    for body in (ROOM, {"roomOwner": "Ada", "maxSize": 5, "roomName": "n"}):
        calls = storage.spent(lambda body=body: owner.post("/rooms", body), 201)
        assert calls == [*HAWK, "BatchWriteItem", "PutItem"]
        assert storage.calls[-1].body["ConditionExpression"]


def test_a_room_is_one_read_for_nobody_and_for_guests(owner, storage):
    token = made(owner)
    assert storage.spent(lambda: Caller().get(f"/rooms/{token}")) == ["BatchGetItem"]
    guest = GuestCaller(ok(Caller().join(token))["sessionToken"])
    assert storage.spent(lambda: guest.get(f"/rooms/{token}")) == ["BatchGetItem"]


def test_a_room_is_two_reads_for_who_signs(owner, storage):
    token = made(owner)
    calls = storage.spent(lambda: owner.get(f"/rooms/{token}"))
    assert calls == ["BatchGetItem", *HAWK]
    assert sum(each in READS for each in calls) == 2


def test_a_list_is_one_query_and_batches_of_rooms_and_contexts(owner, storage):
    uid = store.get(made(owner)).uid
    new = NewRoom(owner="Ada", max_size=5, hours=1, channel="default", name=None, context="{}")
    for _ in range(149):
        store.create(uid, new, "100", "2_x")
    assert storage.spent(lambda: owner.get("/rooms")) == [*HAWK, "Query", *["BatchGetItem"] * 4]
    (query,) = (call for call in storage.calls[-5:] if call.operation == "Query")
    assert query.body["ConsistentRead"] is True
    # What did not change is looked at, and its context is not.
    calls = storage.spent(lambda: owner.get("/rooms?version=9999999999"))
    assert calls == [*HAWK, "Query", *["BatchGetItem"] * 2]


def test_an_empty_list_is_one_query(owner, storage):
    assert storage.spent(lambda: owner.get("/rooms")) == [*HAWK, "Query"]


def test_a_change_is_one_read_and_one_write_and_one_more_for_a_context(owner, storage):
    token = made(owner)
    calls = storage.spent(lambda: owner.patch(f"/rooms/{token}", {"maxSize": 2}))
    assert calls == [*HAWK, "GetItem", "UpdateItem"]
    assert len(str(storage.calls[-1].body)) < 1500
    calls = storage.spent(lambda: owner.patch(f"/rooms/{token}", {"context": CONTEXT}))
    assert calls == [*HAWK, "GetItem", "PutItem", "UpdateItem"]


def test_a_deletion_is_one_conditional_write_and_one_more_for_the_context(owner, storage):
    named = owner.room()
    assert storage.spent(lambda: owner.delete(f"/rooms/{named}"), 204) == [*HAWK, "UpdateItem"]
    token = made(owner)
    assert storage.spent(lambda: owner.delete(f"/rooms/{token}"), 204) == [*HAWK, "UpdateItem", "DeleteItem"]


def test_a_deletion_of_several_is_one_read_and_the_writes_of_those_that_are_ones_own(owner, storage):
    mine, theirs = [owner.room(), owner.room()], register().room()
    body = {"deleteRoomTokens": [*mine, theirs, "QzBbvGmIZWU"]}
    calls = storage.spent(lambda: owner.patch("/rooms", body), 207)
    assert calls == [*HAWK, "BatchGetItem", "UpdateItem", "UpdateItem"]


def test_a_token_that_no_room_can_have_costs_no_look_at_rooms(owner, storage):
    assert storage.spent(lambda: Caller().get("/rooms/anything"), 404) == []
    assert storage.spent(lambda: owner.delete("/rooms/anything"), 404) == HAWK
    assert storage.spent(lambda: owner.patch("/rooms/anything", {}), 404) == HAWK


def test_what_is_wrong_costs_no_more_than_who_sent_it(owner, storage):
    assert storage.spent(lambda: owner.post("/rooms", {}), 400) == HAWK
    assert storage.spent(lambda: owner.patch("/rooms", {}), 400) == HAWK
    assert storage.spent(lambda: Caller().post("/rooms", ROOM), 401) == []


def test_pushing_costs_one_kick(owner, storage, monkeypatch):
    monkeypatch.setenv("LOOP_PUSH", "on")
    settings.reset()
    storage.listen()  # to the clients that were made anew
    calls = storage.spent(lambda: owner.post("/rooms", ROOM), 201)
    assert calls[-3:] == ["BatchWriteItem", "PutItem", "SendMessage"]


def test_rows_are_small_whatever_their_context(owner, stack):
    token = made(owner)
    found = {(row["pk"]["S"], row["sk"]["S"]): row for row in stack.rows()}
    uid = found[keys.loop_room(token)]["uid"]["S"]
    assert item_size(found[keys.loop_room_listed(uid, token)]) <= LARGEST_LISTED_ROW
    assert item_size(found[keys.loop_room(token)]) <= LARGEST_NEW_ROW


def test_nothing_is_found_by_a_scan_and_all_is_read_strongly(owner, storage):
    token = made(owner)
    for request in (
        lambda: owner.get("/rooms?version=1"),
        lambda: owner.get(f"/rooms/{token}"),
        lambda: owner.patch(f"/rooms/{token}", {}),
        lambda: owner.patch("/rooms", {"deleteRoomTokens": [token]}),
    ):
        assert request().status in (200, 207)
    assert "Scan" not in {call.operation for call in storage.calls}
    rooms = [call for call in storage.calls if call.operation in READS and "lR" in str(call.body)]
    assert rooms
    for call in rooms:
        (given,) = (call.body.get("RequestItems") or {"": call.body}).values()
        assert given["ConsistentRead"] is True
