"""The deployed stack, which is made once, and the fronts that it is used through."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra import package
from infra.children import Gateway
from infra.credentials import Credentials
from tests.conftest import OURS
from tests.support import target as targets
from tests.support.deployed import Front, with_keys
from tests.support.target import Deployed, Target


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """What is deployed to."""
    with targets.target(tmp_path_factory.mktemp("cloud")) as found:
        yield found


@pytest.fixture(scope="session")
def keyed(
    cloud: Target, built: Path, tmp_path_factory: pytest.TempPathFactory, credentials: Credentials
) -> Path:
    """The package that is deployed."""
    return with_keys(built, tmp_path_factory.mktemp("deployed") / "dev", credentials, cloud)


@pytest.fixture(scope="session")
def deployed(cloud: Target, keyed: Path, credentials: Credentials) -> Iterator[Deployed]:
    """The stack."""
    settings = package.stages(package.ROOT)["dev"]
    try:
        yield targets.made(cloud, keyed, settings, credentials)
    finally:
        if cloud.name != targets.OWN:  # an emulator of our own goes as a whole
            targets.unmade(cloud)


@contextmanager
def gateway_of(
    deployed: Deployed, folder: Path, credentials: Credentials, given: Mapping[str, str]
) -> Iterator[Front]:
    """A gateway on the table and the queue of the deployed stack."""
    deployed.needs("functions that reach this machine")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    environ |= credentials.environment() | deployed.target.environment
    environ |= {
        "PORT": "0",
        "FOYER_STAGE": "dev",
        "FOYER_TABLE": deployed.outputs["TableName"],
        "FOYER_QUEUE_URL": deployed.outputs["WorkQueueUrl"],
        # All that it is told passes it at once.
        "LOOP_HAWK_PATH_PREFIXES": "",
        **given,
    }
    gateway = Gateway(environ, folder / "gateway.log")
    gateway.spawn()
    try:
        gateway.wait()
        yield Front(deployed, gateway.http, gateway.ws, True)
    finally:
        gateway.kill()


@pytest.fixture(scope="session")
def edge(
    deployed: Deployed, tmp_path_factory: pytest.TempPathFactory, credentials: Credentials
) -> Iterator[Front]:
    """A gateway in front of the deployed functions."""
    functions = {"GATEWAY_HANDLERS": "lambda", "GATEWAY_LAMBDA_PREFIX": deployed.target.stack}
    with gateway_of(deployed, tmp_path_factory.mktemp("edge"), credentials, functions) as front:
        yield front


@pytest.fixture(params=["told by its setting", "told by the stack"])
def beside(
    request: pytest.FixtureRequest, deployed: Deployed, tmp_path: Path, credentials: Credentials
) -> Iterator[Front]:
    """A gateway beside the deployed functions, with the handlers inside."""
    endpoint = {"FOYER_API_ENDPOINT": deployed.outputs["ManagementEndpoint"]}
    given = endpoint if request.param == "told by its setting" else {}
    with gateway_of(deployed, tmp_path, credentials, given) as front:
        yield front


@pytest.fixture(params=["API Gateway", "gateway"])
def front(request: pytest.FixtureRequest, deployed: Deployed) -> Front:
    """Each of the fronts that clients may use."""
    if request.param == "gateway":
        found: Front = request.getfixturevalue("edge")
        return found
    deployed.needs("HTTP", "WebSockets")
    return Front(deployed, deployed.site.rest, deployed.site.sockets, False)
