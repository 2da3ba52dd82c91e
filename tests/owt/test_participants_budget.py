"""What participants cost in storage calls, exactly, and how many of them come in at once."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from chalicelib.errors import Unavailable
from chalicelib.owt.errors import NoParticipant, NoRoom, NoToken, Refused
from chalicelib.owt.participant import FLAGS, Participant, spell_permission
from chalicelib.owt.room import parse_new
from chalicelib.owt.store import participants, rooms
from chalicelib.store import keys
from tests.owt import entering
from tests.owt.api import Api, ok
from tests.support.counts import full
from tests.support.storage import Storage, listening
from tests.support.threads import all_at_once

ROUNDS = full(20, 200)
AT_ONCE = 6
PUBLISH = "/permission/publish"
SERVICE = "5188b9af6e53c84ffd600499"


@pytest.fixture
def storage(api: Api) -> Iterator[Storage]:
    """The counter."""
    with listening() as counter:
        yield counter


def test_a_patch_is_the_rooms_read_and_one_conditional_update(api, storage):
    room = api.room()
    alice = entering.join(api.service, room, "alice", "presenter").id
    updates = [
        {"op": "replace", "path": PUBLISH, "value": {"audio": False, "video": False}},
        {"op": "replace", "path": f"{PUBLISH}/audio", "value": True},
        {"op": "replace", "path": "/permission/subscribe/video", "value": False},
    ]
    mark = len(storage.calls)
    ok(api.patch(f"/rooms/{room}/participants/{alice}", updates))
    read, write = storage.since(mark)
    assert (read.operation, write.operation) == ("GetItem", "UpdateItem")
    assert read.body["Key"]["pk"]["S"] == write.body["Key"]["pk"]["S"] == keys.owt_room_partition(room)
    assert read.body["ConsistentRead"] is True
    assert "ConditionExpression" in write.body
    assert write.body["ReturnValues"] == "ALL_NEW"


@pytest.mark.parametrize(
    ("method", "path", "spent"),
    [
        ("GET", "/participants", {"GetItem": 1, "Query": 1}),
        ("GET", "/participants/{id}", {"BatchGetItem": 1}),
        ("PATCH", "/participants/{id}", {"BatchGetItem": 1}),
    ],
)
def test_reading_looks_at_the_room_too(api, storage, method, path, spent):
    room = api.room()
    alice = entering.join(api.service, room, "alice", "presenter").id
    body: list[object] | None = [] if method == "PATCH" else None
    with storage.counting() as counted:
        ok(api.call(method, f"/rooms/{room}{path.format(id=alice)}", body))
    assert counted == spent


# Many at once


EXPECTED = (Refused, NoParticipant, NoRoom, NoToken, Unavailable)


def new_room(**options: Any) -> str:
    document = parse_new({"name": "r", "options": options})
    return rooms.create(SERVICE, document, check_service=False).id


def join(room: str, user: str = "u", **more: str) -> Callable[[], object]:
    return partial(entering.join, SERVICE, room, user, "viewer", **more)


def leave(room: str, name: str) -> Callable[[], object]:
    return partial(participants.leave, SERVICE, room, name)


def test_of_many_who_join_at_once_exactly_as_many_come_in_as_the_limit_says(stack):
    for number in range(ROUNDS):
        limit = 1 + number % (AT_ONCE - 1)
        room = new_room(participantLimit=limit)
        outcomes = all_at_once([join(room, f"u{name}") for name in range(AT_ONCE)], *EXPECTED)
        refused = [each for each in outcomes if isinstance(each, Refused)]
        assert len(refused) == AT_ONCE - limit, outcomes
        came = {each.id for each in outcomes if isinstance(each, Participant)}
        assert {each.id for each in participants.listed(SERVICE, room)} == came
        assert rooms.read(SERVICE, room).participants == len(came) == limit


def test_of_many_with_one_id_exactly_one_comes_in(stack):
    for _ in range(ROUNDS):
        room = new_room()
        outcomes = all_at_once([join(room, f"u{name}", participant_id="p") for name in range(3)], *EXPECTED)
        assert sum(isinstance(each, Refused) for each in outcomes) == 2
        assert rooms.read(SERVICE, room).participants == len(participants.listed(SERVICE, room)) == 1


def test_of_many_who_drop_one_participant_exactly_one_does(stack):
    for _ in range(ROUNDS):
        room = new_room()
        gone = entering.join(SERVICE, room, "alice", "viewer").id
        entering.join(SERVICE, room, "bob", "viewer")
        outcomes = all_at_once([leave(room, gone)] * 3, *EXPECTED)
        assert sum(isinstance(each, NoParticipant) for each in outcomes) == 2
        assert [each.user for each in participants.listed(SERVICE, room)] == ["bob"]
        assert rooms.read(SERVICE, room).participants == 1


def test_two_lists_of_updates_at_once_are_applied_one_after_the_other(stack):
    room = new_room()
    name = entering.join(SERVICE, room, "alice", "presenter").id
    lists = [{flag: flag.track == track for flag in FLAGS} for track in ("audio", "video")]
    wanted = [spell_permission(each) for each in lists]
    updates = [partial(participants.update, SERVICE, room, name, each) for each in lists]
    for _ in range(ROUNDS):
        outcomes = all_at_once(updates, *EXPECTED)
        assert [each.permission for each in outcomes if isinstance(each, Participant)] == wanted
        assert participants.read(SERVICE, room, name).permission in wanted


def test_whoever_joins_while_the_room_goes_is_refused_or_goes_with_it(stack):
    for _ in range(ROUNDS):
        room = new_room()
        all_at_once([partial(rooms.delete, SERVICE, room), join(room), join(room)], *EXPECTED)
        with pytest.raises(NoRoom):
            participants.listed(SERVICE, room)
        with pytest.raises(NoToken):
            entering.join(SERVICE, room, "u", "viewer")


def test_a_join_while_roles_change_has_the_permission_of_one_of_them(stack):
    both = {"audio": True, "video": True}
    neither = {"audio": False, "video": False}
    for _ in range(ROUNDS):
        room = new_room(roles=[{"role": "viewer", "publish": both, "subscribe": both}])
        after: dict[str, Any] = {"roles": [{"role": "viewer", "publish": neither, "subscribe": neither}]}
        change = partial(rooms.replace, rooms.read(SERVICE, room), after)
        _, joined = all_at_once([change, join(room)], *EXPECTED)
        assert isinstance(joined, Participant), joined
        assert joined.permission["publish"] == joined.permission["subscribe"]
