"""Releases on the gateway with an emulator behind it."""

import json

import pytest

from tests.support.clients import ROOM, STATE, VISITOR, StompClient, golive, visitor


@pytest.fixture
def shared(gateway):
    """A gateway of a mode, and the path at which it takes WebSockets."""

    def start(mode):
        return gateway(GATEWAY_MODE=mode), "/waiting-queue/visitor/websocket" if mode == "edge" else "/"

    return start


@pytest.mark.parametrize("mode", ["edge", "aws"])
def test_a_waiting_visitor_gets_one_live_message(shared, credentials, mode):
    running, path = shared(mode)
    with visitor(running.ws, credentials.visitor_token(), path=path) as client:
        status, _, answer = golive(running.http, credentials.server_token())
        assert (status, json.loads(answer)) == (200, {"conference": ROOM, "status": "live"})
        command, headers, body = client.frame()
        assert command == "MESSAGE"
        assert headers["subscription"] == "sub-0"
        assert json.loads(body) == {"conference": ROOM, "status": "live", "randomDelayMs": 1000}
        client.send("DISCONNECT\nreceipt:close-1\n\n\0")
        assert client.frame()[:2] == ("RECEIPT", {"receipt-id": "close-1"})


def test_a_moderator_sees_the_count(gateway, credentials):
    running = gateway(JITSI_STATE_INTERVAL_S="1")
    with StompClient(running.ws) as moderator:
        assert moderator.connect(credentials.moderator_token())[0] == "CONNECTED"
        moderator.subscribe(STATE + ROOM)
        assert json.loads(moderator.frame()[2]) == {"conference": ROOM, "visitorsWaiting": 0}
        with visitor(running.ws, credentials.visitor_token()):
            assert json.loads(moderator.frame()[2]) == {"conference": ROOM, "visitorsWaiting": 1}
        assert json.loads(moderator.frame()[2]) == {"conference": ROOM, "visitorsWaiting": 0}


SPELLINGS = [
    ("1.2", "a:b", "a\\cb"),
    ("1.2", "a\\cb", "a\\cb"),
    ("1.0", "a:b", "a:b"),
    ("1.0", "a\\cb", "a\\cb"),
]


@pytest.mark.parametrize("mode", ["edge", "aws"])
def test_a_subscriptions_id_comes_back_as_the_connections_version_spells_it(shared, credentials, mode):
    running, path = shared(mode)
    for number, (version, identity, spelled) in enumerate(SPELLINGS):
        with StompClient(running.ws, path) as client:
            assert client.connect(credentials.visitor_token(), version=version)[0] == "CONNECTED"
            room = f"room{number}@conference.meet.local"
            client.subscribed(VISITOR + room, identity)
            assert golive(running.http, credentials.server_token(), room)[0] == 200
            assert client.frame()[1]["subscription"] == spelled
