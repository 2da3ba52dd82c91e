"""Both adapters of the `Sessions` port obey the same rules."""

import json
import sys
import threading

import pytest

from chalicelib.realtime.ports import Session
from chalicelib.realtime.sessions import MemorySessions, RowSessions


def topic_of(text):
    return json.loads(text)[0]


@pytest.fixture(params=["rows", "memory"])
def sessions(request, table):
    return RowSessions() if request.param == "rows" else MemorySessions(topic_of)


def session(nonce="n", **more):
    return Session("aws", "1.2", "{}", nonce, 2_000_000_000, **more)


def test_a_socket_has_one_session(sessions):
    assert sessions.create("s", session("first")) is None
    standing = sessions.create("s", session("second"))
    assert standing is not None
    assert standing.nonce == "first"


def test_a_subscriptions_id_is_taken_once(sessions):
    sessions.create("s", session())
    first = sessions.subscribe("s", "1", '["t",1]')
    assert first.subscriptions == {"1": '["t",1]'}
    again = sessions.subscribe("s", "1", '["t",2]')
    assert again.subscriptions == {"1": '["t",1]'}


@pytest.mark.parametrize("identity", ["", "a.b", "#", ":x", "é", "x" * 200])
def test_a_subscriptions_id_may_be_any_text(sessions, identity):
    sessions.create("s", session())
    assert sessions.subscribe("s", identity, '["t"]').subscriptions == {identity: '["t"]'}
    assert sessions.unsubscribe("s", identity).subscriptions == {identity: '["t"]'}
    assert sessions.read("s").subscriptions == {}


def test_without_a_session_nothing_is_kept(sessions):
    assert sessions.read("s") is None
    assert sessions.subscribe("s", "1", '["t"]') is None
    assert sessions.unsubscribe("s", "1") is None
    assert sessions.delete("s", gone=False) is None
    assert sessions.delete("s", gone=True) is None
    sessions.change("s", "1", '["t"]')
    assert sessions.read("s") is None


def test_a_subscription_that_is_gone_is_not_changed(sessions):
    sessions.create("s", session())
    sessions.change("s", "1", '["t"]')
    assert sessions.read("s").subscriptions == {}
    sessions.subscribe("s", "1", '["t",1]')
    sessions.change("s", "1", '["t",2]')
    assert sessions.read("s").subscriptions == {"1": '["t",2]'}


def test_the_end_of_a_session_says_what_it_was_once(sessions):
    sessions.create("s", session())
    sessions.subscribe("s", "1", '["t"]')
    assert sessions.delete("s", gone=False).subscriptions == {"1": '["t"]'}
    assert sessions.delete("s", gone=False) is None
    assert sessions.delete("s", gone=True) is None
    assert sessions.create("s", session("later")) is None


def test_memory_knows_who_listens_until_they_leave():
    sessions = MemorySessions(topic_of)
    for socket in "ab":
        sessions.create(socket, session())
    sessions.subscribe("a", "1", '["t",1]')
    sessions.subscribe("a", "2", '["t",2]')
    sessions.subscribe("b", "1", '["u",1]')
    (found,) = sessions.listening("t")
    assert (found[0], found[1].subscriptions) == ("a", {"1": '["t",1]', "2": '["t",2]'})
    sessions.unsubscribe("a", "1")
    (found,) = sessions.listening("t")
    assert (found[0], found[1].subscriptions, found[1].left) == ("a", {"2": '["t",2]'}, ("1",))
    sessions.unsubscribe("a", "2")
    sessions.delete("b", gone=False)
    assert sessions.listening("t") == sessions.listening("u") == []
    standing = sessions.create("b", session())
    assert standing is not None
    assert standing.version == "closed"
    sessions.delete("b", gone=True)
    sessions.delete("a", gone=True)
    assert len(sessions) == 0
    assert sessions._topics == {}


def test_memory_forgets_nobody_who_begins_to_listen_while_the_last_one_leaves():
    sessions = MemorySessions(topic_of)
    rounds = 3000
    for number in range(rounds):
        for name in (f"a{number}", f"b{number}"):
            sessions.create(name, session())
    lost = []
    turn = threading.Barrier(2)

    def leaves():
        for number in range(rounds):
            sessions.subscribe(f"a{number}", "1", '["t"]')
            turn.wait(10)
            sessions.delete(f"a{number}", gone=True)
            turn.wait(10)

    def comes():
        for number in range(rounds):
            turn.wait(10)
            sessions.subscribe(f"b{number}", "1", '["t"]')
            turn.wait(10)
            if f"b{number}" not in dict(sessions.listening("t")):
                lost.append(number)
            sessions.delete(f"b{number}", gone=True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=each) for each in (leaves, comes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert lost == []
