"""Key sets, and the fetcher against a real HTTP server on loopback (contract 6.1)."""

import dataclasses
import gzip
import hashlib
import json
import logging
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib import keysets
from chalicelib.keysets import (
    BOUNDS,
    Bounds,
    CertMapUrl,
    JwksUrl,
    KeyServer,
    StaticPem,
    StaticSecrets,
    checked_url,
    fetch,
    from_setting,
)
from chalicelib.settings import BadSetting
from chalicelib.wire import bearer
from chalicelib.wire.bearer import BadKey, InvalidToken, KeysUnavailable
from tests.support import jwts

NOW = 1_800_000_000.0
PAIR, OTHER = jwts.rsa_pair(), jwts.rsa_pair("other")
ODD_KIDS = [
    "vpaas-magic-cookie-1fc542a3e4414a44b2611668195e2bfe/4f4910",
    "../../etc/passwd",
    "a b?c=d#e%2F&f",
    "",
    "ä😀\n",
    "k" * 1024,
]


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Handler(BaseHTTPRequestHandler):
    """Answers as the host was told."""

    server: "KeyHost"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append(self.path)
            self.server.headers.append(dict(self.headers))
        self.server.answer(self)
        self.close_connection = True

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


class KeyHost(ThreadingHTTPServer):
    """A key server that counts what it is asked."""

    daemon_threads = False

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.base = f"http{'s' if tls else ''}://localhost:{self.server_port}"
        self.lock = threading.Lock()
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.over = threading.Event()
        self.answer: Callable[[Handler], None] = lambda handler: handler.say(404)

    def serve(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        """Answer so from now on, whatever the path."""
        raw = body.encode() if isinstance(body, str) else body
        self.answer = lambda handler: handler.say(status, raw, **headers)

    def script(self, *answers: tuple[int, str]) -> None:
        """Answer so one after the other."""
        left = list(answers)

        def answer(handler: Handler) -> None:
            status, body = left.pop(0)
            handler.say(status, body.encode())

        self.answer = answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away early is what we test."""


class Drip:
    """An answer that comes byte by byte, in about ten seconds unless the client goes before."""

    def __init__(self, slow: bytes, rest: bytes = b"", *, before: bytes = b"") -> None:
        self.before, self.slow, self.rest = before, slow, rest
        self.ended = threading.Event()
        self.complete = False

    def __call__(self, handler: Handler) -> None:
        try:
            handler.wfile.write(self.before)
            for byte in self.slow:
                handler.wfile.write(bytes([byte]))
                if handler.server.over.wait(0.02):
                    return
            handler.wfile.write(self.rest)
            self.complete = True
        finally:
            self.ended.set()

    def was_cut_short(self) -> bool:
        """Whether the client went before the last byte."""
        return self.ended.wait(60) and not self.complete


def running(server: KeyHost) -> Iterator[KeyHost]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def host() -> Iterator[KeyHost]:
    yield from running(KeyHost())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bounds(clock: Clock) -> Bounds:
    """Loopback over http; time enough for a busy machine."""
    return dataclasses.replace(
        BOUNDS, attempt_s=10.0, within_s=30.0, pause_s=0.001, allow_insecure=True, clock=clock
    )


def names(source: Any, kid: str | None = "k", alg: str = "RS256") -> list[Any]:
    """The public numbers of the keys a source offers."""
    return [key.material.public_numbers() for key in source.keys(kid, alg)]


def numbers(pair: jwts.KeyPair) -> Any:
    return pair.private.public_key().public_numbers()


def away(source: Any, kid: str | None = "k") -> bool:
    """Whether the source says that its keys cannot be had now."""
    try:
        list(source.keys(kid, "RS256"))
    except KeysUnavailable:
        return True
    return False


class TestStatic:
    def test_secrets_serve_hmac_only_and_whatever_the_kid(self):
        source = StaticSecrets("first secret of thirty-two bytes!", "second secret of 32 bytes or more")

        for alg in ("HS256", "HS384", "HS512"):
            assert [key.material[:6] for key in source.keys("any", alg)] == [b"first ", b"second"]  # type: ignore[index]
        for alg in ("RS256", "none", "", "ES256"):
            assert list(source.keys(None, alg)) == []

    def test_pems_serve_rsa_only_and_whatever_the_kid(self):
        source = StaticPem(PAIR.public_pem, OTHER.certificate_pem)

        for alg in ("RS256", "RS384", "RS512"):
            assert names(source, None, alg) == [numbers(PAIR), numbers(OTHER)]
        for alg in ("HS256", "none", "PS256"):
            assert list(source.keys("k", alg)) == []

    def test_a_short_secret_works_and_is_reported_without_showing_it(self, caplog):
        StaticSecrets("my_jitsi_app_secret")

        assert "shorter than 32 bytes" in caplog.text
        assert "my_jitsi" not in caplog.text

    @pytest.mark.parametrize(
        "pem",
        [
            "",
            "nonsense",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            PAIR.private_pem,
            PAIR.public_pem + PAIR.private_pem,
            jwts.rsa_pair("small", 1024).public_pem,
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode(),
        ],
    )
    def test_what_is_no_public_rsa_key_of_2048_bits_is_refused(self, pem):
        with pytest.raises(BadKey):
            StaticPem(pem)


class TestSetting:
    def test_items_stand_behind_commas_or_line_ends(self, tmp_path, bounds):
        path = tmp_path / "keys.pem"
        path.write_text(PAIR.public_pem + OTHER.public_pem)
        spec = f"""
            secret: with, comma and 32 bytes or even more ,secret:second secret of 32 bytes or more
            pem:{path}
            pem:{OTHER.certificate_pem},
            keyserver:https://keys.example.com/user, jwks:https://keys.example.com/jwks.json
            certs:https://keys.example.com/certs?x=1
        """

        source = from_setting(spec, bounds=bounds)

        assert [key.material for key in source.keys(None, "HS256")] == [
            b"with, comma and 32 bytes or even more",
            b"second secret of 32 bytes or more",
        ]
        assert [type(part).__name__ for part in source._sources[2:]] == [
            "StaticPem",
            "StaticPem",
            "KeyServer",
            "JwksUrl",
            "CertMapUrl",
        ]
        static = keysets.KeySet(source._sources[:4])
        assert names(static) == [numbers(PAIR), numbers(OTHER), numbers(OTHER)]

    def test_a_pem_may_stand_on_one_line(self):
        one_line = PAIR.public_pem.replace("\n", "\\n")

        assert names(from_setting(f"pem:{one_line}")) == [numbers(PAIR)]

    @pytest.mark.parametrize("spec", ["", "  ", "\n"])
    def test_an_empty_setting_trusts_nobody(self, spec):
        assert list(from_setting(spec).keys(None, "HS256")) == []

    @pytest.mark.parametrize(
        "spec",
        [
            "hunter2",
            "hunter2,secret:abc",
            "Secret:hunter2",
            "secret:",
            "secret: ,pem:x",
            "pem:/nonexistent/hunter2",
            "pem:",
            "pem:\0hunter2",
            f"pem:{PAIR.private_pem}",
            f"secret:{PAIR.public_pem}",
            "keyserver:http://hunter2.example.com/",
            "keyserver:https://keys.example.com/?hunter2",
            "jwks:hunter2",
            "jwks:https://a.example.com/ jwk:https://hunter2.example.com/",
            "certs:file:///hunter2",
        ],
    )
    def test_a_bad_item_stops_the_start_with_one_line_that_shows_no_value(self, spec):
        with pytest.raises(BadSetting, match=r"^JITSI_USER_KEYS: ") as refused:
            from_setting(spec, name="JITSI_USER_KEYS")

        assert "hunter2" not in str(refused.value)
        assert "BEGIN" not in str(refused.value)
        assert "\n" not in str(refused.value)


class TestAddresses:
    """https, the configured host and nothing else; http to loopback where that is allowed."""

    @pytest.mark.parametrize(
        ("url", "insecure", "allowed"),
        [
            ("https://keys.example.com/a", False, True),
            ("https://keys.example.com:8443", False, True),
            ("https://[::1]:8443/a", False, True),
            ("http://keys.example.com/a", False, False),
            ("http://keys.example.com/a", True, False),
            ("http://127.0.0.1:80/a", False, False),
            ("http://127.0.0.1:80/a", True, True),
            ("http://127.9.9.9/a", True, True),
            ("http://localhost/a", True, True),
            ("http://[::1]/a", True, True),
            ("http://localhost.example.com/a", True, False),
            ("http://0.0.0.0/a", True, False),
            ("http://10.0.0.1/a", True, False),
            ("https://user:pw@keys.example.com/a", False, False),
            ("https://user@keys.example.com/a", False, False),
            ("https://keys.example.com/a#b", False, False),
            ("https://keys.example.com:x/a", False, False),
            ("https://keys.example.com/a b", False, False),
            ("https://keys.example.com/a,b", False, False),
            ("https://kéys.example.com/a", False, False),
            ("https:///a", False, False),
            ("https:keys.example.com", False, False),
            ("ftp://keys.example.com/a", True, False),
            ("file:///etc/passwd", True, False),
            ("keys.example.com/a", True, False),
            ("", True, False),
            ("https://[::1/a", False, False),
        ],
    )
    def test_where_keys_may_come_from(self, url, insecure, allowed):
        bounds = dataclasses.replace(BOUNDS, allow_insecure=insecure)
        if allowed:
            assert checked_url(url, bounds) == url
        else:
            with pytest.raises(BadKey):
                checked_url(url, bounds)

    @pytest.mark.parametrize(
        ("base", "directory"),
        [("https://k/a", "https://k/a/"), ("https://k/a//", "https://k/a/"), ("https://k", "https://k/")],
    )
    def test_a_key_servers_base_ends_in_one_slash(self, base, directory):
        assert checked_url(base, BOUNDS, directory=True) == directory


class TestKeyServer:
    @pytest.mark.parametrize("kid", ODD_KIDS)
    def test_the_document_is_named_by_the_kids_hash(self, host, bounds, kid):
        host.serve(PAIR.public_pem)
        source = KeyServer(f"{host.base}/user", bounds)

        assert names(source, kid) == [numbers(PAIR)]
        assert names(source, kid, "RS512") == [numbers(PAIR)]
        assert host.requests == [f"/user/{hashlib.sha256(kid.encode()).hexdigest()}.pem"]

    def test_the_request_says_little(self, host, bounds):
        host.serve(PAIR.public_pem)

        names(KeyServer(host.base, bounds))

        assert host.headers == [
            {
                "Host": host.base.removeprefix("http://"),
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
                "User-Agent": "foyer",
            }
        ]

    def test_a_certificate_serves_too(self, host, bounds):
        host.serve(PAIR.certificate_pem)

        assert names(KeyServer(host.base, bounds)) == [numbers(PAIR)]

    def test_without_a_kid_or_for_another_algorithm_nothing_is_asked(self, host, bounds):
        source = KeyServer(host.base, bounds)

        assert names(source, None) == []
        for alg in ("HS256", "none", "PS256", ""):
            assert list(source.keys("k", alg)) == []
        assert host.requests == []

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_an_absent_key_is_remembered_for_a_minute(self, host, bounds, clock, status):
        host.serve("", status)
        source = KeyServer(host.base, bounds)

        assert names(source) == names(source) == []
        clock.now += 59
        assert names(source) == []
        assert len(host.requests) == 1

        host.serve(PAIR.public_pem)
        clock.now += 1
        assert names(source) == [numbers(PAIR)]
        assert len(host.requests) == 2

    @pytest.mark.parametrize(
        "body", ["<html>Not here</html>", "", PAIR.private_pem, PAIR.public_pem + OTHER.public_pem]
    )
    def test_a_page_instead_of_a_key_counts_as_absent(self, host, bounds, body):
        host.serve(body)
        source = KeyServer(host.base, bounds)

        assert names(source) == names(source) == []
        assert len(host.requests) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, host, bounds, status):
        host.serve("", status, Location=f"{host.base}/elsewhere")

        assert away(KeyServer(host.base, bounds))
        assert len(host.requests) == 1
        assert "/elsewhere" not in host.requests

    @pytest.mark.parametrize("status", [201, 204, 206, 304])
    def test_only_200_is_an_answer(self, host, bounds, status):
        host.serve(PAIR.public_pem if status < 300 and status != 204 else "", status)

        assert away(KeyServer(host.base, bounds))
        assert len(host.requests) == 1

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
    def test_trouble_is_tried_three_times(self, host, bounds, status):
        host.script((status, ""), (status, ""), (200, PAIR.public_pem))

        assert names(KeyServer(host.base, bounds)) == [numbers(PAIR)]
        assert len(host.requests) == 3

    def test_after_three_tries_it_rests(self, host, bounds, clock):
        host.serve("", 503)
        source = KeyServer(host.base, bounds)

        assert away(source)
        assert away(source)
        clock.now += 4.9
        assert away(source)
        assert len(host.requests) == 3

        host.serve(PAIR.public_pem)
        clock.now += 0.1
        assert names(source) == [numbers(PAIR)]

    def test_no_try_begins_when_the_time_is_over(self, host, bounds):
        host.serve("", 503)

        assert away(KeyServer(host.base, dataclasses.replace(bounds, pause_s=60.0)))
        assert len(host.requests) == 1

    def test_nobody_there_is_trouble(self, bounds):
        host = KeyHost()
        host.server_close()

        assert away(KeyServer(host.base, bounds))

    def test_64_kib_are_read_and_no_more(self, host, bounds):
        fits = PAIR.public_pem + "#" * (65536 - len(PAIR.public_pem))
        host.serve(fits)
        assert names(KeyServer(host.base, bounds)) == [numbers(PAIR)]

        host.serve(fits + "#")
        assert away(KeyServer(host.base, bounds))
        assert len(host.requests) == 2

    def test_a_body_of_unstated_length_is_bounded_too(self, host, bounds):
        def endless(handler: Handler) -> None:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(10_000):
                handler.wfile.write(b"#" * 65536)

        host.answer = endless

        assert away(KeyServer(host.base, bounds))
        assert len(host.requests) == 1

    def test_a_body_cut_short_is_no_key(self, host, bounds):
        pem = PAIR.public_pem
        host.serve(pem, Content_Length=str(len(pem) + 1))

        assert away(KeyServer(host.base, bounds))

    def test_a_compressed_body_is_refused(self, host, bounds):
        host.serve(gzip.compress(PAIR.public_pem.encode()), Content_Encoding="gzip")

        assert away(KeyServer(host.base, bounds))
        assert len(host.requests) == 1

    def test_a_silent_server_is_given_up(self, host, bounds):
        host.answer = lambda handler: handler.server.over.wait(30) and None
        quick = dataclasses.replace(bounds, attempt_s=0.05)

        assert away(KeyServer(host.base, quick))
        assert len(host.requests) == 3

    @pytest.mark.parametrize("part", ["headers", "body", "body without a length"])
    def test_a_server_that_drips_does_not_stretch_the_deadline(self, host, bounds, part):
        """Each byte comes well within the socket's timeout; all of them would be a good key."""
        pem = PAIR.public_pem.encode()
        head = b"HTTP/1.1 200 OK\r\n"
        if part != "body without a length":
            head += b"Content-Length: %d\r\n" % len(pem)
        if part == "headers":
            drip = Drip(head + b"X: " + b"x" * 400 + b"\r\n\r\n", pem)
        else:
            drip = Drip(pem, before=head + b"\r\n")
        host.answer = drip

        assert away(KeyServer(host.base, dataclasses.replace(bounds, attempt_s=0.2, tries=1)))
        assert drip.was_cut_short()

    def test_callers_do_not_wait_longer_than_all_tries_may_take(self, host, bounds):
        host.answer = lambda handler: handler.server.over.wait(30) and None
        patient = dataclasses.replace(bounds, attempt_s=30.0, within_s=0.1)

        assert away(KeyServer(host.base, patient))

    @pytest.mark.parametrize("tries", [1, 3])
    def test_a_try_does_not_outlast_the_time_for_all(self, host, bounds, tries):
        host.answer = drip = Drip(PAIR.public_pem.encode(), before=b"HTTP/1.1 200 OK\r\n\r\n")

        assert away(KeyServer(host.base, dataclasses.replace(bounds, within_s=0.3, tries=tries)))
        assert drip.was_cut_short()
        assert len(host.requests) == 1

    def test_twenty_callers_make_one_request(self, host, bounds):
        gate = threading.Event()

        def answer(handler: Handler) -> None:
            gate.wait(10)
            handler.say(200, PAIR.public_pem.encode())

        host.answer = answer
        source = KeyServer(host.base, bounds)
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda: found.extend(source.keys("k", "RS256"))) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join()

        assert len(host.requests) == 1
        assert Counter(map(id, found)) == {id(found[0]): 20}

    def test_fetches_under_way_are_bounded_and_known_keys_do_not_mind(self, host, bounds):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, dataclasses.replace(bounds, attempt_s=30.0, flights=2))
        assert names(source, "known")
        asked = threading.Semaphore(0)

        def hang(handler: Handler) -> None:
            asked.release()
            handler.server.over.wait(30)

        host.answer = hang
        waiting = [threading.Thread(target=away, args=(source, kid)) for kid in ("a", "b")]
        for thread in waiting:
            thread.start()
        for _ in waiting:
            assert asked.acquire(timeout=10)

        assert away(source, "c")
        assert names(source, "known") == [numbers(PAIR)]
        assert len(host.requests) == 3
        host.over.set()
        for thread in waiting:
            thread.join()

    def test_a_host_without_threads_left_is_trouble(self, host, bounds, monkeypatch):
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        source = KeyServer(host.base, bounds)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            assert away(source)

        host.serve(PAIR.public_pem)
        assert names(source) == [numbers(PAIR)]


class TestMemory:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, 6 * 3600),
            ({"Cache_Control": "max-age=300"}, 300),
            ({"Cache_Control": "public, MAX-AGE=300, s-maxage=9"}, 300),
            ({"Cache_Control": 'max-age="300"'}, 300),
            ({"Cache_Control": "max-age=300", "Age": "100"}, 200),
            ({"Cache_Control": "max-age=300", "Age": "x"}, 300),
            ({"Cache_Control": "max-age=300", "Age": "400"}, 1),
            ({"Cache_Control": "max-age=0"}, 1),
            ({"Cache_Control": "no-store, max-age=300"}, 1),
            ({"Cache_Control": "no-cache"}, 1),
            ({"Cache_Control": "max-age=31536000"}, 24 * 3600),
            ({"Cache_Control": "s-maxage=9"}, 6 * 3600),
            ({"Cache_Control": "max-age=abc"}, 6 * 3600),
        ],
    )
    def test_a_key_serves_for_as_long_as_its_server_says(self, host, bounds, clock, headers, seconds):
        host.serve(PAIR.public_pem, **headers)
        source = KeyServer(host.base, bounds)

        assert names(source)
        clock.now += seconds - 0.001
        assert names(source)
        assert len(host.requests) == 1
        clock.now += 0.001
        assert names(source)
        assert len(host.requests) == 2

    def test_a_document_that_did_not_change_keeps_its_very_keys(self, host, bounds, clock):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, bounds)
        (first,) = source.keys("k", "RS256")

        clock.now += 6 * 3600
        (second,) = source.keys("k", "RS256")
        host.serve(OTHER.public_pem)
        clock.now += 6 * 3600
        (third,) = source.keys("k", "RS256")

        assert second is first
        assert third is not first
        assert len(host.requests) == 3

    @pytest.mark.parametrize("trouble", [(503, ""), (200, "<html>"), (302, "")])
    def test_an_old_key_serves_on_while_its_server_is_in_trouble(self, host, bounds, clock, trouble):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, bounds)
        assert names(source)

        status, body = trouble
        host.serve(body, status)
        clock.now += 6 * 3600
        assert names(source) == names(source) == [numbers(PAIR)]
        asked = len(host.requests)
        clock.now += 59
        assert names(source) == [numbers(PAIR)]
        assert len(host.requests) == asked

        host.serve(OTHER.public_pem)
        clock.now += 1
        assert names(source) == [numbers(OTHER)]

    def test_an_old_key_does_not_serve_for_ever(self, host, bounds, clock):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, bounds)
        assert names(source)

        host.serve("", 503)
        clock.now += 30 * 3600 - 1
        assert names(source) == [numbers(PAIR)]
        clock.now += 1
        assert away(source)

    def test_callers_who_lose_patience_get_the_old_key(self, host, bounds, clock):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, dataclasses.replace(bounds, attempt_s=30.0, within_s=0.1))
        assert names(source)

        host.answer = lambda handler: handler.server.over.wait(30) and None
        clock.now += 6 * 3600

        assert names(source) == [numbers(PAIR)]

    def test_a_withdrawn_key_is_gone_once_its_freshness_is_over(self, host, bounds, clock):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, bounds)
        assert names(source)

        host.serve("", 404)
        clock.now += 6 * 3600

        assert names(source) == []

    def test_the_longest_unused_key_is_forgotten_first(self, host, bounds):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, dataclasses.replace(bounds, keys=3))
        for kid in "abc":
            assert names(source, kid)
        assert names(source, "a")
        assert names(source, "d")
        assert len(host.requests) == 4

        assert names(source, "a")
        assert len(host.requests) == 4
        assert names(source, "b")
        assert len(host.requests) == 5

    def test_unknown_kids_do_not_push_known_keys_out(self, host, bounds):
        host.serve(PAIR.public_pem)
        source = KeyServer(host.base, dataclasses.replace(bounds, keys=2, absences=4))
        assert names(source, "known")

        host.serve("", 404)
        for number in range(10):
            assert names(source, str(number)) == []

        assert names(source, "known") == [numbers(PAIR)]
        assert len(host.requests) == 11
        assert len(source._documents._missing) == 4

    def test_the_defaults_are_the_contracts(self):
        assert (BOUNDS.attempt_s, BOUNDS.tries, BOUNDS.within_s) == (2.0, 3, 5.0)
        assert (BOUNDS.size, BOUNDS.keys, BOUNDS.fresh_s, BOUNDS.absent_s) == (65536, 128, 21600, 60)
        assert not BOUNDS.allow_insecure


class TestTls:
    @pytest.fixture
    def tls_host(self, tmp_path) -> Iterator[KeyHost]:
        path = tmp_path / "server.pem"
        path.write_text(PAIR.certificate_pem + PAIR.private_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        yield from running(KeyHost(context))

    def test_an_unknown_certificate_is_refused(self, tls_host, bounds):
        tls_host.serve(OTHER.public_pem)

        assert away(KeyServer(tls_host.base, dataclasses.replace(bounds, tries=1)))
        assert tls_host.requests == []

    def test_a_trusted_one_is_served_and_its_name_is_checked(self, tls_host, bounds):
        tls_host.serve(OTHER.public_pem)
        trusting = dataclasses.replace(
            bounds, tries=1, tls=ssl.create_default_context(cadata=PAIR.certificate_pem)
        )

        assert names(KeyServer(tls_host.base, trusting)) == [numbers(OTHER)]
        wrong_name = tls_host.base.replace("localhost", "127.0.0.1")
        assert away(KeyServer(wrong_name, trusting))

    def test_a_dripping_tls_server_is_given_up_too(self, tls_host, bounds):
        tls_host.answer = drip = Drip(OTHER.public_pem.encode(), before=b"HTTP/1.1 200 OK\r\n\r\n")
        tls = ssl.create_default_context(cadata=PAIR.certificate_pem)

        assert away(KeyServer(tls_host.base, dataclasses.replace(bounds, attempt_s=1.0, tries=1, tls=tls)))
        assert drip.was_cut_short()


class TestKeySetUrl:
    def test_keys_are_found_by_kid_in_one_document(self, host, bounds):
        host.serve(
            json.dumps({"keys": [PAIR.jwk("a"), OTHER.jwk("b", use="sig", alg="RS256", key_ops=["verify"])]})
        )
        source = JwksUrl(f"{host.base}/jwks.json?v=1", bounds)

        assert names(source, "a") == names(source, "a", "RS512") == [numbers(PAIR)]
        assert names(source, "b") == [numbers(OTHER)]
        assert names(source, "b", "RS512") == []
        assert list(source.keys("a", "HS256")) == []
        assert host.requests == ["/jwks.json?v=1"]

    def test_keys_of_one_kid_are_all_offered_and_a_key_without_kid_serves_tokens_without(self, host, bounds):
        host.serve(json.dumps({"keys": [PAIR.jwk("a"), OTHER.jwk("a"), OTHER.jwk()]}))
        source = JwksUrl(host.base, bounds)

        assert names(source, "a") == [numbers(PAIR), numbers(OTHER)]
        assert names(source, None) == [numbers(OTHER)]

    @pytest.mark.parametrize(
        "entry",
        [
            None,
            "RSA",
            {},
            {"kty": "oct", "k": jwts.b64(b"public secret"), "kid": "k"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k"},
            {"kty": "RSA", "kid": "k"},
            {"kty": "RSA", "kid": "k", "n": 5, "e": []},
            {"kty": "RSA", "kid": "k", "n": "!", "e": "AQAB"},
            {"kty": "RSA", "kid": "k", "n": "AQ", "e": "AA"},
            jwts.rsa_pair("small", 1024).jwk("k"),
            PAIR.jwk("k", use="enc"),
            PAIR.jwk("k", key_ops=["encrypt"]),
            PAIR.jwk("k", key_ops=5),
            PAIR.jwk("k", alg="PS256"),
            PAIR.jwk("k", alg="RSA-OAEP"),
            PAIR.jwk("k", alg=["RS256"]),
            {**PAIR.jwk(), "kid": 5},
        ],
    )
    def test_an_unusable_key_does_not_spoil_the_set(self, host, bounds, entry):
        host.serve(json.dumps({"keys": [entry, OTHER.jwk("good")]}))
        source = JwksUrl(host.base, bounds)

        assert names(source, "good") == [numbers(OTHER)]
        assert names(source, "k") == []

    def test_a_private_key_that_was_published_serves_as_public_key_only(self, host, bounds):
        host.serve(json.dumps({"keys": [PAIR.jwk("k", d="AQAB", p="AQ", q="AQ", dp="AQ", dq="AQ", qi="AQ")]}))

        assert names(JwksUrl(host.base, bounds)) == [numbers(PAIR)]

    @pytest.mark.parametrize(
        "body", ["", "[]", "{}", '{"keys":{}}', '{"keys":[]}', '{"keys":[],"keys":[]}', "<html>"]
    )
    def test_a_document_without_any_usable_key_is_trouble(self, host, bounds, body):
        host.serve(body)

        assert away(JwksUrl(host.base, bounds))

    def test_an_absent_document_is_trouble_and_the_old_one_serves_on(self, host, bounds, clock):
        source = JwksUrl(host.base, bounds)
        assert away(source)

        host.serve(json.dumps({"keys": [PAIR.jwk("k")]}))
        clock.now += 5
        assert names(source) == [numbers(PAIR)]
        host.serve("", 404)
        clock.now += 6 * 3600
        assert names(source) == [numbers(PAIR)]

    def test_a_new_kid_has_the_document_fetched_at_most_once_a_minute(self, host, bounds, clock):
        host.serve(json.dumps({"keys": [PAIR.jwk("old")]}))
        source = JwksUrl(host.base, bounds)
        assert names(source, "new") == []
        assert names(source, "newer") == []
        assert len(host.requests) == 1

        host.serve(json.dumps({"keys": [PAIR.jwk("old"), OTHER.jwk("new")]}))
        clock.now += 59
        assert names(source, "new") == []
        clock.now += 2
        assert names(source, "new") == [numbers(OTHER)]
        assert names(source, "newer") == []
        assert len(host.requests) == 2

    def test_while_the_server_is_in_trouble_an_unknown_kid_is_not_called_wrong(self, host, bounds, clock):
        host.serve(json.dumps({"keys": [PAIR.jwk("old")]}))
        source = JwksUrl(host.base, bounds)
        assert names(source, "old")

        host.serve("", 500)
        clock.now += 61
        assert away(source, "new")
        assert away(source, "newer")
        assert names(source, "old") == [numbers(PAIR)]
        assert len(host.requests) == 4

    def test_a_document_with_too_many_keys_is_cut(self, host, bounds, caplog):
        host.serve(json.dumps({"keys": [PAIR.jwk(str(number)) for number in range(5)]}))
        source = JwksUrl(host.base, dataclasses.replace(bounds, keys=4))

        assert [bool(names(source, str(number))) for number in range(5)] == [True] * 4 + [False]
        assert "more than 4 keys" in caplog.text

    def test_a_map_of_certificates(self, host, bounds):
        host.serve(json.dumps({"a": PAIR.certificate_pem, "b": 5, "c": "nonsense", "d": OTHER.public_pem}))
        source = CertMapUrl(host.base, bounds)

        assert names(source, "a") == [numbers(PAIR)]
        assert names(source, "d") == [numbers(OTHER)]
        assert names(source, "b") == names(source, "c") == names(source, None) == []
        assert len(host.requests) == 1


def test_tokens_are_checked_against_fetched_keys_and_server_keys_stay_apart(host, bounds, clock):
    bearer.remembered.clear()
    users = from_setting(f"keyserver:{host.base}/user", bounds=bounds)
    servers = from_setting(f"keyserver:{host.base}/server", bounds=bounds)

    def answer(handler: Handler) -> None:
        pair = PAIR if handler.path.startswith("/user/") else OTHER
        handler.say(200, pair.public_pem.encode())

    host.answer = answer
    user = jwts.sign(jwts.jaas_user(NOW), PAIR, kid=jwts.JAAS_KID)
    server = jwts.sign(jwts.prosody_server(NOW), OTHER, kid=jwts.JAAS_KID)

    for _ in range(3):
        assert bearer.verify(user, users, ["chat"], ["jitsi"], now=NOW)
        assert bearer.verify(server, servers, ["jitsi"], ["jitsi"], now=NOW)
        for token, source in ((user, servers), (server, users)):
            with pytest.raises(InvalidToken):
                bearer.verify(token, source, ["*"], ["*"], now=NOW)
    assert len(host.requests) == 2

    host.serve("", 404)
    clock.now += 6 * 3600
    with pytest.raises(InvalidToken):
        bearer.verify(user, users, ["chat"], ["jitsi"], now=NOW)


def test_what_goes_wrong_is_logged_without_path_or_token(host, bounds, caplog):
    caplog.set_level(logging.INFO)
    host.serve("", 503)

    assert away(KeyServer(f"{host.base}/private-path", bounds))

    assert f"keys from localhost:{host.server_port}: status 503" in caplog.text
    assert "private-path" not in caplog.text


def test_one_try_can_be_made_by_itself(host, bounds):
    host.serve("x", Cache_Control="max-age=7")

    assert fetch(host.base, bounds) == keysets.Answer(200, b"x", 7.0)
    assert host.requests == ["/"]
