"""The registry of fronts: leases."""

import threading

import pytest

from chalicelib import clock, settings
from chalicelib.realtime import fronts
from chalicelib.realtime.fronts import Front
from infra.gateway import install
from infra.gateway import settings as gateway_settings


def front(identity="abc123", until=30.0):
    return Front(identity, "http://127.0.0.1:1", "gateway", True, True, "15000,15000", clock.now() + until)


def test_a_registered_front_is_alive_until_its_lease_is_over(table, monkeypatch):
    assert fronts.register(front())
    assert set(fronts.alive()) == {"abc123"}
    later = clock.now() + 31
    monkeypatch.setattr(clock, "now", lambda: later)
    assert fronts.alive() == {}
    assert fronts.alive(fresh=True) == {}


def test_a_front_id_is_taken_once(table):
    assert fronts.register(front())
    assert not fronts.register(front(until=60))


def test_a_lease_that_runs_is_prolonged_and_one_that_is_over_is_lost(table, monkeypatch):
    fronts.register(front())
    assert fronts.renew("abc123")
    later = clock.now() + 3600
    monkeypatch.setattr(clock, "now", lambda: later)
    assert not fronts.renew("abc123")
    assert not fronts.renew("never")


def test_a_withdrawn_front_is_gone(table):
    fronts.register(front())
    fronts.withdraw("abc123")
    assert fronts.alive() == {}


def test_api_gateway_is_a_front_where_there_is_one(table, monkeypatch):
    monkeypatch.setenv("FOYER_API_ENDPOINT", "https://abc.execute-api.eu-west-1.amazonaws.com/dev")
    settings.reset()
    assert set(fronts.alive()) == {"aws"}
    assert fronts.alive()["aws"].kind == "apigateway"


@pytest.mark.parametrize(
    ("api_id", "identity"), [("gateway-abc123", "abc123"), ("a1b2c3d4e5", "aws"), ("", "aws")]
)
def test_an_events_api_id_names_its_front(api_id, identity):
    assert fronts.of(api_id) == identity


def test_a_lease_that_was_prolonged_counts_as_soon_as_the_old_one_is_over(table, monkeypatch):
    monkeypatch.setenv("FOYER_FRONT_LEASE_S", "2")
    settings.reset()
    fronts.register(front(until=2))
    assert set(fronts.alive()) == {"abc123"}
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + 1.5)
    fronts.renew("abc123")
    monkeypatch.setattr(clock, "now", lambda: began + 2.5)
    assert set(fronts.alive()) == {"abc123"}


def test_a_registry_that_is_slow_to_answer_holds_up_one_thread_only(table, monkeypatch):
    fronts.register(front())
    assert set(fronts.alive()) == {"abc123"}
    monkeypatch.setattr(fronts, "CACHE_S", -1.0)
    asked, answered = threading.Event(), threading.Event()
    read = fronts._read

    def slow():
        asked.set()
        assert answered.wait(10)
        return read()

    monkeypatch.setattr(fronts, "_read", slow)
    reader = threading.Thread(target=fronts.alive)
    reader.start()
    assert asked.wait(10)
    found = []
    other = threading.Thread(target=lambda: found.append(set(fronts.alive())))
    other.start()
    other.join(5)
    held_up = other.is_alive()
    answered.set()
    reader.join(10)
    other.join(10)
    assert not held_up
    assert found == [{"abc123"}]


@pytest.mark.parametrize(("handlers", "remembers"), [("local", True), ("lambda", False)])
def test_a_gateway_says_at_once_whether_its_handlers_die_with_its_sockets(table, handlers, remembers):
    given = {
        "FOYER_GATEWAY_SECRET": "s" * 32,
        "GATEWAY_HANDLERS": handlers,
        "GATEWAY_LAMBDA_PREFIX": "foyer-dev",
    }
    assert install.Product().register("g1", "http://127.0.0.1:9", gateway_settings.load(given))
    assert fronts.alive(fresh=True)["g1"].remembers is remembers
