"""resources.json agrees with what the code takes for granted; emulator and fixtures keep their word."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import localstack_client.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from chalicelib import settings as process
from chalicelib.store import aws
from chalicelib.store import table as store_table
from infra import deploy, storage
from infra import emulator as emulators
from infra.children import ROOT, Failed
from infra.emulator import Emulator
from infra.leash import alive, leashed
from infra.resources import ensure_table, properties, queue_request, table_request
from tests.conftest import Stack
from tests.support import network


def test_the_table_is_keyed_by_what_every_row_carries():
    keys = {key["AttributeName"]: key["KeyType"] for key in properties("Table")["KeySchema"]}

    assert keys == {
        attribute.attr_name: "HASH" if attribute.is_hash_key else "RANGE"
        for attribute in store_table.Item.get_attributes().values()
        if attribute.is_hash_key or attribute.is_range_key
    }
    assert properties("Table")["TimeToLiveSpecification"] == {
        "AttributeName": store_table.Item.expires_at.attr_name,
        "Enabled": True,
    }


def test_the_due_index_is_sparse_and_carries_whole_rows():
    (index,) = properties("Table")["GlobalSecondaryIndexes"]
    owing = store_table.Owing

    assert index["IndexName"] == store_table.DUE_INDEX
    assert [key["AttributeName"] for key in index["KeySchema"]] == [
        owing.due.attr_name,
        owing.due_at.attr_name,
    ]
    assert index["Projection"] == {"ProjectionType": "ALL"}
    types = {
        each["AttributeName"]: each["AttributeType"] for each in properties("Table")["AttributeDefinitions"]
    }
    assert types == {"pk": "S", "sk": "S", "due": "S", "due_at": "N"}


def test_what_is_kept_can_be_restored_and_is_encrypted():
    table = properties("Table")

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert all(
        properties(queue)["SqsManagedSseEnabled"] is True for queue in ("WorkQueue", "WorkDeadLetters")
    )


def test_the_requests_made_from_the_template_name_their_resource():
    assert table_request("mine")["TableName"] == "mine"
    attributes = queue_request("WorkQueue", "mine", dead_letters="arn:dead")["Attributes"]
    assert '"deadLetterTargetArn": "arn:dead"' in attributes["RedrivePolicy"]
    assert all(isinstance(value, str) for value in attributes.values())


def test_ensuring_twice_keeps_what_is_there(stack: Stack, emulator: Emulator):
    stack.dynamodb.put_item(TableName=stack.table, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})

    assert emulator.ensure(stack.table, "foyer-work") == stack.queue_url
    assert stack.rows() == [{"pk": {"S": "a"}, "sk": {"S": "b"}}]


def refusing(code: str) -> Callable[..., None]:
    """DynamoDB that does not let rows expire."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "UpdateTimeToLive")

    return refuse


def test_rows_expire_though_an_earlier_run_failed_once_it_had_made_the_table(
    table: Stack, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(table.dynamodb, "update_time_to_live", refusing("InternalServerError"))
        with pytest.raises(ClientError):
            ensure_table(table.dynamodb, "another")

    assert ensure_table(table.dynamodb, "another")
    assert table.dynamodb.describe_time_to_live(TableName="another")["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }


def test_where_nothing_expires_there_is_a_table_all_the_same(table: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table.dynamodb, "update_time_to_live", refusing("UnknownOperationException"))

    assert [ensure_table(table.dynamodb, "another") for _ in range(2)] == [False, False]


def test_table_and_queue_are_made_where_the_profile_says_and_take_the_permissions_that_are_documented(
    table: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    (tmp_path / "config").write_text("[profile abroad]\nregion = eu-west-1\n")
    for name, text in {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "abroad"}.items():
        monkeypatch.setenv(name, text)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")  # so that what it is set to goes with the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("FOYER_TABLE", "abroad")
    monkeypatch.setattr(sys, "argv", ["storage"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    process.reset()
    aws._session.cache_clear()
    boto3.setup_default_session()
    calls: set[str] = set()
    boto3.DEFAULT_SESSION.events.register_first(
        "before-call", lambda model, **_: calls.add(f"{model.service_model.service_name}:{model.name}")
    )
    try:
        assert storage.main() == 0
        assert aws.region() == "eu-west-1"
    finally:
        process.reset()
        aws._session.cache_clear()

    assert "//sqs.eu-west-1." in capsys.readouterr().out
    abroad = boto3.client("dynamodb", region_name="eu-west-1")
    assert abroad.describe_table(TableName="abroad")["Table"]["TableStatus"] == "ACTIVE"
    text = (ROOT / "docs" / "self-hosting.md").read_text()
    (named,) = re.findall(r"^- \*\*Making table and queue\*\*(.*?)^- ", text, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+:\w+)`", named)) == calls


def test_each_test_begins_with_an_empty_stack(stack: Stack):
    assert stack.rows() == []
    assert stack.messages() == []


def test_the_sdk_finds_the_stack_through_the_environment_alone(stack: Stack):
    names = boto3.client("dynamodb").list_tables()["TableNames"]

    assert names == [stack.table]


def test_the_table_in_process_is_the_one_of_the_template(table: Stack):
    described = table.dynamodb.describe_table(TableName=table.table)["Table"]

    assert described["GlobalSecondaryIndexes"][0]["IndexName"] == "due"
    assert table.rows() == []
    assert table.messages() == []


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_test_that_leaves_the_machine_is_refused(host: str):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as out, pytest.raises(network.LeftTheMachine):
        out.connect((host, 443))
    with pytest.raises(network.LeftTheMachine):
        socket.getaddrinfo("host.example", 443)

    assert len(network.attempts) == 2
    network.attempts.clear()


def test_state_survives_a_restart_of_the_emulator(tmp_path: Path):
    state = tmp_path / "state"
    with Emulator(folder=tmp_path, state=state) as first:
        url = first.ensure()
        first.client("dynamodb").put_item(TableName="foyer", Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    with Emulator(folder=tmp_path, state=state, port=first.port) as second:
        rows = second.client("dynamodb").scan(TableName="foyer")["Items"]

        assert rows == [{"pk": {"S": "a"}, "sk": {"S": "b"}}]
        assert second.ensure() == url


def test_an_emulator_that_cannot_start_says_why(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind((emulators.LOOPBACK, 0))
        taken.listen()
        with pytest.raises(Failed, match="already in use"):
            Emulator(folder=tmp_path, port=taken.getsockname()[1]).start()


def test_a_leashed_command_does_not_outlive_its_owner(tmp_path: Path):
    owner = """
import subprocess, sys, time
from infra.leash import leashed
command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
child = subprocess.Popen(leashed(command), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert alive(child)
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while alive(child) and time.monotonic() < until:
        time.sleep(0.01)

    assert not alive(child)


def test_a_leashed_command_keeps_its_exit_status_and_arguments():
    done = subprocess.run(
        leashed([sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--a", "b c"]),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (7, "['--a', 'b c']")


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, ""),
        ({"LOCALSTACK_HOST": ""}, ""),
        ({"LOCALSTACK_HOST": "localhost"}, "http://localhost:4566"),
        ({"LOCALSTACK_HOST": "localhost:4570"}, "http://localhost:4570"),
        ({"LOCALSTACK_HOST": "localhost", "AWS_ENDPOINT_URL": "http://localhost:1"}, "http://localhost:1"),
    ],
)
def test_localstack_host_names_the_endpoint_unless_the_sdk_has_one(environ: dict[str, str], endpoint: str):
    assert emulators.given_endpoint(environ) == endpoint


def test_a_malformed_localstack_host_is_refused():
    with pytest.raises(Failed, match="LOCALSTACK_HOST"):
        emulators.given_endpoint({"LOCALSTACK_HOST": "localhost:port"})


def test_the_emulator_can_be_driven_through_the_session_of_localstack(
    stack: Stack, emulator: Emulator, monkeypatch
):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("LOCALSTACK_HOST", f"localhost:{emulator.port}")
    session = localstack_client.session.Session()

    assert session.client("dynamodb").list_tables()["TableNames"] == [stack.table]
    assert session.client("sqs").list_queues()["QueueUrls"]


def test_the_real_client_is_there(node_folder: Path):
    names = [*(node_folder / "node_modules" / "@stomp").iterdir(), node_folder / "node_modules" / "ws"]

    assert {path.name for path in names if (path / "package.json").exists()} == {"stompjs", "ws"}


def test_no_lock_file_names_a_registry():
    locks = [
        *ROOT.glob("*.lock"),
        *ROOT.glob("infra/**/*.lock"),
        ROOT / "tests" / "node" / "package-lock.json",
    ]

    assert len(locks) == 5
    for lock in locks:
        assert "://" not in lock.read_text(), lock


def test_the_runtime_lock_holds_the_versions_that_the_tests_run_with():
    def pins(name: str) -> set[str]:
        return {line.rstrip(" \\") for line in (ROOT / name).read_text().splitlines() if "==" in line}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
    assert pins("infra/gateway/requirements.lock") <= pins("requirements-dev.lock")


def test_a_deployment_goes_on_with_the_change_set_that_a_lost_answer_was_about():
    client = boto3.client("cloudformation", region_name="eu-west-1")
    with Stubber(client) as answers:
        answers.add_client_error("describe_stacks", "ValidationError", "Stack with id s does not exist")
        answers.add_client_error("create_change_set", "AlreadyExistsException", "it is there")
        answers.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"})
        answers.add_response("execute_change_set", {})
        made = {"StackName": "s", "CreationTime": datetime.now(UTC), "StackStatus": "CREATE_COMPLETE"}
        answers.add_response("describe_stacks", {"Stacks": [made]})

        deploy.apply(client, "s", "https://bucket.test/template.json", {})

        answers.assert_no_pending_responses()
