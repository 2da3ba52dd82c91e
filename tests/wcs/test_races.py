"""Events of one stream that arrive at the same moment: on the gateway's sockets, with the emulator behind."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import urllib3

from chalicelib import clock, settings
from chalicelib.store import keys, writes
from chalicelib.wcs import reaper, store, stream
from infra.children import Gateway
from tests.support.counts import full
from tests.support.fronts import unique
from tests.support.threads import all_at_once
from tests.wcs.server import HEADERS, NODE, event, kept, spell

ROUNDS = full(30, 300)
FEWER = full(10, 100)
AT_ONCE = 10
PATIENT = {"GATEWAY_ACCESS_LOG": "false", "FOYER_STORAGE_BUDGET_S": "30"}
"""Who wins is asked here, and not how fast."""
LIFE = (
    {"status": "PENDING", "info": "1"},
    {"status": "PUBLISHING", "info": "2", "bitrate": 2},
    {"status": "RESIZE", "info": "3", "width": 3},
    {"status": "PUBLISHING", "info": "4", "bitrate": 4},
)
END = {"status": "UNPUBLISHED", "info": "end", "bitrate": 9, "width": 9}


class Far:
    """A server and a user, at a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.url = gateway.http
        self.pool = urllib3.PoolManager(maxsize=AT_ONCE)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """One call."""
        answer = self.pool.request("POST", self.url + path, body=body, headers=HEADERS, retries=False)
        return answer.status, answer.data

    def tell(self, **changed: Any) -> int:
        """One event, which is echoed."""
        body = spell(event(**changed))
        status, echoed = self.post("/rest/my_api/StreamStatusEvent", body)
        assert status != 200 or echoed == body
        return status

    def find(self, **looked_for: Any) -> list[dict[str, Any]]:
        """The streams that equal this."""
        status, body = self.post("/rest-api/stream/find", json.dumps(looked_for).encode())
        assert status in (200, 404)
        return list(json.loads(body)) if status == 200 else []

    def at_once(self, events: list[dict[str, Any]]) -> None:
        """All of these at the same moment."""
        gate = threading.Barrier(len(events))

        def tell(changed: dict[str, Any]) -> int:
            gate.wait()
            return self.tell(**changed)

        with ThreadPoolExecutor(len(events)) as pool:
            assert set(pool.map(tell, events)) == {200}, self.gateway.log()[-4000:]


@pytest.fixture(scope="module")
def far(standing) -> Far:
    return Far(standing(**PATIENT))


@pytest.fixture(scope="module")
def another(standing) -> Far:
    return Far(standing(**PATIENT))


def test_a_final_status_wins_over_all_that_come_with_it(far):
    for _ in range(ROUNDS):
        which = {"mediaSessionId": unique()}
        far.at_once([which | each for each in (*LIFE, END, *LIFE, END)])
        (found,) = far.find(**which)
        assert found == kept(**which, **END)
        far.at_once([which | each for each in (*LIFE, {"status": "FAILED", "info": "late"})])
        assert far.find(**which) == [found]


def test_of_several_final_statuses_one_wins_as_a_whole(far):
    ends = [
        {"status": status, "info": status} for status in ("UNPUBLISHED", "FAILED", "STOPPED", "DISCONNECTED")
    ]
    for _ in range(FEWER):
        which = {"mediaSessionId": unique()}
        far.at_once([which | each for each in ends * 2])
        (found,) = far.find(**which)
        assert found == kept(**which, status=found["info"], info=found["info"])


def test_a_stream_that_begins_anew_is_not_touched_by_the_old_ones_late_events(far):
    for _ in range(FEWER):
        old, new = {"mediaSessionId": unique()}, {"mediaSessionId": unique()}
        far.tell(**old)
        far.at_once(
            [*(old | each for each in (*LIFE, END)), new | {"status": "PENDING"}, new | {"sessionId": "n"}]
        )
        assert far.find(**old) == [kept(**old, **END)]
        (begun,) = far.find(**new)
        assert begun["status"] in ("PENDING", "PUBLISHING")
        assert (begun.get("info"), begun["width"], begun["bitrate"]) == (None, 0, 0)


def test_each_event_is_whole_when_several_meet(far):
    for _ in range(FEWER):
        which = {"mediaSessionId": unique()}
        far.at_once([which | {"info": f"{each}", "width": each, "height": each} for each in range(AT_ONCE)])
        (found,) = far.find(**which)
        assert found["info"] == str(found["width"]) == str(found["height"])


def test_new_streams_that_come_at_once_are_all_found(far):
    names = [f"{unique()} {each}" for each in range(3)]
    streams = [{"mediaSessionId": unique(), "name": names[each % 3]} for each in range(AT_ONCE)]
    before = len(far.find())
    far.at_once(streams)
    assert len(far.find()) == before + AT_ONCE
    assert sorted(len(far.find(name=name)) for name in names) == [3, 3, 4]


def test_two_gateways_serve_one_stream(far, another):
    for _ in range(FEWER):
        which = {"mediaSessionId": unique()}
        gate = threading.Barrier(2)

        def tell(front: Far, changed: dict[str, Any], gate: threading.Barrier = gate) -> int:
            gate.wait()
            return front.tell(**changed)

        with ThreadPoolExecutor(2) as pool:
            told = [pool.submit(tell, far, which), pool.submit(tell, another, which | END)]
            assert [each.result() for each in told] == [200, 200]
        assert far.find(**which) == another.find(**which) == [kept(**which, **END)]


def read(session: str) -> stream.Event:
    members = {name: json.dumps(value) for name, value in event(mediaSessionId=session).items()}
    return stream.read(members)


@pytest.mark.usefixtures("entered")
def test_news_that_meet_the_look_are_never_lost(monkeypatch):
    began, ahead = clock.now(), [0.0]
    monkeypatch.setattr(clock, "now", lambda: began + ahead[0])
    monkeypatch.setenv("WCS_STALE_AFTER_S", "20")
    settings.reset()
    for _ in range(FEWER):
        session = unique()
        where = keys.wcs_stream(session, NODE)
        listed = keys.wcs_listed("b4e7", where)
        store.record(read(session))
        for _ in range(3):
            ahead[0] += 50
            hear = partial(store.record, read(session))
            all_at_once([partial(reaper.look, listed), hear, hear])
            row, owes = store.read(where), writes.get(store.ListedRow, *listed, consistent=True)
            assert row is not None
            assert owes is not None
            # It is marked, or will be looked at.
            assert row.stale is not None or owes.due is not None
        ahead[0] += 100
        for _ in range(2):
            reaper.look(listed)
            ahead[0] += 50
        row = store.read(where)
        assert row is not None
        assert row.stale is not None
