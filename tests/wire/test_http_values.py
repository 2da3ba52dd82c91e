"""Requests and replies as plain values."""

import pytest

from chalicelib.errors import TooLarge
from chalicelib.wire.reply import Reply, json_reply
from chalicelib.wire.request import Request
from chalicelib.wire.untrusted import Malformed


def test_header_names_have_no_case():
    request = Request("POST", "/golive", headers={"AUTHORIZATION": "Bearer x", "content-Type": "a/b"})

    assert request.header("Authorization") == "Bearer x"
    assert request.header("Content-Type") == "a/b"
    assert request.header("Accept") is None
    assert request.header("Accept", "*/*") == "*/*"


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"room": "r1", "stream": "s-1"}, "/v1/rooms/r1/streams/s-1"),
        ({"room": "a b", "stream": "a/b"}, "/v1/rooms/a%20b/streams/a%2Fb"),
        ({"room": "a%20b", "stream": "a%2Fb"}, "/v1/rooms/a%20b/streams/a%2Fb"),
        ({"room": "{stream}", "stream": "s"}, "/v1/rooms/%7Bstream%7D/streams/s"),
    ],
)
def test_the_path_of_the_api_is_its_route_with_the_parameters_filled_in(parameters, path):
    request = Request(
        "GET",
        "/prod/v1/rooms/whatever",
        path_parameters=parameters,
        resource="/v1/rooms/{room}/streams/{stream}",
    )
    assert request.api_path == path
    assert Request("GET", "/v1/rooms").api_path == "/v1/rooms"


def test_a_request_does_not_change():
    with pytest.raises(AttributeError):
        Request("GET", "/").method = "PUT"  # type: ignore[misc]


def test_a_body_is_read_through_the_bounded_reader():
    request = Request("POST", "/", body=b'{"a":[1]}')

    assert request.json(9) == {"a": [1]}
    with pytest.raises(TooLarge):
        request.json(8)
    with pytest.raises(Malformed):
        Request("POST", "/").json(8)


def test_json_replies_are_compact():
    reply = json_reply({"conference": "é@x", "status": "live"})

    assert reply == Reply(
        200, '{"conference":"é@x","status":"live"}'.encode(), {"Content-Type": "application/json"}
    )
    assert json_reply([], 404, {"X-Request-Id": "1"}).headers["X-Request-Id"] == "1"


def test_a_reply_has_an_empty_body_unless_told():
    assert Reply(204).body == ""
    assert Reply(204).headers == {}
