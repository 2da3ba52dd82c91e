"""Clients that only listen: how they come and go, what they are told, and one address for two protocols."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import app
from chalicelib.errors import Unavailable
from chalicelib.outbox import owed
from chalicelib.realtime import fronts
from chalicelib.realtime.ports import Outcome
from chalicelib.sora import listeners, notices, push, store
from chalicelib.store import keys, writes
from infra.gateway import events
from tests.sora import api
from tests.sora.api import CONNECTION, GET, LIST, NO_CONNECTION, PUT, about, come, done, event, given, go, rpc
from tests.sora.listening import CHANNEL, Listener, counts
from tests.support.world import MODES, World

ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@pytest.fixture(params=MODES)
def world(request, table, credentials, monkeypatch) -> Iterator[World]:
    """A deployment of each kind."""
    made = World(table, credentials, monkeypatch, request.param)
    yield made
    made.leave()


@pytest.fixture
def rows(table, credentials, monkeypatch) -> Iterator[World]:
    """Behind API Gateway."""
    made = World(table, credentials, monkeypatch, "rows")
    yield made
    made.leave()


def listener(world: World, **asked: Any) -> Listener:
    """A client that listens."""
    return Listener(world).join(**asked)


# Coming


def test_a_newcomer_is_first_told_of_itself(world):
    one = listener(world, role="sendrecv", signaling_notify_metadata={"name": "一"})
    (notice,) = one.heard
    assert list(notice) == [
        "type",
        "event_type",
        "timestamp",
        "role",
        "session_id",
        "client_id",
        "bundle_id",
        "connection_id",
        "audio",
        "video",
        "authn_metadata",
        "metadata",
        "minutes",
        "channel_connections",
        "channel_sendrecv_connections",
        "channel_sendonly_connections",
        "channel_recvonly_connections",
        "data",
    ]
    assert ID.fullmatch(notice["connection_id"])
    assert ID.fullmatch(notice["session_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", notice["timestamp"])
    assert notice["client_id"] == notice["bundle_id"] == notice["connection_id"]
    assert (notice["type"], notice["event_type"]) == ("notify", "connection.created")
    assert (notice["audio"], notice["video"], notice["minutes"]) == (False, False, 0)
    assert (notice["authn_metadata"], notice["metadata"], notice["data"]) == ({"name": "一"}, {}, [])
    assert counts(notice) == (1, 1, 0, 0)
    assert "一" in one.line.texts[0]


def test_what_was_not_said_is_left_out(world):
    (notice,) = listener(world).heard
    assert "authn_metadata" not in notice


@pytest.mark.parametrize("said", [None, 0, "", [], {}, {"a": [1.0, 10**40]}])
def test_whatever_a_client_says_of_itself_comes_back_equal(world, said):
    (notice,) = listener(world, signaling_notify_metadata=said).heard
    assert notice["authn_metadata"] == said


def test_the_others_learn_of_a_newcomer_who_learns_of_them(world):
    one = listener(world, client_id="a", bundle_id="b", signaling_notify_metadata=1)
    done(rpc(PUT, about(one.me, metadata={"mood": "busy"})))
    two = listener(world, role="sendonly")
    assert two.heard[0]["data"] == [
        {
            "client_id": "a",
            "bundle_id": "b",
            "connection_id": one.me,
            "authn_metadata": 1,
            "metadata": {"mood": "busy"},
        }
    ]
    assert one.events() == [("connection.created", one.me), ("connection.created", two.me)]
    seen = one.heard[1]
    assert "data" not in seen
    assert seen == {name: value for name, value in two.heard[0].items() if name != "data"}
    assert counts(seen) == (2, 0, 1, 1)


def test_both_doors_are_one_channel(world):
    come(role="sendonly")
    one = listener(world)
    assert [each["connection_id"] for each in one.heard[0]["data"]] == [CONNECTION]
    assert counts(one.heard[0]) == (2, 0, 1, 1)
    assert {each["connection_id"] for each in done(rpc(LIST, channel_id=CHANNEL))} == {CONNECTION, one.me}
    assert done(rpc(GET, about(one.me))) == {}


def test_one_life_of_a_channel_is_one_session(world):
    one = listener(world)
    two = listener(world)
    elsewhere = listener(world, channel_id="another")
    one.leave()
    three = listener(world)
    sessions = [each.heard[0]["session_id"] for each in (one, two, three)]
    assert len(set(sessions)) == 1
    assert elsewhere.heard[0]["session_id"] not in sessions
    two.leave()
    three.leave()
    again = listener(world)
    assert again.heard[0]["session_id"] not in sessions


def test_the_media_servers_session_is_the_channels(world):
    come()
    one, two = listener(world), listener(world)
    assert {each.heard[0]["session_id"] for each in (one, two)} == {"4M9GVF3YF54JQFVJ8ZN1C2NMB0"}


def test_other_channels_hear_nothing(world):
    other = listener(world, channel_id="sora#")
    one = listener(world)
    done(rpc(PUT, about(one.me, metadata={}, push=True)))
    one.leave()
    world.drain()
    assert other.events() == [("connection.created", other.me)]
    assert other.pushes() == []


@pytest.mark.parametrize("channel_id", ["a#b", "a/b", "%00", "😀", "\0", "x" * 255, "é" * 127, '"\\'])
def test_strange_channels_work(rows, channel_id):
    one = listener(rows, channel_id=channel_id, client_id=channel_id, bundle_id="")
    done(rpc(PUT, about(one.me, channel_id, metadata={"a": 1}, push=True)))
    rows.drain()
    assert one.heard[0]["client_id"] == channel_id
    assert one.heard[0]["bundle_id"] == ""
    assert [each["metadata"] for each in one.pushes()] == [{"a": 1}]


# Leaving


@pytest.mark.parametrize("leave", ["leave", "lost"])
def test_the_others_learn_who_left(world, leave):
    one, two = listener(world), listener(world, role="sendrecv", signaling_notify_metadata={"n": 1})
    done(rpc(PUT, about(two.me, metadata={"a": 1})))
    world.advance(150)
    getattr(two, leave)()
    told = one.heard[-1]
    assert (told["event_type"], told["connection_id"]) == ("connection.destroyed", two.me)
    assert (told["authn_metadata"], told["metadata"], told["minutes"]) == ({"n": 1}, {"a": 1}, 2)
    assert "data" not in told
    assert counts(told) == (1, 0, 0, 1)
    assert [each["connection_id"] for each in done(rpc(LIST, channel_id=CHANNEL))] == [one.me]
    assert api.refusal(rpc(GET, about(two.me))) == NO_CONNECTION
    assert not two.line.open


def test_leaving_twice_is_leaving_once(world):
    one, two = listener(world), listener(world)
    two.leave()
    assert two.lost() == 200
    assert two.lost() == 200
    assert [kind for kind, _ in one.events()].count("connection.destroyed") == 1


def test_a_change_does_not_bring_a_connection_back(world):
    one = listener(world)
    one.leave()
    assert api.refusal(rpc(PUT, about(one.me, metadata={"a": 1}))) == NO_CONNECTION
    come(one.me)
    assert done(rpc(LIST, channel_id=CHANNEL)) == []


def test_a_socket_that_a_message_does_not_reach_has_left(world):
    one, two = listener(world), listener(world)
    two.line.code = 1006
    done(rpc(PUT, about(one.me, metadata={"a": 1}, push=True)))
    world.drain()
    assert one.events()[-1] == ("connection.destroyed", two.me)
    assert len(one.pushes()) == 1
    assert [each["connection_id"] for each in done(rpc(LIST, channel_id=CHANNEL))] == [one.me]


def test_who_went_before_it_came_does_not_stay(world):
    one = listener(world)
    ghost = Listener(world)
    ghost.line.code = 1006
    ghost.join()
    assert [kind for kind, _ in one.events()] == [
        "connection.created",
        "connection.created",
        "connection.destroyed",
    ]
    assert [each["connection_id"] for each in done(rpc(LIST, channel_id=CHANNEL))] == [one.me]


def test_nobody_is_told_twice_by_a_kick_that_comes_again(world):
    one = listener(world)
    done(rpc(PUT, about(one.me, metadata={"a": 1}, push=True)))
    bodies = world.due("sora.push")
    world.work(*bodies)
    world.work(*bodies)
    assert len(one.pushes()) == 1


def test_what_a_channel_is_owed_is_found_without_its_kick(world, monkeypatch):
    one = listener(world)
    world.lose_kicks = True
    world.kicked.clear()
    done(rpc(PUT, about(one.me, metadata={"a": 1}, push=True)))
    world.kicked.clear()
    world.lose_kicks = False
    world.stack.messages()
    monkeypatch.setattr(owed, "kinds", lambda: [store.PUSH])
    world.advance(61)
    world.tick()
    world.drain()
    assert len(one.pushes()) == 1


# Refused


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"role": "recvonly"},
        {"channel_id": "sora"},
        {"role": "viewer", "channel_id": "sora"},
        {"role": 1, "channel_id": "sora"},
        {"role": "recvonly", "channel_id": ""},
        {"role": "recvonly", "channel_id": None},
        {"role": "recvonly", "channel_id": "x" * 256},
        {"role": "recvonly", "channel_id": "é" * 128},
        {"role": "recvonly", "channel_id": "sora", "client_id": 1},
        {"role": "recvonly", "channel_id": "sora", "bundle_id": "x" * 256},
        {"role": "recvonly", "channel_id": "sora", "signaling_notify_metadata": "x" * 40_000},
    ],
)
def test_who_does_not_say_what_it_wants_is_told_and_closed(world, asked):
    one = Listener(world)
    one.say(type="connect", **asked)
    world.drain()
    assert [each["type"] for each in one.heard] == ["error"]
    assert set(one.heard[0]) == {"type", "reason"}
    assert one.line.code == 1008
    one.lost()
    assert [row for row in world.stack.rows() if row["pk"]["S"].startswith(("SC", "SP"))] == []


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"connect","role":"recvonly","channel_id":"\\ud800"}',
        '{"type":"connect","role":"recvonly","channel_id":"a","channel_id":"b"}',
        '{"type":"connect","role":"recvonly","channel_id":"a","x":NaN}',
        '{"type":"connect","role":"recvonly","channel_id":"a","x":' + "[" * 80 + "]" * 80 + "}",
        '{"type":"connect","role":"recvonly","channel_id":"a","client_id":"\\udc00"}',
        '{"type":"connect","role":"recvonly","channel_id":"a","signaling_notify_metadata":"\\udc00"}',
    ],
)
def test_what_two_readers_would_understand_differently_is_refused(rows, text):
    one = Listener(rows)
    one.send(text)
    assert [each["type"] for each in one.heard] == ["error"]
    assert not one.line.open


def test_a_key_is_asked_for(world, monkeypatch):
    given(monkeypatch, OPEN="false", SOCKET_OPEN="false", SOCKET_KEYS="first,second")
    wrong: list[dict[str, Any]] = [
        {},
        {"metadata": {"access_token": "wrong"}},
        {"metadata": {"access_token": 1}},
        {"metadata": []},
    ]
    for asked in wrong:
        one = Listener(world)
        one.say(type="connect", role="recvonly", channel_id=CHANNEL, **asked)
        assert [each["type"] for each in one.heard] == ["error"]
        assert not one.line.open
    for key in ("first", "second"):
        assert listener(world, metadata={"access_token": key}).events()


def test_without_keys_nobody_listens_unless_the_door_is_opened(world, monkeypatch):
    given(monkeypatch, OPEN="false", SOCKET_OPEN="false")
    one = Listener(world)
    one.say(type="connect", role="recvonly", channel_id=CHANNEL, metadata={"access_token": ""})
    assert not one.line.open
    given(monkeypatch, OPEN="false", SOCKET_OPEN="true")
    assert listener(world, metadata={"access_token": "x"}).events()


def test_no_key_is_kept_or_repeated(world, monkeypatch):
    given(monkeypatch, OPEN="false", SOCKET_OPEN="false", SOCKET_KEYS="sesame")
    one = listener(world, metadata={"access_token": "sesame"})
    two = listener(world, metadata={"access_token": "sesame"})
    assert "sesame" not in json.dumps([one.line.texts, two.line.texts, world.stack.rows()])


# One address, two protocols


def test_signs_of_life_are_ignored(world):
    one = Listener(world)
    one.say(type="pong")
    assert one.line.open
    one.join()
    one.say(type="pong")
    one.say(type="whatever", more=1)
    assert (len(one.heard), one.line.open) == (1, True)


def test_a_second_connect_changes_nothing(world):
    one = listener(world)
    one.join(channel_id="another")
    assert len(one.heard) == 1
    assert done(rpc(LIST, channel_id="another")) == []
    assert [each["connection_id"] for each in done(rpc(LIST, channel_id=CHANNEL))] == [one.me]


def test_after_leaving_nobody_comes_back_on_that_socket(world):
    one = listener(world)
    one.leave()
    one.line.code = None
    one.say(type="connect", role="recvonly", channel_id=CHANNEL)
    one.lost()
    world.drain()
    assert done(rpc(LIST, channel_id=CHANNEL)) == []


def test_a_socket_of_the_queue_stays_one(world):
    visitor = world.visitor().wait(world.conference())
    visitor.send('{"type":"connect","role":"recvonly","channel_id":"sora"}')
    assert visitor.line.frames("ERROR")
    assert not visitor.line.open
    assert done(rpc(LIST, channel_id=CHANNEL)) == []


def test_a_listeners_socket_does_not_enter_the_queue(world):
    conference = world.conference()
    one = listener(world)
    one.token = world.credentials.visitor_token(lives_s=3600)
    one.connect()
    one.subscribe(f"/secured/conference/visitor/topic.{conference}")
    one.unsubscribe()
    assert world.queue(conference) == []
    one.lost()
    assert done(rpc(LIST, channel_id=CHANNEL)) == []


def test_a_stomp_disconnect_of_a_listener_ends_its_connection(world):
    one, two = listener(world), listener(world)
    two.disconnect()
    two.lost()
    world.drain()
    assert one.events()[-1] == ("connection.destroyed", two.me)


def test_json_without_a_type_is_no_message_of_either(rows):
    one = Listener(rows)
    one.send('{"role":"recvonly"}')
    assert not one.line.open


def test_the_handshake_of_listeners_has_a_path_and_no_sub_protocol(world):
    for endpoint in ("/signaling", None):
        assert app.ws_connect(handshake(world, endpoint), None) == {"statusCode": 200}
    assert app.ws_connect(handshake(world, "/nowhere"), None) == {"statusCode": 404}


def handshake(world: World, endpoint: str | None) -> dict[str, Any]:
    """The event of a new socket's handshake."""
    identity, peer, at_ms, stage, api_id = Listener(world)._about
    return events.connect(identity, peer, at_ms, stage, api_id, [("Host", "x")], "", endpoint)


# Looking


def test_who_went_without_a_word_is_found_by_a_look(world, monkeypatch):
    one, two = listener(world), listener(world, channel_id="other")
    world.advance(listeners.LOOK_S + 1)
    monkeypatch.setattr(fronts, "alive", lambda fresh=False: {})
    listeners.look(life_of(world, CHANNEL))
    monkeypatch.undo()
    assert done(rpc(LIST, channel_id=CHANNEL)) == []
    assert two.line.open
    assert one.me


def test_a_look_goes_on_as_long_as_somebody_listens(world):
    one = listener(world)
    for _ in range(3):
        world.advance(listeners.LOOK_S + 1)
        listeners.look(life_of(world, CHANNEL))
    assert one.line.open
    (row,) = lives(world)
    assert "due" in row
    one.leave()
    world.advance(listeners.LOOK_S + 1)
    listeners.look(life_of(world, CHANNEL))
    assert lives(world) == []


def lives(world: World) -> list[dict[str, Any]]:
    """The rows of channels in which somebody listens."""
    return [row for row in world.stack.rows() if row["pk"]["S"].startswith("SC") and row["sk"]["S"] == "s"]


def life_of(world: World, channel_id: str) -> Any:
    """Where the life of a channel stands."""
    return keys.sora_session(channel_id)


# Limits


def test_a_list_that_no_message_holds_is_cut_and_says_so(rows):
    for number in range(3):
        come(f"c{number}")
        done(rpc(PUT, about(f"c{number}", metadata={"a": "é" * 30_000})))
    one = listener(rows)
    notice = one.heard[0]
    assert notice["data_truncated"] is True
    assert len(notice["data"]) == 2
    assert len(one.line.texts[0].encode()) <= notices.LARGEST_MESSAGE
    assert counts(notice)[0] == 4


def test_the_largest_of_all_fit_one_notice(rows):
    one = listener(rows)
    two = listener(rows, signaling_notify_metadata="x" * (notices.LARGEST_AUTHN - 2))
    done(rpc(PUT, about(two.me, metadata={"a": "x" * (64 * 1024 - 8)})))
    two.leave()
    text = one.line.texts[-1]
    assert len(text.encode()) <= notices.LARGEST_MESSAGE
    assert one.heard[-1]["event_type"] == "connection.destroyed"
    assert len(one.heard[-1]["authn_metadata"]) == notices.LARGEST_AUTHN - 2


# Sending


def test_pushes_come_in_the_order_of_the_changes_and_never_before_the_first_notice(world):
    one = listener(world)
    for number in range(5):
        done(rpc(PUT, about(one.me, metadata={"n": number}, push=True)))
    two = Listener(world)
    two.say(type="connect", role="recvonly", channel_id=CHANNEL)
    for number in range(5, 8):
        done(rpc(PUT, about(one.me, metadata={"n": number}, push=True)))
    world.drain()
    assert [each["metadata"]["n"] for each in one.pushes()] == list(range(8))
    assert [each["metadata"]["n"] for each in two.pushes()] == [5, 6, 7]
    assert two.heard[0]["connection_id"] == two.me


def test_a_listener_that_takes_nothing_is_not_waited_for_again_and_again(world):
    one, two = listener(world), listener(world)
    tries = []

    def silent(post):
        if post.socket_id == two.id:
            tries.append(post.text)
            return Outcome.RETRY
        return None

    world.lines.verdict = silent
    for number in range(4):
        done(rpc(PUT, about(one.me, metadata={"n": number}, push=True)))
    world.drain()
    assert len(one.pushes()) == 4
    assert len(tries) == 1
    assert [each for each in world.stack.rows() if each["pk"]["S"].startswith("SP")] == []


def test_events_of_the_media_server_are_not_told(world):
    one = listener(world)
    come()
    go()
    assert event("connection.updated").status == 200
    world.drain()
    assert len(one.heard) == 1


# Outages


@contextmanager
def no_transactions(monkeypatch) -> Iterator[None]:
    """Storage takes no transaction for a while."""

    def refuse(*_: Any, **__: Any) -> None:
        raise Unavailable("storage does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(writes, "transact", refuse)
        yield


def test_who_cannot_be_kept_is_told_so_and_closed(world, monkeypatch):
    one = Listener(world)
    with no_transactions(monkeypatch):
        one.join()
    assert [each["type"] for each in one.heard] == ["error"]
    assert one.line.code == 1011
    assert one.lost() == 200
    assert done(rpc(LIST, channel_id=CHANNEL)) == []
    assert listener(world).events()


@pytest.mark.parametrize("leave", ["leave", "lost"])
def test_an_end_that_storage_did_not_take_is_told_later(world, monkeypatch, leave):
    one, two = listener(world), listener(world)
    with no_transactions(monkeypatch):
        getattr(two, leave)()
    two.gone()
    world.drain()
    assert one.events()[-1] == ("connection.created", two.me)
    world.advance(35)
    world.drain()
    assert one.events()[-1] == ("connection.destroyed", two.me)


def test_a_worker_that_died_is_replaced_when_its_lease_is_over(world, monkeypatch):
    one = listener(world)
    done(rpc(PUT, about(one.me, metadata={"n": 0}, push=True)))
    bodies = world.due(store.PUSH)
    died = push._Lease(CHANNEL)
    assert died.take()
    world.work(*bodies)
    assert one.pushes() == []
    world.advance(push.LEASE_S + 1)
    world.work(*bodies)
    assert len(one.pushes()) == 1
    assert not died.keep()


def test_who_comes_while_others_are_told_is_told_in_his_turn(world, monkeypatch):
    one = listener(world)
    done(rpc(PUT, about(one.me, metadata={"n": 0}, push=True)))
    two = Listener(world)
    came: list[bool] = []
    present = listeners.present

    def just_then(channel_id):
        found = present(channel_id)
        if not came:
            came.append(True)
            two.say(type="connect", role="recvonly", channel_id=CHANNEL)
            done(rpc(PUT, about(one.me, metadata={"n": 1}, push=True)))
        return found

    monkeypatch.setattr(listeners, "present", just_then)
    world.drain()
    assert [each["metadata"]["n"] for each in one.pushes()] == [0, 1]
    assert two.heard[0]["connection_id"] == two.me
    assert [each["metadata"]["n"] for each in two.pushes()] == [1]
    assert one.events() == [("connection.created", one.me), ("connection.created", two.me)]
