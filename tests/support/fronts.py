"""Gateways that a whole module of tests shares: each by a name, with a table and a queue of its own."""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.children import Gateway
from infra.credentials import Credentials
from infra.emulator import Emulator
from tests.support import grants, jwts
from tests.support.clients import StompClient, http_call

PREFIX = "conference"
DOMAIN = "meet.local"
PATIENCE_S = 20.0
LOOK_S = 0.05


def unique() -> str:
    """A name that no other test has."""
    return uuid.uuid4().hex[:12]


def conference(host: str = f"{PREFIX}.{DOMAIN}") -> str:
    """A conference of one test's own."""
    return f"{unique()}@{host}"


def eventually(holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    """Whether something comes to hold in a while."""
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_S)
    return True


class Tokens:
    """Tokens of which no two are equal: a denial or a release of one test shall not be another's."""

    def __init__(self, credentials: Credentials) -> None:
        assert credentials.user_secret is not None
        assert credentials.server_key is not None
        self.secret: str = credentials.user_secret
        self.server_key = jwts.KeyPair(credentials.server_key)

    def user(self, **claims: Any) -> str:
        """A user's token; `role`, `moderator` and every claim may be said, and `None` removes a claim."""
        return jwts.sign(jwts.self_hosted_user(time.time(), jti=unique(), **claims), self.secret)

    def visitor(self, **claims: Any) -> str:
        """A visitor's token."""
        return self.user(**claims)

    def moderator(self, **claims: Any) -> str:
        """A moderator's token."""
        return self.user(role=None, moderator=True, **claims)

    def server(self, **claims: Any) -> str:
        """A token as Prosody makes them."""
        payload = jwts.prosody_server(time.time(), jti=unique(), **claims)
        return jwts.sign(payload, self.server_key, kid=jwts.SERVER_KID)


class Front:
    """One running gateway, and clients of it."""

    def __init__(self, name: str, gateway: Gateway, table: str, dynamodb: Any) -> None:
        self.name = name
        self.gateway = gateway
        self.table = table
        self.dynamodb = dynamodb
        self.clients: list[StompClient] = []

    def again(self) -> "Front":
        """The same gateway with clients of one's own."""
        return Front(self.name, self.gateway, self.table, self.dynamodb)

    @property
    def edge(self) -> bool:
        """Whether it is a gateway with its extensions, and no imitation of API Gateway."""
        return self.gateway.environ.get("GATEWAY_MODE", "edge") == "edge"

    @property
    def base(self) -> str:
        """What stands before the queue's paths."""
        return self.gateway.environ.get("JITSI_QUEUE_BASE_PATH", "/waiting-queue")

    @property
    def path(self) -> str:
        """Where a stock client opens its socket; behind API Gateway there is only the stage."""
        return f"{self.base}/visitor/websocket" if self.edge else "/"

    @property
    def ws(self) -> str:
        """Base address for WebSockets."""
        return self.gateway.ws

    @property
    def http(self) -> str:
        """Base address of the public port."""
        return self.gateway.http

    @property
    def heartbeat(self) -> str:
        """The pair that its sockets are told."""
        usual = "15000,15000" if self.edge else "0,480000"
        return self.gateway.environ.get("JITSI_HEARTBEAT", usual)

    def open(self, path: str | None = None, **options: Any) -> StompClient:
        """A socket on which nothing was said yet."""
        client = StompClient(self.ws, self.path if path is None else path, **options)
        self.clients.append(client)
        return client

    def connected(self, token: str | None, *, version: str = "1.2,1.1,1.0", **options: Any) -> StompClient:
        """A socket whose CONNECT was answered."""
        client = self.open(**options)
        command, headers, body = client.connect(token, version=version)
        assert command == "CONNECTED", (headers, body)
        return client

    def subscribed(self, token: str | None, destination: str, **options: Any) -> StompClient:
        """A client that listens to one destination, durably."""
        client = self.connected(token, **options)
        client.subscribed(destination)
        return client

    def golive(self, token: str, conference: str) -> None:
        """Have a conference live; it has to work."""
        status, _, body = self.call_golive(token, conference)
        assert status == 200, body

    def call_golive(
        self, token: str, conference: object, method: str = "POST"
    ) -> tuple[int, dict[str, str], bytes]:
        """`golive` with the headers and the spelling of Prosody."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "Prosody (0.12; Linux)",
        }
        body = json.dumps({"conference": conference}, separators=(",", ":"))
        return self.call(method, "/golive", body, headers)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request below the base path."""
        return http_call(self.http, method, self.base + path, body, headers)

    @grants.outside
    def rows(self) -> list[dict[str, Any]]:
        """Every item of its table, as DynamoDB spells it."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def partition(self, pk: str) -> list[dict[str, Any]]:
        """The items of one partition."""
        found: list[dict[str, Any]] = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=True,
        )["Items"]
        return found

    def put(self, item: dict[str, Any]) -> None:
        """Write an item behind the service's back."""
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def delete(self, item: dict[str, Any]) -> None:
        """Remove an item behind the service's back."""
        key = {"pk": item["pk"], "sk": item["sk"]}
        self.dynamodb.delete_item(TableName=self.table, Key=key)

    def leave(self) -> None:
        """Close what the test has opened."""
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.abort()
        self.clients.clear()


class Fronts:
    """The gateways of a module, by the name of their settings; started together on first use."""

    def __init__(
        self,
        emulator: Emulator,
        credentials: Credentials,
        folder: Path,
        settings: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._emulator = emulator
        self._credentials = credentials
        self._folder = folder
        self._settings = settings
        self._fronts: dict[str, Front] = {}
        self._waiting: set[str] = set()

    def __getitem__(self, name: str) -> Front:
        if not self._fronts:
            for each, given in self._settings.items():
                self._fronts[each] = self._start(each, given)
                self._waiting.add(each)
        front = self._fronts[name]
        if name in self._waiting:
            front.gateway.wait(60.0)
            self._waiting.discard(name)
        return front

    def _start(self, name: str, given: Mapping[str, str]) -> Front:
        table = f"foyer-{name}-{unique()}"
        ours = {
            "PORT": "0",
            "GATEWAY_MANAGEMENT_PORT": "0",
            "FOYER_STAGE": "local",
            "FOYER_TABLE": table,
            "FOYER_QUEUE_URL": self._emulator.ensure(table, table),
        }
        environ = dict(os.environ) | ours | self._credentials.environment() | self._emulator.environment()
        gateway = Gateway(environ | dict(given), self._folder / f"{name}.log")
        gateway.spawn()
        return Front(name, gateway, table, self._emulator.client("dynamodb"))

    def leave(self) -> None:
        """Close every socket that a test has opened."""
        for front in self._fronts.values():
            front.leave()

    def stop(self) -> None:
        """End all of them."""
        self.leave()
        for front in self._fronts.values():
            front.gateway.kill()


def handshake(
    base: str, path: str, headers: list[tuple[str, str]], method: str = "GET"
) -> tuple[int, dict[str, str]]:
    """Ask for a WebSocket with just these headers beside those that RFC 6455 demands: status and headers."""
    address = urlsplit(base)
    fixed = [
        ("Host", f"{address.hostname}:{address.port}"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in [*fixed, *headers])]
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as raw:
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = raw.recv(65536)
            assert got, answer
            answer += got
    first, *rest = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}
