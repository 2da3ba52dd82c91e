"""docs/loop.md: its scripts run against a gateway; docs/contracts/loop.md: its tables are the code's."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from chalicelib.loop import session, spelling
from tests.conftest import GatewayFactory
from tests.prosody.tools import tool

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = (ROOT / "docs" / "loop.md").read_text()
CONTRACT: Final = (ROOT / "docs" / "contracts" / "loop.md").read_text()


def script(language: str) -> str:
    """The one block of the guide in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def run(command: list[str], url: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    done = subprocess.run(
        command, env=clean | {"LOOP_URL": url}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def url(standing: GatewayFactory) -> str:
    return str(standing().ready["http"])


def test_the_python_script_goes_through_a_room(url, tmp_path):
    path = tmp_path / "guest.py"
    path.write_text(script("python"))
    (found,) = json.loads(run([sys.executable, str(path)], url))["sessions"]
    assert (found["displayName"], found["state"], found["reports"]) == ("Grace", "waiting", 1)
    assert found["nonConforming"] == 0
    assert "ended" in found


def test_the_javascript_makes_a_room_and_believes_the_answer(url, node_folder, tmp_path):
    path = tmp_path / "room.mjs"
    path.write_text(script("js"))
    (tmp_path / "node_modules").symlink_to(node_folder / "node_modules")
    assert re.fullmatch(r"http://localhost:8080/[\w-]{11}\n", run([tool("node"), str(path)], url))


def cells(title: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    text = CONTRACT.split(f"\n{title}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def test_the_contract_lists_the_errors_that_there_are():
    documented = {(int(status), int(errno)) for status, errno, *_ in cells("## Errors")}
    known = {(status, errno) for _, status, errno, _ in spelling.SPELLING} | {spelling.UNEXPECTED[:2]}
    assert documented == known - {(429, 999)}  # nothing is throttled yet


def test_the_contract_draws_the_graph_that_there_is():
    drawn = {
        (source.strip(" `"), event.strip("`"), target.strip("`"))
        for sources, event, _, target in cells("### Reports")
        for source in sources.split(",")
        if target.strip("`") != "unchanged"
    }
    assert drawn == {(str(edge.source), str(edge.event), str(edge.target)) for edge in session.GRAPH}
