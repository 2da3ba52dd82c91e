"""`golive`, `waiting`, `load visitors` and `token check` on a running gateway."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cli import crowd, http
from infra.children import ROOT
from infra.credentials import Credentials
from tests.cli.conftest import Run
from tests.support import clients
from tests.support.clients import visitor

HOST = "conference.meet.local"


def sockets(service: Path) -> str:
    """Where sockets are opened."""
    return str(json.loads(service.read_text())["ws"])


def started(service: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "--endpoints", str(service), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def test_a_room_alone_is_one_of_our_domain_and_golive_releases_who_waits(
    foyer: Run, service: Path, credentials: Credentials
) -> None:
    with visitor(sockets(service), credentials.visitor_token(), f"talk@{HOST}") as waits:
        assert foyer("waiting", "talk").out == "1\n"
        assert foyer("waiting", f"talk@{HOST}", "--json").json == {"conference": f"talk@{HOST}", "waiting": 1}
        said = foyer("golive", "talk")
        assert (said.status, said.out, said.err) == (0, f"talk@{HOST} is live\n", "")
        command, _, body = waits.frame()
        assert (command, json.loads(body)["status"]) == ("MESSAGE", "live")
    assert foyer("waiting", "talk").out == "0\n"
    cleared = foyer("golive", "talk", "--clear", "--json")
    assert cleared.json == {"conference": f"talk@{HOST}", "status": "waiting"}


def test_what_the_service_refuses_is_one_line_and_exit_status_1(foyer: Run, credentials: Credentials) -> None:
    visitors = credentials.visitor_token(name="denied here, and remembered for that")
    said = foyer("golive", "talk", "--token", visitors)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("foyer: the service answers 403: ")
    assert said.err.count("\n") == 1
    said = foyer("waiting", "talk", "--token", visitors)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("foyer: the service refuses: Access denied")


def test_following_says_a_line_for_each_change(service: Path, credentials: Credentials) -> None:
    process = started(service, "waiting", "crowd", "--follow", "--json")
    assert process.stdout
    try:
        assert json.loads(process.stdout.readline())["waiting"] == 0
        with visitor(sockets(service), credentials.visitor_token(), f"crowd@{HOST}"):
            assert json.loads(process.stdout.readline())["waiting"] == 1
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_crowd_is_released_and_measured(foyer: Run) -> None:
    said = foyer("load", "visitors", "-n", "60", "--golive", "--json")
    found = said.json
    assert (said.status, said.err) == (0, "")
    assert {name: found[name] for name in ("visitors", "arrived", "told", "doubled", "lost")} == {
        "visitors": 60,
        "arrived": 60,
        "told": 60,
        "doubled": 0,
        "lost": 0,
    }
    for shares in (found["connect_ms"], found["release_ms"]):
        assert 0 < shares["p50"] <= shares["p95"] <= shares["p99"] <= shares["max"]
    assert found["connects_per_s"] == pytest.approx(60 / found["seconds"], rel=0.05)
    room = found["conference"].partition("@")[0]
    assert foyer("golive", room, "--clear").status == 0


def test_a_conference_that_load_made_up_is_not_left_live(
    foyer: Run, service: Path, credentials: Credentials
) -> None:
    name = foyer("load", "visitors", "-n", "2", "--golive", "--json").json["conference"]
    with visitor(sockets(service), credentials.visitor_token(), name) as waits:
        waits.nothing(0.5)


def test_a_visitor_who_is_not_let_in_is_lost_and_that_is_exit_status_1(
    foyer: Run, credentials: Credentials
) -> None:
    wrong = credentials.moderator_token()
    said = foyer("load", "visitors", "-n", "3", "--golive", "--token", wrong, "--json")
    assert (said.status, said.json["lost"], said.json["told"]) == (1, 3, 0)
    assert sum(said.json["reasons"].values()) == 3
    assert said.err == "foyer: 3 of 3 visitors were lost\n"


def test_a_visitor_who_waits_in_vain_is_lost(
    foyer: Run, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = http.send

    def another(call: http.Call) -> http.Answer:
        """Golive reaches another conference: nobody tells those who wait."""
        body = json.dumps({"conference": f"elsewhere@{HOST}"}).encode()
        return elsewhere(http.Call(call.method, call.url, call.headers, body))

    monkeypatch.setattr(http, "send", another)
    said = foyer("load", "visitors", "-n", "4", "--golive", "--timeout", "1s")
    assert said.status == 1
    assert "not told in time" in said.out
    assert said.err == "foyer: 4 of 4 visitors were lost\n"


def test_a_socket_that_ends_before_its_message_is_a_lost_visitor() -> None:
    gone = crowd.Crowd(crowd.Address.of("ws://127.0.0.1:1/"), "topic", ["a", "b"])
    assert list(gone._left) == ["a", "b"]  # no other one is on its way
    waits, told = (crowd.Visitor(gone, b"") for _ in range(2))
    for each in (waits, told):
        each.phase = crowd.SUBSCRIBING
        gone.arrived(each)
    gone.message(told)
    gone.message(told)
    told.connection_lost(None)
    waits.connection_lost(ConnectionResetError("reset"))
    assert (gone.lost, gone.doubled, gone.reasons) == (1, 1, {"reset": 1})


def test_without_golive_they_wait_until_somebody_else_does_it(
    foyer: Run, credentials: Credentials, service: Path
) -> None:
    base = json.loads(service.read_text())["http"]

    def release() -> None:
        while int(foyer_waiting()) < 5:
            pass
        clients.golive(base, credentials.server_token(), f"later@{HOST}")

    def foyer_waiting() -> str:
        command = [sys.executable, "-m", "cli", "--endpoints", str(service), "waiting", "later"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    thread = threading.Thread(target=release)
    thread.start()
    said = foyer("load", "visitors", "-n", "5", "--conference", "later", "--json")
    thread.join()
    assert (said.status, said.json["told"], "release_ms" in said.json) == (0, 5, False)


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        ("visitor", {"connect": True, "wait": True, "watch": False, "golive": False}),
        ("moderator", {"connect": True, "wait": False, "watch": True, "golive": False}),
        ("server", {"connect": True, "wait": True, "watch": False, "golive": True}),
    ],
)
def test_a_token_is_seen_as_the_service_sees_it(foyer: Run, kind: str, may: dict[str, bool]) -> None:
    made = foyer("token", kind, "--lives", "15m", "--json").json
    found = foyer("token", "check", made["token"], "--conference", "talk", "--json")
    assert found.status == 0
    assert (found.json["kind"], found.json["may"], found.json["claims"]) == (kind, may, made["claims"])
    assert found.json["expires_at"] == made["expires_at"] == made["claims"]["exp"] * 1000
    assert made["claims"]["exp"] - made["claims"]["nbf"] == 15 * 60 + 5


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (("--claim", "exp=1"), "exp has passed"),
        (("--claim", "exp=null"), "exp is missing"),
        (("--claim", "iss=other"), "iss"),
        (("--claim", "aud=other"), "aud"),
        (("--key", "another secret, long enough for HS256"), "signature"),
    ],
)
def test_why_a_token_is_not_accepted_is_said(foyer: Run, spoil: tuple[str, ...], why: str) -> None:
    token = foyer("token", "visitor", *spoil).out.strip()
    found = foyer("token", "check", token, "--json")
    assert (found.status, found.json["valid"], found.json["kind"]) == (1, False, None)
    assert why in found.json["refused"]["person"]
    assert found.json["may"] == {"connect": False}


def test_a_persons_token_signed_with_the_servers_key_is_nobodys(foyer: Run, service: Path) -> None:
    key = json.loads(service.read_text())["jitsi"]["server_private_key"]
    found: Any = foyer("token", "check", foyer("token", "visitor", "--key", f"@{key}").out.strip(), "--json")
    assert (found.status, found.json["valid"]) == (1, False)


def test_a_crowd_says_that_it_waits_and_called_off_it_is_measured_and_nobody_of_it_is_lost(
    foyer: Run, service: Path
) -> None:
    process = started(service, "load", "visitors", "-n", "3", "--conference", "off", "--json")
    while foyer("waiting", "off").out != "3\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    found = json.loads(out)
    assert (process.returncode, found["arrived"], found["told"], found["lost"]) == (0, 3, 0, 0)
    assert err == "foyer: 3 of 3 wait for off@conference.meet.local, until it goes live or Ctrl-C\n"


def test_following_ends_with_ctrl_c_and_without_a_trace(service: Path) -> None:
    process = started(service, "waiting", "nobody", "--follow")
    assert process.stdout
    assert process.stdout.readline().endswith("  0\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False)
