"""500 listeners behind API Gateway: one is gone, one takes nothing, and the rest are told in time."""

import json
import time
from collections.abc import Iterator

import pytest

from chalicelib import clock, settings
from chalicelib.realtime import fronts
from chalicelib.sora import push, store
from chalicelib.sora.store import ConnectionRow
from chalicelib.store import keys, writes
from chalicelib.store.keys import Key
from tests.conftest import Stack
from tests.sora.api import CHANNEL, LIST, PUT, about, done, rpc
from tests.support.connections_server import Reply, Request, Server

LISTENERS = 500
GONE, MUTE = "socket7", "socket8"
WITHIN_S = 2.0
PATIENCE_S = 90.0


@pytest.fixture
def server(table: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """What stands for API Gateway: one socket is gone, and nobody learns what became of another one's."""
    with Server(reply).running() as running:
        monkeypatch.setenv("FOYER_API_ENDPOINT", running.url)
        settings.reset()
        yield running


def reply(request: Request) -> Reply:
    """What becomes of a post."""
    if request.socket_id == GONE:
        return Reply(410)
    return Reply(hang=request.socket_id == MUTE)


def listens(number: int) -> ConnectionRow:
    """The row of a listener."""
    name = f"connection{number}"
    return ConnectionRow(
        *keys.sora_connection(CHANNEL, name),
        channel_id=CHANNEL,
        connection_id=name,
        role="recvonly",
        session_id="session",
        metadata="{}",
        version="first",
        door="socket",
        socket_id=f"socket{number}",
        front=fronts.API_GATEWAY,
        created=clock.now(),
        expires_at=int(clock.now()) + 3600,
    )


def owed(table: Stack) -> list[Key]:
    """What the channel is owed."""
    return [Key(row["pk"]["S"], row["sk"]["S"]) for row in table.rows() if row["pk"]["S"].startswith("SP")]


def test_neither_the_dead_nor_the_deaf_delay_the_rest(server: Server, table: Stack) -> None:
    writes.batch([listens(number) for number in range(LISTENERS)])
    done(rpc(PUT, about("connection0", metadata={"n": 0}, push=True)))
    done(rpc(PUT, about("connection0", metadata={"n": 1}, push=True)))
    first, _ = owed(table)
    began = time.monotonic()
    push.push(first)
    ended = time.monotonic() - began
    posts = [(request.socket_id, request.body.decode(), request.at) for request in server.requests]
    pushes = {text for _, text, _ in posts if '"push"' in text}
    assert [json.loads(text)["data"]["metadata"]["n"] for text in sorted(pushes)] == [0, 1]
    for text in pushes:
        told = {socket: at for socket, body, at in posts if body == text}
        rest = [at for socket, at in told.items() if socket not in (GONE, MUTE)]
        assert len(rest) == LISTENERS - 2
        assert max(rest) - min(rest) < WITHIN_S
    assert ended < PATIENCE_S  # it ends; moto takes seconds for what DynamoDB has at hand
    # Who is gone has left, and the others are told so.
    assert len(done(rpc(LIST, channel_id=CHANNEL))) == LISTENERS - 1
    (notice,) = {text for _, text, _ in posts if "connection.destroyed" in text}
    assert json.loads(notice)["connection_id"] == "connection7"
    assert json.loads(notice)["channel_connections"] == LISTENERS - 1
    assert owed(table) == []


def test_a_front_that_takes_nothing_fails_nobodys_call(table: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOYER_API_ENDPOINT", "http://127.0.0.1:9")
    settings.reset()
    writes.batch([listens(number) for number in range(3)])
    done(rpc(PUT, about("connection0", metadata={"n": 0}, push=True)))
    (first,) = owed(table)
    push.push(first)
    assert owed(table) == []
    assert len(done(rpc(LIST, channel_id=CHANNEL))) == 3


def test_what_is_old_is_not_sent_any_more(
    server: Server, table: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes.batch([listens(0)])
    done(rpc(PUT, about("connection0", metadata={"n": 0}, push=True)))
    (first,) = owed(table)
    later = time.time() + store.PUSH_KEPT_S + 1
    monkeypatch.setattr(clock, "now", lambda: later)
    push.push(first)
    assert (server.requests, owed(table)) == ([], [])
