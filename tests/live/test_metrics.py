"""The numbers of a real gateway: what happened is what Prometheus is told."""

import time
import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from infra.children import Gateway
from infra.credentials import Credentials
from tests.conftest import GatewayFactory
from tests.support.clients import StompClient, golive, http_call, visitor


def numbers(gateway: Gateway) -> dict[str, float]:
    """Every family's sum over its labels, without the parts of histograms."""
    with urllib.request.urlopen(f"{gateway.management}/metrics") as answer:
        text = answer.read().decode()
    return {
        family.name: sum(each.value for each in family.samples)
        for family in text_string_to_metric_families(text)
        if family.type != "histogram"
    }


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_release_on_a_gateway_is_what_is_told_of_it(gateway: GatewayFactory, credentials: Credentials):
    ours = gateway()
    before = numbers(ours)
    assert (before["foyer_golives"], before["foyer_gateway_sockets"]) == (0, 0)
    with (
        visitor(ours.ws, credentials.visitor_token()) as first,
        visitor(ours.ws, credentials.visitor_token()) as second,
        StompClient(ours.ws) as moderator,
    ):
        assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
        assert numbers(ours)["foyer_gateway_sockets"] == 3
        assert golive(ours.http, credentials.server_token())[0] == 200
        for client in (first, second):
            client.frame(30)
        until(lambda: numbers(ours)["foyer_visitors_released"] == 2)
        assert http_call(ours.http, "GET", "/metrics")[0] == 404

    told = numbers(ours)
    assert (told["foyer_golives"], told["foyer_visitors_released"]) == (1, 2)
    assert told["foyer_golive_failures"] == told["foyer_server_errors"] == told["foyer_dead_letters"] == 0
    assert told["foyer_frames"] >= 5
    assert told["foyer_gateway_requests"] == 2
    assert told["foyer_gateway_handshakes"] == 3
    until(lambda: numbers(ours)["foyer_sweeps"] >= 1)
