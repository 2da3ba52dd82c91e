"""The last events: newest first over all processes, page by page, found by request id, without any secret."""

import json
import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

import app
from chalicelib import clock, tally
from chalicelib.admin import overview, rollups, shapes
from chalicelib.store import writes
from chalicelib.tally import Event, Part
from infra.credentials import Credentials
from tests.admin.api import TOKEN, ask, done, refusal
from tests.conftest import Stack
from tests.support import events
from tests.support.counts import full
from tests.support.storage import listening
from tests.test_tally import MINUTE, Time


@pytest.fixture
def time(admin: Stack, monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time(MINUTE * 60.0 + 30)
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


def event(number: int, at: float, **also: Any) -> Event:
    """An event so many seconds after `MINUTE` began."""
    plain = Event(
        number,
        int(MINUTE * 60_000 + at * 1000),
        "loop",
        "GET",
        "/rooms/{token}",
        200,
        f"r-{number}",
        1.5,
        tally.REQUESTS,
    )
    return plain._replace(**also)


def told(process: str, *given: Event) -> None:
    """Have a process tell what happened in its minutes."""
    rollups._process._name = process
    minutes: dict[int, list[Event]] = {}
    for each in given:
        minutes.setdefault(each.at // 60_000, []).append(each)
    rollups.keep([Part(minute, {}, several) for minute, several in minutes.items()])


def page(query: str = "") -> dict[str, Any]:
    """One page."""
    answer: dict[str, Any] = done(ask("GET", f"/events{query}"))
    msgspec.convert(answer, shapes.AdminEvents)
    return answer


def ids(items: Sequence[dict[str, Any]]) -> list[str]:
    return [item["request_id"] for item in items]


def pages(query: str, most: int = 200) -> list[list[str]]:
    """The ids of all pages."""
    found, after = [], ""
    for _ in range(most):
        answer = page(f"?{query}{after}")
        found.append(ids(answer["items"]))
        if answer["next"] is None:
            return found
        after = f"&after={quote(answer['next'])}"
    raise AssertionError("it has no end")


def test_without_events_there_is_an_empty_page(time):
    assert page() == {"items": [], "next": None}


def test_an_event_says_when_what_and_how_long_and_nothing_else(time):
    told("a", event(1, 5.25, facade="wcs", method="POST", route="/rest/{api}/{hook}", status=401, ms=3.25))

    assert page()["items"] == [
        {
            "at": MINUTE * 60_000 + 5250,
            "request_id": "r-1",
            "method": "POST",
            "route": "/rest/{api}/{hook}",
            "facade": "wcs",
            "status": 401,
            "ms": 3.25,
        }
    ]


def test_the_newest_come_first_whoever_told_them(time):
    told("a", event(1, 1), event(4, 4), event(7, -70))
    told("b", event(2, 2), event(3, 3), event(6, -65), event(5, -1))

    assert ids(page()["items"]) == ["r-4", "r-3", "r-2", "r-1", "r-5", "r-6", "r-7"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("request_id=abc", ["abc"]),
        ("request_id=ab", []),
        ("request_id=JKJaXmPLvHcESHA%3D", ["JKJaXmPLvHcESHA="]),
        ("facade=sora", ["sora-1"]),
        ("facade=loop&errors=1", ["bad"]),
        ("errors=1", ["bad"]),
        ("errors=0", ["bad", "no", "sora-1", "JKJaXmPLvHcESHA=", "abc", "full"]),
        ("refused=1", ["full", "no"]),
        ("facade=sora&errors=1", []),
        ("facade=owt&request_id=full", ["full"]),
    ],
)
def test_events_are_found_by_what_is_known_of_them(time, query, expected):
    told(
        "a",
        event(1, 1, request_id="full", facade="owt", status=500, sort=tally.REFUSED),
        event(2, 2, request_id="abc"),
        event(3, 3, request_id="JKJaXmPLvHcESHA=", facade="jitsi"),
    )
    told(
        "b",
        event(1, 4, request_id="sora-1", facade="sora"),
        event(2, 5, request_id="no", status=403, sort=tally.REFUSED),
        event(3, 6, request_id="bad", status=503, sort=tally.ERRORS),
    )
    assert sorted(ids(page(f"?{query}")["items"])) == sorted(expected)


@pytest.mark.parametrize(
    "query",
    [
        "request_id=%22",
        "request_id=" + "x" * 129,
        "request_id=a%20b",
        "facade=nothing",
        "facade=admin",
        "errors=2",
        "errors=yes",
        "limit=0",
        "limit=101",
        "after=x",
        "after=e.1.2.3",
        "after=r.1",
        "after=r.0000000001.%E3%81%82",
        "after=e.%D9%A1.1.a.1",
        "facade=loop&facade=owt",
    ],
)
def test_what_no_event_could_have_is_refused(admin, query):
    assert refusal(ask("GET", f"/events?{query}")) == (400, "invalid")


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
def test_pages_have_every_event_once_and_in_order(time, limit):
    chance = random.Random(limit)
    given: list[tuple[int, str, int]] = []
    for process in ("a", "b", "c"):
        seconds = [chance.randrange(-150, 30) for _ in range(full(8, 40))]
        told(process, *[event(at, second, request_id=f"{process}-{at}") for at, second in enumerate(seconds)])
        given += [(second, process, at) for at, second in enumerate(seconds)]

    expected = [f"{process}-{at}" for _, process, at in sorted(given, reverse=True)]
    found = pages(f"limit={limit}")
    assert [each for several in found for each in several] == expected
    assert all(len(several) == limit for several in found[:-1])


def test_what_comes_while_somebody_turns_pages_moves_nothing(time):
    told("a", *[event(number, number) for number in range(4)])
    first = page("?limit=2")
    told("b", event(10, 29, request_id="new"))
    rest = page(f"?limit=2&after={quote(first['next'])}")

    assert ids(first["items"]) + ids(rest["items"]) == ["r-3", "r-2", "r-1", "r-0"]


def test_a_look_ends_after_some_calls_and_says_where_to_go_on(time, monkeypatch):
    """As where each call finds a megabyte of other events."""
    query = writes.query
    monkeypatch.setattr(writes, "query", lambda *args, **options: query(*args, **options, limit=2))
    for number in range(25):
        told(f"p{number:02d}", event(number, -60 * (number // 3), request_id=f"r-{number:02d}"))

    with listening() as storage, storage.counting() as spent:
        assert overview.events(overview.Wanted("r-24"), 50, "") == ([], f"r.{MINUTE - 2:010d}.p07")
    assert spent == {"Query": overview.PAGES}
    assert [each for several in pages("request_id=r-24") for each in several] == ["r-24"]
    assert sorted(each for several in pages("limit=3") for each in several) == [
        f"r-{number:02d}" for number in range(25)
    ]


def test_events_older_than_a_day_are_gone_for_everybody(time):
    told("a", event(1, 0))
    time.pass_by(86400 + 60)
    assert page()["items"] == []
    assert page(f"?after=e.{MINUTE + 5}.1.a.1")["items"] == []
    assert page(f"?after=e.{MINUTE - 5000}.1.a.1") == {"items": [], "next": None}


def test_the_events_of_real_requests_have_no_secret_and_no_path(admin, credentials: Credentials):
    secret = "s3cr3t-of-a-room"
    token = credentials.server_token()
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "X-Request-Id": "mine-1",
    }
    for _ in range(2):  # the first one of a process is told at once, and the others with the next
        events.call(app.app, "GET", f"/rooms/{secret}", None, headers)
        events.call(
            app.app, "POST", "/waiting-queue/golive", f'{{"conference": "{secret}@c.meet.example"}}', headers
        )
    tally.tell()

    text = json.dumps(page("?request_id=mine-1"))
    assert '"/rooms/{token}"' in text
    assert '"/waiting-queue/golive"' in text
    kept = json.dumps([item for item in admin.rows() if item["pk"]["S"] in ("ae", "ap", "ar")])
    for hidden in (secret, token, TOKEN, credentials.environment()["OWT_SUPER_SERVICE_KEY"]):
        assert hidden not in text
        assert hidden not in kept
