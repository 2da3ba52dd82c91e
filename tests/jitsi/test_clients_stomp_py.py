"""PyPI's stomp.py over WebSocket against the gateway, on both fronts."""

import json
import queue
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import stomp
import websocket

from tests.support.clients import STATE, VISITOR
from tests.support.fronts import Front, Fronts, Tokens, conference

BEAT_MS: Final = 1000
WAIT_S: Final = 20.0
BOTH: Final = ("edge", "aws")
USUAL: Final = {"FOYER_SHARDS": "2", "JITSI_STATE_INTERVAL_S": "1"}
SETTINGS: Final = {
    "edge": USUAL | {"JITSI_HEARTBEAT": f"{BEAT_MS},{BEAT_MS}"},
    "aws": USUAL | {"GATEWAY_MODE": "aws"},
}


class Listener(stomp.ConnectionListener):  # type: ignore[misc]
    """Keeps what happens."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Any] = queue.Queue()
        self.receipts: queue.Queue[str] = queue.Queue()
        self.errors: queue.Queue[Any] = queue.Queue()
        self.lost = 0

    def on_message(self, frame: Any) -> None:
        """MESSAGE."""
        self.messages.put(frame)

    def on_receipt(self, frame: Any) -> None:
        """RECEIPT."""
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame: Any) -> None:
        """ERROR."""
        self.errors.put(frame)

    def on_heartbeat_timeout(self) -> None:
        """No beat came in time."""
        self.lost += 1


@pytest.fixture(scope="module")
def fronts(emulator, credentials, tmp_path_factory) -> Iterator[Fronts]:
    """This module's gateways."""
    running = Fronts(emulator, credentials, tmp_path_factory.mktemp("stomp_py"), SETTINGS)
    yield running
    running.stop()


@pytest.fixture(params=BOTH)
def front(request: pytest.FixtureRequest, fronts: Fronts) -> Front:
    """The gateway with its extensions, and as API Gateway."""
    return fronts[request.param]


@pytest.fixture(scope="module")
def tokens(credentials) -> Tokens:
    """Tokens of which no two are equal."""
    return Tokens(credentials)


Connected = tuple[Any, Listener]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every socket in the end: the client leaves one open whose peer closed it first."""
    found: list[Any] = []
    create = websocket.create_connection

    def remembered(*arguments: Any, **options: Any) -> Any:
        found.append(create(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(websocket, "create_connection", remembered)
    yield
    for each in found:
        each.shutdown()


@pytest.fixture
def connect(opened: None) -> Iterator[Callable[..., Connected]]:
    """Connect a client: `connect(front, token)`."""
    made: list[Any] = []

    def begin(front: Front, token: str, *, wait: bool = True, **options: Any) -> Connected:
        address = urlsplit(front.http)
        connection = stomp.WSStompConnection(
            [(address.hostname, address.port)],
            ws_path=front.path,
            heartbeats=(BEAT_MS, BEAT_MS),
            reconnect_attempts_max=1,
            **options,
        )
        listener = Listener()
        connection.set_listener("", listener)
        made.append(connection)
        connection.connect(wait=wait, headers={"Authorization": f"Bearer {token}"}, with_connect_command=True)
        return connection, listener

    yield begin
    for connection in made:
        if connection.is_connected():
            connection.disconnect()
        connection.transport.stop()


def subscribed(client: Connected, destination: str) -> None:
    """Subscribe and wait until that is durable."""
    connection, listener = client
    connection.subscribe(destination=destination, id="1", ack="auto", headers={"receipt": "there"})
    assert listener.receipts.get(timeout=WAIT_S) == "there"


def test_it_waits_is_released_and_leaves_with_a_receipt(front, tokens, connect):
    room = conference()
    connection, listener = client = connect(front, tokens.visitor())
    subscribed(client, VISITOR + room)
    assert listener.messages.empty()
    front.golive(tokens.server(), room)

    message = listener.messages.get(timeout=WAIT_S)
    assert message.headers["subscription"] == "1"
    assert message.headers["destination"] == VISITOR + room
    assert json.loads(message.body) == {"conference": room, "status": "live", "randomDelayMs": 1000}
    connection.disconnect(receipt="bye")
    assert listener.receipts.get(timeout=WAIT_S) == "bye"
    assert listener.messages.empty()
    assert listener.errors.empty()


def test_it_may_send_binary_frames_to_the_gateway(fronts, tokens, connect):
    front, room = fronts["edge"], conference()
    client = connect(front, tokens.visitor(), binary_mode=True)
    subscribed(client, VISITOR + room)
    front.golive(tokens.server(), room)

    assert json.loads(client[1].messages.get(timeout=WAIT_S).body)["status"] == "live"


def test_it_sees_the_count(front, tokens, connect):
    room = conference()
    moderator, counts = connect(front, tokens.moderator())
    moderator.subscribe(destination=STATE + room, id="1", ack="client-individual")
    first = counts.messages.get(timeout=WAIT_S)
    assert json.loads(first.body) == {"conference": room, "visitorsWaiting": 0}
    moderator.ack(first.headers["ack"])
    subscribed(connect(front, tokens.visitor()), VISITOR + room)

    assert json.loads(counts.messages.get(timeout=WAIT_S).body)["visitorsWaiting"] == 1
    assert counts.errors.empty()


def test_beats_keep_it_connected(fronts, tokens, connect):
    front, room = fronts["edge"], conference()
    connection, listener = client = connect(front, tokens.visitor())
    subscribed(client, VISITOR + room)
    with pytest.raises(queue.Empty):
        listener.messages.get(timeout=4.5 * BEAT_MS / 1000)

    assert connection.is_connected()
    assert listener.lost == 0
    front.golive(tokens.server(), room)
    listener.messages.get(timeout=WAIT_S)


def test_a_token_that_is_not_accepted_is_an_error_for_it(front, connect):
    _, listener = connect(front, "nonsense", wait=False)

    assert listener.errors.get(timeout=WAIT_S).headers["message"] == "Access denied"


def test_what_it_may_not_send_is_an_error_for_it(front, tokens, connect):
    connection, listener = connect(front, tokens.visitor())
    connection.send("/topic/a", "hello")

    assert "not allowed" in listener.errors.get(timeout=WAIT_S).body
