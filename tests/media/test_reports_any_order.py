"""Reports in any order, twice and too late: whatever comes, what is in the room fits together."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.owt import purge
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from tests.media.api import AUDIO, BOTH, added, counts, forward, join, participants, removed, tally, updated
from tests.media.test_reports import called, ended, hung_up, left, ready
from tests.owt.api import Api, ok
from tests.support.counts import full

RUNS = full(2, 60)
LENGTH = 120
LIST = 20
IDS = ["1", "2", "3"]
STREAMS = ["a", "b", "c", "d"]


def anything(chance: random.Random, outputs: list[str]) -> Iterator[dict[str, Any]]:
    """Reports about few things, so that they meet."""
    while True:
        who, stream = chance.choice(IDS), chance.choice(STREAMS)
        output = chance.choice(outputs)
        media = chance.choice([BOTH, {"audio": AUDIO}])
        each = chance.choice(
            [
                added(stream, chance.choice(["admin", who]), chance.choice(["webrtc", "sip"]), media=media),
                added(stream, who, "sip", media=media),
                added(stream, kind="analytics"),
                updated(stream, media, version=chance.randrange(5)),
                removed(stream),
                called(who),
                called(who, stream=stream),
                hung_up(who),
                left(who),
                ready(output),
                ended(output),
                {"type": "node.gone", "node": chance.choice("xy")},
            ]
        )
        if each["type"] != "node.gone" and chance.random() < 0.3:
            each = each | {"node": chance.choice("xy")}
        yield each


@pytest.mark.parametrize("run", range(RUNS))
def test_what_is_in_the_room_fits_together(acme: Api, run: int):
    chance = random.Random(run)
    room = acme.room(participantLimit=3, inputLimit=3)
    outputs = ["nothing"]
    reports = anything(chance, outputs)
    sent: list[dict[str, Any]] = []
    for number in range(LENGTH // LIST):
        for who in IDS:
            if who not in participants(acme, room) and len(participants(acme, room)) < 3:
                join(acme, room, participant=who, role=chance.choice(["presenter", "viewer"]))
        for source in forward(acme, room):
            body = {"container": "mkv", "media": {"audio": {"from": source}, "video": False}}
            outputs.append(ok(acme.post(f"/rooms/{room}/recordings", body))["id"])
        new = [next(reports) | {"id": f"{number} {each}"} for each in range(LIST)]
        again = chance.sample(sent, min(5, len(sent)))
        wanted = new + again
        chance.shuffle(wanted)
        applied, ignored, duplicates = tally(acme, room, *wanted)
        assert (applied + ignored, duplicates) == (len(new), len(again))
        sent += new
        check(acme, room)


def check(api: Api, room: str) -> None:
    """What callers see hangs together, nothing else is there, and all of it is counted."""
    for raw in writes.raw_rows(keys.owt_room_partition(room), prefix="xe#"):
        purge.finish(Key(raw["pk"]["S"], raw["sk"]["S"]))
    there, streams = participants(api, room), forward(api, room)
    calls = ok(api.at("v1.1").get(f"/rooms/{room}/sipcalls"))
    recordings = ok(api.get(f"/rooms/{room}/recordings"))
    assert {each["info"]["owner"] for each in streams.values()} <= {"admin", *there}
    assert {each["media"]["audio"]["from"] for each in recordings} <= streams.keys()
    for call in calls:
        assert call["id"] in there
        heard = call["input"]
        if heard is not False:
            assert heard == streams[heard["id"]]
            assert (heard["info"]["owner"], heard["info"]["type"]) == (call["id"], "sip")
    inputs = sum(each["info"]["type"] != "analytics" for each in streams.values())
    others = len(streams) - inputs + len(calls) + len(recordings)
    assert counts(api, room) == (len(there), inputs, others)
    assert inputs <= 3
    assert len(there) <= 3
    kept = [raw["sk"]["S"] for raw in writes.raw_rows(keys.owt_room_partition(room))]
    assert len(kept) == 1 + len(there) + len(streams) + len(calls) + len(recordings)
