"""Rooms over the wire: made, looked at, changed, deleted, and the order of refusals (contract 6)."""

import re

import pytest

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.loop.store import rooms as store
from chalicelib.outbox import kicks
from chalicelib.store import keys, writes
from tests.loop.api import Caller, GuestCaller, ok, refusal, register

CONTEXT = {"value": "8Wc=", "alg": "AES-GCM", "wrappedKey": "k+A="}
PUBLIC = {"roomToken", "roomUrl", "roomOwner", "context"}
FULL = PUBLIC | {"maxSize", "clientMaxSize", "creationTime", "expiresAt", "ctime", "participants"}
NOWHERE = "QzBbvGmIZWU"
EIGHT_WEEKS_S = 1344 * 3600


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved: `now[0] += 1`."""
    held = [1_700_000_000.25]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    monkeypatch.setattr("time.time", lambda: held[0])
    return held


def wanted(**fields):
    """What a room is made of; a field that is `...` is left out."""
    whole = {"roomOwner": "Ada", "maxSize": 3, "context": CONTEXT} | fields
    return {name: value for name, value in whole.items() if value is not ...}


def row_of(token):
    return writes.get(store.RoomRow, *keys.loop_room(token), consistent=True)


# Making


def test_a_new_room_says_its_token_its_address_and_its_end(owner, now, monkeypatch):
    monkeypatch.setenv("LOOP_ROOM_URL", "https://hello.example/{token}?x")
    settings.reset()

    made = ok(owner.post("/rooms", wanted(expiresIn=24)), 201)

    assert made.keys() == {"roomToken", "roomUrl", "expiresAt"}
    assert re.fullmatch(r"[A-Za-z0-9_-]{11}", made["roomToken"])
    assert made["roomUrl"] == f"https://hello.example/{made['roomToken']}?x"
    assert made["expiresAt"] == 1_700_000_000 + 24 * 3600


def test_a_room_lives_eight_weeks_unless_its_owner_says_otherwise(owner, now):
    assert ok(owner.post("/rooms", wanted()), 201)["expiresAt"] == 1_700_000_000 + EIGHT_WEEKS_S


def test_numbers_may_be_texts_and_are_cut_as_javascript_cuts_them(owner, nobody, now):
    made = ok(owner.post("/rooms", wanted(maxSize="3 people", expiresIn=1.9)), 201)
    assert made["expiresAt"] == 1_700_000_000 + 3600
    assert ok(owner.get(f"/rooms/{made['roomToken']}"))["maxSize"] == 3


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["roomOwner", "maxSize", "context", "roomName"]),
        (wanted(roomOwner=...), ["roomOwner"]),
        (wanted(maxSize=...), ["maxSize"]),
        (wanted(context=...), ["roomName"]),
    ],
)
def test_what_is_missing_is_named_all_of_it(owner, body, named):
    answer = owner.post("/rooms", body)
    assert refusal(answer) == (400, 108)
    assert all(name in answer.json()["error"] for name in named)


@pytest.mark.parametrize(
    "fields",
    [
        {"maxSize": 0},
        {"maxSize": 6},
        {"maxSize": -1},
        {"maxSize": "many"},
        {"maxSize": ""},
        {"maxSize": None},
        {"maxSize": True},
        {"maxSize": [3]},
        {"maxSize": 10**400},
        {"expiresIn": 0},
        {"expiresIn": 1345},
        {"expiresIn": "soon"},
        {"expiresIn": None},
        {"roomOwner": "x" * 256},
        {"roomOwner": None},
        {"roomOwner": 7},
        {"context": None},
        {"context": "text"},
        {"context": {}},
        {"context": {"value": "a", "alg": "b"}},
        {"context": {"value": "a", "alg": "b", "wrappedKey": None}},
        {"roomName": "both"},
        {"context": ..., "roomName": None},
        {"context": ..., "roomName": 7},
        {"context": ..., "roomName": "x" * 101},
        {"channel": 7},
    ],
)
def test_what_is_wrong_makes_no_room(owner, table, fields):
    before = len(table.rows())
    assert refusal(owner.post("/rooms", wanted(**fields))) == (400, 107)
    # The nonce of the request is remembered, and nothing else.
    assert len(table.rows()) == before + 1


@pytest.mark.parametrize(
    "fields",
    [
        {"maxSize": 1},
        {"maxSize": 5},
        {"expiresIn": 1},
        {"expiresIn": 1344},
        {"roomOwner": "x" * 255},
        {"roomOwner": ""},
        {"context": ..., "roomName": "x" * 100},
        {"channel": "no such channel"},
        {"channel": "x" * 10_000},
        {"unknown": {"a": [1]}},
    ],
)
def test_what_is_at_the_limits_or_unknown_is_fine(owner, fields):
    ok(owner.post("/rooms", wanted(**fields)), 201)


@pytest.mark.parametrize(
    ("raw", "errno"), [(b"{", 106), (b"\xff", 106), (b"[]", 107), (b"7", 107), (b"null", 107)]
)
def test_a_body_that_is_no_object_is_refused(owner, raw, errno):
    assert refusal(owner.call("POST", "/rooms", raw)) == (400, errno)


def test_a_large_context_fits_and_keeps_what_else_is_in_it(owner, nobody):
    context = CONTEXT | {"value": "x" * 90_000, "more": {"é": [1, 2.5, None, 10**30]}}
    made = ok(owner.post("/rooms", wanted(context=context)), 201)
    assert ok(nobody.get(f"/rooms/{made['roomToken']}"))["context"] == context


def test_a_body_beyond_100_kib_is_too_large_before_anything_else(nobody):
    context = CONTEXT | {"value": "x" * 100 * 1024}
    assert refusal(nobody.post("/rooms", wanted(context=context))) == (413, 113)


def test_a_room_without_a_platform_to_meet_on_is_not_made(owner, table, monkeypatch):
    monkeypatch.setattr("chalicelib.loop.media.new_session", _fails)
    before = len(table.rows())
    answer = owner.post("/rooms", wanted())
    assert refusal(answer) == (503, 201)
    assert answer.header("Retry-After") == "30"
    assert len(table.rows()) == before + 1


def _fails(_):
    raise Unavailable("no session")


def test_fields_are_looked_at_before_the_platform_is_asked(owner, monkeypatch):
    monkeypatch.setattr("chalicelib.loop.media.new_session", _fails)
    assert refusal(owner.post("/rooms", wanted(maxSize=0))) == (400, 107)


def test_who_sends_the_deprecated_name_is_told(owner):
    named = owner.post("/rooms", wanted(context=..., roomName="x"))
    token = ok(named, 201)["roomToken"]
    assert named.header("Alert")
    assert owner.patch(f"/rooms/{token}", {"roomName": "y"}).header("Alert")
    assert owner.post("/rooms", wanted()).header("Alert") is None
    assert owner.patch(f"/rooms/{token}", {}).header("Alert") is None


def test_a_room_is_kept_without_what_would_let_anybody_in(owner, table):
    token = ok(owner.post("/rooms", wanted()), 201)["roomToken"]
    row = row_of(token)
    assert row.uid not in (owner.credentials.id, owner.credentials.key)
    assert owner.credentials.key not in repr(table.rows())
    assert (row.due_at, row.due) == (row.ends_at, keys.due(store.ROOM, row.pk))


# Looking


def test_nobody_sees_the_public_fields_and_no_others(owner, nobody):
    token = ok(owner.post("/rooms", wanted()), 201)["roomToken"]
    named = owner.room(roomName="a room")

    shown = ok(nobody.get(f"/rooms/{token}"))
    assert shown.keys() == PUBLIC
    assert (shown["roomOwner"], shown["context"]) == ("Ada", CONTEXT)
    shown = ok(nobody.get(f"/rooms/{named}"))
    assert shown.keys() == PUBLIC | {"roomName"}
    assert (shown["roomName"], shown["context"]) == ("a room", None)


def test_the_owner_sees_all_of_it(owner, now):
    token = ok(owner.post("/rooms", wanted(expiresIn=1)), 201)["roomToken"]
    shown = ok(owner.get(f"/rooms/{token}"))
    assert shown.keys() == FULL
    assert {name: shown[name] for name in FULL - PUBLIC} == {
        "maxSize": 3,
        "clientMaxSize": 3,
        "creationTime": 1_700_000_000,
        "expiresAt": 1_700_003_600,
        "ctime": 1_700_000_000,
        "participants": [],
    }


def test_who_is_in_the_room_sees_all_of_it_and_of_the_others_three_things(owner, nobody):
    token = ok(owner.post("/rooms", wanted()), 201)["roomToken"]
    guest = GuestCaller(ok(nobody.join(token, "Guest", 2))["sessionToken"])
    member = register()
    assert refusal(member.get(f"/rooms/{token}")) == (403, 999)
    ok(owner.join(token, "Ada"))

    for caller in (guest, owner):
        shown = ok(caller.get(f"/rooms/{token}"))
        assert shown.keys() == FULL
        assert shown["clientMaxSize"] == 2
        assert [(each["displayName"], each["owner"]) for each in shown["participants"]] == [
            ("Guest", False),
            ("Ada", True),
        ]
        assert all(
            each.keys() == {"roomConnectionId", "displayName", "owner"} for each in shown["participants"]
        )


def test_a_signed_in_participant_sees_all_of_it_until_it_leaves(owner):
    token, member = owner.room(), register()
    ok(member.join(token))
    assert ok(member.get(f"/rooms/{token}")).keys() == FULL | {"roomName"}
    ok(member.act(token, "leave"), 204)
    assert refusal(member.get(f"/rooms/{token}")) == (403, 999)


def test_a_guest_who_is_there_no_more_is_refused(owner, nobody, now):
    token, other = owner.room(), owner.room()
    first, second = (GuestCaller(ok(nobody.join(token))["sessionToken"]) for _ in range(2))
    assert refusal(first.get(f"/rooms/{other}")) == (401, 110)
    ok(first.act(token, "leave"), 204)
    assert refusal(first.get(f"/rooms/{token}")) == (401, 110)
    now[0] += 299.7
    assert ok(second.get(f"/rooms/{token}"))["participants"]
    now[0] += 0.4
    answer = second.get(f"/rooms/{token}")
    assert refusal(answer) == (401, 110)
    assert (answer.header("WWW-Authenticate") or "").startswith("Basic ")
    assert ok(owner.get(f"/rooms/{token}"))["participants"] == []


@pytest.mark.parametrize("token", [NOWHERE, "short", "x" * 400, "%2e%2e", "QzBbvGmIZW%2F"])
def test_a_room_that_is_not_there_is_not_found_whoever_asks(owner, nobody, token):
    for caller in (nobody, GuestCaller("nobody's")):
        assert refusal(caller.get(f"/rooms/{token}")) == (404, 105)
    assert refusal(nobody.post(f"/rooms/{token}", {})) == (404, 105)


def test_a_room_ends_to_the_second(owner, nobody, now):
    token = ok(owner.post("/rooms", wanted(expiresIn=1)), 201)["roomToken"]
    now[0] = 1_700_003_599.99
    assert ok(nobody.get(f"/rooms/{token}"))
    now[0] = 1_700_003_600.0
    assert refusal(nobody.get(f"/rooms/{token}")) == (404, 105)
    assert refusal(owner.patch(f"/rooms/{token}", {})) == (404, 105)
    assert refusal(owner.delete(f"/rooms/{token}")) == (404, 105)
    assert ok(owner.get("/rooms")) == []


# Changing


def test_a_change_keeps_what_it_does_not_name_and_sets_the_end_anew(owner, nobody, now):
    token = ok(owner.post("/rooms", wanted(expiresIn=1)), 201)["roomToken"]
    now[0] += 100
    assert ok(owner.patch(f"/rooms/{token}", {"roomOwner": "Eve"})) == {
        "expiresAt": 1_700_000_100 + EIGHT_WEEKS_S
    }
    shown = ok(owner.get(f"/rooms/{token}"))
    assert (shown["roomOwner"], shown["context"], shown["maxSize"]) == ("Eve", CONTEXT, 3)
    assert (shown["creationTime"], shown["ctime"]) == (1_700_000_000, 1_700_000_100)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"context": CONTEXT | {"value": "new"}}, {"context": CONTEXT | {"value": "new"}}),
        ({"roomName": "a name"}, {"roomName": "a name", "context": CONTEXT}),
        ({"roomOwner": ""}, {"roomOwner": ""}),
        ({"maxSize": "2"}, {"maxSize": 2, "clientMaxSize": 2}),
        ({"expiresIn": 2}, {"expiresAt": 1_700_007_200}),
        ({"expiresIn": 2, "unknown": 1, "channel": 7}, {"expiresAt": 1_700_007_200}),
    ],
)
def test_each_field_can_be_changed(owner, now, change, shown):
    token = ok(owner.post("/rooms", wanted()), 201)["roomToken"]
    ok(owner.patch(f"/rooms/{token}", change))
    found = ok(owner.get(f"/rooms/{token}"))
    assert {name: found[name] for name in shown} == shown


def test_a_room_that_had_a_name_only_can_get_a_context(owner, nobody):
    token = owner.room()
    ok(owner.patch(f"/rooms/{token}", {"context": CONTEXT}))
    shown = ok(nobody.get(f"/rooms/{token}"))
    assert (shown["context"], shown["roomName"]) == (CONTEXT, "a room")


@pytest.mark.parametrize(
    "change",
    [
        {"context": None},
        {"context": {"value": "a"}},
        {"roomName": None},
        {"roomOwner": None},
        {"maxSize": 0},
        {"maxSize": 6},
        {"expiresIn": 0},
        {"expiresIn": 1345},
        {"context": CONTEXT, "roomName": "both"},
    ],
)
def test_a_wrong_change_changes_nothing(owner, change):
    token = ok(owner.post("/rooms", wanted()), 201)["roomToken"]
    before = ok(owner.get(f"/rooms/{token}"))
    assert refusal(owner.patch(f"/rooms/{token}", change)) == (400, 107)
    assert ok(owner.get(f"/rooms/{token}")) == before


def test_a_room_made_smaller_keeps_who_is_in_it(owner, nobody):
    token = owner.room()
    for _ in range(3):
        ok(nobody.join(token))
    ok(owner.patch(f"/rooms/{token}", {"maxSize": 1}))
    shown = ok(owner.get(f"/rooms/{token}"))
    assert (shown["clientMaxSize"], len(shown["participants"])) == (1, 3)
    assert refusal(nobody.join(token)) == (400, 202)


def test_a_shorter_life_brings_forward_when_the_room_is_looked_at(owner, now):
    token = owner.room()
    ok(owner.patch(f"/rooms/{token}", {"expiresIn": 1}))
    assert row_of(token).due_at == 1_700_003_600
    ok(owner.patch(f"/rooms/{token}", {"expiresIn": 2}))
    assert row_of(token).due_at == 1_700_003_600


def test_a_change_that_somebody_overtook_is_made_on_what_that_left(owner, nobody, monkeypatch):
    token = ok(owner.post("/rooms", wanted()), 201)["roomToken"]
    overtook: list[None] = []
    monkeypatch.setattr(store, "_write", _after(store._write, overtook, lambda: nobody.join(token, "Guest")))
    ok(owner.patch(f"/rooms/{token}", {"maxSize": 2, "context": CONTEXT | {"value": "new"}}))
    shown = ok(owner.get(f"/rooms/{token}"))
    assert len(overtook) == 1
    assert (shown["maxSize"], shown["context"]["value"]) == (2, "new")
    assert [each["displayName"] for each in shown["participants"]] == ["Guest"]


def _after(write, done, first):
    """`write`, the first time after `first`."""

    def writing(*given):
        if not done:
            done.append(None)
            ok(first())
        return write(*given)

    return writing


def test_a_change_whose_answer_was_lost_is_made_once(owner, monkeypatch, now):
    token = owner.room()
    update = writes.update
    monkeypatch.setattr(writes, "update", lambda *a, **k: (update(*a, **k), update(*a, **k))[1])
    assert ok(owner.patch(f"/rooms/{token}", {"expiresIn": 1})) == {"expiresAt": 1_700_003_600}
    assert row_of(token).version == 2
    ok(owner.delete(f"/rooms/{token}"), 204)


# Who may, and in which order it is refused


def test_only_the_owner_changes_and_deletes(owner, nobody):
    token, other = ok(owner.post("/rooms", wanted()), 201)["roomToken"], register()
    before = ok(owner.get(f"/rooms/{token}"))
    change = {"roomOwner": "Eve", "context": CONTEXT | {"value": "Eve's"}}
    assert refusal(other.patch(f"/rooms/{token}", change)) == (403, 999)
    assert refusal(other.delete(f"/rooms/{token}")) == (403, 999)
    guest = GuestCaller(ok(nobody.join(token))["sessionToken"])
    for caller in (nobody, guest):
        for answer in (caller.patch(f"/rooms/{token}", change), caller.delete(f"/rooms/{token}")):
            assert refusal(answer) == (401, 110)
            assert answer.header("WWW-Authenticate") == "Hawk"
    after = ok(owner.get(f"/rooms/{token}"))
    assert (after["roomOwner"], after["context"]) == (before["roomOwner"], before["context"])


def test_who_it_is_comes_before_the_room_then_the_fields_then_whose_it_is(owner, nobody):
    token, other = owner.room(), register()
    assert refusal(nobody.patch(f"/rooms/{NOWHERE}", {"maxSize": 0})) == (401, 110)
    assert refusal(owner.patch(f"/rooms/{NOWHERE}", {"maxSize": 0})) == (404, 105)
    assert refusal(owner.call("PATCH", f"/rooms/{NOWHERE}", b"{")) == (404, 105)
    assert refusal(other.patch(f"/rooms/{token}", {"maxSize": 0})) == (400, 107)
    assert refusal(other.call("PATCH", f"/rooms/{token}", b"{")) == (400, 106)
    assert refusal(other.patch(f"/rooms/{token}", {"maxSize": 1})) == (403, 999)
    assert refusal(nobody.delete(f"/rooms/{NOWHERE}")) == (401, 110)
    assert refusal(owner.delete(f"/rooms/{NOWHERE}")) == (404, 105)


@pytest.mark.parametrize("method", ["POST", "GET", "PATCH"])
def test_lists_are_for_who_signs(nobody, method):
    answer = nobody.call(method, "/rooms", b"{")
    assert refusal(answer) == (401, 110)
    assert answer.header("WWW-Authenticate") == "Hawk"
    assert refusal(GuestCaller("any").call(method, "/rooms", b"{")) == (401, 110)


def test_a_room_is_neither_replaced_nor_served_otherwise(owner):
    token = owner.room()
    for method, target in (("PUT", f"/rooms/{token}"), ("DELETE", "/rooms"), ("HEAD", "/rooms")):
        assert refusal(Caller().call(method, target)) == (404, 999)


# Deleting


def test_what_was_deleted_is_not_there_and_takes_everybody_with_it(owner, nobody, table):
    token, member = ok(owner.post("/rooms", wanted()), 201)["roomToken"], register()
    guest = GuestCaller(ok(nobody.join(token, "Guest"))["sessionToken"])
    ok(member.join(token))
    ok(owner.delete(f"/rooms/{token}"), 204)

    assert refusal(owner.delete(f"/rooms/{token}")) == (404, 105)
    assert refusal(owner.patch(f"/rooms/{token}", {})) == (404, 105)
    for caller in (nobody, guest):
        assert refusal(caller.get(f"/rooms/{token}")) == (404, 105)
        assert refusal(caller.act(token, "refresh")) == (404, 105)
    assert refusal(member.act(token, "leave")) == (404, 105)
    assert "Guest" not in repr(table.rows())
    assert CONTEXT["value"] not in repr(table.rows())


def test_a_deletion_may_name_several_rooms_and_those_of_others_survive(owner):
    mine, also, theirs = owner.room(), ok(owner.post("/rooms", wanted()), 201)["roomToken"], register().room()
    shown = ok(owner.patch("/rooms", {"deleteRoomTokens": [mine, theirs, NOWHERE, "?", mine, also]}), 207)
    gone, kept = {"code": 200}, {"code": 404, "errno": 105}
    found = {
        token: {k: v for k, v in each.items() if k != "error"} for token, each in shown["responses"].items()
    }
    assert found == {mine: gone, also: gone, theirs: kept, NOWHERE: kept, "?": kept}
    assert ok(Caller().get(f"/rooms/{theirs}"))
    assert refusal(Caller().get(f"/rooms/{mine}")) == (404, 105)


def test_a_deletion_that_matches_nothing_is_not_found(owner):
    theirs = register().room()
    answer = owner.patch("/rooms", {"deleteRoomTokens": [theirs, NOWHERE]})
    found = answer.json()
    assert (answer.status, found["code"], found["errno"]) == (404, 404, 105)
    assert found["responses"].keys() == {theirs, NOWHERE}
    assert ok(Caller().get(f"/rooms/{theirs}"))


@pytest.mark.parametrize(
    ("body", "errno"),
    [
        ({}, 108),
        ({"deleteRoomTokens": []}, 107),
        ({"deleteRoomTokens": None}, 107),
        ({"deleteRoomTokens": "QzBbvGmIZWU"}, 107),
        ({"deleteRoomTokens": ["QzBbvGmIZWU", 1]}, 107),
        ({"deleteRoomTokens": {}}, 107),
        (b"{", 106),
        (b"[]", 107),
    ],
)
def test_a_deletion_of_several_names_them_in_a_list(owner, body, errno):
    assert refusal(owner.patch("/rooms", body)) == (400, errno)


def test_storage_that_fails_midway_is_told_room_by_room(owner, monkeypatch):
    first, second = owner.room(), owner.room()
    bury = store._bury

    def failing(where, uid):
        if where == keys.loop_room(second):
            raise Unavailable("storage does not answer")
        return bury(where, uid)

    monkeypatch.setattr(store, "_bury", failing)
    shown = ok(owner.patch("/rooms", {"deleteRoomTokens": [second, first]}), 207)["responses"]
    assert (shown[first]["code"], shown[second]["code"], shown[second]["errno"]) == (200, 503, 201)
    assert refusal(owner.patch("/rooms", {"deleteRoomTokens": [second]})) == (503, 201)


# What is owed


def test_owners_are_told_of_new_changed_and_deleted_rooms_where_pushing_is_on(owner, now, monkeypatch):
    kicked = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay_s=0.0: kicked.append((kind, key)))
    monkeypatch.setenv("LOOP_PUSH", "on")
    settings.reset()
    token = owner.room()
    where = keys.loop_room(token)
    for request in (
        lambda: None,
        lambda: ok(owner.patch(f"/rooms/{token}", {})),
        lambda: ok(owner.delete(f"/rooms/{token}"), 204),
    ):
        request()
        row = row_of(token)
        assert (row.push, row.due_at) == (int(now[0]), now[0])
        assert kicked == [(store.ROOM, where)]
        kicked.clear()
        now[0] += 10


def test_nothing_is_kicked_where_pushing_is_off(owner, now, table):
    token = owner.room()
    ok(owner.patch(f"/rooms/{token}", {}))
    ok(owner.delete(f"/rooms/{token}"), 204)
    row = row_of(token)
    assert (row.push, row.due_at) == (None, 1_700_000_000 + 1620)
    assert table.messages() == []


def test_rooms_are_the_same_below_v0(owner, nobody):
    token = ok(owner.post("/v0/rooms", wanted()), 201)["roomToken"]
    assert ok(nobody.get(f"/v0/rooms/{token}")) == ok(nobody.get(f"/rooms/{token}"))
    assert ok(owner.get("/v0/rooms?version=1")) == ok(owner.get("/rooms"))
    ok(owner.patch(f"/v0/rooms/{token}", {"maxSize": 2}))
    ok(owner.delete(f"/v0/rooms/{token}"), 204)
    assert owner.patch("/v0/rooms", {"deleteRoomTokens": [token]}).status == 404
