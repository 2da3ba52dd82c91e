"""What is known of a stream after its events, in whatever order they come (contract 3)."""

import itertools
import json
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from chalicelib import clock
from tests.support.counts import full
from tests.wcs.server import NODE, SDP, SESSION, Server, User, event, kept, ok, spell

FINAL = ("UNPUBLISHED", "STOPPED", "FAILED", "DISCONNECTED")
NOTICES = ("RESIZE", "SNAPSHOT_COMPLETE", "NOT_ENOUGH_BANDWIDTH")
LIVE = ("NEW", "PENDING", "PUBLISHING", "PLAYING", "PAUSED", "PLAYBACK_PROBLEM", "SomethingNew")
PUBLISHER = (
    {"status": "NEW", "info": "made"},
    {"status": "PENDING", "sessionId": "a"},
    {"status": "PUBLISHING", "bitrate": 500, "sessionId": ...},
    {"status": "RESIZE", "width": 640, "height": 480, "info": ...},
    {"status": "UNPUBLISHED", "info": "Stopped by user", "width": ...},
)
PLAYER = (
    {"status": "PENDING", "mediaType": "play"},
    {"status": "PLAYING", "bitrate": 1},
    {"status": "PAUSED", "bitrate": 2},
    {"status": "PLAYBACK_PROBLEM", "quality": 3},
    {"status": "FAILED", "info": "Failed by ICE timeout"},
)


def after(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the contract says is known after these, told one after the other."""
    known: dict[str, Any] = {}
    for each in events:
        if known.get("status") in FINAL:
            break
        status = known.get("status") if each["status"] in NOTICES else each["status"]
        known |= {name: value for name, value in each.items() if name != "sdp"}
        if status is None:
            del known["status"]
        else:
            known["status"] = status
    return known


def test_an_event_is_known_without_its_sdp(server, user):
    server.tell()
    assert user.one() == kept()
    assert "sdp" not in user.post("find_all").body


def test_known_fields_come_in_the_contracts_order(server, user):
    server.post("StreamStatusEvent", spell({"zebra": 1, "status": "NEW", "apple": 2} | event()))
    names = list(user.one())
    assert names == [name for name in event() if name != "sdp"] + ["apple", "zebra"]


def test_fields_that_a_later_event_lacks_are_kept_and_all_others_replaced(server, user):
    server.tell(custom={"a": 1, "b": 2}, bitrate=5)
    server.tell(custom={"c": 3}, bitrate=..., status="PAUSED")
    assert user.one() == kept(custom={"c": 3}, bitrate=5, status="PAUSED")


def test_the_event_that_arrives_last_wins_until_the_end(server, user):
    for status in LIVE + LIVE[::-1]:
        server.tell(status=status)
        assert user.one()["status"] == status


@pytest.mark.parametrize("final", FINAL)
def test_after_its_end_nothing_changes_a_stream(server, user, final, caplog):
    caplog.set_level(logging.INFO)
    server.tell()
    server.tell(status=final, info="the end", width=3)
    ended = kept(status=final, info="the end", width=3)
    for status in (*LIVE, *NOTICES, *FINAL):
        server.tell(status=status, info="late", width=9, more=1)
        assert user.one() == ended
    assert "after the end" in caplog.text


@pytest.mark.parametrize("notice", NOTICES)
def test_a_notice_changes_its_own_fields_and_not_the_status(server, user, notice):
    server.tell()
    server.tell(status=notice, width=640, height=480)
    assert user.one() == kept(width=640, height=480)
    server.tell(status="UNPUBLISHED")
    assert user.one() == kept(width=0, height=0, status="UNPUBLISHED")


def test_a_notice_that_comes_first_leaves_the_status_open(server, user):
    server.tell(status="RESIZE", width=640)
    assert user.one() == kept(status=..., width=640)
    server.tell()
    assert user.one() == kept()


def test_the_same_event_again_changes_nothing(server, user, table):
    server.tell(status="NEW", info="x")
    before = [row for row in table.rows() if row["pk"]["S"] != "s"]
    server.tell(status="NEW", info="x")

    def without_times(rows):
        return [
            {name: value for name, value in row.items() if name not in ("s", "expires_at")} for row in rows
        ]

    assert without_times(table.rows()) == without_times(before)


@pytest.mark.parametrize("told", [PUBLISHER, PLAYER], ids=["publisher", "player"])
def test_every_order_with_repetitions_ends_in_the_right_state(stack, told):
    server, user = Server(), User()
    for number, order in enumerate(itertools.islice(itertools.permutations(told), 0, None, full(7, 1))):
        twice = [each for each in order for _ in range(full(1, 2))]
        events = [event(**each, mediaSessionId=f"{number}") for each in (*twice, *reversed(order))]
        for each in events:
            server.post("StreamStatusEvent", spell(each))
        (found,) = user.find(mediaSessionId=str(number))
        assert found == after(events), order
        assert found["status"] == told[-1]["status"]
        assert found["info"] == told[-1]["info"]


def test_a_stream_that_begins_anew_under_its_name_is_not_touched_by_late_events_of_the_old_one(server, user):
    old, new = {"mediaSessionId": "old"}, {"mediaSessionId": "new"}
    server.tell(**old)
    server.tell(**old, status="UNPUBLISHED", info="Stopped by user")
    server.tell(**new, status="PENDING")
    server.tell(**new)
    before = user.find(mediaSessionId="new")
    for late in ("PUBLISHING", "RESIZE", "FAILED", "UNPUBLISHED", "PENDING"):
        server.tell(**old, status=late, info="late", width=1)
        server.tell(nodeId="other@10.0.0.1", mediaSessionId="third", status=late)
    assert user.find(mediaSessionId="new") == before == [kept(**new)]
    assert {each["mediaSessionId"]: each["status"] for each in user.find(name="b4e7")} == {
        "old": "UNPUBLISHED",
        "new": "PUBLISHING",
        "third": "FAILED",
    }


def test_two_servers_may_choose_the_same_id(server, user):
    server.tell()
    server.tell(nodeId="other@10.0.0.1", status="FAILED")
    found = user.find(mediaSessionId=SESSION)
    assert {each["nodeId"]: each["status"] for each in found} == {
        NODE: "PUBLISHING",
        "other@10.0.0.1": "FAILED",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "a\0"),
        ("a/b", "a%2Fb"),
        ("a#b", "a"),
        ("é", "e\u0301"),
        ("😀", "😁"),
        ("x" * 1024, "x" * 1023),
        (" a", "a"),
        ("A", "a"),
    ],
)
def test_ids_are_never_mixed_up(server, user, one, other):
    server.tell(mediaSessionId=one, nodeId=other, status="NEW", name=one)
    server.tell(mediaSessionId=other, nodeId=one, status="FAILED", name=other)
    assert user.find(mediaSessionId=one) == [kept(mediaSessionId=one, nodeId=other, status="NEW", name=one)]
    assert user.find(name=other) == [kept(mediaSessionId=other, nodeId=one, status="FAILED", name=other)]
    assert len(user.every()) == 2


def test_the_api_by_which_a_server_tells_does_not_matter(server, user):
    server.tell()
    Server("another").tell(status="UNPUBLISHED")
    assert user.one() == kept(status="UNPUBLISHED")


# How much is kept


def test_100_fields_are_kept(server, user):
    more = {f"field{number}": number for number in range(101 - len(event()))}
    server.tell(**more)
    assert user.one() == kept(**more)
    assert len(user.one()) == 100


def test_of_more_than_100_fields_those_of_the_contract_are_kept(server, user):
    server.tell(
        **{f"field{number}": number for number in range(102 - len(event()))}, info="x", custom={"a": 1}
    )
    assert user.one() == kept(info="x", custom={"a": 1})


def test_of_what_is_too_long_the_contracts_fields_are_kept(server, user):
    server.tell(more="x" * 300_000, info="x" * 100_000)
    assert user.one() == kept(info="x" * 100_000)


def test_of_fields_of_the_contract_that_are_too_long_the_largest_go(server, user):
    server.tell(custom={"a": "x" * 300_000}, info="x" * 200_000)
    assert user.one() == kept(info="x" * 200_000)


@pytest.mark.parametrize("name", ["n" * 1025, "é" * 513, "n" * 70_000, "\ud83d"])
def test_a_field_whose_name_nobody_can_store_is_echoed_and_not_kept(server, user, name):
    server.tell(**{name: 1})
    assert user.one() == kept()


def test_an_id_of_a_server_may_be_long(server, user):
    server.tell(nodeId="n" * 400_000)
    assert user.one() == kept(nodeId=...)
    server.tell(nodeId="n" * 400_000, status="FAILED")
    assert user.one()["status"] == "FAILED"


def test_what_becomes_too_long_by_many_events_is_cut_to_the_contracts_fields(server, user):
    for number in range(3):
        server.tell(**{f"more{number}": "x" * 190_000}, info=str(number))
    assert user.one() == kept(info="2")
    server.tell(status="UNPUBLISHED", more="x" * 190_000, most="x" * 100_000)
    server.tell(status="PUBLISHING", least="x" * 190_000)
    found = user.one()
    assert (found["status"], found["info"]) == ("UNPUBLISHED", "2")
    assert "least" not in found


def test_the_end_is_known_of_a_stream_that_becomes_too_long_with_it(server, user):
    server.tell(**{"a": "x" * 150_000, "b": "x" * 140_000})
    server.tell(**{"c": "x" * 290_000}, status="FAILED", info="why")
    assert user.one() == kept(status="FAILED", info="why")
    server.tell()
    assert user.one() == kept(status="FAILED", info="why")


def test_no_sdp_is_anywhere_in_storage(server, table, caplog):
    caplog.set_level(logging.DEBUG)
    server.tell()
    server.say("StreamKeepAliveEvent")
    assert "candidate" in SDP
    assert "candidate" not in json.dumps(table.rows())
    assert "candidate" not in caplog.text


# Expiry


@pytest.fixture
def later(monkeypatch):
    """Move the clock by so many seconds."""
    began = clock.now()
    ahead = [0.0]
    monkeypatch.setattr(clock, "now", lambda: began + ahead[0])

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move


def test_an_ended_stream_is_known_for_a_day(server, user, later):
    server.tell(status="UNPUBLISHED")
    later(86_000)
    assert user.every()
    assert user.find(name="b4e7")
    later(500)
    assert user.every() == user.find(name="b4e7") == user.find(mediaSessionId=SESSION) == []


def test_a_stream_without_news_is_known_for_a_week(server, user, later):
    server.tell()
    later(6 * 86_400)
    server.tell()
    later(6.9 * 86_400)
    assert user.one() == kept()
    later(0.2 * 86_400)
    assert user.every() == user.find(mediaSessionId=SESSION) == []


def test_rows_say_when_they_go(server, table, later):
    server.tell()
    now = int(clock.now())
    rows = {row["pk"]["S"][:2]: int(row["expires_at"]["N"]) for row in table.rows()}
    assert rows.pop("wl") == now + 2 * 7 * 86_400
    assert list(rows.values()) == [now + 7 * 86_400]


def test_keep_times_can_be_set(server, user, later, monkeypatch):
    monkeypatch.setenv("WCS_FINAL_KEPT_S", "10")
    monkeypatch.setenv("WCS_OTHERS_KEPT_S", "4000")
    server.tell(mediaSessionId="a")
    server.tell(mediaSessionId="b", status="FAILED")
    later(11)
    assert [each["mediaSessionId"] for each in user.every()] == ["a"]
    later(4000)
    assert user.every() == []


def test_a_stream_of_many_weeks_stays_in_the_list(server, user, later, monkeypatch):
    began = clock.monotonic()
    wall = clock.now()
    monkeypatch.setattr(clock, "monotonic", lambda: began + clock.now() - wall)
    monkeypatch.setattr("chalicelib.store.table.budget.__enter__", lambda self: setattr(self, "outer", None))
    monkeypatch.setattr("chalicelib.store.table.budget.__exit__", lambda self, *_: None)
    for _ in range(20):
        server.tell()
        later(3 * 86_400)
        assert user.one() == kept()
    assert ok(user.post("find", {"name": "b4e7"})) == [kept()]
