"""The `@connections` client against a real listener: outcomes, pace, connections, bulk bodies, memory."""

import gc
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
import ssl
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib import clock
from chalicelib.errors import Unavailable, ValidationError
from chalicelib.realtime import connections, engine
from chalicelib.realtime.connections import Connections, Endpoint
from chalicelib.realtime.engine import Answer, BadAnswer, Pacer, parse
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.realtime.signing import Credentials, Hmac, SigV4
from chalicelib.store import aws
from tests.support.connections_server import Reply, Request, Server
from tests.support.counts import full

SENT, GONE, RETRY, FAILED = Outcome.SENT, Outcome.GONE, Outcome.RETRY, Outcome.FAILED
SECRET = "the gateways' secret"
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
REGION = "eu-west-1"

Listen = Callable[..., Server]
Connect = Callable[..., Connections]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Start servers; all of them stop when the test ends."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Server(*args, **kwargs).running())


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make clients; all of them stop when the test ends."""
    made: list[Connections] = []

    def make(**kwargs: Any) -> Connections:
        usual: dict[str, Any] = {
            "rate": 1e6,
            "secret": SECRET,
            "region": REGION,
            "credentials": lambda: KEYS,
            "timeout": 30.0,  # a busy machine changes no outcome
            "budget": 30.0,
        }
        made.append(Connections(**usual | kwargs))
        return made[-1]

    yield make
    for client in made:
        client.stop()


def gateway(server: Server, **can: bool) -> Endpoint:
    return Endpoint(server.url, "gateway", **can)


def api(server: Server) -> Endpoint:
    return Endpoint(f"{server.url}/prod", "apigateway")


def posts(count: int, text: str = "text") -> list[Post]:
    return [Post(f"socket{number}", text) for number in range(count)]


def by_socket(replies: dict[str, Reply], otherwise: Reply | None = None) -> Callable[[Request], Reply]:
    return lambda request: replies.get(request.socket_id, otherwise or Reply())


def in_turn(replies: Sequence[Reply]) -> Callable[[Request], Reply]:
    """The first replies to the first requests, the last one from then on."""
    left = list(replies)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


# Outcomes


@pytest.mark.parametrize(
    ("status", "outcome", "requests"),
    [
        (200, SENT, 1),
        (204, SENT, 1),
        (301, FAILED, 1),
        (400, FAILED, 1),
        (403, FAILED, 1),
        (404, FAILED, 1),
        (408, RETRY, 3),
        (410, GONE, 1),
        (413, FAILED, 1),
        (429, RETRY, 3),
        (500, RETRY, 3),
        (503, RETRY, 3),
    ],
)
@pytest.mark.parametrize("kind", [gateway, api])
def test_a_status_decides_the_outcome(
    listen: Listen,
    connect: Connect,
    kind: Callable[[Server], Endpoint],
    status: int,
    outcome: Outcome,
    requests: int,
) -> None:
    server = listen(lambda request: Reply(status))

    assert connect().post_many(kind(server), posts(1)) == [outcome]
    assert len(server.requests) == requests


def test_outcomes_come_in_the_order_of_the_posts(listen: Listen, connect: Connect) -> None:
    statuses = [200, 410, 429, 413, 503, 200, 403]
    meanings = [SENT, GONE, RETRY, FAILED, RETRY, SENT, FAILED]
    server = listen(lambda request: Reply(statuses[int(request.socket_id[6:]) % len(statuses)]))

    outcomes = connect(tries=1).post_many(gateway(server), iter(posts(700)))

    assert outcomes == meanings * 100


def test_a_post_says_what_it_is(listen: Listen, connect: Connect) -> None:
    server = listen()

    connect().post_many(gateway(server), [Post("a/b=?", "grüße\n\0")])

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/@connections/a%2Fb%3D%3F")
    assert request.body == "grüße\n\0".encode()
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_a_throttled_post_is_sent_once_the_peer_takes_it(listen: Listen, connect: Connect) -> None:
    server = listen(in_turn([Reply(429), Reply(503), Reply(200)]))

    assert connect().post_many(gateway(server), posts(1)) == [SENT]
    assert len(server.requests) == 3


def test_only_what_was_throttled_is_repeated(listen: Listen, connect: Connect) -> None:
    seen: Counter[str] = Counter()

    def first_time_throttled(request: Request) -> Reply:
        seen[request.socket_id] += 1
        return Reply(429 if seen[request.socket_id] == 1 and int(request.socket_id[6:]) % 3 == 0 else 200)

    server = listen(first_time_throttled)

    assert connect().post_many(gateway(server), posts(300)) == [SENT] * 300
    assert Counter(seen.values()) == {1: 200, 2: 100}


@pytest.mark.parametrize(("tries", "budget", "requests"), [(1, 2.0, 1), (5, 2.0, 5), (50, 0.0, 1)])
def test_tries_and_budget_bound_the_repetitions(
    listen: Listen,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tries: int,
    budget: float,
    requests: int,
) -> None:
    monkeypatch.setattr(engine, "BACKOFF_S", 0.001)
    server = listen(lambda request: Reply(429))

    assert connect(tries=tries, budget=budget).post_many(gateway(server), posts(1)) == [RETRY]
    assert len(server.requests) == requests


def test_the_back_off_doubles_and_is_jittered_in_full(
    listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    drawn: list[float] = []
    monkeypatch.setattr(engine, "BACKOFF_S", 0.002)
    client = connect(tries=4)
    loop = client._engine().loop
    call_later = loop.call_later

    def draw() -> float:
        drawn.append(0.5)
        return 0.5

    def later(delay: float, *rest: Any) -> Any:
        waits.append(delay)
        return call_later(delay, *rest)

    monkeypatch.setattr(engine, "_jitter", draw)
    monkeypatch.setattr(loop, "call_later", later)

    client.post_many(gateway(listen(lambda request: Reply(500))), posts(1))

    assert [wait for wait in waits if wait < 0.01] == [0.001, 0.002, 0.004]
    assert len(drawn) == 4


def test_the_log_counts_failures_and_names_no_socket_text_or_secret(
    listen: Listen, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = listen(by_socket({"socket1": Reply(413), "socket2": Reply(500)}, Reply(403, b"because")))

    connect(tries=1).post_many(gateway(server), posts(10, "confidential"))

    said = caplog.text
    assert "8 of 10 calls" in said
    assert "was answered with 403" in said
    assert "1 of 10 calls" in said
    assert len([record for record in caplog.records if record.name == connections.__name__]) == 3
    for hidden in ("confidential", "socket", SECRET, "because"):
        assert hidden not in said


def test_what_cannot_be_sent_fails_alone(listen: Listen, connect: Connect) -> None:
    server = listen()
    strange = [Post("", "a"), Post(".", "a"), Post("..", "a"), Post("\ud800", "a"), Post("b", "\ud800")]

    assert connect().post_many(gateway(server), [*strange, Post("c", "a")]) == [FAILED] * 5 + [SENT]
    assert connect().post_many(gateway(server, bulk=True), [Post("", "a"), Post("b", "\ud800")]) == [
        FAILED,
        FAILED,
    ]
    assert [request.socket_id for request in server.requests] == ["c"]


def test_no_posts_are_no_calls(listen: Listen, connect: Connect) -> None:
    server = listen()

    assert connect().post_many(gateway(server), []) == []
    assert connect().post_many(gateway(server, bulk=True), []) == []
    assert server.connections == 0


def test_a_failing_source_of_posts_is_heard_after_what_it_gave_was_sent(
    listen: Listen, connect: Connect
) -> None:
    server = listen()

    def source() -> Iterator[Post]:
        yield from posts(5)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        connect().post_many(gateway(server), source())
    assert len(server.requests) == 5


# Silence and lost connections


def test_a_hanging_socket_costs_its_own_post_only_and_is_not_sent_twice(
    listen: Listen, connect: Connect
) -> None:
    server = listen(by_socket({"socket7": Reply(hang=True), "socket90": Reply(hang=True)}))

    outcomes = connect(timeout=0.5, budget=0.5).post_many(gateway(server), posts(200))

    assert [number for number, outcome in enumerate(outcomes) if outcome is RETRY] == [7, 90]
    assert outcomes.count(SENT) == 198
    assert len(server.requests) == 200


def test_hanging_sockets_hold_up_nobody(listen: Listen, connect: Connect) -> None:
    """The first four are answered only after everybody else was served, on a client with four connections."""
    late = {f"socket{number}": Reply(after=204) for number in range(4)}
    server = listen(by_socket(late))

    assert connect(connections=4, timeout=60.0).post_many(gateway(server), posts(204)) == [SENT] * 204


def test_nobody_waits_where_nobody_listens(connect: Connect) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"

        outcomes = connect(timeout=60.0).post_many(Endpoint(f"http://{address}", "gateway"), posts(3000))

    assert outcomes == [RETRY] * 3000


def test_a_peer_that_comes_back_is_found(
    listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DOWN_S", 0.0)
    client = connect()
    with Server().running() as first:
        assert client.post_many(gateway(first), posts(50)) == [SENT] * 50
    assert client.post_many(gateway(first), posts(50)) == [RETRY] * 50

    again = listen(port=first.port)

    assert client.post_many(gateway(again), posts(50)) == [SENT] * 50


def test_connections_are_kept_and_used_again(listen: Listen, connect: Connect) -> None:
    server = listen()
    client = connect(connections=8)

    for _ in range(5):
        assert client.post_many(gateway(server), posts(400)) == [SENT] * 400

    assert len(server.requests) == 2000
    assert 1 <= server.connections <= 8


def test_warming_connects_before_the_first_post(listen: Listen, connect: Connect) -> None:
    server = listen()
    client = connect()

    client.warm(api(server))
    until = time.monotonic() + 10
    while not server.connections and time.monotonic() < until:
        time.sleep(0.005)

    assert server.connections == 1
    assert client.post_many(api(server), posts(1)) == [SENT]
    assert server.connections == 1


def test_an_announced_close_is_obeyed(listen: Listen, connect: Connect) -> None:
    server = listen(lambda request: Reply(close=True))

    assert connect().post_many(gateway(server), posts(100)) == [SENT] * 100
    assert (len(server.requests), server.connections) == (100, 100)


def test_a_post_on_a_connection_that_had_died_is_sent_again_on_a_new_one(
    listen: Listen, connect: Connect
) -> None:
    """The peer closes after each answer without a word, so every reused connection is a dead one."""
    server = listen(lambda request: Reply(hang_up_after=True))

    assert connect(connections=4).post_many(gateway(server), posts(200)) == [SENT] * 200
    assert Counter(request.socket_id for request in server.requests) == Counter(
        post.socket_id for post in posts(200)
    )


def test_a_reused_connection_that_ends_without_an_answer_costs_one_repetition(
    listen: Listen, connect: Connect
) -> None:
    server = listen(in_turn([Reply(), Reply(hang_up=True), Reply()]))
    client = connect(connections=1)

    assert client.post_many(gateway(server), posts(2)) == [SENT, SENT]
    assert [request.socket_id for request in server.requests] == ["socket0", "socket1", "socket1"]
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_second_loss_is_final(listen: Listen, connect: Connect) -> None:
    server = listen(in_turn([Reply(), Reply(hang_up=True), Reply(hang_up=True), Reply()]))
    client = connect(connections=1)

    assert client.post_many(gateway(server), posts(2)) == [SENT, RETRY]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang_up=True),
        Reply(raw=b"HTTP/1.1 2", hang_up=True),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", hang_up=True),
        Reply(raw=b"SSH-2.0-OpenSSH\r\n\r\n"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ],
)
def test_no_answer_or_half_an_answer_on_a_new_connection_is_not_repeated(
    listen: Listen, connect: Connect, reply: Reply
) -> None:
    server = listen(lambda request: reply)

    assert connect().post_many(gateway(server), posts(1)) == [RETRY]
    assert len(server.requests) == 1


def test_connections_closed_while_idle_are_made_anew(listen: Listen, connect: Connect) -> None:
    server = listen()
    client = connect()
    for _ in range(3):
        assert client.post_many(gateway(server), posts(100)) == [SENT] * 100
        server.hang_up_all()

    assert len(server.requests) == 300


def test_after_a_freeze_connections_are_made_anew(
    listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = listen()
    client = connect(connections=1)
    client.post_many(gateway(server), posts(3))
    thawed = time.time() + 600
    monkeypatch.setattr(clock, "now", lambda: thawed)

    assert client.post_many(gateway(server), posts(3)) == [SENT] * 3
    assert [request.connection for request in server.requests] == [1, 1, 1, 2, 2, 2]


def test_what_nobody_asked_for_ends_the_connection(listen: Listen, connect: Connect) -> None:
    unasked = b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"
    server = listen(in_turn([Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + unasked), Reply()]))
    client = connect(connections=1)

    assert client.post_many(gateway(server), posts(2)) == [SENT, SENT]
    assert server.connections == 2


def test_idle_connections_do_not_stay_for_ever(
    listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_S", 0.02)
    server = listen()
    client = connect()
    client.post_many(gateway(server), posts(50))

    until = time.monotonic() + 10
    while client._engine()._lanes and time.monotonic() < until:
        time.sleep(0.01)

    assert not client._engine()._lanes
    assert client.post_many(gateway(server), posts(50)) == [SENT] * 50


# Pace and threads


@pytest.mark.parametrize("rate", [1, 3, 10, 99, 1000, 5000, 10000])
@pytest.mark.parametrize("asked_per_s", [7, 1000, 30011])
def test_no_second_and_no_burst_exceeds_the_rate(rate: int, asked_per_s: int) -> None:
    pacer = Pacer(rate)
    times = [
        1000 + step / asked_per_s for step in range(asked_per_s * 3) if pacer.take(1000 + step / asked_per_s)
    ]
    times += [2000.0 for _ in range(rate) if pacer.take(2000.0)]

    assert times.count(2000.0) <= max(1, rate * 0.05)
    for first, at in enumerate(times):
        following = first + rate
        assert following >= len(times) or times[following] - at >= 1.0 - 1e-9


def test_a_pacer_is_not_much_slower_than_its_rate() -> None:
    pacer = Pacer(1000)

    assert sum(pacer.take(step / 10_000) for step in range(100_000)) >= 9500


def test_all_callers_endpoints_and_repetitions_together_keep_the_rate(
    listen: Listen, connect: Connect
) -> None:
    rate = 400
    seen: Counter[str] = Counter()

    def sometimes_throttled(request: Request) -> Reply:
        seen[request.target] += 1
        return Reply(429 if seen[request.target] == 1 and request.target.endswith("5") else 200)

    servers = [listen(sometimes_throttled), listen(sometimes_throttled)]
    client = connect(rate=rate)
    endpoints = [gateway(servers[0]), api(servers[1]), api(servers[0])]
    began = time.monotonic()
    outcomes = run_together(lambda endpoint: client.post_many(endpoint, posts(150)), endpoints)

    times = sorted(request.at for server in servers for request in server.requests)
    assert outcomes == [[SENT] * 150] * 3
    assert len(times) > 450
    for count, at in enumerate(times, 1):  # from the start to any moment, a burst of 5 % of a second on top
        assert count <= rate * (at - began) + rate * 0.05


def test_a_slow_pace_serves_all_endpoints_in_turn(listen: Listen, connect: Connect) -> None:
    servers = [listen() for _ in range(3)]
    client = connect(rate=200)
    together = threading.Barrier(3)

    def source() -> Iterator[Post]:
        together.wait()
        yield from posts(60)

    run_together(lambda server: client.post_many(gateway(server), source()), servers)

    firsts = [server.requests[0].at for server in servers]
    lasts = [server.requests[-1].at for server in servers]
    assert max(firsts) < min(lasts)


def test_callers_in_many_threads_get_their_own_outcomes(listen: Listen, connect: Connect) -> None:
    server = listen(lambda request: Reply(410 if request.socket_id.startswith("gone") else 200))
    client = connect()

    def call(number: int) -> list[Outcome]:
        gone = [Post(f"gone{number}-{n}", "text") for n in range(number)]
        return client.post_many(gateway(server), gone + posts(200))

    outcomes = run_together(call, range(12))

    assert outcomes == [[GONE] * number + [SENT] * 200 for number in range(12)]


def run_together(call: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments))


def test_a_stopped_client_leaves_no_thread_and_starts_anew_on_use(listen: Listen, connect: Connect) -> None:
    server = listen()
    client = connect()
    client.post_many(gateway(server), posts(10))
    client.stop()

    assert not [thread for thread in threading.enumerate() if thread.name == "connections"]
    assert client.post_many(gateway(server), posts(10)) == [SENT] * 10


def test_a_forgotten_client_stops_by_itself(listen: Listen) -> None:
    server = listen()
    client = Connections(rate=1e6, secret=SECRET, region=REGION)
    client.post_many(gateway(server), posts(10))
    del client
    gc.collect()

    assert not [thread for thread in threading.enumerate() if thread.name == "connections"]


# Memory


def test_posts_are_read_as_they_are_sent(listen: Listen, connect: Connect) -> None:
    server = listen()
    ahead = []

    def source() -> Iterator[Post]:
        for number in range(4000):
            ahead.append(number - server.count)
            yield Post(f"socket{number}", "text")

    connect().post_many(gateway(server), source())

    assert max(ahead) <= connections.WINDOW


@pytest.mark.parametrize("bulk", [False, True])
def test_memory_is_flat_in_the_number_of_posts(listen: Listen, connect: Connect, bulk: bool) -> None:
    waits = [0.0]

    def reply(_: Request) -> Reply:
        time.sleep(waits.pop() if waits else 0.0)
        return Reply(200, b"{}")

    server = listen(reply, recording=False)
    client = connect()

    def peak(count: int) -> int:
        waits[:] = [0.3]  # until then as much is under way as ever may be
        tracemalloc.start()
        many = (Post(f"socket{number}", f"text {number % 1000}") for number in range(count))
        assert client.post_many(gateway(server, bulk=bulk), many).count(SENT) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2000)
    count, runs = full(6000, 20_000), full(2, 4)
    # How much is under way at once is up to the machine's other work, too: the least of some runs.
    few, many = (min(peak(each) for _ in range(runs)) for each in (2000, count))

    assert many <= few * 1.5 + count * 16  # a list of outcomes, twice while it grows


# Bulk


def test_a_bulk_body_groups_equal_texts(listen: Listen, connect: Connect) -> None:
    server = listen(lambda request: Reply(200, b'{"gone":["c"],"retry":["d"]}'))
    many = [
        Post("a", "x", "1", 10.0),
        Post("b", 'y"', "2"),
        Post("c", "x", "3", 10.0),
        Post("d", "x", "4"),
        Post("e", 'y"', "5"),
        Post("f", "x", "6", 2.5),
    ]

    assert connect().post_many(gateway(server, bulk=True), many) == [SENT, SENT, GONE, RETRY, SENT, SENT]

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/@bulk")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "posts": [
            {"text": "x", "close_after": 10, "to": [["a", "1"], ["c", "3"]]},
            {"text": 'y"', "to": [["b", "2"], ["e", "5"]]},
            {"text": "x", "to": [["d", "4"]]},
            {"text": "x", "close_after": 2.5, "to": [["f", "6"]]},
        ]
    }


@pytest.mark.parametrize(
    ("many", "sizes"),
    [
        ([Post(f"socket{n}", "x") for n in range(1300)], [500, 500, 300]),
        ([Post(f"socket{n}", f"text {n}") for n in range(501)], [500, 1]),
        ([Post("same", str(n)) for n in range(3)], [1, 1, 1]),
        ([Post(f"socket{n}", f"{n}" + "é" * 50_000) for n in range(11)], [5, 5, 1]),
        ([Post(f"socket{n}", f"{n}" + "\0" * 50_000) for n in range(3)], [1, 1, 1]),
        ([Post("huge", "x" * 600_000), Post("small", "x")], [1, 1]),
    ],
)
def test_a_bulk_body_is_bounded(listen: Listen, connect: Connect, many: list[Post], sizes: list[int]) -> None:
    server = listen(lambda request: Reply(200, b"{}"))

    assert connect(connections=1).post_many(gateway(server, bulk=True), many) == [SENT] * len(many)

    groups = [json.loads(request.body)["posts"] for request in server.requests]
    assert [sum(len(group["to"]) for group in body) for body in groups] == sizes
    assert [(to[0], group["text"]) for body in groups for group in body for to in group["to"]] == [
        (post.socket_id, post.text) for post in many
    ]
    for request in server.requests:
        assert len(request.body) <= 512 * 1024 or b'"huge"' in request.body


def test_the_size_of_a_bulk_body_is_known_before_it_is_spelled() -> None:
    random = Random(5)
    body = connections._BulkBody()
    for number in range(300):
        text = random.choice(["a", "ü\n", '"\\', "\x01"]) * random.randrange(9)
        post = Post(f"s\u00e9{number}", text, random.choice(["", 'd"']), random.choice([0.0, 1.5, 10.0]))
        assert body.add(number, post)

    assert len(body.spell()) <= body._size <= len(body.spell()) + 1300
    assert json.loads(body.spell())


@pytest.mark.parametrize(
    ("reply", "outcome", "requests"),
    [
        (Reply(429), RETRY, 3),
        (Reply(403), FAILED, 1),
        (Reply(200, b"not json"), RETRY, 1),
        (Reply(200, b'{"gone":"a"}'), RETRY, 1),
        (Reply(hang_up=True), RETRY, 1),
    ],
)
def test_a_bulk_body_that_is_not_taken_leaves_all_its_posts(
    listen: Listen, connect: Connect, reply: Reply, outcome: Outcome, requests: int
) -> None:
    server = listen(lambda request: reply)

    assert connect().post_many(gateway(server, bulk=True), posts(20)) == [outcome] * 20
    assert len(server.requests) == requests


def test_api_gateway_is_never_sent_bulk_bodies_or_queries(listen: Listen, connect: Connect) -> None:
    server = listen()
    endpoint = Endpoint(f"{server.url}/prod", "apigateway", bulk=True, dedup=True)

    assert connect().post_many(endpoint, [Post("a=", "x", "key", 10.0)]) == [SENT]
    assert [request.target for request in server.requests] == ["/prod/@connections/a%3D"]


@pytest.mark.parametrize(
    ("dedup", "post", "query"),
    [
        (True, Post("a", "x", "k&=/ é", 10.0), {"dedup": "k&=/ é", "close_after": "10"}),
        (True, Post("a", "x", "k"), {"dedup": "k"}),
        (True, Post("a", "x", "", 0.25), {"close_after": "0.25"}),
        (False, Post("a", "x", "k", 10.0), {"close_after": "10"}),
        (False, Post("a", "x", "k"), {}),
    ],
)
def test_a_gateway_is_told_the_key_and_the_time_to_close(
    listen: Listen, connect: Connect, dedup: bool, post: Post, query: dict[str, str]
) -> None:
    server = listen()

    connect().post_many(gateway(server, dedup=dedup), [post])

    assert server.requests[0].query == query


# Closing


@pytest.mark.parametrize(("status", "outcome"), [(204, SENT), (200, SENT), (410, GONE), (403, FAILED)])
def test_closing_a_socket(listen: Listen, connect: Connect, status: int, outcome: Outcome) -> None:
    server = listen(lambda request: Reply(status))
    client = connect()

    assert client.close(gateway(server), "a=", 1008) is outcome
    assert client.close(api(server), "a=", 1008) is outcome
    assert [(request.method, request.target) for request in server.requests] == [
        ("DELETE", "/@connections/a%3D?code=1008"),
        ("DELETE", "/prod/@connections/a%3D"),
    ]
    assert client.close(gateway(server), "", 1008) is FAILED


# Signatures


@pytest.fixture
def signing_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[datetime], None]]:
    """Set botocore's clock."""

    def set_to(at: datetime) -> None:
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: at.replace(tzinfo=None))

    return set_to  # type: ignore[return-value]


def botocore_signature(keys: Credentials, region: str, method: str, url: str, body: bytes) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, data=body)
    signer = botocore.auth.SigV4Auth(
        BotocoreCredentials(keys.access_key, keys.secret_key, keys.token or None), "execute-api", region
    )
    signer.add_auth(request)
    return {name.lower(): text for name, text in request.headers.items()}


def test_sigv4_agrees_with_botocore(signing_time: Callable[[datetime], None]) -> None:
    random = Random(4)
    letters = "abcXYZ019-_.~=+/ %@&?#:;,!*'()[]{}|\\^\"<>é漢\U0001f600"

    def some(alphabet: str, most: int) -> str:
        return "".join(random.choice(alphabet) for _ in range(random.randrange(1, most)))

    at = datetime(2026, 2, 28, 23, 59, 50, tzinfo=UTC)
    for _ in range(60):
        keys = Credentials(some("ABC123", 20), some(letters, 50), random.choice(["", some("abc/+=", 900)]))
        host = random.choice(["abc.execute-api.eu-west-1.amazonaws.com", "127.0.0.1:4566", "localhost:80"])
        base = random.choice(["", "/prod", "/a~b/c-d", "/x%20y/%40"])
        region = some("abc-1", 12)
        signer = SigV4(keys, region, host.removesuffix(":80"), base)
        for _ in range(8):
            at += timedelta(seconds=random.choice([0, 0, 1, 7, 40_000]))
            signing_time(at)
            method = random.choice(["POST", "DELETE"])
            body = some(letters, 300).encode()
            name = some(letters, 30)
            if name in (".", ".."):
                continue
            target = connections._target(name)

            said = signer.lines(method, target, hashlib.sha256(body).hexdigest(), at.timestamp() + 0.75)

            ours = {line.split(": ")[0].lower(): line.split(": ")[1] for line in said.split("\r\n")}
            theirs = botocore_signature(keys, region, method, f"http://{host}{base}{target}", body)
            assert ours == theirs


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("abc.execute-api.eu-west-1.amazonaws.com", "eu-west-1"),
        ("abc.execute-api.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sockets.example.com", "us-east-1"),
    ],
)
def test_a_call_is_signed_for_the_region_of_the_api_that_takes_it(host: str, region: str) -> None:
    client = Connections(rate=1.0, secret="", region="us-east-1", credentials=lambda: Credentials("A", "s"))
    route = client._route(Endpoint(url=f"https://{host}/dev", kind="apigateway"))

    said = route.sign().signer.lines("POST", "/@connections/a", "", 1_700_000_000.0)
    assert f"/{region}/execute-api/aws4_request" in said


@pytest.mark.parametrize("token", ["", "a/session+token=="])
def test_what_goes_over_the_wire_is_what_botocore_would_sign(
    listen: Listen, connect: Connect, signing_time: Callable[[datetime], None], token: str
) -> None:
    server = listen()
    keys = KEYS._replace(token=token)
    many = [Post(name, f"text {name}") for name in ("L0SM9cOFvHcCIhw=", "a b/c", "~%25@", "=", "漢")]
    client = connect(credentials=lambda: keys)
    client.post_many(api(server), many)
    client.close(api(server), "L0SM9cOFvHcCIhw=", 1000)

    assert len(server.requests) == 6
    for request in server.requests:
        signing_time(datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
        expected = botocore_signature(keys, REGION, request.method, server.url + request.target, request.body)
        assert {name: request.headers[name] for name in expected} == expected
        assert ("x-amz-security-token" in request.headers) == bool(token)


def test_a_gateways_call_is_signed_over_time_method_target_and_body(listen: Listen, connect: Connect) -> None:
    server = listen(lambda request: Reply(200, b"{}"))
    client = connect()
    based = Endpoint(f"{server.url}/base/", "gateway", dedup=True)
    client.post_many(based, [Post("a=", "grüße", "key", 10.0), Post("b", "x")])
    client.post_many(Endpoint(f"{server.url}/base", "gateway", bulk=True), posts(3))
    client.close(based, "a=", 1002)

    assert [request.target.partition("?")[0] for request in server.requests[-2:]] == [
        "/base/@bulk",
        "/base/@connections/a%3D",
    ]
    for request in server.requests:
        date = request.headers["x-foyer-date"]
        assert abs(int(date) - time.time()) < 60
        message = "\n".join([date, request.method, request.target, hashlib.sha256(request.body).hexdigest()])
        expected = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).hexdigest()
        assert request.headers["x-foyer-signature"] == expected


@pytest.mark.parametrize(
    ("key", "message", "code"),
    [  # RFC 4231, 4.2, 4.3 and 4.7
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_hmac_vectors(key: bytes, message: bytes, code: str) -> None:
    assert Hmac(key).hexdigest(message) == code
    begun = Hmac(key)
    begun.begin(message[:3])
    assert begun.digest(message[3:]).hex() == code


# Credentials and trust


def test_credentials_are_read_again_before_they_expire(
    listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(clock, "now", lambda: now)
    given: list[Credentials] = []
    may_answer = threading.Event()
    may_answer.set()

    def provider() -> Credentials:
        assert may_answer.wait(10)
        given.append(Credentials(f"AKID{len(given)}", "secret", f"token{len(given)}", now + 600))
        return given[-1]

    server = listen()
    client = connect(credentials=provider, connections=1)

    def token_used() -> str:
        assert client.post_many(api(server), posts(1)) == [SENT]
        return server.requests[-1].headers["x-amz-security-token"]

    assert token_used() == "token0"
    now += 100
    assert token_used() == "token0"
    now += 300
    may_answer.clear()
    assert token_used() == "token0"  # those at hand are good while the next are being read
    may_answer.set()
    deadline = time.monotonic() + 10
    while token_used() == "token0":
        assert time.monotonic() < deadline
    now += 100
    assert token_used() == "token1"
    now += 1000
    assert token_used() == "token2"  # those at hand are over: the call waits for the next
    assert len(given) == 3


@pytest.mark.parametrize("expires_at", [None, 5.0])
def test_without_good_credentials_nothing_is_sent(
    listen: Listen, connect: Connect, caplog: pytest.LogCaptureFixture, expires_at: float | None
) -> None:
    def provider() -> Credentials:
        if expires_at is None:
            raise RuntimeError("a text with a secret")
        return Credentials("AKID", "secret", "", expires_at)

    server = listen()

    assert connect(credentials=provider).post_many(api(server), posts(20)) == [RETRY] * 20
    assert server.requests == []
    assert "secret" not in caplog.text


def test_the_process_credentials_are_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    aws._session.cache_clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")

    assert connections.botocore_credentials() == Credentials("AKID", "hidden", "token")
    aws._session.cache_clear()


def test_without_a_secret_no_gateway_is_called(listen: Listen, connect: Connect) -> None:
    with pytest.raises(Unavailable):
        connect(secret="").post_many(gateway(listen()), posts(1))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_https_trusts_the_bundle_of_the_environment(
    listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch, certificate: Path, trusted: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = listen(in_turn([Reply(), Reply(close=True), Reply(hang_up_after=True), Reply()]), tls=context)
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    engine.tls.cache_clear()

    outcomes = connect().post_many(api(server), posts(300))

    engine.tls.cache_clear()
    assert outcomes == [SENT if trusted else RETRY] * 300
    assert len(server.requests) == (300 if trusted else 0)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("http://abc.execute-api.eu-west-1.amazonaws.com/prod", "apigateway"),
        Endpoint("https://example.com/prod", "something"),
        Endpoint("https://example.com/prod?x=1", "apigateway"),
        Endpoint("https://example.com/a/../b", "apigateway"),
        Endpoint("https://example.com/a b", "apigateway"),
        Endpoint("https://user@example.com/", "apigateway"),
        Endpoint("https://example.com:port/", "gateway"),
        Endpoint("ftp://example.com/", "gateway"),
        Endpoint("/prod", "gateway"),
        Endpoint("", "gateway"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused(connect: Connect, endpoint: Endpoint) -> None:
    with pytest.raises(ValidationError):
        connect().post_many(endpoint, posts(1))


# Answers

ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Answer(200, b"", True)),
    (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nab", Answer(200, b"ab", True)),
    (b"HTTP/1.1 410 Gone\r\nCONTENT-LENGTH: 1\r\nConnection: Close\r\n\r\n.", Answer(410, b".", False)),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n.", Answer(200, b".", False)),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n.", Answer(200, b".", True)),
    (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, b"", True)),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Answer(204, b"", True)),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        Answer(200, b"ab0123456789", True),
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nSum: 1\r\n\r\n",
        Answer(200, b"a", True),
    ),
]


@pytest.mark.parametrize(("data", "answer"), ANSWERS)
def test_an_answer_is_read_when_it_is_complete_and_not_before(data: bytes, answer: Answer) -> None:
    assert parse(data) == answer
    for length in range(len(data)):
        assert parse(data[:length]) is None
    assert parse(data + b"HTTP") == answer._replace(keep=False)


def test_an_answer_without_a_length_ends_its_connection() -> None:
    assert parse(b"HTTP/1.1 200 OK\r\n\r\nab") == Answer(200, b"ab", False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"x" * 20_000,
    ],
)
def test_an_answer_that_cannot_be_delimited_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse(data)


def test_an_answer_in_small_pieces_is_read(listen: Listen, connect: Connect) -> None:
    body = json.dumps({"gone": [f"socket{n}" for n in range(0, 500, 2)], "pad": "x" * 200_000}).encode()
    server = listen(lambda request: Reply(200, body))

    assert connect().post_many(gateway(server, bulk=True), posts(500)) == [GONE, SENT] * 250
