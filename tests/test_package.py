"""What is deployed: small, compiled, complete, the same every time, and never the open stage."""

import gzip
import hashlib
import importlib.util
import json
import re
import shutil
import ssl
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import package
from infra.children import ROOT
from infra.gateway import events

UNCHECKED_HASH = 0b01  # PEP 552: hash-based, the source is not looked at
FUNCTIONS = {
    "APIHandler": "app.app",
    "WebsocketConnect": "app.ws_connect",
    "WebsocketMessage": "app.ws_message",
    "WebsocketDisconnect": "app.ws_disconnect",
    "Tick": "app.tick",
    "Work": "app.work",
}


@pytest.fixture(scope="module")
def names(built: Path) -> list[str]:
    with zipfile.ZipFile(built / package.CODE) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def template(built: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((built / "sam.json").read_text())
    return parsed


def functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a template."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from nested(each)


def test_the_zip_is_small_and_compiled(built: Path, names: list[str]):
    assert (built / package.CODE).stat().st_size <= 10_000_000
    assert package.compiled_share(names) >= 0.98


def test_byte_code_is_valid_without_its_source(built: Path, names: list[str]):
    with zipfile.ZipFile(built / package.CODE) as archive:
        for name in (each for each in names if each.endswith(".pyc")):
            header = archive.read(name)[:8]
            assert header[:4] == importlib.util.MAGIC_NUMBER, name
            assert struct.unpack("<I", header[4:])[0] == UNCHECKED_HASH, name


def test_the_zip_holds_the_app_and_what_it_needs(names: list[str]):
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "chalicelib").rglob("*.py")}

    assert sources | {"app.py", "chalice/app.py", "chalice/__init__.py"} <= set(names)


def test_the_zip_holds_nothing_else(names: list[str]):
    services = {
        name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 2
    }
    own = {name.split("/")[0] for name in names if not name.endswith("dist-info")}

    assert services == package.SDK_SERVICES
    assert not own & {
        "infra",
        "tests",
        "bench",
        "examples",
        "cli",
        "moto",
        "pip",
        "uvicorn",
        "websockets",
        "bin",
        ".chalice",
    }
    assert not [name for name in names if name.endswith(("/RECORD", ".pyi", "-INSTALLER", ".lock"))]


def test_a_cold_start_reads_no_texts_no_foreign_endpoints_and_no_foreign_roots(built: Path):
    botocore = built / "code" / "botocore"
    endpoints = json.loads((botocore / "data" / "endpoints.json").read_text())
    models = [gzip.decompress(path.read_bytes()) for path in (botocore / "data").rglob("service-2.json.gz")]
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(botocore / "cacert.pem")
    parts = {part for each in trust.get_ca_certs() for part in each["subject"]}

    assert {name for each in endpoints["partitions"] for name in each["services"]} <= package.SDK_SERVICES
    assert models
    assert not [model for model in models if b'"documentation":"' in model]
    assert (("organizationName", "Amazon"),) in parts
    assert 4 <= len(trust.get_ca_certs()) <= 30


def test_every_library_keeps_its_licence(built: Path, names: list[str]):
    with zipfile.ZipFile(built / package.CODE) as archive:
        metadata = [name for name in names if name.endswith(".dist-info/METADATA")]
        for name in metadata:
            text = archive.read(name).decode()
            folder = name.rpartition("/")[0]
            has_file = any(each.startswith(folder) and "LICENSE" in each.upper() for each in names)
            assert has_file or "\nLicense" in text, name
    assert len(metadata) >= 8


def test_the_same_files_make_the_same_zip(built: Path, tmp_path: Path):
    again = tmp_path / "code"
    shutil.copytree(built / "code", again)
    package.compile_all(again)
    package.pack(again, tmp_path / package.CODE)

    digests = {hashlib.sha256((folder / package.CODE).read_bytes()).digest() for folder in (built, tmp_path)}
    assert len(digests) == 1


def test_every_function_knows_table_queue_and_where_sockets_are(template: dict[str, Any]):
    found = functions(template)

    assert {name: each["Handler"] for name, each in found.items()} == FUNCTIONS
    for each in found.values():
        variables = each["Environment"]["Variables"]
        assert variables["FOYER_TABLE"] == {"Ref": "Table"}
        assert variables["FOYER_QUEUE_URL"] == {"Ref": "WorkQueue"}
        assert variables["FOYER_STAGE"] == "dev"
        assert "@connections" not in variables["FOYER_API_ENDPOINT"]["Fn::Sub"]
        assert each["Runtime"] == package.runtime()
        assert each["FunctionName"]["Fn::Sub"].startswith("${AWS::StackName}")
        assert each["CodeUri"] == "./deployment.zip"
        assert "LogGroup" in each["LoggingConfig"]


def test_a_changed_route_of_the_sockets_is_deployed(template: dict[str, Any]):
    types = [each["Type"] for each in template["Resources"].values()]
    stage = template["Resources"]["WebsocketAPIStage"]["Properties"]

    assert "AWS::ApiGatewayV2::Deployment" not in types
    assert stage["AutoDeploy"] is True
    assert "DeploymentId" not in stage


def test_the_gateway_finds_the_functions_by_the_name_of_the_stack(template: dict[str, Any]):
    suffixes = {
        each["Handler"].removeprefix("app."): each["FunctionName"]["Fn::Sub"].removeprefix(
            "${AWS::StackName}"
        )
        for each in functions(template).values()
    }

    assert suffixes == {name: suffix and f"-{suffix}" for name, suffix in events.FUNCTIONS.items()}


def test_a_failed_kick_comes_back_alone(template: dict[str, Any]):
    (source,) = functions(template)["Work"]["Events"].values()

    assert source["Properties"]["Queue"] == {"Fn::Sub": "${WorkQueue.Arn}"}
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_kick_stays_hidden_longer_than_its_worker_may_take(template: dict[str, Any]):
    visible_after = template["Resources"]["WorkQueue"]["Properties"]["VisibilityTimeout"]

    assert visible_after >= functions(template)["Work"]["Timeout"]


def test_merging_left_no_object_with_two_meanings(template: dict[str, Any]):
    for each in nested(template):
        intrinsic = [key for key in each if key == "Ref" or key.startswith("Fn::")]
        assert len(intrinsic) <= 1, each
        assert not intrinsic or len(each) == 1, each


def test_roles_allow_nothing_wholesale(template: dict[str, Any]):
    roles = [each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    statements = [
        statement
        for role in roles
        for policy in role["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [action for each in statements for action in nested_text(each["Action"])]

    assert roles
    assert all("*" not in action for action in actions)
    assert all(each["Resource"] not in ("*", ["*"]) for each in statements)
    assert "dynamodb:Scan" not in actions


def nested_text(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def test_an_unmapped_route_is_answered_for_both_families_of_clients(template: dict[str, Any]):
    answers = template["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]
    answer = answers["MISSING_AUTHENTICATION_TOKEN"]

    assert answer["StatusCode"] == 404
    assert json.loads(answer["ResponseTemplates"]["application/json"]) == {
        "code": 404,
        "errno": 999,
        "error": {"code": 1001, "message": "Resource not found"},
    }


@pytest.mark.parametrize(
    ("stage", "reason"), [("local", "never packaged"), ("nowhere", "has dev, local, prod")]
)
def test_what_must_not_be_deployed_is_not_packaged(stage: str, reason: str):
    done = subprocess.run(
        [sys.executable, "-m", "infra.package", "--stage", stage],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_stage_that_only_calls_itself_local_is_not_packaged(tmp_path: Path):
    (tmp_path / ".chalice").mkdir()
    stages = {"stages": {"dev": {"environment_variables": {"FOYER_STAGE": "local"}}}}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(stages))

    with pytest.raises(package.CannotPackage, match="never packaged"):
        package.refuse_undeployable("dev", tmp_path)


def test_an_error_in_a_template_is_found(template: dict[str, Any], tmp_path: Path):
    table = json.loads(json.dumps(template["Resources"]["Table"]))
    table["Properties"]["KeySchema"][0]["KeyType"] = "SORT"
    broken = tmp_path / "sam.json"
    broken.write_text(json.dumps({"Resources": {"Table": table}}))

    with pytest.raises(package.CannotPackage, match="cfn-lint"):
        package.lint([broken])


def test_the_policies_allow_every_storage_operation_that_the_code_calls_and_no_scan():
    called = {
        name
        for path in (ROOT / "chalicelib").rglob("*.py")
        for name in re.findall(r'\bcall\(\s*"([A-Za-z]+)"', path.read_text())
    }
    assert {"GetItem", "Query", "UpdateItem"} <= called
    # A transaction has no permission of its own, only those of what is in it.
    needed = {f"dynamodb:{name}" for name in called - {"TransactWriteItems"}}
    for stage in ("dev", "prod"):
        policy = json.loads((ROOT / ".chalice" / f"policy-{stage}.json").read_text())
        (rows,) = [one for one in policy["Statement"] if one["Sid"] == "Rows"]
        assert needed <= set(rows["Action"]), stage
        assert not [action for action in rows["Action"] if "Scan" in action or "*" in action]
