"""The push server to register with, and the heartbeats (contract 2)."""

import pytest

from chalicelib import clock, settings
from chalicelib.loop import media
from chalicelib.store import health
from tests.loop.api import Caller, ok
from tests.support import receiver
from tests.support.receiver import answering


@pytest.fixture
def cloud(table, monkeypatch):
    """The media platform's cloud."""
    with receiver.receiving() as running:
        monkeypatch.setenv("LOOP_MEDIA_PROVIDER", "opentok")
        monkeypatch.setenv("LOOP_MEDIA_API_URL", running.url)
        settings.reset()
        yield running


@pytest.mark.parametrize("prefix", ["", "/v0"])
def test_a_client_is_given_one_of_the_push_servers(nobody, monkeypatch, prefix):
    path = f"{prefix}/push-server-config"
    assert ok(nobody.get(path)) == {"pushServerURI": "wss://push.services.mozilla.com/"}
    servers = {"wss://a.example/", "wss://b.example/"}
    monkeypatch.setenv("LOOP_PUSH_SERVERS", ",".join(servers))
    settings.reset()
    assert {ok(nobody.get(path))["pushServerURI"] for _ in range(50)} == servers


@pytest.mark.parametrize("prefix", ["", "/v0"])
def test_the_process_answers_without_storage(nobody, storage, prefix):
    answer = nobody.get(f"{prefix}/__lbheartbeat__")
    assert (answer.status, answer.body) == (200, "{}")
    assert storage.calls == []


@pytest.mark.parametrize("prefix", ["", "/v0"])
def test_what_is_needed_answers(nobody, prefix):
    answer = nobody.get(f"{prefix}/__heartbeat__")
    assert ok(answer) == {"storage": True, "provider": True}
    assert answer.header("Timestamp")
    assert answer.header("Access-Control-Allow-Origin") == "*"


def test_storage_that_does_not_answer_is_named(nobody, monkeypatch):
    monkeypatch.setattr(health, "failing", lambda: ["table: no answer within 500 ms"])
    answer = nobody.get("/__heartbeat__")
    assert (answer.status, answer.json()) == (503, {"storage": False, "provider": True})
    assert answer.header("Retry-After") == "30"


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, True), (500, False), (503, False)])
def test_the_cloud_is_there_unless_it_fails(cloud, nobody, status, there):
    cloud.usual = answering(status)
    answer = nobody.get("/__heartbeat__")
    assert answer.json() == {"storage": True, "provider": there}
    assert answer.status == (200 if there else 503)


def test_the_cloud_is_not_asked_for_every_heartbeat(cloud, nobody, monkeypatch):
    held = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: held[0])
    for _ in range(5):
        assert nobody.get("/__heartbeat__").status == 200
    assert len(cloud.requests) == 1
    cloud.usual = answering(503)
    held[0] += media.HEARD_S + 0.1
    assert nobody.get("/__heartbeat__").status == 503
    assert len(cloud.requests) == 2
    assert {request.path for request in cloud.requests} == {"/"}


@pytest.mark.parametrize("path", ["/push-server-config", "/__lbheartbeat__", "/__heartbeat__"])
def test_other_methods_are_not_there(table, path):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = Caller().call(method, path)
        assert (answer.status, answer.json()["errno"]) == (404, 999)
    assert Caller().call("OPTIONS", path).status == 204
