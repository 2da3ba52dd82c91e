"""`seed`: every facade has something in it, once, however often it was asked for."""

import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infra import endpoints
from infra.credentials import Credentials
from tests.cli.conftest import Run
from tests.conftest import GatewayFactory, Stack
from tests.support import clients
from tests.support.counts import FULL

GUARDED = {
    "SORA_API_KEYS": "an-api-key",
    "SORA_EVENT_KEYS": "an-event-key",
    "WCS_SECRETS": "my_api:a secret of hooks",
    "WCS_API_KEYS": "a-key-of-the-stream-api",
    "OWT_SUPER_REQUIRE_V2": "true",
    "OWT_MAUTH": "strict",
}
FACADES = ["jitsi", "owt", "loop", "wcs", "sora"]


def lasting(stack: Stack) -> Counter[str]:
    """The rows by the first letters of their keys, without what every signed request leaves for a while."""
    names = (row["pk"]["S"][:2] for row in stack.rows())
    return Counter(name for name in names if not name.startswith(("n", "fr")))


def things(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["facade"], each["what"]) for each in found["things"]]


@pytest.mark.parametrize(
    "guarded",
    [pytest.param(GUARDED, id="guarded"), *([pytest.param({}, id="open")] if FULL else [])],
)
def test_each_facade_is_filled_and_a_second_time_changes_nothing(
    run: Run,
    gateway: GatewayFactory,
    stack: Stack,
    tmp_path: Path,
    guarded: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "stage"
    own = Credentials(folder, guarded)
    settings: dict[str, Any] = guarded | own.environment()
    running = gateway(**settings)
    endpoints.write(folder, endpoints.document(running.ready, own, {}))
    file = str(folder / endpoints.FILE)
    for name in own.environment():  # the file alone says what proves us
        monkeypatch.delenv(name)
    if guarded:
        monkeypatch.setenv("SORA_EVENT_KEYS", guarded["SORA_EVENT_KEYS"])

    first = run("--endpoints", file, "seed", "--json")
    assert (first.status, first.err) == (0, ""), first.out
    assert list(dict(things(first.json))) == FACADES
    rows = lasting(stack)
    kept = folder / "seed.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    second = run("--endpoints", file, "seed", "--json")
    assert second.status == 0
    assert things(second.json) == things(first.json)
    assert {each["state"] for each in second.json["things"]} == {"there", "renewed"}
    assert [each["note"] for each in second.json["things"]] == [each["note"] for each in first.json["things"]]
    assert lasting(stack) == rows

    kept.unlink()  # another machine: the owner is another one, and nothing else
    third = run("--endpoints", file, "seed", "--json")
    assert {each["facade"] for each in third.json["things"] if each["state"] == "made"} == {"loop"}


def test_a_facade_that_refuses_does_not_keep_the_others_from_being_filled(
    foyer: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWT_SUPER_SERVICE_KEY", "another key")
    found = foyer("seed", "--json")
    assert found.status == 1
    wrong = [(each["facade"], each["state"]) for each in found.json["things"] if each["state"] == "failed"]
    assert wrong == [("owt", "failed")]
    assert found.err == "foyer: 1 of 5 facades could not be filled\n"
    assert list(dict(things(found.json))) == FACADES


def test_only_some_facades_are_filled_if_that_is_wanted(foyer: Run) -> None:
    found = foyer("seed", "--only", "sora", "--only", "wcs", "--json")
    assert {each["facade"] for each in found.json["things"]} == {"sora", "wcs"}
    assert foyer("seed", "--only", "other").status == 2


def test_what_was_made_is_what_the_facades_show(foyer: Run, service: Path) -> None:
    assert foyer("seed", "--only", "wcs", "--only", "sora").status == 0
    base = json.loads(service.read_text())["http"]
    status, _, body = clients.http_call(base, "POST", "/rest-api/stream/find_all")
    names = {each["name"]: each["status"] for each in json.loads(body)}
    assert (status, names["demo-stream-1"], names["demo-stream-2"]) == (200, "PUBLISHING", "PLAYING")
    target = {
        "x-sora-target": "Sora_20201124.ListSignalingNotifyMetadata",
        "content-type": "application/json",
    }
    status, _, body = clients.http_call(base, "POST", "/", '{"channel_id":"demo"}', target)
    assert (status, len(json.loads(body))) == (200, 2)
