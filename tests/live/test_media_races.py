"""Reports of media workers that race each other and callers, on the gateway with an emulator behind."""

import functools
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.owt.store import rooms
from chalicelib.store import keys, writes
from tests.live.test_owt_races import AT_ONCE, boss, caller, redeem, side_by_side
from tests.media.api import AUDIO, added, removed, updated
from tests.media.test_node_gone import MANY, fill
from tests.support.caller import Caller
from tests.support.counts import full

ROUNDS = full(3, 200)
PATIENCE_S = 30.0

__all__ = ["boss", "caller"]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Workers side by side."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield threads


_numbers = itertools.count(1)


def report(caller: Caller, room: str, *reports: dict[str, Any]) -> tuple[int, int, int]:
    """How many were applied, ignored and duplicates."""
    numbered = [{"id": f"r{next(_numbers)}", **each} for each in reports]
    status, found = caller.ask("POST", f"/media/v1/rooms/{room}/reports", numbered)
    assert status == 200, found
    return found["applied"], found["ignored"], found["duplicates"]


def together(pool: ThreadPoolExecutor, caller: Caller, room: str, *reports: dict[str, Any]) -> list[Any]:
    """What becomes of reports that are sent at once, each in a list of its own."""
    return side_by_side(pool, *(functools.partial(report, caller, room, each) for each in reports))


def join(caller: Caller, room: str) -> str:
    text = caller.done("POST", f"/v1/rooms/{room}/tokens", {"user": "u", "role": "presenter"})
    status, joined = redeem(caller, text)
    assert status == 200
    return str(joined["participant"]["id"])


def listed(caller: Caller, room: str) -> dict[str, list[Any]]:
    """What callers see in a room."""
    return {
        what: [each for each in caller.done("GET", f"/v1/rooms/{room}/{what}") if each.get("type") != "mixed"]
        for what in ("participants", "streams", "sipcalls", "recordings")
    }


def settled(caller: Caller, room: str) -> dict[str, list[Any]]:
    """The same, once all is gone that hung on what ended; rows and counts are those of what is seen then."""
    until = time.monotonic() + PATIENCE_S
    while any(writes.raw_rows(keys.owt_room_partition(room), prefix="xe#")):
        assert time.monotonic() < until
        time.sleep(0.1)
    seen = listed(caller, room)
    state = rooms.read_for(caller.service, True, room)
    outputs = len(seen["sipcalls"]) + len(seen["recordings"])
    assert state.participants == len(seen["participants"])
    assert (state.inputs, state.others) == (len(seen["streams"]), outputs)
    return seen


def left(participant: str) -> dict[str, Any]:
    return {"type": "participant.left", "participant": participant}


def called(identity: str) -> dict[str, Any]:
    return {"type": "call.added", "call": {"id": identity, "peer": "sip:a@b"}}


def hung_up(identity: str) -> dict[str, Any]:
    return {"type": "call.ended", "call": {"id": identity}}


def test_a_report_that_is_sent_several_times_at_once_counts_once(caller, pool):
    room = caller.room()
    for number in range(ROUNDS):
        same = added(f"s{number}") | {"id": f"same{number}"}
        late = removed("nothing") | {"id": f"late{number}"}
        answers = together(pool, caller, room, *[same] * 3, *[late] * 3)
        assert sorted(answers[:3]) == [(0, 0, 1), (0, 0, 1), (1, 0, 0)]
        assert sorted(answers[3:]) == [(0, 0, 1), (0, 0, 1), (0, 1, 0)]
    assert len(settled(caller, room)["streams"]) == ROUNDS


def test_a_list_that_is_sent_twice_at_once_is_applied_once(caller, pool):
    for number in range(ROUNDS):
        room = caller.room()
        both = [added(f"s{each}") | {"id": f"{number}-{each}"} for each in range(10)]
        answers = side_by_side(pool, *[functools.partial(report, caller, room, *both)] * 2)
        assert [sum(column) for column in zip(*answers, strict=True)] == [10, 0, 10]
        assert len(settled(caller, room)["streams"]) == 10


def test_who_leaves_leaves_no_stream_behind(caller, pool):
    room = caller.room()
    for number in range(ROUNDS):
        owner = join(caller, room)
        streams = [added(f"s{number}-{each}", owner) for each in range(3)]
        *came, gone = together(pool, caller, room, *streams, left(owner))
        assert gone == (1, 0, 0)
        assert set(came) <= {(1, 0, 0), (0, 1, 0)}
        assert settled(caller, room) == {"participants": [], "streams": [], "sipcalls": [], "recordings": []}


def test_no_more_streams_come_in_than_the_limit_admits(caller, pool):
    for _ in range(ROUNDS):
        room = caller.room(inputLimit=2)
        answers = together(pool, caller, room, *(added(f"s{each}") for each in range(AT_ONCE)))
        assert sorted(answers) == [(0, 1, 0)] * (AT_ONCE - 2) + [(1, 0, 0)] * 2
        assert len(settled(caller, room)["streams"]) == 2


def test_a_stream_that_is_removed_twice_at_once_goes_once(caller, pool):
    room = caller.room()
    for number in range(ROUNDS):
        report(caller, room, added(f"s{number}"))
        ends = [removed(f"s{number}") | {"id": f"{number}-{each}"} for each in range(3)]
        assert sorted(together(pool, caller, room, *ends)) == [(0, 1, 0), (0, 1, 0), (1, 0, 0)]
        assert settled(caller, room)["streams"] == []


def test_the_newest_of_several_versions_stands(caller, pool):
    room = caller.room()
    report(caller, room, added("s"))
    for number in range(ROUNDS):
        versions = [number * AT_ONCE + each for each in range(AT_ONCE)]
        news = [
            updated("s", {"audio": AUDIO | {"format": {"codec": f"c{version}"}}}, version=version)
            for version in versions
        ]
        together(pool, caller, room, *reversed(news))
        (stream,) = settled(caller, room)["streams"]
        assert stream["media"]["audio"]["format"]["codec"] == f"c{versions[-1]}"


def test_one_of_several_streams_is_the_input_of_a_call(caller, pool):
    room = caller.room()
    for number in range(ROUNDS):
        call = f"c{number}"
        streams = [added(f"s{number}-{each}", call, "sip") for each in range(3)]
        made, *came = together(pool, caller, room, called(call), *streams)
        assert made == (1, 0, 0)
        seen = settled(caller, room)
        assert len(seen["streams"]) == came.count((1, 0, 0))
        heard = seen["sipcalls"][0]["input"]
        if seen["streams"]:
            assert heard["id"] in [each["id"] for each in seen["streams"]]
        else:
            assert heard is False
        assert report(caller, room, hung_up(call)) == (1, 0, 0)
        assert settled(caller, room) == {"participants": [], "streams": [], "sipcalls": [], "recordings": []}


@pytest.mark.parametrize("how", ["reported", "by the caller"])
def test_a_call_that_ends_leaves_nothing_behind(caller, pool, how):
    room = caller.room()
    for number in range(ROUNDS):
        call = f"c{number}"
        report(caller, room, called(call))
        ends = (
            functools.partial(report, caller, room, hung_up(call))
            if how == "reported"
            else functools.partial(caller.ask, "DELETE", f"/v1/rooms/{room}/sipcalls/{call}")
        )
        heard = added(f"s{number}", call, "sip")
        gone, came = side_by_side(pool, ends, functools.partial(report, caller, room, heard))
        assert gone in ((1, 0, 0), (200, ""))
        assert came in ((1, 0, 0), (0, 1, 0))
        assert settled(caller, room) == {"participants": [], "streams": [], "sipcalls": [], "recordings": []}


def test_what_comes_on_a_node_that_goes_has_come_before_or_after(caller, pool):
    room = caller.room()
    for number in range(ROUNDS):
        first = [added(f"s{number}-{each}", node="n") for each in range(5)]
        assert report(caller, room, *first) == (5, 0, 0)
        more = [added(f"t{number}-{each}", node="n") for each in range(3)]
        gone, *came = together(pool, caller, room, {"type": "node.gone", "node": "n"}, *more)
        assert [gone, *came] == [(1, 0, 0)] * 4
        seen = [each["id"] for each in settled(caller, room)["streams"]]
        assert set(seen) <= {each["stream"]["id"] for each in more}
        report(caller, room, {"type": "node.gone", "node": "n"})
        assert settled(caller, room)["streams"] == []


def test_a_recording_that_ends_with_its_source_and_by_itself_ends_once(caller, pool):
    room = caller.room()
    for number in range(ROUNDS):
        report(caller, room, added(f"s{number}"))
        body = {"container": "mkv", "media": {"audio": {"from": f"s{number}"}, "video": False}}
        name = caller.done("POST", f"/v1/rooms/{room}/recordings", body)["id"]
        end = {"type": "output.ended", "output": {"id": name}}
        ready = {"type": "output.ready", "output": {"id": name, "storage": {"host": "h", "file": "f"}}}
        gone, *_ = together(pool, caller, room, removed(f"s{number}"), end, ready)
        assert gone == (1, 0, 0)
        assert settled(caller, room) == {"participants": [], "streams": [], "sipcalls": [], "recordings": []}


def test_500_streams_of_a_node_are_gone_soon_after_the_answer(caller):
    room = caller.room()
    fill(room, MANY)
    report(caller, room, added("other"))
    assert len(listed(caller, room)["streams"]) == MANY + 1
    assert report(caller, room, {"type": "node.gone", "node": "n1"}) == (1, 0, 0)
    assert [each["id"] for each in settled(caller, room)["streams"]] == ["other"]
