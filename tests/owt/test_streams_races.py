"""Streams that several change at once: on the gateway's sockets, with the emulator behind."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

from chalicelib.store import keys
from tests.owt.api import NO_STREAM, REFUSED
from tests.support import mauth
from tests.support.counts import full

ROUNDS = full(20, 200)
FEWER = full(8, 50)
AT_ONCE = 6
CONNECTION = {"connection": {"url": "u"}, "media": {"audio": True, "video": True}}


@dataclass
class Far:
    """The super service, at a gateway."""

    url: str
    service: str
    key: str
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(maxsize=AT_ONCE))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status, and the document or the code of the error."""
        headers = {"Authorization": mauth.header(self.service, self.key), "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        answer = self.pool.request(
            method, f"{self.url}/v1.1{path}", body=sent, headers=headers, retries=False
        )
        text = answer.data.decode()
        if answer.status >= 400:
            return answer.status, json.loads(text)["error"]["code"]
        return 200, json.loads(text) if text.startswith(("{", "[")) else text

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The document of a request that has to succeed."""
        status, document = self.call(method, path, body)
        assert status == 200, (status, document)
        return document

    def at_once(self, *calls: tuple[Any, ...]) -> list[tuple[int, Any]]:
        """What these calls answer, made at the same moment."""
        gate = threading.Barrier(len(calls))

        def make(call: tuple[Any, ...]) -> tuple[int, Any]:
            gate.wait()
            return self.call(*call)

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(make, calls))

    def room(self, **options: Any) -> str:
        return str(self.done("POST", "/rooms", {"name": "r", "options": options})["_id"])

    def streaming_in(self, room: str) -> str:
        return str(self.done("POST", f"/rooms/{room}/streaming-ins", CONNECTION)["id"])

    def mixed(self, room: str) -> list[str | None]:
        """What the regions of the view show."""
        document = self.done("GET", f"/rooms/{room}/streams/{room}-common")
        return [place.get("stream") for place in document["info"]["layout"]]


@pytest.fixture(scope="module")
def far(standing, credentials) -> Far:
    running = standing(GATEWAY_ACCESS_LOG="false")
    return Far(running.http, credentials.super_service_id, credentials.super_service_key)


def update(op: str, path: str, value: Any) -> dict[str, Any]:
    return {"op": op, "path": path, "value": value}


MIX = update("add", "/info/inViews", "common")
UNMIX = update("remove", "/info/inViews", "common")


def test_of_several_streams_that_come_at_once_exactly_as_many_get_in_as_the_limit_allows(far):
    for number in range(ROUNDS):
        limit = number % (AT_ONCE - 1) + 1
        room = far.room(inputLimit=limit)
        path = f"/rooms/{room}/streaming-ins"
        answers = far.at_once(*[("POST", path, CONNECTION)] * AT_ONCE)
        assert sorted(status for status, _ in answers) == [200] * limit + [500] * (AT_ONCE - limit)
        assert {answer for answer in answers if answer[0] == 500} <= {REFUSED}
        made = {document["id"] for status, document in answers if status == 200}
        listed = far.done("GET", f"/rooms/{room}/streams")
        assert {each["id"] for each in listed[1:]} == made
        far.done("DELETE", f"/rooms/{room}/streams/{made.pop()}")
        far.streaming_in(room)
        assert far.call("POST", path, CONNECTION) == REFUSED


def test_of_several_lists_of_updates_each_takes_effect_as_a_whole(far):
    room = far.room(views=[{"label": "common"}, {"label": "second"}])
    made = far.streaming_in(room)
    path = f"/rooms/{room}/streams/{made}"
    lists = []
    for number in range(4):
        into, status = ("add", "active") if number % 2 else ("remove", "inactive")
        lists.append(
            [
                update(into, "/info/inViews", "common"),
                update("replace", "/media/audio/status", status),
                update("replace", "/media/video/status", status),
                update(into, "/info/inViews", "second"),
            ]
        )
    seen = set()
    for _ in range(ROUNDS):
        answers = far.at_once(*(("PATCH", path, each) for each in lists))
        documents = [*(document for status, document in answers if status == 200), far.done("GET", path)]
        assert len(documents) == len(lists) + 1
        for document in documents:
            media, views = document["media"], sorted(document["info"]["inViews"])
            state = media["audio"]["status"], media["video"]["status"], tuple(views)
            assert state in {("active", "active", ("common", "second")), ("inactive", "inactive", ())}
            seen.add(state)
    assert len(seen) == 2


def test_all_of_several_streams_that_are_mixed_at_once_are_in_the_picture_once(far):
    for _ in range(FEWER):
        room = far.room()
        made = [far.streaming_in(room) for _ in range(AT_ONCE)]
        answers = far.at_once(*(("PATCH", f"/rooms/{room}/streams/{each}", [MIX]) for each in made))
        assert [status for status, _ in answers] == [200] * AT_ONCE
        found = [each for each in far.mixed(room) if each is not None]
        assert sorted(found) == sorted(made)


def test_swaps_layouts_and_mixing_at_once_leave_every_input_in_the_picture_once(far):
    room = far.room()
    made = [far.streaming_in(room) for _ in range(4)]
    for each in made:
        far.done("PATCH", f"/rooms/{room}/streams/{each}", [MIX])
    mixed = f"/rooms/{room}/streams/{room}-common"
    area = {"left": "0", "top": "0", "width": "1/2", "height": "1/2"}
    layout = [
        {"stream": stream, "region": {"id": str(number), "shape": "rectangle", "area": area}}
        for number, stream in enumerate(reversed(made[:3]))
    ]
    for _ in range(FEWER):
        answers = far.at_once(
            ("PATCH", mixed, [update("replace", "/info/layout/0/stream", made[1])]),
            ("PATCH", mixed, [update("replace", "/info/layout/1/stream", made[2])]),
            ("PATCH", mixed, [update("replace", "/info/layout", layout)]),
            ("PATCH", f"/rooms/{room}/streams/{made[3]}", [UNMIX, MIX]),
        )
        assert [status for status, _ in answers] == [200] * 4
        found = [each for each in far.mixed(room) if each is not None]
        assert len(set(found)) == len(found)
        assert set(made[:3]) <= set(found)


def test_of_several_deletions_exactly_one_finds_the_stream(far):
    for _ in range(FEWER):
        room = far.room(inputLimit=1)
        made = far.streaming_in(room)
        path = f"/rooms/{room}/streams/{made}"
        answers = far.at_once(*[("DELETE", path)] * 4)
        assert sorted(status for status, _ in answers) == [200, 404, 404, 404]
        assert {answer for answer in answers if answer[0] == 404} == {NO_STREAM}
        assert far.done("GET", f"/rooms/{room}/streams") == []
        far.streaming_in(room)


def test_changes_that_race_a_deletion_do_not_bring_the_stream_back(far):
    for _ in range(FEWER):
        room = far.room()
        made = far.streaming_in(room)
        path = f"/rooms/{room}/streams/{made}"
        quiet = update("replace", "/media/audio/status", "inactive")
        answers = far.at_once(
            ("PATCH", path, [MIX]),
            ("PATCH", path, [quiet]),
            ("DELETE", path),
        )
        assert answers[2][0] == 200
        assert all(status == 200 or (status, code) == NO_STREAM for status, code in answers[:2])
        assert far.done("GET", f"/rooms/{room}/streams") == []
        assert far.call("GET", path) == NO_STREAM


def test_a_stream_is_not_mixed_into_a_view_that_a_put_took_away_meanwhile(far):
    for _ in range(FEWER):
        room = far.room()
        made = far.streaming_in(room)
        path = f"/rooms/{room}/streams/{made}"
        mixing, change = far.at_once(
            ("PATCH", path, [MIX]),
            ("PUT", f"/rooms/{room}", {"views": [{"label": "second"}]}),
        )
        assert change[0] == 200
        assert mixing[0] == 200 or mixing == REFUSED
        assert far.done("GET", path)["info"]["inViews"] == []


def test_nothing_is_left_of_a_room_that_is_deleted_while_streams_come_and_change(far, lasting):
    partitions = set()
    for _ in range(FEWER):
        room = far.room()
        partitions.add(keys.owt_room_partition(room))
        made = far.streaming_in(room)
        far.done("PATCH", f"/rooms/{room}/streams/{made}", [MIX])
        mixed = f"/rooms/{room}/streams/{room}-common"
        answers = far.at_once(
            ("POST", f"/rooms/{room}/streaming-ins", CONNECTION),
            ("PATCH", f"/rooms/{room}/streams/{made}", [UNMIX, MIX]),
            ("PATCH", mixed, [update("replace", "/info/layout", [])]),
            ("DELETE", f"/rooms/{room}"),
        )
        assert answers[3] == (200, "Room deleted")
        assert all(status == 200 or (status, code) == (404, 1003) for status, code in answers[:3])
        assert far.call("GET", f"/rooms/{room}/streams") == (404, 1003)
    # The kicks are served by the gateway; what a worker has on lease may take a moment.
    deadline = threading.Event()
    for _ in range(100):
        left = [row["sk"]["S"] for row in lasting.rows() if row["pk"]["S"] in partitions]
        if not left:
            break
        deadline.wait(0.1)
    assert left == []
