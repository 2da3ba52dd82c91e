"""What is packaged works as a stack: made by CloudFormation, used over real sockets."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib import metrics
from infra import deploy, observe, package
from infra.children import ROOT, Gateway
from infra.credentials import Credentials
from infra.emulator import Emulator
from tests.conftest import OURS
from tests.support import hawk
from tests.support.clients import ROOM, StompClient, golive, http_call, visitor

STACK = "foyer-dev"
ALL_SERVICES = ""
PREFIXES = ("/_aws/execute-api/{api}/{stage}", "/restapis/{api}/{stage}/_user_request_")
"""How an emulator's own paths begin, of which functions see nothing."""
SCHEDULED = {
    "version": "0",
    "id": "1",
    "account": "000000000000",
    "region": "us-east-1",
    "time": "2026-01-01T00:00:00Z",
    "source": "aws.events",
    "detail-type": "Scheduled Event",
    "resources": ["arn:aws:events:us-east-1:000000000000:rule/tick"],
    "detail": {},
}


class Deployed:
    """A stack on an emulator of its own."""

    def __init__(self, emulator: Emulator, outputs: dict[str, str]) -> None:
        self.emulator = emulator
        self.outputs = outputs

    def client(self, service: str) -> Any:
        """An SDK client."""
        return self.emulator.client(service)


def with_keys(folder: Path, target: Path, credentials: Credentials) -> Path:
    """A copy of a package whose functions trust the keys of this run."""
    target.mkdir()
    shutil.copy(folder / package.CODE, target)
    template = json.loads((folder / "sam.json").read_text())
    keys = credentials.environment()
    keys["JITSI_SERVER_KEYS"] = f"pem:{credentials.server_public_path.read_text()}"
    keys["LOOP_HAWK_PATH_PREFIXES"] = ",".join(PREFIXES)
    del keys["FOYER_GATEWAY_SECRET"]  # a parameter of the stack
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["Environment"]["Variables"] |= keys
    (target / "sam.json").write_text(json.dumps(template))
    return target


@pytest.fixture(scope="module")
def deployed(
    built: Path, tmp_path_factory: pytest.TempPathFactory, credentials: Credentials
) -> Iterator[Deployed]:
    folder = with_keys(built, tmp_path_factory.mktemp("deployed") / "dev", credentials)
    with Emulator(folder=tmp_path_factory.mktemp("cloud"), services=ALL_SERVICES) as cloud:
        secret = credentials.environment()["FOYER_GATEWAY_SECRET"]
        yield Deployed(cloud, deploy.deploy(folder, STACK, cloud, secret))


@pytest.fixture
def edge(deployed: Deployed, tmp_path: Path, credentials: Credentials) -> Iterator[Callable[..., Gateway]]:
    """Start a gateway in front of the deployed functions."""
    started: list[Gateway] = []

    def start(**more: str) -> Gateway:
        environ = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        environ |= credentials.environment() | deployed.emulator.environment()
        environ |= {
            "PORT": "0",
            "FOYER_STAGE": "dev",
            "FOYER_TABLE": deployed.outputs["TableName"],
            "FOYER_QUEUE_URL": deployed.outputs["WorkQueueUrl"],
            "GATEWAY_HANDLERS": "lambda",
            "GATEWAY_LAMBDA_PREFIX": STACK,
        }
        started.append(Gateway(environ | more, tmp_path / f"gateway-{len(started)}.log"))
        started[-1].spawn()
        return started[-1].wait()

    yield start
    for each in started:
        each.kill()


def invoke(deployed: Deployed, function: str, event: object) -> Any:
    answer = deployed.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    payload = json.load(answer["Payload"])
    assert "FunctionError" not in answer, payload
    return payload


def test_every_function_starts_and_answers(deployed: Deployed):
    names = {each["FunctionName"] for each in deployed.client("lambda").list_functions()["Functions"]}

    assert names == {STACK, *(f"{STACK}-{name}" for name in ("tick", "work"))} | {
        f"{STACK}-websocket_{name}" for name in ("connect", "message", "disconnect")
    }
    assert invoke(deployed, f"{STACK}-work", {"Records": []}) == {"batchItemFailures": []}
    assert "kicked" in invoke(deployed, f"{STACK}-tick", SCHEDULED)


def test_a_stack_is_watched(deployed: Deployed):
    topic = deployed.outputs["AlarmTopic"]
    cloudwatch = deployed.client("cloudwatch")
    found = cloudwatch.describe_alarms()["MetricAlarms"]

    assert {each["AlarmName"] for each in found} == {f"{STACK}-{alarm.name}" for alarm in observe.ALARMS}
    assert all(each["AlarmActions"] == each["OKActions"] == [topic] for each in found)
    (late,) = [each for each in found if each["AlarmName"] == f"{STACK}-OwedLate"]
    assert late["Dimensions"] == [{"Name": metrics.DIMENSION, "Value": STACK}]
    (named,) = [each["DashboardName"] for each in cloudwatch.list_dashboards()["DashboardEntries"]]
    body = cloudwatch.get_dashboard(DashboardName=named)["DashboardBody"]
    assert STACK in body
    assert "${" not in body
    assert json.loads(body)["widgets"]


def test_visitors_of_a_deployed_stack_are_released_over_real_sockets(
    edge: Callable[..., Gateway], credentials: Credentials
):
    gateway = edge()
    assert http_call(gateway.http, "GET", "/readyz")[0] == 200
    with (
        visitor(gateway.ws, credentials.visitor_token(), binary=True) as first,
        visitor(gateway.ws, credentials.visitor_token()) as second,
    ):
        assert golive(gateway.http, credentials.server_token())[0] == 200
        for client in (first, second):
            assert json.loads(client.frame(60)[2])["status"] == "live"
    with StompClient(gateway.ws) as late:
        assert late.connect(credentials.visitor_token())[0] == "CONNECTED"
        late.subscribe(f"/secured/conference/visitor/topic.{ROOM}")
        assert json.loads(late.frame(60)[2])["status"] == "live"


def test_deploying_the_same_again_changes_nothing(
    deployed: Deployed, built: Path, tmp_path: Path, credentials: Credentials
):
    folder = with_keys(built, tmp_path / "dev", credentials)

    assert deploy.deploy(folder, STACK, deployed.emulator) == deployed.outputs


def test_the_open_stage_is_not_deployed():
    done = subprocess.run(
        [sys.executable, "-m", "infra.deploy", "--stage", "local"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "never packaged or deployed" in done.stderr


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("{api}.execute-api.127.0.0.1", "/{stage}"),
        *(("127.0.0.1", prefix) for prefix in PREFIXES),
    ],
    ids=["by host", "by path", "by path as it once was"],
)
def test_hawk_is_checked_against_what_was_typed_at_an_emulator(deployed: Deployed, host: str, prefix: str):
    rest = deployed.client("apigateway")
    (api,) = rest.get_rest_apis()["items"]
    stages = {each["stageName"] for each in rest.get_stages(restApiId=api["id"])["item"]}
    (stage,) = stages - {"Stage"}  # SAM makes that one besides
    names = {"api": api["id"], "stage": stage}
    host, prefix = host.format(**names), prefix.format(**names)
    address = urlsplit(deployed.emulator.environment()["AWS_ENDPOINT_URL"])

    def ask(method: str, target: str, **headers: str) -> tuple[int, HTTPMessage, bytes]:
        connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, target, headers={"Host": f"{host}:{address.port}"} | headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    status, headers, body = ask("POST", f"{prefix}/registration")
    assert status == 200, body
    owner = hawk.derive(headers["Hawk-Session-Token"])
    target = f"{prefix}/rooms?version=1700000000"
    signed = hawk.sign(owner, "GET", target, host, str(address.port), hashed=False)
    status, headers, body = ask("GET", target, Authorization=signed.header)
    assert (status, body) == (200, b"[]"), body
    assert signed.proves(headers["Server-Authorization"], headers["Content-Type"], body)
    assert ask("GET", target, Authorization=signed.header)[0] == 401
