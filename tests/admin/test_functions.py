"""Functions as Lambda starts them: they tell at the end of a request, and tick sums up."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from chalicelib.admin.rollups import COUNTED
from chalicelib.store import keys
from infra.children import ROOT
from infra.gateway import events
from tests.admin.api import TOKEN, hashed
from tests.conftest import Stack
from tests.support.counts import full
from tests.support.events import rest_event

PROGRAM = """
import json, sys
import app
answer = app.{handler}({event!r}, None)
loaded = sorted(name for name in sys.modules if name.startswith("chalicelib.admin."))
print(json.dumps([answer, loaded]))
"""
OPERATED = {"ADMIN_TOKENS": f"ops:{hashed(TOKEN)}"}


def function(
    stack: Stack, handler: str, event: dict[str, Any], **more: str
) -> tuple[dict[str, Any], set[str]]:
    """One call of a function that was not there before: its answer, and what it imported of ours."""
    environ = dict(os.environ) | stack.environment | more
    environ |= {"_HANDLER": f"app.{handler}", "AWS_LAMBDA_FUNCTION_NAME": f"foyer-dev-{handler}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(handler=handler, event=event)],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, loaded = json.loads(done.stdout)
    return answer, {name.removeprefix("chalicelib.admin.") for name in loaded}


def ours(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """The rows that are there for operators, by partition."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in stack.rows():
        if row["pk"]["S"] in (keys.ROLLUPS, keys.ROLLUP_PARTS, keys.LAST_EVENTS):
            found.setdefault(row["pk"]["S"], []).append(row)
    return found


def test_a_function_tells_what_it_served_and_tick_sums_it_up(stack: Stack):
    request = rest_event("GET", "/v1/rooms", resource="/v1/rooms")
    calls = full(1, 3)
    for _ in range(calls):
        answer, _ = function(stack, "app", request, **OPERATED)
        assert answer["statusCode"] == 401
    found = ours(stack)
    assert {name: len(rows) for name, rows in found.items()} == {
        keys.ROLLUP_PARTS: calls,
        keys.LAST_EVENTS: calls,
    }

    answer, loaded = function(stack, "tick", events.scheduled(), **OPERATED)
    assert answer == {"kicked": 0}
    assert loaded == {"measures", "rollups", "settings"}
    counted = [0] * len(COUNTED)
    for row in ours(stack)[keys.ROLLUPS]:
        if "counts" in row:
            for at, number in enumerate(json.loads(row["counts"]["S"]).get("owt", [])):
                counted[at] += number
    assert dict(zip(COUNTED, counted, strict=True)) == {
        "requests": calls,
        "errors": 0,
        "refused": calls,
        "hooks": 0,
        "releases": 0,
    }


@pytest.mark.parametrize(
    ("handler", "event"),
    [("app", rest_event("GET", "/v1/rooms", resource="/v1/rooms")), ("tick", events.scheduled())],
)
def test_without_operators_a_function_imports_and_writes_nothing_of_it(
    stack: Stack, handler: str, event: dict[str, Any]
):
    _, loaded = function(stack, handler, event)
    assert not loaded - {"door", "settings"}
    assert ours(stack) == {}
