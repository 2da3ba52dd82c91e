"""What a server is answered (contract sections 1, 2 and 5)."""

import json

import pytest

from chalicelib import settings
from chalicelib.wcs.messages import LARGEST_BODY
from tests.owt.api import serve
from tests.wcs.server import HEADERS, SESSION, Server, error, event, kept, ok, spell

HOOKS = (
    *(
        "connect",
        "publishStream",
        "playStream",
        "playHLS",
        "unPublishStream",
        "call",
        "sendDtmf",
        "OnDataEvent",
    ),
    *(
        "ConnectionStatusEvent",
        "StreamStatusEvent",
        "StreamEvent",
        "ErrorEvent",
        "OnCallEvent",
        "OnMessageEvent",
    ),
    *("StreamKeepAliveEvent", "pushLogs", "somethingThatNobodyKnowsYet"),
)
ODD = (
    '{"a":1}',
    ' {\n\t"a" : 1.0 }\r\n',
    '{"a":1e999,"b":-0.0,"c":123456789012345678901234567890,"d":0.1000000000000000055}',
    '{"a":' + "9" * 5000 + "}",
    '{"\\u0061b":"\\/\\ud83d\\ude00","é":"😀\u2028"}',
    '{"half":"\\ud83d"}',
    '{"pk":1,"sk":2,"ttl":3,"version":4,"expires_at":5,"f_status":"x","s":1,"x":true,"":0}',
    "{}",
    '{"z":1,"y":2,"a":null}',
    '{"\\u0000":"\\u0000","#":1,":0":2,"a.b[0]":3}',
)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_answered_what_it_sent(server, hook):
    sent = event(status="NEW")
    answer = server.post(hook, spell(sent))
    body = ok(answer)
    if hook == "connect":
        del body["restClientConfig"]
    else:
        assert answer.body.encode() == spell(sent)
    assert body == sent
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize("text", ODD)
def test_the_very_bytes_come_back(server, text):
    for hook in ("StreamStatusEvent", "publishStream"):
        answer = server.post(hook, text.encode())
        assert (answer.status, answer.body) == (200, text)


@pytest.mark.parametrize("text", ODD)
def test_odd_fields_are_known_as_they_came(server, user, text):
    more = text.strip()[1:].encode()
    whole = spell(event())[:-1] + (b"" if more == b"}" else b",") + more
    answer = server.post("StreamStatusEvent", whole)
    assert answer.body == whole.decode()
    exactly = json.JSONDecoder(parse_int=str, parse_float=str)
    expected = {name: value for name, value in exactly.decode(whole.decode()).items() if name != "sdp"}
    assert exactly.decode(user.post("find", {"mediaSessionId": SESSION}).body) == [expected]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"{}}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"a":"\xff"}',
        b"a=1&b=2",
        b"\xef\xbb\xbf{}",
    ],
)
@pytest.mark.parametrize("hook", ["StreamStatusEvent", "connect", "StreamKeepAliveEvent", "publishStream"])
def test_what_is_no_object_is_a_400(server, hook, body):
    assert error(server.post(hook, body)) == 400


def test_a_body_of_more_than_1_mib_is_a_413(server):
    assert error(server.post("StreamStatusEvent", b"{" + b" " * LARGEST_BODY + b"}")) == 413


@pytest.mark.parametrize("hook", ["Stream1", "Stream-Event", "a%2Fb", "%00", "%E2%82%AC", "*", "a.b", "_"])
def test_a_hook_has_letters_only(server, hook):
    assert error(server.post(hook, b"{}")) == 404


@pytest.mark.parametrize(
    "path", ["/rest", "/rest/my_api", "/rest/my_api/a/b", "/rest-api/stream", "/rest-api"]
)
def test_other_paths_are_not_there(server, path):
    assert serve("POST", path, b"{}", HEADERS).status == 404


def test_an_api_may_have_any_name(server, user):
    for number, api in enumerate(
        ["a", "my_api", "%E2%82%AC", "a%20b", "%2F", "x" * 300, "a.b~c", "%00", "%"]
    ):
        Server(api).tell(mediaSessionId=str(number))
    assert len(user.every()) == 9


def test_names_of_hooks_have_a_case(server, user):
    ok(server.post("streamstatusevent", spell(event())))
    ok(server.post("STREAMSTATUSEVENT", spell(event())))
    assert user.every() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/rest/my_api/StreamStatusEvent",
        *(f"/rest-api/stream/{name}" for name in ("find_all", "find", "terminate")),
    ],
)
def test_another_method_is_a_405(server, method, path):
    answer = serve(method, path, spell(event()), HEADERS)
    assert error(answer) == 405
    assert answer.header("allow") == "POST"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Accept": "application/json, application/*+json"},
        {"Accept": "text/html"},
    ],
)
def test_what_the_headers_say_does_not_matter(table, user, headers):
    answer = serve("POST", "/rest/my_api/StreamStatusEvent", spell(event()), headers)
    assert answer.body.encode() == spell(event())
    assert user.every() == [kept()]


# connect


def test_connect_is_told_how_to_treat_hooks(server):
    sent = {"appKey": "defaultApp", "origin": "https://example.com", "custom": {"token": "1.0"}}
    answered = ok(server.post("connect", spell(sent)))
    assert answered == sent | {
        "restClientConfig": {
            "StreamStatusEvent": {
                "restExclude": "",
                "clientExclude": "",
                "restOnError": "LOG",
                "restPolicy": "NOTIFY",
                "restOverwrite": "",
            },
            "StreamKeepAliveEvent": {
                "restExclude": "sdp",
                "clientExclude": "",
                "restOnError": "FAIL",
                "restPolicy": "NOTIFY",
                "restOverwrite": "",
            },
        }
    }


def test_connect_gets_the_configured_values_for_status_events(server, monkeypatch):
    monkeypatch.setenv("WCS_STATUS_EVENT_CONFIG", '{"restOnError": "FAIL", "restExclude": "sdp,custom"}')
    settings.reset()
    config = ok(server.post("connect", b"{}"))["restClientConfig"]
    assert config["StreamStatusEvent"] == {
        "restExclude": "sdp,custom",
        "clientExclude": "",
        "restOnError": "FAIL",
        "restPolicy": "NOTIFY",
        "restOverwrite": "",
    }
    assert config["StreamKeepAliveEvent"]["restOnError"] == "FAIL"


def test_connect_gets_numbers_back_as_they_were(server):
    answer = server.post("connect", b'{"a":1.0,"b":12345678901234567890,"c":1e999,"\\ud83d":"\\/"}')
    assert answer.body.startswith('{"a":1.0,"b":12345678901234567890,"c":1e999,"\\ud83d":"\\/",')


def test_connect_has_our_wishes_once(server):
    answer = server.post("connect", b'{"restClientConfig":{"mine":1},"a":2}')
    assert answer.body.count("restClientConfig") == 1
    assert set(ok(answer)["restClientConfig"]) == {"StreamStatusEvent", "StreamKeepAliveEvent"}


# Events that cannot be kept


@pytest.mark.parametrize(
    "changed",
    [
        {"mediaSessionId": ...},
        {"mediaSessionId": ""},
        {"mediaSessionId": 5},
        {"mediaSessionId": None},
        {"mediaSessionId": "x" * 1025},
        {"mediaSessionId": ["x"]},
        {"mediaSessionId": "\ud83d"},
        {"nodeId": ...},
        {"nodeId": ""},
        {"nodeId": {"a": 1}},
        {"nodeId": "\ud83d"},
        {"status": ...},
        {"status": ""},
        {"status": None},
        {"status": True},
    ],
)
def test_an_event_that_says_not_of_what_is_echoed_logged_and_not_kept(server, stack_rows, caplog, changed):
    server.tell(**changed)
    assert stack_rows() == []
    assert "an event was not kept" in caplog.text


def test_hooks_other_than_status_events_are_not_kept(server, stack_rows):
    for hook in HOOKS:
        if hook != "StreamStatusEvent":
            ok(server.post(hook, spell(event())))
    assert stack_rows() == []


@pytest.fixture
def stack_rows(table):
    """Every row that there is."""
    return table.rows
