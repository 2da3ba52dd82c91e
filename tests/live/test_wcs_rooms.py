"""Streams of a media server in a room: on the gateway's sockets, with the emulator behind."""

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import pytest

from infra.emulator import free_port
from tests.owt.api import Api
from tests.support import mauth
from tests.support.clients import http_call
from tests.support.counts import full
from tests.wcs.server import HEADERS, NODE, event, spell

ROUNDS: Final = full(8, 80)
KILLED: Final = full(2, 20)
WITHIN_S: Final = 60.0
LIFE: Final = ("PENDING", "PUBLISHING", "RESIZE", "PUBLISHING")


class Far:
    """A media server, and a service whose room its streams come into, at a gateway."""

    def __init__(self, http: str, api: Api, room: str) -> None:
        self.http, self.api, self.room = http, api, room

    def hook(self, hook: str, /, **changed: Any) -> int:
        """A hook; its status."""
        body = spell(event(**changed)).decode()
        status, _, echoed = http_call(self.http, "POST", f"/rest/my_api/{hook}", body, dict(HEADERS))
        assert status != 200 or echoed.decode() == body
        return status

    def tell(self, **changed: Any) -> None:
        """An event."""
        assert self.hook("StreamStatusEvent", **changed) == 200

    def is_told_to_end(self, session: str) -> bool:
        """Whether the server, when it asks about a stream, is told to end it."""
        return self.hook("StreamKeepAliveEvent", mediaSessionId=session) == 403

    def at_once(self, session: str, statuses: list[str]) -> None:
        """Events of one stream at the same moment."""
        gate = threading.Barrier(len(statuses))

        def tell(status: str) -> None:
            gate.wait()
            self.tell(mediaSessionId=session, status=status)

        with ThreadPoolExecutor(len(statuses)) as pool:
            list(pool.map(tell, statuses))

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        """A call of the service."""
        headers = {"Authorization": mauth.header(self.api.service, self.api.key)}
        status, _, body = http_call(self.http, method, f"/v1.1/rooms/{self.room}{path}", None, headers)
        return status, body

    def streams(self) -> dict[str, dict[str, Any]]:
        """The forward streams of the room, by id."""
        status, body = self.ask("GET", "/streams")
        assert status == 200
        return {each["id"]: each for each in json.loads(body) if each["type"] == "forward"}

    def until(self, sessions: set[str]) -> None:
        """Wait until the room has exactly these streams."""
        settles(lambda: set(self.streams()) == sessions)


def settles(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def far(gateway, stack, credentials) -> Far:
    api = Api(credentials.super_service_id, credentials.super_service_key)
    room = api.room()
    targets = [{"service": api.service, "appKey": "defaultApp", "name": "b*", "room": room}]
    running = gateway(WCS_ROOMS=json.dumps(targets), MEDIA_MODE="fire", FOYER_SWEEP_INTERVAL_S="1")
    return Far(running.http, api, room)


def test_a_stream_comes_goes_begins_anew_and_is_ended_by_a_caller(far):
    far.tell(mediaSessionId="first")
    far.until({"first"})
    assert far.streams()["first"]["info"] == {
        "owner": "admin",
        "type": "webrtc",
        "inViews": [],
        "attributes": {"nodeId": NODE, "appKey": "defaultApp", "name": "b4e7"},
    }
    far.tell(mediaSessionId="first", status="UNPUBLISHED")
    far.until(set())
    far.tell(mediaSessionId="second")
    far.tell(mediaSessionId="outside", name="x")
    far.until({"second"})
    assert far.hook("StreamKeepAliveEvent", mediaSessionId="second") == 200
    assert far.ask("DELETE", "/streams/second") == (200, b"")
    assert far.streams() == {}
    settles(partial(far.is_told_to_end, "second"))
    far.tell(mediaSessionId="second", status="RESIZE", width=7, height=7)
    far.tell(mediaSessionId="third")
    far.tell(mediaSessionId="second", status="FAILED", info="Terminated by keep-alive")
    far.until({"third"})
    assert far.hook("StreamKeepAliveEvent", mediaSessionId="outside") == 200


def test_events_in_any_order_twice_and_at_once_leave_what_is_so(far):
    chance = random.Random(5)
    orders = list(itertools.permutations(("PENDING", "PUBLISHING", "UNPUBLISHED")))
    expected = set()
    for number in range(ROUNDS):
        gone, there, ordered = f"gone{number}", f"there{number}", f"ordered{number}"
        ends = ["UNPUBLISHED", "FAILED"]
        statuses = [*LIFE, *ends, *LIFE]
        chance.shuffle(statuses)
        far.at_once(gone, statuses)
        far.at_once(there, list(LIFE))
        for status in orders[number % len(orders)]:
            far.tell(mediaSessionId=ordered, status=status)
        expected.add(there)
    far.until(expected)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: far.tell(mediaSessionId=each, status="STOPPED"), expected))
    far.until(set())
    assert far.ask("GET", "/streams") == (200, b"[]")


def test_a_caller_who_deletes_while_the_server_goes_on_telling_wins(far):
    for number in range(ROUNDS):
        session = f"s{number}"
        far.tell(mediaSessionId=session)
        far.until({session})
        gate = threading.Barrier(3)

        def tell(status: str, session: str = session, gate: threading.Barrier = gate) -> None:
            gate.wait()
            far.tell(mediaSessionId=session, status=status, width=9, height=9)

        with ThreadPoolExecutor(2) as pool:
            told = [pool.submit(tell, status) for status in ("PUBLISHING", "RESIZE")]
            gate.wait()
            assert far.ask("DELETE", f"/streams/{session}")[0] == 200
            for each in told:
                each.result()
        settles(partial(far.is_told_to_end, session))
        assert far.streams() == {}


def test_a_killed_gateway_leaves_nothing_undone(gateway, stack, credentials):
    chance = random.Random(3)
    api = Api(credentials.super_service_id, credentials.super_service_key)
    room = api.room()
    targets = [{"service": api.service, "appKey": "defaultApp", "room": room}]
    quick = {
        "WCS_ROOMS": json.dumps(targets),
        "MEDIA_MODE": "fire",
        "FOYER_SWEEP_INTERVAL_S": "1",
        "FOYER_WORK_LEASE_S": "2",
        "PORT": str(free_port()),
    }
    running = gateway(**quick)
    expected = set()
    for number in range(KILLED):
        far = Far(running.http, api, room)
        for each in range(6):
            far.tell(mediaSessionId=f"{number}-{each}")
        for each in range(3):
            far.tell(mediaSessionId=f"{number}-{each}", status="UNPUBLISHED")
        time.sleep(chance.uniform(0, 0.2))
        running.kill()
        expected |= {f"{number}-{each}" for each in range(3, 6)}
        running = gateway(**quick)
    Far(running.http, api, room).until(expected)
