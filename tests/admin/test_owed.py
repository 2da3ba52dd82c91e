"""What is owed and what could not be done: seen, done again, dropped."""

import json
import os
import subprocess
import sys
from typing import Any, Final

import pytest

import app
from chalicelib import clock
from chalicelib.admin import letters
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.owt.store import commands
from chalicelib.store import keys, table, writes
from chalicelib.store.keys import Key
from infra.children import ROOT
from infra.gateway import events
from tests.admin import api
from tests.admin.api import Session, ask, done, refusal
from tests.conftest import Stack
from tests.support.storage import listening

FIRST, SECOND = Key("first", "-"), Key("second", "-")
INVALID: Final = (400, "invalid")


def bury(kind: str, key: Key, reason: str = "it does not answer", body: Any = None) -> str:
    """A dead letter; its id."""
    before = {letter.sk for letter in owed.dead_letters()}
    owed.bury(kind, key, reason, 12, body)
    (made,) = {letter.sk for letter in owed.dead_letters()} - before
    return made


def standing(key: Key) -> None:
    """A row that owed something and does so no more."""
    writes.update(*key, actions=owed.owing("a.kind", key, clock.now() + 600))
    owed.settle(OwedRow(*key, owner=None))


@pytest.fixture
def dead(admin: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Letters by kind: two whose rows are there, one whose row is gone, and a message nobody could read."""
    start = clock.now()
    ahead = iter(range(100))
    with monkeypatch.context() as dated:
        dated.setattr(clock, "now", lambda: start + next(ahead))
        standing(FIRST)
        standing(SECOND)
        return {
            "a.kind": bury("a.kind", FIRST),
            "b.kind": bury("b.kind", SECOND),
            "gone": bury("c.kind", Key("third", "-"), "<b>no</b>"),
            "unreadable": bury("unreadable", Key("", ""), "nobody can read this message", "canary"),
        }


def kinds() -> list[str]:
    return [each["kind"] for each in done(ask("GET", "/dead"))["items"]]


def test_letters_come_newest_first_with_what_is_to_know_of_them(dead: dict[str, str]):
    answer = ask("GET", "/dead")
    found = done(answer)["items"]

    assert [each["kind"] for each in found] == ["unreadable", "c.kind", "b.kind", "a.kind"]
    assert found[3] == {
        "id": dead["a.kind"],
        "kind": "a.kind",
        "reason": "it does not answer",
        "attempts": 12,
        "at": found[3]["at"],
        "replayable": True,
    }
    assert (found[1]["reason"], found[0]["replayable"]) == ("<b>no</b>", False)
    assert "canary" not in answer.body
    assert "first" not in answer.body
    assert [each["id"] for each in done(ask("GET", "/dead?kind=b.kind"))["items"]] == [dead["b.kind"]]
    assert refusal(ask("GET", "/dead?kind=B")) == INVALID


def test_pages_of_letters_show_each_once(dead: dict[str, str]):
    found: list[str] = []
    following = ""
    while following is not None:
        page = done(ask("GET", f"/dead?limit=3&after={following}"))
        found += [each["id"] for each in page["items"]]
        following = page["next"]

    assert sorted(found) == sorted(dead.values())
    assert len(found) == 4


def test_a_letter_that_is_retried_owes_again_and_is_gone(admin: Stack, dead: dict[str, str]):
    assert done(ask("POST", "/dead/retry", {"ids": [dead["a.kind"]]})) == {
        "retried": 1,
        "failed": [],
        "more": False,
    }

    row = writes.get(OwedRow, *FIRST, consistent=True)
    assert row is not None
    assert str(row.due).startswith("a.kind#")
    assert int(row.attempts) == 0
    assert [message["Body"] for message in admin.messages()] == [kicks.spell("a.kind", FIRST)]
    assert kinds() == ["unreadable", "c.kind", "b.kind"]


def test_whoever_names_letters_is_told_why_some_cannot_be_retried(dead: dict[str, str]):
    ids = [dead["unreadable"], dead["gone"], dead["b.kind"], "1700000000.000.nothing", dead["b.kind"]]
    found = done(ask("POST", "/dead/retry", {"ids": ids}))

    assert (found["retried"], found["more"]) == (1, False)
    assert {each["id"]: each["reason"] for each in found["failed"]} == {
        dead["unreadable"]: letters.NOTHING_TO_DO,
        dead["gone"]: letters.GONE,
        "1700000000.000.nothing": letters.UNKNOWN,
    }
    assert kinds() == ["unreadable", "a.kind"]


def test_all_means_those_that_can_be_retried_and_drop_means_each(dead: dict[str, str]):
    found = done(ask("POST", "/dead/retry", {"all": True}))
    assert (found["retried"], [each["id"] for each in found["failed"]]) == (2, [dead["gone"]])
    assert kinds() == ["unreadable"]
    assert done(ask("POST", "/dead/drop", {"kind": "unreadable"})) == {
        "dropped": 1,
        "failed": [],
        "more": False,
    }
    assert kinds() == []


def test_one_kind_leaves_the_others(dead: dict[str, str]):
    assert done(ask("POST", "/dead/retry", {"kind": "b.kind"}))["retried"] == 1
    assert done(ask("POST", "/dead/drop", {"kind": "a.kind"}))["dropped"] == 1
    assert kinds() == ["unreadable", "c.kind"]
    row = writes.get(OwedRow, *FIRST, consistent=True)
    assert row is not None
    assert row.due is None


def test_many_letters_take_several_requests_however_many_cannot_be_retried(
    admin: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(letters, "AT_ONCE", 2)
    monkeypatch.setattr(letters, "PAGE", 3)
    for number in range(5):
        bury("unreadable", Key("", ""))
        key = Key(f"row{number}", "-")
        standing(key)
        bury("a.kind", key)
    counts = []
    for _ in range(10):
        found = done(ask("POST", "/dead/retry", {"all": True}))
        counts.append(found["retried"])
        if not found["more"]:
            break

    assert counts == [2, 2, 1]
    assert set(kinds()) == {"unreadable"}


@pytest.mark.parametrize(
    ("verb", "body", "counted"),
    [
        ("retry", {"all": True}, "retried"),
        ("retry", {"kind": "a.kind"}, "retried"),
        ("drop", {"kind": "a.kind"}, "dropped"),
    ],
)
def test_letters_behind_however_many_that_are_not_meant_are_come_to_while_there_is_time(
    admin: Stack, monkeypatch: pytest.MonkeyPatch, verb: str, body: dict[str, Any], counted: str
):
    monkeypatch.setattr(letters, "LOOKED_AT", 2)
    monkeypatch.setattr(letters, "PAGE", 2)
    start, ahead = clock.now(), iter(range(100))
    with monkeypatch.context() as dated:
        dated.setattr(clock, "now", lambda: start + next(ahead))
        for _ in range(5):
            bury("unreadable", Key("", ""))
        standing(FIRST)
        bury("a.kind", FIRST)
    with monkeypatch.context() as late:
        late.setattr(table, "remaining", lambda: 2.5)
        assert done(ask("POST", f"/dead/{verb}", body)) == {counted: 0, "failed": [], "more": True}

    assert done(ask("POST", f"/dead/{verb}", body)) == {counted: 1, "failed": [], "more": False}


def test_nothing_is_begun_when_time_is_up(dead: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table, "remaining", lambda: 2.5)

    assert done(ask("POST", "/dead/retry", {"all": True})) == {"retried": 0, "failed": [], "more": True}


def test_what_was_done_is_said_when_storage_fails_half_way(
    dead: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    replay, calls = owed.replay, []

    def once(letter: owed.DeadRow) -> bool:
        calls.append(letter.sk)
        if len(calls) % 2 == 0:
            raise Unavailable("storage failed")
        return replay(letter)

    monkeypatch.setattr(owed, "replay", once)
    assert done(ask("POST", "/dead/retry", {"all": True})) == {"retried": 1, "failed": [], "more": True}
    calls[:] = ["x"]
    assert refusal(ask("POST", "/dead/retry", {"all": True})) == (503, "unavailable")


NO_CHOICE: Final[list[Any]] = [
    *({}, [], {"all": False}, {"all": 1}, {"kind": ""}, {"kind": "A#0"}, {"ids": []}, {"ids": "x"}),
    *({"ids": [1]}, {"ids": ["../x"]}, {"ids": ["1700000000.000.x"] * 101}, {"every": True}),
    {"ids": ["1700000000.000.x"], "all": True},
]


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_a_choice_of_nothing_changes_nothing(dead: dict[str, str], verb: str):
    for body in NO_CHOICE:
        assert refusal(ask("POST", f"/dead/{verb}", body)) == INVALID, body
    assert len(kinds()) == 4


def test_what_is_done_to_letters_is_audited(dead: dict[str, str], capfd: pytest.CaptureFixture[str]):
    ask("POST", "/dead/retry", {"ids": [dead["a.kind"], dead["gone"]]})
    ask("POST", "/dead/drop", {"kind": "b.kind"})
    ask("POST", "/dead/drop", {"all": True})
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"journal.audit"' in line]

    assert [(line["what"], line["on"], line.get("retried"), line.get("dropped")) for line in lines] == [
        ("POST /dead/retry", f"{dead['a.kind']},{dead['gone']}", 1, None),
        ("POST /dead/drop", "b.kind", None, 1),
        ("POST /dead/drop", "all", None, 1),
    ]
    assert lines[0]["failed"] == 1


def test_a_command_that_was_given_up_is_sent_again(admin: Stack):
    body = {"room": "0" * 24, "id": "c1", "command": "{}"}
    letter = bury(commands.PUSH, keys.owt_push("0" * 24, "c1"), body=body)

    assert done(ask("POST", "/dead/retry", {"ids": [letter]}))["retried"] == 1
    row = writes.get(OwedRow, *keys.owt_pusher("0" * 24), consistent=True)
    assert row is not None
    assert str(row.due).startswith(f"{commands.PUSH}#")


# What is owed


def owe(kind: str, at: float, name: str, attempts: int = 0) -> None:
    writes.put(OwedRow(name, "-", due=keys.due(kind, name), due_at=at, attempts=attempts))


def test_one_kind_shows_what_is_due_first_now_or_later(admin: Stack):
    now = clock.now()
    owe("a.kind", now - 50, "late", 3)
    owe("a.kind", now + 600, "later")
    for number in range(8):
        owe("a.kind", now + 1000 + number, f"row{number}")
    owe("b.kind", now - 1, "other")
    session = Session()
    with listening() as storage:
        spent = storage.spent(lambda: session.call("GET", "/owed?kind=a.kind&limit=4"))
    assert spent == ["BatchGetItem", *["Query"] * 4]
    found = done(session.call("GET", "/owed?kind=a.kind&limit=4"))

    assert (len(found["items"]), found["next"], found["more"]) == (4, None, True)
    late, later, *_ = found["items"]
    assert late == {
        "kind": "a.kind",
        "at": int((now - 50) * 1000),
        "attempts": 3,
        "reason": None,
        "overdue_s": late["overdue_s"],
    }
    assert 50 <= late["overdue_s"] < 110
    assert (later["at"], later["overdue_s"]) == (int((now + 600) * 1000), 0.0)
    assert done(ask("GET", "/owed?kind=a.kind"))["more"] is False
    assert refusal(ask("GET", "/owed?kind=a%230")) == INVALID
    assert refusal(ask("GET", "/owed?limit=101")) == INVALID


def test_without_a_kind_it_is_what_the_last_sweep_found_by_one_read(
    admin: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(owed, "kinds", lambda: ["a.kind", "b.kind"])
    session = Session()
    with listening() as storage:
        assert storage.spent(lambda: session.call("GET", "/owed")) == ["BatchGetItem", "GetItem"]
    assert done(session.call("GET", "/owed")) == {
        "items": [],
        "next": None,
        "more": False,
        "measured_at": None,
    }
    now = clock.now()
    for number in range(105):
        owe("a.kind", now - 100 - number, f"row{number}", number)
    owe("b.kind", now - 1000, "oldest", 7)
    app.tick(events.scheduled(), None)
    found = done(ask("GET", "/owed?limit=100"))

    assert [(each["kind"], each["attempts"]) for each in found["items"][:3]] == [
        ("b.kind", 7),
        ("a.kind", 104),
        ("a.kind", 103),
    ]
    assert (len(found["items"]), found["more"]) == (100, True)
    assert abs(found["measured_at"] - now * 1000) < 60_000
    assert done(ask("GET", "/owed?limit=2"))["more"] is True
    assert [each["kind"] for each in done(ask("GET", "/owed?limit=2"))["items"]] == ["b.kind", "a.kind"]


def test_what_failed_is_seen_until_its_next_try_with_the_reason_and_is_not_counted_as_late(
    admin: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(owed, "kinds", lambda: ["a.kind"])
    now = clock.now()
    for name in ("fails", "is done just now", "failed before"):
        owe("a.kind", now - 1, name)
    for name in ("fails", "failed before"):
        row = owed.claim(OwedRow, Key(name, "-"))
        assert row is not None
        owed.postpone("a.kind", row, "it answered 500", delay_s=20_000 if name == "fails" else 0)
    for name in ("is done just now", "failed before"):
        assert owed.claim(OwedRow, Key(name, "-"), early_s=1) is not None
    owe("a.kind", now + 60, "waits for its first try")
    app.tick(events.scheduled(), None)
    found = done(ask("GET", "/owed"))

    (seen,) = found["items"]
    assert (seen["kind"], seen["attempts"], seen["reason"]) == ("a.kind", 1, "it answered 500")
    assert abs(seen["at"] / 1000 - now - 20_000) < 60
    assert (seen["overdue_s"], found["more"]) == (0.0, False)
    assert done(ask("GET", "/overview"))["owed"] == {"rows": 0, "oldest_s": 0.0}


# The function behind API Gateway

LOOK: Final = """
import json, sys
import app
from chalicelib.admin import door
from chalicelib.outbox import owed
def ours():
    return sorted(name for name in sys.modules if name.startswith("chalicelib.admin"))
at_first = ours()
serving = [behind() for behind in door._behind]
print(json.dumps([bool(serving), sorted(owed._replayers), at_first, ours()]))
"""


def start(handler: str, tokens: str) -> subprocess.Popen[str]:
    """A function that starts, and says what it knows of operators."""
    ours = {"_HANDLER": handler, "FOYER_STAGE": "dev", "ADMIN_TOKENS": tokens, "PYTHONPATH": str(ROOT)}
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("FOYER_", "ADMIN_"))}
    command = [sys.executable, "-c", LOOK]
    return subprocess.Popen(command, env=clean | ours, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def said(process: subprocess.Popen[str]) -> Any:
    """What it said."""
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(text)


def test_the_function_of_rest_serves_operators_where_there_are_some_and_else_knows_nothing_of_them():
    with_some, without = start("app.app", f"ops:{api.hashed(api.TOKEN)}"), start("app.app", "")
    opened, replayers, at_first, asked = said(with_some)
    assert opened
    assert commands.PUSH in replayers
    assert "chalicelib.admin.routes.owed" not in at_first
    assert "chalicelib.admin.routes.owed" in asked

    opened, replayers, at_first, asked = said(without)
    assert (opened, replayers) == (False, [])
    assert at_first == asked == ["chalicelib.admin", "chalicelib.admin.door", "chalicelib.admin.settings"]
