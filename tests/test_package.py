"""What is deployed: small, compiled, complete, the same every time, and never the open stage."""

import hashlib
import importlib.util
import json
import re
import shutil
import ssl
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench import coldstart
from chalicelib.store import aws
from infra import package, tls
from infra.children import ROOT
from infra.gateway import events
from tests.support import counts
from tests.support.grants import granted

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
    models = [path.read_bytes() for path in (botocore / "data").rglob("service-2.json*")]
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(botocore / "cacert.pem")
    names = {package.common_name(each) for each in trust.get_ca_certs()}

    assert {name for each in endpoints["partitions"] for name in each["services"]} <= package.SDK_SERVICES
    assert models
    assert not [model for model in models if b'"documentation":"' in model]
    assert package.AMAZON_ROOTS <= names <= package.SDK_ROOTS


ONE_CONNECTION = """
import json, ssl, sys
sys.path.insert(0, {folder!r})
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from chalicelib.store import aws
loaded = []
class Context(ssl.SSLContext):
    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        super().load_verify_locations(cafile, capath, cadata)
        loaded.append([cafile, len(self.get_ca_certs())])
    def load_default_certs(self, purpose=ssl.Purpose.SERVER_AUTH):
        loaded.append(["default", 0])
import botocore.httpsession
botocore.httpsession.SSLContext = Context
before = set(sys.modules)
try:
    URLLib3Session().send(AWSRequest("GET", {url!r}).prepare())
except botocore.exceptions.SSLError:
    pass
print(json.dumps([loaded, sorted(set(sys.modules) - before)]))
"""


def test_a_tls_connection_loads_the_few_roots_once_and_no_module(built: Path, tmp_path: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates = tls.ensure(tmp_path)
    context.load_cert_chain(certificates.chain, certificates.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # it is no peer of this CA's
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    program = ONE_CONNECTION.format(
        folder=str(built / "code"), url=f"https://127.0.0.1:{server.server_port}/"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program], capture_output=True, text=True, check=False
    )
    server.shutdown()
    server.server_close()

    assert done.returncode == 0, done.stderr
    loaded, imported = json.loads(done.stdout)
    assert loaded == [[str(built / "code" / "botocore" / "cacert.pem"), len(package.SDK_ROOTS)]]
    assert imported == []


SNAPSHOT = """
import os, sys, threading
sys.path.insert(0, {folder!r})
import app
from chalicelib import ids
files = "/proc/self/fd/"
links = [os.readlink(files + name) for name in os.listdir(files) if os.path.lexists(files + name)]
print([each for each in links if each.startswith("socket:")], threading.active_count(), flush=True)
for copy in range(2):
    if os.fork() == 0:
        print(ids.new(), ids.rising(0), ids.chance.random(), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize("function", [handler.removeprefix("app.") for handler in FUNCTIONS.values()])
def test_a_snapshot_shares_no_connection_no_thread_and_no_chance(built: Path, function: str):
    environ = coldstart.environment(function) | {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    program = SNAPSHOT.format(folder=str(built / "code"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    shared, *copies = done.stdout.splitlines()
    assert shared == "[] 1"
    (first, second) = (copy.split() for copy in copies)
    assert not set(first) & set(second)


STARTED = """
import gc, json, sys
sys.path.insert(0, {folder!r})
import app
print(json.dumps([sorted(sys.modules), gc.isenabled(), gc.get_freeze_count()]))
"""
NEVER_IMPORTED = frozenset({"boto3", "s3transfer", "moto", "typer", "rich", "uvicorn", "websockets"})
SENDING = frozenset({"asyncio", "chalicelib.realtime.engine"})
"""What only those need who send to sockets."""


@pytest.mark.parametrize("function", [handler.removeprefix("app.") for handler in FUNCTIONS.values()])
def test_a_start_imports_what_it_can_need_and_sets_it_apart_from_garbage(built: Path, function: str):
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", STARTED.format(folder=str(built / "code"))],
        env=coldstart.environment(function),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    modules, collects, set_apart = json.loads(done.stdout)
    assert not NEVER_IMPORTED & set(modules)
    assert function != "app" or not SENDING & set(modules)
    assert len(modules) <= 700
    assert collects
    assert set_apart > 50_000


def test_nothing_is_drawn_from_a_generator_that_a_snapshot_would_copy():
    drawing = re.compile(r"\brandom\.(?!SystemRandom\b)[a-z]+\(")

    assert not [
        path
        for path in (*(ROOT / "chalicelib").rglob("*.py"), ROOT / "app.py")
        if "import random" in (text := path.read_text()) and drawing.search(text)
    ]


def interpreter(version: str) -> str:
    """A Python of this version: on the path, or beside this one where pyenv keeps them.  May be ""."""
    beside = Path(sys.base_prefix).parent.glob(f"{version}*/bin/python")
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(beside))]
    for each in filter(None, candidates):
        done = subprocess.run(
            [each, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == version:
            return each
    return ""


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", package.WHEELS)
def test_every_python_and_architecture_has_a_package(tmp_path: Path, python: str, machine: str):
    found = interpreter(python)
    if not found:
        pytest.skip(f"there is no Python {python} here")
    snapstart = "1" if python != "3.11" else ""
    build = package.asked(
        {"PACKAGE_PYTHON": found, "PACKAGE_ARCHITECTURE": machine, "PACKAGE_SNAPSTART": snapstart}
    )
    code = package.package("dev", tmp_path / "dev", build=build)

    with zipfile.ZipFile(code) as archive:
        names = archive.namelist()
    tags = {name.split(".")[-2] for name in names if name.endswith(".so") and "cpython-" in name}
    functions_made = functions(json.loads((tmp_path / "dev" / "sam.json").read_text()))
    assert code.stat().st_size <= package.LARGEST
    assert package.compiled_share(names, build) >= package.LEAST_COMPILED
    assert tags == {f"{build.tag}-{package.WHEELS[machine]}-linux-gnu"}
    assert {each["Runtime"] for each in functions_made.values()} == {f"python{python}"}
    assert {each["Architectures"][0] for each in functions_made.values()} == {machine}


if not counts.FULL:  # else this machine's package alone, which all other tests look at
    del test_every_python_and_architecture_has_a_package


@pytest.mark.parametrize("more", [{}, coldstart.OPERATORS], ids=["alone", "with operators"])
def test_a_start_takes_so_many_times_the_instructions_of_an_app_of_one_route(
    built: Path, tmp_path: Path, more: dict[str, str]
):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is missing: `infra/system-packages.sh --bench` installs it on Debian")
    one = coldstart.one_route(built / "code", tmp_path / "one")
    costs = {
        handler: coldstart.instructions(
            coldstart.command(built / "code"), coldstart.environment(handler) | more
        )
        for handler in coldstart.HANDLERS
    }

    least = coldstart.instructions(coldstart.command(one), coldstart.environment("app"))
    assert {name: cost for name, cost in costs.items() if cost > 7.5 * least} == {}


if not counts.FULL:  # valgrind takes half a minute
    del test_a_start_takes_so_many_times_the_instructions_of_an_app_of_one_route


@pytest.mark.skipif(counts.FULL, reason="whole packages are made instead")
def test_the_lock_has_what_another_machine_runs(tmp_path: Path):
    package.fetch(ROOT / package.LOCK, tmp_path, "arm64", package.Build(version=(3, 13)))

    tags = {path.name.split(".")[-2] for path in tmp_path.rglob("*.so") if "cpython-" in path.name}
    assert tags == {"cpython-313-aarch64-linux-gnu"}


def test_every_call_goes_to_what_was_published_where_functions_start_from_snapshots(
    template: dict[str, Any],
):
    made = package.with_snapshots(json.loads(json.dumps(template)), package.Build(version=(3, 12)))
    text = json.dumps(made)

    for each in functions(made).values():
        assert each["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        assert each["AutoPublishAlias"] == package.ALIAS
    assert text.count(f":{package.ALIAS}/invocations") > 100
    assert text.count("/invocations") == text.count(f":{package.ALIAS}/invocations") + 3
    for resource in made["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Permission":
            assert resource["Properties"]["FunctionName"]["Ref"].endswith(".Alias")
        if resource["Type"] == "AWS::ApiGatewayV2::Integration":
            (called,) = resource["Properties"]["IntegrationUri"]["Fn::Sub"][1].values()
            assert called["Fn::Sub"].endswith(f":{package.ALIAS}")


def test_snapshots_need_a_python_that_has_them(template: dict[str, Any]):
    with pytest.raises(package.CannotPackage, match="or later"):
        package.with_snapshots(template, package.Build(version=(3, 11)))


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"PACKAGE_PYTHON": "python9.9"}, "PACKAGE_PYTHON"),
        ({"PACKAGE_ARCHITECTURE": "sparc"}, "x86_64 or arm64"),
    ],
)
def test_what_nobody_can_build_is_refused(environ: dict[str, str], complaint: str):
    with pytest.raises(package.CannotPackage, match=complaint):
        package.asked(environ)


@pytest.mark.parametrize(("given", "asked"), [("1", True), ("", False), ("0", False), ("No", False)])
def test_snapshots_are_asked_for_as_any_setting_is(given: str, asked: bool):
    assert package.asked({"PACKAGE_SNAPSTART": given}).snapstart is asked


def test_the_sdk_hooks_of_every_service_in_the_package_are_registered():
    assert package.SDK_SERVICES <= aws.SERVICES


def test_of_a_long_model_only_what_is_used_is_left(built: Path):
    for service, used in package.SDK_OPERATIONS.items():
        (path,) = (built / "code" / "botocore" / "data" / service).rglob("service-2.json")
        model = json.loads(path.read_bytes())
        assert model["operations"].keys() == used
        named = {each["shape"] for each in nested([model["operations"], model["shapes"]]) if "shape" in each}
        assert named == model["shapes"].keys()


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
    actions = {each.action for each in granted()}
    assert needed <= actions
    assert not [action for action in actions if "Scan" in action or "*" in action]
