"""Conferences as operators see them, what they do to them, and what noting them costs everybody else."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest

import app
from chalicelib import settings
from chalicelib.jitsi import store
from chalicelib.realtime import fronts
from chalicelib.store import keys
from tests.admin import api
from tests.admin.api import Session, ask, done, refusal
from tests.conftest import Stack
from tests.sora.listening import Listener
from tests.support.clients import STATE
from tests.support.storage import listening
from tests.support.world import MODES, World


@pytest.fixture(params=MODES)
def world(request: Any, table: Stack, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A deployment of each kind that has an operator."""
    api.given(monkeypatch, ops=api.TOKEN)
    made = World(table, credentials, monkeypatch, request.param)
    yield made
    made.leave()


@pytest.fixture
def rows(table: Stack, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Behind API Gateway, with an operator."""
    api.given(monkeypatch, ops=api.TOKEN)
    made = World(table, credentials, monkeypatch, "rows")
    yield made
    made.leave()


def about(name: str) -> str:
    return f"?name={quote(name, safe='')}"


def look(name: str) -> Any:
    return done(ask("GET", f"/conference{about(name)}"))


def names(answer: Any) -> list[str]:
    return [each["name"] for each in answer["items"]]


def test_a_conference_is_listed_once_somebody_waits_and_counted_when_it_is_looked_at(world: World):
    name = world.conference()
    assert done(ask("GET", "/conferences")) == {"items": [], "next": None}
    for _ in range(3):
        world.visitor().wait(name)
    moderator = world.moderator().connect()

    assert done(ask("GET", "/conferences"))["items"] == [
        {
            "name": name,
            "waiting": None,
            "watched": False,
            "live": False,
            "live_since": None,
            "live_until": None,
        }
    ]
    moderator.subscribe(STATE + name)
    world.advance(16)
    world.drain()
    (listed,) = done(ask("GET", "/conferences"))["items"]
    assert (listed["waiting"], listed["watched"]) == (3, True)

    found = look(name)
    assert (found["name"], found["waiting"], found["watched"]) == (name, 3, True)
    assert (found["epoch"], found["moderators"], found["shards"]) == (1, 1, 16)
    assert (sum(found["counts"]), len(found["counts"])) == (3, 16)


def test_an_operator_releases_everybody_and_clears_again(world: World):
    name = world.conference()
    visitors = [world.visitor().wait(name) for _ in range(5)]

    assert done(ask("POST", "/conference/golive", {"name": name.upper()})) == {"name": name, "live": True}
    world.drain()
    assert [visitor.line.live() for visitor in visitors] == [1] * 5
    found = look(name)
    assert (found["live"], found["waiting"], found["counts"]) == (True, 0, [0] * 16)
    assert 0 < found["live_until"] - found["live_since"] <= 43_200_001
    (listed,) = done(ask("GET", "/conferences"))["items"]
    assert (listed["live"], listed["waiting"]) == (True, 0)

    assert done(ask("POST", "/conference/clear", {"name": name})) == {"name": name, "live": False}
    world.visitor().wait(name)
    found = look(name)
    assert (found["live"], found["live_since"], found["epoch"], found["waiting"]) == (False, None, 2, 1)


def test_making_live_twice_or_what_nobody_waits_for_is_no_fault(rows: World):
    name = rows.conference()
    for _ in range(2):
        done(ask("POST", "/conference/golive", {"name": name}))
    done(ask("POST", "/conference/clear", {"name": rows.conference()}))

    assert names(done(ask("GET", "/conferences"))) == [name]


def test_shards_are_counted_by_number_and_one_call_tells_who_asks_and_whether_it_is_live(rows: World):
    name = rows.conference()
    for _ in range(20):
        rows.visitor().wait(name)
    session = Session()
    whole = look(name)["counts"]
    path = f"/conference/counts{about(name)}&shards=3,0,15,7"
    fronts.alive()
    with listening() as storage:
        assert storage.spent(lambda: session.call("GET", path)) == ["BatchGetItem", *["Query"] * 4]
        assert storage.spent(lambda: ask("GET", path)) == ["BatchGetItem", *["Query"] * 4]
    found = done(session.call("GET", path))
    assert found == {
        "live": False,
        "live_since": None,
        "counts": {str(shard): whole[shard] for shard in (0, 3, 7, 15)},
    }
    rows.golive(name)
    found = done(session.call("GET", path))
    assert (found["live"], found["counts"]) == (True, {"0": 0, "3": 0, "7": 0, "15": 0})
    assert found["live_since"] == look(name)["live_since"]


def test_looking_at_a_conference_costs_a_call_for_each_shard_and_three_more(rows: World):
    name = rows.conference()
    rows.visitor().wait(name)
    session = Session()
    fronts.alive()
    with listening() as storage:
        spent = storage.spent(lambda: session.call("GET", f"/conference{about(name)}"))

    assert sorted(spent) == ["BatchGetItem"] * 2 + ["Query"] * 17


def test_a_list_costs_the_same_whatever_waits(rows: World):
    for number in range(60):
        store.note(f"r{number:02d}@conference.meet.local")
    session = Session()
    with listening() as storage:
        spent = storage.spent(lambda: session.call("GET", "/conferences"))

    assert spent == ["BatchGetItem", "Query", "BatchGetItem"]


@pytest.mark.parametrize("limit", [7, 100])
def test_pages_show_every_conference_once_by_name(rows: World, limit: int):
    every = sorted(f"{letter}{number:02d}@conference.meet.local" for letter in "ba" for number in range(12))
    for name in every:
        store.note(name)
    found: list[str] = []
    following = ""
    while following is not None:
        page = done(ask("GET", f"/conferences?limit={limit}&after={following}"))
        assert len(page["items"]) <= limit
        found += names(page)
        following = page["next"]
    assert found == every
    assert (
        names(done(ask("GET", f"/conferences?limit={limit}&search=B0")))[:10] == every[12 : 12 + limit][:10]
    )
    assert done(ask("GET", "/conferences?search=nobody")) == {"items": [], "next": None}


NO_PAGES: Final = (
    "limit=0",
    "limit=101",
    "limit=-1",
    "limit=1e2",
    "limit=",
    "limit=1&limit=2",
    "limit=%D9%A1",
    "after=x",
    "after=W10",
    "after=WyJhIiwiYiJd",
    "after=WzFd",
    "after=%00",
    "after=" + "W" * 5000,
    "search=" + "x" * 1025,
)


def test_a_page_that_cannot_be_is_refused(rows: World):
    for query in NO_PAGES:
        assert refusal(ask("GET", f"/conferences?{query}")) == (400, "invalid"), query


NO_QUESTIONS: Final = (
    "/conference",
    "/conference?name=",
    "/conference?name=room",
    "/conference?name=a%20b@c.d",
    "/conference?name=a@b..c",
    "/conference/counts?name=a@b.c",
    "/conference/counts?name=a@b.c&shards=",
    "/conference/counts?name=a@b.c&shards=16",
    "/conference/counts?name=a@b.c&shards=0,",
    "/conference/counts?name=a@b.c&shards=-1",
    "/conference/counts?shards=1",
)


def test_a_question_that_makes_no_sense_is_refused(rows: World):
    for path in NO_QUESTIONS:
        assert refusal(ask("GET", path)) == (400, "invalid"), path


@pytest.mark.parametrize("verb", ["golive", "clear"])
def test_a_change_of_nothing_is_refused_and_changes_nothing(rows: World, verb: str):
    before = rows.stack.rows()
    bodies: list[Any] = [{}, {"name": ""}, {"name": 1}, {"name": "room"}, {"name": "a@b.c", "x": 1}, []]
    for body in bodies:
        assert refusal(ask("POST", f"/conference/{verb}", body)) == (400, "invalid"), body
    assert rows.stack.rows() == before


def test_a_release_is_audited(rows: World, capfd: pytest.CaptureFixture[str]):
    name = rows.conference()
    ask("POST", "/conference/golive", {"name": name})
    ask("POST", "/conference/clear", {"name": "nothing"})
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"journal.audit"' in line]

    assert [(line["who"], line["what"], line["on"], line["result"]) for line in lines] == [
        ("ops", "POST /conference/golive", name, "done"),
        ("ops", "POST /conference/clear", "nothing", "invalid"),
    ]


def noted(stack: Stack) -> list[dict[str, Any]]:
    return [row for row in stack.rows() if row["pk"]["S"] == keys.noted(keys.CONFERENCES, "").pk]


def test_a_conference_is_noted_once_an_hour_by_each_process(rows: World, monkeypatch: pytest.MonkeyPatch):
    name = rows.conference()
    with listening() as storage:
        rows.visitor().wait(name)
        mark = len(storage.calls)
        rows.visitor().wait(name)
        assert not [
            call for call in storage.since(mark) if call.operation == "UpdateItem" and call.key[1] == name
        ]
    (row,) = noted(rows.stack)
    assert int(row["expires_at"]["N"]) - float(row["s"]["N"]) > 24 * 3600


def test_nothing_is_noted_where_nobody_may_look(
    table: Stack, credentials: Any, monkeypatch: pytest.MonkeyPatch
):
    world = World(table, credentials, monkeypatch, "rows")
    world.visitor().wait(world.conference())
    world.moderator().connect().subscribe(STATE + world.conference())
    world.golive(world.conference())
    world.leave()

    assert noted(table) == []


def test_a_note_that_fails_lets_the_visitor_in(rows: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keys, "noted", lambda *_: keys.Key("x" * 3000, "y"))
    visitor = rows.visitor().wait(rows.conference())

    assert visitor.connected


def test_a_channel_is_listed_once_a_client_of_ours_listens_there(rows: World):
    listener = Listener(rows).join("lecture")

    assert [each["channel_id"] for each in done(ask("GET", "/sora/channels"))["items"]] == ["lecture"]
    (found,) = done(ask("GET", "/sora/channel?id=lecture"))["connections"]
    assert (found["connection_id"], found["door"]) == (listener.me, "socket")


def test_what_was_not_heard_of_for_a_day_is_not_listed(rows: World):
    store.note(rows.conference())
    rows.advance(26 * 3600)

    assert done(ask("GET", "/conferences"))["items"] == []


def test_a_count_in_passing_shows_for_conferences_that_nobody_watches(rows: World):
    name = rows.conference()
    store.note_count(name, 7)
    assert noted(rows.stack) == [], "only what is listed"
    store.note(name)
    store.note_count(name, 7)

    (listed,) = done(ask("GET", "/conferences"))["items"]
    assert listed["waiting"] == 7


def test_storage_that_fails_is_said(rows: World, monkeypatch: pytest.MonkeyPatch):
    app.warm()
    monkeypatch.setenv("FOYER_TABLE", "another")
    settings.reset()

    assert refusal(ask("POST", "/conference/golive", {"name": "a@b.c"})) == (503, "unavailable")
