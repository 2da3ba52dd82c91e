"""Rooms over HTTP; methods, preflights and both prefixes (contract 1, 2, 6)."""

import json
import re

import pytest

import app
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.owt import settings as owt_settings
from chalicelib.owt.routes import common
from chalicelib.owt.store import ended, rooms, services
from chalicelib.store import keys, writes
from tests.owt.api import BAD, NO_RESOURCE, NO_ROOM, Api, ok, refusal, serve
from tests.owt.documents import SPELLED

UNKNOWN = "5188b9af6e53c84ffd600499"
VERSIONS = ("v1", "v1.1")


def create(api, name="r", **options):
    return ok(api.post("/rooms", {"name": name, "options": options}))


def of_room(table, room_id):
    """The rows of a room."""
    return [row["sk"]["S"] for row in table.rows() if row["pk"]["S"] == keys.owt_room_partition(room_id)]


# Creating and looking


@pytest.mark.parametrize("version", VERSIONS)
def test_the_default_room_is_the_contracts(api, version):
    made = ok(api.at(version).post("/rooms", {"name": "r"}))
    assert re.fullmatch(r"[0-9a-f]{24}", made["_id"])
    assert made == {"_id": made["_id"], **json.loads(SPELLED)}


def test_post_get_put_and_list_show_the_same_document(api):
    made = create(api, sip={"sipServer": "s", "username": "u", "password": "p"}, participantLimit=2.5)
    assert made["sip"]["password"] == "p"
    assert ok(api.get(f"/rooms/{made['_id']}")) == made
    assert ok(api.get("/rooms")) == [made]
    assert ok(api.put(f"/rooms/{made['_id']}", {})) == made
    assert ok(api.at("v1.1").get(f"/rooms/{made['_id']}")) == made


def test_room_ids_rise_and_the_list_is_in_their_order(api):
    made = [create(api, name=f"r{number}")["_id"] for number in range(12)]
    assert made == sorted(made)
    assert [each["_id"] for each in ok(api.get("/rooms"))] == made


@pytest.mark.parametrize("body", [None, [], "r", {}, {"name": ""}, {"name": "r", "options": []}])
def test_a_bad_room_is_refused_and_leaves_nothing(api, table, body):
    before = table.rows()
    assert refusal(api.post("/rooms", body)) == BAD
    assert table.rows() == before


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'{"name":"r","name":"r"}', b'{"name":NaN}', b"[" * 100 + b"]" * 100]
)
def test_a_body_that_is_not_json_is_refused(api, table, raw):
    before = table.rows()
    assert refusal(api.call("POST", "/rooms", raw=raw)) == BAD
    assert table.rows() == before


def test_a_body_of_more_than_a_mebibyte_is_refused(api):
    assert refusal(api.post("/rooms", {"name": "r" * (1 << 20)})) == BAD


def test_a_room_that_grows_too_large_by_its_defaults_is_refused(api, table):
    before = table.rows()
    views = [{"label": f"{number:x}"} for number in range(4000)]
    assert refusal(api.post("/rooms", {"name": "r", "options": {"views": views}})) == BAD
    room_id = create(api)["_id"]
    assert refusal(api.put(f"/rooms/{room_id}", {"views": views})) == BAD
    assert len(table.rows()) == len(before) + 2


def test_a_room_that_no_row_can_hold_is_refused(api):
    chance = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(300_000))
    assert refusal(api.post("/rooms", {"name": chance})) == BAD


@pytest.mark.parametrize("name", [UNKNOWN, "x", "5188B9AF6E53C84FFD600499", "a" * 2000, "%00", "{room}", "-"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_any_other_id_of_a_room_is_not_found(api, method, name):
    assert refusal(api.call(method, f"/rooms/{name}")) == NO_ROOM


def test_the_room_is_looked_for_before_the_body_is_looked_at(api):
    assert refusal(api.call("PUT", f"/rooms/{UNKNOWN}", raw=b"{")) == NO_ROOM


def test_a_room_of_another_service_does_not_exist(api, acme):
    mine, theirs = create(api)["_id"], create(acme)["_id"]
    for caller, foreign in ((api, theirs), (acme, mine)):
        assert refusal(caller.get(f"/rooms/{foreign}")) == NO_ROOM
        assert refusal(caller.put(f"/rooms/{foreign}", {"name": "stolen"})) == NO_ROOM
        assert refusal(caller.delete(f"/rooms/{foreign}")) == NO_ROOM
    assert [each["_id"] for each in ok(api.get("/rooms"))] == [mine]
    assert ok(acme.get(f"/rooms/{theirs}"))["name"] == "r"


def test_a_service_that_was_deleted_makes_no_room(api, acme, monkeypatch, table):
    ok(acme.get("/rooms"))  # its key is known to this process
    known = dict(services._known)
    assert api.delete(f"/services/{acme.service}").status == 200
    before = table.rows()
    services._known.update(known)
    assert refusal(acme.post("/rooms", {"name": "r"})) == (401, 1101)
    assert table.rows() == before


def test_a_sip_password_is_encrypted_at_rest(api, table):
    made = create(api, sip={"sipServer": "s", "username": "u", "password": "hunter2hunter2"})
    room_id = made["_id"]
    assert "hunter2" not in repr(table.rows())
    state = rooms.read(api.service, room_id)
    assert b"hunter2" not in state.text
    assert "password" not in state.room.document["sip"]
    kept = ok(api.put(f"/rooms/{room_id}", {"name": "x"}))
    assert kept["sip"] == made["sip"]
    assert ok(api.put(f"/rooms/{room_id}", kept)) == kept
    changed = ok(api.put(f"/rooms/{room_id}", {"sip": {"sipServer": "t"}}))
    assert changed["sip"] == {"sipServer": "t"}
    assert "sip_password" not in next(row for row in table.rows() if row["sk"]["S"] == "x")


# The list (6.1)


@pytest.fixture
def seven(api):
    """Seven rooms; their ids."""
    return [create(api, name=f"r{number}")["_id"] for number in range(7)]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", range(7)),
        ("?page=2", range(7)),
        ("?per_page=3", range(3)),
        ("?page=0&per_page=20", range(7)),
        ("?page=1&per_page=100", range(7)),
        ("?page=1&per_page=3", range(3)),
        ("?page=2&per_page=3", range(3, 6)),
        ("?page=3&per_page=3", range(6, 7)),
        ("?page=4&per_page=3", ()),
        ("?page=99999999999999999999&per_page=99999999999999999999", range(7)),
        ("?page=999999999&per_page=999999999", ()),
        ("?page=0&per_page=2", range(2)),
        ("?page=-1&per_page=2", range(2)),
        ("?page=x&per_page=2", range(2)),
        ("?page=&per_page=2", range(2)),
        ("?page=2&per_page=0", range(7)),
        ("?page=2&per_page=x", range(7)),
        ("?page=2&per_page=-3", range(7)),
        ("?page=2&per_page=", range(7)),
        ("?page=2&per_page=%D9%A3", range(7)),
        ("?page=1&per_page=2&order=down&x", range(2)),
    ],
)
def test_pages_of_the_list(api, seven, query, shown):
    assert [each["_id"] for each in ok(api.get(f"/rooms{query}"))] == [seven[number] for number in shown]


def many(service, count, **more):
    """So many rooms, written without a transaction each; their ids."""
    made = []
    for number in range(count):
        document = json.loads(SPELLED) | {"name": f"room {number}"} | more
        made.append(rooms.new(f"{number:024x}", service, document))
    listed = [rooms.ListedRoomRow(*keys.owt_room_listed(service, room.id)) for room in made]
    writes.batch(puts=[*(room.row for room in made), *listed])
    return [each.sk for each in listed]


def test_a_list_of_more_rooms_than_one_call_reads(api):
    made = many(api.service, 230)
    assert [each["_id"] for each in ok(api.get("/rooms"))] == made
    assert [each["_id"] for each in ok(api.get("/rooms?page=2&per_page=150"))] == made[150:]


def test_a_list_that_lambda_cannot_send_is_refused_and_says_what_to_do(api):
    many(api.service, 7, mediaIn={"audio": [{"codec": '"' * 500_000}], "video": []})
    answer = api.get("/rooms")
    assert refusal(answer) == BAD
    assert "per_page" in answer.json()["error"]["message"]
    fits = api.get("/rooms?per_page=2")
    assert len(ok(fits)) == 2
    # A body is JSON within JSON there.
    assert len(json.dumps({"body": fits.body, "headers": dict(fits.headers)})) < 6 * 1024 * 1024
    assert len(json.dumps(api.get("/rooms?per_page=3").body)) < 6 * 1024 * 1024


def test_a_thousand_rooms_of_the_usual_size_are_listed_at_once(stack, credentials):
    api = Api(credentials.super_service_id, credentials.super_service_key)
    made = many(api.service, 1000)
    answer = api.get("/rooms")
    assert [each["_id"] for each in ok(answer)] == made
    assert len(json.dumps(answer.body)) < 6 * 1024 * 1024


def test_rooms_of_60_kilobytes_come_page_by_page(stack, credentials):
    api = Api(credentials.super_service_id, credentials.super_service_key)
    made = many(api.service, 200, mediaIn={"audio": [{"codec": "x" * 60_000}], "video": []})
    assert refusal(api.get("/rooms")) == BAD
    shown = [ok(api.get(f"/rooms?page={page}&per_page=50")) for page in range(1, 6)]
    assert [each["_id"] for page in shown for each in page] == made


# Changing (6.4)


def test_d13_what_a_put_leaves_out_stays(api):
    made = create(api, inputLimit=3)
    assert ok(api.put(f"/rooms/{made['_id']}", {"participantLimit": 9})) == made | {"participantLimit": 9}
    assert ok(api.get(f"/rooms/{made['_id']}"))["inputLimit"] == 3


def test_the_console_puts_the_whole_document_with_ids(api):
    made = create(api)
    sent = made | {"id": made["_id"], "__v": 0, "_id": UNKNOWN, "name": "NewRoom"}
    assert ok(api.put(f"/rooms/{made['_id']}", sent)) == made | {"name": "NewRoom"}
    assert refusal(api.get(f"/rooms/{UNKNOWN}")) == NO_ROOM


@pytest.mark.parametrize(
    "body", [None, [], "x", {"name": ""}, {"views": [{}, {}]}, {"participantLimit": 1, "roles": 7}]
)
def test_a_put_that_is_refused_changes_nothing(api, table, body):
    made = create(api)
    before = table.rows()
    assert refusal(api.put(f"/rooms/{made['_id']}", body)) == BAD
    assert table.rows() == before


def test_a_put_on_a_room_with_an_audio_only_view_works(api):
    made = create(api, views=[{"label": "radio", "video": False}])
    assert ok(api.put(f"/rooms/{made['_id']}", made))["views"][0]["video"] is False


def test_a_view_that_stays_keeps_its_incarnation(api):
    made = create(api, views=[{"label": "a"}, {"label": "b"}])
    before = rooms.read(api.service, made["_id"])
    ok(api.put(f"/rooms/{made['_id']}", {"views": [{"label": "c"}, {"label": "b"}]}))
    after = rooms.read(api.service, made["_id"])
    assert after.version == before.version + 1
    assert after.vids["b"] == before.vids["b"]
    assert list(after.vids) == ["c", "b"]
    ok(
        api.put(
            f"/rooms/{made['_id']}", {"views": [{"label": "a"}, {"label": "b", "video": {"maxInput": 3}}]}
        )
    )
    again = rooms.read(api.service, made["_id"])
    assert again.vids["a"] not in before.vids.values()
    assert again.vids["b"] == before.vids["b"]
    assert again.looks[again.vids["b"]] > before.looks[before.vids["b"]]


def test_a_put_does_not_touch_the_counts(api):
    made = create(api)
    room_id = made["_id"]
    api.streaming_in(room_id)
    assert rooms.read(api.service, room_id).inputs == 1
    ok(api.put(f"/rooms/{room_id}", {"name": "x", "views": []}))
    assert rooms.read(api.service, room_id).inputs == 1


# Taking a view away (17.6)


def recording(api, room_id, source):
    """A new recording of the audio of a stream; its id."""
    body = {"container": "mkv", "media": {"audio": {"from": source}, "video": False}}
    return ok(api.post(f"/rooms/{room_id}/recordings", body))["id"]


def test_a_view_that_is_taken_away_ends_what_its_mixed_stream_fed(api, table):
    room_id = create(api, views=[{"label": "a"}, {"label": "b"}])["_id"]
    stream = api.streaming_in(room_id)
    for label in "ab":
        add = [{"op": "add", "path": "/info/inViews", "value": label}]
        ok(api.patch(f"/rooms/{room_id}/streams/{stream}", add))
    recording(api, room_id, f"{room_id}-a")
    kept = recording(api, room_id, f"{room_id}-b")
    ok(api.put(f"/rooms/{room_id}", {"views": [{"label": "b"}]}))
    assert [each["id"] for each in ok(api.get(f"/rooms/{room_id}/recordings"))] == [kept]
    listed = ok(api.get(f"/rooms/{room_id}/streams"))
    assert [each["id"] for each in listed] == [f"{room_id}-b", stream]
    assert listed[1]["info"]["inViews"] == ["b"]
    assert not [sk for sk in of_room(table, room_id) if sk.startswith("xe#")]
    state = rooms.read(api.service, room_id)
    assert (state.inputs, state.others) == (1, 1)


def test_a_renamed_view_is_one_taken_away_and_one_added(api):
    room_id = create(api, views=[{"label": "a"}])["_id"]
    stream = api.streaming_in(room_id)
    ok(
        api.patch(
            f"/rooms/{room_id}/streams/{stream}", [{"op": "add", "path": "/info/inViews", "value": "a"}]
        )
    )
    ok(api.put(f"/rooms/{room_id}", {"views": [{"label": "z"}]}))
    mixed, forward = ok(api.get(f"/rooms/{room_id}/streams"))
    assert (mixed["info"]["label"], mixed["info"]["layout"], forward["info"]["inViews"]) == ("z", [], [])
    ok(api.put(f"/rooms/{room_id}", {"views": [{"label": "a"}]}))
    assert ok(api.get(f"/rooms/{room_id}/streams"))[1]["info"]["inViews"] == []


# Deleting (6.5)


def test_a_deleted_room_is_gone_at_once_with_all_below_it(api, table):
    room_id = create(api)["_id"]
    stream = api.streaming_in(room_id)
    recording(api, room_id, stream)
    answer = api.delete(f"/rooms/{room_id}")
    assert (answer.status, answer.body) == (200, "Room deleted")
    assert of_room(table, room_id) != []
    for path in (
        "",
        "/streams",
        f"/streams/{stream}",
        "/participants",
        "/recordings",
        "/sipcalls",
        "/analytics",
    ):
        assert refusal(api.get(f"/rooms/{room_id}{path}"))[0] == 404
        if path.count("/") < 2:
            assert refusal(api.get(f"/rooms/{room_id}{path}")) == NO_ROOM
    assert ok(api.get("/rooms")) == []
    assert refusal(api.delete(f"/rooms/{room_id}")) == NO_ROOM
    for message in table.messages():
        assert owed.work([{"body": message["Body"], "messageId": "1"}]) == []
    assert of_room(table, room_id) == []


def test_what_is_left_of_a_room_is_found_by_the_sweep(api, table, monkeypatch):
    monkeypatch.setattr(kicks, "send", lambda *_: False)
    room_id = create(api)["_id"]
    api.streaming_in(room_id)
    api.delete(f"/rooms/{room_id}")
    kicked = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: kicked.append(kicks.spell(kind, key)))
    owed.sweep()
    assert kicked == [kicks.spell(ended.PURGE, keys.owt_room_purge(room_id))]
    assert owed.work([{"body": kicked[0], "messageId": "1"}]) == []
    assert of_room(table, room_id) == []


# Both prefixes, methods, preflights (contract 1 and 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_trailing_slash_and_the_type_of_bodyless_requests_do_not_matter(api, version):
    made = create(api)
    caller = api.at(version)
    assert ok(caller.get("/rooms/")) == [made]
    assert ok(caller.get(f"/rooms/{made['_id']}/")) == made
    typed = caller.call("DELETE", f"/rooms/{made['_id']}", headers={"Content-Type": "application/x-unknown"})
    assert (typed.status, typed.body) == (200, "Room deleted")


def test_a_method_that_a_path_does_not_have_is_not_found_in_the_apis_words():
    for path, served in common.served().items():
        target = re.sub(r"\{\w+\}", UNKNOWN, path)
        for method in set(common.METHODS) - served:
            answer = serve(method, target)
            assert refusal(answer) == NO_RESOURCE, (method, path)
            assert answer.header("access-control-allow-origin") == "*"


def test_patch_of_a_room_is_left_out(api):
    assert refusal(api.patch(f"/rooms/{create(api)['_id']}", [])) == NO_RESOURCE


def test_an_unknown_path_is_not_found_in_words_that_the_apis_clients_read(api):
    answer = api.get("/rooms/1/cascading")
    assert (answer.status, answer.json()["error"]["code"]) == (404, 1001)


def test_a_preflight_of_any_path_needs_no_authentication():
    for path in common.served():
        answer = serve("OPTIONS", re.sub(r"\{\w+\}", "anything", path))
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") == "*"
        methods = {each.strip() for each in (answer.header("access-control-allow-methods") or "").split(",")}
        assert methods >= {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
        headers = {each.strip() for each in (answer.header("access-control-allow-headers") or "").split(",")}
        assert headers >= {"origin", "authorization", "content-type"}


def test_both_prefixes_have_the_same_routes():
    below = {
        version: {
            (path.removeprefix(f"/{version}/"), method)
            for path, methods in app.app.routes.items()
            if path.startswith(f"/{version}/")
            for method in methods
        }
        for version in VERSIONS
    }
    assert below["v1"] == below["v1.1"] != set()


def test_every_route_refuses_who_proves_nothing():
    for path, served in common.served().items():
        for method in served:
            answer = serve(method, re.sub(r"\{\w+\}", UNKNOWN, path), b"{")
            assert refusal(answer) == (401, 1101), (method, path)
            assert answer.header("access-control-allow-origin") == "*"


def test_without_a_super_service_nothing_is_served(api, monkeypatch):
    monkeypatch.delenv("OWT_SUPER_SERVICE_ID")
    monkeypatch.delenv("OWT_SUPER_SERVICE_KEY")
    owt_settings.get.cache_clear()
    assert refusal(api.get("/rooms")) == (401, 1101)


def test_storage_that_fails_is_1401(api, monkeypatch):
    def fail(*_):
        raise Unavailable("storage does not answer")

    ok(api.get("/rooms"))
    monkeypatch.setattr(writes, "call", fail)
    assert refusal(api.get("/rooms")) == (500, 1401)
