"""Streams that have fallen silent are marked; their status stays, and news takes the mark away."""

import pytest

from chalicelib import clock, settings
from chalicelib.outbox import kicks, owed
from chalicelib.store import keys
from chalicelib.wcs import reaper, store
from tests.conftest import Stack
from tests.support.faults import Fault, Injector, Kind
from tests.wcs.server import SESSION, Server, User, kept, ok

AFTER_S = 600.0


class World:
    """Time that tests move, and the sweep that goes with it."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.now = clock.now()
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setenv("WCS_STALE_AFTER_S", str(AFTER_S))
        settings.reset()
        ours = [kind for kind in owed.kinds() if kind == store.STALE]
        monkeypatch.setattr(owed, "kinds", lambda: ours)

    def pass_by(self, seconds: float) -> int:
        """Let time pass and the sweep find what is due, once; how much that was."""
        self.now += seconds
        kicked: list[str] = []
        kicks.install(kicked.append)
        try:
            owed.sweep()
        finally:
            kicks.install(None)
        records = [{"body": body, "messageId": str(number)} for number, body in enumerate(kicked)]
        assert owed.work(records) == []
        return len(kicked)


@pytest.fixture
def world(table, monkeypatch):
    return World(table, monkeypatch)


def silent(user: User) -> list[str]:
    return sorted(each["mediaSessionId"] for each in user.every("?stale=true"))


def lively(user: User) -> list[str]:
    return sorted(each["mediaSessionId"] for each in user.every("?stale=false"))


def test_a_stream_without_news_is_marked_and_its_status_stays(server, user, world):
    server.tell()
    assert world.pass_by(AFTER_S - 1) == 0
    assert silent(user) == []
    assert world.pass_by(2) == 1
    assert silent(user) == [SESSION]
    assert lively(user) == []
    assert user.one() == kept()
    assert user.find(status="PUBLISHING") == [kept()]


def test_a_marked_stream_owes_nothing_more(server, user, world):
    server.tell()
    assert [world.pass_by(AFTER_S + 1) for _ in range(3)] == [1, 0, 0]


def test_news_put_the_look_off(server, user, world):
    server.tell()
    world.pass_by(AFTER_S - 10)
    server.tell()
    assert world.pass_by(20) == 1
    assert silent(user) == []
    assert world.pass_by(AFTER_S - 40) == 0
    assert world.pass_by(40) == 1
    assert silent(user) == [SESSION]


@pytest.mark.parametrize("status", ["PUBLISHING", "RESIZE"])
def test_the_next_event_takes_the_mark_away_and_silence_brings_it_back(server, user, world, status):
    server.tell()
    for _ in range(3):
        world.pass_by(AFTER_S + 1)
        assert silent(user) == [SESSION]
        server.tell(status=status)
        assert silent(user) == []
        assert lively(user) == [SESSION]


def test_a_process_that_never_heard_of_it_takes_the_mark_away_too(server, user, world):
    server.tell()
    world.pass_by(AFTER_S + 1)
    store.forget()
    server.tell()
    assert silent(user) == []
    world.pass_by(AFTER_S + 1)
    assert silent(user) == [SESSION]


def test_a_stream_that_has_ended_is_never_marked(server, user, world):
    server.tell()
    server.tell(status="UNPUBLISHED")
    assert world.pass_by(AFTER_S + 1) == 1
    assert silent(user) == []
    assert world.pass_by(AFTER_S + 1) == 0


def test_the_list_forgets_an_ended_stream_when_the_stream_goes(server, world):
    server.tell(status="FAILED")
    ended = int(world.now) + 86_400
    world.pass_by(AFTER_S + 1)
    assert {int(row["expires_at"]["N"]) for row in world.stack.rows()} == {ended}


def test_a_marked_stream_can_end(server, user, world):
    server.tell()
    world.pass_by(AFTER_S + 1)
    server.tell(status="FAILED", info="Failed by ICE timeout")
    assert user.one() == kept(status="FAILED", info="Failed by ICE timeout")
    assert silent(user) == []
    world.pass_by(AFTER_S + 1)
    assert silent(user) == []


def test_keep_alives_are_news(server, user, world):
    server.tell()
    for _ in range(40):
        ok(server.say("StreamKeepAliveEvent"))
        world.pass_by(AFTER_S / 10)
        assert silent(user) == []
    world.pass_by(AFTER_S + 1)
    assert silent(user) == [SESSION]
    ok(server.say("StreamKeepAliveEvent"))
    assert silent(user) == []
    assert user.one() == kept()


def test_keep_alives_keep_a_stream_known(server, user, world, monkeypatch):
    monkeypatch.setenv("WCS_OTHERS_KEPT_S", "1000")
    settings.reset()
    server.tell()
    for _ in range(10):
        world.now += 300
        ok(server.say("StreamKeepAliveEvent"))
        assert user.one() == kept()
    world.now += 1001
    assert user.every() == []


def test_keep_alives_of_an_ended_stream_are_none(server, user, world):
    server.tell(status="FAILED")
    world.now += 80_000
    ok(server.say("StreamKeepAliveEvent"))
    world.now += 10_000
    assert user.every() == []


def test_a_stream_with_several_names_is_marked_once(server, user, world):
    server.tell(name="a")
    world.now += 5
    server.tell(name="b")
    assert world.pass_by(AFTER_S + 1) == 2
    assert silent(user) == [SESSION]
    server.tell(name="b")
    assert silent(user) == []
    assert world.pass_by(AFTER_S + 1) == 1
    assert silent(user) == [SESSION]


def test_a_row_of_the_list_that_leads_nowhere_owes_nothing_after_a_look(server, user, world, monkeypatch):
    monkeypatch.setattr(store, "_change", lambda *_, **__: True)
    server.tell()
    assert user.every() == []
    assert world.pass_by(AFTER_S + 1) == 1
    assert world.pass_by(AFTER_S + 1) == 0


def test_a_stream_whose_expiry_is_over_is_not_looked_for(server, user, world):
    server.tell()
    world.now += 8 * 86_400
    assert world.pass_by(0) == 1
    assert world.pass_by(AFTER_S + 1) == 0


def test_of_two_workers_one_looks(server, world):
    server.tell()
    world.now += AFTER_S + 1
    (listed,) = [row for row in world.stack.rows() if row["pk"]["S"].startswith("wl")]
    key = keys.Key(listed["pk"]["S"], listed["sk"]["S"])
    first = owed.claim(store.ListedRow, key)
    assert first is not None
    reaper.look(key)
    assert User().every("?stale=true") == []
    world.now += 31
    reaper.look(key)
    assert len(User().every("?stale=true")) == 1


def test_news_between_the_look_and_the_mark_wins(server, user, world, monkeypatch):
    server.tell()
    mark = store.mark_stale

    def after_news(row):
        world.now += 1
        server.tell(bitrate=1)
        return mark(row)

    monkeypatch.setattr(store, "mark_stale", after_news)
    assert world.pass_by(AFTER_S + 1) == 1
    assert silent(user) == []
    monkeypatch.setattr(store, "mark_stale", mark)
    assert world.pass_by(AFTER_S + 1) == 1
    assert silent(user) == [SESSION]


def test_news_between_the_mark_and_its_end_is_looked_at_again(server, user, world, monkeypatch):
    server.tell()
    mark = store.mark_stale

    def before_news(row):
        marked = mark(row)
        world.now += 1
        server.tell()
        return marked

    monkeypatch.setattr(store, "mark_stale", before_news)
    world.pass_by(AFTER_S + 1)
    assert silent(user) == []
    monkeypatch.setattr(store, "mark_stale", mark)
    assert world.pass_by(AFTER_S + 1) == 1
    assert silent(user) == [SESSION]


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("kind", [Kind.FAILS, Kind.LOST])
def test_a_worker_that_dies_leaves_the_look_to_the_next(stack, monkeypatch, at, kind):
    world = World(stack, monkeypatch)
    Server().tell()
    world.now += AFTER_S + 1
    (listed,) = [row for row in stack.rows() if row["pk"]["S"].startswith("wl")]
    body = kicks.spell(store.STALE, keys.Key(listed["pk"]["S"], listed["sk"]["S"]))
    injector = Injector(monkeypatch)
    try:
        with injector.injecting(Fault(at, kind, True)):
            owed.work([{"body": body, "messageId": "1"}])
        assert injector.met
    finally:
        injector.stop()
    world.pass_by(60)
    world.pass_by(60)
    assert len(User().every("?stale=true")) == 1
    assert world.pass_by(AFTER_S + 1) == 0
