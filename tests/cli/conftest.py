"""Fixtures of the command line: commands run in this process, as their own process would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.main import main
from infra import endpoints
from infra.credentials import Credentials
from tests.conftest import GatewayFactory

Run = Callable[..., "Outcome"]


class Outcome(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command where no service is known but what the arguments say."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = main(arguments)
        return Outcome(status, *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def service(
    standing: GatewayFactory, credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The endpoints.json of a gateway that runs for the module, beside its keys."""
    folder = tmp_path_factory.mktemp("service")
    settings: dict[str, Any] = {"JITSI_STATE_INTERVAL_S": "1"} | credentials.operators()
    running = standing(**settings)
    found = endpoints.document(running.ready, credentials, {})
    found["jitsi"]["server_private_key"] = str(credentials.server_key_path)
    endpoints.write(folder, found)
    return folder / endpoints.FILE


@pytest.fixture
def foyer(run: Run, service: Path) -> Run:
    """Run a command for that service."""

    def command(*arguments: str) -> Outcome:
        return run("--endpoints", str(service), *arguments)

    return command
