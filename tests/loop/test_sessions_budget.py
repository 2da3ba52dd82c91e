"""What is done in a room costs so many storage calls, exactly, and no item grows beyond its bounds."""

from collections import Counter

import pytest

from chalicelib.store import keys
from tests.loop.api import Caller, GuestCaller, HawkCaller, ok, refusal
from tests.support.storage import Call, item_size

STATUS = {
    "event": "Session.connectionCreated",
    "state": "waiting",
    "connections": 1,
    "sendStreams": 0,
    "recvStreams": 0,
}
ILLEGAL = STATUS | {"event": "sdk.exception.1", "state": "cleanup"}
DOMAINS = {"domains": [{"domain": "a.test", "count": 1}]}
ONE_UPDATE = {"UpdateItem": 1}
HAWK = {"GetItem": 1, "PutItem": 1}
"""Reading the credentials, and noting the nonce."""


def enter(room: str, caller: Caller | None = None) -> GuestCaller:
    """A guest who came in."""
    return GuestCaller(ok((caller or Caller()).join(room, "Guest"))["sessionToken"])


def both(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """The sum of two counts."""
    return dict(Counter(one) + Counter(other))


ACTIONS = [
    ("refresh", {}, 200, ONE_UPDATE),
    ("leave", {}, 204, ONE_UPDATE),
    ("status", STATUS, 204, ONE_UPDATE),
    ("status", STATUS | {"event": "sdk.exception.1", "state": "starting"}, 204, ONE_UPDATE),
    ("status", ILLEGAL, 204, ONE_UPDATE),  # no state leads there by such an event: it is known beforehand
    ("logDomain", DOMAINS, 204, {"GetItem": 1}),
]


@pytest.mark.parametrize(("action", "fields", "status", "wanted"), ACTIONS)
def test_what_a_guest_does_is_one_conditional_update_and_no_read(
    owner, storage, action, fields, status, wanted
):
    room = owner.room()
    guest = enter(room)
    mark = len(storage.calls)
    assert Counter(storage.spent(lambda: guest.act(room, action, **fields), status)) == wanted
    for call in storage.since(mark):
        assert call.key == keys.loop_room(room)
        if call.operation == "UpdateItem":
            assert "ConditionExpression" in call.body


@pytest.mark.parametrize(("action", "fields", "status", "wanted"), ACTIONS)
def test_what_a_signed_in_caller_does_is_that_and_what_hawk_costs(
    owner, other, storage, action, fields, status, wanted
):
    room = owner.room()
    ok(other.join(room))
    calls = storage.spent(lambda: other.act(room, action, **fields), status)
    assert Counter(calls) == both(HAWK, wanted)


def test_joining_is_one_read_and_one_conditional_write(owner, nobody, storage):
    room = owner.room()
    guest = enter(room)
    for caller in (nobody, guest):
        assert storage.spent(lambda caller=caller: caller.join(room)) == ["GetItem", "UpdateItem"]
        read, write = storage.calls[-2:]
        assert read.key == write.key == keys.loop_room(room)
        assert read.body["ConsistentRead"] is True
        assert "ConditionExpression" in write.body


def test_a_signed_in_caller_joins_for_that_and_what_hawk_costs(owner, storage):
    room = owner.room()
    for _ in range(2):
        calls = storage.spent(lambda: owner.join(room))
        assert Counter(calls) == both(HAWK, {"GetItem": 1, "UpdateItem": 1})


def test_whom_a_room_refuses_it_only_reads(owner, nobody, storage):
    room = owner.room(maxSize=1)
    with storage.counting() as counted:
        assert refusal(nobody.join(room)) == (400, 202)
    assert counted == {"GetItem": 1}


def test_joining_writes_nobody_else_anew(owner, nobody, storage):
    room = owner.room()
    for _ in range(3):
        enter(room)
    mark = len(storage.calls)
    enter(room)
    (_, write) = storage.since(mark)
    entries = [value for value in write.body["ExpressionAttributeValues"].values() if "M" in value]
    assert len(entries) == 1


def test_only_a_report_that_does_not_conform_costs_a_second_update(owner, storage):
    room = owner.room()
    guest = enter(room)
    illegal = STATUS | {"event": "Session.streamDestroyed", "state": "cleanup", "connections": 2}
    for fields, wanted in [(STATUS, 1), (illegal, 2), (illegal, 1), (STATUS, 1)]:
        calls = storage.spent(lambda fields=fields: guest.act(room, "status", **fields), 204)
        assert calls == ["UpdateItem"] * wanted


@pytest.mark.parametrize("action", ["refresh", "leave", "status"])
def test_who_is_not_in_the_room_costs_no_more_than_who_is(owner, storage, action):
    room = owner.room()
    stranger = GuestCaller("T1==x")
    for token, wanted in ((room, (401, 110)), ("QzBbvGmIZWU", (404, 105))):
        with storage.counting() as counted:
            assert refusal(stranger.act(token, action, **STATUS)) == wanted
        assert counted == ONE_UPDATE


def test_a_fault_of_the_body_costs_the_read_that_tells_what_comes_before_it(owner, nobody, storage):
    room = owner.room()
    guest = enter(room)
    for caller in (guest, nobody):
        with storage.counting() as counted:
            assert refusal(caller.act(room, "dance")) == (400, 107)
        assert counted == {"GetItem": 1}


def test_leaving_by_a_token_in_the_body_is_one_update_for_guests_and_two_for_others(owner, nobody, storage):
    room = owner.room()
    guest, host = (ok(each.join(room))["sessionToken"] for each in (nobody, owner))
    for token, status, wanted in ((guest, 204, 1), (host, 204, 2), (host, 401, 1)):
        calls = storage.spent(lambda token=token: nobody.act(room, "leave", sessionToken=token), status)
        assert calls == ["UpdateItem"] * wanted


def test_looking_at_sessions_is_one_read(owner, storage):
    room = owner.room()
    enter(room)
    with storage.counting() as counted:
        ok(owner.get(f"/rooms/{room}/sessions"))
    assert counted == both(HAWK, {"GetItem": 1})


# Sizes


def test_what_a_report_sends_does_not_grow_with_the_room(owner, storage):
    room = owner.room(maxSize=5)
    guest, calls = enter(room), list[Call]()
    for _ in range(3):
        mark = len(storage.calls)
        ok(guest.act(room, "status", **STATUS), 204)
        calls += storage.since(mark)
        enter(room)
    sent = [len(str(call.body)) for call in calls]
    assert max(sent) - min(sent) < 16
    assert max(sent) < 1500


def test_a_room_of_five_with_all_that_it_remembers_is_a_small_item(owner: HawkCaller, table):
    room = owner.room(maxSize=5)
    for _ in range(30):
        guest = enter(room)
        ok(guest.act(room, "status", **STATUS | {"event": "e" * 300, "state": "waiting"}), 204)
        ok(guest.act(room, "leave"), 204)
    for _ in range(4):
        enter(room)
    (row,) = [item for item in table.rows() if item["pk"]["S"] == keys.loop_room(room).pk]
    assert len(row["p"]["M"]) == 24
    assert item_size(row) < 16_000
