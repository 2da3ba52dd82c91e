"""What the routes of streams cost in storage calls, exactly; counted below botocore."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.owt.stream import Audio, Forward, Media
from tests.owt import entering
from tests.owt.api import BAD, NO_STREAM, REFUSED, Api, ok, refusal
from tests.support.storage import Call, Storage, item_size, listening

MIX = {"op": "add", "path": "/info/inViews", "value": "common"}
UNMIX = {"op": "remove", "path": "/info/inViews", "value": "common"}
MUTE = {"op": "replace", "path": "/media/audio/status", "value": "inactive"}
UNMUTE = {"op": "replace", "path": "/media/audio/status", "value": "active"}
CLEAR = {"op": "replace", "path": "/info/layout", "value": []}

ONE_READ = {"BatchGetItem": 1}
LARGEST_ROW = 512


@pytest.fixture
def api(stack, credentials) -> Api:
    """The super service: that of another one is read once a minute."""
    return Api(credentials.super_service_id, credentials.super_service_key, "v1.1")


@pytest.fixture
def room(api: Api) -> str:
    """A default room."""
    return api.room()


@pytest.fixture
def storage(api) -> Iterator[Storage]:
    """The counter."""
    with listening() as counter:
        yield counter


def patch(api: Api, room: str, stream: str, *updates: dict[str, Any]) -> Any:
    return ok(api.patch(f"/rooms/{room}/streams/{stream}", list(updates)))


def written(calls: list[Call]) -> list[str]:
    """What the transactions among these do with which rows."""
    (call,) = [each for each in calls if each.operation == "TransactWriteItems"]
    assert call.body["ClientRequestToken"]
    found = []
    for part in call.body["TransactItems"]:
        ((kind, what),) = part.items()
        key = what.get("Key") or what["Item"]
        found.append(f"{kind} {key['sk']['S'][:2]}")
    return found


@pytest.mark.parametrize("number", [0, 1, 20])
def test_the_list_is_exactly_one_query_however_many_there_are(api, room, storage, number):
    for _ in range(number):
        patch(api, room, api.streaming_in(room), MIX)
    mark = len(storage.calls)
    with storage.counting() as spent:
        found = ok(api.get(f"/rooms/{room}/streams"))
    assert spent == {"Query": 1}
    (query,) = storage.since(mark)
    assert query.body["ConsistentRead"] is True
    assert len(found) == (number + 1 if number else 0)


def test_a_forward_stream_is_one_read_and_a_mixed_one_one_query(api, room, storage):
    made = api.streaming_in(room)
    with storage.counting() as forward:
        ok(api.get(f"/rooms/{room}/streams/{made}"))
    with storage.counting() as mixed:
        ok(api.get(f"/rooms/{room}/streams/{room}-common"))
    assert (forward, mixed) == (ONE_READ, {"Query": 1})


def test_a_streaming_in_is_one_read_and_one_transaction(api, room, storage):
    mark = len(storage.calls)
    with storage.counting() as spent:
        api.streaming_in(room)
    assert spent == {"GetItem": 1, "TransactWriteItems": 1}
    assert written(storage.since(mark)) == ["Update x", "Put w#", "ConditionCheck xe"]


def test_a_streaming_in_into_a_full_room_costs_the_same(api, storage):
    room = api.room(inputLimit=0)
    body = {"connection": {"url": "u"}, "media": {"audio": True, "video": True}}
    with storage.counting() as spent:
        assert refusal(api.post(f"/rooms/{room}/streaming-ins", body)) == REFUSED
    assert spent == {"GetItem": 1, "TransactWriteItems": 1}


@pytest.mark.parametrize(
    "updates", [[MUTE], [UNMIX], [MUTE, UNMIX, UNMUTE, MUTE]], ids=["mute", "unmix", "list"]
)
def test_changes_of_a_forward_stream_are_one_read_and_one_update(api, room, storage, updates):
    made = api.streaming_in(room)
    patch(api, room, made, MIX)
    mark = len(storage.calls)
    with storage.counting() as spent:
        patch(api, room, made, *updates)
    assert spent == {**ONE_READ, "UpdateItem": 1}
    update = storage.since(mark)[1]
    assert "ConditionExpression" in update.body
    assert update.key[1] == f"w#{made}"


def test_mixing_is_one_read_and_one_write_of_the_stream_its_view_and_the_state_of_the_room(
    api, room, storage
):
    made = api.streaming_in(room)
    mark = len(storage.calls)
    with storage.counting() as spent:
        patch(api, room, made, MIX, MUTE)
    assert spent == {**ONE_READ, "TransactWriteItems": 1}
    assert written(storage.since(mark)) == ["Update w#", "ConditionCheck x", "Update v#"]


@pytest.mark.parametrize("updates", [[], [UNMIX], [UNMUTE], [MIX, UNMIX], [MUTE, UNMUTE]])
def test_what_changes_nothing_is_not_written(api, room, storage, updates):
    made = api.streaming_in(room)
    with storage.counting() as spent:
        patch(api, room, made, *updates)
    assert spent == ONE_READ


def test_a_bad_list_is_one_read(api, room, storage):
    made = api.streaming_in(room)
    with storage.counting() as spent:
        assert refusal(api.patch(f"/rooms/{room}/streams/{made}", [MUTE, {}])) == BAD
        assert refusal(api.patch(f"/rooms/{room}/streams/1", [MUTE])) == NO_STREAM
    assert spent == {"BatchGetItem": 2}


def test_a_layout_is_one_query_and_one_write(api, room, storage):
    patch(api, room, api.streaming_in(room), MIX)
    mark = len(storage.calls)
    with storage.counting() as spent:
        patch(api, room, f"{room}-common", CLEAR, CLEAR)
    assert spent == {"Query": 1, "TransactWriteItems": 1}
    assert written(storage.since(mark)) == ["Update v#", "ConditionCheck x"]
    with storage.counting() as again:
        patch(api, room, f"{room}-common", CLEAR)
    assert again == {"Query": 1}


def test_a_stream_of_a_participant_is_changed_with_an_eye_on_who_it_belongs_to(
    api, room, storage, credentials
):
    service = credentials.super_service_id
    ann = entering.join(service, room, "ann", "presenter").id
    published = Forward("", Media(Audio({"codec": "opus"})), ann, "webrtc")
    made = entering.bring(service, room, published).id
    mark = len(storage.calls)
    with storage.counting() as spent:
        patch(api, room, made, MUTE)
    assert spent == {**ONE_READ, "TransactWriteItems": 1}
    assert written(storage.since(mark)) == ["Update w#", "ConditionCheck xe"]
    with storage.counting() as read:
        ok(api.get(f"/rooms/{room}/streams/{made}"))
    assert read == {**ONE_READ, "GetItem": 1}


def test_a_deletion_is_one_read_one_write_and_the_end_of_what_hung_on_it(api, room, storage):
    made = api.streaming_in(room)
    mark = len(storage.calls)
    with storage.counting() as spent:
        assert api.delete(f"/rooms/{room}/streams/{made}").status == 200
    # The row that owes the end is taken on, the subscriptions are looked at, the row goes.
    assert spent == {**ONE_READ, "TransactWriteItems": 1, "UpdateItem": 1, "Query": 1, "DeleteItem": 1}
    assert written(storage.since(mark)) == ["Update x", "Delete w#", "Put xe"]


def test_the_row_of_a_stream_is_small(api, room, stack):
    made = api.streaming_in(room)
    patch(api, room, made, MIX)
    (row,) = [each for each in stack.rows() if each["sk"]["S"].startswith("w#")]
    assert item_size(row) <= LARGEST_ROW
