"""The queue works the same where the gateway invokes deployed functions instead of calling handlers."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import child_environment
from tests.support.clients import ROOM, STATE, StompClient, golive, visitor


@pytest.fixture
def functions(stack):
    """The handlers behind Lambda's Invoke call, in another process; the environment that leads to them."""
    command = [sys.executable, "-m", "tests.support.lambda_endpoint"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(stack.environment, {"JITSI_STATE_INTERVAL_S": "1"}),
        cwd=os.getcwd(),
    )
    assert process.stdout is not None
    assert process.stdin is not None
    address = process.stdout.readline().strip()
    yield {
        "GATEWAY_HANDLERS": "lambda",
        "GATEWAY_LAMBDA_PREFIX": "foyer-dev",
        "AWS_ENDPOINT_URL_LAMBDA": address,
    }
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_visitors_wait_and_are_released_and_moderators_count_through_lambda(gateway, credentials, functions):
    running = gateway(**functions, GATEWAY_SOURCES="on")
    with (
        StompClient(running.ws, binary=True) as moderator,
        visitor(running.ws, credentials.visitor_token(), binary=True) as first,
    ):
        assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
        moderator.subscribe(STATE + ROOM)
        assert json.loads(moderator.frame()[2])["visitorsWaiting"] == 1
        with visitor(running.ws, credentials.visitor_token(), binary=True) as second:
            assert json.loads(moderator.frame(20)[2])["visitorsWaiting"] == 2
            assert golive(running.http, credentials.server_token())[0] == 200
            for client in (first, second):
                assert json.loads(client.frame(20)[2])["status"] == "live"
                client.nothing(0.5)
            second.send("UNSUBSCRIBE\nid:sub-0\n\n\0")
            second.send("DISCONNECT\nreceipt:close-1\n\n\0")
            assert second.frame()[:2] == ("RECEIPT", {"receipt-id": "close-1"})
        assert json.loads(moderator.frame(20)[2])["visitorsWaiting"] == 0


def test_two_gateways_in_front_of_the_functions_serve_one_conference(gateway, credentials, functions):
    first, second = (gateway(**functions, GATEWAY_SOURCES="on") for _ in range(2))
    with (
        StompClient(second.ws) as moderator,
        visitor(first.ws, credentials.visitor_token()) as one,
        visitor(second.ws, credentials.visitor_token()) as other,
    ):
        assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
        moderator.subscribe(STATE + ROOM)
        assert json.loads(moderator.frame(20)[2])["visitorsWaiting"] == 2
        assert golive(first.http, credentials.server_token())[0] == 200
        for client in (one, other):
            assert json.loads(client.frame(20)[2])["status"] == "live"
            client.nothing(0.5)


def test_the_front_tells_its_own_heart_beat_through_lambda(gateway, credentials, functions):
    running = gateway(**functions, JITSI_HEARTBEAT="20000,20000")
    with StompClient(running.ws) as client:
        assert client.connect(credentials.visitor_token())[1]["heart-beat"] == "20000,20000"
