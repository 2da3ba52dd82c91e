"""docs/media-plane.md: its programs run as they stand."""

import base64
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from standardwebhooks import Webhook

from chalicelib.media import reports
from chalicelib.owt.actions import orders
from chalicelib.owt.command import Kind
from infra.children import Child
from tests.prosody.tools import tool
from tests.support import mauth
from tests.support.clients import http_call

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = (ROOT / "docs" / "media-plane.md").read_text()
CONTRACT: Final = (ROOT / "docs" / "contracts" / "media-plane.md").read_text()
SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
LANGUAGES: Final = ("python", "js")
Start = Callable[..., Child]


def script(language: str, holding: str) -> str:
    """The one block of the guide in this language that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if holding in block]
    return str(found)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program of the guide; it is gone when the test ends."""
    started: list[Child] = []

    def run(language: str, holding: str, environ: dict[str, str], *arguments: str) -> Child:
        path = tmp_path / {"python": "script.py", "js": "script.js"}[language]
        path.write_text(script(language, holding))
        program = sys.executable if language == "python" else tool("node")
        child = Child(tmp_path / "said.log")
        started.append(child)
        clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
        child.run([program, str(path), *arguments], clean | environ, tmp_path, signal.SIGKILL)
        return child

    yield run
    for child in started:
        child.kill()


def until(reached: Callable[[], Any], child: Child) -> None:
    """Wait until a program has come so far."""
    end = time.monotonic() + 20
    while not reached():
        assert child.poll() is None, child.log()
        assert time.monotonic() < end, child.log()
        time.sleep(0.02)


# What there is, named


def rows_below(heading: str, document: str) -> set[str]:
    """The first cells, where they are code, of the tables between a heading and the next one of its kind."""
    mark = re.escape(heading.split(" ")[0])
    (section,) = re.findall(
        rf"^{re.escape(heading)}\n(.*?)(?=^{mark} |\Z)", document, re.MULTILINE | re.DOTALL
    )
    return {
        name
        for cell in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
        for name in cell.split("`")[1::2]
    }


def dotted(names: set[str]) -> set[str]:
    return {name for name in names if "." in name}


def test_the_guide_names_each_kind_of_command_and_each_type_of_report():
    assert dotted(rows_below("## Commands", GUIDE)) == set(Kind)
    assert rows_below("## Acknowledging", GUIDE) == set(orders.ENDS)
    assert dotted(rows_below("## Reports", GUIDE)) >= set(reports.TYPES)
    assert dotted(rows_below("## Reports", CONTRACT)) == set(reports.TYPES)


# Webhooks


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


BODY: Final = json.dumps({"id": "6a-5e", "kind": "stream.stop", "target": "s-ö"}, ensure_ascii=False)


def signed(secret: str = SECRET, age_s: int = 0, name: str = "6a-5e") -> dict[str, str]:
    """The headers of a webhook, as the library of Standard Webhooks makes them."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    signature = Webhook(secret).sign(msg_id=name, timestamp=at, data=BODY)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }


def other(headers: dict[str, str], **changed: str) -> dict[str, str]:
    return headers | {f"webhook-{name}": value for name, value in changed.items()}


OTHER_SECRET: Final = "whsec_" + base64.b64encode(bytes(32)).decode()


def webhooks() -> list[tuple[dict[str, str], int]]:
    """Headers of this moment, and the answer that each deserves."""
    return [
        (signed(), 204),
        (signed(age_s=250), 204),
        (signed(age_s=-250), 204),
        (other(signed(), signature="v1,AAAA " + signed()["webhook-signature"]), 204),
        (signed(age_s=400), 401),
        (signed(age_s=-400), 401),
        (signed(OTHER_SECRET), 401),
        (other(signed(), id="6a-5f"), 401),
        (other(signed(), timestamp="x"), 401),
        (other(signed(), timestamp=""), 401),
        (other(signed(), signature="v1," + "A" * 43 + "="), 401),
        (other(signed(), signature=signed()["webhook-signature"].replace("v1,", "v1a,")), 401),
        (other(signed(), signature=""), 401),
        ({}, 401),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_receiver_takes_what_is_signed_and_nothing_else(language, start):
    port = free_port()
    child = start(language, "COMMAND_WEBHOOK_SECRET=whsec_", {"COMMAND_WEBHOOK_SECRET": SECRET}, str(port))
    until(lambda: listening(port), child)
    base = f"http://127.0.0.1:{port}"
    sent = webhooks()
    answers = [http_call(base, "POST", "/", BODY.encode(), headers)[0] for headers, _ in sent]
    assert answers == [status for _, status in sent]
    assert child.log().splitlines().count("6a-5e stream.stop s-ö") == answers.count(204)
    altered = http_call(base, "POST", "/", BODY.replace("stop", "mute").encode(), signed())[0]
    assert altered == 401


# Following


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_follower_prints_commands_and_acknowledges_them(language, start, gateway, credentials):
    # As strict as it gets: a header is good for one call.
    front = gateway(MEDIA_MODE="fire", OWT_MAUTH="strict")
    identity, key = credentials.super_service_id, credentials.super_service_key

    def ask(method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": mauth.header(identity, key)}
        status, _, answer = http_call(
            front.http, method, path, None if body is None else json.dumps(body), headers
        )
        assert status == 200, answer
        return json.loads(answer) if answer[:1] in (b"{", b"[") else answer.decode()

    environ = {"MANAGEMENT_URL": front.http, "SERVICE_ID": identity, "SERVICE_KEY": key}
    child = start(language, "/media/v1/commands", environ)
    room = ask("POST", "/v1/rooms", {"name": "r"})["_id"]
    source = {"connection": {"url": "rtsp://127.0.0.1/a"}, "media": {"audio": True, "video": True}}
    stream = ask("POST", f"/v1/rooms/{room}/streaming-ins", source)["id"]
    until(lambda: f"{room} stream.start {stream}" in child.log(), child)
    # It fetches nothing and says so: the stream goes.
    until(lambda: ask("GET", f"/v1/rooms/{room}/streams") == [], child)
    ask("DELETE", f"/v1/rooms/{room}")
    until(lambda: f"{room} room.closed {room} {{}}" in child.log(), child)
    until(lambda: ask("GET", "/media/v1/commands") == [], child)
