"""The overview: what processes told and `tick` summed up, in few calls; gaps where nobody looked."""

from typing import Any

import msgspec
import pytest

import app
from chalicelib import clock, tally
from chalicelib.admin import overview, rollups, shapes
from chalicelib.admin.rollups import Measured
from chalicelib.outbox import owed
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from chalicelib.tally import Part
from infra.credentials import Credentials
from tests.admin.api import Session, ask, done, refusal
from tests.conftest import Stack
from tests.support import events
from tests.support.storage import listening
from tests.test_tally import MINUTE, Time

NOTHING = {"requests": 0, "errors": 0, "refused": 0, "hooks": 0}
UNKNOWN = dict.fromkeys(NOTHING)


@pytest.fixture
def time(admin: Stack, monkeypatch: pytest.MonkeyPatch) -> Time:
    """Ten seconds into a minute that begins a step of ten."""
    made = Time(MINUTE * 60.0 + 10)
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


def told(minute: int, **facades: dict[str, int]) -> None:
    """Have a process of its own tell what it counted in a minute from `MINUTE` on."""
    rollups._process.forget()
    rollups.keep([Part(MINUTE + minute, facades, [])])


def tick(time: Time, waiting: int = 0) -> None:
    """Let a minute go by, and have it summed up."""
    time.pass_by(60)
    assert rollups.roll(lambda: Measured(waiting, 3, 5, 61.25))


def shown(minutes: int | None = None) -> dict[str, Any]:
    """The overview."""
    answer: dict[str, Any] = done(
        ask("GET", "/overview" if minutes is None else f"/overview?minutes={minutes}")
    )
    msgspec.convert(answer, shapes.AdminOverview)
    return answer


def test_before_anything_was_summed_up_nothing_is_said_to_be_nothing(time):
    answer = shown()

    assert answer["now"] == int(time.now * 1000)
    assert (answer["stage"], answer["step_s"], answer["measured_at"]) == ("local", 60, None)
    assert answer["owed"] == {"rows": None, "oldest_s": None}
    assert answer["dead"] == {"count": 0, "more": False}
    assert answer["facades"]["jitsi"] == NOTHING | {"releases": 0, "waiting": None, "conferences": None}
    assert answer["facades"]["loop"] == NOTHING
    assert [step["at"] for step in answer["minutes"]] == [(MINUTE + at) * 60_000 for at in range(-15, 0)]
    for step in answer["minutes"]:
        assert step["jitsi"] == UNKNOWN | {"releases": None, "waiting": None}
        assert step["sora"] == UNKNOWN


def test_what_processes_told_a_moment_ago_is_shown_before_it_is_summed_up(time):
    told(0, jitsi={"requests": 100, "releases": 50, "hooks": 1}, loop={"requests": 3, "errors": 1})
    told(0, jitsi={"requests": 4, "refused": 4})
    told(-1, jitsi={"requests": 1000})
    told(-2, jitsi={"requests": 7})

    answer = shown()
    assert answer["facades"]["jitsi"] == {
        "requests": 1104,
        "errors": 0,
        "refused": 4,
        "hooks": 1,
        "releases": 50,
        "waiting": None,
        "conferences": None,
    }
    assert answer["facades"]["loop"] == NOTHING | {"requests": 3, "errors": 1}
    assert answer["facades"]["wcs"] == NOTHING
    assert answer["minutes"][-1]["jitsi"]["requests"] == 1000
    assert answer["minutes"][-2]["jitsi"]["requests"] is None


def test_each_minute_has_what_was_served_and_who_waited_in_it(time):
    for minute in range(3):
        told(minute, owt={"requests": 10 + minute}, jitsi={"requests": minute, "releases": minute})
        tick(time, waiting=100 * minute)

    answer = shown()
    found = answer["minutes"]
    assert [(step["owt"]["requests"], step["jitsi"]["releases"]) for step in found[-4:]] == [
        (None, None),
        (10, 0),
        (11, 1),
        (12, 2),
    ]
    assert [step["jitsi"]["waiting"] for step in found[-3:]] == [0, 0, 100]
    assert answer["facades"]["jitsi"]["waiting"] == 200
    assert answer["facades"]["jitsi"]["conferences"] == 3
    assert answer["owed"] == {"rows": 5, "oldest_s": 61.25}
    assert answer["measured_at"] == int(time.now * 1000)


def test_what_came_after_a_sum_was_made_is_shown_at_once(time):
    told(0, owt={"requests": 1})
    tick(time)
    told(0, owt={"requests": 5})

    assert shown()["minutes"][-1]["owt"]["requests"] == 6


@pytest.mark.parametrize(
    ("fronts", "held", "expected"),
    [
        (2, [(0, "a", 30), (0, "b", 12)], 42),
        (2, [(-1, "a", 30), (0, "a", 31), (-1, "b", 12)], 43),
        (1, [(0, "a", 0)], 0),
        (1, [(0, "a", 0), (0, "killed", 50)], 7),
        (2, [(0, "a", 0)], 7),
        (1, [(-2, "a", 3)], 7),
        (1, [], 7),
    ],
    ids=["all", "their last words", "nobody", "one has gone", "one tells nothing", "long ago", "none tells"],
)
def test_who_waits_is_what_gateways_told_since_if_every_front_did(time, fronts, held, expected):
    rollups.roll(lambda: Measured(7, 1, 0, 0.0, fronts=fronts))
    assert shown()["facades"]["jitsi"]["waiting"] == 7
    for minute, process, waiting in held:
        rollups._process._name = process
        rollups.keep([Part(MINUTE + minute, {}, [], waiting)])
    assert shown()["facades"]["jitsi"]["waiting"] == expected


def test_of_a_day_ten_minutes_are_one_point(time):
    time.now += 20 * 60
    base = int(time.now // 60) - MINUTE
    for minute, waiting in ((-20, 3), (-15, 9), (-11, 4), (-10, 1)):
        told(base + minute, loop={"requests": 10, "errors": 1})
        numbers = {"loop": [10, 1, 0, 0, 0]}
        row = rollups.RollupRow(
            *keys.rollup(MINUTE + base + minute), counts=rollups.spell(numbers), waiting=waiting
        )
        writes.put(row)

    answer = shown(1440)
    assert answer["step_s"] == 600
    steps = {step["at"] // 60_000 - MINUTE - base: step for step in answer["minutes"]}
    assert len(steps) == 144
    assert all(at % 10 == 0 for at in steps)
    assert steps[-20]["loop"] == NOTHING | {"requests": 30, "errors": 3}
    assert steps[-20]["jitsi"]["waiting"] == 9
    assert steps[-10]["loop"]["requests"] == 10
    assert steps[-30]["loop"] == UNKNOWN


@pytest.mark.parametrize(("minutes", "points"), [(1, 1), (15, 15), (120, 120), (121, 13), (1440, 144)])
def test_there_is_a_point_for_every_step(time, minutes, points):
    assert len(shown(minutes)["minutes"]) == points


@pytest.mark.parametrize("minutes", ["0", "1441", "-1", "x", "", "1.5", "15&minutes=16"])
def test_minutes_are_a_number_up_to_a_day(admin, minutes):
    assert refusal(ask("GET", f"/overview?minutes={minutes}")) == (400, "invalid")


def test_dead_letters_are_counted_now_and_up_to_a_hundred(time):
    for number in range(3):
        owed.bury("push", Key("a", str(number)), "gone", 12)
        time.pass_by(1)
    assert shown()["dead"] == {"count": 3, "more": False}
    for number in range(97):
        owed.bury("push", Key("b", str(number)), "gone", 12)
    assert shown()["dead"] == {"count": 100, "more": False}
    owed.bury("push", Key("c", "-"), "gone", 12)
    assert shown()["dead"] == {"count": 100, "more": True}
    time.pass_by(owed.DEAD_KEPT_S + 10)
    assert shown()["dead"] == {"count": 0, "more": False}


@pytest.mark.parametrize("minutes", [15, 1440])
def test_a_look_costs_the_session_and_three_calls(time, minutes):
    for minute in range(5):
        told(minute, loop={"requests": 1})
        tick(time)
    console = Session()
    with listening() as storage, storage.counting() as spent:
        done(console.call("GET", f"/overview?minutes={minutes}"))
    assert (sum(spent.values()), spent["Query"]) == (4, 3)


def test_a_whole_day_of_five_busy_facades_is_still_three_calls(time, admin):
    numbers = {facade: [9_999_999] * len(rollups.COUNTED) for facade in tally.FACADES}
    rows = [
        rollups.RollupRow(*keys.rollup(MINUTE - at), counts=rollups.spell(numbers), waiting=99_999)
        for at in range(1, 1441)
    ]
    for at in range(0, len(rows), 100):
        writes.batch(puts=rows[at : at + 100])
    with listening() as storage, storage.counting() as spent:
        answer = overview.overview(1440)
    assert spent == {"Query": 3}
    assert answer["minutes"][0]["sora"]["requests"] == 99_999_990


# What is counted, from the edges on


def counted() -> dict[str, dict[str, int]]:
    """What was told of this minute and the one before, without what is nothing."""
    minute = int(clock.now() // 60)
    found: dict[str, dict[str, int]] = {}
    for numbers in rollups.sums(rollups.some_parts(minute - 1, minute)).values():
        for facade, values in numbers.items():
            named = zip(rollups.COUNTED, values, strict=True)
            found[facade] = {name: number for name, number in named if number}
    return found


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/waiting-queue/golive", {"jitsi": {"requests": 1, "refused": 1, "hooks": 1}}),
        ("PUT", "/waiting-queue/golive", {"jitsi": {"requests": 1, "refused": 1}}),
        ("GET", "/v1/rooms", {"owt": {"requests": 1, "refused": 1}}),
        ("OPTIONS", "/v1.1/rooms", {"owt": {"requests": 1}}),
        ("POST", "/media/v1/rooms/r/reports", {"owt": {"requests": 1, "refused": 1, "hooks": 1}}),
        ("GET", "/rooms", {"loop": {"requests": 1, "refused": 1}}),
        ("POST", "/rest/no_such_api/connect", {"wcs": {"requests": 1, "refused": 1, "hooks": 1}}),
        ("POST", "/", {"sora": {"requests": 1, "refused": 1}}),
        ("POST", "/sora/event", {"sora": {"requests": 1, "refused": 1, "hooks": 1}}),
        ("GET", "/healthz", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/admin/v1/session", {}),
    ],
)
def test_every_facade_counts_what_it_serves_and_the_console_counts_nothing(admin, method, path, expected):
    events.call(app.app, method, path, "{", {"Content-Type": "application/json"})
    assert counted() == expected


def test_a_call_of_golive_that_is_done_is_a_request_and_a_hook(admin, credentials: Credentials):
    answer = events.call(
        app.app,
        "POST",
        "/waiting-queue/golive",
        '{"conference": "party@conference.meet.example"}',
        {"Content-Type": "application/json", "Authorization": f"Bearer {credentials.server_token()}"},
    )
    assert answer.status == 200, answer
    assert counted() == {"jitsi": {"requests": 1, "hooks": 1}}
