"""The Bruno collection: what its files ask for, and how it is run by Bruno's own command line."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra import bruno
from tests.support import node
from tests.support.counts import FULL

FOLDER: Final = bruno.COLLECTION
RUN_S: Final = 240
SAFE: Final = "safe"
"""The sandbox that scripts get unless told otherwise; the other one takes a quarter of the time."""
USUAL: Final = SAFE if FULL else "developer"


class Asked(NamedTuple):
    """One request of the collection."""

    file: Path
    method: str
    url: str


def requests(folder: Path = FOLDER) -> Iterator[Asked]:
    """Every request of a collection."""
    for file in sorted(folder.rglob("*.bru")):
        text = file.read_text()
        if found := re.search(r"^(get|post|put|patch|delete|options|head) \{\n  url: (\S+)$", text, re.M):
            yield Asked(file, found[1].upper(), found[2])


class Outcome(NamedTuple):
    """What became of a run."""

    status: int
    results: list[dict[str, Any]]
    said: str

    def failures(self) -> list[str]:
        """What went wrong, in words."""
        return [
            f"{result['test']['filename']}: {check.get('error') or result.get('error')}"
            for result in self.results
            for check in [*result["assertionResults"], *result["testResults"], result]
            if check["status"] not in ("pass", "skipped") or check.get("error")
        ]

    def skipped(self) -> list[str]:
        """The requests that were not made."""
        return [result["test"]["filename"] for result in self.results if result["status"] == "skipped"]


def run(variables: Mapping[str, str], folder: Path, *what: str, sandbox: str = USUAL) -> Outcome:
    """Run the collection, or some of its files, from a copy that has these variables."""
    there = folder / "bruno"
    shutil.copytree(FOLDER, there, ignore=shutil.ignore_patterns(bruno.FILE))
    (there / bruno.FILE).write_text(bruno.spell(variables))
    report = folder / "report.json"
    bru = node.modules(node.REFERENCE) / "node_modules" / ".bin" / "bru"
    how = ["--env", "local", "--sandbox", sandbox, "--reporter-json", str(report), "--noproxy"]
    done = subprocess.run(
        [str(bru), "run", *(what or ["-r"]), *how],
        cwd=there,
        env=node.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    if not report.exists():
        return Outcome(done.returncode, [], done.stdout + done.stderr)
    (iteration,) = json.loads(report.read_text())
    return Outcome(done.returncode, iteration["results"], done.stdout)
