"""Pushes that a media server passes on: one call each, in order, and its faults are its own (contract 7)."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.outbox import owed
from chalicelib.sora import store, upstream
from chalicelib.store import keys
from tests.sora.api import CHANNEL, CONNECTION, PUT, PUT_ITEM, about, come, done, given, pushed, rpc


@dataclass
class Sora:
    """A media server: what it was told, and how it answers."""

    url: str = ""
    heard: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    status: int = 200
    delay_s: float = 0.0


@pytest.fixture
def sora(table, monkeypatch) -> Iterator[Sora]:
    told = Sora()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.heard.append(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
            time.sleep(told.delay_s)
            self.send_response(told.status)
            if told.status == 302:
                self.send_header("Location", told.url)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_port}/"
        given(monkeypatch, UPSTREAM_URL=told.url, UPSTREAM_KEY="canary-key")
        come()
        yield told
        upstream._pool().clear()
        server.shutdown()
        thread.join()


def tell() -> None:
    """Serve what is owed, as a kick would."""
    upstream.tell(keys.sora_upstream(CHANNEL, "any"))


def test_a_push_is_one_call_that_the_server_passes_on(sora, table):
    done(rpc(PUT, about(metadata={"日": 10**30}, push=True)))
    tell()
    ((headers, body),) = sora.heard
    assert headers["x-sora-target"] == "Sora_20160711.PushChannel"
    assert headers["authorization"] == "Bearer canary-key"
    assert headers["content-type"] == "application/json"
    assert body == {
        "channel_id": CHANNEL,
        "data": {
            "action": "PutMetadata",
            "connection_id": CONNECTION,
            "metadata": {"日": 10**30},
            "type": "signaling_notify_metadata_ext",
        },
    }
    assert json.loads(pushed(table)[0]) == {"type": "push", "data": body["data"]}
    assert pushed(table, "SU") == []
    tell()
    assert len(sora.heard) == 1


def test_pushes_go_in_the_order_of_the_changes(sora):
    for number in range(20):
        done(rpc(PUT_ITEM, about(key="n", value=number, push=True)))
    tell()
    assert [body["data"]["value"] for _, body in sora.heard] == list(range(20))


def test_one_worker_at_a_time_serves_a_channel(sora, table):
    done(rpc(PUT_ITEM, about(key="n", value=1, push=True)))
    done(rpc(PUT_ITEM, about(key="n", value=2, push=True)))
    first = store.first_upstream(keys.sora_upstreams(CHANNEL))
    assert first is not None
    assert owed.claim(store.UpstreamRow, keys.Key(first.pk, first.sk)) is not None
    tell()
    assert sora.heard == []
    assert len(pushed(table, "SU")) == 2


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
def test_what_the_server_refuses_is_logged_and_done_with(status, sora, table, caplog):
    sora.status = status
    done(rpc(PUT, about(metadata={}, push=True)))
    tell()
    assert len(sora.heard) == 1
    assert pushed(table, "SU") == []
    assert f"{status}" in caplog.text
    assert "canary-key" not in caplog.text


def test_a_server_that_does_not_answer_takes_two_seconds_and_not_the_call(sora, table, caplog):
    sora.delay_s = 3.0
    done(rpc(PUT, about(metadata={}, push=True)))
    began = time.monotonic()
    tell()
    assert 1.9 <= time.monotonic() - began < 2.9
    assert pushed(table, "SU") == []
    assert "was not told" in caplog.text


def test_a_server_that_is_not_there_is_no_error(table, monkeypatch, caplog):
    given(monkeypatch, UPSTREAM_URL="http://127.0.0.1:9/")
    come()
    done(rpc(PUT, about(metadata={}, push=True)))
    tell()
    assert pushed(table, "SU") == []
    assert "was not told" in caplog.text


def test_what_is_old_news_is_not_told(sora, table, monkeypatch):
    done(rpc(PUT, about(metadata={}, push=True)))
    later = time.time() + store.PUSH_KEPT_S + 10
    monkeypatch.setattr("chalicelib.clock.now", lambda: later)
    tell()
    assert sora.heard == []
    assert pushed(table, "SU") == []


def test_without_a_server_nothing_is_owed_to_one(table):
    come()
    done(rpc(PUT, about(metadata={}, push=True)))
    assert pushed(table, "SU") == []


def test_a_worker_leaves_the_rest_to_the_next_one_in_time(sora, table, monkeypatch):
    for number in range(3):
        done(rpc(PUT_ITEM, about(key="n", value=number, push=True)))
    table.messages()
    monkeypatch.setattr(upstream, "AT_ONCE_S", -1)
    tell()
    assert sora.heard == []
    kinds = [json.loads(message["Body"])["kind"] for message in table.messages()]
    assert kinds == [store.UPSTREAM]
