"""An owner's rooms: all of them, what changed since a version, and what was deleted since (contract 6.6)."""

import json

import pytest

from chalicelib import clock, settings
from chalicelib.loop.actions import rooms as actions
from chalicelib.loop.room import NewRoom
from chalicelib.loop.store import rooms as store
from chalicelib.store import keys, writes
from tests.loop.api import Caller, ok, refusal, register

BEGAN = 1_700_000_000
CONTEXT = {"value": "8Wc=", "alg": "AES-GCM", "wrappedKey": "k+A="}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved: `now[0] += 1`."""
    held = [float(BEGAN)]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    monkeypatch.setattr("time.time", lambda: held[0])
    return held


def tokens(rooms):
    return [each["roomToken"] for each in rooms]


def many(owner, count, context=None):
    """Make rooms at once; their tokens."""
    uid = store.of(store.get(owner.room())).uid
    new = NewRoom(owner="Ada", max_size=5, hours=1, channel="default", name="n", context=context)
    return uid, [store.create(uid, new, "100", "2_x").token for _ in range(count)]


def test_who_has_no_rooms_is_shown_an_empty_list(owner):
    assert ok(owner.get("/rooms")) == []
    assert ok(owner.get("/rooms?version=1")) == []


def test_a_room_is_listed_as_its_owner_sees_it(owner):
    token = ok(owner.post("/rooms", {"roomOwner": "Ada", "maxSize": 3, "context": CONTEXT}), 201)["roomToken"]
    ok(Caller().join(token, "Guest", 2))
    assert ok(owner.get("/rooms")) == [ok(owner.get(f"/rooms/{token}"))]


def test_only_the_callers_own_rooms_are_listed(owner):
    token, member = owner.room(), register()
    ok(member.join(token))
    assert ok(member.get("/rooms")) == []
    assert tokens(ok(owner.get("/rooms"))) == [token]


def test_what_changed_last_comes_last(owner, now):
    made = []
    for _ in range(4):
        made.append(owner.room())
        now[0] += 1
    assert tokens(ok(owner.get("/rooms"))) == made
    ok(owner.patch(f"/rooms/{made[1]}", {}))
    now[0] += 1
    ok(Caller().join(made[0]))
    assert tokens(ok(owner.get("/rooms"))) == [made[2], made[3], made[1], made[0]]


def test_a_version_asks_for_what_changed_at_it_or_after_it(owner, now):
    made = []
    for _ in range(3):
        made.append(owner.room())
        now[0] += 10
    assert tokens(ok(owner.get(f"/rooms?version={BEGAN + 10}"))) == made[1:]
    assert tokens(ok(owner.get(f"/rooms?version={BEGAN + 11}"))) == made[2:]
    assert tokens(ok(owner.get(f"/rooms?version={BEGAN + 30}"))) == []


@pytest.mark.parametrize(
    "query", ["", "?version=", "?version=0", "?version=soon", "?version=%20", "?other=1"]
)
def test_without_a_version_all_rooms_are_listed_and_no_tombstones(owner, query):
    kept, gone = owner.room(), owner.room()
    ok(owner.delete(f"/rooms/{gone}"), 204)
    assert tokens(ok(owner.get(f"/rooms{query}"))) == [kept]


def test_deleted_rooms_are_shown_as_such_to_who_looked_before(owner, now):
    kept, first, second = owner.room(), owner.room(), owner.room()
    now[0] += 10
    ok(owner.delete(f"/rooms/{second}"), 204)
    now[0] += 10
    ok(owner.patch("/rooms", {"deleteRoomTokens": [first]}), 207)
    stones = [{"roomToken": second, "deleted": True}, {"roomToken": first, "deleted": True}]
    found = ok(owner.get(f"/rooms?version={BEGAN}"))
    assert (tokens(found), found[1:]) == ([kept, second, first], stones)
    assert ok(owner.get(f"/rooms?version={BEGAN + 10}")) == stones
    assert ok(owner.get(f"/rooms?version={BEGAN + 11}")) == stones[1:]
    assert ok(owner.get(f"/rooms?version={BEGAN + 21}")) == []


def test_a_tombstone_stands_for_27_minutes(owner, now):
    token = owner.room()
    ok(owner.delete(f"/rooms/{token}"), 204)
    now[0] += 1619
    assert tokens(ok(owner.get("/rooms?version=1"))) == [token]
    now[0] += 1
    assert ok(owner.get("/rooms?version=1")) == []


def test_a_room_that_was_over_before_it_was_deleted_leaves_no_tombstone(owner, now):
    token = owner.room(expiresIn=1)
    now[0] += 3600
    assert refusal(owner.delete(f"/rooms/{token}")) == (404, 105)
    assert ok(owner.get("/rooms?version=1")) == []


def test_a_list_shows_the_callers_own_last_write(owner):
    for number in range(10):
        token = owner.room()
        assert token in tokens(ok(owner.get("/rooms")))
        ok(owner.patch(f"/rooms/{token}", {"roomOwner": str(number)}))
        assert {each["roomOwner"] for each in ok(owner.get("/rooms")) if each["roomToken"] == token} == {
            str(number)
        }
        ok(owner.delete(f"/rooms/{token}"), 204)
        assert token not in tokens(ok(owner.get("/rooms")))


def test_who_ran_out_is_listed_no_more(owner, now):
    token = owner.room()
    ok(Caller().join(token, "Guest", 2))
    now[0] += 299
    (shown,) = ok(owner.get("/rooms"))
    assert (shown["clientMaxSize"], len(shown["participants"])) == (2, 1)
    now[0] += 1
    (shown,) = ok(owner.get("/rooms"))
    assert (shown["clientMaxSize"], shown["participants"]) == (5, [])


def test_a_room_that_is_half_made_or_half_removed_is_not_listed(owner):
    uid, (token,) = many(owner, 1, context="{}")
    writes.delete(*keys.loop_room(token))
    assert len(ok(owner.get("/rooms"))) == 1
    writes.put(store.OwnedRow(*keys.loop_room_listed(uid, register().room())))
    assert len(ok(owner.get("/rooms"))) == 1


def test_hundreds_of_rooms_are_listed(owner):
    _, made = many(owner, 250, context='{"value":1}')
    found = ok(owner.get("/rooms"))
    assert len(found) == 251
    assert set(made) <= set(tokens(found))
    assert sum(each["context"] == {"value": 1} for each in found) == 250


def context_of(length):
    return json.dumps(CONTEXT | {"value": "x" * length})


def test_a_list_below_5_mb_is_sent_whole(owner):
    _, made = many(owner, 50, context=context_of(100_000))
    assert len(tokens(ok(owner.get("/rooms")))) == 51
    assert len(made) == 50


def test_a_list_beyond_5_mb_says_what_to_ask_for_instead(owner, now):
    many(owner, 60, context=context_of(90_000))
    now[0] += 10
    lately = owner.room()
    answer = owner.get("/rooms")
    assert refusal(answer) == (400, 107)
    assert "version" in answer.json()["error"]
    assert tokens(ok(owner.get(f"/rooms?version={BEGAN + 10}"))) == [lately]


def test_what_counts_is_the_length_that_lambda_sends(owner):
    quotes = json.dumps(CONTEXT | {"value": '"' * 30_000})
    many(owner, 45, context=quotes)
    assert len(quotes) * 45 < actions.LARGEST_LIST
    assert refusal(owner.get("/rooms")) == (400, 107)


def test_the_age_of_tombstones_is_a_setting(owner, now, monkeypatch):
    monkeypatch.setenv("LOOP_DELETED_TTL", "5")
    settings.reset()
    token = owner.room()
    ok(owner.delete(f"/rooms/{token}"), 204)
    assert tokens(ok(owner.get("/rooms?version=1"))) == [token]
    now[0] += 5
    assert ok(owner.get("/rooms?version=1")) == []
