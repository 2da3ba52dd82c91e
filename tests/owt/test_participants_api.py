"""Participants over HTTP, in this process (contract 7)."""

import pytest

from chalicelib import clock
from chalicelib.owt.errors import NoToken, Refused
from chalicelib.owt.store import participants
from chalicelib.owt.stream import Audio, Forward, Media
from chalicelib.store import writes
from tests.owt import entering
from tests.owt.api import BAD, NO_PARTICIPANT, NO_ROOM, ok, refusal

BOTH = {"audio": True, "video": True}
NEITHER = {"audio": False, "video": False}
FOREIGN = "5188b9af6e53c84ffd600499"


@pytest.fixture
def room(api):
    return api.room()


@pytest.fixture
def alice(api, room):
    """Alice, a presenter, who is in the room."""
    return entering.join(api.service, room, "alice", "presenter").id


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def publish(api, room, owner):
    """A stream that a participant publishes."""
    made = Forward(
        "", Media(Audio({"codec": "opus", "sampleRate": 48000, "channelNum": 2}, "mic")), owner, "webrtc"
    )
    return entering.bring(api.service, room, made).id


def record(api, room, source):
    body = {"media": {"audio": {"from": source}, "video": False}}
    return ok(api.post(f"/rooms/{room}/recordings", body))["id"]


@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_a_participant_is_what_the_contract_says(api, room, alice, version):
    shown = {
        "id": alice,
        "user": "alice",
        "role": "presenter",
        "permission": {"publish": BOTH, "subscribe": BOTH},
    }
    assert ok(api.at(version).get(f"/rooms/{room}/participants")) == [shown]
    assert ok(api.at(version).get(f"/rooms/{room}/participants/{alice}")) == shown


def test_an_id_is_made_of_digits(alice):
    assert alice.isascii()
    assert alice.isdigit()
    assert len(alice) == 18


def test_the_list_is_in_the_order_of_joining(api, room, monkeypatch):
    for number, name in enumerate("cabd"):
        monkeypatch.setattr(clock, "now", lambda number=number: 1_800_000_000.0 + number)
        entering.join(api.service, room, name, "viewer", participant_id=name)
    assert [each["user"] for each in ok(api.get(f"/rooms/{room}/participants/"))] == list("cabd")


def test_the_permission_is_the_roles_at_the_time_of_joining(api, room):
    early = entering.join(api.service, room, "a", "viewer")
    roles = [{"role": "viewer", "publish": BOTH, "subscribe": NEITHER}]
    ok(api.put(f"/rooms/{room}", {"roles": roles}))
    late = entering.join(api.service, room, "b", "viewer")
    listed = {each["id"]: each["permission"] for each in ok(api.get(f"/rooms/{room}/participants"))}
    assert listed[early.id] == {"publish": NEITHER, "subscribe": BOTH}
    assert listed[late.id] == {"publish": BOTH, "subscribe": NEITHER}


def test_an_unknown_role_is_refused_and_leaves_no_trace(api, room, table):
    before = table.rows()
    with pytest.raises(Refused):
        entering.join(api.service, room, "a", "nobody")
    assert [row for row in table.rows() if not row["pk"]["S"].startswith("ot")] == before


@pytest.mark.parametrize(("limit", "fit"), [(2, 2), (1, 1), (1.5, 2)])
def test_a_full_room_refuses(api, limit, fit):
    room = api.room(participantLimit=limit)
    for number in range(fit):
        entering.join(api.service, room, f"u{number}", "viewer")
    with pytest.raises(Refused):
        entering.join(api.service, room, "late", "viewer")
    assert len(ok(api.get(f"/rooms/{room}/participants"))) == fit


@pytest.mark.parametrize("limit", [0, -1, -7])
def test_no_limit_lets_everybody_in(api, limit):
    room = api.room(participantLimit=limit)
    for number in range(3):
        entering.join(api.service, room, f"u{number}", "viewer")
    assert len(ok(api.get(f"/rooms/{room}/participants"))) == 3


def test_who_leaves_makes_room(api):
    room = api.room(participantLimit=1)
    first = entering.join(api.service, room, "a", "viewer")
    assert api.delete(f"/rooms/{room}/participants/{first.id}").status == 200
    entering.join(api.service, room, "b", "viewer")


def test_a_limit_that_is_lowered_drops_nobody(api, room):
    for name in "ab":
        entering.join(api.service, room, name, "viewer")
    ok(api.put(f"/rooms/{room}", {"participantLimit": 1}))
    assert len(ok(api.get(f"/rooms/{room}/participants"))) == 2
    with pytest.raises(Refused):
        entering.join(api.service, room, "c", "viewer")


def test_an_id_comes_in_once(api, room):
    entering.join(api.service, room, "a", "viewer", participant_id="p1")
    with pytest.raises(Refused):
        entering.join(api.service, room, "b", "viewer", participant_id="p1")
    assert [each["user"] for each in ok(api.get(f"/rooms/{room}/participants"))] == ["a"]


def test_nobody_joins_a_room_of_another_service(api, acme, room):
    with pytest.raises(NoToken):
        entering.join(acme.service, room, "a", "viewer")


# PATCH


def test_updates_are_applied_in_order_and_answered(api, room, alice):
    found = ok(
        api.patch(
            f"/rooms/{room}/participants/{alice}",
            [
                replace("/permission/publish", NEITHER),
                replace("/permission/publish/audio", True),
                replace("/permission/subscribe/video", False),
            ],
        )
    )
    assert found["permission"] == {
        "publish": {"audio": True, "video": False},
        "subscribe": {"audio": True, "video": False},
    }
    assert ok(api.get(f"/rooms/{room}/participants/{alice}")) == found


def test_an_empty_list_returns_the_participant(api, room, alice):
    before = ok(api.get(f"/rooms/{room}/participants/{alice}"))
    assert ok(api.patch(f"/rooms/{room}/participants/{alice}", [])) == before


def test_a_parent_that_is_false_has_both_flags_once_one_is_set(api, room, alice):
    row = participants.ParticipantRow
    where = f"oR{room}", f"p#{alice}"
    writes.update(*where, actions=[row.publish_audio.remove(), row.publish_video.remove()])
    assert ok(api.get(f"/rooms/{room}/participants/{alice}"))["permission"]["publish"] is False
    after = ok(api.patch(f"/rooms/{room}/participants/{alice}", [replace("/permission/publish/video", True)]))
    assert after["permission"] == {"publish": {"audio": False, "video": True}, "subscribe": BOTH}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        "[]",
        5,
        [5],
        [{}],
        [{"op": "replace"}],
        [replace("/permission/publish/audio", False), replace("/permission/publish", True)],
        [
            replace("/permission/publish/audio", False),
            {"op": "test", "path": "/permission/publish", "value": BOTH},
        ],
        [replace("/permission/publish/audio", False), {"op": "replace", "path": "/permission/publish"}],
    ],
)
def test_a_bad_list_changes_nothing(api, room, alice, table, body):
    before = table.rows()
    assert refusal(api.patch(f"/rooms/{room}/participants/{alice}", body)) == BAD
    assert table.rows() == before


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'[{"op":"replace","op":"add"}]'])
def test_what_is_no_json_is_bad(api, room, alice, raw):
    assert refusal(api.call("PATCH", f"/rooms/{room}/participants/{alice}", raw=raw)) == BAD


def test_who_is_not_there_is_not_found_before_the_body_is_looked_at(api, room):
    for body in ([], [5], [replace("/permission/publish", NEITHER)]):
        assert refusal(api.patch(f"/rooms/{room}/participants/nobody", body)) == NO_PARTICIPANT
        assert refusal(api.patch(f"/rooms/{FOREIGN}/participants/nobody", body)) == NO_ROOM
        assert refusal(api.patch("/rooms/r1/participants/nobody", body)) == NO_ROOM


def test_an_update_does_not_bring_a_participant_back(api, room, alice, table):
    api.delete(f"/rooms/{room}/participants/{alice}")
    before = table.rows()
    body = [replace("/permission/publish", NEITHER)]
    assert refusal(api.patch(f"/rooms/{room}/participants/{alice}", body)) == NO_PARTICIPANT
    assert table.rows() == before


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
@pytest.mark.parametrize("identity", ["nobody", "x" * 2000, "%20", "a%2Fb", "ä"])
def test_what_is_no_participant_is_not_found(api, room, method, identity):
    answer = api.call(method, f"/rooms/{room}/participants/{identity}", [] if method == "PATCH" else None)
    assert refusal(answer) == NO_PARTICIPANT


# DELETE


def test_a_participant_goes_with_its_streams_and_what_they_feed(api, room, alice, table):
    bob = entering.join(api.service, room, "bob", "presenter").id
    hers, his = publish(api, room, alice), publish(api, room, bob)
    mine = record(api, room, hers)
    kept = record(api, room, his)
    answer = api.delete(f"/rooms/{room}/participants/{alice}")
    assert (answer.status, answer.body) == (200, "")
    assert [each["id"] for each in ok(api.get(f"/rooms/{room}/participants"))] == [bob]
    listed = [each["id"] for each in ok(api.get(f"/rooms/{room}/streams"))]
    assert hers not in listed
    assert his in listed
    assert [each["id"] for each in ok(api.get(f"/rooms/{room}/recordings"))] == [kept]
    text = str(table.rows())
    assert alice not in text
    assert hers not in text
    assert mine not in text


def test_a_participant_is_dropped_once(api, room, alice):
    api.delete(f"/rooms/{room}/participants/{alice}")
    assert refusal(api.delete(f"/rooms/{room}/participants/{alice}")) == NO_PARTICIPANT
    assert refusal(api.get(f"/rooms/{room}/participants/{alice}")) == NO_PARTICIPANT


def test_the_last_one_to_leave_leaves_an_inactive_room(api, room, alice):
    assert len(ok(api.get(f"/rooms/{room}/streams"))) == 1
    api.delete(f"/rooms/{room}/participants/{alice}")
    assert ok(api.get(f"/rooms/{room}/streams")) == []


def test_nothing_below_a_deleted_room_is_found(api, room, alice):
    api.delete(f"/rooms/{room}")
    assert refusal(api.get(f"/rooms/{room}/participants")) == NO_ROOM
    assert refusal(api.get(f"/rooms/{room}/participants/{alice}")) == NO_ROOM
    assert refusal(api.delete(f"/rooms/{room}/participants/{alice}")) == NO_ROOM
    with pytest.raises(NoToken):
        entering.join(api.service, room, "late", "viewer")
