"""What every command keeps: JSON alone on standard output, lines of curl that work, colour on terminals."""

import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main

from cli import http
from cli.app import app
from infra.children import ROOT
from infra.credentials import Credentials
from tests.cli.conftest import Run

SECRET = "a secret of hooks that is long enough"
SESSION_TOKEN = "ab" * 32
CONFERENCE = "talk@conference.meet.local"


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by the words that call it."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))
CURL: dict[tuple[str, ...], list[tuple[str, ...]]] = {
    ("golive",): [("golive", "talk"), ("golive", "talk", "--clear"), ("golive", "talk", "--token", "none")],
    ("waiting",): [("waiting", "talk")],
    ("load", "visitors"): [("load", "visitors", "-n", "2", "--golive")],
    ("doctor",): [("doctor",)],
    ("seed",): [("seed", "--only", name) for name in ("jitsi", "owt", "loop", "wcs", "sora")],
    ("sign", "hawk"): [("sign", "hawk", "GET", "/rooms", "--session-token", SESSION_TOKEN)],
    ("sign", "mauth"): [
        ("sign", "mauth", "GET", "/v1/rooms?per_page=2&page=1"),
        ("sign", "mauth", "POST", "/v1/rooms", "-d", '{"name":"it\'s a röom"}'),
        ("sign", "mauth", "GET", "/services", "--v1"),
        ("sign", "mauth", "GET", "/services", "--service", "5e0d0c0a0b0c0d0e0f101112", "--key", "wrong"),
    ],
    ("conferences",): [("conferences",), ("conferences", "--search", "a b&c")],
    ("rooms",): [
        ("rooms",),
        ("rooms", "--service", "a/b", "--search", "c"),
        ("rooms", "--loop"),
        ("rooms", "none"),
    ],
    ("streams",): [("streams", "--search", "x", "--limit", "3")],
    ("channels",): [("channels",), ("channels", "a channel/of mine")],
    ("dlq", "list"): [("dlq", "list"), ("dlq", "list", "--kind", "NONE")],
    ("dlq", "redrive"): [("dlq", "redrive", "--all"), ("dlq", "redrive", "1.000.none")],
    ("dlq", "drop"): [("dlq", "drop", "--kind", "none")],
    ("sign", "wcs"): [("sign", "wcs", "connect", "-d", '{"nodeId":"n"}', "--secret", SECRET)],
}
"""For each command that prints lines of curl, calls of it.  What `sign` signs is sent as it says."""


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def status_of(line: str) -> int:
    """Run a line in a shell; the status that it is answered."""
    done = subprocess.run(
        ["sh", "-c", f"{line} -o /dev/null -w '%{{http_code}}'"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return int(done.stdout)


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the commands themselves are answered."""
    found: list[int] = []
    send = http.send

    def note(call: http.Call) -> http.Answer:
        answer = send(call)
        found.append(answer.status)
        return answer

    monkeypatch.setattr(http, "send", note)
    return found


def test_every_command_has_json_and_each_that_has_curl_is_tried_with_it() -> None:
    assert [path for path, command in COMMANDS.items() if "--json" not in options(command)] == []
    assert {path for path, command in COMMANDS.items() if "--curl" in options(command)} == CURL.keys()


@pytest.mark.parametrize("call", [call for calls in CURL.values() for call in calls], ids=" ".join)
def test_the_printed_line_is_answered_as_the_command_itself(
    foyer: Run, statuses: list[int], service: Path, call: tuple[str, ...]
) -> None:
    said = foyer(*call, "--curl")
    assert (said.status, said.err, statuses) == (0, "", [])
    lines = said.out.splitlines()
    printed = [status_of(line) for line in lines]
    assert printed
    if call[0] in {"waiting", "load"}:
        assert printed.pop(0) == 101
        assert foyer(*call).status == 0
    elif call[0] == "sign":
        signed = foyer(*call, "--json").json
        body = call[call.index("-d") + 1].encode() if "-d" in call else None
        kind = {"Content-Type": "application/json"} if body else {}
        headers = kind | {"Authorization": signed["authorization"]}
        http.send(http.Call(signed["method"], signed["url"], headers, body))
    else:
        foyer(*call)
    assert printed == statuses[: len(printed)]


def test_what_is_signed_is_let_in_by_the_service(foyer: Run, credentials: Credentials) -> None:
    assert (
        status_of(foyer("sign", "mauth", "GET", "/v1/rooms?per_page=2&page=1", "--curl").out.strip()) == 200
    )
    assert status_of(foyer("sign", "mauth", "GET", "/services", "--v1", "--curl").out.strip()) == 200
    assert status_of(foyer("golive", "talk", "--curl").out.strip()) == 200


REFUSED: set[tuple[str, ...]] = {
    ("golive", "talk", "--token", "none"),
    ("rooms", "none"),
    ("dlq", "list", "--kind", "NONE"),
    ("dlq", "redrive", "1.000.none"),
}
JSON: list[tuple[tuple[str, ...], int]] = [
    (("token", "visitor"), 0),
    (("token", "moderator", "--name", "Ada"), 0),
    (("token", "server"), 0),
    (("token", "check", "nothing"), 1),
    (("config", "check"), 0),
    *((call, 0) for calls in CURL.values() for call in calls if call not in REFUSED),
    (("dlq", "redrive", "1.000.none"), 1),
]


@pytest.mark.parametrize(
    ("call", "status"), JSON, ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value)
)
def test_with_json_standard_output_is_one_document(foyer: Run, call: tuple[str, ...], status: int) -> None:
    said = foyer(*call, "--json")
    assert said.status == status
    assert said.out.count("\n") == 1
    assert isinstance(json.loads(said.out), dict)


def test_every_command_was_tried_with_json() -> None:
    assert {path for path in COMMANDS if not any(call[: len(path)] == path for call, _ in JSON)} == set()


WITHOUT_CURL = [
    call
    for path, command in COMMANDS.items()
    if "--curl" not in options(command)
    for call, _ in JSON
    if call[: len(path)] == path
]


@pytest.mark.parametrize("call", WITHOUT_CURL, ids=" ".join)
def test_a_command_without_curl_makes_no_request_to_the_service(
    foyer: Run, service: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[str, ...]
) -> None:
    """Not by our own client, nor by another one: nothing connects to where the service listens."""
    found = json.loads(service.read_text())
    ports = {urlsplit(found[name]).port for name in ("http", "ws")}
    connected: list[Any] = []
    connect = socket.socket.connect

    def note(ours: socket.socket, address: Any) -> None:
        connected.append(address)
        connect(ours, address)

    monkeypatch.setattr(socket.socket, "connect", note)
    http._pool.cache_clear()  # a connection that is open already is not made again
    foyer(*call)
    assert [address for address in connected if address[1] in ports] == []
    foyer("rooms")
    assert {address[1] for address in connected} & ports  # else the line before shows nothing


def test_an_outage_is_one_line_and_exit_status_1(run: Run) -> None:
    said = run("--url", "http://127.0.0.1:9", "golive", CONFERENCE, "--token", "t")
    assert (said.status, said.out) == (1, "")
    assert said.err == "foyer: http://127.0.0.1:9 does not answer: Connection refused\n"


ANSWERS: list[tuple[int, dict[str, str], str]] = [
    (200, {}, "<html>welcome</html>"),
    (200, {}, '{"hello": 1}'),
    (200, {}, '["hello"]'),
    (200, {}, ""),
    (404, {}, "<html>no such page</html>"),
    (404, {}, '{"code":404,"errno":999,"error":{"code":1001,"message":"Resource not found"}}'),
    (301, {"location": "https://elsewhere.example/"}, ""),
]


@pytest.mark.parametrize(("status", "headers", "body"), ANSWERS)
@pytest.mark.parametrize(
    "call",
    [
        *(("golive", CONFERENCE, "--token", "t"), ("conferences",), ("rooms",), ("rooms", "x")),
        *(
            ("channels",),
            ("channels", "x"),
            ("dlq", "list"),
            ("dlq", "redrive", "--all"),
            ("dlq", "drop", "1.000.x"),
        ),
        *(("seed", "--only", name) for name in ("owt", "loop", "wcs", "sora")),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_an_answer_of_somebody_else_is_exit_status_1_and_said(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    call: tuple[str, ...],
    status: int,
    headers: dict[str, str],
    body: str,
) -> None:
    monkeypatch.setattr(http, "send", lambda call: http.Answer(status, headers, body.encode()))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("OWT_SUPER_SERVICE_ID", "0" * 24)
    monkeypatch.setenv("OWT_SUPER_SERVICE_KEY", "k")
    said = run("--url", "http://127.0.0.1:9", "--admin-token", "t", *call)
    assert said.status == 1
    assert said.err.startswith("foyer: ")
    assert said.err.count("\n") == 1
    if call[0] not in {"seed", "doctor"}:
        assert said.out == ""
        absent = "answers 404: " if call[0] == "golive" else "ADMIN_TOKENS"
        assert {200: "is the address right", 301: "elsewhere.example", 404: absent}[status] in said.err


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (("golive", "talk", "--token", "t"), "whole name"),
        (("golive", CONFERENCE), "--key @asap.key"),
        (("waiting", CONFERENCE), "--key, or JITSI_USER_KEYS"),
        (("token", "visitor", "--key", "@/none"), "/none: No such file"),
        (("token", "visitor", "--key", "k", "--lives", "soon"), "a time like 90s"),
        (("token", "visitor", "--key", "k", "--claim", "x"), "NAME=VALUE"),
        (("sign", "hawk", "GET", "http://a/"), "--session-token, or --id and --key"),
        (("sign", "mauth", "GET", "http://a/v1"), "--service and --key"),
        (("sign", "wcs", "connect", "-d", "x"), "--secret"),
        (("--ws-url", "queue.example.com", "waiting", CONFERENCE, "--token", "t"), "wss://"),
        (
            (
                "--ws-url",
                "http://queue.example.com",
                "load",
                "visitors",
                "--token",
                "t",
                "--conference",
                CONFERENCE,
            ),
            "wss://",
        ),
        (("--endpoints", "/none", "seed"), "there is no such file"),
        (("config", "check", "--env-file", "/none"), "/none: No such file"),
        (("config", "check", "--stage", "dev"), "config.json"),
    ],
)
def test_what_is_missing_is_named_with_what_to_give_and_exit_status_2(
    run: Run, call: tuple[str, ...], says: str
) -> None:
    said = run("--url", "http://127.0.0.1:9", *call)
    assert (said.status, said.out) == (2, "")
    assert says in said.err
    assert said.err.startswith("foyer: ")
    assert said.err.count("\n") == 1


def test_the_credentials_of_a_file_are_not_sent_to_another_address(foyer: Run, service: Path) -> None:
    elsewhere = ("--url", "http://127.0.0.1:9")
    assert foyer(*elsewhere, "golive", CONFERENCE).status == 2
    assert foyer(*elsewhere, "sign", "mauth", "GET", "/v1/rooms").status == 2
    same = json.loads(service.read_text())["http"]
    assert foyer("--url", f"{same}/", "golive", CONFERENCE).status == 0


def on_a_terminal(*arguments: str, **environ: str) -> str:
    """Run a command whose output is a terminal; all that it wrote there."""
    ours, theirs = pty.openpty()
    kept = {
        name: text for name, text in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "TERM"}
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=kept | {"TERM": "xterm-256color", "COLUMNS": "100"} | environ,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how a terminal says that nobody writes to it any more
            break
        if not part:
            break
        said += part
    process.wait(timeout=60)
    os.close(ours)
    return said.decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*[1-9][0-9;]*m")
BOLD = re.compile(r"\x1b\[(?:0|1|2|3|4)?m")


def colours(text: str) -> list[Any]:
    """The sequences that change the colour; bold and the like are none."""
    return [each for each in COLOUR.findall(text) if not BOLD.fullmatch(each)]


def test_no_color_is_honoured_on_a_terminal(service: Path) -> None:
    load = ("--endpoints", str(service), "load", "visitors", "-n", "3", "--golive")
    coloured, plain = on_a_terminal(*load), on_a_terminal(*load, NO_COLOR="1")
    assert colours(coloured) != []  # else the next line shows nothing
    assert colours(plain) == []
    assert "waiting" in plain
    assert "lost" in plain


@pytest.mark.parametrize("call", [("config", "check"), ("--help",), ("token", "visitor", "--key", "k" * 32)])
def test_where_there_is_no_terminal_nothing_is_sent_to_one(call: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *call],
        cwd=ROOT,
        env=dict(os.environ) | {"TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_tables_are_for_terminals_and_tabs_for_programs(run: Run) -> None:
    lines = run("config", "check").out.splitlines()
    assert lines[0] == "level\tsetting\tsays"
    assert all(line.count("\t") == 2 for line in lines)
    assert "level " in on_a_terminal("config", "check", NO_COLOR="1")
