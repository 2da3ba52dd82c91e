"""docs/wcs.md: its commands can be pasted, its settings work."""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from chalicelib import settings
from chalicelib.wcs import messages
from chalicelib.wcs import settings as wcs_settings

GUIDE: Final = (Path(__file__).parents[2] / "docs" / "wcs.md").read_text()


def blocks(language: str) -> list[str]:
    """The blocks of the guide in this language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_first_requests_can_be_pasted(gateway):
    text = (
        blocks("sh")[0]
        .replace("http://127.0.0.1:8080", gateway().http)
        .replace("curl ", "curl -sS -w '\\n' ")
    )
    done = subprocess.run(["bash", "-e", "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told, listed, found, ended = map(json.loads, done.stdout.splitlines())
    assert told["status"] == "PUBLISHING"
    assert listed == found == [told]
    assert ended["status"] == "UNPUBLISHED"


def test_the_settings_that_it_shows_work(monkeypatch):
    lines = [line.strip() for block in blocks("properties") for line in block.splitlines()]
    ours = dict(line.split("=", 1) for line in lines if line.startswith("WCS_"))
    assert len(ours) == 6
    for name, text in ours.items():
        monkeypatch.setenv(name, text)
    settings.reset()
    found = wcs_settings.get()
    theirs = dict(line.split("=", 1) for line in lines if line.startswith("rest_"))
    assert found.secrets_of("my_api") == [theirs["rest_hook_secret_key"]]
    assert [login.user for login in found.logins_of("my_api")] == ["wcs"]
    servers = [found.server_of(item.partition("=")[0]) for item in found.servers]
    assert [each and each.address for each in servers] == [
        "http://10.0.0.11:8081",
        "https://wcs2.example.com:8444",
    ]
    assert [target.name for target in found.targets] == ["lesson-*"]
    config = messages.rest_client_config(found.status_event_config)
    assert config["StreamStatusEvent"]["restOnError"] == "FAIL"


@pytest.mark.parametrize("path", ["/rest/my_api/StreamStatusEvent", "/rest/my_api/connect"])
def test_the_policy_that_it_shows_covers_hooks_alone(path):
    (policy,) = (json.loads(block) for block in blocks("json"))
    (denied,) = [each for each in policy["Statement"] if each["Effect"] == "Deny"]
    pattern = re.escape(denied["Resource"]).replace(r"\*", ".*")
    api = "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod"
    assert re.fullmatch(pattern, f"{api}/POST{path}")
    for other in ("/rest-api/stream/find", "/v1/rooms", "/", "/waiting-queue/golive"):
        assert not re.fullmatch(pattern, f"{api}/POST{other}")
