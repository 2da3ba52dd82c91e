"""The parts that need no socket: settings, routes, events, headers, the wheel."""

import asyncio
import contextlib
from typing import Any

import pytest

from chalicelib.settings import BadSetting
from infra.gateway import events, peers, rest, settings
from infra.gateway.router import Match, Router
from infra.gateway.wheel import SLOTS, Wheel


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"GATEWAY_MODE": "fast"}, "GATEWAY_MODE"),
        ({"GATEWAY_HANDLERS": "remote"}, "GATEWAY_HANDLERS"),
        ({"GATEWAY_HANDLERS": "lambda"}, "GATEWAY_LAMBDA_PREFIX"),
        ({"GATEWAY_NOPE": "1"}, "GATEWAY_NOPE"),
        ({"PORT": "http"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"TLS_PORT": "8443"}, "TLS_CERT"),
        ({"TLS_CERT": "/nowhere.pem"}, "TLS_CERT"),
        ({"GATEWAY_THREADS": "0"}, "GATEWAY_THREADS"),
        ({"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/33"}, "GATEWAY_TRUSTED_PROXIES"),
        ({"JITSI_HEARTBEAT": "15000"}, "JITSI_HEARTBEAT"),
        ({"JITSI_HEARTBEAT": "-1,0"}, "JITSI_HEARTBEAT"),
        ({"GATEWAY_BIND": "0.0.0.0"}, "GATEWAY_BIND"),
        ({"GATEWAY_MANAGEMENT_BIND": "::"}, "GATEWAY_MANAGEMENT_BIND"),
        ({"GATEWAY_HEADER_DEADLINE_S": "nan"}, "GATEWAY_HEADER_DEADLINE_S"),
        ({"GATEWAY_LAMBDA_NAMES": "connect=x"}, "GATEWAY_LAMBDA_NAMES"),
    ],
)
def test_a_bad_setting_is_one_clear_line(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(BadSetting) as refused:
        settings.load(environ)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_mode_decides_what_is_not_given() -> None:
    edge, aws = settings.load({}), settings.load({"GATEWAY_MODE": "aws"})
    assert (edge.heartbeat, edge.beat_s, edge.silence_s, edge.life_s, edge.idle_s) == (
        "15000,15000",
        15,
        15,
        82800,
        0,
    )
    assert (aws.heartbeat, aws.beat_s, aws.silence_s, aws.life_s, aws.idle_s) == ("0,480000", 0, 0, 7200, 600)
    assert (edge.max_message_bytes, aws.max_message_bytes, aws.max_frame_bytes) == (65536, 131072, 32768)
    assert settings.load({"FOYER_STAGE": "prod", "GATEWAY_BIND": "0.0.0.0"}).bind == "0.0.0.0"


FUNCTIONS = {"GATEWAY_HANDLERS": "lambda", "GATEWAY_LAMBDA_PREFIX": "foyer-dev"}


@pytest.mark.parametrize(
    ("given", "reachable"),
    [
        ({}, True),
        ({"GATEWAY_BIND": "0.0.0.0"}, False),
        ({"GATEWAY_BIND": "::"}, False),
        ({"GATEWAY_MANAGEMENT_BIND": "0.0.0.0"}, False),
        ({"GATEWAY_BIND": "0.0.0.0", "GATEWAY_MANAGEMENT_BIND": "10.0.3.7"}, True),
        ({"GATEWAY_BIND": "0.0.0.0", "GATEWAY_MANAGEMENT_URL": "http://10.0.3.7:8081"}, True),
        (FUNCTIONS, False),
        (FUNCTIONS | {"GATEWAY_BIND": "0.0.0.0", "GATEWAY_MANAGEMENT_BIND": "localhost"}, False),
        (FUNCTIONS | {"GATEWAY_MANAGEMENT_BIND": "10.0.3.7"}, True),
        (FUNCTIONS | {"GATEWAY_MANAGEMENT_URL": "http://10.0.3.7:8081"}, True),
        (FUNCTIONS | {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, True),
    ],
)
def test_a_gateway_tells_workers_no_address_that_they_cannot_reach(
    given: dict[str, str], reachable: bool
) -> None:
    read = settings.load({"FOYER_STAGE": "prod", **given})
    with contextlib.nullcontext() if reachable else pytest.raises(BadSetting, match="GATEWAY_MANAGEMENT_URL"):
        settings.check_reachable(read)


def test_deployed_functions_are_named_as_chalice_names_them_unless_told() -> None:
    read = settings.load(
        {
            "GATEWAY_HANDLERS": "lambda",
            "GATEWAY_LAMBDA_PREFIX": "foyer-dev",
            "GATEWAY_LAMBDA_NAMES": "tick=arn:x",
        }
    )
    names = {name: read.function(name) for name in events.FUNCTIONS}
    assert names == {
        "app": "foyer-dev",
        "ws_connect": "foyer-dev-websocket_connect",
        "ws_message": "foyer-dev-websocket_message",
        "ws_disconnect": "foyer-dev-websocket_disconnect",
        "tick": "arn:x",
        "work": "foyer-dev-work",
    }


@pytest.mark.parametrize(
    ("base", "path"), [("", "/state"), ("/", "/state"), ("/q/", "/q/state"), ("/a/b", "/a/b/state")]
)
def test_rewrites_follow_the_base_path(base: str, path: str) -> None:
    assert events.rewrites({"JITSI_QUEUE_BASE_PATH": base})[path] == "/state"


ROUTES = [
    "/",
    "/a",
    "/a/{id}",
    "/a/fixed",
    "/a/{id}/b",
    "/a/{id}/b/{other}",
    "/x-{no}",
    "/g/{rest+}",
    "/g/own",
]


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/", Match("/", None)),
        ("/a", Match("/a", None)),
        ("/a/", Match("/a", None)),
        ("/a/1", Match("/a/{id}", {"id": "1"})),
        ("/a/fixed", Match("/a/fixed", None)),
        ("/a/fixed/b", Match("/a/{id}/b", {"id": "fixed"})),
        ("/a/1/b/2", Match("/a/{id}/b/{other}", {"id": "1", "other": "2"})),
        ("/a/%2F", Match("/a/{id}", {"id": "%2F"})),
        ("/a//b", None),
        ("/b", None),
        ("", None),
        ("//", None),
        ("a", None),
        ("/a/1/c", None),
        ("/g/1", Match("/g/{rest+}", {"rest": "1"})),
        ("/g/1/2%2F/3", Match("/g/{rest+}", {"rest": "1/2%2F/3"})),
        ("/g/own", Match("/g/own", None)),
        ("/g/own/1", Match("/g/{rest+}", {"rest": "own/1"})),
        ("/g", None),
        ("/g//1", None),
    ],
)
def test_the_longest_literal_wins_and_parameters_are_never_empty(path: str, match: Match | None) -> None:
    assert Router(ROUTES).match(path) == match


PEER = events.Peer("1.2.3.4", "agent", "host.test")
CONTEXT = {
    "apiId",
    "connectedAt",
    "connectionId",
    "domainName",
    "eventType",
    "extendedRequestId",
    "identity",
    "messageDirection",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "routeKey",
    "stage",
}


def test_websocket_events_have_api_gateway_s_fields() -> None:
    connect = events.connect("id", PEER, 1, "dev", "api", [("A", "1"), ("A", "2")], "", None)
    assert set(connect) == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    assert set(connect["requestContext"]) == CONTEXT
    assert (connect["headers"], connect["multiValueHeaders"]) == ({"A": "2"}, {"A": ["1", "2"]})

    message = events.message("id", PEER, 1, "dev", "api", "text")
    assert set(message) == {"requestContext", "body", "isBase64Encoded"}
    assert set(message["requestContext"]) == CONTEXT | {"messageId"}

    disconnect = events.disconnect("id", PEER, 1, "dev", "api", 1001)
    assert set(disconnect["requestContext"]) == CONTEXT | {"disconnectStatusCode", "disconnectReason"}
    assert (disconnect["requestContext"]["disconnectStatusCode"], disconnect["requestContext"]["stage"]) == (
        1001,
        "dev",
    )


def test_ids_of_sockets_are_short_and_safe_in_urls() -> None:
    ids = {events.socket_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(
        len(identity) <= 16 and identity.replace("-", "").replace("_", "").isalnum() for identity in ids
    )


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"statusCode": 200, "body": "x"}, (200, [(b"content-type", b"application/json")], b"x")),
        ({"statusCode": "204", "body": ""}, (204, [], b"")),
        (
            {"statusCode": 200, "body": "AAE=", "isBase64Encoded": True, "headers": {"Content-Type": "a/b"}},
            (200, [(b"Content-Type", b"a/b")], b"\x00\x01"),
        ),
        (
            {"statusCode": 200, "headers": {"A": "1"}, "multiValueHeaders": {"a": ["2", "3"]}},
            (200, [(b"a", b"2"), (b"a", b"3")], b""),
        ),
        (
            {
                "statusCode": 200,
                "headers": {"Connection": "close", "Content-Length": "9", "X-Request-Id": "app"},
            },
            (200, [], b""),
        ),
    ],
)
def test_a_proxy_answer_becomes_http(result: dict[str, Any], answer: rest.Answer) -> None:
    assert rest.spelled(result) == answer


@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        {},
        {"statusCode": "many"},
        {"statusCode": 99},
        {"statusCode": 200, "headers": {"A": "1\r\nB: 2"}},
        {"statusCode": 200, "headers": {"Ä": "1"}},
        {"statusCode": 200, "headers": {"A": "€"}},
        {"statusCode": 200, "body": "!", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["A"]},
    ],
)
def test_a_malformed_proxy_answer_is_a_bad_gateway(result: Any) -> None:
    assert rest.spelled(result)[0] == 502


def test_the_port_is_no_part_of_the_domain_name() -> None:
    read = settings.load({})
    for host, name in (
        (b"a.test:8080", "a.test"),
        (b"a.test", "a.test"),
        (b"[::1]:80", "[::1]"),
        (b"[::1]", "[::1]"),
    ):
        assert peers.read(read, "1.1.1.1", "http", 80, [(b"Host", host)]).peer.host == name


class Looked:
    """An entry of the wheel that notes when it was looked at."""

    def __init__(self, *delays: float) -> None:
        self.delays = list(delays)
        self.seen: list[float] = []

    def on_timer(self, now: float) -> float:
        self.seen.append(now)
        if self.delays and self.delays[0] < 0:
            raise KeyError
        return self.delays.pop(0) if self.delays else 0.0


def test_the_wheel_looks_at_each_entry_when_it_asked_and_one_that_raises_stops_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        wheel = Wheel(loop, 0.01)
        began = loop.time()
        broken, again, once, late = Looked(-1), Looked(0.05, 0.05), Looked(), Looked()
        wheel.after(0.05, broken)
        wheel.after(0.05, again)
        wheel.after(0.05, once)
        wheel.after(0.01 * SLOTS * 3, late)
        crowd = [Looked() for _ in range(1000)]
        for entry in crowd:
            wheel.after(0.03, entry)
        while len(again.seen) < 3:
            await asyncio.sleep(0.01)
        wheel.stop()
        assert again.seen[0] - began >= 0.05
        assert again.seen[2] - again.seen[0] >= 0.1
        assert (len(once.seen), len(broken.seen), late.seen) == (1, 1, [])
        assert [len(entry.seen) for entry in crowd] == [1] * 1000

    asyncio.run(main())
    assert "KeyError" in capsys.readouterr().err
