"""The media server's webhook: connections come and go, twice and in any order (contract 6.1)."""

import itertools
import json
from typing import Any

import pytest

from chalicelib.sora import store
from tests.owt.api import serve
from tests.sora.api import (
    CHANNEL,
    CONNECTION,
    DELETE,
    GET,
    LIST,
    NO_CONNECTION,
    OTHER,
    PUT,
    PUT_ITEM,
    about,
    come,
    done,
    event,
    given,
    go,
    refusal,
    rpc,
)

HOUR = 3600
PARSE = {"error_type": "InvalidJSON", "error_reason": [{"invalid": "parse"}]}


def listed(channel_id=CHANNEL):
    return done(rpc(LIST, channel_id=channel_id))


@pytest.mark.parametrize("kind", ["connection.created", "connection.updated"])
def test_a_connection_comes_with_its_ids(kind, table):
    answer = event(kind, client_id="alice", bundle_id="phone")
    assert (answer.status, answer.body) == (200, "{}")
    assert listed() == [
        {"client_id": "alice", "bundle_id": "phone", "connection_id": CONNECTION, "metadata": {}}
    ]
    row = store.find(CHANNEL, CONNECTION)
    assert (row.role, row.door, row.session_id) == ("sendrecv", "event", "4M9GVF3YF54JQFVJ8ZN1C2NMB0")


def test_ids_that_are_missing_are_the_connections_own(table):
    come()
    assert listed()[0] == {
        "client_id": CONNECTION,
        "bundle_id": CONNECTION,
        "connection_id": CONNECTION,
        "metadata": {},
    }


@pytest.mark.parametrize("odd", [1, None, [], {}, True, "x" * 256, "é" * 128])
def test_ids_that_are_not_as_documented_count_as_missing(odd, table):
    come(client_id=odd, bundle_id=odd, role=odd, session_id=odd)
    assert listed()[0]["client_id"] == CONNECTION


def test_coming_again_refreshes_the_ids_and_never_the_metadata(table):
    come(client_id="alice")
    done(rpc(PUT, about(metadata={"a": 1})))
    come(client_id="bob", bundle_id="b")
    event("connection.updated", role="recvonly")
    assert listed() == [
        {"client_id": "bob", "bundle_id": "b", "connection_id": CONNECTION, "metadata": {"a": 1}}
    ]
    assert store.find(CHANNEL, CONNECTION).role == "recvonly"
    come(client_id=CONNECTION)
    assert listed()[0]["client_id"] == CONNECTION


def test_an_end_takes_connection_and_metadata_away(table):
    come(client_id="alice")
    done(rpc(PUT, about(metadata={"canary": 1}, push=True)))
    go()
    assert listed() == []
    for operation in (GET, DELETE):
        assert refusal(rpc(operation, about())) == NO_CONNECTION
    assert refusal(rpc(PUT, about(metadata={}))) == NO_CONNECTION
    (row,) = [row for row in table.rows() if row["pk"]["S"].startswith("SC")]
    assert set(row) == {"pk", "sk", "e", "expires_at"}


def test_what_has_ended_does_not_come_back_for_an_hour_at_least(table):
    go()
    come()
    event("connection.updated")
    assert listed() == []
    (row,) = table.rows()
    assert float(row["expires_at"]["N"]) - float(row["e"]["N"]) >= HOUR


def test_how_long_an_end_is_remembered_is_a_setting(table, monkeypatch):
    given(monkeypatch, TOMBSTONE_SECONDS="86400")
    go()
    (row,) = table.rows()
    assert 86399 <= float(row["expires_at"]["N"]) - float(row["e"]["N"]) <= 86401


@pytest.mark.parametrize(
    "kinds", sorted(set(itertools.permutations(("created", "updated", "destroyed", "destroyed"))))
)
def test_events_may_come_twice_and_in_any_order(kinds, table):
    come(OTHER)
    for kind in kinds:
        assert event(f"connection.{kind}").status == 200
        assert event(f"connection.{kind}").status == 200
    assert [each["connection_id"] for each in listed()] == [OTHER]
    come("A new one")
    assert len(listed()) == 2


def test_an_end_is_the_end_in_that_channel_only(table):
    come()
    come(channel_id="another")
    go()
    assert listed() == []
    assert len(listed("another")) == 1


@pytest.mark.parametrize(
    "kind",
    [
        "connection.failed",
        "recording.started",
        "archive.available",
        "split-archive.end",
        "spotlight.focused",
        "",
        "connection.",
        "CONNECTION.CREATED",
        1,
        None,
    ],
)
def test_other_events_change_nothing(kind, table):
    for more in ({}, {"channel_id": 1}):
        answer = event(kind, **more)
        assert (answer.status, answer.body) == (200, "{}")
    assert serve("POST", "/sora/event", b"{}").status == 200
    assert table.rows() == []


@pytest.mark.parametrize("kind", ["created", "updated", "destroyed"])
@pytest.mark.parametrize("name", ["channel_id", "connection_id"])
def test_an_event_names_its_connection(kind, name, table):
    whole = {"type": f"connection.{kind}", "channel_id": "c", "connection_id": "i"}
    wrongs: tuple[Any, ...] = (1, None, [], {}, True)
    for wrong in wrongs:
        answer = serve("POST", "/sora/event", json.dumps(whole | {name: wrong}).encode())
        (reason,) = answer.json()["error_reason"]
        assert (answer.status, reason["error"], reason["path"]) == (400, "wrong_type", [name])
    del whole[name]
    answer = serve("POST", "/sora/event", json.dumps(whole).encode())
    (reason,) = answer.json()["error_reason"]
    assert (answer.status, reason["error"], reason["data"]) == (400, "missing_required_property", name)
    assert table.rows() == []


@pytest.mark.parametrize("body", [b"", b"x", b"{", b'{"type":"\xff"}', b'{"type":"a","type":"a"}', b"{} {}"])
def test_what_is_not_json_is_refused(body, table):
    answer = serve("POST", "/sora/event", body)
    assert (answer.status, answer.json()) == (400, PARSE)


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null"])
def test_an_event_is_an_object(text, table):
    answer = serve("POST", "/sora/event", text.encode())
    (reason,) = answer.json()["error_reason"]
    assert (answer.status, reason["error"], reason["path"]) == (400, "wrong_type", [])


def test_an_event_may_be_large_but_not_without_end(table):
    come(data={"x": "y" * 1_000_000})
    assert len(listed()) == 1
    assert serve("POST", "/sora/event", b" " * (6 * 1024 * 1024 + 1)).status == 413


def test_a_change_that_races_with_the_end_brings_nothing_back(table, monkeypatch):
    come()
    real = store._write

    def late(row, after, owed):
        go()
        return real(row, after, owed)

    monkeypatch.setattr(store, "_write", late)
    for operation, more in ((PUT, {"metadata": {"a": 1}}), (PUT_ITEM, {"key": "a", "value": 1})):
        for push in (False, True):
            assert refusal(rpc(operation, about(push=push, **more))) == NO_CONNECTION
    assert listed() == []
    assert [row for row in table.rows() if row["pk"]["S"].startswith("SP")] == []
