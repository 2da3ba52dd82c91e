"""Asking for streams and for their end (contract section 6)."""

import pytest

from chalicelib.wcs import store
from chalicelib.wcs.messages import LARGEST_BODY
from tests.wcs.server import NODE, SESSION, error, event, kept, ok, spell


@pytest.fixture
def three(server):
    """A publisher and its player, and another publisher on another server."""
    server.tell(mediaSessionId="p1", name="one")
    server.tell(mediaSessionId="w1", name="one", published=False, status="PLAYING", sessionId="s2")
    server.tell(mediaSessionId="p2", name="two", nodeId="n2@10.0.0.2", appKey="otherApp", bitrate=7)
    return server


def ids(streams):
    return sorted(each["mediaSessionId"] for each in streams)


def test_where_there_is_nothing_everything_is_a_404(user):
    for path, body in (
        ("find_all", None),
        ("find", {}),
        ("find", {"name": "x"}),
        ("terminate", {"name": "x"}),
    ):
        assert error(user.post(path, body)) == 404


def test_all_streams_of_all_servers_are_listed(three, user):
    assert ids(user.every()) == ["p1", "p2", "w1"]
    answer = user.post("find_all")
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize("raw", [b"", b"{}", b"anything", b"\xff"])
def test_find_all_takes_no_body(three, user, raw):
    assert len(ok(user.post("find_all", raw=raw))) == 3


@pytest.mark.parametrize(
    ("looked_for", "found"),
    [
        ({"mediaSessionId": "p1"}, ["p1"]),
        ({"name": "one"}, ["p1", "w1"]),
        ({"published": True}, ["p1", "p2"]),
        ({"published": False}, ["w1"]),
        ({"status": "PLAYING"}, ["w1"]),
        ({"sessionId": "s2"}, ["w1"]),
        ({"nodeId": NODE}, ["p1", "w1"]),
        ({"appKey": "otherApp"}, ["p2"]),
        ({"name": "one", "published": True}, ["p1"]),
        ({"mediaSessionId": "p1", "name": "two"}, []),
        ({"mediaSessionId": "p1", "name": "one", "nodeId": NODE, "status": "PUBLISHING"}, ["p1"]),
        ({"bitrate": 7}, ["p2"]),
        ({"bitrate": 7.0}, ["p2"]),
        ({"bitrate": "7"}, []),
        ({"hasVideo": 1}, []),
        ({"width": False}, []),
        ({"noSuchField": 1}, []),
        ({"name": 1}, []),
        ({"mediaSessionId": 1}, []),
        ({"mediaSessionId": ["p1"]}, []),
        ({"name": ""}, []),
        ({"name": None}, ["p1", "p2", "w1"]),
        ({"name": None, "published": False}, ["w1"]),
        ({"sdp": "v=0"}, []),
        ({"name": "ONE"}, []),
        ({"name": "\ud83d"}, []),
        ({"mediaSessionId": "\ud83d"}, []),
        ({}, ["p1", "p2", "w1"]),
    ],
)
def test_streams_that_equal_all_that_is_given_are_found(three, user, looked_for, found):
    assert ids(user.find(**looked_for)) == found


def test_a_stream_without_a_text_for_a_name_is_found_by_it(server, user):
    server.tell(mediaSessionId="a", name=...)
    server.tell(mediaSessionId="b", name=5)
    server.tell(mediaSessionId="c", name={"a": [1, True]})
    server.tell(mediaSessionId="d", name="")
    assert ids(user.every()) == ["a", "b", "c", "d"]
    assert ids(user.find(name=5)) == ["b"]
    assert ids(user.find(name={"a": [1, True]})) == ["c"]
    assert ids(user.find(name={"a": [1, 1]})) == []
    assert ids(user.find(name="")) == ["d"]


def test_a_stream_that_is_renamed_is_found_by_its_new_name_and_once_in_the_list(server, user):
    server.tell(name="old")
    server.tell(name="new")
    assert user.find(name="old") == []
    assert user.find(name="new") == user.every() == [kept(name="new")]


def test_more_streams_than_one_read_takes_are_listed(server, user, monkeypatch):
    monkeypatch.setattr(store, "READ", 4)
    for number in range(10):
        server.tell(mediaSessionId=f"{number}", name="all", sdp=...)
    assert ids(user.every()) == ids(user.find(name="all")) == [f"{number}" for number in range(10)]


def test_a_list_that_cannot_be_sent_is_a_400_that_says_so(server, user):
    for number in range(22):
        server.tell(mediaSessionId=f"{number}", name="even" if number % 2 == 0 else "odd", x="x" * 290_000)
    for answer in (user.post("find_all"), user.post("find", {"published": True})):
        assert error(answer) == 400
        assert "larger than 6 MB" in answer.json()["error"]
    assert len(user.find(name="odd")) == 11
    assert len(user.find(mediaSessionId="3")) == 1


@pytest.mark.parametrize("path", ["find", "terminate"])
@pytest.mark.parametrize(
    "raw", [b"[]", b"{", b"null", b'"x"', b'{"name":"a","name":"b"}', b'{"name":NaN}', b"\xff"]
)
def test_what_is_no_object_is_a_400(three, user, path, raw):
    assert error(user.post(path, raw=raw)) == 400
    assert error(user.post(path, raw=b"{" + b" " * LARGEST_BODY + b"}")) == 413


def test_an_empty_body_finds_all(three, user):
    assert len(ok(user.post("find", raw=b""))) == 3


@pytest.mark.parametrize("query", ["?stale=yes", "?stale=", "?stale=true&stale=1"])
def test_a_flag_is_true_or_false(three, user, query):
    assert error(user.post(f"find_all{query}")) == 400


# The end


def keep_alive(server, **changed):
    """Whether a keep-alive is answered that the stream may go on."""
    answer = server.say("StreamKeepAliveEvent", sdp=..., **changed)
    assert answer.status in (200, 403)
    return answer.status == 200 and answer.body.encode() == spell(event(sdp=..., **changed))


def test_a_stream_whose_end_is_asked_for_is_told_when_its_server_asks_next(server, user):
    server.tell()
    assert keep_alive(server)
    answer = user.post("terminate", {"mediaSessionId": SESSION})
    assert (answer.status, answer.body) == (200, "{}")
    for _ in range(2):
        refused = server.say("StreamKeepAliveEvent")
        assert error(refused) == 403
    assert user.one() == kept()
    server.tell(status="UNPUBLISHED", info="Terminated by keep-alive")
    assert user.one() == kept(status="UNPUBLISHED", info="Terminated by keep-alive")
    assert keep_alive(server)


def test_events_do_not_take_the_mark_away(server, user):
    server.tell()
    ok(user.post("terminate", {"name": "b4e7"}))
    server.tell(status="RESIZE", width=5)
    server.tell()
    assert not keep_alive(server)


@pytest.mark.parametrize(
    ("wanted", "ended"),
    [
        ({"mediaSessionId": "p1"}, ["p1"]),
        ({"name": "one"}, ["p1", "w1"]),
        ({"name": "one", "published": True}, ["p1"]),
        ({"name": "one", "published": False}, ["w1"]),
        ({"name": "one", "mediaSessionId": "w1"}, ["w1"]),
        ({"name": "one", "published": None}, ["p1", "w1"]),
        ({"name": "one", "mediaSessionId": None}, ["p1", "w1"]),
        ({"name": "one", "status": "PLAYING"}, ["w1"]),
    ],
)
def test_what_is_meant_ends_and_nothing_else(three, user, wanted, ended):
    ok(user.post("terminate", wanted))
    refused = [each["mediaSessionId"] for each in user.every() if not keep_alive(three, **each)]
    assert sorted(refused) == ended


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"published": True},
        {"status": "PUBLISHING"},
        {"mediaSessionId": ""},
        {"name": ""},
        {"name": "one", "mediaSessionId": ""},
        {"name": 1},
        {"mediaSessionId": ["p1"]},
        {"name": None},
        {"name": None, "mediaSessionId": None},
        {"name": "one", "published": "true"},
        {"name": "one", "published": 1},
    ],
)
def test_without_an_id_or_a_name_nothing_ends(three, user, wanted):
    assert error(user.post("terminate", wanted)) == 400
    assert all(keep_alive(three, **each) for each in user.every())


def test_an_empty_body_ends_nothing(three, user):
    assert error(user.post("terminate", raw=b"")) == 400


@pytest.mark.parametrize(
    "wanted",
    [{"name": "another"}, {"mediaSessionId": "p1", "name": "two"}, {"name": "one", "noSuchField": 1}],
)
def test_where_nothing_is_meant_it_is_a_404(three, user, wanted):
    assert error(user.post("terminate", wanted)) == 404
    assert all(keep_alive(three, **each) for each in user.every())


def test_what_has_ended_cannot_be_asked_to_end(server, user):
    server.tell(status="STOPPED")
    assert error(user.post("terminate", {"mediaSessionId": SESSION})) == 404


def test_the_end_may_be_asked_for_again(server, user):
    server.tell()
    for _ in range(2):
        ok(user.post("terminate", {"mediaSessionId": SESSION}))
    assert not keep_alive(server)


def test_a_stream_that_nobody_knows_may_go_on(server, user):
    assert keep_alive(server)
    assert user.every() == []


@pytest.mark.parametrize("changed", [{"nodeId": ...}, {"mediaSessionId": 5}, {"nodeId": "other@10.0.0.9"}])
def test_a_keep_alive_that_names_another_stream_or_none_is_echoed(server, user, changed):
    server.tell()
    ok(user.post("terminate", {"mediaSessionId": SESSION}))
    assert keep_alive(server, **changed)


def test_a_stream_that_is_cut_to_what_may_be_kept_still_ends(server, user):
    server.tell(a="x" * 290_000)
    ok(user.post("terminate", {"mediaSessionId": SESSION}))
    server.tell(b="x" * 290_000)
    assert user.one() == kept()
    assert not keep_alive(server)
