"""What could lose a visitor, count one wrong or tell one twice, and does not."""

from collections.abc import Iterator

import pytest

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.jitsi import release, store, waiting
from chalicelib.outbox import kicks, owed
from chalicelib.realtime import fronts, parallel
from chalicelib.realtime.ports import Outcome
from chalicelib.store import keys, table, writes
from tests.support.clients import STATE, VISITOR
from tests.support.world import ALIVE_S, MODES, Socket, World

DAY_S = 86400.0


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture(params=MODES)
def world(request, stack, credentials, monkeypatch) -> Iterator[World]:
    """A deployment of each kind."""
    monkeypatch.setenv("FOYER_SHARDS", "2")
    made = World(stack, credentials, monkeypatch, request.param)
    yield made
    made.leave()


@pytest.fixture
def rows(stack, credentials, monkeypatch) -> Iterator[World]:
    """Behind API Gateway."""
    monkeypatch.setenv("FOYER_SHARDS", "2")
    made = World(stack, credentials, monkeypatch, "rows")
    yield made
    made.leave()


@pytest.fixture
def memory(stack, credentials, monkeypatch) -> Iterator[World]:
    """In the process of a gateway."""
    monkeypatch.setenv("FOYER_SHARDS", "2")
    made = World(stack, credentials, monkeypatch, "memory")
    yield made
    made.leave()


@pytest.fixture
def briefly_live(world, monkeypatch) -> int:
    """For how many seconds a conference stays live."""
    monkeypatch.setenv("JITSI_LIVE_TTL_S", "60")
    settings.reset()
    return 60


def killed_latecomer(rows: World, conference: str, monkeypatch: pytest.MonkeyPatch) -> Socket:
    """One who comes to a conference that is live, and whose handler dies before it sees that."""
    rows.golive(conference)
    rows.drain()
    visitor = rows.visitor().connect()

    def killed(name: str, socket_id: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(waiting, "_record_and_session", killed)
        with pytest.raises(Killed):
            visitor.subscribe(VISITOR + conference)
    return visitor


def lives(*visitors: Socket) -> list[int]:
    """How many live messages each was sent."""
    return [visitor.line.live() for visitor in visitors]


def test_a_page_of_a_release_that_a_worker_began_reaches_the_sockets_of_the_gateway_that_serves_it(memory):
    conference = memory.conference()
    visitors = [memory.visitor().wait(conference) for _ in range(4)]
    with memory.elsewhere():
        memory.golive(conference)
        memory.work(*memory.due(store.RELEASE))
    assert lives(*visitors) == [0] * 4
    memory.drain()
    assert lives(*visitors) == [1] * 4
    memory.settle()
    assert lives(*visitors) == [1] * 4


def test_a_page_reaches_a_gateway_that_has_come_a_moment_ago(rows):
    conference = rows.conference()
    assert set(fronts.alive()) == {fronts.API_GATEWAY}
    # Another process registers it; this one has looked just before.
    until = clock.now() + ALIVE_S
    writes.put(fronts.FrontRow(*keys.front("later1"), endpoint="http://127.0.0.1:1", alive_until=until))
    rows.api_id = "gateway-later1"
    visitor = rows.visitor().wait(conference)
    fronts._cache.fronts.pop("later1")
    rows.golive(conference)
    rows.work(*rows.due(store.RELEASE))
    fronts._cache.fronts.pop("later1")
    rows.drain()
    assert lives(visitor) == [1]


@pytest.mark.parametrize("world", ["rows"], indirect=True)
def test_a_worker_killed_between_claim_and_send_is_followed_by_one_that_sends(world):
    conference = world.conference()
    visitors = [world.visitor().wait(conference) for _ in range(6)]
    world.golive(conference)
    world.work(*world.due(store.RELEASE))
    sent: list[str] = []

    def verdict(post):
        if len(sent) == 2:
            raise Killed
        sent.append(post.socket_id)

    world.lines.verdict = verdict
    for body in world.due(store.PAGE):
        try:
            world.work(body)
        except Killed:
            continue
    assert len(sent) == 2
    world.lines.verdict = lambda post: None
    world.settle()
    assert set(lives(*visitors)) <= {1, 2}
    assert lives(*visitors).count(2) <= 2


def test_a_latecomer_whose_handler_was_killed_between_claim_and_send_is_closed_and_comes_again(rows):
    conference = rows.conference()
    rows.golive(conference)
    rows.drain()
    visitor = rows.visitor().connect()

    def verdict(post):
        raise Killed

    rows.lines.verdict = verdict
    with pytest.raises(Killed):
        visitor.subscribe(VISITOR + conference)
    rows.lines.verdict = lambda post: None
    rows.settle()
    assert lives(visitor) == [0]
    assert not visitor.line.open
    visitor.gone()
    visitor.open()
    visitor.wait(conference)
    assert lives(visitor) == [1]


@pytest.mark.parametrize("during", [False, True], ids=["after the release", "during the release"])
def test_a_latecomer_who_could_not_be_reached_is_tried_again(rows, during):
    conference = rows.conference()
    rows.golive(conference)
    if during:
        rows.work(*rows.due(store.RELEASE))
    else:
        rows.drain()
    visitor = rows.visitor().connect()
    rows.lines.verdict = lambda post: Outcome.RETRY if '"status":"live"' in post.text else None
    visitor.subscribe(VISITOR + conference)
    rows.lines.verdict = lambda post: None
    rows.settle()
    assert lives(visitor) == [1]


def test_who_could_not_be_reached_is_tried_again_and_nobody_else(rows):
    conference = rows.conference()
    visitors = [rows.visitor().wait(conference) for _ in range(6)]
    late = {visitors[1].id, visitors[4].id}
    rows.lines.verdict = lambda post: Outcome.RETRY if post.socket_id in late else None
    rows.golive(conference)
    rows.drain()
    assert lives(*visitors) == [1, 0, 1, 1, 0, 1]
    rows.lines.verdict = lambda post: None
    rows.settle()
    assert lives(*visitors) == [1] * 6


def test_what_stays_subscribed_after_its_release_gets_no_second_message(world):
    conference = world.conference()
    visitor = world.visitor().wait(conference)
    world.golive(conference)
    world.drain()
    world.golive(conference, "DELETE")
    visitor.wait(conference, "sub-1")
    assert world.waiting(conference) == 1
    world.golive(conference)
    world.settle()
    assert (visitor.line.live("sub-0"), visitor.line.live("sub-1")) == (1, 1)


def test_who_gives_up_and_subscribes_by_the_same_id_again_is_released_again(world):
    conference = world.conference()
    visitor = world.visitor().wait(conference)
    world.golive(conference)
    world.drain()
    assert lives(visitor) == [1]
    world.advance(1)
    visitor.unsubscribe()
    visitor.wait(conference)
    assert lives(visitor) == [2]
    world.settle()
    assert lives(visitor) == [2]


def test_an_id_that_is_used_again_waits_for_the_next_meeting_beside_others(world):
    conference = world.conference()
    visitor = world.visitor().wait(conference).wait(conference, "sub-1")
    world.golive(conference)
    world.drain()
    world.golive(conference, "DELETE")
    world.advance(1)
    visitor.unsubscribe()
    visitor.wait(conference)
    visitor.wait(conference, "sub-2")
    world.golive(conference)
    world.settle()
    assert [visitor.line.live(f"sub-{number}") for number in range(3)] == [2, 1, 1]


def test_a_page_of_another_worker_tells_an_id_that_is_used_again_from_its_first_use(memory):
    conference = memory.conference()
    visitor = memory.visitor().wait(conference)
    memory.golive(conference)
    memory.drain()
    memory.golive(conference, "DELETE")
    memory.advance(1)
    visitor.unsubscribe()
    visitor.wait(conference)
    with memory.elsewhere():
        memory.golive(conference)
        memory.work(*memory.due(store.RELEASE))
        memory.work(*memory.due(store.PAGE))
    memory.drain()
    assert lives(visitor) == [2]


def test_of_two_subscriptions_of_a_socket_only_the_one_that_was_not_sent_is_tried_again(rows):
    conference = rows.conference()
    visitor = rows.visitor().wait(conference).wait(conference, "sub-1")
    rows.lines.verdict = lambda post: Outcome.RETRY if "subscription:sub-1" in post.text else None
    rows.golive(conference)
    rows.drain()
    assert (visitor.line.live("sub-0"), visitor.line.live("sub-1")) == (1, 0)
    rows.lines.verdict = lambda post: None
    visitor.wait(conference, "sub-2")
    rows.settle()
    assert [visitor.line.live(f"sub-{number}") for number in range(3)] == [1, 1, 1]


def test_of_a_latecomers_two_subscriptions_only_the_one_that_was_not_sent_is_tried_again(rows):
    conference = rows.conference()
    visitor = rows.visitor().wait(conference).wait(conference, "sub-1")
    store.go_live(conference, 3600)
    visitor.wait(conference, "sub-2")
    rows.lines.verdict = lambda post: Outcome.RETRY if "subscription:sub-1" in post.text else None
    visitor.wait(conference, "sub-3")
    rows.lines.verdict = lambda post: None
    rows.settle()
    assert [visitor.line.live(f"sub-{number}") for number in range(4)] == [1, 1, 1, 1]


def test_a_latecomer_whose_handler_was_killed_before_it_saw_that_the_conference_is_live_is_found(
    rows, monkeypatch
):
    visitor = killed_latecomer(rows, rows.conference(), monkeypatch)
    assert lives(visitor) == [0]
    rows.advance(release.LOOK_AFTER_S)
    rows.tick()
    rows.drain()
    assert lives(visitor) == [1]


def test_who_is_left_behind_is_looked_for_at_growing_intervals_until_the_conference_ends(rows):
    conference = rows.conference()
    rows.golive(conference)
    rows.drain()
    looked = []
    for minute in range(1, 31):
        rows.advance(60)
        rows.tick()
        if rows.due(store.LOOK):
            rows.work(kicks.spell(store.LOOK, keys.look(keys.conference(conference), 1)))
            looked.append(minute)
    assert looked == [1, 3, 7, 12, 17, 22, 27]
    rows.golive(conference, "DELETE")
    rows.settle()
    assert writes.get(store.LookRow, *keys.look(keys.conference(conference), 1), consistent=True) is None


def test_who_is_left_behind_when_the_conference_ends_is_still_found(rows, monkeypatch):
    conference = rows.conference()
    visitor = killed_latecomer(rows, conference, monkeypatch)
    rows.golive(conference, "DELETE")
    rows.settle()
    assert lives(visitor) == [1]


def test_a_moderator_whose_count_was_noted_by_a_worker_that_died_is_told_by_the_next_one(world):
    conference = world.conference()
    moderators = [world.moderator().connect() for _ in range(2)]
    for moderator in moderators:
        moderator.subscribe(STATE + conference)
    world.visitor().wait(conference)
    told: list[str] = []

    def verdict(post):
        if told:
            raise Killed
        told.append(post.socket_id)

    world.advance(15)
    world.lines.verdict = verdict
    with pytest.raises(Killed):
        world.work(*world.due(store.COUNT))
    world.lines.verdict = lambda post: None
    world.kicked.clear()
    for _ in range(3):
        world.advance(60)
        world.tick()
        world.drain()
    counts = [moderator.line.counts() for moderator in moderators]
    # Who was told may be told once more; the other one is told.
    assert sorted(counts, key=len) == [[0, 1], [0, 1, 1]]


def test_a_conference_whose_time_ran_out_before_its_release_is_released_all_the_same(world, briefly_live):
    conference = world.conference()
    visitor = world.visitor().wait(conference)
    world.golive(conference)
    world.kicked.clear()
    world.advance(briefly_live + 1)
    newcomer = world.visitor().wait(conference)
    world.settle()
    assert lives(visitor, newcomer) == [1, 0]
    assert world.waiting(conference) == 1


def test_what_an_earlier_meeting_still_owed_is_released_with_the_next_one(world, briefly_live):
    conference = world.conference()
    visitor = world.visitor().wait(conference)
    world.golive(conference)
    world.kicked.clear()
    world.advance(briefly_live + 1)
    newcomer = world.visitor().wait(conference)
    world.golive(conference)
    world.settle()
    assert lives(visitor, newcomer) == [1, 1]


def test_the_record_of_a_conference_outlives_the_rows_of_those_who_wait(world):
    conference = world.conference()
    world.golive(conference)
    world.drain()
    world.golive(conference, "DELETE")
    world.drain()
    world.advance(1.9 * DAY_S)
    world.visitor().wait(conference)
    (row,) = world.queue(conference)
    key = keys.live(keys.conference(conference))
    record = writes.get(store.LiveRow, *key, consistent=True)
    assert record is not None
    assert int(record.expires_at or 0) > int(row["expires_at"]["N"])


def test_a_token_that_was_never_accepted_in_its_time_is_not_accepted_for_having_tried(world):
    conference = world.conference()
    token = world.credentials.visitor_token(lives_s=60 + world.ahead)
    world.advance(300)
    for _ in range(3):
        visitor = Socket(world, token).connect()
        assert visitor.connected
        visitor.subscribe(VISITOR + conference)
        assert visitor.line.frames("ERROR")[0][0]["message"] == "Access denied"
        visitor.unsubscribe()
        visitor.disconnect()
        visitor.gone()
        world.advance(601)


@pytest.mark.parametrize("world", ["rows"], indirect=True)
def test_a_page_that_ended_in_the_dead_letters_is_served_when_the_conference_goes_live_again(world):
    conference = world.conference()
    visitor = world.visitor().wait(conference)
    world.lines.verdict = lambda post: Outcome.RETRY
    world.golive(conference)
    world.drain()
    for _ in range(2 * owed.ATTEMPTS):
        world.advance(owed.LONGEST_BACKOFF_S + 1)
        world.tick()
        world.drain()
    assert {letter.kind for letter in owed.dead_letters()} == {store.PAGE}
    world.kicked.clear()
    world.lines.verdict = lambda post: None
    world.golive(conference)
    world.settle()
    assert lives(visitor) == [1]


def test_what_a_worker_cannot_do_ends_in_the_dead_letters_and_can_be_replayed(world, monkeypatch):
    conference = world.conference()
    visitor = world.visitor().wait(conference)

    def worker(key):
        if owed.claim(store.LiveRow, key) is not None:
            raise ZeroDivisionError("a bug")

    monkeypatch.setitem(owed._workers, store.RELEASE, worker)
    world.golive(conference)
    for _ in range(owed.ATTEMPTS + 3):
        world.advance(31)
        world.tick()
        world.work(*dict.fromkeys(world.due()))
    world.kicked.clear()
    (letter,) = owed.dead_letters()
    assert letter.kind == store.RELEASE
    world.advance(400)
    world.tick()
    assert world.kicked == []
    monkeypatch.setitem(owed._workers, store.RELEASE, release.release)
    owed.replay(letter)
    world.settle()
    assert lives(visitor) == [1]


def test_the_wait_for_storage_is_limited_also_where_calls_go_side_by_side(world):
    with table.budget(-1.0), pytest.raises(Unavailable):
        parallel.each(lambda partition: writes.count(partition), ["a", "b", "c"])


@pytest.mark.parametrize("receipt", ["close-1", "close:1"])
def test_a_receipt_is_owed_also_when_the_session_cannot_be_read(world, monkeypatch, receipt):
    visitor = world.visitor().wait(world.conference())

    def silent(operation, request):
        raise Unavailable("storage does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(writes, "call", silent)
        visitor.send(f"DISCONNECT\nreceipt:{receipt}\n\n\0")
    assert "ERROR" not in "".join(visitor.line.texts)
    (last,) = visitor.line.texts[-1:]
    assert last.replace("\\c", ":") == f"RECEIPT\nreceipt-id:{receipt}\n\n\0"
