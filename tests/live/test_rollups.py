"""Numbers of real gateways for the console: they move while visitors join, and nothing served is lost."""

import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from chalicelib.store import keys
from chalicelib.tally import Event
from infra.children import Gateway
from infra.credentials import Credentials
from tests.admin.api import TOKEN, hashed
from tests.conftest import GatewayFactory, Stack
from tests.support.clients import golive, http_call, visitor
from tests.support.counts import full


def operated(gateway: GatewayFactory, flush_s: str = "0.5", look_s: str = "1") -> Gateway:
    """A gateway that has an operator."""
    return gateway(
        ADMIN_TOKENS=f"ops:{hashed(TOKEN)}", ADMIN_ROLLUP_FLUSH_S=flush_s, FOYER_SWEEP_INTERVAL_S=look_s
    )


def asked(gateway: Gateway, path: str) -> Any:
    """What the operators' API answers."""
    request = urllib.request.Request(
        f"{gateway.http}/admin/v1{path}", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_overview_moves_while_visitors_join_and_are_released(
    gateway: GatewayFactory, credentials: Credentials
):
    first, second = operated(gateway), operated(gateway)
    number = full(6, 50)

    def queue() -> Any:
        return asked(first, "/overview")["facades"]["jitsi"]

    assert queue()["requests"] == 0
    with ExitStack() as all_of_them:
        waiting = [
            all_of_them.enter_context(
                visitor((first, second)[at % 2].ws, credentials.visitor_token(id=f"v{at}"))
            )
            for at in range(number)
        ]
        until(lambda: queue()["waiting"] == number)
        assert golive(second.http, credentials.server_token())[0] == 200
        for client in waiting:
            client.frame(30)
        until(lambda: (queue()["waiting"], queue()["releases"], queue()["hooks"]) == (0, number, 1))
        assert queue()["requests"] >= 2 * number + 1


def test_the_number_of_those_who_wait_moves_between_two_looks(
    gateway: GatewayFactory, credentials: Credentials
):
    ours = operated(gateway, look_s="3600")

    def waiting() -> Any:
        return asked(ours, "/overview")["facades"]["jitsi"]["waiting"]

    until(lambda: waiting() == 0)
    with visitor(ours.ws, credentials.visitor_token(id="a")):
        until(lambda: waiting() == 1)
        with visitor(ours.ws, credentials.visitor_token(id="b")):
            until(lambda: waiting() == 2)
    until(lambda: waiting() == 0)


def test_a_gateway_that_ends_tells_what_it_kept_to_itself(gateway: GatewayFactory, stack: Stack):
    ending = operated(gateway, flush_s="3600")
    for number in range(3):
        assert (
            http_call(ending.http, "GET", "/v1/rooms", headers={"X-Request-Id": f"mine-{number}"})[0] == 401
        )
    assert ending.stop() == 0

    (row,) = [item for item in stack.rows() if item["pk"]["S"] == keys.LAST_EVENTS]
    events = [Event(*fields) for fields in json.loads(row["events"]["S"])]
    assert [(each.request_id, each.route, each.status) for each in events] == [
        (f"mine-{number}", "/v1/rooms", 401) for number in range(3)
    ]
