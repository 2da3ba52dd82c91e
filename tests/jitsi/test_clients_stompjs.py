"""The real stompjs on Node against the gateway: jitsi-meet's options, and the documentation's sample."""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.support import node
from tests.support.clients import STATE, VISITOR
from tests.support.counts import full
from tests.support.fronts import Front, Fronts, Tokens, conference

BEAT_MS: Final = full(1000, 10_000)
"""stompjs wants a beat every 10 s unless told otherwise; the reduced run says otherwise on both sides."""
TRY_AGAIN_MS: Final = 50
PATIENCE_S: Final = 30.0

USUAL: Final = {"FOYER_SHARDS": "2", "JITSI_STATE_INTERVAL_S": "1"}
SETTINGS: Final = {
    "edge": USUAL | {"JITSI_HEARTBEAT": f"{BEAT_MS},{BEAT_MS}"},
    "aws": USUAL | {"GATEWAY_MODE": "aws"},
    "hasty": USUAL | {"JITSI_CLOSE_AFTER_RELEASE_S": "1"},
}


class Client:
    """One Node process with one client in it."""

    def __init__(self, folder: Any) -> None:
        self._process = subprocess.Popen(
            [node.executable("node"), "run.mjs"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._news: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.past: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._news.put(json.loads(line))
        self._news.put(None)

    def tell(self, act: str, **given: Any) -> None:
        """Have the client do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"act": act, **given}) + "\n")
        self._process.stdin.flush()

    def until(self, event: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for an event; all up to it become `past`."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                found = self._news.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event}; only {self.past}") from None
            assert found is not None, f"node ended before {event}: {self.past}"
            self.past.append(found)
            if found["event"] == event:
                return found

    def listen(self, seconds: float) -> None:
        """Let what happens meanwhile become `past`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                found = self._news.get(timeout=left)
            except queue.Empty:
                return
            assert found is not None, f"node ended: {self.past}"
            self.past.append(found)

    def happened(self, event: str) -> list[dict[str, Any]]:
        """Every event of that name so far."""
        return [each for each in self.past if each["event"] == event]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def folder() -> Any:
    """tests/node, ready to run; without Node there is nothing to show, except that CI has to have it."""
    try:
        return node.modules()
    except node.Missing as why:
        if os.environ.get("CI") == "true":
            pytest.fail(str(why))
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def fronts(emulator, credentials, folder, tmp_path_factory) -> Iterator[Fronts]:
    """This module's gateways."""
    running = Fronts(emulator, credentials, tmp_path_factory.mktemp("stompjs"), SETTINGS)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tokens(credentials) -> Tokens:
    """Tokens of which no two are equal."""
    return Tokens(credentials)


@pytest.fixture
def edge(fronts: Fronts) -> Iterator[Front]:
    """The gateway with its extensions."""
    yield fronts["edge"]
    fronts.leave()


Start = Callable[..., Client]


@pytest.fixture
def start(folder) -> Iterator[Start]:
    """Start a client: `start("stock", front, topic, token)`."""
    started: list[Client] = []

    def begin(kind: str, front: Front, topic: str, token: str | None, **options: Any) -> Client:
        client = Client(folder)
        started.append(client)
        address = f"{front.ws}{front.path}"
        client.tell("activate", kind=kind, url=address, topic=topic, token=token, options=options)
        return client

    yield begin
    for client in started:
        client.stop()


def wait_for_row(front: Front, tokens: Tokens, room: str, number: int) -> None:
    """Wait until so many wait for a conference, as a moderator is told."""
    moderator = front.connected(tokens.moderator())
    moderator.subscribe(STATE + room)
    while json.loads(moderator.frame(PATIENCE_S)[2])["visitorsWaiting"] != number:
        pass
    moderator.abort()


@pytest.mark.parametrize("order", ["current", "old"])
def test_a_stock_visitor_waits_gets_the_live_message_and_its_deactivate_resolves(edge, tokens, start, order):
    room = conference()
    visitor = start("stock", edge, VISITOR + room, tokens.visitor())
    assert visitor.until("open")["protocol"] == "v12.stomp"
    assert visitor.until("connected")["headers"]["version"] == "1.2"
    wait_for_row(edge, tokens, room, 1)
    assert visitor.happened("message") == []
    edge.golive(tokens.server(), room)

    message = visitor.until("message")
    assert message["body"] == {"conference": room, "status": "live", "randomDelayMs": 1000}
    assert message["headers"]["destination"] == VISITOR + room
    assert message["headers"]["subscription"] == "sub-0"
    visitor.tell("leave", order=order)
    visitor.until("left")
    assert len(visitor.happened("message")) == 1
    assert visitor.happened("failure") == []
    frames = [each["binary"] for each in visitor.happened("sent") if not each["beat"]]
    assert frames == [True] * (4 if order == "current" else 3), "CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT"
    assert not any(each["binary"] for each in visitor.happened("received"))


@pytest.mark.parametrize("order", ["current", "old"])
def test_a_stock_visitor_may_leave_before_the_conference_is_live(edge, tokens, start, order):
    room = conference()
    visitor = start("stock", edge, VISITOR + room, tokens.visitor())
    visitor.until("connected")
    wait_for_row(edge, tokens, room, 1)
    visitor.tell("leave", order=order)

    visitor.until("left")
    wait_for_row(edge, tokens, room, 0)
    assert len(visitor.happened("handshake")) == 1


def test_a_stock_visitor_of_a_live_conference_is_released_at_once(edge, tokens, start):
    room = conference()
    edge.golive(tokens.server(), room)
    visitor = start("stock", edge, VISITOR + room, tokens.visitor())

    assert visitor.until("message")["body"]["status"] == "live"
    visitor.tell("leave", order="current")
    visitor.until("left")


def test_a_stock_moderator_on_the_visitors_endpoint_sees_the_counts(edge, tokens, start):
    room = conference()
    moderator = start("stock", edge, STATE + room, tokens.moderator())
    assert moderator.until("message")["body"] == {"conference": room, "visitorsWaiting": 0}
    visitors = [start("stock", edge, VISITOR + room, tokens.visitor()) for _ in range(2)]
    while moderator.until("message")["body"]["visitorsWaiting"] != 2:
        pass
    edge.golive(tokens.server(), room)
    for visitor in visitors:
        visitor.until("message")
    while moderator.until("message")["body"]["visitorsWaiting"] != 0:
        pass
    moderator.tell("leave", order="current")

    moderator.until("left")
    assert moderator.happened("failure") == []
    assert len(moderator.happened("handshake")) == 1


@pytest.mark.parametrize(
    ("case", "connected"), [("wrong topic", 1), ("bad token", 0), ("no token", 0), ("another role", 0)]
)
def test_a_denied_token_ends_the_reconnecting_at_the_fifth_try(edge, tokens, start, case, connected):
    room = conference()
    topic, token = {
        "wrong topic": (STATE + room, tokens.visitor()),
        "bad token": (VISITOR + room, "nonsense"),
        "no token": (VISITOR + room, None),
        "another role": (VISITOR + room, tokens.user(role="participant")),
    }[case]
    client = start("stock", edge, topic, token, reconnectDelay=TRY_AGAIN_MS)

    client.until("gave up")
    client.listen(10 * TRY_AGAIN_MS / 1000)
    assert len(client.happened("connected")) == connected
    assert {each["reason"] for each in client.happened("failure")} == {"Access denied"}
    assert len(client.happened("handshake")) == 5
    *closed, last = [each["code"] for each in client.happened("close")]
    assert set(closed) == {1008}
    assert last in {1008, 1005}, "a client that gives up closes, too, and may be the first to do so"


def test_an_unknown_path_ends_the_reconnecting_too(edge, tokens, start):
    address = f"{edge.ws}/nowhere"
    client = start("stock", edge, VISITOR, tokens.visitor(), brokerURL=address, reconnectDelay=TRY_AGAIN_MS)

    client.until("gave up")
    assert {each["reason"] for each in client.happened("failure")} == {"socket"}
    assert len(client.happened("handshake")) == 5


def test_beats_keep_a_stock_client_connected_in_both_directions(edge, tokens, start):
    beats = {} if BEAT_MS == 10_000 else {"heartbeatIncoming": BEAT_MS, "heartbeatOutgoing": BEAT_MS}
    room = conference()
    visitor = start("stock", edge, VISITOR + room, tokens.visitor(), **beats)
    assert visitor.until("connected")["headers"]["heart-beat"] == f"{BEAT_MS},{BEAT_MS}"
    # The client gives up after two intervals of silence, the gateway after three.
    visitor.listen(4.5 * BEAT_MS / 1000)

    assert len([each for each in visitor.happened("sent") if each["beat"]]) >= 3
    assert len([each for each in visitor.happened("received") if each["beat"]]) >= 3
    assert visitor.happened("close") == []
    edge.golive(tokens.server(), room)
    visitor.until("message")


def test_a_client_that_was_released_and_does_nothing_is_closed(fronts, tokens, start):
    front = fronts["hasty"]
    room = conference()
    visitor = start("stock", front, VISITOR + room, tokens.visitor(), reconnectDelay=60_000)
    visitor.until("connected")
    wait_for_row(front, tokens, room, 1)
    front.golive(tokens.server(), room)
    visitor.until("message")

    assert visitor.until("close")["code"] == 1000
    visitor.tell("leave", order="old")
    visitor.until("left")


@pytest.mark.parametrize("name", ["edge", "aws"])
def test_the_documentations_sample_sends_text_and_is_released_on_both_fronts(fronts, tokens, start, name):
    front = fronts[name]
    room = conference()
    visitor = start("sample", front, VISITOR + room, tokens.visitor())
    visitor.until("connected")
    wait_for_row(front, tokens, room, 1)
    front.golive(tokens.server(), room)

    assert visitor.until("message")["body"]["status"] == "live"
    visitor.tell("leave")
    visitor.until("left")
    assert not any(each["binary"] for each in visitor.happened("sent"))
    assert visitor.happened("failure") == []


def test_the_documentations_sample_sees_counts_behind_api_gateway(fronts, tokens, start):
    front = fronts["aws"]
    room = conference()
    moderator = start("sample", front, STATE + room, tokens.moderator())
    assert moderator.until("message")["body"] == {"conference": room, "visitorsWaiting": 0}
    start("sample", front, VISITOR + room, tokens.visitor())

    assert moderator.until("message")["body"] == {"conference": room, "visitorsWaiting": 1}


def test_a_stock_client_behind_api_gateway_is_closed_for_its_binary_frames(fronts, tokens, start):
    client = start("stock", fronts["aws"], VISITOR + conference(), tokens.visitor(), reconnectDelay=60_000)

    assert client.until("close")["code"] == 1003
    assert client.happened("connected") == []
