"""The Bruno collection asks for every route, and passes against a gateway that demands credentials."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from infra import bruno, endpoints
from infra.children import Gateway
from infra.gateway.router import Router
from tests.conftest import GatewayFactory
from tests.reference import collection
from tests.test_docs import COVERAGE

SECRET: Final = "bruno-signs-with-this"
SETTINGS: Final = {
    "MEDIA_MODE": "fire",
    "SORA_OPEN": "false",
    "SORA_API_KEYS": "metadata-key-of-the-tests",
    "SORA_EVENT_KEYS": "event-key-of-the-tests",
    "WCS_SECRETS": f"my_api:{SECRET}",
    "WCS_API_KEYS": "stream-key-of-the-tests",
}
ALIKE: Final = (("/v1.1/", "/v1/"), ("/v0/", "/"))
"""Beginnings under which the same handlers answer."""
PAGES: Final = ("/console",)
"""Beginnings of what browsers show."""


@pytest.fixture(scope="module")
def variables(standing: GatewayFactory, credentials: Any) -> dict[str, str]:
    """What the collection needs to use a gateway that lets nobody in without credentials."""
    running: Gateway = standing(wait=True, **SETTINGS, **credentials.operators())
    environ = running.environ
    document = endpoints.document({"http": running.http}, credentials, environ)
    document["sora"]["key"], document["wcs"]["secret"] = SETTINGS["SORA_API_KEYS"], SECRET
    return bruno.variables(document, credentials.server_key_path.parent.parent, environ)


def test_every_request_is_answered_as_the_collection_says(variables: dict[str, str], tmp_path: Path):
    outcome = collection.run(variables, tmp_path)
    assert outcome.failures() == []
    assert outcome.skipped() == []
    assert len(outcome.results) == len(list(collection.requests()))
    assert outcome.status == 0, outcome.said


SIGNED: Final = {
    "jitsi/Go live.bru": 200,
    "owt/services/Create a service.bru": 200,
    "loop/Register.bru": 200,
    "loop/Make a room.bru": 201,
    "sora/List metadata.bru": 200,
    "wcs/A client connects.bru": 200,
}
"""A request of each way to prove who asks."""


def test_signers_work_without_access_to_the_machine_and_a_wrong_key_fails_the_run(
    variables: dict[str, str], tmp_path: Path
):
    wrong = variables | {"SERVICE_KEY": "another"}
    outcome = collection.run(wrong, tmp_path, *SIGNED, sandbox=collection.SAFE)
    assert outcome.status != 0
    statuses = [result["response"]["status"] for result in outcome.results]
    assert statuses == [401 if "services" in name else status for name, status in SIGNED.items()]
    (failed, *_) = outcome.failures()
    assert "expected 401 to equal 200" in failed


def test_every_answered_route_is_asked_for():
    rows = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", COVERAGE, re.MULTILINE)
    answered = {(method, path) for method, path in rows if not path.startswith(PAGES)}
    for start, instead in ALIKE:
        answered = {(method, re.sub(f"^{re.escape(start)}", instead, path)) for method, path in answered}
    assert asked({path for _, path in answered}) == answered


def asked(paths: Iterable[str]) -> set[tuple[str, str]]:
    """The routes that the collection asks for, as those paths spell them."""
    router = Router(paths)
    usual = {"http": "", "queue": "/waiting-queue", "hooks": "/rest/my_api"}
    found = set()
    for each in collection.requests():
        url = re.sub(r"\{\{(\w+)\}\}", lambda name: usual.get(name[1], "x"), each.url)
        match = router.match(url.partition("?")[0])
        assert match is not None, each.file
        found.add((each.method, match.resource))
    return found


def test_every_request_says_what_it_expects():
    assert [
        each.file.name
        for each in collection.requests()
        if not re.search(r"^assert \{\n  res\.status: eq \d{3}$", each.file.read_text(), re.M)
    ] == []


def test_every_variable_is_one_that_is_written(variables: dict[str, str]):
    texts = [file.read_text() for file in bruno.COLLECTION.rglob("*") if file.suffix in {".bru", ".js"}]
    used = {
        name for text in texts for name in re.findall(r"(?:process\.env\.|getProcessEnv\(')([A-Z_]+)", text)
    }
    keys = {name for text in texts for name in re.findall(r"bearer\(req, bru, '([A-Z_]+)'\)", text)}
    assert used | keys == set(variables)


def test_the_variables_of_a_running_service_are_written_for_its_owner_alone(
    credentials: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = credentials.server_key_path.parent.parent
    endpoints.write(folder, endpoints.document({"http": "http://127.0.0.1:8090"}, credentials, {}))
    monkeypatch.setattr(bruno, "COLLECTION", tmp_path)
    monkeypatch.setattr("sys.argv", ["bruno", "--folder", str(folder)])
    monkeypatch.setenv("WCS_API_KEYS", "one,two")
    assert bruno.main() == 0
    made = tmp_path / ".env"
    written = dict(line.split("=", 1) for line in made.read_text().splitlines())
    assert json.loads(written["HTTP"]) == "http://127.0.0.1:8090"
    assert json.loads(written["SERVER_KEY"]) == credentials.server_key_path.read_text()
    assert json.loads(written["STREAM_KEY"]) == "one"
    assert made.stat().st_mode & 0o777 == 0o600


def test_without_a_running_service_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bruno, "COLLECTION", tmp_path)
    monkeypatch.setattr("sys.argv", ["bruno", "--folder", str(tmp_path)])
    assert bruno.main() == 1
    assert "make run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_secrets_are_not_kept_in_the_repository():
    assert "/bruno/.env" in (bruno.COLLECTION.parent / ".gitignore").read_text().splitlines()


def test_the_guide_names_every_variable(variables: dict[str, str]):
    guide = (bruno.COLLECTION.parent / "docs" / "reference.md").read_text()
    rows = re.findall(r"^\| (`[A-Z].*?) \|", guide, re.M)
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} == set(variables)
