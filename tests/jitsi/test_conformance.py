"""The waiting queue's contract on real sockets: the gateway in both modes with an emulator behind it.

The numbers in the headings are the lines of the contract's checklist (section 12); line 19 is
tests/jitsi/test_clients_stompjs.py.
"""

import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from chalicelib.store import keys
from chalicelib.wire import bearer
from tests.support import jwts
from tests.support.clients import STATE, VISITOR, StompClient, parse
from tests.support.connections_server import Reply, Request, Server
from tests.support.counts import full
from tests.support.fronts import Front, Fronts, Tokens, conference, eventually, handshake, unique

INTERVAL_S: Final = 2.0
DAMPING_S: Final = 2.0
HELD_BACK_S: Final = 1.0
"""Well inside the damping: nothing may come so early."""

LIVE_S: Final = 4
SHARDS: Final = 2
USUAL: Final = {
    "FOYER_SHARDS": f"{SHARDS}",
    "FOYER_SWEEP_INTERVAL_S": "10",
    "JITSI_STATE_INTERVAL_S": f"{INTERVAL_S:g}",
    "JITSI_DAMPING_S": f"{DAMPING_S:g},3",
    "JITSI_CLOSE_AFTER_RELEASE_S": "3",
}
SETTINGS: Final = {
    "edge": USUAL,
    "aws": USUAL | {"GATEWAY_MODE": "aws"},
    "open": USUAL
    | {
        "JITSI_QUEUE_BASE_PATH": "",
        "JITSI_HEARTBEAT": "500,500",
        "JITSI_VISITOR_POLICY": "any",
        "JITSI_ALLOW_EMPTY_TOKEN": "true",
        "JITSI_REQUIRE_ROOM_CLAIM": "false",
        "JITSI_VERIFY_DOMAIN": "false",
        "JITSI_MUC_DOMAIN_BASE": "",
        "JITSI_MODERATOR_CLAIMS": "context.user.affiliation=owner",
        "JITSI_USER_AUDIENCES": "*",
        "JITSI_DENIAL_MEMORY_S": "2",
        "JITSI_JOIN_RATE": "2",
        "JITSI_MIN_DELAY_MS": "500",
        "JITSI_MAX_DELAY_MS": "3000",
    },
    "keys": USUAL
    | {
        "JITSI_HEARTBEAT": "0,0",
        "JITSI_MUC_DOMAIN_PREFIX": "muc",
        "JITSI_MUC_DOMAIN_BASE": "8x8.vc",
        "JITSI_SERVER_ISSUERS": "jitsi@8x8.vc,other@elsewhere.example",
        "JITSI_LIVE_TTL_S": f"{LIVE_S}",
        "JITSI_CONNECTS_PER_TOKEN": "3",
        "JITSI_CONNECTS_PER_SOURCE": "12",
    },
}
BOTH: Final = ("edge", "aws")


@pytest.fixture(scope="module")
def fronts(emulator, credentials, tmp_path_factory) -> Iterator[Fronts]:
    """This module's gateways."""
    folder = tmp_path_factory.mktemp("conformance")
    user_key = folder / "user.pem"
    user_key.write_text(jwts.rsa_pair().public_pem)
    settings = SETTINGS | {"keys": SETTINGS["keys"] | {"JITSI_USER_KEYS": f"pem:{user_key}"}}
    running = Fronts(emulator, credentials, folder, settings)
    yield running
    running.stop()


AT_ONCE: Final = 6
Scenario = Callable[[Front, Tokens, str], None]
SCENARIOS: Final[dict[str, tuple[Scenario, tuple[str, ...]]]] = {}


def beside(*names: str) -> Callable[[Scenario], Callable[..., None]]:
    """Mark a test that mostly waits: it runs beside the others, once on each of these fronts."""

    def mark(scenario: Scenario) -> Callable[..., None]:
        SCENARIOS[scenario.__name__] = (scenario, names)

        @pytest.mark.parametrize("name", names)
        def awaited(begun: dict[tuple[str, str], Future[None]], name: str) -> None:
            begun[scenario.__name__, name].result()

        awaited.__doc__ = scenario.__doc__
        return awaited

    return mark


@pytest.fixture(scope="module", autouse=True)
def begun(
    request: pytest.FixtureRequest, fronts: Fronts, tokens: Tokens
) -> Iterator[dict[tuple[str, str], Future[None]]]:
    """The tests that run beside the others, as far as they were asked for."""
    asked = {getattr(item, "originalname", "") for item in request.session.items}
    chosen = {
        (test, name): scenario
        for test, (scenario, names) in SCENARIOS.items()
        if test in asked
        for name in names
    }
    own = {each: fronts[each[1]].again() for each in chosen}
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {each: pool.submit(chosen[each], own[each], tokens, conference()) for each in chosen}
    for front in own.values():
        front.leave()
    pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(autouse=True)
def _left(fronts) -> Iterator[None]:
    """Close what the test has opened."""
    yield
    fronts.leave()


@pytest.fixture(params=BOTH)
def front(request: pytest.FixtureRequest, fronts: Fronts) -> Front:
    """The gateway with its extensions, and as API Gateway."""
    return fronts[request.param]


@pytest.fixture
def edge(fronts: Fronts) -> Front:
    """The gateway with its extensions."""
    return fronts["edge"]


@pytest.fixture
def aws(fronts: Fronts) -> Front:
    """The gateway as API Gateway: sessions are rows, messages of one socket run side by side."""
    return fronts["aws"]


@pytest.fixture
def opened(fronts: Fronts) -> Front:
    """A gateway that admits whom it can."""
    return fronts["open"]


@pytest.fixture
def keyed(fronts: Fronts) -> Front:
    """A gateway that trusts public keys only, and has caps."""
    return fronts["keys"]


@pytest.fixture(scope="module")
def tokens(credentials) -> Tokens:
    """Tokens of which no two are equal."""
    return Tokens(credentials)


@pytest.fixture
def room() -> str:
    """A conference of this test's own."""
    return conference()


def error(client: StompClient) -> dict[str, str]:
    """The headers of the next frame, which is an ERROR with one sentence."""
    text = client.receive()
    command, headers, body = parse(text)
    assert command == "ERROR", text
    assert headers["message"]
    assert headers["content-type"] == "text/plain"
    assert headers["content-length"] == str(len(body.encode()))
    assert body
    assert "\n" not in body
    return headers


def refused(client: StompClient, front: Front, code: int) -> dict[str, str]:
    """The ERROR and then the close, with a code of ours where the front can."""
    headers = error(client)
    got = client.closed()
    assert got == code if front.edge else got is not None
    return headers


def admitted(front: Front, token: str | None, destination: str, **options: Any) -> str:
    """Where a token fails with a destination: at `connect`, at `subscribe`, or not at all (`yes`)."""
    client = front.open(**options)
    command, _, _ = client.connect(token)
    if command == "ERROR":
        client.closed()
        return "connect"
    client.subscribe(destination, receipt="done")
    while True:
        command, headers, _ = client.frame()
        if command == "RECEIPT":
            assert headers == {"receipt-id": "done"}
            client.abort()
            return "yes"
        if command == "ERROR":
            client.closed()
            return "subscribe"


def waiting(text: str) -> int:
    """The number in a count."""
    number: int = json.loads(parse(text)[2])["visitorsWaiting"]
    return number


def count(front: Front, tokens: Tokens, room: str) -> int:
    """The number that a moderator who comes now is told."""
    moderator = front.connected(tokens.moderator())
    moderator.subscribe(STATE + room)
    number = waiting(moderator.receive())
    moderator.abort()
    return number


def watching(front: Front, tokens: Tokens, room: str, expected: int) -> StompClient:
    """A moderator who was told the number there is."""
    moderator = front.connected(tokens.moderator())
    moderator.subscribe(STATE + room)
    assert waiting(moderator.receive()) == expected
    return moderator


def told(moderator: StompClient, number: int, *, by_way_of: tuple[int, ...] = ()) -> None:
    """Wait until a moderator is told a number; others on the way only as named."""
    while True:
        got = waiting(moderator.receive(30))
        if got == number:
            return
        assert got in by_way_of


def live(client: StompClient, timeout: float = 30.0) -> dict[str, Any]:
    """The live message's JSON."""
    command, _, body = client.frame(timeout)
    assert command == "MESSAGE"
    found: dict[str, Any] = json.loads(body)
    assert found["status"] == "live"
    return found


def silent(client: StompClient, seconds: float) -> None:
    """Nothing comes any more, save perhaps the close."""
    with contextlib.suppress(ConnectionClosed):
        client.nothing(seconds)


def queue_rows(front: Front, name: str) -> list[dict[str, Any]]:
    """The rows of those who wait for a conference."""
    hashed = keys.conference(name)
    partitions = [keys.queue(hashed, epoch, shard) for epoch in (1, 2) for shard in range(SHARDS)]
    return [row for partition in partitions for row in front.partition(partition)]


def session_rows(front: Front, token: str) -> list[dict[str, Any]]:
    """The rows of a token's sessions that have not ended; what is left of one that has goes by TTL."""
    mark = bearer.token_hash(token)
    rows = [row for row in front.rows() if row["pk"]["S"].startswith("s") and "e" not in row]
    return [row for row in rows if mark in row["w"]["S"]]


def queue_row(name: str, front_id: str, *, socket: str = "", expires_in: float = 3600.0) -> dict[str, Any]:
    """A waiting visitor's row as its front would have written it."""
    return {
        "pk": {"S": keys.queue(keys.conference(name), 1, 0)},
        "sk": {"S": f"{unique()[:11]}.{socket or unique()}"},
        "f": {"S": front_id},
        "i": {"S": "sub-0"},
        "expires_at": {"N": str(int(time.time() + expires_in))},
    }


def front_row(front_id: str, endpoint: str, lease_s: float, *, extensions: bool = False) -> dict[str, Any]:
    """Another front's lease."""
    until = time.time() + lease_s
    return {
        "pk": {"S": keys.FRONTS},
        "sk": {"S": front_id},
        "endpoint": {"S": endpoint},
        "bulk": {"BOOL": extensions},
        "dedup": {"BOOL": extensions},
        "heartbeat": {"S": "0,0"},
        "alive_until": {"N": f"{until:.3f}"},
        "expires_at": {"N": str(int(until) + 3600)},
    }


# 1. The handshake


@pytest.mark.parametrize(
    ("headers", "chosen"),
    [
        ([("Sec-WebSocket-Protocol", "v12.stomp,v11.stomp,v10.stomp")], "v12.stomp"),
        ([("Sec-WebSocket-Protocol", "v10.stomp, v11.stomp")], "v11.stomp"),
        ([("Sec-WebSocket-Protocol", "v10.stomp")], "v10.stomp"),
        ([("Sec-WebSocket-Protocol", "mqtt ,  v12.stomp")], "v12.stomp"),
        ([("sec-websocket-protocol", "v12.stomp")], "v12.stomp"),
        ([("SEC-WEBSOCKET-PROTOCOL", "v11.stomp,v12.stomp")], "v12.stomp"),
        ([("Sec-WebSocket-Protocol", "v10.stomp"), ("Sec-WebSocket-Protocol", "v12.stomp")], "v12.stomp"),
        ([], None),
    ],
)
def test_the_best_offered_subprotocol_is_selected_and_none_without_an_offer(front, headers, chosen):
    status, answer = handshake(front.ws, front.path, headers)

    assert (status, answer.get("sec-websocket-protocol")) == (101, chosen)
    assert answer["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("offer", ["mqtt", "v13.stomp", "V12.STOMP", "v12.stompx,graphql-ws"])
def test_only_unknown_subprotocols_are_a_400(front, offer):
    status, answer = handshake(front.ws, front.path, [("Sec-WebSocket-Protocol", offer)])

    assert (status, answer.get("sec-websocket-protocol")) == (400, None)


@pytest.mark.parametrize("suffix", ["", "/websocket"])
@pytest.mark.parametrize("path", ["visitor", "state", "visitors", "moderator", "visitors-list"])
def test_every_name_of_the_endpoints_takes_a_websocket(edge, path, suffix):
    assert handshake(edge.ws, f"/waiting-queue/{path}{suffix}", [])[0] == 101


@pytest.mark.parametrize(
    "path",
    [
        "/waiting-queue",
        "/waiting-queue/",
        "/waiting-queue/visitor/",
        "/waiting-queue/visitor/websocket/x",
        "/waiting-queue/visitor/info",
        "/visitor/websocket",
        "/visitor",
        "/waiting-queue/other/websocket",
        "/nowhere",
    ],
)
def test_an_unknown_path_is_a_404(edge, path):
    assert handshake(edge.ws, path, [("Sec-WebSocket-Protocol", "v12.stomp")])[0] == 404


def test_behind_api_gateway_there_is_no_path_below_the_stage(aws):
    assert handshake(aws.ws, "/waiting-queue/visitor/websocket", [])[0] == 403


@pytest.mark.parametrize("path", ["/", "/waiting-queue/state", "/waiting-queue/moderator/websocket"])
def test_the_path_does_not_decide_the_role(edge, tokens, room, path):
    assert admitted(edge, tokens.visitor(), VISITOR + room, path=path) == "yes"
    assert admitted(edge, tokens.moderator(), STATE + room, path=path) == "yes"
    assert admitted(edge, tokens.visitor(), STATE + room, path=path) == "subscribe"


@pytest.mark.parametrize(
    "query", ["?conference=other@conference.meet.local", "?endpoint=/visitors-list/websocket", "?endpoint=/x"]
)
def test_query_parameters_of_the_client_have_no_effect(front, tokens, room, query):
    assert admitted(front, tokens.visitor(), VISITOR + room, path=front.path + query) == "yes"


def test_the_base_path_may_be_empty(opened):
    assert handshake(opened.ws, "/visitor/websocket", [])[0] == 101
    assert handshake(opened.ws, "/waiting-queue/visitor/websocket", [])[0] == 404


# 2. CONNECT and CONNECTED, byte for byte


def stock_connect(token: str) -> str:
    """What the stock web client sends."""
    return f"CONNECT\nAuthorization:Bearer {token}\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n\0"


def jigasi_connect(token: str) -> str:
    """What the SIP gateway sends."""
    return f"CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:15000,15000\nAuthorization:Bearer {token}\n\n\0"


@pytest.mark.parametrize(
    ("name", "binary", "frame", "expected"),
    [
        ("edge", True, stock_connect, "CONNECTED\nversion:1.2\nheart-beat:15000,15000\n\n\0"),
        ("edge", False, stock_connect, "CONNECTED\nversion:1.2\nheart-beat:15000,15000\n\n\0"),
        ("edge", False, jigasi_connect, "CONNECTED\nversion:1.2\nheart-beat:15000,15000\n\n\0"),
        ("aws", False, stock_connect, "CONNECTED\nversion:1.2\nheart-beat:0,480000\n\n\0"),
        ("open", True, stock_connect, "CONNECTED\nversion:1.2\nheart-beat:500,500\n\n\0"),
    ],
)
def test_connect_as_binary_or_text_is_answered_by_these_bytes_as_text(
    fronts, tokens, name, binary, frame, expected
):
    client = fronts[name].open(binary=binary)
    client.send(frame(tokens.visitor()))

    assert client.receive() == expected


def test_the_connected_frame_says_the_pair_of_the_setting_also_when_it_is_silence(keyed):
    client = keyed.open(source="127.0.0.2")
    client.send(stock_connect(jaas()))

    assert client.receive() == "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"


def test_a_binary_message_closes_the_socket_behind_api_gateway(aws, tokens):
    client = aws.open(binary=True)
    client.send(stock_connect(tokens.visitor()))

    assert client.closed() == 1003


# 3. What CONNECT may leave out


@pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
@pytest.mark.parametrize(
    ("header", "version"),
    [
        ("", "1.0"),
        ("accept-version:1.0\n", "1.0"),
        ("accept-version:1.1\n", "1.1"),
        ("accept-version:1.2\n", "1.2"),
        ("accept-version:1.0,1.1\n", "1.1"),
        ("accept-version:2.0,1.2,1.1\n", "1.2"),
    ],
)
def test_the_highest_common_version_is_chosen_without_a_host_header(front, tokens, command, header, version):
    client = front.open()
    client.send(f"{command}\n{header}Authorization:Bearer {tokens.visitor()}\n\n\0")

    assert client.receive() == f"CONNECTED\nversion:{version}\nheart-beat:{front.heartbeat}\n\n\0"


@pytest.mark.parametrize("versions", ["2.0", "1.3,3.0", ""])
def test_no_common_version_is_an_error_that_lists_ours(front, tokens, versions):
    client = front.open()
    client.send(f"CONNECT\naccept-version:{versions}\nAuthorization:Bearer {tokens.visitor()}\n\n\0")

    assert refused(client, front, 1002)["version"] == "1.2,1.1,1.0"


@pytest.mark.parametrize(
    "headers",
    [
        "host:queue.example.com\naccept-version:1.2\nauthorization:Bearer {}\n",
        "AUTHORIZATION:Bearer {}\naccept-version:1.2\n",
        "accept-version:1.2\nAuthorization:bearer {}\n",
        "login:x\npasscode:y\naccept-version:1.2\nAuthorization:Bearer {}\nheart-beat:0,0\n",
    ],
)
def test_other_headers_of_connect_do_no_harm_and_authorization_is_found_in_any_case(front, tokens, headers):
    client = front.open()
    client.send(f"CONNECT\n{headers.format(tokens.visitor())}\n\0")

    assert client.frame()[0] == "CONNECTED"


# 4. Heart-beats and stray line ends


@pytest.mark.parametrize("beat", ["\n", "\r\n", "\n\n\r\n\n"])
@pytest.mark.parametrize(("name", "binary"), [("edge", False), ("edge", True), ("aws", False)])
def test_a_beat_is_not_answered_and_the_connection_stays(fronts, tokens, room, name, binary, beat):
    front = fronts[name]
    client = front.open()
    client.send(stock_connect(tokens.visitor()))
    assert client.frame()[0] == "CONNECTED"
    client.binary = binary
    for _ in range(3):
        client.send(beat)

    client.subscribed(VISITOR + room)


@pytest.mark.parametrize("before", ["\n", "\r\n\n"])
@pytest.mark.parametrize("behind", ["\n", "\r\n", "\n\n"])
def test_line_ends_around_frames_are_skipped(front, tokens, room, before, behind):
    client = front.open()
    client.send(f"{before}{stock_connect(tokens.visitor())}{behind}")
    assert client.frame()[0] == "CONNECTED"
    client.send(f"{before}SUBSCRIBE\nid:7\ndestination:{VISITOR}{room}\nreceipt:r\n\n\0{behind}")

    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    client.nothing(0.1)


@pytest.mark.parametrize(("name", "binary"), [("edge", True), ("edge", False), ("aws", False)])
def test_frames_with_crlf_are_read_and_answered_with_lf(fronts, tokens, room, name, binary):
    client = fronts[name].open(binary=binary)
    authorization = f"Authorization:Bearer {tokens.visitor()}"
    client.send(f"CONNECT\r\naccept-version:1.2\r\n{authorization}\r\n\r\n\0\r\n")
    assert "\r" not in client.receive()
    client.send(f"SUBSCRIBE\r\nid:0\r\ndestination:{VISITOR}{room}\r\nreceipt:r\r\n\r\n\0")

    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"


@beside("open")
def test_the_server_sends_the_beats_that_it_promised_as_one_text_lf(
    opened: Front, tokens: Tokens, room: str
) -> None:
    client = opened.connected(tokens.visitor())

    for _ in range(3):
        assert client.socket.recv(timeout=10) == "\n"


@beside("keys")
def test_nobody_is_sent_a_beat_where_none_was_promised(keyed: Front, tokens: Tokens, room: str) -> None:
    client = keyed.connected(jaas(), source="127.0.0.2")

    with pytest.raises(TimeoutError):
        client.socket.recv(timeout=1.0)


# 5. The ways to leave


CLOSE_1: Final = "RECEIPT\nreceipt-id:close-1\n\n\0"
DISCONNECT: Final = "DISCONNECT\nreceipt:close-1\n\n\0"
UNSUBSCRIBE: Final = "UNSUBSCRIBE\nid:sub-0\n\n\0"


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("frames", [(DISCONNECT,), (UNSUBSCRIBE, DISCONNECT), (UNSUBSCRIBE + DISCONNECT,)])
def test_both_orders_of_leaving_get_their_receipt(front, tokens, room, frames, released):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    if released:
        front.golive(tokens.server(), room)
        live(client)
    for frame in frames:
        client.send(frame)

    assert client.receive() == CLOSE_1


def test_a_receipt_also_comes_when_the_row_is_already_gone(aws, tokens, room):
    token = tokens.visitor()
    client = aws.subscribed(token, VISITOR + room)
    rows = [*queue_rows(aws, room), *session_rows(aws, token)]
    assert len(rows) == 2
    for row in rows:
        aws.delete(row)
    client.send(DISCONNECT)

    assert client.receive() == CLOSE_1


def test_every_disconnect_gets_its_receipt(front, tokens, room):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    client.send(DISCONNECT)
    assert client.receive() == CLOSE_1
    client.send("DISCONNECT\nreceipt:close-2\n\n\0")

    assert client.receive() == "RECEIPT\nreceipt-id:close-2\n\n\0"


def test_disconnect_before_connect_gets_its_receipt_and_then_the_close(front):
    client = front.open()
    client.send(DISCONNECT)

    assert client.receive() == CLOSE_1
    assert client.closed() == 1000


def test_disconnect_without_a_receipt_is_answered_by_the_close(front, tokens):
    client = front.connected(tokens.visitor())
    client.send("DISCONNECT\n\n\0")

    assert client.closed() == 1000


@beside(*BOTH)
def test_a_released_socket_that_stays_is_closed(front: Front, tokens: Tokens, room: str) -> None:
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    front.golive(tokens.server(), room)
    live(client)

    assert client.closed(30) == 1000


@beside(*BOTH)
def test_a_socket_released_as_a_latecomer_is_closed_too(front: Front, tokens: Tokens, room: str) -> None:
    front.golive(tokens.server(), room)
    client = front.connected(tokens.visitor())
    client.subscribe(VISITOR + room)
    live(client)

    assert client.closed(120) == 1000


@pytest.mark.parametrize("order", list(itertools.permutations(["unsubscribe", "disconnect", "gone"])))
def test_leaving_in_any_order_leaves_no_row_behind(front, tokens, room, order):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    assert len(queue_rows(front, room)) == 1
    for step in order:
        if step == "gone":
            client.abort()
            break
        client.send(UNSUBSCRIBE if step == "unsubscribe" else DISCONNECT)

    assert eventually(lambda: not queue_rows(front, room))
    assert count(front, tokens, room) == 0


def test_a_socket_that_goes_while_it_subscribes_leaves_no_row_behind(front, tokens, room):
    token = tokens.visitor()
    for _ in range(full(10, 200)):
        client = front.connected(token)
        client.subscribe(VISITOR + room)
        time.sleep(random.uniform(0.0, 0.01))
        client.abort()

    assert eventually(lambda: not queue_rows(front, room))
    if not front.edge:
        assert eventually(lambda: not session_rows(front, token))


@pytest.mark.parametrize("frame", [UNSUBSCRIBE, "UNSUBSCRIBE\nid:never\nreceipt:r\n\n\0"])
def test_unsubscribing_what_is_not_subscribed_is_no_fault(front, tokens, room, frame):
    client = front.connected(tokens.visitor())
    client.send(frame)
    client.send("ACK\nid:x\nreceipt:still-here\n\n\0")
    got = client.receive()
    while got != "RECEIPT\nreceipt-id:still-here\n\n\0":
        assert got == "RECEIPT\nreceipt-id:r\n\n\0"
        got = client.receive()


# 6. Who may listen to what


def test_a_moderator_on_the_visitors_endpoint_sees_the_count(front, tokens, room):
    assert count(front, tokens, room) == 0


def test_a_denied_subscription_has_its_token_refused_at_connect(front, tokens, room):
    token, other = tokens.visitor(), tokens.visitor()
    client = front.connected(token)
    client.subscribe(STATE + room, receipt="r-1")
    headers = refused(client, front, 1008)
    assert (headers["message"], headers["receipt-id"]) == ("Access denied", "r-1")

    for _ in range(4):
        again = front.open()
        again.send(stock_connect(token))
        assert refused(again, front, 1008)["message"] == "Access denied"
    assert admitted(front, other, VISITOR + room) == "yes"


@pytest.mark.parametrize(
    "destination",
    [
        "/secured/conference/visitor/topic.other@conference.elsewhere.example",
        "/secured/conference/visitor/topic.",
        "/secured/conference/visitor/topic.not-a-jid",
        "/secured/conference/visitor",
        "/secured/conference/other/topic.a@conference.meet.local",
        "/topic/a",
        "/queue/reply",
        "nonsense",
    ],
)
def test_what_is_nobodys_topic_is_denied_and_remembered(front, tokens, destination):
    token = tokens.visitor()

    assert admitted(front, token, destination) == "subscribe"
    assert admitted(front, token, VISITOR + conference()) == "connect"


@beside("open")
def test_a_denial_is_forgotten_after_its_time(opened: Front, tokens: Tokens, room: str) -> None:
    token = tokens.visitor()
    assert admitted(opened, token, STATE + room) == "subscribe"
    assert admitted(opened, token, VISITOR + room) == "connect"

    assert eventually(lambda: admitted(opened, token, VISITOR + room) == "yes")


def test_the_denial_of_a_moderator_is_not_remembered(front, tokens, room):
    token = tokens.moderator()
    assert admitted(front, token, VISITOR + room) == "subscribe"

    assert admitted(front, token, STATE + room) == "yes"


@pytest.mark.parametrize(
    "destination",
    [
        "/secured/conference/visitors-list/topic/0b5e",
        "/secured/conference/visitors-list/queue/0b5e/a1b2c3d4",
    ],
)
def test_the_list_of_visitors_is_denied_and_never_remembered(front, tokens, room, destination):
    token = tokens.visitor()
    assert admitted(front, token, destination) == "subscribe"

    assert admitted(front, token, VISITOR + room) == "yes"


@pytest.mark.parametrize("path", ["/waiting-queue/visitors-list", "/waiting-queue/visitors-list/websocket"])
def test_the_endpoint_of_the_list_denies_at_connect_and_forgets_it(edge, tokens, room, path):
    token = tokens.moderator()
    client = edge.open(path)
    client.send(stock_connect(token))
    assert refused(client, edge, 1008)["message"] == "Access denied"

    assert admitted(edge, token, STATE + room) == "yes"


def test_an_error_names_the_receipt_and_no_secret(front, tokens, room):
    token = tokens.visitor()
    client = front.connected(token)
    client.send(
        f"SUBSCRIBE\nid:0\ndestination:{STATE}{room}\nreceipt:r-9\nAuthorization:Bearer {token}\n\n\0"
    )
    text = client.receive()

    assert parse(text)[0] == "ERROR"
    assert parse(text)[1]["receipt-id"] == "r-9"
    assert token not in text
    assert "Traceback" not in text


# 3.4 Subscriptions


def test_the_same_subscription_again_changes_nothing(front, tokens, room):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    client.subscribed(VISITOR + room)
    assert count(front, tokens, room) == 1
    front.golive(tokens.server(), room)

    live(client)
    client.nothing(0.5)


def test_the_same_id_for_another_destination_is_an_error(front, tokens, room):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    client.subscribe(VISITOR + conference())

    refused(client, front, 1002)


def test_two_subscriptions_of_one_socket_get_a_message_each_and_count_as_one_visitor(front, tokens, room):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    client.subscribed(VISITOR + room.upper(), "other")
    assert count(front, tokens, room) == 1
    front.golive(tokens.server(), room)

    got = {client.frame(30)[1]["subscription"] for _ in range(2)}
    assert got == {"sub-0", "other"}
    client.nothing(0.5)


def test_of_two_subscriptions_one_can_be_given_up(front, tokens, room):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    client.subscribed(VISITOR + room, "sub-1")
    client.send("UNSUBSCRIBE\nid:sub-0\nreceipt:r\n\n\0")
    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    front.golive(tokens.server(), room)

    assert client.frame(30)[1]["subscription"] == "sub-1"
    client.nothing(0.5)


def test_one_socket_may_wait_for_several_conferences(front, tokens):
    rooms = [conference() for _ in range(8)]
    client = front.connected(tokens.visitor())
    for index, room in enumerate(rooms):
        client.subscribed(VISITOR + room, f"sub-{index}")
    front.golive(tokens.server(), rooms[5])
    assert live(client)["conference"] == rooms[5]
    client.nothing(0.3)


def test_a_ninth_subscription_is_an_error(front, tokens):
    client = front.connected(tokens.visitor())
    for index in range(8):
        client.subscribed(VISITOR + conference(), f"sub-{index}")
    client.subscribe(VISITOR + conference(), "sub-8")

    refused(client, front, 1002)


@pytest.mark.parametrize("frame", ["SUBSCRIBE\nid:0\n\n\0", "SUBSCRIBE\ndestination:{}\n\n\0"])
def test_a_subscription_needs_its_id_and_destination(front, tokens, room, frame):
    client = front.connected(tokens.visitor())
    client.send(frame.format(VISITOR + room))

    refused(client, front, 1002)


def test_in_1_0_a_subscription_without_an_id_goes_by_its_destination(front, tokens, room):
    client = front.connected(tokens.visitor(), version="1.0")
    client.send(f"SUBSCRIBE\ndestination:{VISITOR}{room}\nreceipt:r\n\n\0")
    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    client.send(f"UNSUBSCRIBE\ndestination:{VISITOR}{room}\nreceipt:s\n\n\0")
    assert client.receive() == "RECEIPT\nreceipt-id:s\n\n\0"
    assert count(front, tokens, room) == 0
    client.send(f"SUBSCRIBE\ndestination:{VISITOR}{room}\nreceipt:t\n\n\0")
    assert client.receive() == "RECEIPT\nreceipt-id:t\n\n\0"
    front.golive(tokens.server(), room)

    command, headers, _ = client.frame(30)
    assert (command, headers["destination"]) == ("MESSAGE", VISITOR + room)


@pytest.mark.parametrize(("mode", "asked"), [("auto", False), ("client", True), ("client-individual", True)])
def test_an_ack_mode_is_taken_as_auto_and_the_message_names_what_to_acknowledge(
    front, tokens, room, mode, asked
):
    client = front.connected(tokens.visitor())
    client.send(f"SUBSCRIBE\nid:0\ndestination:{VISITOR}{room}\nack:{mode}\nreceipt:r\n\n\0")
    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    front.golive(tokens.server(), room)

    headers = client.frame(30)[1]
    assert headers.get("ack") == (headers["message-id"] if asked else None)


@pytest.mark.parametrize("case", ["own", "another visitor's", "another room's", "no token", "a moderator's"])
def test_a_token_on_subscribe_has_to_permit_the_destination_itself_and_overrides_nothing(
    front, tokens, room, case
):
    mine = tokens.visitor()
    header, destination, allowed = {
        "own": (f"Bearer {mine}", VISITOR + room, True),
        "another visitor's": (f"Bearer {tokens.visitor()}", VISITOR + room, True),
        "another room's": (f"Bearer {tokens.visitor(room='other')}", VISITOR + room, False),
        "no token": ("Bearer nonsense", VISITOR + room, False),
        "a moderator's": (f"Bearer {tokens.moderator()}", STATE + room, False),
    }[case]
    client = front.connected(mine)
    client.send(f"SUBSCRIBE\nid:0\ndestination:{destination}\nAuthorization:{header}\nreceipt:r\n\n\0")

    if allowed:
        assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    else:
        assert refused(client, front, 1008)["receipt-id"] == "r"


# 4 and 5 of the contract: names, and the bytes of MESSAGE


NAMES: Final = [
    ("{0}@conference.meet.local", "{0}@conference.meet.local", "*"),
    ("{0}-ROOM@Conference.MEET.local", "{0}-room@conference.meet.local", "*"),
    ("{0}@conference.meet.local/nick", "{0}@conference.meet.local", "*"),
    ("[acme]{0}@conference.meet.local", "{0}@conference.acme.meet.local", "acme"),
    ("{0}@conference.acme.meet.local", "{0}@conference.acme.meet.local", "ACME"),
    ("%D0%9A{0}@conference.meet.local", "%d0%9a{0}@conference.meet.local", "*"),
    ("комната-{0}@conference.meet.local", "комната-{0}@conference.meet.local", "*"),
    ("{0}'\"&<>@conference.meet.local", "{0}'\"&<>@conference.meet.local", "*"),
]


@pytest.mark.parametrize(("spelled", "name", "sub"), NAMES)
def test_the_live_message_has_these_bytes_and_the_normalised_name(front, tokens, spelled, name, sub):
    mark = unique()
    spelled, name = spelled.format(mark), name.format(mark)
    client = front.subscribed(tokens.visitor(sub=sub), VISITOR + spelled)
    front.golive(tokens.server(), f"  {name.upper()} ")

    text = client.receive(30)
    ident = parse(text)[1]["message-id"]
    body = json.dumps({"conference": name}, ensure_ascii=False, separators=(",", ":"))[:-1]
    body += ',"status":"live","randomDelayMs":1000}'
    assert text == (
        f"MESSAGE\ndestination:{VISITOR}{spelled}\nsubscription:sub-0\nmessage-id:{ident}\n"
        f"content-type:application/json\ncontent-length:{len(body.encode())}\n\n{body}\0"
    )
    assert "\\" not in ident


def test_the_count_has_these_bytes(front, tokens, room):
    client = front.connected(tokens.moderator())
    client.send(f"SUBSCRIBE\nid:sub-7\ndestination:{STATE}{room.upper()}\n\n\0")

    text = client.receive()
    body = f'{{"conference":"{room}","visitorsWaiting":0}}'
    assert text == (
        f"MESSAGE\ndestination:{STATE}{room.upper()}\nsubscription:sub-7\n"
        f"message-id:{parse(text)[1]['message-id']}\ncontent-type:application/json\n"
        f"content-length:{len(body)}\n\n{body}\0"
    )


@pytest.mark.parametrize(("length", "status"), [(1023, 200), (1024, 404)])
def test_names_may_have_1023_bytes(front, tokens, length, status):
    mark, host = unique(), "@conference.meet.local"
    name = mark + "x" * (length - len(mark) - len(host)) + host

    assert front.call_golive(tokens.server(), name)[0] == status
    expected = "yes" if status == 200 else "subscribe"
    assert admitted(front, tokens.visitor(), VISITOR + name) == expected


# 7. The message reads with the least parser there is


def test_the_live_message_reads_by_lines_and_its_delay_is_an_integer(front, tokens, room):
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    front.golive(tokens.server(), room)

    lines = client.receive(30).removesuffix("\0").split("\n")
    empty = lines.index("")
    assert lines[0] == "MESSAGE"
    found = json.loads("".join(lines[empty + 1 :]))
    assert found["status"] == "live"
    assert type(found["randomDelayMs"]) is int
    assert len(lines) == empty + 2, "the JSON stands on one line"


# 8. SUBSCRIBE racing GOLIVE


def race(front: Front, tokens: Tokens, subscribe_first: bool) -> list[str]:
    """One visitor whose SUBSCRIBE and one server whose `golive` are on their way at once: what came."""
    room = conference()
    client = front.connected(tokens.visitor())
    together = threading.Barrier(2)
    server = tokens.server()

    def go() -> None:
        together.wait()
        if subscribe_first:
            time.sleep(random.uniform(0.0, 0.006))
        front.golive(server, room)

    caller = threading.Thread(target=go)
    caller.start()
    together.wait()
    if not subscribe_first:
        time.sleep(random.uniform(0.0, 0.006))
    client.subscribe(VISITOR + room)
    caller.join()
    got = [client.receive(60)]
    try:
        while True:
            got.append(client.receive(0.5))
    except (TimeoutError, ConnectionClosed):
        client.abort()
        return got


@pytest.mark.parametrize("subscribe_first", [True, False])
def test_subscribe_racing_golive_gets_exactly_one_live_message(front, tokens, subscribe_first):
    with ThreadPoolExecutor(4) as pool:  # the thousand of the checklist run in tests/live/test_races.py
        begun = [pool.submit(race, front, tokens, subscribe_first) for _ in range(full(16, 200))]
    for each in begun:
        [text] = each.result()
        assert parse(text)[0] == "MESSAGE"
        assert json.loads(parse(text)[2])["status"] == "live"


# 9. Repeated and early `golive`


@beside(*BOTH)
def test_golive_twice_sends_one_message(front: Front, tokens: Tokens, room: str) -> None:
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    front.golive(tokens.server(), room)
    front.golive(tokens.server(), room)

    live(client)
    client.nothing(1.0)


def test_who_comes_to_a_live_conference_is_released_at_once(front, tokens, room):
    front.golive(tokens.server(), room)
    client = front.connected(tokens.visitor())
    client.subscribe(VISITOR + room)

    assert live(client)["conference"] == room
    client.nothing(0.3)


@beside(*BOTH)
def test_deleting_the_live_record_has_visitors_wait_again_and_counts_no_released_one(
    front: Front, tokens: Tokens, room: str
) -> None:
    token = tokens.visitor()
    released = front.subscribed(token, VISITOR + room)
    front.golive(tokens.server(), room)
    live(released)
    status, _, body = front.call_golive(tokens.server(), room, "DELETE")
    assert (status, json.loads(body)["conference"]) == (200, room)

    assert count(front, tokens, room) == 0
    waits = front.subscribed(tokens.visitor(), VISITOR + room)
    assert count(front, tokens, room) == 1
    waits.nothing(0.3)
    front.golive(tokens.server(), room)
    live(waits)


@beside("keys")
def test_who_was_released_does_not_count_when_the_live_record_has_run_out(
    keyed: Front, tokens: Tokens, room: str
) -> None:
    name = room.partition("@")[0] + f"@muc.{jwts.JAAS_TENANT}.8x8.vc"

    def comes() -> StompClient:
        return keyed.subscribed(jaas(), VISITOR + name, source="127.0.0.8")

    def counted() -> int:
        moderator = keyed.connected(jaas(role=None, moderator=True), source="127.0.0.9")
        moderator.subscribe(STATE + name)
        return waiting(moderator.receive())

    released = comes()
    keyed.golive(tokens.server(), name)
    ends = time.time() + LIVE_S + 0.5
    live(released)
    assert eventually(lambda: time.time() > ends)

    waits = comes()
    assert counted() == 1
    waits.nothing(0.3)
    keyed.golive(tokens.server(), name)
    live(waits)


# 10. POST /golive


JSON: Final = "application/json"


def signed_by(token: str) -> dict[str, str]:
    """The headers of a call with a token."""
    return {"Authorization": f"Bearer {token}", "Content-Type": JSON}


@pytest.mark.parametrize("kind", [JSON, "application/json; charset=utf-8", "Application/JSON", None])
def test_golive_is_recorded_and_answered_by_exactly_200(front, tokens, room, kind):
    headers = signed_by(tokens.server()) | ({"Content-Type": kind} if kind else {})
    if kind is None:
        del headers["Content-Type"]
    status, answer, body = front.call("POST", "/golive", f'{{"conference":"{room.upper()}"}}', headers)

    assert status == 200
    assert answer["content-type"].startswith(JSON)
    assert json.loads(body) == {"conference": room, "status": "live"}


def test_golive_needs_no_base_domain_of_ours(front, tokens):
    front.golive(tokens.server(), conference("conference.elsewhere.example"))


def test_golive_takes_further_members(front, tokens, room):
    body = json.dumps({"conference": room, "meetingId": 7, "x": {"y": [None]}})

    assert front.call("POST", "/golive", body, signed_by(tokens.server()))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'["a@conference.meet.local"]',
        b'"a@conference.meet.local"',
        b"7",
        b"conference=a",
        b'{"conference":"a@conference.meet.local"',
        b'{"conference":"a@b.c"} {}',
        b'{"conference":"a@b.c","conference":"d@b.c"}',
        b'{"conference":"a@b.c","x":NaN}',
        b'{"conference":"a@b.c","x":"\xff"}',
        b'{"conference":"a@b.c","x":"\\ud800"}',
        b"\xef\xbb\xbf[]",
        b"[" * 200 + b"]" * 200,
    ],
)
def test_a_body_that_is_no_json_object_is_a_400(front, tokens, body):
    assert front.call("POST", "/golive", body, signed_by(tokens.server()))[0] == 400


def bad_server_tokens(tokens: Tokens) -> dict[str, str | None]:
    """`Authorization` headers that prove nothing."""
    now = time.time()
    payload = jwts.prosody_server(now, jti=unique())
    public = tokens.server_key.public_pem
    good = tokens.server()
    return {
        "no header": None,
        "an empty header": "",
        "a scheme alone": "Bearer",
        "a scheme and a blank": "Bearer ",
        "another scheme": "Basic aml0c2k6aml0c2k=",
        "the token alone": good,
        "no token": "Bearer nonsense",
        "a changed signature": f"Bearer {good[:-6]}AAAAAA",
        "a changed payload": "Bearer " + ".".join([good.split(".")[0], "e30", good.split(".")[2]]),
        "another key": f"Bearer {jwts.sign(payload, jwts.rsa_pair('stranger'), kid=jwts.SERVER_KID)}",
        "no algorithm": f"Bearer {jwts.sign(payload, '', alg='none')}",
        "the public key as a secret": f"Bearer {jwts.sign(payload, public, alg='HS256')}",
        "expired": f"Bearer {tokens.server(exp=int(now) - 120)}",
        "no exp": f"Bearer {tokens.server(exp=None)}",
        "exp as text": f"Bearer {tokens.server(exp=str(int(now) + 60))}",
        "not yet": f"Bearer {tokens.server(nbf=int(now) + 120)}",
        "another issuer": f"Bearer {tokens.server(iss='chat')}",
        "no issuer": f"Bearer {tokens.server(iss=None)}",
        "another audience": f"Bearer {tokens.server(aud='other')}",
        "no audience": f"Bearer {tokens.server(aud=None)}",
        "an expired user's": f"Bearer {tokens.visitor(exp=int(now) - 120)}",
    }


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_token_that_proves_nothing_is_a_401_that_says_bearer(front, tokens, room, method):
    for case, header in bad_server_tokens(tokens).items():
        headers = {"Content-Type": JSON} | ({} if header is None else {"Authorization": header})
        status, answer, body = front.call(method, "/golive", f'{{"conference":"{room}"}}', headers)

        assert (status, answer.get("www-authenticate")) == (401, "Bearer"), case
        assert header is None or len(header) < 20 or header.encode() not in body, case
    assert count(front, tokens, room) == 0
    client = front.subscribed(tokens.visitor(), VISITOR + room)
    client.nothing(0.3)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_token_of_somebody_else_is_a_403(front, tokens, room, method):
    for case, token in {
        "a visitor's": tokens.visitor(),
        "a moderator's": tokens.moderator(),
        "a moderator's for the room": tokens.moderator(room=room.partition("@")[0]),
        "a server's with a context": tokens.server(context={}),
        "a server's with a user": tokens.server(context={"user": {"moderator": True}}),
        "a server's for another room": tokens.server(room="other"),
        "a server's for no room": tokens.server(room=""),
        "a server's for a number": tokens.server(room=7),
    }.items():
        assert front.call_golive(token, room, method)[0] == 403, case


@pytest.mark.parametrize("claim", ["*", "{0}", "upper", None])
def test_a_servers_token_for_the_room_or_for_all_is_good(front, tokens, room, claim):
    name = room.partition("@")[0]
    claims = {None: None, "upper": name.upper()}.get(claim, claim and claim.format(name))

    front.golive(tokens.server(room=claims), room)


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"Conference": "a@conference.meet.local"},
        {"conference": None},
        {"conference": ""},
        {"conference": "   "},
        {"conference": "room1"},
        {"conference": "@conference.meet.local"},
        {"conference": "a@"},
        {"conference": "a@b@c"},
        {"conference": 5},
        {"conference": ["a@conference.meet.local"]},
        {"conference": "x" * 1003 + "@conference.meet.local"},
    ],
)
def test_a_conference_that_is_missing_or_no_jid_is_a_404(front, tokens, member):
    assert front.call("POST", "/golive", json.dumps(member), signed_by(tokens.server()))[0] == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "HEAD"])
def test_another_method_is_a_405_that_lists_ours(front, tokens, room, method):
    body = f'{{"conference":"{room}"}}'
    status, answer, _ = front.call(method, "/golive", body, signed_by(tokens.server()))

    assert status == 405
    assert "POST" in answer["allow"]


@pytest.mark.parametrize(("size", "status"), [(8192, 200), (8193, 413), (300_000, 413)])
def test_a_body_may_have_8_kib(front, tokens, room, size, status):
    body = json.dumps({"conference": room, "x": ""})
    body = body.replace('"x": ""', f'"x": "{"y" * (size - len(body))}"')
    assert len(body) == size

    assert front.call("POST", "/golive", body, signed_by(tokens.server()))[0] == status


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"]
)
def test_another_type_than_json_is_a_415(front, tokens, room, kind):
    headers = signed_by(tokens.server()) | {"Content-Type": kind}

    assert front.call("POST", "/golive", f'{{"conference":"{room}"}}', headers)[0] == 415


def test_an_issuer_may_be_held_to_its_domains(keyed, tokens):
    ours, tenant = conference("muc.8x8.vc"), conference("muc.acme.8x8.vc")
    theirs = conference("muc.elsewhere.example")

    def status(issuer: str, name: str) -> int:
        answer: int = keyed.call_golive(tokens.server(iss=issuer), name)[0]
        return answer

    assert [status("jitsi", name) for name in (ours, tenant, theirs)] == [200, 200, 403]
    assert [status("other", name) for name in (ours, tenant, theirs)] == [403, 403, 200]
    assert status("jitsi", conference("muc.evil8x8.vc")) == 403
    assert status("third", ours) == 401


# 11. The count


@beside(*BOTH)
def test_the_number_comes_at_once_and_then_its_changes(front: Front, tokens: Tokens, room: str) -> None:
    one = front.subscribed(tokens.visitor(), VISITOR + room)
    front.subscribed(tokens.visitor(), VISITOR + room)
    moderator = watching(front, tokens, room, 2)
    front.subscribed(tokens.visitor(), VISITOR + room)
    told(moderator, 3)
    late = watching(front, tokens, room, 3)
    one.abort()
    told(moderator, 2)
    told(late, 2)
    moderator.nothing(2 * INTERVAL_S)
    late.nothing(0.1)


@beside(*BOTH)
def test_many_changes_make_few_updates(front: Front, tokens: Tokens, room: str) -> None:
    moderator = watching(front, tokens, room, 0)
    began = time.monotonic()
    for _ in range(12):
        front.subscribed(tokens.visitor(), VISITOR + room)
        time.sleep(0.2)
    updates = 0
    while True:
        updates += 1
        if waiting(moderator.receive(30)) == 12:
            break

    assert updates <= (time.monotonic() - began) / INTERVAL_S + 1


@beside(*BOTH)
def test_a_visitor_who_comes_back_at_once_does_not_make_the_number_flicker(
    front: Front, tokens: Tokens, room: str
) -> None:
    token = tokens.visitor()
    client = front.subscribed(token, VISITOR + room)
    moderator = watching(front, tokens, room, 1)
    for _ in range(4):
        client.abort()
        time.sleep(0.1)
        client = front.subscribed(token, VISITOR + room)
        time.sleep(INTERVAL_S / 2)

    moderator.nothing(INTERVAL_S)


@beside(*BOTH)
def test_a_moderator_who_left_is_told_no_more(front: Front, tokens: Tokens, room: str) -> None:
    moderator = watching(front, tokens, room, 0)
    moderator.send("UNSUBSCRIBE\nid:sub-0\nreceipt:r\n\n\0")
    assert moderator.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    front.subscribed(tokens.visitor(), VISITOR + room)

    moderator.nothing(2.5 * INTERVAL_S)


@beside(*BOTH)
def test_two_subscriptions_of_a_moderator_are_told_both(front: Front, tokens: Tokens, room: str) -> None:
    moderator = watching(front, tokens, room, 0)
    moderator.subscribe(STATE + room, "sub-1")
    assert waiting(moderator.receive()) == 0
    front.subscribed(tokens.visitor(), VISITOR + room)
    got = [parse(moderator.receive(30)) for _ in range(2)]

    assert {headers["subscription"] for _, headers, _ in got} == {"sub-0", "sub-1"}
    assert [json.loads(body)["visitorsWaiting"] for _, _, body in got] == [1, 1]


@beside(*BOTH)
def test_while_a_conference_is_live_its_number_is_0(front: Front, tokens: Tokens, room: str) -> None:
    front.subscribed(tokens.visitor(), VISITOR + room)
    moderator = watching(front, tokens, room, 1)
    front.golive(tokens.server(), room)
    told(moderator, 0)
    client = front.connected(tokens.visitor())
    client.subscribe(VISITOR + room)
    live(client)

    assert count(front, tokens, room) == 0
    moderator.nothing(INTERVAL_S)


@beside(*BOTH)
def test_rows_of_a_front_that_has_gone_do_not_count(front: Front, tokens: Tokens, room: str) -> None:
    other = unique()[:6]
    front.put(front_row(other, "http://127.0.0.1:9", lease_s=8.0))
    front.put(queue_row(room, other))
    assert eventually(lambda: count(front, tokens, room) == 1)
    moderator = watching(front, tokens, room, 1)

    told(moderator, 0)


@beside(*BOTH)
def test_rows_whose_time_is_over_do_not_count(front: Front, tokens: Tokens, room: str) -> None:
    front.put(queue_row(room, front.gateway.ready["front"], expires_in=4.0))
    moderator = watching(front, tokens, room, 1)

    told(moderator, 0)


def test_rows_of_an_unknown_front_do_not_count(front, tokens, room):
    front.put(queue_row(room, unique()[:6]))

    assert count(front, tokens, room) == 0


# 12. Tokens


def jaas(*, key: jwts.KeyPair | str | None = None, alg: str | None = None, **claims: Any) -> str:
    """A JaaS user's token, of which no two are equal."""
    payload = jwts.jaas_user(time.time(), jti=unique(), **claims)
    return jwts.sign(payload, jwts.rsa_pair() if key is None else key, alg=alg, kid=jwts.JAAS_KID)


def soon(seconds: float) -> int:
    """A moment as a token spells it."""
    return int(time.time() + seconds)


ROOM_TOPIC: Final = VISITOR + "Room1@conference.meet.local"
STATE_TOPIC: Final = STATE + "room1@conference.meet.local"
TENANT_TOPIC: Final = VISITOR + "room1@conference.acme.meet.local"
WIDE_TOPIC: Final = VISITOR + "%d0%ba%20x@conference.meet.local"

VALIDITY: Final = [
    # case, claims, destination, where it fails
    ("as it is", {}, ROOM_TOPIC, "yes"),
    ("nbf 30 s ahead", {"nbf": 30.0}, ROOM_TOPIC, "yes"),
    ("nbf 2 min ahead", {"nbf": 120.0}, ROOM_TOPIC, "connect"),
    ("expired 30 s ago", {"exp": -30.0}, ROOM_TOPIC, "yes"),
    ("no exp", {"exp": None}, ROOM_TOPIC, "connect"),
    ("exp as text", {"exp": "4102444800"}, ROOM_TOPIC, "connect"),
    ("exp true", {"exp": True}, ROOM_TOPIC, "connect"),
    ("a list of audiences", {"aud": ["x", "jitsi"]}, ROOM_TOPIC, "yes"),
    ("another audience", {"aud": "x"}, ROOM_TOPIC, "connect"),
    ("no audience", {"aud": None}, ROOM_TOPIC, "connect"),
    ("another issuer", {"iss": "x"}, ROOM_TOPIC, "connect"),
    ("no issuer", {"iss": None}, ROOM_TOPIC, "connect"),
    ("iat and nbf", {"iat": -5.0, "nbf": -5.0}, ROOM_TOPIC, "yes"),
    # the room
    ("the room", {"room": "room1"}, ROOM_TOPIC, "yes"),
    ("the room in capitals", {"room": "ROOM1"}, ROOM_TOPIC, "yes"),
    ("another room", {"room": "room2"}, ROOM_TOPIC, "subscribe"),
    ("part of the room", {"room": "room"}, ROOM_TOPIC, "subscribe"),
    ("a pattern that is none", {"room": "room.*"}, ROOM_TOPIC, "subscribe"),
    ("an empty room", {"room": ""}, ROOM_TOPIC, "subscribe"),
    ("a percent-encoded room, raw", {"room": "\u041a x"}, WIDE_TOPIC, "yes"),
    ("a percent-encoded room, encoded", {"room": "%D0%BA%20x"}, WIDE_TOPIC, "yes"),
    ("no room", {"room": None}, ROOM_TOPIC, "connect"),
    # the domain
    ("any domain", {"sub": "*"}, ROOM_TOPIC, "yes"),
    ("the domain in capitals", {"sub": "MEET.LOCAL"}, ROOM_TOPIC, "yes"),
    ("another domain", {"sub": "other.local"}, ROOM_TOPIC, "subscribe"),
    ("no domain", {"sub": None}, ROOM_TOPIC, "subscribe"),
    ("a part of the domain", {"sub": "local"}, ROOM_TOPIC, "subscribe"),
    ("a tenant without one in the name", {"sub": "acme"}, ROOM_TOPIC, "subscribe"),
    ("the tenant", {"sub": "acme"}, TENANT_TOPIC, "yes"),
    ("the tenant in capitals", {"sub": "ACME"}, TENANT_TOPIC, "yes"),
    ("any tenant", {"sub": "*"}, TENANT_TOPIC, "yes"),
    ("another tenant", {"sub": "other"}, TENANT_TOPIC, "subscribe"),
    ("the domain for a tenant's room", {"sub": "meet.local"}, TENANT_TOPIC, "subscribe"),
    ("a domain that ends like ours", {"sub": "*"}, VISITOR + "a@conference.evilmeet.local", "subscribe"),
    ("another base domain", {"sub": "*"}, VISITOR + "a@conference.elsewhere.example", "subscribe"),
    ("another prefix", {"sub": "*"}, VISITOR + "a@muc.meet.local", "subscribe"),
    ("no prefix", {"sub": "*"}, VISITOR + "a@meet.local", "subscribe"),
    # the role
    ("no role", {"role": None}, ROOM_TOPIC, "connect"),
    ("another role", {"role": "participant"}, ROOM_TOPIC, "connect"),
    ("a moderator without the role", {"role": None, "moderator": True}, ROOM_TOPIC, "subscribe"),
    ("a moderator with the role", {"moderator": True}, ROOM_TOPIC, "yes"),
    ("a visitor at the count", {}, STATE_TOPIC, "subscribe"),
    ("a moderator at the count", {"role": None, "moderator": True}, STATE_TOPIC, "yes"),
    ("a moderator by text", {"role": None, "moderator": "true"}, STATE_TOPIC, "yes"),
    ("no moderator by text", {"moderator": "false"}, STATE_TOPIC, "subscribe"),
    ("a moderator by number", {"moderator": 1}, STATE_TOPIC, "subscribe"),
    ("another room at the count", {"moderator": True, "room": "room2"}, STATE_TOPIC, "subscribe"),
    ("another domain at the count", {"moderator": True, "sub": "x"}, STATE_TOPIC, "subscribe"),
    ("no context", {"context": None}, ROOM_TOPIC, "connect"),
    ("a context that is none", {"context": "visitor"}, ROOM_TOPIC, "connect"),
    # patterns
    ("a pattern", {"room": "room[0-9]+", "regex": True}, ROOM_TOPIC, "yes"),
    ("a pattern for another room", {"room": "hall[0-9]+", "regex": True}, ROOM_TOPIC, "subscribe"),
    ("a pattern is anchored", {"room": "oom", "regex": True}, ROOM_TOPIC, "subscribe"),
    ("a pattern that takes for ever", {"room": "(r+)+\\1$", "regex": True}, ROOM_TOPIC, "subscribe"),
]


@pytest.mark.parametrize(
    ("claims", "destination", "expected"), [row[1:] for row in VALIDITY], ids=[row[0] for row in VALIDITY]
)
def test_a_users_token_is_valid_for_a_conference_by_this_table(edge, tokens, claims, destination, expected):
    given = {name: soon(value) if isinstance(value, float) else value for name, value in claims.items()}
    if given.pop("regex", False):
        given["context"] = {"user": {"role": "visitor"}, "room": {"regex": True}}

    assert admitted(edge, tokens.user(**given), destination) == expected


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_the_configured_secret_signs_by_any_of_its_algorithms(edge, tokens, alg):
    payload = jwts.self_hosted_user(time.time(), jti=unique())

    assert admitted(edge, jwts.sign(payload, tokens.secret, alg=alg), ROOM_TOPIC) == "yes"


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512"])
def test_the_configured_public_key_verifies_any_of_its_algorithms(keyed, alg):
    topic = VISITOR + conference(f"muc.{jwts.JAAS_TENANT}.8x8.vc")

    assert admitted(keyed, jaas(alg=alg), topic, source="127.0.0.2") == "yes"


def test_algorithms_are_pinned_to_the_kind_of_key(edge, keyed, tokens):
    payload = jwts.self_hosted_user(time.time(), jti=unique())
    signed = jwts.sign(payload, tokens.secret)
    for case, token in {
        "none": jwts.sign(payload, "", alg="none"),
        "None": jwts.sign_raw('{"alg":"None"}', json.dumps(payload), "", "none"),
        "another secret": jwts.sign(payload, "x" * 40),
        "a public key": jwts.sign(payload, jwts.rsa_pair(), kid="x"),
        "the servers' key for a user": jwts.sign(payload, tokens.server_key, kid=jwts.SERVER_KID),
        "no signature": signed.rpartition(".")[0] + ".",
        "two parts": signed.rpartition(".")[0],
        "an empty token": "",
    }.items():
        assert admitted(edge, token, ROOM_TOPIC) == "connect", case

    topic = VISITOR + conference(f"muc.{jwts.JAAS_TENANT}.8x8.vc")
    for case, token in {
        "none": jaas(key="", alg="none"),
        "HS256 with the public key": jaas(key=jwts.rsa_pair().public_pem, alg="HS256"),
        "HS256 with a secret": jaas(key=tokens.secret, alg="HS256"),
        "another key": jaas(key=jwts.rsa_pair("stranger")),
    }.items():
        assert admitted(keyed, token, topic, source="127.0.0.2") == "connect", case


def test_jaas_tokens_are_held_to_their_tenant(keyed):
    def at(host: str, **claims: Any) -> str:
        return admitted(keyed, jaas(**claims), VISITOR + conference(host), source="127.0.0.3")

    assert at(f"muc.{jwts.JAAS_TENANT}.8x8.vc") == "yes"
    assert at("muc.vpaas-magic-cookie-ffff.8x8.vc") == "subscribe"
    assert at("muc.8x8.vc") == "subscribe"
    assert at(f"conference.{jwts.JAAS_TENANT}.8x8.vc") == "subscribe"


def test_without_a_token_nobody_is_admitted(front, room):
    client = front.open()
    client.send("CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n\0")

    assert refused(client, front, 1008)["message"] == "Access denied"


def test_where_that_is_allowed_visitors_need_no_token_and_moderators_do(opened, tokens, room):
    assert admitted(opened, None, VISITOR + room) == "yes"
    assert admitted(opened, None, STATE + room) == "subscribe"
    client = opened.subscribed(None, VISITOR + room)
    opened.golive(tokens.server(), room)
    live(client)


@pytest.mark.parametrize(
    ("claims", "kind", "expected"),
    [
        ({"role": None}, VISITOR, "yes"),
        ({"role": "participant", "room": None}, VISITOR, "yes"),
        ({"room": "other"}, VISITOR, "subscribe"),
        ({"sub": "elsewhere.example"}, VISITOR, "yes"),
        ({"sub": None, "aud": "anything"}, VISITOR, "yes"),
        ({"role": None}, STATE, "subscribe"),
        ({"role": None, "moderator": True, "room": None}, STATE, "yes"),
        ({"context": {"user": {"affiliation": "owner"}}}, STATE, "yes"),
        ({"context": {"user": {"affiliation": "member"}}}, STATE, "subscribe"),
    ],
)
def test_what_the_settings_relax_is_relaxed(opened, tokens, room, claims, kind, expected):
    assert admitted(opened, tokens.user(**claims), kind + room) == expected


@pytest.mark.parametrize(
    ("claims", "destination", "expected"),
    [
        ({}, ROOM_TOPIC, "yes"),
        ({}, VISITOR + "a@conference.elsewhere.example", "yes"),
        ({"nbf": None, "iat": 0.0, "exp": 300.0}, ROOM_TOPIC, "yes"),
        ({}, STATE_TOPIC, "subscribe"),
        ({"room": "room1"}, ROOM_TOPIC, "yes"),
        ({"room": "*"}, ROOM_TOPIC, "yes"),
        ({"room": "room2"}, ROOM_TOPIC, "subscribe"),
        ({"context": {"user": {"role": "visitor"}}}, ROOM_TOPIC, "connect"),
        ({"iss": "x"}, ROOM_TOPIC, "connect"),
        ({"exp": None}, ROOM_TOPIC, "connect"),
    ],
)
def test_a_servers_token_may_wait_for_any_conference_it_is_good_for(
    front, tokens, claims, destination, expected
):
    given = {name: soon(value) if isinstance(value, float) else value for name, value in claims.items()}

    assert admitted(front, tokens.server(**given), destination) == expected


# 13. Long waits


@beside(*BOTH)
def test_an_expired_token_comes_back_to_the_visitor_topic_it_was_accepted_for_and_to_nothing_else(
    front: Front, tokens: Tokens, room: str
) -> None:
    lapse = int(time.time()) + 10  # then the leeway of 60 s is over
    exp = lapse - 60
    waited, left, never = (tokens.visitor(exp=exp) for _ in range(3))
    both = tokens.visitor(exp=exp, moderator=True)
    moderator = tokens.moderator(exp=exp)
    server = tokens.server(exp=exp)
    stays = [front.subscribed(token, VISITOR + room) for token in (waited, both, server)]
    front.subscribed(left, VISITOR + room).send(DISCONNECT)
    assert admitted(front, moderator, STATE + room) == "yes"
    assert admitted(front, both, STATE + room) == "yes"
    assert eventually(lambda: time.time() > lapse + 0.5)

    for client in stays:
        client.send("ACK\nid:x\nreceipt:still-here\n\n\0")
        assert client.receive() == "RECEIPT\nreceipt-id:still-here\n\n\0"
    for token in (waited, left, both, server):
        assert admitted(front, token, VISITOR + room) == "yes"
    assert admitted(front, both, STATE + room) == "subscribe"
    assert admitted(front, moderator, STATE + room) == "connect"
    assert admitted(front, left, VISITOR + conference()) == "subscribe"
    assert admitted(front, never, VISITOR + room) == "subscribe"
    assert admitted(front, never, VISITOR + room) == "connect"
    assert front.call_golive(server, room)[0] == 401
    for client in stays:
        client.nothing(0.05)


@beside(*BOTH)
def test_a_token_comes_back_again_and_again_in_its_grace_and_is_released(
    front: Front, tokens: Tokens, room: str
) -> None:
    lapse = int(time.time()) + 6
    token = tokens.visitor(exp=lapse - 60)
    front.subscribed(token, VISITOR + room).abort()
    assert eventually(lambda: time.time() > lapse + 0.5)
    for _ in range(3):
        client = front.subscribed(token, VISITOR + room)
        client.abort()
        eventually(lambda: not queue_rows(front, room))
    client = front.subscribed(token, VISITOR + room)
    front.golive(tokens.server(), room)

    live(client)


# 14. Escapes


@pytest.mark.parametrize(
    ("version", "spelled", "good"),
    [
        ("1.2", "a\\cb", True),
        ("1.2", "a\\nb", True),
        ("1.2", "a\\rb", True),
        ("1.2", "a\\\\b", True),
        ("1.2", "\\\\n\\\\c", True),
        ("1.2", "a\\tb", False),
        ("1.2", "a\\", False),
        ("1.2", "a:b", True),
        ("1.1", "a\\cb", True),
        ("1.1", "a\\nb", True),
        ("1.1", "a\\\\b", True),
        ("1.1", "a\\rb", False),
        ("1.1", "a\\tb", False),
        ("1.0", "a\\cb", True),
        ("1.0", "a\\tb", True),
        ("1.0", "a\\", True),
        ("1.0", "a:b", True),
        ("1.2", "идентификатор", True),
    ],
)
def test_escapes_are_those_of_the_version_and_values_come_back_as_they_were(
    front, tokens, room, version, spelled, good
):
    client = front.connected(tokens.visitor(), version=version)
    client.send(f"SUBSCRIBE\nid:{spelled}\ndestination:{VISITOR}{room}\nreceipt:{spelled}\n\n\0")
    if not good:
        refused(client, front, 1002)
        return
    echoed = spelled.replace("a:b", "a\\cb") if version != "1.0" else spelled
    assert client.receive() == f"RECEIPT\nreceipt-id:{echoed}\n\n\0"
    front.golive(tokens.server(), room)
    assert f"\nsubscription:{echoed}\n" in client.receive(30)
    client.send(f"DISCONNECT\nreceipt:{spelled}\n\n\0")
    assert client.receive() == f"RECEIPT\nreceipt-id:{echoed}\n\n\0"


def test_a_destination_with_an_escape_comes_back_as_it_was(front, tokens):
    name = f"{unique()}:x@conference.meet.local"
    spelled = VISITOR + name.replace(":", "\\c")
    client = front.subscribed(tokens.visitor(), spelled)
    front.golive(tokens.server(), name)

    text = client.receive(30)
    assert f"\ndestination:{spelled}\n" in text
    assert json.loads(parse(text)[2])["conference"] == name


def test_connect_is_never_unescaped(front, tokens):
    client = front.open()
    client.send(
        f"CONNECT\naccept-version:1.2\nx:a\\tb\\\nAuthorization:Bearer {tokens.visitor()}\nhost:a:b\n\n\0"
    )

    assert client.frame()[0] == "CONNECTED"


def test_of_a_repeated_header_the_first_counts(front, tokens, room):
    other = conference()
    client = front.open()
    first, second = tokens.visitor(), "nonsense"
    client.send(
        "CONNECT\naccept-version:1.1\naccept-version:1.2\n"
        f"Authorization:Bearer {first}\nAuthorization:Bearer {second}\n\n\0"
    )
    assert client.frame()[1]["version"] == "1.1"
    client.send(
        f"SUBSCRIBE\nid:0\nid:1\ndestination:{VISITOR}{room}\ndestination:{VISITOR}{other}\n"
        "receipt:r\nreceipt:s\n\n\0"
    )
    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    front.golive(tokens.server(), other)
    client.nothing(0.3)
    front.golive(tokens.server(), room)

    assert client.frame(30)[1]["subscription"] == "0"


# 15. Limits and frames


KIB: Final = 1024


@pytest.mark.parametrize(
    ("case", "good"),
    [
        ("16 KiB", True),
        ("16 KiB + 1", False),
        ("32 headers", True),
        ("33 headers", False),
        ("a line of 8 KiB", True),
        ("a line of 8 KiB + 1", False),
    ],
)
def test_frames_have_these_limits(front, tokens, room, case, good):
    head = f"SUBSCRIBE\nid:0\ndestination:{VISITOR}{room}\nreceipt:r\n"
    line = "x:{}\n".format
    pads = {
        "16 KiB": lambda: sized(head + line("y" * 8100), 16 * KIB),
        "16 KiB + 1": lambda: sized(head + line("y" * 8100), 16 * KIB + 1),
        "32 headers": lambda: head + "".join(f"x{n}:y\n" for n in range(29)) + "\n\0",
        "33 headers": lambda: head + "".join(f"x{n}:y\n" for n in range(30)) + "\n\0",
        "a line of 8 KiB": lambda: head + line("y" * (8 * KIB - 2)) + "\n\0",
        "a line of 8 KiB + 1": lambda: head + line("y" * (8 * KIB - 1)) + "\n\0",
    }
    client = front.connected(tokens.visitor())
    client.send(pads[case]())

    if good:
        assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"
    else:
        refused(client, front, 1002)


def sized(head: str, size: int) -> str:
    """A frame of just so many bytes."""
    left = size - len(head) - len("z:\n\n\0")
    assert 0 < left < 8 * KIB
    return f"{head}z:{'y' * left}\n\n\0"


def test_the_limit_is_counted_in_bytes_and_not_in_characters(front, tokens, room):
    client = front.connected(tokens.visitor())
    client.send(f"SUBSCRIBE\nid:0\ndestination:{VISITOR}{room}\nx:{'я' * (4 * KIB)}\nreceipt:r\n\n\0")

    refused(client, front, 1002)


BROKEN: Final = [
    ("a body on SUBSCRIBE", "SUBSCRIBE\nid:0\ndestination:{topic}\n\nbody\0"),
    ("a counted body on SUBSCRIBE", "SUBSCRIBE\nid:0\ndestination:{topic}\ncontent-length:4\n\nbody\0"),
    ("a body on UNSUBSCRIBE", "UNSUBSCRIBE\nid:0\n\nx\0"),
    ("no NUL", "SUBSCRIBE\nid:0\ndestination:{topic}\n\n"),
    ("cut in its headers", "SUBSCRIBE\nid:0\ndesti"),
    ("no empty line", "SUBSCRIBE\nid:0\ndestination:{topic}\n\0"),
    ("a header without a colon", "SUBSCRIBE\nid\ndestination:{topic}\n\n\0"),
    ("a header without a name", "SUBSCRIBE\n:0\ndestination:{topic}\n\n\0"),
    ("no command", "\0"),
    ("a small command", "subscribe\nid:0\ndestination:{topic}\n\n\0"),
    ("an unknown command", "PUBLISH\nid:0\n\n\0"),
    ("a server's command", "MESSAGE\nid:0\n\n\0"),
    ("text that is no frame", "hello"),
    ("JSON", '{{"action":"subscribe"}}'),
    ("a wrong content-length", "SUBSCRIBE\nid:0\ndestination:{topic}\ncontent-length:x\n\n\0"),
    ("a content-length beyond the end", "SUBSCRIBE\nid:0\ndestination:{topic}\ncontent-length:9\n\n\0"),
    ("a frame and half of another", "ACK\nid:x\n\n\0SUBSCRIBE\nid:0\ndesti"),
    ("a carriage return inside", "SUBSCRIBE\nid:a\rb\ndestination:{topic}\n\n\0"),
]


@pytest.mark.parametrize("frame", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_is_no_frame_is_an_error_and_the_end(front, tokens, room, frame):
    client = front.connected(tokens.visitor())
    client.send(frame.format(topic=VISITOR + room))

    refused(client, front, 1002)


def test_several_frames_in_one_message_are_served_in_order(front, tokens, room):
    client = front.open()
    client.send(
        f"{stock_connect(tokens.visitor())}\n"
        f"SUBSCRIBE\nid:sub-0\ndestination:{VISITOR}{room}\nreceipt:r-1\n\n\0\r\n"
        "ACK\nid:x\nreceipt:r-2\n\n\0"
    )

    assert client.frame()[0] == "CONNECTED"
    assert client.receive() == "RECEIPT\nreceipt-id:r-1\n\n\0"
    assert client.receive() == "RECEIPT\nreceipt-id:r-2\n\n\0"
    assert count(front, tokens, room) == 1


def test_what_follows_a_faulty_frame_in_its_message_is_not_served(front, tokens, room):
    client = front.connected(tokens.visitor())
    client.send(f"SEND\ndestination:/x\n\n\0SUBSCRIBE\nid:0\ndestination:{VISITOR}{room}\nreceipt:r\n\n\0")

    refused(client, front, 1002)
    assert count(front, tokens, room) == 0


def test_fragments_of_one_message_are_joined(front, tokens, room):
    client = front.connected(tokens.visitor())
    frame = f"SUBSCRIBE\nid:0\ndestination:{VISITOR}{room}\nreceipt:r\n\n\0"
    client.socket.send([frame[:5], frame[5:40], frame[40:]])

    assert client.receive() == "RECEIPT\nreceipt-id:r\n\n\0"


def test_binary_and_text_may_be_mixed_on_one_connection(edge, tokens, room):
    client = edge.connected(tokens.visitor(), binary=True)
    client.socket.send("\n")
    client.binary = False
    client.subscribed(VISITOR + room)
    client.socket.send(b"\n")
    client.binary = True
    client.send(UNSUBSCRIBE)
    client.send(DISCONNECT)

    assert client.receive() == CLOSE_1


@pytest.mark.parametrize(("name", "size"), [("edge", 200_000), ("aws", 33_000)])
def test_a_message_beyond_the_fronts_limit_is_closed_with_1009(fronts, tokens, name, size):
    client = fronts[name].connected(tokens.visitor())
    client.send("x" * size)

    assert client.closed() == 1009


def test_text_that_is_not_utf_8_is_an_error_or_the_end(edge, tokens):
    client = edge.connected(tokens.visitor(), binary=True)
    client.socket.send(b"SUBSCRIBE\nid:\xff\n\n\0")

    assert client.closed() in {1002, 1007}


# 16. What a client may not say


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("SEND", "not allowed"),
        ("BEGIN", "not supported"),
        ("COMMIT", "not supported"),
        ("ABORT", "not supported"),
    ],
)
def test_clients_have_no_messages_and_no_transactions(front, tokens, room, command, words):
    client = front.connected(tokens.visitor())
    client.send(f"{command}\ndestination:{VISITOR}{room}\ntransaction:t\nreceipt:r\n\n\0")
    _, headers, body = client.frame()

    assert words in body
    assert headers["receipt-id"] == "r"
    assert client.closed() is not None


def test_send_may_carry_a_body_and_is_refused_all_the_same(front, tokens):
    client = front.connected(tokens.visitor())
    client.send("SEND\ndestination:/x\ncontent-length:3\n\na\0b\0")

    refused(client, front, 1002)


@pytest.mark.parametrize("command", ["ACK", "NACK"])
def test_acknowledgements_are_ignored(front, tokens, room, command):
    client = front.connected(tokens.visitor())
    client.send(f"{command}\nid:12\n\n\0")
    client.send(f"{command}\nmessage-id:12\nsubscription:0\n\n\0")

    client.subscribed(VISITOR + room)


def test_a_second_connect_is_an_error(front, tokens):
    token = tokens.visitor()
    client = front.connected(token)
    client.send(stock_connect(token))

    refused(client, front, 1002)


@pytest.mark.parametrize(
    "frame",
    [
        "SUBSCRIBE\nid:0\ndestination:/secured/conference/visitor/topic.a@conference.meet.local\n\n\0",
        UNSUBSCRIBE,
        "SEND\ndestination:/x\n\n\0",
        "BEGIN\ntransaction:t\n\n\0",
        "HELLO\n\n\0",
    ],
)
def test_nothing_may_come_before_connect(front, frame):
    client = front.open()
    client.send(frame)

    refused(client, front, 1002)


@pytest.mark.parametrize("command", ["ACK", "NACK"])
def test_before_connect_an_acknowledgement_is_an_error_too(edge, command):
    client = edge.open()
    client.send(f"{command}\nid:1\n\n\0")

    refused(client, edge, 1002)


def test_after_disconnect_nothing_is_served(edge, tokens, room):
    client = edge.connected(tokens.visitor())
    client.send(f"{DISCONNECT}SUBSCRIBE\nid:0\ndestination:{VISITOR}{room}\n\n\0")
    assert client.receive() == CLOSE_1

    refused(client, edge, 1002)
    assert count(edge, tokens, room) == 0


# 17. Sockets that are gone, and fronts that have no time


@beside("aws")
def test_a_410_removes_the_row(aws: Front, tokens: Tokens, room: str) -> None:
    client = aws.subscribed(tokens.visitor(), VISITOR + room)
    ghost = queue_row(room, aws.gateway.ready["front"])
    aws.put(ghost)
    moderator = watching(aws, tokens, room, 2)
    aws.golive(tokens.server(), room)

    live(client)
    told(moderator, 0)
    assert eventually(lambda: all(row["sk"] != ghost["sk"] for row in queue_rows(aws, room)))


def busy(front: Front, tokens: Tokens, room: str, *, extensions: bool) -> None:
    """A release to sockets of another front that has no time for the first two calls of each."""
    other, sockets = unique()[:6], [unique() for _ in range(4)]
    refusals = dict.fromkeys(sockets, 2)
    sent: list[str] = []

    def reply(request: Request) -> Reply:
        if "@bulk" in request.path:
            wanted = [name for group in json.loads(request.body)["posts"] for name, _ in group["to"]]
            again = [name for name in wanted if refusals[name]]
            sent.extend(name for name in wanted if not refusals[name])
            for name in again:
                refusals[name] -= 1
            return Reply(200, json.dumps({"gone": [], "retry": again}).encode())
        if request.method != "POST":
            return Reply(204)
        name = request.socket_id
        if refusals[name]:
            refusals[name] -= 1
            return Reply(429)
        sent.append(name)
        return Reply(200)

    with Server(reply).running() as server:
        front.put(front_row(other, server.url, lease_s=60.0, extensions=extensions))
        for socket in sockets:
            front.put(queue_row(room, other, socket=socket))
        front.golive(tokens.server(), room)

        assert eventually(lambda: sorted(sent) == sorted(sockets), 40.0)
        time.sleep(1.0)
        assert sorted(sent) == sorted(sockets)
        assert set(refusals.values()) == {0}
        front.delete(front_row(other, server.url, lease_s=0.0))


@beside(*BOTH)
def test_a_429_is_tried_again_and_nothing_is_sent_twice(front: Front, tokens: Tokens, room: str) -> None:
    busy(front, tokens, room, extensions=False)


@beside(*BOTH)
def test_what_a_bulk_call_did_not_send_is_tried_again_and_nothing_is_sent_twice(
    front: Front, tokens: Tokens, room: str
) -> None:
    busy(front, tokens, room, extensions=True)


@beside("aws")
def test_a_moderator_that_is_gone_is_forgotten(aws: Front, tokens: Tokens, room: str) -> None:
    moderator = watching(aws, tokens, room, 0)
    row = {
        "pk": {"S": keys.moderators(keys.conference(room))},
        "sk": {"S": unique()},
        "f": {"S": aws.gateway.ready["front"]},
        "i": {"S": "sub-0"},
        "n": {"N": "0"},
        "expires_at": {"N": str(soon(600))},
    }
    aws.put(row)
    aws.subscribed(tokens.visitor(), VISITOR + room)
    told(moderator, 1)

    assert eventually(lambda: all(each["sk"] != row["sk"] for each in aws.partition(row["pk"]["S"])))


# 18. Damping


def goes_live(front: Front, tokens: Tokens, name: str) -> None:
    """Have a conference live and its release done: who comes from then on is a latecomer."""
    front.golive(tokens.server(), name)
    hashed = keys.conference(name)
    pages = keys.page(hashed, 1, 0).pk
    live = keys.live(hashed).pk

    def done() -> bool:
        records = [row for row in front.partition(live) if row["sk"]["S"] == "live"]
        return not front.partition(pages) and not any("due" in row for row in records)

    assert eventually(done)


def loops(front: Front, token: str | None, room: str, **options: Any) -> StompClient:
    """A client that was told live comes back: twice at once, and then it waits."""
    for _ in range(2):
        client = front.connected(token, **options)
        client.subscribe(VISITOR + room)
        live(client)
        client.abort()
    client = front.connected(token, **options)
    client.subscribe(VISITOR + room)
    client.nothing(HELD_BACK_S)
    return client


@beside(*BOTH)
def test_the_third_release_to_one_token_is_delayed(front: Front, tokens: Tokens, room: str) -> None:
    goes_live(front, tokens, room)
    token, other = tokens.visitor(), tokens.visitor()
    client = loops(front, token, room)
    assert count(front, tokens, room) == 0, "who is held back does not count"

    fresh = front.connected(other)
    fresh.subscribe(VISITOR + room)
    live(fresh)
    assert live(client)["conference"] == room
    client.nothing(0.5)


@beside(*BOTH)
def test_a_release_that_is_held_back_does_not_reach_who_has_left(
    front: Front, tokens: Tokens, room: str
) -> None:
    goes_live(front, tokens, room)
    client = loops(front, tokens.visitor(), room)
    client.send(DISCONNECT)

    assert client.receive() == CLOSE_1
    silent(client, DAMPING_S + 2.0)


def test_the_release_of_the_queue_counts_for_the_damping_no_more_than_once(front, tokens, room):
    token = tokens.visitor()
    client = front.subscribed(token, VISITOR + room)
    front.golive(tokens.server(), room)
    live(client)
    client.abort()
    client = front.connected(token)
    client.subscribe(VISITOR + room)

    live(client)


@beside("open")
def test_without_a_token_the_damping_goes_by_the_address(opened: Front, tokens: Tokens, room: str) -> None:
    goes_live(opened, tokens, room)
    client = loops(opened, None, room, source="127.0.0.21")

    other = opened.connected(None, source="127.0.0.22")
    other.subscribe(VISITOR + room)
    live(other)
    live(client)


# 7.5 of the contract: randomDelayMs


@pytest.mark.parametrize(("visitors", "delay"), [(1, 1000), (3, 2000), (4, 2000), (7, 3000)])
def test_the_delay_grows_with_those_who_wait_and_is_the_same_for_all(opened, tokens, room, visitors, delay):
    clients = [opened.subscribed(tokens.visitor(), VISITOR + room) for _ in range(visitors)]
    opened.golive(tokens.server(), room)

    assert {live(client)["randomDelayMs"] for client in clients} == {delay}


@beside("open")
def test_latecomers_get_what_is_left_of_the_delay_but_never_less_than_the_least(
    opened: Front, tokens: Tokens, room: str
) -> None:
    clients = [opened.subscribed(tokens.visitor(), VISITOR + room) for _ in range(6)]
    opened.golive(tokens.server(), room)
    for client in clients:
        live(client)
    late = opened.connected(tokens.visitor())
    late.subscribe(VISITOR + room)
    assert 500 <= live(late)["randomDelayMs"] <= 3000
    time.sleep(3.0)
    later = opened.connected(tokens.visitor())
    later.subscribe(VISITOR + room)

    assert live(later)["randomDelayMs"] == 500


def test_where_nobody_waited_the_delay_is_the_least(opened, tokens, room):
    goes_live(opened, tokens, room)
    client = opened.connected(tokens.visitor())
    client.subscribe(VISITOR + room)

    assert live(client)["randomDelayMs"] == 500


# 15.9 of the contract: caps


def test_connects_with_one_token_are_capped(keyed):
    token = jaas()
    answers = [keyed.open(source="127.0.0.4").connect(token)[0] for _ in range(7)]

    # Seven in a row touch two minutes at most.
    assert answers[:3] == ["CONNECTED"] * 3
    assert "ERROR" in answers
    assert keyed.open(source="127.0.0.4").connect(jaas())[0] == "CONNECTED"


def test_connects_from_one_address_are_capped(keyed):
    answers = [keyed.open(source="127.0.0.5").connect(jaas())[0] for _ in range(25)]

    assert answers[:12] == ["CONNECTED"] * 12
    assert "ERROR" in answers
    assert keyed.open(source="127.0.0.6").connect(jaas())[0] == "CONNECTED"


def test_there_are_no_caps_unless_they_are_set(edge, tokens):
    token = tokens.visitor()

    assert {edge.open().connect(token)[0] for _ in range(30)} == {"CONNECTED"}


# Across fronts


def test_a_refused_handshake_says_so_before_there_is_a_socket(edge):
    with pytest.raises((InvalidStatus, InvalidHandshake)):
        edge.open("/waiting-queue/nowhere")
