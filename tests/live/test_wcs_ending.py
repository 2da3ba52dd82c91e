"""A stream's end is passed on to its server: from a request on a gateway to a REST API on a real socket."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import GatewayFactory, Stack
from tests.support import receiver
from tests.support.counts import full
from tests.support.receiver import Receiver, answering
from tests.wcs.server import NODE, event, kept, spell
from tests.wcs.test_races import Far

WAIT_S = 60.0  # a lease of somebody whom storage did not answer, and more
ROUNDS = full(3, 40)
LOGIN = "ops:canary"
BODY = b'{"mediaSessionId":"56141d10-fddc-11e6-ac3a-4d67d5b3360d"}'


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver.receiving() as running:
        yield running


def wait_for(server: Receiver, count: int) -> list[bytes]:
    """The bodies that came, so many of them if they come in time."""
    until = time.monotonic() + WAIT_S
    while len(server.requests) < count and time.monotonic() < until:
        time.sleep(0.05)
    return [request.body for request in server.requests]


def owed_to_servers(stack: Stack) -> int:
    """Rows that wait for a call, some time later."""
    until = time.monotonic() + WAIT_S
    while True:
        rows = [row for row in stack.rows() if row["pk"]["S"].startswith("wt")]
        # A stream's key may begin so too: by its hash.
        count = sum("f_mediaSessionId" not in row for row in rows)
        if not count or time.monotonic() > until:
            return count
        time.sleep(0.1)


def test_a_server_is_told_at_once_and_again_when_it_failed(
    gateway: GatewayFactory, stack: Stack, server, tmp_path
):
    front = gateway(
        WCS_SERVERS=f"{NODE}={server.url.replace('//', f'//{LOGIN}@')}", FOYER_SWEEP_INTERVAL_S="0.5"
    )
    far = Far(front)
    server.behaviours[:] = [answering(503)]
    assert far.tell() == 200
    assert far.post("/rest-api/stream/terminate", BODY) == (200, b"{}")
    assert wait_for(server, 2) == [BODY, BODY]
    assert {(request.method, request.path) for request in server.requests} == {
        ("POST", "/rest-api/stream/terminate")
    }
    assert {request.headers["Authorization"] for request in server.requests} == {"Basic b3BzOmNhbmFyeQ=="}
    assert owed_to_servers(stack) == 0
    assert far.find() == [kept()]
    assert far.post("/rest/my_api/StreamKeepAliveEvent", spell(event()))[0] == 403
    assert far.tell(status="UNPUBLISHED") == 200
    time.sleep(1)  # and no third time, however often the sweep comes by
    assert len(server.requests) == 2
    logged = "".join(path.read_text() for path in tmp_path.glob("gateway-*.log"))
    assert "was not told that a stream shall end: status 503" in logged
    assert "canary" not in logged


def test_ends_that_are_asked_for_while_streams_end_by_themselves(gateway: GatewayFactory, stack, server):
    servers = f"{NODE}={server.url}"
    one, other = (Far(gateway(WCS_SERVERS=servers, GATEWAY_ACCESS_LOG="false")) for _ in range(2))
    for number in range(ROUNDS):
        name = f"{number}"
        stay, go = ([f"{kind}{number}.{at}" for at in range(3)] for kind in ("stay", "go"))
        for session in stay + go:
            one.tell(mediaSessionId=session, name=name)
        gate = threading.Barrier(5)

        def end(session: str, name: str = name, gate: threading.Barrier = gate) -> int:
            gate.wait()
            return other.tell(mediaSessionId=session, name=name, status="UNPUBLISHED")

        def ask(far: Far, name: str = name, gate: threading.Barrier = gate) -> int:
            gate.wait()
            return far.post("/rest-api/stream/terminate", json.dumps({"name": name}).encode())[0]

        with ThreadPoolExecutor(5) as pool:
            done = [pool.submit(end, each) for each in go] + [pool.submit(ask, far) for far in (one, other)]
            assert [each.result() for each in done] == [200] * 5
        for session in stay:
            assert (
                one.post("/rest/my_api/StreamKeepAliveEvent", spell(event(mediaSessionId=session)))[0] == 403
            )
        assert {each["status"] for each in one.find(name=name, published=True)} == {
            "PUBLISHING",
            "UNPUBLISHED",
        }
        assert owed_to_servers(stack) == 0
        told = {json.loads(request.body)["mediaSessionId"] for request in server.requests}
        assert set(stay) <= told
