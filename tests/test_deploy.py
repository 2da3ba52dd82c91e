"""`make deploy` and `make destroy`: what they say, what they ask, and what they leave."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from chalicelib import settings
from chalicelib.settings import FALSE
from infra import deploy, destroy, ready
from infra.children import ROOT
from infra.deploy import CannotDeploy, Progress
from infra.emulator import Emulator
from infra.gateway import settings as gateway

STACK = "foyer-dev"
OUTPUTS = {
    "RestAPIId": "rest1",
    "WebsocketAPIId": "ws1",
    "EndpointURL": "https://rest1.execute-api.eu-west-1.amazonaws.com/dev/",
    "WebsocketConnectEndpointURL": "wss://ws1.execute-api.eu-west-1.amazonaws.com/dev/",
    "TableName": "foyer-dev-Table-1",
    "WorkQueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q",
    "ManagementEndpoint": "https://ws1.execute-api.eu-west-1.amazonaws.com/dev",
}
SETTINGS: dict[str, Any] = {"api_gateway_stage": "dev", "environment_variables": {"FOYER_STAGE": "dev"}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(folder=tmp_path_factory.mktemp("cloud"), services="") as running:
        yield running


@pytest.fixture
def clients(cloud: Emulator) -> Emulator:
    cloud.reset()
    return cloud


def make(clients: Any, name: str, resource: str, properties: dict[str, Any], output: str) -> None:
    """A stack of one resource."""
    body = {
        "Resources": {resource: properties},
        "Outputs": {output: {"Value": {"Ref": resource}}},
    }
    cloudformation = clients.client("cloudformation")
    # The SDK repeats a call that is answered late.
    with contextlib.suppress(cloudformation.exceptions.AlreadyExistsException):
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def a_table(policy: str = "Retain") -> dict[str, Any]:
    key = [{"AttributeName": "pk", "KeyType": "HASH"}]
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": policy,
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": key,
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        },
    }


def event(number: int, status: str, name: str, **more: str) -> dict[str, Any]:
    return {
        "StackId": "s",
        "EventId": str(number),
        "StackName": STACK,
        "LogicalResourceId": name,
        "ResourceType": "AWS::SQS::Queue",
        "Timestamp": "2026-01-01T00:00:00Z",
        "ResourceStatus": status,
        **more,
    }


def test_each_event_of_a_stack_is_said_once_and_in_order():
    client = boto3.client("cloudformation", region_name="eu-west-1")
    said: list[str] = []
    before = [event(1, "UPDATE_COMPLETE", "Old")]
    begun = [event(2, "CREATE_IN_PROGRESS", "Queue"), *before]
    failed = [event(3, "CREATE_FAILED", "Queue", ResourceStatusReason="no luck"), *begun]
    with Stubber(client) as answers:
        for page in (before, begun, begun, failed):
            answers.add_response("describe_stack_events", {"StackEvents": page})
        progress = Progress(client, STACK, said.append)
        for _ in range(3):
            progress.look()

    assert [line.split()[2:4] for line in said] == [
        ["CREATE_IN_PROGRESS", "Queue"],
        ["CREATE_FAILED", "Queue"],
    ]
    assert said[-1].endswith("AWS::SQS::Queue: no luck")


def test_a_change_set_is_told_in_a_few_words():
    changes = [{"ResourceChange": {"Action": action}} for action in ("Add", "Modify", "Add", "Remove")]

    assert deploy.changed({"Changes": changes}) == "2 to add, 1 to modify, 1 to remove"


@pytest.mark.parametrize(
    ("found", "given", "parameters"),
    [
        ("", {"GatewaySecret": None}, []),
        ("UPDATE_COMPLETE", {"GatewaySecret": None}, [{"UsePreviousValue": True}]),
        ("UPDATE_COMPLETE", {"GatewaySecret": "s"}, [{"ParameterValue": "s"}]),
    ],
)
def test_a_parameter_that_is_not_given_keeps_its_value(
    monkeypatch: pytest.MonkeyPatch, found: str, given: dict[str, str | None], parameters: list[Any]
):
    client = boto3.client("cloudformation", region_name="eu-west-1")
    monkeypatch.setattr(deploy, "stack_status", lambda *_: found)
    monkeypatch.setattr(deploy, "settled", lambda *_: "CREATE_COMPLETE")
    asked: list[Any] = []
    monkeypatch.setattr(client, "create_change_set", lambda **request: asked.append(request["Parameters"]))
    monkeypatch.setattr(client, "describe_change_set", lambda **_: {"Status": "CREATE_COMPLETE"})
    monkeypatch.setattr(client, "execute_change_set", lambda **_: None)

    deploy.apply(client, STACK, "https://bucket.test/t.json", given)

    assert asked == [[{"ParameterKey": "GatewaySecret", **each} for each in parameters]]


@pytest.mark.parametrize(
    ("environ", "domain", "certificate"),
    [
        ({}, None, None),
        ({"FRONT_DOMAIN": "foyer.test", "FRONT_CERTIFICATE": "arn:c"}, "foyer.test", "arn:c"),
        ({"FRONT_DOMAIN": "", "FRONT_CERTIFICATE": ""}, "", ""),
    ],
    ids=["not named", "named", "taken away"],
)
def test_a_front_keeps_its_domain_when_none_is_named(
    environ: dict[str, str], domain: str | None, certificate: str | None
):
    site = ready.site(STACK, SETTINGS, "dev", OUTPUTS, "", {})
    given = deploy.front_parameters(site, environ)

    assert (given["DomainName"], given["CertificateArn"]) == (domain, certificate)


def test_what_could_not_be_made_at_first_has_to_go_before_another_try(monkeypatch: pytest.MonkeyPatch):
    client = boto3.client("cloudformation", region_name="eu-west-1")
    monkeypatch.setattr(deploy, "stack_status", lambda *_: "ROLLBACK_COMPLETE")

    with pytest.raises(CannotDeploy, match="make destroy"):
        deploy.apply(client, STACK, "https://bucket.test/t.json", {})


def test_a_function_on_an_emulator_finds_its_sockets_there(tmp_path: Path):
    functions = {"A": {"Type": "AWS::Serverless::Function", "Properties": {"Environment": {"Variables": {}}}}}
    (tmp_path / "sam.json").write_text(json.dumps({"Resources": functions}))

    def variables(emulator: str) -> dict[str, Any]:
        made = json.loads(deploy.body(tmp_path / "sam.json", "b", "k", emulator))
        found: dict[str, Any] = made["Resources"]["A"]["Properties"]["Environment"]["Variables"]
        return found

    assert variables("") == {}
    assert variables("http://localhost:4566/") == {
        "FOYER_API_ENDPOINT": {"Fn::Sub": "http://localhost:4566/_aws/execute-api/${WebsocketAPI}/${Stage}"},
        "LOOP_HAWK_PATH_PREFIXES": "/_aws/execute-api/{api}/{stage}",
    }


def test_the_lines_for_jitsi_name_this_stack_and_this_gateway():
    site = ready.site(STACK, SETTINGS, "dev", OUTPUTS, "", {"QUEUE_HOST": "queue.meet.example.com"})
    text = ready.text(site)

    assert (
        'visitors_queue_service = "https://rest1.execute-api.eu-west-1.amazonaws.com/dev/waiting-queue"'
        in text
    )
    assert "config.visitors.queueService = 'queue.meet.example.com/waiting-queue';" in text
    assert "GATEWAY_LAMBDA_PREFIX=foyer-dev" in text
    assert "QUEUE_HOST" not in text


@pytest.mark.parametrize(("emulator", "reached"), [("", True), ("http://localhost:4566", False)])
def test_the_lines_for_a_gateway_are_all_that_it_needs_to_serve_beside_the_stack(
    emulator: str, reached: bool
):
    site = ready.site(STACK, SETTINGS, "dev", OUTPUTS, emulator, {})
    *words, _, _, _ = shlex.split(ready.gateway(site).replace("\\\n", ""))
    environ = dict(word.split("=", 1) for word in words)

    read = gateway.load(environ)
    gateway.check_reachable(read)
    shared = settings.load(settings.Settings, "FOYER_", {n: t for n, t in environ.items() if "FOYER" in n})
    assert shared.api_endpoint == OUTPUTS["ManagementEndpoint"]
    assert environ["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert (environ.get("AWS_ENDPOINT_URL", ""), read.management_bind == ready.PRIVATE) == (emulator, reached)
    assert (ready.BESIDE in ready.text(site)) is reached


@pytest.mark.parametrize(
    ("emulator", "rest", "sockets"),
    [
        (
            "",
            "https://rest1.execute-api.eu-west-1.amazonaws.com/dev",
            "wss://ws1.execute-api.eu-west-1.amazonaws.com/dev",
        ),
        (
            "http://localhost:4566",
            "http://localhost:4566/_aws/execute-api/rest1/dev",
            "ws://localhost:4566/_aws/execute-api/ws1/dev",
        ),
    ],
)
def test_a_site_is_where_its_clients_reach_it(emulator: str, rest: str, sockets: str):
    site = ready.site(STACK, SETTINGS, "dev", OUTPUTS, emulator, {})

    assert (site.rest, site.sockets) == (rest, sockets)
    assert ready.EXAMPLE in ready.config_js(site)
    front = site.behind("d1.cloudfront.net")
    assert front.rest == "https://d1.cloudfront.net"
    assert front.sockets == "wss://d1.cloudfront.net/waiting-queue/visitor/websocket"
    assert '"LOOP_HAWK_HOSTS": "d1.cloudfront.net"' in ready.text(front)
    assert "LOOP_HAWK_HOSTS" not in ready.text(site)


def test_a_base_path_of_one_s_own_is_in_the_lines():
    variables = {"FOYER_STAGE": "dev", "JITSI_QUEUE_BASE_PATH": "/q"}
    site = ready.site(STACK, SETTINGS | {"environment_variables": variables}, "dev", OUTPUTS, "", {})

    assert ready.prosody(site).endswith('/dev/q"')
    assert ready.config_js(site).endswith("/q';")


def test_destroying_keeps_the_table_unless_told_otherwise(clients: Any):
    make(clients, STACK, "Table", a_table(), "TableName")
    bucket = deploy.bucket_for_packages(clients, STACK)
    deploy.upload(clients, bucket, b"a package", ".zip")
    said: list[str] = []

    (kept,) = destroy.destroy(clients, STACK, say=said.append)

    assert kept.startswith("foyer-dev-Table-")
    assert clients.client("dynamodb").list_tables()["TableNames"] == [kept]
    assert clients.client("s3").list_buckets()["Buckets"] == []
    assert f"{bucket}: deleted" in said
    assert destroy.destroy(clients, STACK, with_table=True, say=said.append) == [kept]
    assert f"{STACK}: there is no such stack" in said


def test_destroying_with_the_table_leaves_nothing(clients: Any):
    make(clients, STACK, "Table", a_table(), "TableName")
    make(clients, STACK + deploy.FRONT, "Queue", {"Type": "AWS::SQS::Queue"}, "Url")
    clients.client("dynamodb").create_table(TableName="another", **a_table()["Properties"])

    assert destroy.destroy(clients, STACK, with_table=True) == []
    assert clients.client("dynamodb").list_tables()["TableNames"] == ["another"]
    cloudformation = clients.client("cloudformation")
    assert [deploy.stack_status(cloudformation, name) for name in (STACK, STACK + deploy.FRONT)] == ["", ""]
    assert clients.client("sqs").list_queues().get("QueueUrls", []) == []


@pytest.mark.parametrize(
    ("typed", "goes_on"), [(STACK, True), (f" {STACK}\n", True), ("y", False), ("", False)]
)
def test_only_the_name_of_the_stack_means_yes(typed: str, goes_on: bool):
    assert destroy.confirmed(STACK, False, lambda _: typed, True) is goes_on


def test_where_nobody_can_be_asked_nothing_is_destroyed():
    done = subprocess.run(
        [sys.executable, "-m", "infra.destroy"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "YES=1" in done.stderr


@pytest.mark.parametrize(
    "off", sorted(FALSE | {each.upper() for each in FALSE} | {each.title() for each in FALSE})
)
@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("destroy", {"YES": "--yes", "WITH_TABLE": "--with-table"}),
        ("deploy", {"FRONT": "--front"}),
        ("policies", {"WHOLE": "--whole"}),
    ],
)
def test_what_is_switched_off_for_make_is_not_asked_for(target: str, flags: dict[str, str], off: str):
    def command(value: str) -> str:
        given = [f"{name}={value}" for name in flags]
        return subprocess.run(
            ["make", "--dry-run", "--assume-old=.venv/.ready", target, *given],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},  # nothing of a make that runs this test
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert command("1").split()[-len(flags) :] == list(flags.values())
    assert [flag for flag in flags.values() if flag in command(off)] == []


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
