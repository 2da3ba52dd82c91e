"""The example workflows parse, pin every action to a commit, ask for few rights, and call what exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / "examples" / "ci").glob("*.yml"))
GUIDE = (ROOT / "docs" / "ci.md").read_text()
PIN = re.compile(r"(?P<action>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40})")
USE = re.compile(r"^\s*(?:- )?uses:\s*(?P<pin>\S+)\s+# (?P<tag>v\d+\.\d+\.\d+)$", re.MULTILINE)
TRIGGERS = {"push", "pull_request", "schedule", "workflow_dispatch"}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def path(request) -> Path:
    """Each workflow's file."""
    found: Path = request.param
    return found


@pytest.fixture
def workflow(path: Path) -> dict[str, Any]:
    """What YAML makes of it; its `on` is a boolean there."""
    parsed: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if name is True else name: value for name, value in parsed.items()}


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of all jobs."""
    for job in workflow["jobs"].values():
        yield from job["steps"]


def pins(path: Path) -> set[tuple[str, str, str]]:
    """Action, tag and commit of each use."""
    found = set()
    for use in USE.finditer(path.read_text()):
        pin = PIN.fullmatch(use["pin"])
        assert pin, use["pin"]
        found.add((pin["action"], use["tag"], pin["commit"]))
    return found


def test_there_is_one_for_tests_for_deployment_and_for_what_is_known_of_packages():
    assert [path.stem for path in WORKFLOWS] == ["audit", "deploy", "test"]


def test_every_action_is_a_commit_with_its_tag_beside_it(path, workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert [each for each in used if not PIN.fullmatch(each)] == []
    assert len(USE.findall(path.read_text())) == len(used), "each `uses` ends in `# v1.2.3`"


def test_the_guide_lists_the_pins_and_how_to_check_each():
    used = set().union(*map(pins, WORKFLOWS))
    listed = set(re.findall(r"^\| `([\w./-]+)` \| `(v[\d.]+)` \| `([0-9a-f]{40})` \|$", GUIDE, re.MULTILINE))
    assert listed == used
    assert len({action for action, _, _ in used}) == len(used), "one commit for each action"
    for action, tag, _ in used:
        assert f"git ls-remote https://github.com/{action} 'refs/tags/{tag}*'" in GUIDE


def test_who_runs_may_read_and_only_a_deployment_gets_a_token(path, workflow):
    assert workflow["permissions"] == {"contents": "read"}
    asked = {name: job.get("permissions", {}) for name, job in workflow["jobs"].items()}
    deploying = {"deploy": {"contents": "read", "id-token": "write"}}
    assert asked == (deploying if path.stem == "deploy" else {name: {} for name in asked})
    assert set(workflow["on"]) <= TRIGGERS, "others run with rights over what strangers sent"
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_nothing_is_pasted_into_a_shell_and_no_key_is_kept(path, workflow):
    assert [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")] == []
    assert "secrets." not in path.read_text()


def test_a_job_ends_at_some_time_on_a_named_system(workflow):
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 60
        assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"])


def test_what_is_called_is_there(workflow):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in steps(workflow):
        first, *rest = step.get("run", "").split()[:2] or [""]
        if first == "make":
            assert rest[0] in targets
        elif "/" in first:
            assert (ROOT / first).is_file()


def test_stages_locks_and_pythons_are_those_of_the_project():
    parsed = {path.stem: yaml.safe_load(path.read_text()) for path in WORKFLOWS}
    stages = parsed["deploy"][True]["workflow_dispatch"]["inputs"]["stage"]["options"]
    deployable = yaml.safe_load((ROOT / ".chalice" / "config.json").read_text())["stages"]
    assert set(stages) == set(deployable) - {"local"}
    locks = parsed["audit"]["jobs"]["audit"]["strategy"]["matrix"]["lock"]
    assert [name for name in locks if "--hash=sha256:" not in (ROOT / name).read_text()] == []
    assert parsed["test"]["jobs"]["test"]["strategy"]["matrix"]["python"][0] == "3.11"


def test_the_audit_is_strict_and_of_one_version():
    text = (ROOT / "examples" / "ci" / "audit.yml").read_text()
    assert re.search(r"pip install pip-audit==\d+\.\d+\.\d+$", text, re.MULTILINE)
    assert "run: pip-audit --strict " in text
