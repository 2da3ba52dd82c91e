"""Requests to URLs that others have named: where they may go, what they may cost, what comes of them."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from chalicelib.outbox import outgoing
from chalicelib.outbox.outgoing import Failure, Limits, Outcome
from tests.support import network, receiver
from tests.support.receiver import answering

HERE = Limits(private=True)
SOON = Limits(private=True, within_s=0.5)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return receiver.certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificates, monkeypatch):
    """A server with a certificate for `localhost`, whose authority is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    outgoing._tls.cache_clear()
    with receiver.receiving(certificates) as running:
        yield running
    outgoing._tls.cache_clear()


@pytest.fixture
def plain():
    """A server without TLS."""
    with receiver.receiving() as running:
        yield running


@contextmanager
def raw(behave) -> Iterator[int]:
    """The port of a server that treats each connection as it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = []

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.settimeout(5)
                    try:
                        behave(sock)
                    except OSError:
                        continue

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()


def resolving(monkeypatch, *answers):
    """Have the resolver give these addresses, one list for each question; how often it was asked."""
    asked: list[str] = []

    def getaddrinfo(host, port, *_, **__):
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (
                socket.AF_INET6 if ":" in each else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (each, port, 0, 0) if ":" in each else (each, port),
            )
            for each in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


# What is sent


def test_method_headers_and_body_arrive_over_a_verified_connection(secure):
    secure.usual = answering(202, b"taken", {"X-More": "1"})
    outcome = outgoing.send(
        "POST",
        f"{secure.url}/hook?a=1&b=%2F#there",
        headers={"Content-Type": "application/json", "X-Signature": "s", "user-agent": "ours"},
        body=b'{"a": 1}',
        limits=Limits(private=True, answer=3),
    )
    assert outcome == Outcome(202, b"tak")
    assert outcome.accepted
    (request,) = secure.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=1&b=%2F", b'{"a": 1}')
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["host"] == f"localhost:{secure.port}"
    assert (headers["content-type"], headers["x-signature"]) == ("application/json", "s")
    assert headers["user-agent"] == "ours"
    assert "cookie" not in headers


def test_a_request_without_body_says_so(plain):
    assert outgoing.send("PUT", plain.url, limits=HERE) == Outcome(200)
    assert plain.requests[0].headers["Content-Length"] == "0"
    assert plain.requests[0].path == "/"


@pytest.mark.parametrize(
    ("status", "accepted", "retriable"),
    [
        (200, True, False),
        (204, True, False),
        (302, False, False),
        (404, False, False),
        (429, False, True),
        (500, False, True),
        (503, False, True),
    ],
)
def test_the_status_tells_whether_it_was_taken_and_may_be_repeated(plain, status, accepted, retriable):
    plain.usual = answering(status)
    outcome = outgoing.send("PUT", plain.url, limits=HERE)
    assert (outcome.status, outcome.accepted, outcome.retriable) == (status, accepted, retriable)
    assert outcome.reason == f"status {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(plain, status):
    plain.usual = answering(status, headers={"Location": f"{plain.url}/elsewhere"})
    assert outgoing.send("PUT", f"{plain.url}/push", limits=HERE).status == status
    assert [request.path for request in plain.requests] == ["/push"]


def test_no_proxy_of_the_environment_is_used(plain, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    assert outgoing.send("PUT", plain.url, limits=HERE).status == 200
    assert network.attempts == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("120", 120), ("-1", 0), ("never", 0), ("9" * 99, 604800)]
)
def test_a_server_may_ask_to_be_left_alone_for_a_while(plain, text, seconds):
    plain.usual = answering(503, headers={"Retry-After": text} if text else {})
    assert outgoing.send("PUT", plain.url, limits=HERE).wait_s == seconds


# Which URLs


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https",
        "https://",
        "https:///push",
        "http://push.example/",
        "ftp://push.example/",
        "file:///etc/passwd",
        "gopher://push.example/",
        "//push.example/",
        "https://user@push.example/",
        "https://user:password@push.example/",
        "https://push.example:0/",
        "https://push.example:65536/",
        "https://push.example:port/",
        "https://push.example /",
        "https://push.example/a b",
        "https://push.example/\r\nX-Injected: 1",
        "https://push.example\\@127.0.0.1/",
        "https://push.exämple/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://%31%32%37.0.0.1/",
        "https://push.example/" + "a" * 2048,
    ],
)
def test_a_url_that_is_not_plain_https_is_not_even_looked_up(monkeypatch, url):
    asked = resolving(monkeypatch, ["8.8.8.8"])
    outcome = outgoing.send("PUT", url)
    assert outcome == Outcome(failure=Failure.BAD_URL)
    assert not outcome.retriable
    assert asked == []


def test_plain_http_goes_to_private_addresses_only_and_only_where_those_are_allowed(monkeypatch, plain):
    assert outgoing.send("PUT", plain.url, limits=HERE).status == 200
    assert outgoing.send("PUT", plain.url).failure == Failure.BAD_URL
    resolving(monkeypatch, ["8.8.8.8"])
    assert outgoing.send("PUT", "http://push.example/", limits=HERE).failure == Failure.BAD_URL


# Which addresses

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
    "not an address",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::2003",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nothing_goes_to_an_address_that_is_not_public(monkeypatch, address):
    resolving(monkeypatch, [address])
    connected = []
    monkeypatch.setattr(outgoing, "_connect", lambda *_: connected.append(1))
    outcome = outgoing.send("PUT", "https://push.example/")
    assert outcome == Outcome(failure=Failure.NOT_PUBLIC)
    assert not outcome.retriable
    assert connected == []


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_allowed(address):
    assert outgoing.public(address)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_address_that_is_not_public_spoils_all(monkeypatch, place):
    addresses = ["8.8.8.8", "2606:4700::1111"]
    addresses.insert(place, "10.0.0.1")
    resolving(monkeypatch, addresses)
    assert outgoing.send("PUT", "https://push.example/").failure == Failure.NOT_PUBLIC


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_this_machine_gets_through(monkeypatch, host):
    if "[" not in host:  # as the C library reads it
        resolving(monkeypatch, [socket.inet_ntoa(socket.inet_aton(host))])
    assert outgoing.send("PUT", f"https://{host}/").failure == Failure.NOT_PUBLIC


def test_the_connection_is_made_to_the_address_that_was_judged(monkeypatch):
    """A name that resolves to this machine the second time is not asked a second time."""
    asked = resolving(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    connected = []

    class Socket:
        def __init__(self, *_):
            pass

        def settimeout(self, _):
            pass

        def connect(self, where):
            connected.append(where)
            raise ConnectionRefusedError

        def close(self):
            pass

    monkeypatch.setattr(socket, "socket", Socket)
    assert outgoing.send("PUT", "https://push.example:8443/").failure == Failure.NO_CONNECTION
    assert asked == ["push.example"]
    assert connected == [("8.8.8.8", 8443)]


def test_the_next_address_is_tried_and_those_of_ipv4_come_first(monkeypatch, plain):
    resolving(monkeypatch, ["::1", "127.0.0.1"])
    assert outgoing.send("PUT", f"http://push.example:{plain.port}/", limits=HERE).status == 200
    resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # nobody listens on the first one
    assert outgoing.send("PUT", f"http://push.example:{plain.port}/", limits=HERE).status == 200
    assert plain.requests[0].headers["Host"] == f"push.example:{plain.port}"


def test_a_name_without_an_address(monkeypatch):
    resolving(monkeypatch, [])
    outcome = outgoing.send("PUT", "https://push.example/")
    assert (outcome.failure, outcome.retriable) == (Failure.NO_ADDRESS, True)


def test_no_more_names_are_looked_up_at_once_than_there_are_places(monkeypatch):
    monkeypatch.setattr(outgoing, "_slots", threading.BoundedSemaphore(1))
    leave = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: leave.wait(5) and [])
    assert outgoing.send("PUT", "https://push.example/", limits=Limits(within_s=0.05)).failure == Failure.LATE
    assert outgoing.send("PUT", "https://push.example/").failure == Failure.NO_ADDRESS
    leave.set()


def test_names_that_come_all_at_once_take_turns(monkeypatch, plain):
    monkeypatch.setattr(outgoing, "_slots", threading.BoundedSemaphore(1))
    resolve = socket.getaddrinfo

    def slowly(*given, **options):
        time.sleep(0.02)
        return resolve(*given, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with ThreadPoolExecutor(8) as pool:
        outcomes = [pool.submit(outgoing.send, "PUT", plain.url, limits=HERE) for _ in range(8)]
    assert [each.result().status for each in outcomes] == [200] * 8


# Certificates


def test_the_certificate_has_to_be_for_the_name(secure, monkeypatch):
    resolving(monkeypatch, ["127.0.0.1"])
    outcome = outgoing.send("PUT", f"https://push.example:{secure.port}/", limits=HERE)
    assert (outcome.failure, secure.requests) == (Failure.NO_TRUST, [])


def test_the_certificates_authority_has_to_be_trusted(certificates):
    outgoing._tls.cache_clear()
    with receiver.receiving(certificates) as running:
        outcome = outgoing.send("PUT", running.url, limits=HERE)
    assert (outcome.failure, running.requests) == (Failure.NO_TRUST, [])


def test_the_name_is_what_the_server_is_asked_for(secure, monkeypatch):
    """Many names live at one address; the address is connected to, and the name is asked for (SNI)."""
    resolving(monkeypatch, ["127.0.0.1"])
    outgoing.send("PUT", f"https://localhost:{secure.port}/", limits=HERE)
    assert secure.requests[0].headers["Host"] == f"localhost:{secure.port}"
    assert secure.names == ["localhost"]


def test_an_address_in_the_url_is_held_to_its_certificate_too(secure):
    assert outgoing.send("PUT", f"https://127.0.0.1:{secure.port}/", limits=HERE).status == 200


# Limits


def within(limits: Limits, began: float) -> bool:
    return time.monotonic() - began < limits.within_s + 1.0


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch):
    leave = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: leave.wait(10) and [])
    began = time.monotonic()
    assert outgoing.send("PUT", "https://push.example/", limits=SOON).failure == Failure.LATE
    assert within(SOON, began)
    leave.set()


def silent(sock: socket.socket) -> None:
    sock.recv(1)
    time.sleep(1)


def drips(sock: socket.socket, text: bytes) -> None:
    for at in range(len(text)):
        sock.sendall(text[at : at + 1])
        time.sleep(0.05)


def drips_the_head(sock: socket.socket) -> None:
    sock.recv(4096)
    drips(sock, b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000)


def drips_continuations(sock: socket.socket) -> None:
    sock.recv(4096)
    drips(sock, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def drips_a_handshake(sock: socket.socket) -> None:
    sock.recv(4096)
    drips(sock, b"\x16\x03\x03\x3f\xff" + b"\x02\x00\x3f\x00" + b"\x00" * 1000)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("behave", [silent, drips_a_handshake, drips_the_head, drips_continuations])
def test_a_peer_that_stalls_or_drips_is_cut_off(behave, scheme):
    began = time.monotonic()
    with raw(behave) as port:
        outcome = outgoing.send("PUT", f"{scheme}://127.0.0.1:{port}/", limits=SOON)
        assert within(SOON, began)
    # Words of http are refused as a handshake, if enough of them come in time.
    no_handshake = scheme == "https" and behave in (drips_the_head, drips_continuations)
    assert outcome.failure in ({Failure.NO_TRUST, Failure.LATE} if no_handshake else {Failure.LATE})
    assert outcome.retriable


def test_a_body_that_drips_is_cut_off_and_the_status_counts(secure):
    def behave(handler):
        handler.send_response(201)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"a")
            time.sleep(0.05)

    secure.usual = behave
    began = time.monotonic()
    outcome = outgoing.send("PUT", secure.url, limits=Limits(private=True, within_s=0.5, answer=1000))
    assert within(SOON, began)
    assert (outcome.status, outcome.accepted, outcome.failure) == (201, True, Failure.LATE)


def test_a_peer_that_takes_no_body_is_cut_off():
    with raw(lambda sock: time.sleep(1)) as port:
        began = time.monotonic()
        outcome = outgoing.send("PUT", f"http://127.0.0.1:{port}/", body=b"a" * (32 << 20), limits=SOON)
        assert within(SOON, began)
    assert outcome.failure == Failure.LATE


def test_no_more_of_an_answer_is_read_than_is_wanted(plain):
    plain.usual = answering(200, b"a" * 100_000)
    assert outgoing.send("PUT", plain.url, limits=HERE) == Outcome(200, b"")
    assert outgoing.send("PUT", plain.url, limits=Limits(private=True, answer=10)) == Outcome(200, b"a" * 10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 70_000,
    ],
)
def test_an_answer_that_is_none(answer):
    def behave(sock):
        sock.recv(4096)
        sock.sendall(answer)

    with raw(behave) as port:
        outcome = outgoing.send("PUT", f"http://127.0.0.1:{port}/", limits=HERE)
    assert (outcome.failure, outcome.retriable) == (Failure.BROKEN, True)


def test_nobody_listens(plain):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert outgoing.send("PUT", f"http://127.0.0.1:{port}/", limits=HERE).failure == Failure.NO_CONNECTION
