"""API Gateway's event shapes, REST (v1 proxy) and WebSocket, and the one table of path rewrites."""

import base64
import random
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

Event = dict[str, Any]
Headers = Sequence[tuple[str, str]]

ENDPOINT: Final = "endpoint"
"""The query parameter that carries the path below the base: API Gateway shows WebSocket handlers no path."""

ACCOUNT: Final = "000000000000"

# Handler -> what Chalice adds to the prefix `{app}-{stage}` to name its function.
FUNCTIONS: Final[Mapping[str, str]] = {
    "app": "",
    "ws_connect": "websocket_connect",
    "ws_message": "websocket_message",
    "ws_disconnect": "websocket_disconnect",
    "tick": "tick",
    "work": "work",
}


class Rewrites(NamedTuple):
    """The WebSocket paths of one facade; those without a setting stand where all clients expect them."""

    setting: str
    base: str
    suffixes: tuple[str, ...]


# Whoever fronts the WebSocket API (this gateway, the CloudFront function) rewrites by this table.
REWRITES: Final = (
    Rewrites(
        "JITSI_QUEUE_BASE_PATH",
        "/waiting-queue",
        (
            "/visitor",
            "/visitors",
            "/moderator",
            "/state",
            "/visitors-list",
            "/visitor/websocket",
            "/visitors/websocket",
            "/moderator/websocket",
            "/state/websocket",
            "/visitors-list/websocket",
        ),
    ),
    Rewrites("", "", ("/signaling",)),
)


WITHOUT_BEATS: Final = frozenset({"/signaling"})
"""Where clients read each message as JSON, and a line's end is none."""


def rewrites(environ: Mapping[str, str]) -> dict[str, str]:
    """Path of a WebSocket request -> its `endpoint`, for this deployment's base paths."""
    return {
        environ.get(entry.setting, entry.base).rstrip("/") + suffix: suffix
        for entry in REWRITES
        for suffix in entry.suffixes
    }


class Peer(NamedTuple):
    """Who is at the other end, as far as a front can tell."""

    address: str
    agent: str
    host: str


_bits = random.Random().getrandbits  # ids that name things and protect nothing


def request_id() -> str:
    """A new id for one HTTP request."""
    return f"{_bits(128):032x}"


def message_id() -> str:
    """A new id for one event of a socket."""
    return f"{_bits(64):016x}"


def socket_id() -> str:
    """A new id in the form of API Gateway's connections: 16 characters, safe in URLs, not to be guessed."""
    return secrets.token_urlsafe(12)


_stamp = (0, "")


def request_time(now: float) -> str:
    """`09/Feb/2024:18:11:43 +0000`; one text serves a whole second."""
    global _stamp
    second = int(now)
    if _stamp[0] != second:
        _stamp = (second, time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second)))
    return _stamp[1]


def query(text: str) -> tuple[dict[str, str] | None, dict[str, list[str]] | None]:
    """A query string as API Gateway's two maps; `None` both when it is empty."""
    pairs = parse_qsl(text, keep_blank_values=True) if text else ()
    return _maps(pairs)


def _maps(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, str] | None, dict[str, list[str]] | None]:
    if not pairs:
        return None, None
    many: dict[str, list[str]] = {}
    for name, value in pairs:
        many.setdefault(name, []).append(value)
    return dict(pairs), many


def rest(
    *,
    method: str,
    path: str,
    query_string: str,
    headers: Headers,
    body: bytes,
    binary: bool,
    resource: str,
    parameters: dict[str, str] | None,
    peer: Peer,
    identity: str,
    stage: str,
    api_id: str,
) -> Event:
    """A request as the REST API's Lambda proxy integration hands it on; `identity` is the request's id.

    A body that is not UTF-8 goes as base64, as a binary one does: the handler shall see what was sent.
    """
    now = time.time()
    single, many = query(query_string)
    multi: dict[str, list[str]] = {}
    for name, value in headers:
        multi.setdefault(name, []).append(value)
    text: str | None = None
    if body:
        if not binary:
            try:
                text = body.decode()
            except UnicodeDecodeError:
                binary = True
        if binary:
            text = base64.b64encode(body).decode()
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": dict(headers),
        "multiValueHeaders": multi,
        "queryStringParameters": single,
        "multiValueQueryStringParameters": many,
        "pathParameters": parameters,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "gateway",
            "resourcePath": resource,
            "httpMethod": method,
            "extendedRequestId": identity,
            "requestTime": request_time(now),
            "path": f"/{stage}{path}",
            "accountId": ACCOUNT,
            "protocol": "HTTP/1.1",
            "stage": stage,
            "domainPrefix": api_id,
            "requestTimeEpoch": int(now * 1000),
            "requestId": identity,
            "identity": {
                "cognitoIdentityPoolId": None,
                "accountId": None,
                "cognitoIdentityId": None,
                "caller": None,
                "sourceIp": peer.address,
                "principalOrgId": None,
                "accessKey": None,
                "cognitoAuthenticationType": None,
                "cognitoAuthenticationProvider": None,
                "userArn": None,
                "userAgent": peer.agent or None,
                "user": None,
            },
            "domainName": peer.host,
            "deploymentId": "gateway",
            "apiId": api_id,
        },
        "body": text,
        "isBase64Encoded": binary and text is not None,
    }


def _context(
    route: str, kind: str, socket_id: str, peer: Peer, connected_ms: int, stage: str, api_id: str
) -> dict[str, Any]:
    now = time.time()
    identity = message_id()
    return {
        "routeKey": route,
        "eventType": kind,
        "extendedRequestId": identity,
        "requestTime": request_time(now),
        "messageDirection": "IN",
        "stage": stage,
        "connectedAt": connected_ms,
        "requestTimeEpoch": int(now * 1000),
        "identity": {"userAgent": peer.agent, "sourceIp": peer.address},
        "requestId": identity,
        "domainName": peer.host,
        "connectionId": socket_id,
        "apiId": api_id,
    }


def connect(
    socket_id: str,
    peer: Peer,
    connected_ms: int,
    stage: str,
    api_id: str,
    headers: Headers,
    query_string: str,
    endpoint: str | None,
) -> Event:
    """The `$connect` event; a client's own `endpoint` is dropped, the front's takes its place."""
    multi: dict[str, list[str]] = {}
    for name, value in headers:
        multi.setdefault(name, []).append(value)
    event: Event = {
        "headers": dict(headers),
        "multiValueHeaders": multi,
        "requestContext": _context("$connect", "CONNECT", socket_id, peer, connected_ms, stage, api_id),
        "isBase64Encoded": False,
    }
    pairs = [] if endpoint is None else [(ENDPOINT, endpoint)]
    if query_string:
        pairs += [pair for pair in parse_qsl(query_string, keep_blank_values=True) if pair[0] != ENDPOINT]
    single, many = _maps(pairs)
    if single is not None:
        event["queryStringParameters"] = single
        event["multiValueQueryStringParameters"] = many
    return event


def message(socket_id: str, peer: Peer, connected_ms: int, stage: str, api_id: str, text: str) -> Event:
    """The event of one message; without a route selection of its own every text goes to `$default`."""
    context = _context("$default", "MESSAGE", socket_id, peer, connected_ms, stage, api_id)
    context["messageId"] = context["requestId"]
    return {"requestContext": context, "body": text, "isBase64Encoded": False}


REASONS: Final[Mapping[int, str]] = {
    1000: "",
    1001: "Going away",
    1005: "Client-side close frame status not set",
    1006: "Connection closed abnormally",
}


def disconnect(socket_id: str, peer: Peer, connected_ms: int, stage: str, api_id: str, code: int) -> Event:
    """The `$disconnect` event."""
    context = _context("$disconnect", "DISCONNECT", socket_id, peer, connected_ms, stage, api_id)
    context["disconnectStatusCode"] = code
    context["disconnectReason"] = REASONS.get(code, "")
    forwarded = {"Host": peer.host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    return {
        "headers": forwarded,
        "multiValueHeaders": {name: [value] for name, value in forwarded.items()},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def scheduled(rule: str = "tick") -> Event:
    """EventBridge's event of a schedule."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": "local",
        "resources": [f"arn:aws:events:local:{ACCOUNT}:rule/{rule}"],
        "detail": {},
    }


def record(
    message_id: str,
    body: str,
    *,
    receipt: str = "",
    attributes: Mapping[str, str] | None = None,
    queue: str = "",
    md5: str = "",
) -> Event:
    """One record of the batch that the queue's event source hands to a function."""
    name = queue.rstrip("/").rpartition("/")[2] or "local"
    return {
        "messageId": message_id,
        "receiptHandle": receipt,
        "body": body,
        "attributes": dict(attributes or {}),
        "messageAttributes": {},
        "md5OfBody": md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:local:{ACCOUNT}:{name}",
        "awsRegion": "local",
    }
