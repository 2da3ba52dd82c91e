"""The deployment package: template and app from `chalice package`, libraries from the lock, one zip.

Chalice ships no byte code and whole SDKs, both of which a cold start pays for, and it knows no lock file.
So it makes the template and its own part of the zip, and everything else is done here.
"""

import argparse
import functools
import gzip
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chalicelib.settings import FALSE
from infra import observe

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOCK = "requirements.lock"
MERGED = "infra/resources.json"
CODE = "deployment.zip"
RUNTIMES = ((3, 11), (3, 14))  # the first and the last that both Lambda and this project know
SNAPSTART_FROM = (3, 12)
ALIAS = "live"
"""What published versions are called by; SnapStart knows no other functions."""
LARGEST = 10_000_000
LEAST_COMPILED = 0.98
IN_LAMBDA = "/var/task"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip can name
MAGIC_LENGTH = 16

# Lambda's images: Amazon Linux 2 (glibc 2.26) up to Python 3.11, Amazon Linux 2023 (glibc 2.34) from 3.12.
GLIBC: dict[bool, tuple[str, ...]] = {
    False: ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_26")
}
GLIBC[True] = (*GLIBC[False], "manylinux_2_28", "manylinux_2_31", "manylinux_2_34")
WHEELS = {"x86_64": "x86_64", "arm64": "aarch64"}

SDK_SERVICES = frozenset({"apigatewaymanagementapi", "dynamodb", "kms", "sqs", "ssm", "sts"})
SDK_OPERATIONS = {"ssm": frozenset({"GetParameters"})}
"""All that is used of services whose models are long."""
SDK_COMMON = frozenset(
    {
        "endpoints.json",
        "endpoints.json.gz",
        "partitions.json",
        "partitions.json.gz",
        "_retry.json",
        "_retry.json.gz",
    }
    | {"sdk-default-configuration.json", "sdk-default-configuration.json.gz"}
)
SDK_UNUSED = ("examples-1.json", "examples-1.json.gz", "waiters-2.json", "waiters-2.json.gz")
SDK_MODELS = ("service-2.json", "endpoint-rule-set-1.json")
AMAZON_ROOTS = frozenset(  # what Amazon Trust Services wants in a short list, whatever the region
    {*(f"Amazon Root CA {number}" for number in (1, 2, 3, 4))}
    | {"Starfield Services Root Certificate Authority - G2"}
)
SDK_ROOTS = AMAZON_ROOTS | {  # those of AWS in China
    *("DigiCert Global Root CA", "DigiCert Global Root G2", "DigiCert Global Root G3")
}
WHOLE_FOLDERS_UNUSED = ("bin", "cffi", "pycparser")
JUNK_FOLDERS = frozenset({"benchmarks", "examples", "test", "tests"})
JUNK_SUFFIXES = frozenset({".pyi", ".pyx", ".pxd", ".c", ".h", ".cpp", ".typed", ".exe"})
SETTINGS = (
    *("ADMIN_", "FOYER_", "JITSI_", "OWT_", "LOOP_", "SORA_", "WCS_"),
    *("MEDIA_MODE", "CONFIRM_TIMEOUT_", "COMMAND_WEBHOOK_"),
)
"""What the machine's environment says is not what is deployed."""
LEGAL = ("AUTHORS", "COPYING", "LICENSE", "NOTICE")

CHECK = """
import sys
sys.path.insert(0, {folder!r})
sys.dont_write_bytecode = True
import app, boto3, jwt.algorithms, pynamodb.models
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
jwt.decode(jwt.encode({{"a": 1}}, key, "RS256"), key.public_key(), ["RS256"])
for service in {services!r}:
    boto3.client(service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
"""


class CannotPackage(Exception):
    """There will be no package; the text is one line for a person."""


class Build(NamedTuple):
    """What a package is made for."""

    python: str = sys.executable
    """Makes the byte code, so it is the functions' Python; it needs nothing installed."""
    version: tuple[int, int] = sys.version_info[:2]
    machine: str = ""
    """`x86_64` or `arm64`; empty: as .chalice/config.json has it."""
    snapstart: bool = False

    @property
    def dotted(self) -> str:
        """Such as `3.12`."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def tag(self) -> str:
        """What the names of its byte code have, such as `cpython-312`."""
        return f"cpython-{self.version[0]}{self.version[1]}"


def asked(environ: Mapping[str, str]) -> Build:
    """What `PACKAGE_PYTHON`, `PACKAGE_ARCHITECTURE` and `PACKAGE_SNAPSTART` ask.  Raises `CannotPackage`."""
    python, machine = environ.get("PACKAGE_PYTHON", ""), environ.get("PACKAGE_ARCHITECTURE", "")
    found, version = sys.executable, sys.version_info[:2]
    if python:
        found = shutil.which(python) or ""
        if not found:
            raise CannotPackage(f"PACKAGE_PYTHON: there is no {python}")
        program = "import sys; print(*sys.version_info[:2])"
        said = subprocess.run([found, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
        if said.returncode:
            raise CannotPackage(f"PACKAGE_PYTHON: {python} does not run")
        major, minor = said.stdout.split()
        version = int(major), int(minor)
    if machine and machine not in WHEELS:
        raise CannotPackage(f"PACKAGE_ARCHITECTURE: {' or '.join(WHEELS)}")
    return Build(found, version, machine, environ.get("PACKAGE_SNAPSTART", "").lower() not in FALSE)


def runtime(build: Build | None = None) -> str:
    """Lambda's name for the Python whose byte code is shipped.  Raises `CannotPackage`."""
    build = build or Build()
    first, last = RUNTIMES
    if not first <= build.version <= last:
        raise CannotPackage(f"Lambda has no Python {build.dotted}; make .venv with another")
    return f"python{build.dotted}"


def stages(project: Path = ROOT) -> dict[str, Any]:
    """The stages of .chalice/config.json."""
    found: dict[str, Any] = json.loads((project / ".chalice" / "config.json").read_text())["stages"]
    return found


def refuse_undeployable(stage: str, project: Path) -> None:
    """Raises `CannotPackage` for the stage that is open to everybody, and for one that nobody described."""
    if stage not in stages(project):
        raise CannotPackage(f"stage {stage}: .chalice/config.json has {', '.join(sorted(stages(project)))}")
    environment = stages(project)[stage].get("environment_variables", {})
    if stage == "local" or environment.get("FOYER_STAGE", stage) == "local":
        raise CannotPackage("the stage `local` is open to everybody and is never packaged or deployed")


def tool(name: str) -> str:
    """A command that was installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def run(command: list[str], folder: Path, environ: Mapping[str, str], what: str) -> None:
    """Run a tool and keep quiet unless it fails.  Raises `CannotPackage`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotPackage(f"{what} failed:\n{done.stdout.strip()}")


def chalice_package(project: Path, stage: str, target: Path) -> dict[str, Any]:
    """The template that `chalice package` makes of a copy without requirements; its zip has the app alone."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / project.name
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "deployed", "deployments")
        for folder in ("chalicelib", ".chalice"):
            if (project / folder).exists():
                shutil.copytree(project / folder, copy / folder, ignore=ignored)
        shutil.copy(project / "app.py", copy / "app.py")
        shutil.copy(project / MERGED, copy / "merged.json")
        (copy / "requirements.txt").touch()
        environ = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
        environ |= {
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(copy),
        }
        command = [tool("chalice"), "--project-dir", str(copy), "package"]
        command += ["--stage", stage, "--merge-template", "merged.json", str(target)]
        run(command, copy, environ, "chalice package")
    template: dict[str, Any] = json.loads((target / "sam.json").read_text())
    return template


def with_snapshots(template: dict[str, Any], build: Build) -> dict[str, Any]:
    """Have functions start from snapshots, which only published versions have: all are called by an alias.

    Raises `CannotPackage`.
    """
    if build.version < SNAPSTART_FROM:
        raise CannotPackage(f"SnapStart needs Python 3.12 or later; this is {build.dotted}")
    options = {
        "AutoPublishAlias": ALIAS,
        "AutoPublishAliasAllProperties": True,  # a changed setting needs a new snapshot too
        "SnapStart": {"ApplyOn": "PublishedVersions"},
    }
    functions = set()
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"] |= options
            functions.add(name)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Permission":
            name = resource["Properties"]["FunctionName"]["Ref"]
            resource["Properties"]["FunctionName"] = {"Ref": f"{name}.Alias"}
        elif resource["Type"] == "AWS::ApiGatewayV2::Integration":
            variables = resource["Properties"]["IntegrationUri"]["Fn::Sub"][1]
            name = variables["WebsocketHandler"]["Ref"]
            variables["WebsocketHandler"] = {"Fn::Sub": f"${{{name}}}:{ALIAS}"}
        elif resource["Type"] == "AWS::Serverless::Api":
            text = json.dumps(resource["Properties"]["DefinitionBody"])
            for name in functions:
                text = text.replace(f"${{{name}.Arn}}/", f"${{{name}.Arn}}:{ALIAS}/")
            resource["Properties"]["DefinitionBody"] = json.loads(text)
    return template


def finish_template(
    template: dict[str, Any], stage: str, project: Path, build: Build | None = None
) -> dict[str, Any]:
    """Fill in what the merged file cannot know.  Raises `CannotPackage`."""
    build = build or Build()
    template["Parameters"]["Stage"]["Default"] = stages(project)[stage].get("api_gateway_stage", stage)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["Runtime"] = runtime(build)
            if build.machine:
                resource["Properties"]["Architectures"] = [build.machine]
    # Chalice's deployment keeps its name, so that CloudFormation would never deploy a changed route.
    template["Resources"].pop("WebsocketAPIDeployment", None)
    sockets = template["Resources"]["WebsocketAPIStage"]["Properties"]
    sockets.pop("DeploymentId", None)
    sockets["AutoDeploy"] = True
    observe.add(template)
    return template


def architecture(template: Mapping[str, Any]) -> str:
    """The one architecture of all functions.  Raises `CannotPackage`."""
    functions = [
        each for each in template["Resources"].values() if each["Type"] == "AWS::Serverless::Function"
    ]
    (found, *others) = {each["Properties"]["Architectures"][0] for each in functions}
    if others:
        raise CannotPackage("all functions share one zip, so all need the same lambda_architecture")
    return str(found)


def fetch(lock: Path, folder: Path, machine: str, build: Build) -> None:
    """Unpack the locked wheels that Lambda's image can run.  Raises `CannotPackage`."""
    platforms = [f"{name}_{WHEELS[machine]}" for name in GLIBC[build.version >= (3, 12)]]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", build.dotted, "--target", str(folder), "-r", str(lock)]
    command += [word for platform in platforms for word in ("--platform", platform)]
    run(command, ROOT, os.environ, "pip")


def remove(path: Path) -> None:
    """Remove a file or a folder, or nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def prune(folder: Path) -> None:
    """Leave out what a function never reads."""
    for sdk in ("boto3", "botocore"):
        for entry in (folder / sdk / "data").iterdir():
            if entry.name not in SDK_SERVICES | SDK_COMMON:
                remove(entry)
        for name in SDK_UNUSED:
            for path in (folder / sdk / "data").rglob(name):
                remove(path)
    remove(folder / "boto3" / "examples")
    for name in WHOLE_FOLDERS_UNUSED:
        remove(folder / name)
    for path in sorted(folder.rglob("*")):
        if _junk(path, folder):
            remove(path)


def shorten(botocore: Path) -> None:
    """Leave out what every cold start reads of the SDK's data and no function needs.  Raises `CannotPackage`.

    That is texts for people, the endpoints of other services, and the roots of trust that vouch for nothing
    of AWS: each new connection loads them all.
    """
    for path in sorted((botocore / "data").rglob("*")):
        name = path.name.removesuffix(".gz")
        if name == "endpoints.json":
            rewrite(path, only_our_services)
        elif name in SDK_MODELS:
            used = SDK_OPERATIONS.get(path.parent.parent.name)
            rewrite(path, functools.partial(shortened, used if name == "service-2.json" else None))
    bundle = botocore / "cacert.pem"
    bundle.write_text(only_our_roots(bundle))


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Replace a JSON file of the SDK's data by a plain one: the zip is compressed anyway."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        path.unlink()
        path, content = path.with_suffix(""), gzip.decompress(content)
    path.write_text(json.dumps(change(json.loads(content)), separators=(",", ":")))


def only_our_services(endpoints: Any) -> Any:
    """The SDK's list of endpoints, short."""
    for partition in endpoints["partitions"]:
        services = partition["services"].items()
        partition["services"] = {name: each for name, each in services if name in SDK_SERVICES}
    return endpoints


def shortened(used: frozenset[str] | None, model: Any) -> Any:
    """A service's model without its texts and, where `used` says so, of these operations only."""
    return without_documentation(only_operations(used, model) if used else model)


def only_operations(used: frozenset[str], model: Any) -> Any:
    """A service's model with these operations, and the shapes that they need."""
    model["operations"] = {name: each for name, each in model["operations"].items() if name in used}
    needed: set[str] = set()
    left = [model["operations"]]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += [each for each in value.values() if isinstance(each, dict | list)]
            shape = value.get("shape")
            if isinstance(shape, str) and shape not in needed:
                needed.add(shape)
                left.append(model["shapes"][shape])
    model["shapes"] = {name: each for name, each in model["shapes"].items() if name in needed}
    return model


def without_documentation(value: Any) -> Any:
    """A service's model without its texts.

    >>> without_documentation({"a": [{"documentation": "<p>b</p>"}], "documentation": {"type": "string"}})
    {'a': [{}], 'documentation': {'type': 'string'}}
    """
    if isinstance(value, dict):
        return {
            name: without_documentation(each)
            for name, each in value.items()
            if name != "documentation" or not isinstance(each, str)
        }
    return [without_documentation(each) for each in value] if isinstance(value, list) else value


def common_name(certificate: Mapping[str, Any]) -> str:
    """A certificate's, as `ssl` describes it; "" where it has none."""
    names = (pair for part in certificate["subject"] for pair in part)
    return next((value for kind, value in names if kind == "commonName"), "")


def only_our_roots(bundle: Path) -> str:
    """The certificates of a bundle that vouch for AWS.  Raises `CannotPackage`."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(bundle)
    found = zip(trust.get_ca_certs(), trust.get_ca_certs(binary_form=True), strict=True)
    named = {common_name(described): der for described, der in found}
    if not named.keys() >= AMAZON_ROOTS:
        raise CannotPackage(f"{bundle} has not all certificates of Amazon's")
    return "".join(ssl.DER_cert_to_PEM_cert(named[name]) for name in sorted(SDK_ROOTS & named.keys()))


def _junk(path: Path, folder: Path) -> bool:
    if path.is_dir():
        return path.name in JUNK_FOLDERS and path.parent != folder
    return path.suffix in JUNK_SUFFIXES or _needless_metadata(path)


def _needless_metadata(path: Path) -> bool:
    if not any(part.endswith(".dist-info") for part in path.parts):
        return False
    return (
        path.name != "METADATA" and not path.name.upper().startswith(LEGAL) and "licenses" not in path.parts
    )


def add_app(app_zip: Path, folder: Path) -> None:
    """Put the app's own files, as Chalice chose them, beside the libraries."""
    with zipfile.ZipFile(app_zip) as archive:
        archive.extractall(folder)


def compile_all(folder: Path, python: str = sys.executable) -> None:
    """Byte code beside every source, valid without a look at the source (PEP 552).  Raises `CannotPackage`.

    In a process of its own with a fixed hash seed: the order of constants is then the same in every build.
    """
    for stale in folder.rglob("__pycache__"):
        remove(stale)
    program = [python, "-P", "-S", str(ROOT / "infra" / "bytecode.py")]
    run([*program, str(folder), IN_LAMBDA], ROOT, os.environ | {"PYTHONHASHSEED": "0"}, "compileall")


def compiled_share(names: list[str], build: Build | None = None) -> float:
    """How many of the sources among `names` have byte code."""
    sources = [Path(name) for name in names if name.endswith(".py")]
    there, tag = set(names), (build or Build()).tag
    compiled = (each.parent / "__pycache__" / f"{each.stem}.{tag}.pyc" for each in sources)
    return sum(each.as_posix() in there for each in compiled) / max(1, len(sources))


def files(folder: Path) -> Iterator[Path]:
    """Every file below, in an order that is the same everywhere."""
    found = (path for path in folder.rglob("*") if path.is_file())
    yield from sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def pack(folder: Path, target: Path) -> list[str]:
    """Zip a folder so that equal contents give equal bytes; the names in it."""
    names = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files(folder):
            name = path.relative_to(folder).as_posix()
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if path.suffix == ".so" else 0o100644) << 16
            info.create_system = 3  # Unix
            archive.writestr(info, path.read_bytes())
            names.append(name)
    return names


def check_import(folder: Path, machine: str, python: str = sys.executable) -> None:
    """Import the app from the package alone, where this machine can.  Raises `CannotPackage`."""
    here = os.uname()
    if (here.sysname, here.machine) != ("Linux", WHEELS[machine]):
        print(f"not imported for a check: this is {here.sysname} on {here.machine}")
        return
    program = CHECK.format(folder=str(folder), services=sorted(SDK_SERVICES))
    environ = {"PATH": os.environ["PATH"], "FOYER_STAGE": "check", "AWS_DEFAULT_REGION": "us-east-1"}
    run([python, "-I", "-S", "-c", program], folder, environ, "importing app from the package")


def templates(project: Path, target: Path) -> dict[str, Path]:
    """The finished template of every stage that can be deployed, in a folder of its own below `target`."""
    found = {}
    for stage in stages(project):
        if stage == "local":
            continue
        folder = target / stage
        template = finish_template(chalice_package(project, stage, folder), stage, project)
        path = folder / "sam.json"
        path.write_text(json.dumps(template, indent=2) + "\n")
        found[stage] = path
    return found


def lint(paths: list[Path]) -> None:
    """Have cfn-lint look at templates.  Raises `CannotPackage`."""
    run([tool("cfn-lint"), *map(str, paths)], ROOT, os.environ, "cfn-lint")


def package(
    stage: str, target: Path, project: Path = ROOT, lock: Path | None = None, build: Build | None = None
) -> Path:
    """Make template and zip of one stage in `target`; the zip.  Raises `CannotPackage`."""
    refuse_undeployable(stage, project)
    build = build or asked(os.environ)
    remove(target)
    target.mkdir(parents=True)
    template = finish_template(chalice_package(project, stage, target), stage, project, build)
    if build.snapstart:
        template = with_snapshots(template, build)
    (target / "sam.json").write_text(json.dumps(template, indent=2) + "\n")
    lint([target / "sam.json"])
    machine = architecture(template)
    code = target / CODE
    folder = target / "code"
    fetch(lock or project / LOCK, folder, machine, build)
    prune(folder)
    shorten(folder / "botocore")
    add_app(code, folder)
    compile_all(folder, build.python)
    check_import(folder, machine, build.python)
    names = pack(folder, code)
    share = compiled_share(names, build)
    report(code, folder, share)
    size = code.stat().st_size
    if size > LARGEST:
        raise CannotPackage(f"{size:,} bytes; at most {LARGEST:,} are wanted")
    if share < LEAST_COMPILED:
        raise CannotPackage(
            f"{share:.1%} of the sources have byte code; at least {LEAST_COMPILED:.0%} are wanted"
        )
    return code


def report(code: Path, folder: Path, share: float) -> None:
    """Print what the package is made of."""
    unpacked: dict[str, int] = {}
    for path in files(folder):
        part = path.relative_to(folder).parts[0]
        unpacked[part] = unpacked.get(part, 0) + path.stat().st_size
    print(f"{'part':<36}{'unpacked KiB':>14}")
    for part, size in sorted(unpacked.items(), key=lambda pair: -pair[1])[:12]:
        print(f"{part:<36}{size / 1024:>14,.0f}")
    print(f"{'all':<36}{sum(unpacked.values()) / 1024:>14,.0f}")
    print(f"{code}: {code.stat().st_size / 1e6:.2f} MB; {share:.1%} of the sources have byte code")


def main() -> int:
    """Make the package of a stage, or only look at the templates of all."""
    arguments = argparse.ArgumentParser(prog="python -m infra.package", description=__doc__.splitlines()[0])
    arguments.add_argument("--stage", default="dev")
    arguments.add_argument(
        "--check-templates", action="store_true", help="make and lint the templates, no zip"
    )
    given = arguments.parse_args()
    try:
        if given.check_templates:
            with tempfile.TemporaryDirectory() as scratch:
                lint(list(templates(ROOT, Path(scratch)).values()))
            print("templates: no findings")
        else:
            package(given.stage, BUILD / given.stage)
    except CannotPackage as why:
        print(f"foyer: {why}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
