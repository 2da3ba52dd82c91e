"""`conferences`, `rooms`, `streams`, `channels` and `dlq` on the operators' API of a running gateway."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.admin.letters import _ID
from chalicelib.jitsi import store
from chalicelib.outbox import owed
from chalicelib.store.keys import Key
from cli import dlq, http
from infra.credentials import Credentials
from tests.cli.conftest import Run
from tests.conftest import Stack
from tests.support.clients import visitor

HOST = "conference.meet.local"


@pytest.fixture(scope="module")
def _filled() -> dict[str, bool]:
    """Whether the module's service was filled."""
    return {}


@pytest.fixture
def filled(foyer: Run, _filled: dict[str, bool]) -> Run:
    """Commands for a service that has demo data."""
    if not _filled:
        assert foyer("seed").status == 0
        _filled["seed"] = True
    return foyer


def items(run: Run, *call: str) -> list[dict[str, Any]]:
    """What a list has."""
    said = run(*call, "--json")
    assert (said.status, said.err, said.json["more"]) == (0, "", False)
    found: list[dict[str, Any]] = said.json["items"]
    return found


def test_conferences_are_listed_with_who_waits(filled: Run, service: Path, credentials: Credentials) -> None:
    found = {each["name"]: each for each in items(filled, "conferences")}
    assert found[f"demo-live@{HOST}"]["live"] is True
    sockets = json.loads(service.read_text())["ws"]
    with visitor(sockets, credentials.visitor_token(), f"listed@{HOST}"):
        assert [each["name"] for each in items(filled, "conferences", "--search", "listed")] == [
            f"listed@{HOST}"
        ]
    lines = filled("conferences", "--search", "demo-live").out.splitlines()
    assert lines[0].split("\t") == ["conference", "waiting", "watched", "live", "since", "until"]
    assert lines[1].split("\t")[:4] == [f"demo-live@{HOST}", "0", "no", "yes"]


def test_rooms_are_those_of_every_service_or_of_one_and_one_is_shown_with_what_is_in_it(filled: Run) -> None:
    every = items(filled, "rooms")
    room = next(each for each in every if each["name"] == "demo room")
    assert items(filled, "rooms", "--service", room["service"]) == [room]
    assert items(filled, "rooms", "--service", "0123456789abcdef01234567") == []
    assert items(filled, "rooms", "--search", "Demo Ro") == [room]
    assert items(filled, "rooms", "--service", room["service"], "--search", "nobody") == []
    shown = filled("rooms", room["id"], "--json").json
    assert [each["source"] for each in shown["streams"] if each["type"] == "forward"] != []
    assert "streams: " in filled("rooms", room["id"]).out
    assert filled("rooms", "0123456789abcdef01234567").status == 1


def test_rooms_by_invitation_are_listed_without_their_tokens(filled: Run) -> None:
    [room] = items(filled, "rooms", "--loop")
    assert (room["name"], room["owner"], room["participants"]) == ("demo room", "Ada", 1)
    shown = filled("rooms", room["id"], "--loop", "--json").json
    assert [each["name"] for each in shown["sessions"]] == ["Grace"]
    facts, _, sessions = filled("rooms", room["id"], "--loop").out.partition("\n\nsessions: 1\n")
    assert len({len(line) - len(line.partition("  ")[2].lstrip()) for line in facts.splitlines()}) == 1
    titles, values = (line.split("\t") for line in sessions.splitlines())
    grace = dict(zip(titles, values, strict=True))
    assert grace["name"] == "Grace"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", grace["joined_at"])


def test_streams_and_channels_are_listed_and_a_channel_shows_its_connections(filled: Run) -> None:
    assert {each["name"] for each in items(filled, "streams")} == {"demo-stream-1", "demo-stream-2"}
    assert [each["name"] for each in items(filled, "streams", "--search", "stream-2")] == ["demo-stream-2"]
    assert [each["channel_id"] for each in items(filled, "channels")] == ["demo"]
    people = {each["connection_id"]: each["metadata"] for each in items(filled, "channels", "demo")}
    assert {each["name"] for each in people.values()} == {"Alice", "Bob"}
    assert len(filled("channels", "demo").out.splitlines()) == 3


def test_a_list_that_was_cut_says_so(filled: Run) -> None:
    said = filled("streams", "--limit", "1", "--json")
    assert (said.json["more"], len(said.json["items"])) == (True, 1)
    assert said.err == "foyer: there are more than these 1: --limit\n"


def test_a_list_goes_through_all_pages(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.lists.PAGE", 1)
    assert len(items(filled, "streams")) == 2
    assert len(items(filled, "channels", "demo")) == 2


def test_an_empty_list_is_empty_output_and_a_note(filled: Run) -> None:
    said = filled("streams", "--search", "nothing has this name")
    assert (said.status, said.out, said.err) == (0, "", "foyer: there are no streams\n")


def test_a_wrong_token_is_said_and_none_is_asked_for(run: Run, service: Path) -> None:
    base = json.loads(service.read_text())["http"]
    said = run("--url", base, "--admin-token", "wrong", "rooms")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("foyer: the service answers 401: ")
    said = run("--url", base, "rooms")
    assert (said.status, said.out) == (2, "")
    assert "FOYER_ADMIN_TOKEN" in said.err


@pytest.fixture
def letters(entered: Stack, filled: Run) -> Iterator[list[str]]:
    """Three dead letters, of which one has nothing that could be done; their ids, the newest first."""
    filled("golive", "dead")
    live = store.live_key(f"dead@{HOST}")
    for key in (live, live):
        owed.bury(store.RELEASE, key, "it took too long", 9)
    owed.bury("unreadable", Key("", ""), "nobody can read this \x1b[31mmessage", 1)
    yield [each["id"] for each in items(filled, "dlq", "list")]
    filled("dlq", "drop", "--all")


def test_dead_letters_are_listed_redriven_and_gone(filled: Run, letters: list[str], entered: Stack) -> None:
    found = items(filled, "dlq", "list")
    assert [(each["kind"], each["replayable"]) for each in found] == [
        ("unreadable", False),
        (store.RELEASE, True),
        (store.RELEASE, True),
    ]
    assert "\x1b" not in filled("dlq", "list").out
    assert [each["id"] for each in items(filled, "dlq", "list", "--kind", store.RELEASE)] == letters[1:]
    said = filled("dlq", "redrive", letters[1], "--json")
    assert (said.status, said.json) == (0, {"retried": 1, "failed": [], "more": False})
    assert [each["id"] for each in items(filled, "dlq", "list")] == [letters[0], letters[2]]
    assert filled("dlq", "redrive", "--all").out == "1 retried\n"
    assert [each["id"] for each in items(filled, "dlq", "list")] == letters[:1]


def test_what_cannot_be_redriven_is_said_by_letter_and_exit_status_1(filled: Run, letters: list[str]) -> None:
    said = filled("dlq", "redrive", *letters, "--json")
    assert (said.status, said.json["retried"]) == (1, 2)
    assert [each["id"] for each in said.json["failed"]] == letters[:1]
    assert said.err == "foyer: 1 could not be retried\n"
    assert filled("dlq", "drop", letters[0]).out == "1 dropped\n"
    assert items(filled, "dlq", "list") == []


def test_more_letters_than_one_request_takes_are_redriven_by_id_and_by_kind(
    filled: Run, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.dlq.MOST", 2)
    said = filled("dlq", "redrive", *letters, *letters, "--json")
    assert (said.json["retried"], len(said.json["failed"])) == (2, 1)


def retried(count: int, more: bool) -> tuple[int, dict[str, Any]]:
    """An answer to a request for second chances."""
    return 200, {"retried": count, "failed": [], "more": more}


OUTAGE = (503, {"error": {"code": "unavailable", "message": "storage does not answer"}})


@pytest.mark.parametrize(
    ("answers", "status", "out", "says"),
    [
        ([retried(50, True), retried(3, False)], 0, "53 retried\n", ""),
        ([retried(50, True), retried(0, True)], 1, "50 retried\n", "some are left"),
        ([retried(0, True)], 1, "0 retried\n", "some are left"),
        ([retried(50, True), OUTAGE], 1, "50 retried\n", "503: storage does not answer; some are left"),
        ([OUTAGE], 1, "", "503: storage does not answer"),
    ],
)
def test_letters_that_are_left_are_said_with_exit_status_1_beside_how_many_were_done(
    foyer: Run,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[tuple[int, dict[str, Any]]],
    status: int,
    out: str,
    says: str,
) -> None:
    given, sent = iter(answers), list[Any]()

    def send(call: http.Call) -> http.Answer:
        sent.append(json.loads(call.body or b""))
        code, value = next(given)
        return http.Answer(code, {}, json.dumps(value).encode())

    monkeypatch.setattr(http, "send", send)
    said = foyer("dlq", "redrive", "--kind", "loop.push")
    assert (said.status, said.out, bool(said.err)) == (status, out, bool(says))
    assert says in said.err
    assert sent == [{"kind": "loop.push"}] * len(answers)


def test_an_id_that_no_letter_has_is_named_before_anything_is_sent(foyer: Run) -> None:
    assert dlq.ID.pattern == _ID.pattern
    said = foyer("dlq", "drop", "1.000.none", "1.000", "nor this")
    assert (said.status, said.out) == (2, "")
    assert said.err == "foyer: 1.000: this is no id of a letter; `foyer dlq list` shows them\n"


def test_what_is_not_there_is_said_in_words(filled: Run) -> None:
    for more in ((), ("--loop",)):
        said = filled("rooms", "0123456789abcdef01234567", *more)
        assert (said.status, said.err) == (1, "foyer: there is no such room\n")
    said = filled("channels", "demo", "--search", "Ada")
    assert (said.status, said.out) == (2, "")
    assert "--search is for the list of channels" in said.err


@pytest.mark.parametrize("which", [(), ("--all", "--kind", "x"), ("1.000.a", "--all")])
def test_which_letters_are_meant_has_to_be_said_in_one_way(foyer: Run, which: tuple[str, ...]) -> None:
    for verb in ("redrive", "drop"):
        assert foyer("dlq", verb, *which).status == 2
