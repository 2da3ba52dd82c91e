"""Owners are told: by requests on a gateway, its worker and its sweep, on a push server's real socket."""

import json
import time

import pytest
import urllib3

from tests.conftest import GatewayFactory
from tests.support import hawk, receiver

WAIT_S = 30.0


class Owner:
    """Somebody with credentials and a push URL, on a real socket."""

    def __init__(self, http: urllib3.PoolManager, url: str, push_url: str) -> None:
        self.http, self.url = http, url
        body = json.dumps({"simplePushURLs": {"rooms": push_url}}).encode()
        answer = http.request("POST", f"{url}/registration", body=body)
        self.credentials = hawk.derive(answer.headers["Hawk-Session-Token"])

    def call(self, method, path, body=None):
        """A signed request that succeeds; its document."""
        raw = b"" if body is None else json.dumps(body).encode()
        host, _, port = self.url.removeprefix("http://").partition(":")
        signed = hawk.sign(self.credentials, method, path, host, port, body=raw)
        headers = {"Authorization": signed.header, "Content-Type": "application/json"}
        answer = self.http.request(method, self.url + path, body=raw, headers=headers)
        assert answer.status < 300, answer.data
        return json.loads(answer.data) if answer.data else None


@pytest.fixture
def server():
    with receiver.receiving() as running:
        yield running


@pytest.fixture
def http():
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def wait_for(server, count):
    until = time.monotonic() + WAIT_S
    while len(server.requests) < count and time.monotonic() < until:
        time.sleep(0.05)
    return [int(request.form["version"][0]) for request in server.requests]


def test_an_owner_is_told_of_a_join_and_once_that_it_ran_out(gateway: GatewayFactory, server, http):
    front = gateway(
        LOOP_PUSH="on",
        LOOP_PUSH_ALLOW_PRIVATE="on",
        LOOP_PARTICIPANT_TTL="4",
        FOYER_SWEEP_INTERVAL_S="0.5",
    )
    url = str(front.ready["http"])
    owner = Owner(http, url, f"{server.url}/wake")
    made = owner.call("POST", "/rooms", {"roomOwner": "Ada", "maxSize": 3, "roomName": "r"})
    path = f"/rooms/{made['roomToken']}"
    assert len(wait_for(server, 1)) == 1
    join = json.dumps({"action": "join", "displayName": "Grace", "clientMaxSize": 3}).encode()
    assert http.request("POST", url + path, body=join).status == 200
    joined = owner.call("GET", path)
    assert [each["displayName"] for each in joined["participants"]] == ["Grace"]
    assert wait_for(server, 2)[-1] == joined["ctime"]
    assert len(wait_for(server, 3)) == 3
    time.sleep(2)  # and no fourth time, however often the sweep comes by
    versions = wait_for(server, 3)
    found = owner.call("GET", path)
    assert found["participants"] == []
    assert (len(versions), versions[-1]) == (3, found["ctime"])
    assert found["ctime"] >= joined["ctime"] + 4
    assert {(request.method, request.path) for request in server.requests} == {("PUT", "/wake")}
