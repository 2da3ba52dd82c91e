"""Joining with a token: once, in time, within the room's limit (media-plane contract, section 1)."""

import json
from typing import Any

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.owt import vault
from chalicelib.owt.token import Portal, spell
from chalicelib.store import writes
from tests.media.api import (
    added,
    counts,
    forged,
    forward,
    join,
    media,
    participants,
    redeem,
    report,
    tally,
    token,
)
from tests.owt.api import BAD, NOTHING, REFUSED, Api, ok, refusal

NOT_PROVEN = (401, 1101)


def test_who_joins_is_shown_the_room(acme: Api):
    room = acme.room(views=[{"label": "a"}, {"label": "b"}])
    first = join(acme, room, "viewer")
    tally(acme, room, added("s1", node="n1"))
    answer = ok(redeem(acme, token(acme, room, "bob")))
    assert list(answer) == ["participant", "room"]
    bob = answer["participant"]
    assert bob == {
        "id": bob["id"],
        "user": "bob",
        "role": "presenter",
        "permission": {
            "publish": {"audio": True, "video": True},
            "subscribe": {"audio": True, "video": True},
        },
    }
    assert list(answer["room"]) == ["id", "views", "participants", "streams"]
    assert answer["room"]["id"] == room
    assert answer["room"]["views"] == ["a", "b"]
    assert [each["id"] for each in answer["room"]["participants"]] == [first, bob["id"]]
    assert answer["room"]["participants"] == ok(acme.get(f"/rooms/{room}/participants"))
    assert [each["id"] for each in answer["room"]["streams"]] == [f"{room}-a", f"{room}-b", "s1"]
    assert answer["room"]["streams"] == ok(acme.at("v1.1").get(f"/rooms/{room}/streams"))
    assert counts(acme, room) == (2, 1, 0)


def test_a_token_is_good_once(acme: Api):
    room = acme.room()
    text = token(acme, room)
    ok(redeem(acme, text))
    assert refusal(redeem(acme, text)) == NOT_PROVEN
    assert counts(acme, room) == (1, 0, 0)


def test_a_token_is_good_for_three_minutes(acme: Api, monkeypatch):
    room, now = acme.room(), clock.now()
    text = token(acme, room)
    monkeypatch.setattr(clock, "now", lambda: now + 181)
    assert refusal(redeem(acme, text)) == NOT_PROVEN
    monkeypatch.setattr(clock, "now", lambda: now + 179)
    ok(redeem(acme, text))


FORGERIES: list[dict[str, Any]] = [
    {"tokenId": "0" * 24},
    {"host": "elsewhere:1"},
    {"webTransportUrl": "https://elsewhere.example"},
    {"signature": "eA=="},
    {"signature": None},
    {"tokenId": 5},
]


def test_a_token_whose_signature_does_not_fit_is_none(acme: Api):
    text = token(acme, acme.room())
    for change in FORGERIES:
        assert refusal(redeem(acme, forged(text, **change))) == NOT_PROVEN, change
    ok(redeem(acme, text))


def test_a_text_that_is_no_token_is_answered_like_one(acme: Api):
    for text in ("x", "e30=", "W10=", "é", "\x00", " ", "A" * 100_000):
        assert refusal(redeem(acme, text)) == NOT_PROVEN, text


def test_a_token_that_was_signed_and_never_made_is_none(acme: Api):
    assert refusal(redeem(acme, spell("ab" * 12, Portal("p:1", True), vault.token_secret()))) == NOT_PROVEN


def test_where_clients_connect_may_be_set_otherwise_while_a_token_lives(acme: Api, monkeypatch):
    text = token(acme, acme.room())
    monkeypatch.setenv("OWT_PORTAL_HOST", "elsewhere:1")
    ok(redeem(acme, text))


def test_a_deleted_room_takes_its_tokens_along(acme: Api):
    room = acme.room()
    text = token(acme, room)
    acme.delete(f"/rooms/{room}")
    assert refusal(redeem(acme, text)) == NOT_PROVEN


def test_only_the_rooms_service_and_the_super_service_let_somebody_in(boss: Api, acme: Api, other: Api):
    room = acme.room()
    text = token(acme, room)
    assert refusal(redeem(other, text)) == NOT_PROVEN
    assert counts(acme, room) == (0, 0, 0)
    joined = ok(redeem(boss, text))
    assert participants(acme, room) == [joined["participant"]["id"]]
    # In the management API it sees only its own rooms.
    assert boss.get(f"/rooms/{room}").status == 404


def test_nobody_joins_without_a_services_signature(acme: Api):
    text = token(acme, acme.room())
    liar = Api(acme.service, "not its key")
    assert refusal(redeem(liar, text)) == NOT_PROVEN
    ok(redeem(acme, text))


def test_a_token_stays_where_the_room_is_full(acme: Api):
    room = acme.room(participantLimit=1)
    first, text = join(acme, room), token(acme, room)
    for _ in range(2):
        assert refusal(redeem(acme, text)) == REFUSED
    assert participants(acme, room) == [first]
    tally(acme, room, {"type": "participant.left", "participant": first})
    ok(redeem(acme, text))


def test_a_token_stays_where_its_role_is_not_defined_any_more(acme: Api):
    room = acme.room()
    text = token(acme, room)
    roles = ok(acme.get(f"/rooms/{room}"))["roles"]
    acme.put(f"/rooms/{room}", {"roles": [{"role": "other"}]})
    assert refusal(redeem(acme, text)) == REFUSED
    acme.put(f"/rooms/{room}", {"roles": roles})
    ok(redeem(acme, text))


def test_the_permission_is_that_of_the_role_at_the_time(acme: Api):
    room = acme.room()
    text = token(acme, room, role="presenter")
    flags = {"audio": True, "video": False}
    acme.put(f"/rooms/{room}", {"roles": [{"role": "presenter", "publish": flags, "subscribe": flags}]})
    joined = ok(redeem(acme, text))["participant"]
    assert joined["permission"] == {"publish": flags, "subscribe": flags}


def test_the_worker_may_say_who_joins(acme: Api):
    room = acme.room()
    assert join(acme, room, participant="p-1_A") == "p-1_A"
    text = token(acme, room)
    assert refusal(redeem(acme, text, participant="p-1_A")) == REFUSED
    # That token was not used up, and ids of those who have left are free.
    tally(acme, room, {"type": "participant.left", "participant": "p-1_A"})
    assert ok(redeem(acme, text, participant="p-1_A"))["participant"]["id"] == "p-1_A"


def test_who_joined_on_a_node_goes_with_it(acme: Api):
    room = acme.room()
    join(acme, room, participant="here", node="n1")
    join(acme, room, participant="there", node="n2")
    assert tally(acme, room, {"type": "node.gone", "node": "n1"}) == (1, 0, 0)
    assert participants(acme, room) == ["there"]
    # The same node may come back.
    join(acme, room, participant="here", node="n1")
    assert participants(acme, room) == ["there", "here"]


MALFORMED: dict[str, list[Any]] = {
    "token": [None, "", 5, True, [], {}],
    "participant": ["", "admin", " ", "a b", "a/b", "é", "x" * 257, 5, True, [], {}],
    "node": ["", "x" * 257, 5, True, [], {}],
}
NO_JSON = [b"", b"{", b"\xff", b'{"token": "x", "token": "y"}', b"[" * 100]


def test_a_malformed_request_is_bad_data(acme: Api):
    for field, values in MALFORMED.items():
        for value in values:
            body = {"token": "x", field: value}
            assert refusal(media(acme).post("/tokens/redeem", body)) == BAD, body
    wholes: list[Any] = [None, [], "token", 5, True, {}]
    for whole in wholes:
        assert refusal(media(acme).post("/tokens/redeem", whole)) == BAD, whole
    for raw in NO_JSON:
        assert refusal(media(acme).call("POST", "/tokens/redeem", NOTHING, raw=raw)) == BAD, raw


def test_unknown_fields_and_nulls_are_left_out(acme: Api):
    text = token(acme, acme.room())
    ok(redeem(acme, text, participant=None, node=None, more=[1]))


def test_a_transaction_that_is_not_made_leaves_the_token(acme: Api, monkeypatch):
    room = acme.room()
    text = token(acme, room)
    with monkeypatch.context() as patched:
        patched.setattr(writes, "transact", _fails)
        assert refusal(redeem(acme, text)) == (500, 1401)
    assert participants(acme, room) == []
    ok(redeem(acme, text))


def _fails(*_: Any, **__: Any) -> None:
    raise Unavailable("storage does not answer")


def test_the_answer_tells_nothing_of_why_a_token_is_none(acme: Api, other: Api):
    room = acme.room()
    text = token(acme, room)
    answers = [redeem(other, text), redeem(acme, "x"), redeem(acme, forged(text, host="x"))]
    assert len({json.dumps(each.json()) for each in answers}) == 1
    assert report(other, room).status == 404
    assert forward(acme, room) == {}
