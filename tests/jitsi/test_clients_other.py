"""jigasi, by a replica of its bytes, and PyPI's stomp.py."""

import json
import queue
import time

import pytest
import stomp

from tests.support.clients import ROOM, VISITOR, golive, visitor
from tests.support.jigasi import Jigasi


def test_jigasi_waits_with_a_servers_token_and_is_told(gateway, credentials):
    running = gateway(JITSI_HEARTBEAT="400,400")
    token = credentials.server_token(iat=int(time.time()))
    one = Jigasi(running.ws + "/waiting-queue/visitor/websocket", token)
    try:
        assert one.socket.subprotocol is None
        one.connect()
        one.subscribe(ROOM)
        for _ in range(6):
            one.beat()
            time.sleep(0.3)
        with visitor(running.ws, credentials.visitor_token()):
            assert golive(running.http, credentials.server_token())[0] == 200
            assert one.live() == {"conference": ROOM, "status": "live", "randomDelayMs": 1000}
    finally:
        one.close()


class Heard(stomp.ConnectionListener):
    """Keeps what stomp.py is told."""

    def __init__(self) -> None:
        self.frames: queue.SimpleQueue[tuple[str, stomp.utils.Frame]] = queue.SimpleQueue()

    def on_connected(self, frame):
        self.frames.put(("CONNECTED", frame))

    def on_message(self, frame):
        self.frames.put(("MESSAGE", frame))

    def on_error(self, frame):
        self.frames.put(("ERROR", frame))

    def on_receipt(self, frame):
        self.frames.put(("RECEIPT", frame))


@pytest.mark.parametrize("binary", [False, True])
def test_stomp_py_over_websocket_is_served_with_heart_beats(gateway, credentials, binary):
    running = gateway(JITSI_HEARTBEAT="500,500")
    port = int(running.ws.rpartition(":")[2])
    heard = Heard()
    client = stomp.WSStompConnection(
        [("127.0.0.1", port)],
        ws_path="/waiting-queue/visitor/websocket",
        heartbeats=(500, 500),
        reconnect_attempts_max=1,
        binary_mode=binary,
    )
    client.set_listener("", heard)
    client.connect(wait=True, headers={"Authorization": f"Bearer {credentials.visitor_token()}"})
    assert heard.frames.get(timeout=10)[0] == "CONNECTED"
    client.subscribe(VISITOR + ROOM, id="7", headers={"receipt": "kept"})
    command, frame = heard.frames.get(timeout=10)
    assert (command, frame.headers["receipt-id"]) == ("RECEIPT", "kept")
    time.sleep(2.0)
    assert client.is_connected()
    assert golive(running.http, credentials.server_token())[0] == 200
    command, frame = heard.frames.get(timeout=20)
    assert (command, frame.headers["subscription"]) == ("MESSAGE", "7")
    assert json.loads(frame.body) == {"conference": ROOM, "status": "live", "randomDelayMs": 1000}
    client.disconnect(receipt="close-1")
    assert heard.frames.get(timeout=10)[1].headers["receipt-id"] == "close-1"
