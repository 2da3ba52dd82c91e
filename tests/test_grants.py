"""Each function may do what it does, and nothing else (the rest of this is in tests/support/grants.py)."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib import journal
from infra import package
from infra.children import ROOT
from infra.credentials import Credentials
from tests.conftest import Stack
from tests.support import grants
from tests.support.clients import STATE
from tests.support.grants import FUNCTIONS, GATEWAY, HANDLERS, UNSEEN, Grant, granted, policy_of
from tests.support.world import World
from tools import policies

STAGES = ("dev", "prod")
FUNCTION_OF = {"app.app": grants.API} | {f"app.{handler}": name for handler, name in HANDLERS.items()}
OF_THE_API = "policy-rest-api.json"
"""An operator may add this one (docs/wcs.md); it says who may call."""
ONLY_SOME = ("ADMIN", "FOYER", "JITSI", "SORA")
"""Whose secrets functions of sockets may read: they have no use for others."""


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    found = package.templates(ROOT, tmp_path_factory.mktemp("templates"))
    return {stage: json.loads(path.read_text())["Resources"] for stage, path in found.items()}


def test_each_function_has_a_role_of_its_own_with_its_own_policy(templates: dict[str, dict[str, Any]]):
    assert set(templates) == set(STAGES)
    for stage, resources in templates.items():
        roles = []
        for each in resources.values():
            if each["Type"] != "AWS::Serverless::Function":
                continue
            role, attribute = each["Properties"]["Role"]["Fn::GetAtt"]
            (policy,) = resources[role]["Properties"]["Policies"]
            assert attribute == "Arn"
            assert policy["PolicyDocument"] == policy_of(FUNCTION_OF[each["Properties"]["Handler"]], stage)
            assert "ManagedPolicyArns" not in resources[role]["Properties"]
            roles.append(role)
        assert len(set(roles)) == len(roles) == len(FUNCTIONS)


def test_every_policy_file_is_a_functions():
    files = {path.name for path in (ROOT / ".chalice").glob("policy-*.json")}

    assert files - {OF_THE_API} == {f"policy-{function}.json" for function in FUNCTIONS}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_policy_names_everything(function: str):
    for statement in policy_of(function)["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in grants.listed(statement["Action"]):
            assert "*" not in action
        for resource in grants.listed(statement["Resource"]):
            assert isinstance(resource, dict), "what is in the stack is referred to, and never by name alone"
            text = resource.get("Fn::Sub", "")
            assert text.count("*") <= 1, text
            assert "*" not in text or text.endswith(("/*", "_*")), text


@pytest.mark.parametrize("function", [each for each in FUNCTIONS if each.startswith("websocket")])
def test_functions_of_sockets_read_no_secrets_of_others(function: str):
    (secrets,) = [each for each in policy_of(function)["Statement"] if each["Sid"] == "Secrets"]

    assert [each["Fn::Sub"].rpartition("/")[2] for each in secrets["Resource"]] == [
        f"{prefix}_*" for prefix in ONLY_SOME
    ]


def test_only_who_sends_to_sockets_may():
    senders = {each.function for each in granted() if each.action == "execute-api:ManageConnections"}

    assert senders == {"websocket_message", "work", GATEWAY}


def test_what_is_said_to_go_unseen_is_granted_and_has_a_reason():
    assert UNSEEN.keys() <= granted()
    assert all(UNSEEN.values())


def test_a_gateway_may_do_what_its_handlers_may_and_nothing_else():
    ours, theirs = (
        {(each.action, each.resource) for each in granted() if (each.function == GATEWAY) is which}
        for which in (True, False)
    )
    theirs -= {("sqs:GetQueueAttributes", "WorkQueue")}  # as Lambda takes messages, a gateway does not

    assert {each for each in theirs if each[1].startswith(("Table", "WorkQueue")) or "@" in each[1]} == ours


def test_what_a_function_has_another_thread_do_is_its_own():
    def look() -> list[str | None]:
        with ThreadPoolExecutor(1) as threads:
            return [threads.submit(grants.running).result()]

    assert (grants.within("work", look)(), look()) == (["work"], [None])


def test_a_batch_of_messages_needs_what_one_needs():
    assert list(grants.spelled("sqs", "DeleteMessageBatch", {})) == [("sqs:DeleteMessage", "WorkQueue")]


def test_a_transaction_needs_what_is_in_it_and_an_index_is_a_resource():
    parts: list[dict[str, Any]] = [{"Put": {}}, {"ConditionCheck": {}}, {"Update": {}}, {"Delete": {}}]
    assert list(grants.spelled("dynamodb", "TransactWriteItems", {"TransactItems": parts})) == [
        ("dynamodb:PutItem", "Table"),
        ("dynamodb:ConditionCheckItem", "Table"),
        ("dynamodb:UpdateItem", "Table"),
        ("dynamodb:DeleteItem", "Table"),
    ]
    assert list(grants.spelled("dynamodb", "Query", {"IndexName": "due"})) == [
        ("dynamodb:Query", "Table/index/due")
    ]


def test_a_function_that_does_more_than_it_may_fails_its_test(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(grants.FILE, raising=False)
    dynamodb = boto3.client("dynamodb")

    def scan() -> None:
        dynamodb.scan(TableName=stack.table)

    before = set(grants.used)
    scan()
    assert grants.denied == []
    grants.within("tick", grants.outside(scan))()
    assert grants.denied == []
    grants.within("tick", scan)()
    assert grants.denied == [Grant("tick", "dynamodb:Scan", "Table")]
    grants.denied.clear()
    grants.used.intersection_update(before)


def test_a_moderator_who_is_gone_is_forgotten_by_the_function_that_hears_of_it(
    stack: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
):
    world = World(stack, credentials, monkeypatch, "rows")
    try:
        moderator = world.moderator().connect()
        moderator.subscribe(STATE + world.conference())
        moderator.gone()
    finally:
        world.leave()
    assert Grant("websocket_disconnect", "dynamodb:DeleteItem", "Table") in grants.used


def test_what_a_process_of_its_own_did_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(grants.FILE, raising=False)
    written = tmp_path / "grants"
    written.write_text('["websocket_connect", "dynamodb:Scan", "Table"]\n')
    grants.collect(written)
    assert grants.denied == [Grant("websocket_connect", "dynamodb:Scan", "Table")]
    grants.denied.clear()
    grants.used.discard(Grant("websocket_connect", "dynamodb:Scan", "Table"))
    assert not written.exists()


@pytest.mark.parametrize("handler", sorted(HANDLERS))
def test_what_a_handler_does_beside_its_verb_is_its_functions_as_well(handler: str):
    seen = []

    def act() -> None:
        seen.append(grants.running())

    act.__name__ = handler
    journal.counting(act)()

    assert (seen, grants.running()) == ([HANDLERS[handler]], None)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policies_are_spelled_as_the_tool_spells_them(function: str):
    written = (ROOT / ".chalice" / f"policy-{function}.json").read_text()

    assert written == policies.spelled(policies.policy(function, granted())) + "\n"


def written_policies(
    tmp_path: Path, used: list[Grant], *options: str
) -> dict[str, set[tuple[str, str, str]]]:
    """What the tool grants once a run has used this, by function: statement, action, resource."""
    seen = tmp_path / "used"
    seen.write_text("".join(json.dumps(each) + "\n" for each in used))
    assert policies.main([str(seen), *options], tmp_path) == 0
    return {
        function: {
            (statement["Sid"], action, json.dumps(resource))
            for statement in json.loads((tmp_path / f"policy-{function}.json").read_text())["Statement"]
            for action in grants.listed(statement["Action"])
            for resource in grants.listed(statement["Resource"])
        }
        for function in FUNCTIONS
    }


TABLE = json.dumps({"Fn::GetAtt": ["Table", "Arn"]})
INDEX = json.dumps({"Fn::Sub": "${Table.Arn}/index/due"})


def test_what_a_run_used_is_added_to_its_policy_and_to_no_other(tmp_path: Path, capsys):
    before = written_policies(tmp_path, [])
    assert capsys.readouterr().out == ""
    new = [
        Grant("tick", "dynamodb:DescribeTable", "Table"),
        Grant("websocket_connect", "dynamodb:Query", "Table/index/due"),
    ]
    after = written_policies(tmp_path, new)

    assert after["tick"] - before["tick"] == {("Rows", "dynamodb:DescribeTable", TABLE)}
    assert after["websocket_connect"] - before["websocket_connect"] == {("Due", "dynamodb:Query", INDEX)}
    assert all(before[each] <= after[each] for each in FUNCTIONS)
    assert all(before[each] == after[each] for each in FUNCTIONS if each not in ("tick", "websocket_connect"))
    assert capsys.readouterr().out.splitlines() == [
        f"+ {each.function}: {each.action} of {each.resource}" for each in new
    ]


def test_after_a_whole_run_what_was_not_used_is_granted_no_more(tmp_path: Path):
    kept = [each for each in granted() if each.function != "work"]
    after = written_policies(tmp_path, kept, "--whole")

    assert {sid for sid, _, _ in after["work"]} == {"Kicks", "Secrets", "Logs"}
    assert {action for sid, action, _ in after["work"] if sid == "Kicks"} == {
        each.action for each in UNSEEN if each.function == "work" and each.resource == "WorkQueue"
    }
    assert ("Due", "dynamodb:Query", INDEX) in after["tick"]


@pytest.mark.parametrize("used", [("events:PutEvents", "?"), ("dynamodb:Scan", "Table")])
def test_what_no_policy_is_to_have_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys, used: tuple[str, str]
):
    seen = tmp_path / "used"
    seen.write_text(json.dumps(["tick", *used]) + "\n")

    assert policies.main([str(seen)], tmp_path) == 1
    assert f"tick: {used[0]} of {used[1]}: no policy" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [seen]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--whole"], "--whole takes what a whole run used"),
        (["--whole", "empty"], "--whole takes what a whole run used"),
        (["missing"], "No such file"),
        (["nonsense"], "not what a run wrote"),
        (["others"], "not what a run wrote"),
    ],
)
def test_a_run_that_was_not_there_takes_no_grant_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], complaint: str
):
    monkeypatch.chdir(tmp_path)
    files = {"empty": "", "nonsense": "{\n", "others": '["tick"]\n'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(SystemExit) as ended:
        policies.main(arguments, tmp_path)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == files.keys()
