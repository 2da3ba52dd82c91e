"""Where the tests of the deployed stack deploy to, and what is possible there."""

import contextlib
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import WebSocketException

from infra import deploy, destroy, ready
from infra.credentials import Credentials
from infra.emulator import CREDENTIALS, Emulator, given_endpoint
from infra.ready import Site
from tests.support import network
from tests.support.clients import OFFERED, StompClient

REMEMBERED = "DEPLOYED_TESTS_TARGET"
IN_AWS = "FOYER_TEST_AWS"
"""Set to 1 it says that a stack may be made in the account of the environment's credentials."""
ALL_SERVICES = ""
PREFIXES = (deploy.ALL_PATHS, "/restapis/{api}/{stage}/_user_request_")
"""How an emulator's own paths begin, of which functions see nothing."""
RESPONSES = "responses of one's own to unknown paths"
PARAMETERS = "secrets that settings refer to"
OWN = "ministack"
WAIT_S = 60.0


def remember(environ: Mapping[str, str]) -> None:
    """Keep what the environment says of a target: everything else of it is forgotten before the tests."""
    if not given_endpoint(environ) and environ.get(IN_AWS) != "1":
        return
    kept = {
        name: text for name, text in environ.items() if name.startswith("AWS_") or name == "LOCALSTACK_HOST"
    }
    os.environ.setdefault(REMEMBERED, json.dumps(kept))


@dataclass
class Target:
    """A cloud: clients for it, and what processes on this machine need to talk to it."""

    name: str
    client: Callable[[str], Any]
    emulator: str
    """Its address; "" for AWS itself."""
    environment: dict[str, str]
    stack: str
    here: bool = False
    """Whether its functions are processes of this machine, which reach this machine's loopback."""


@contextlib.contextmanager
def target(folder: Path) -> Iterator[Target]:
    """The target that was given, else an emulator of one's own."""
    given: dict[str, str] = json.loads(os.environ.get(REMEMBERED, "{}"))
    if not given:
        with Emulator(folder=folder, services=ALL_SERVICES) as cloud:
            yield Target(OWN, patient(cloud), cloud.url, cloud.environment(), "foyer-dev", True)
        return
    endpoint = given_endpoint(given)
    if not endpoint or not network.local(urlsplit(endpoint).hostname):
        network.leave()
    with given_environment(given if not endpoint else CREDENTIALS | given):
        environment = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
        if endpoint:
            environment["AWS_ENDPOINT_URL"] = endpoint
        clients = deploy.session(os.environ)
        name = f"foyer-test-{secrets.token_hex(4)}"
        yield Target(
            endpoint or "AWS",
            clients.client,
            endpoint,
            environment,
            name,
            bool(endpoint) and is_ours(endpoint),
        )


def patient(cloud: Emulator) -> Callable[[str], Any]:
    """Clients that wait for as long as the SDK does: on a busy machine stacks take their time."""
    session = boto3.session.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    return cache(lambda service: session.client(service, endpoint_url=cloud.url))


@contextlib.contextmanager
def given_environment(given: Mapping[str, str]) -> Iterator[None]:
    """What was given, for the SDK and localstack-client to read."""
    before = {name: text for name, text in os.environ.items() if name.startswith(("AWS_", "LOCALSTACK_HOST"))}
    for name in before:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(before)


def is_ours(endpoint: str) -> bool:
    """Whether an endpoint is a ministack, which runs functions as processes beside it."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{endpoint.rstrip('/')}/_ministack/health", timeout=5
        ) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


Answer = tuple[int, HTTPMessage, bytes]


@dataclass
class Deployed:
    """A stack that was made there."""

    target: Target
    outputs: dict[str, str]
    site: Site
    abilities: frozenset[str] = field(default=frozenset())

    def client(self, service: str) -> Any:
        """An SDK client."""
        return self.target.client(service)

    def needs(self, *abilities: str) -> None:
        """Skip the test where the target cannot do something."""
        missing = set(abilities) - self.abilities
        if missing:
            pytest.skip(f"{self.target.name} has no {', '.join(sorted(missing))}")

    def ask(self, base: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request below an address; a body that is no bytes is sent as JSON."""
        parts = urlsplit(base)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = kind(parts.hostname or "", parts.port, timeout=WAIT_S)
        with contextlib.closing(connection):
            connection.request(method, f"{parts.path.rstrip('/')}{path}", raw, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


def probe(deployed: Deployed) -> frozenset[str]:
    """What the target can do, by trying it."""
    site = deployed.site
    tried: dict[str, Callable[[], bool]] = {
        "HTTP": lambda: deployed.ask(site.rest, "GET", "/healthz")[0] == 200,
        "WebSockets": lambda: _handshake(site.sockets, None),
        RESPONSES: lambda: deployed.ask(site.rest, "GET", "/no/such/path")[0] == 404,
        "subprotocols": lambda: _handshake(site.sockets, OFFERED[0]),
        "functions that reach this machine": lambda: deployed.target.here,
        PARAMETERS: lambda: bool(stored(deployed.target)),
    }
    if deployed.target.emulator:
        for name, host, prefix in addresses(deployed):
            tried[name] = lambda host=host, prefix=prefix: (  # type: ignore[misc]
                deployed.ask(deployed.target.emulator, "GET", f"{prefix}/healthz", Host=host)[0] == 200
            )
    return frozenset(name for name, works in tried.items() if _works(works))


def addresses(deployed: Deployed) -> list[tuple[str, str, str]]:
    """The ways in which an emulator serves a REST API: what each is called, host, and begin of the path."""
    parts = urlsplit(deployed.target.emulator)
    names = {"api": deployed.outputs["RestAPIId"], "stage": deployed.site.stage}
    host, port = parts.hostname or "", parts.port or 80
    ways = (
        ("APIs by host", f"{{api}}.execute-api.{host}:{port}", "/{stage}"),
        ("APIs by path", f"{host}:{port}", PREFIXES[0]),
        ("APIs by path as it once was", f"{host}:{port}", PREFIXES[1]),
    )
    return [(name, one.format(**names), other.format(**names)) for name, one, other in ways]


def _works(tried: Callable[[], bool]) -> bool:
    try:
        return tried()
    except (OSError, WebSocketException, ValueError, BotoCoreError, ClientError):
        return False


def _handshake(address: str, wanted: str | None) -> bool:
    offered = None if wanted is None else [wanted]
    with StompClient(address, "?endpoint=%2Fvisitor%2Fwebsocket", offered=offered) as client:
        return client.subprotocol == wanted


def made(target: Target, folder: Path, settings: Mapping[str, Any], credentials: Credentials) -> Deployed:
    """Deploy a package there, and find out what works."""
    name = "FOYER_GATEWAY_SECRET"
    secret = referred(target, {name: credentials.environment()[name]})[name]
    outputs = deploy.deploy(folder, target.stack, target, secret, emulator=target.emulator)
    site = ready.site(target.stack, settings, "dev", outputs, target.emulator, {})
    deployed = Deployed(target, outputs, site)
    deployed.abilities = probe(deployed)
    return deployed


def referred(target: Target, secrets: Mapping[str, str]) -> dict[str, str]:
    """Settings that say where each secret stands, now that it does; the secrets where nothing takes them."""
    client, found = target.client("ssm"), {}
    for name, value in secrets.items():
        parameter = f"/{target.stack}/{name}"
        try:
            made = client.put_parameter(Name=parameter, Value=value, Type="SecureString", Overwrite=True)
        except (BotoCoreError, ClientError):
            return dict(secrets)
        found[name] = f"ssm:{parameter}:{made['Version']}"
    return found


def stored(target: Target) -> list[str]:
    """The names of the stack's parameters."""
    pages = target.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=f"/{target.stack}/")
    return [each["Name"] for page in pages for each in page["Parameters"]]


def unmade(target: Target) -> None:
    """Leave nothing behind."""
    with contextlib.suppress(BotoCoreError, ClientError):  # where nothing takes secrets none are left
        for name in stored(target):
            target.client("ssm").delete_parameter(Name=name)
    destroy.destroy(target, target.stack, with_table=True)
