"""What holds on every route of the media plane: whose rooms and commands, who may ask, what is refused."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import app
from chalicelib.media import operations
from chalicelib.media.routes import common
from tests.media.workers import order
from tests.owt.api import NO_RESOURCE, NO_ROOM, Api, ok, refusal, serve

NOBODY = "5188b9af6e53c84ffd600499"
NOT_PROVEN = (401, 1101)


@dataclass(frozen=True)
class Case:
    """A route, and a request to it that whoever may make it has to succeed with."""

    method: str
    path: str
    target: Callable[[Api], tuple[str, Any]]
    """The path and the body, with what there is in a service."""
    unknown: tuple[str, Any]
    """The same with what there is nowhere."""
    missing: tuple[int, int]
    answered: int = 200


def token(api: Api) -> tuple[str, Any]:
    answer = api.post(f"/rooms/{api.room()}/tokens", {"user": "u", "role": "presenter"})
    return "/tokens/redeem", {"token": answer.body}


def false_token() -> str:
    fields = {"tokenId": "0" * 24, "host": "localhost:8080", "secure": True, "signature": "c2ln"}
    return base64.b64encode(json.dumps(fields).encode()).decode()


CASES = (
    Case("POST", "/tokens/redeem", token, ("/tokens/redeem", {"token": false_token()}), NOT_PROVEN),
    Case(
        "POST",
        "/rooms/{room}/reports",
        lambda api: (f"/rooms/{api.room()}/reports", []),
        (f"/rooms/{NOBODY}/reports", []),
        NO_ROOM,
    ),
    Case(
        "GET",
        "/commands",
        lambda api: (f"/commands?room={api.room()}", None),
        (f"/commands?room={NOBODY}", None),
        NO_ROOM,
    ),
    Case(
        "POST",
        "/commands/{command}/ack",
        lambda api: (f"/commands/{order(api.service, api.room()).id}/ack", {"ok": True}),
        (f"/commands/{'0' * 24}-{NOBODY}/ack", {"ok": True}),
        NO_RESOURCE,
        204,
    ),
)


def ask(api: Api, method: str, path: str, body: Any) -> Any:
    there = api.at("media/v1")
    return there.call(method, path) if body is None else there.call(method, path, body)


def test_every_route_has_a_case():
    assert {(case.method, common.PREFIX + case.path) for case in CASES} == {
        (method, path) for path, methods in common.served().items() for method in methods
    }
    ours = {(method, path) for path, methods in app.app.routes.items() for method in methods}
    assert {pair for pair in ours if pair[1].startswith("/media/")} == {
        (each.method, each.path) for each in operations.every()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_what_is_another_services_is_not_there(boss, acme, other, stack, case):
    path, body = case.target(acme)
    before = stack.rows()
    foreign = ask(other, case.method, path, body)
    assert refusal(foreign) == case.missing
    assert stack.rows() == before
    assert ask(other, case.method, *case.unknown).body == foreign.body
    assert ask(acme, case.method, path, body).status == case.answered
    # The super service acts on all rooms, here.
    assert ask(boss, case.method, *case.target(acme)).status == case.answered


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_who_is_nobody_gets_nothing(acme, stack, case):
    path, body = case.target(acme)
    before = stack.rows()
    for liar in (Api(acme.service, "not the key"), Api(NOBODY, "s3cret"), Api("", "")):
        assert refusal(ask(liar, case.method, path, body)) == NOT_PROVEN
        assert refusal(ask(liar, case.method, *case.unknown)) == NOT_PROVEN
    assert stack.rows() == before


@pytest.mark.usefixtures("stack")
def test_every_path_has_its_preflight_and_no_other_methods_than_it_serves():
    for path, served in common.served().items():
        target = path.format(room=NOBODY, command="x")
        preflight = serve("OPTIONS", target)
        assert (preflight.status, preflight.header("Access-Control-Allow-Origin")) == (200, "*")
        for method in set(common.METHODS) - served:
            assert refusal(serve(method, target)) == NO_RESOURCE


def test_one_slash_at_the_end_of_a_path_counts_for_nothing(acme):
    assert ok(acme.at("media/v1").get("/commands/")) == []
