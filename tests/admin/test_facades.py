"""What operators see of services, rooms, streams and channels; and what nobody is shown."""

import base64
import json
from typing import Any, Final
from urllib.parse import quote

import pytest

from chalicelib import clock
from chalicelib.admin import paging
from chalicelib.loop import masks
from chalicelib.loop.errors import InvalidToken
from chalicelib.loop.store import rooms as loop_rooms
from chalicelib.owt.stream import Audio, Forward, Layer, Media, Video
from chalicelib.sora.store import ConnectionRow
from chalicelib.store import keys, writes
from chalicelib.wcs import store as wcs_store
from infra.credentials import Credentials
from tests.admin import api
from tests.admin.api import Session, ask, done, refusal
from tests.conftest import Stack
from tests.loop.api import register
from tests.owt import entering
from tests.owt.api import Api, ok
from tests.sora import api as sora
from tests.support.storage import listening
from tests.wcs.server import NODE, Server

NOT_FOUND: Final = (404, "not_found")
INVALID: Final = (400, "invalid")
KEY: Final = "s3cret-of-a-service"


def pages(path: str, limit: int = 100) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    found: list[dict[str, Any]] = []
    following = ""
    for _ in range(200):
        mark = "&" if "?" in path else "?"
        page = done(ask("GET", f"{path}{mark}limit={limit}&after={following}"))
        assert page.keys() == {"items", "next"}
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next"] is None:
            return found
        following = page["next"]
    raise AssertionError("pages without end")


# Conference management


@pytest.fixture
def acme(admin: Stack, credentials: Credentials) -> Api:
    """A service beside the super service."""
    own = Api(credentials.super_service_id, credentials.super_service_key)
    made = ok(own.post("/services", {"name": "acme", "key": KEY}))
    return Api(made["_id"], KEY)


def forward(identity: str, owner: str = "admin") -> Forward:
    media = Media(Audio({"codec": "opus"}), Video((Layer({"codec": "vp8"}),)))
    return Forward(identity, media, owner, "webrtc", {"name": "<b>x</b>"})


@pytest.mark.parametrize("limit", [1, 100])
def test_services_begin_with_the_super_service_and_show_no_key(
    admin: Stack, acme: Api, credentials: Credentials, limit: int
):
    own = Api(credentials.super_service_id, credentials.super_service_key)
    for name in ("b", "c"):
        ok(own.post("/services", {"name": name, "key": KEY}))
    found = pages("/owt/services", limit)

    assert found[0] == {"id": credentials.super_service_id, "name": "superService"}
    assert [each["name"] for each in found] == ["superService", "acme", "b", "c"]
    assert KEY not in json.dumps(found)


@pytest.mark.parametrize("limit", [1, 100])
def test_rooms_of_a_service_come_in_the_order_of_their_creation(admin: Stack, acme: Api, limit: int):
    made = [acme.room(participantLimit=9) for _ in range(4)]
    found = pages(f"/owt/services/{acme.service}/rooms", limit)

    assert [each["id"] for each in found] == made
    assert found[0] == {
        "id": made[0],
        "name": "r",
        "service": acme.service,
        "participants": 0,
        "streams": 0,
        "others": 0,
        "participant_limit": 9,
        "input_limit": None,
    }
    assert pages(f"/owt/services/{'0' * 24}/rooms") == []
    assert pages("/owt/services/nothing/rooms") == []


def test_services_and_their_rooms_are_found_by_a_part_of_their_names(admin: Stack, acme: Api):
    for number in range(12):
        ok(acme.post("/rooms", {"name": f"Ward {number}"}))

    assert [each["name"] for each in pages("/owt/services?search=CM")] == ["acme"]
    assert [each["name"] for each in pages("/owt/services?search=super")] == ["superService"]
    rooms = f"/owt/services/{acme.service}/rooms"
    for limit in (1, 100):
        found = pages(f"{rooms}?search=ward%201", limit)
        assert [each["name"] for each in found] == ["Ward 1", "Ward 10", "Ward 11"]
    assert pages(f"{rooms}?search=nobody") == pages("/owt/services?search=nobody") == []
    assert refusal(ask("GET", f"{rooms}?search={'x' * 1025}")) == INVALID


def test_a_room_of_any_service_shows_who_and_what_is_in_it(admin: Stack, acme: Api):
    room = acme.room()
    joined = entering.join(acme.service, room, "alice", "presenter")
    entering.bring(acme.service, room, forward("s1", joined.id), in_views=["common"])
    session = Session()
    with listening() as storage:
        spent = storage.spent(lambda: session.call("GET", f"/owt/rooms/{room}"))
    assert spent == ["BatchGetItem", "GetItem", "Query"]
    found = done(session.call("GET", f"/owt/rooms/{room}"))

    assert found["room"]["participants"] == 1
    assert found["participants"] == [
        {"id": joined.id, "user": "alice", "role": "presenter", "permission": joined.permission}
    ]
    mixed, own = found["streams"]
    assert (mixed["id"], mixed["type"], mixed["owner"]) == (f"{room}-common", "mixed", None)
    assert own == {
        "id": "s1",
        "type": "forward",
        "owner": joined.id,
        "source": "webrtc",
        "views": ["common"],
        "audio": True,
        "video": True,
        "attributes": {"name": "<b>x</b>"},
        "arrived": own["arrived"],
    }
    assert abs(own["arrived"] - clock.now() * 1000) < 60_000
    assert found["more"] is False


@pytest.mark.parametrize("room", ["0" * 24, "nothing", "%2F", "a%00"])
def test_a_room_that_is_not_there_is_not_found(admin: Stack, room: str):
    assert refusal(ask("GET", f"/owt/rooms/{room}")) == NOT_FOUND


# Rooms by invitation


def test_rooms_by_invitation_show_no_token_and_can_be_looked_at(admin: Stack):
    owner = register()
    made = ok_json(owner.post("/rooms", {"roomName": "Standup", "maxSize": 5, "roomOwner": "Ada"}))
    token = made["roomToken"]
    seat = ok_json(owner.join(token, "Ada"))
    (listed,) = pages("/loop/rooms")
    found = done(ask("GET", f"/loop/rooms/{listed['id']}"))

    assert listed == {
        "id": masks.mask(token),
        "token": token[:4] + "…",
        "name": "Standup",
        "owner": "Ada",
        "participants": 1,
        "max_size": 5,
        "created_at": listed["created_at"],
        "expires_at": listed["expires_at"],
    }
    # Who joins makes a room last longer.
    assert 0 <= listed["expires_at"] - made["expiresAt"] * 1000 < 60_000
    (session,) = found.pop("sessions")
    assert found == listed
    assert (session["name"], session["state"], session["connections"]) == ("Ada", "init", 0)
    assert session["owner"] is True
    assert len(session["session_id"]) == 8
    assert abs(session["expires_at"] - clock.now() * 1000 - seat["expires"] * 1000) < 60_000
    shown = json.dumps([listed, found, session])
    for secret in (token, seat["sessionToken"], owner.credentials.id):
        assert secret not in shown


def ok_json(answer: Any) -> Any:
    assert answer.status in (200, 201), answer
    return answer.json()


@pytest.mark.parametrize("limit", [3, 100])
def test_rooms_by_invitation_are_all_shown_once_and_found_by_name_or_owner(admin: Stack, limit: int):
    owner = register()
    tokens = set()
    for number in range(10):
        made = owner.post(
            "/rooms", {"roomName": f"Room <{number}>", "maxSize": 5, "roomOwner": "Ada" if number else "Bob"}
        )
        tokens.add(ok_json(made)["roomToken"])
    gone = ok_json(owner.post("/rooms", {"roomName": "gone", "maxSize": 5, "roomOwner": "Ada"}))["roomToken"]
    owner.delete(f"/rooms/{gone}")
    found = pages("/loop/rooms", limit)

    assert {masks.unmask(each["id"]) for each in found} == tokens
    assert len(found) == 10
    assert [each["name"] for each in pages("/loop/rooms?search=%3C7", limit)] == ["Room <7>"]
    assert [each["owner"] for each in pages("/loop/rooms?search=BOB", limit)] == ["Bob"]


def test_no_token_is_in_what_leads_to_the_next_page(admin: Stack):
    owner = register()
    tokens = [
        ok_json(owner.post("/rooms", {"roomName": "r", "maxSize": 2, "roomOwner": "a"}))["roomToken"]
        for _ in range(3)
    ]
    following = done(ask("GET", "/loop/rooms?limit=1"))["next"]
    plain = base64.urlsafe_b64decode(following + "==").decode()
    assert not [token for token in tokens if token in plain]


@pytest.mark.parametrize("room", ["", "x" * 22, "QzBbvGmIZWU", "%00", "é", "A" * 22, "A" * 23])
def test_what_masks_no_token_is_not_found(admin: Stack, room: str):
    with pytest.raises(InvalidToken):
        masks.unmask(room)
    assert refusal(ask("GET", f"/loop/rooms/{quote(room) or '-'}")) == NOT_FOUND


def test_a_mask_is_that_of_its_token_under_this_key_alone(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    token = "QzBbvGmIZWU"
    masked = masks.mask(token)
    assert (masks.unmask(masked), len(masked)) == (token, 22)
    monkeypatch.setenv("LOOP_SECRET", "another secret that is long enough for it")
    api.given(monkeypatch, ops=api.TOKEN)
    with pytest.raises(InvalidToken):
        masks.unmask(masked)


def test_a_room_that_is_over_is_neither_listed_nor_found(admin: Stack, monkeypatch: pytest.MonkeyPatch):
    owner = register()
    made = ok_json(owner.post("/rooms", {"roomName": "r", "maxSize": 2, "roomOwner": "a", "expiresIn": 1}))
    masked = masks.mask(made["roomToken"])
    later = clock.now() + 3700
    monkeypatch.setattr(clock, "now", lambda: later)

    assert pages("/loop/rooms") == []
    assert refusal(ask("GET", f"/loop/rooms/{masked}")) == NOT_FOUND


# Streams of media servers


@pytest.mark.parametrize("limit", [3, 100])
def test_streams_are_shown_once_with_what_is_known_and_never_their_sdp(admin: Stack, limit: int):
    server = Server()
    for number in range(12):
        server.tell(mediaSessionId=f"m{number}", name=f"Cam-{number % 6}", custom={"secret": "canary"})
    server.tell(mediaSessionId="m0", name="renamed")
    found = pages("/wcs/streams", limit)

    assert sorted(each["media_session_id"] for each in found) == sorted(f"m{number}" for number in range(12))
    (renamed,) = [each for each in found if each["media_session_id"] == "m0"]
    assert renamed == {
        "name": "renamed",
        "media_session_id": "m0",
        "server": NODE,
        "app_key": "defaultApp",
        "status": "PUBLISHING",
        "video_codec": None,
        "audio_codec": None,
        "published": True,
        "has_video": True,
        "has_audio": True,
        "width": 0,
        "height": 0,
        "bitrate": 0,
        "created": None,
        "at": renamed["at"],
        "ended": False,
        "ending": False,
        "stale": False,
    }
    assert abs(renamed["at"] - clock.now() * 1000) < 60_000
    assert "canary" not in json.dumps(found)
    assert "candidate" not in json.dumps(found)
    assert {each["name"] for each in pages("/wcs/streams?search=CAM-3", limit)} == {"Cam-3"}


def test_streams_of_odd_values_are_shown_as_far_as_they_make_sense(admin: Stack):
    Server().tell(
        name=["x"], width={"a": 1}, bitrate=1.50, height="9" * 5000, status="<i>", quality="\ud83d\ude00"
    )
    (found,) = pages("/wcs/streams")

    assert (found["name"], found["width"], found["height"], found["bitrate"]) == (None, None, None, 1.5)
    assert found["status"] == "<i>"


def test_a_stream_that_fell_silent_is_marked(admin: Stack):
    Server().tell()
    (row,) = wcs_store.every()
    assert wcs_store.mark_stale(row)

    assert [each["stale"] for each in pages("/wcs/streams")] == [True]


# Channels


def test_channels_are_listed_once_somebody_is_in_them_and_show_metadata(
    admin: Stack, monkeypatch: pytest.MonkeyPatch
):
    sora.come()
    sora.come(sora.OTHER)
    sora.come(channel_id="aside/#")
    metadata = {"a": "<script>", "n": 12345678901234567890, "deep": [{"x": None}]}
    sora.done(sora.rpc(sora.PUT, sora.about(metadata=metadata, push=False)))
    (first, second) = pages("/sora/channels", 1)

    assert (first["channel_id"], second["channel_id"]) == ("aside/#", "sora")
    assert abs(first["seen_at"] - clock.now() * 1000) < 60_000
    assert [each["channel_id"] for each in pages("/sora/channels?search=SIDE")] == ["aside/#"]
    found = done(ask("GET", "/sora/channel?id=sora"))
    assert (found["channel_id"], found["next"]) == ("sora", None)
    by_id = {each["connection_id"]: each for each in found["connections"]}
    assert by_id.keys() == {sora.CONNECTION, sora.OTHER}
    assert by_id[sora.CONNECTION]["metadata"] == metadata
    assert by_id[sora.OTHER] == {
        "connection_id": sora.OTHER,
        "client_id": sora.OTHER,
        "bundle_id": sora.OTHER,
        "role": "sendrecv",
        "session_id": "4M9GVF3YF54JQFVJ8ZN1C2NMB0",
        "door": "event",
        "created_at": by_id[sora.OTHER]["created_at"],
        "metadata": {},
        "metadata_bytes": 2,
    }
    sora.go()
    assert [each["connection_id"] for each in done(ask("GET", "/sora/channel?id=sora"))["connections"]] == [
        sora.OTHER
    ]
    assert done(ask("GET", f"/sora/channel?id={quote('aside/#')}"))["connections"][0]["metadata"] == {}
    assert done(ask("GET", "/sora/channel?id=nobody"))["connections"] == []
    assert refusal(ask("GET", "/sora/channel")) == INVALID


def test_a_channel_of_many_comes_in_pages_and_large_metadata_are_only_measured(admin: Stack):
    for number in range(5):
        sora.come(f"C{number}")
    sora.done(sora.rpc(sora.PUT, sora.about("C3", metadata={"x": "y" * 20_000}, push=False)))
    found: list[Any] = []
    following = ""
    while following is not None:
        page = done(ask("GET", f"/sora/channel?id=sora&limit=2&after={following}"))
        found += page["connections"]
        following = page["next"]

    assert sorted(each["connection_id"] for each in found) == [f"C{number}" for number in range(5)]
    (large,) = [each for each in found if each["connection_id"] == "C3"]
    assert (large["metadata"], large["metadata_bytes"]) == (None, 20_008)


def test_what_clients_said_of_themselves_is_not_shown(admin: Stack):
    row = ConnectionRow(
        *keys.sora_connection("sora", "C1"),
        channel_id="sora",
        connection_id="C1",
        metadata="{}",
        authn='{"access_token":"canary"}',
        created=1.0,
    )
    writes.put(row)

    answer = ask("GET", "/sora/channel?id=sora")
    assert "canary" not in answer.body
    assert len(done(answer)["connections"]) == 1


# All lists


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/owt/services", [["x", "y"], []]),
        (f"/owt/services/{'0' * 24}/rooms", [["x", "y"]]),
        (
            "/loop/rooms",
            [
                ["0"],
                ["4", "1.0", "-"],
                ["0", "x", masks.LENGTH * "A"],
                ["0", "1", "QzBbvGmIZWU"],
                *(["0", at, "-"] for at in ("nan", "inf", "-1", "1e300")),
            ],
        ),
        ("/wcs/streams", [["4", "-"], ["-1", "-"], ["x", "-"], ["0"]]),
        ("/sora/channels", [["x", "y"], ["x" * 1025], ["\u20ac" * 342]]),
        ("/sora/channel?id=sora", [["x", "y"]]),
    ],
)
def test_a_place_that_is_not_in_the_list_is_refused(admin: Stack, path: str, parts: list[list[str]]):
    for each in parts:
        mark = "&" if "?" in path else "?"
        assert refusal(ask("GET", f"{path}{mark}after={paging.spell_place(tuple(each))}")) == INVALID


@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("/owt/services", ["Query"]),
        (f"/owt/services/{'0' * 24}/rooms", ["Query"]),
        ("/loop/rooms", ["Query"] * 4),
        ("/wcs/streams", ["Query"] * 4),
        ("/sora/channels", ["Query"]),
        ("/sora/channel?id=sora", ["Query"]),
    ],
)
def test_an_empty_list_costs_a_look_at_each_of_its_parts(admin: Stack, path: str, cost: list[str]):
    session = Session()
    with listening() as storage:
        assert storage.spent(lambda: session.call("GET", path)) == ["BatchGetItem", *cost]


def test_full_lists_cost_no_more(admin: Stack):
    owner = register()
    for number in range(8):
        Server().tell(mediaSessionId=f"m{number}", name=f"n{number}")
        owner.post("/rooms", {"roomName": "r", "maxSize": 2, "roomOwner": "a"})
    session = Session()
    with listening() as storage:
        assert storage.spent(lambda: session.call("GET", "/wcs/streams")) == [
            "BatchGetItem",
            *["Query"] * 4,
            "BatchGetItem",
        ]
        assert storage.spent(lambda: session.call("GET", "/loop/rooms")) == ["BatchGetItem", *["Query"] * 4]
    assert loop_rooms.PARTS == 4
