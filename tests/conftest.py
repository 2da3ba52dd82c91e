"""Fixtures that every folder of tests shares: emulators, the gateway as a process, a clean environment."""

import copy
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import boto3
import hypothesis
import pytest
from moto import backend_index, mock_aws
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID, serialize
from playwright.sync_api import Browser

from chalicelib import settings
from infra import package
from infra.children import Gateway
from infra.credentials import Credentials
from infra.emulator import REGION, Emulator
from infra.resources import ensure_queue, ensure_table
from tests.support import grants, network, node
from tests.support.browser import chromium
from tests.support.target import remember

OURS = (
    *("FOYER_", "JITSI_", "OWT_", "LOOP_", "SORA_", "WCS_", "GATEWAY_", "MEDIA_", "CONFIRM_", "COMMAND_"),
    "ADMIN_",
    *("AWS_", "PORT", "TLS_PORT", "LOCALSTACK_HOST"),
)
TABLE = "foyer"
QUEUE = "foyer-work"
ON_MOTO = frozenset({"dynamodb", "kms", "sqs", "ssm"})
LONG = (
    *("tests/live/test_deployed.py", "tests/jitsi/test_overtaking.py", "tests/live/test_deaths.py"),
    *("tests/console/test_pages.py", "tests/pages/test_walks.py", "tests/console/"),
    *("tests/test_local_run.py", "tests/jitsi/test_faults.py", "tests/jitsi/test_conformance.py"),
    *("tests/live/", "tests/jitsi/", "tests/gateway/", "tests/test_package.py"),
    *("tests/loop/test_sessions_model.py", "tests/realtime/"),
)
"""What takes longest: begun first, lest one worker be left alone with it in the end."""
SHORT = ("chalicelib/", "tests/wire/")

hypothesis.settings.register_profile(
    "foyer", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)


_any_structure = serialize.BaseJSONSerializer._serialize_type_structure


def _structure(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Serialize as moto does, but look for the one type that a value of DynamoDB has, not for all ten."""
    if not key or shape.name != "AttributeValue" or type(value) is not dict:
        _any_structure(self, serialized, value, shape, key)
        return
    wrapper = self.MAP_TYPE()
    for name, member in value.items():
        self._serialize(wrapper, member, shape.members[name], name)
    self._default_serialize(serialized, wrapper, shape, key)


def pytest_configure() -> None:
    """Forget what the machine's environment would decide, and close the way out."""
    remember(os.environ)
    for name in list(os.environ):
        if name.startswith(OURS) and name != "FOYER_TEST_FULL":
            del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    hypothesis.settings.load_profile("foyer")
    # Moto announces every service of AWS at each start, and looks through all of them at each request.
    known = backend_index.backend_url_patterns
    known[:] = [(service, pattern) for service, pattern in known if service in ON_MOTO]
    serialize.BaseJSONSerializer._serialize_type_structure = _structure
    network.guard()
    grants.begin()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After a whole run without a failure: what policies grant beyond what was used fails it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["grants"] = [list(each) for each in sorted(grants.used)]
        return
    if whole(session.config) and session.exitstatus == pytest.ExitCode.OK and grants.unused():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of this run has ended: what it saw used counts here."""
    grants.used.update(grants.Grant(*each) for each in getattr(node, "workeroutput", {}).get("grants", []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what policies grant too much."""
    for grant in grants.unused() if whole(config) else ():
        terminalreporter.write_line(f"granted and not used: {', '.join(grant)}", red=True)


def whole(config: pytest.Config) -> bool:
    """Whether all tests run."""
    narrowed = config.option.keyword or config.option.markexpr or getattr(config.option, "lf", False)
    return config.args_source == pytest.Config.ArgsSource.TESTPATHS and not narrowed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have files run in the order of `LONG`, all others, `SHORT`."""

    def rank(item: pytest.Item) -> int:
        found = (at for at, part in enumerate(LONG) if item.nodeid.startswith(part))
        return next(found, len(LONG) + item.nodeid.startswith(SHORT))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _on_this_machine() -> Iterator[None]:
    """Fail a test that tried to reach another machine, whatever became of the attempt."""
    network.attempts.clear()
    yield
    assert network.attempts == []


@pytest.fixture(autouse=True)
def _as_policies_grant() -> Iterator[None]:
    """Fail a test in which a function did what its policy does not grant."""
    grants.denied.clear()
    yield
    assert grants.denied == []


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    """Read settings and make clients anew for each test."""
    settings.reset()
    yield
    settings.reset()


@dataclass(frozen=True)
class Stack:
    """A table and a queue, and what is in them."""

    environment: dict[str, str]
    dynamodb: Any
    sqs: Any

    @property
    def table(self) -> str:
        """The table's name."""
        return self.environment["FOYER_TABLE"]

    @property
    def queue_url(self) -> str:
        """The work queue."""
        return self.environment["FOYER_QUEUE_URL"]

    @grants.outside
    def rows(self) -> list[dict[str, Any]]:
        """Every item, as DynamoDB spells it."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def messages(self, *, at_most: int = 10) -> list[dict[str, Any]]:
        """Take what waits in the queue now."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=at_most, WaitTimeSeconds=0, VisibilityTimeout=60
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """Secrets and keys for this run, and the tokens they sign."""
    return Credentials(tmp_path_factory.mktemp("credentials"))


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One ministack for the whole run; `stack` empties it."""
    with Emulator(folder=tmp_path_factory.mktemp("emulator")) as running:
        yield running


@cache
def _clients() -> tuple[Any, Any]:
    """For DynamoDB and SQS on moto, which intercepts clients of any session; making them is slow."""
    session = boto3.Session(region_name=REGION)
    return session.client("dynamodb"), session.client("sqs")


@cache
def _empty_table() -> Any:
    """Moto's table as `ensure_table` makes it; a copy of it is there in a fraction of that time."""
    ensure_table(_clients()[0], TABLE)
    return get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables.pop(TABLE)


@contextmanager
def on_moto(monkeypatch: pytest.MonkeyPatch, credentials: Credentials) -> Iterator[Stack]:
    """A fresh table and queue on moto in this process, and the environment to reach them."""
    with mock_aws():
        dynamodb, sqs = _clients()
        get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE] = copy.deepcopy(_empty_table())
        patient = {"FOYER_STORAGE_BUDGET_S": "60"}  # moto takes seconds for what DynamoDB has at hand
        stack = Stack(_environment(credentials, ensure_queue(sqs, QUEUE)) | patient, dynamodb, sqs)
        _enter(monkeypatch, stack.environment)
        yield stack


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, credentials: Credentials) -> Iterator[Stack]:
    """A fresh table and queue on moto in this process.

    For one thread: moto in process loses concurrent updates of one item.
    """
    with on_moto(monkeypatch, credentials) as stack:
        yield stack


@pytest.fixture
def stack(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, credentials: Credentials) -> Stack:
    """A fresh table and queue on ministack, and the environment to reach them."""
    emulator.reset()
    environment = _environment(credentials, emulator.ensure(TABLE, QUEUE)) | emulator.environment()
    _enter(monkeypatch, environment)
    return Stack(environment, emulator.client("dynamodb"), emulator.client("sqs"))


@pytest.fixture(scope="module")
def lasting(emulator: Emulator, credentials: Credentials) -> Stack:
    """A table and a queue on ministack for all tests of a module, which find what the ones before them left.

    Not beside `stack`, which forgets them.
    """
    emulator.reset()
    environment = _environment(credentials, emulator.ensure(TABLE, QUEUE)) | emulator.environment()
    return Stack(environment, emulator.client("dynamodb"), emulator.client("sqs"))


@pytest.fixture
def entered(lasting: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """`lasting`, and the environment to reach it from this process."""
    _enter(monkeypatch, lasting.environment)
    return lasting


@pytest.fixture(scope="session")
def node_folder() -> Path:
    """tests/node with @stomp/stompjs and ws installed: run `node` there."""
    return node.modules()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package of the stage `dev`, made from this checkout once for all workers."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # all workers of a run have that one
    folder, made = base / "package" / "dev", base / "package.made"
    with (base / "package.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            package.package("dev", folder)
            made.touch()
    return folder


class GatewayFactory(Protocol):
    """Starts gateways: `gateway(GATEWAY_MODE="aws")`."""

    def __call__(self, *, wait: bool = True, **environ: str) -> Gateway:
        """A running gateway with these settings beside the stack's; ready, unless `wait` is off."""


@pytest.fixture
def gateway(stack: Stack, tmp_path: Path) -> Iterator[GatewayFactory]:
    """Start gateways on the stack, on free ports; all of them are gone when the test ends."""
    with _gateways(stack, tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def standing(lasting: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayFactory]:
    """Start gateways on `lasting`, on free ports; they are there until the module's tests have ended."""
    with _gateways(lasting, tmp_path_factory.mktemp("standing")) as start:
        yield start


@contextmanager
def _gateways(stack: Stack, folder: Path) -> Iterator[GatewayFactory]:
    started: list[Gateway] = []
    written = folder / "grants"
    heard = {"GATEWAY_APP": "tests.support.heard_app", grants.FILE: str(written)}

    def start(*, wait: bool = True, **environ: str) -> Gateway:
        child = Gateway(
            child_environment(stack.environment, heard | environ), folder / f"gateway-{len(started)}.log"
        )
        started.append(child)
        child.spawn()
        return child.wait() if wait else child

    try:
        yield start
    finally:
        for child in started:
            child.kill()
        grants.collect(written)


def child_environment(stack: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """What a gateway of the tests sees."""
    return dict(os.environ) | {"PORT": "0", "GATEWAY_MANAGEMENT_PORT": "0"} | stack | more


def _environment(credentials: Credentials, queue_url: str) -> dict[str, str]:
    ours = {"FOYER_STAGE": "local", "FOYER_TABLE": TABLE, "FOYER_QUEUE_URL": queue_url}
    return ours | credentials.environment()


def _enter(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    settings.reset()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for a module's tests."""
    with chromium() as running:
        yield running
