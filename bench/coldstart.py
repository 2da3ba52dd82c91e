"""What a cold start costs: instructions to import the packaged app and warm up.  `python -m bench.coldstart`.

Beside it, with the same treatment, an app of one route that needs nothing but Chalice.  valgrind counts
instructions; where it is not installed, CPU time in turns has to do.  And what the SDK's first TLS connection
costs with the roots of trust that the package has.
"""

import argparse
import contextlib
import io
import re
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from bench import common
from bench.common import Report, free_port, middle, progress
from infra import package, tls

TITLE: Final = "Cold start of the package"
STAGE: Final = "prod"
OPERATORS: Final = {"ADMIN_TOKENS": "operator:" + "f" * 64}
HANDLERS: Final = ("app", "ws_connect", "ws_message", "ws_disconnect", "tick", "work")
GREATEST: Final = 12
ONE_ROUTE: Final = """
from chalice.app import Chalice

app = Chalice(app_name="one")


@app.route("/")
def index():
    return {}
"""

CONNECTIONS: Final = """
import sys, time
sys.path.insert(0, {folder!r})
import encodings.idna  # as the app has it
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
session = URLLib3Session(verify={roots!r})
for _ in range({number}):
    began = time.thread_time()
    session.send(AWSRequest("GET", {url!r}, {{"Connection": "close"}}).prepare())
    print((time.thread_time() - began) * 1e3)
"""


def one_route(code: Path, folder: Path) -> Path:
    """An app of one route, made from the package's own Chalice."""
    shutil.copytree(code / "chalice", folder / "chalice")
    (folder / "app.py").write_text(ONE_ROUTE)
    package.compile_all(folder)
    return folder


def environment(handler: str) -> dict[str, str]:
    """What Lambda gives a function of ours; nothing of it leads anywhere."""
    refused = f"https://127.0.0.1:{free_port()}/{STAGE}"
    return {
        "_HANDLER": f"app.{handler}",
        "AWS_LAMBDA_FUNCTION_NAME": "foyer",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "A" * 20,
        "AWS_SECRET_ACCESS_KEY": "b" * 40,
        "AWS_SESSION_TOKEN": "c" * 800,
        "FOYER_STAGE": STAGE,
        "FOYER_TABLE": "foyer",
        "FOYER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/foyer-work",
        "FOYER_API_ENDPOINT": refused,
        "FOYER_GATEWAY_SECRET": "d" * 43,
        "JITSI_USER_KEYS": "secret:" + "e" * 43,
        "PYTHONHASHSEED": "0",
    }


def command(folder: Path, *options: str) -> list[str]:
    """A process that imports `app` from a folder and nothing else; ours warms itself up in Lambda."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); import app"
    return [sys.executable, "-I", "-S", "-B", *options, "-c", program]


def bare(*options: str) -> list[str]:
    """The same process, importing nothing."""
    return [sys.executable, "-I", "-S", "-B", *options, "-c", "import sys"]


def instructions(what: list[str], environ: Mapping[str, str]) -> float:
    """Millions of instructions of a process, as valgrind counts them."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    said = subprocess.run([*valgrind, *what], env=dict(environ), capture_output=True, text=True, check=True)
    counted = re.search(r"I\s+refs:\s+([\d,]+)", said.stderr)
    if counted is None:
        raise ValueError(said.stderr)
    return int(counted.group(1).replace(",", "")) / 1e6


def cpu_ms(what: list[str], environ: Mapping[str, str]) -> float:
    """CPU time of a process in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(what, env=dict(environ), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3


def least_cpu_ms(rounds: int) -> Callable[[list[str], Mapping[str, str]], float]:
    """The least CPU time of several runs, which others disturb least."""
    return lambda what, environ: min(cpu_ms(what, environ) for _ in range(rounds))


def parts(folder: Path, environ: Mapping[str, str], rounds: int) -> Counter[str]:
    """Milliseconds that importing the modules of each library takes, the least of several runs."""
    least: dict[str, int] = {}
    for _ in range(rounds):
        said = subprocess.run(
            command(folder, "-X", "importtime"), env=dict(environ), capture_output=True, text=True, check=True
        )
        for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", said.stderr):
            least[name] = min(int(own), least.get(name, sys.maxsize))
    found: Counter[str] = Counter()
    for name, microseconds in least.items():
        found[name.partition(".")[0]] += microseconds
    return found


class Nothing(BaseHTTPRequestHandler):
    """Answers 204, and says nothing else."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def secured(certificates: tls.Certificates) -> Iterator[str]:
    """The address of a TLS server on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def connecting(code: Path, folder: Path, url: str, number: int) -> list[str]:
    """A process that makes TLS connections as the SDK does, with the package's roots of trust."""
    roots = folder / "roots.pem"
    trusted = (code / "botocore" / "cacert.pem").read_text()
    roots.write_text(trusted + (folder / "ca.pem").read_text())
    program = CONNECTIONS.format(folder=str(code), roots=str(roots), url=url, number=number)
    return [sys.executable, "-I", "-S", "-B", "-c", program]


def connections(code: Path, folder: Path, rounds: int, counting: bool) -> tuple[float, float, float]:
    """The first TLS connection's least CPU time in ms and millions of instructions; those of the second."""
    with secured(tls.ensure(folder)) as url:
        programs = [connecting(code, folder, url, number) for number in range(3)]
        environ = environment("app")
        said = [
            subprocess.run(programs[1], env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout
            for _ in range(rounds)
        ]
        none, one, two = (instructions(each, environ) if counting else float("nan") for each in programs)
    return min(map(float, said)), one - none, two - one


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """All figures of the package."""
    with tempfile.TemporaryDirectory(prefix="coldstart-") as name:
        built = arguments.built or Path(name) / "built"
        if not arguments.built:
            progress("making the package")
            with contextlib.redirect_stdout(io.StringIO()):
                package.package(STAGE, built)
        code = built / "code"
        one = one_route(code, Path(name) / "one")
        counting = shutil.which("valgrind") is not None
        unit = "million" if counting else "ms"
        cost = instructions if counting else least_cpu_ms(arguments.rounds)
        costs = {}
        for handler in HANDLERS:
            progress(f"{handler} starts")
            costs[handler] = cost(command(code), environment(handler))
        small = cost(command(one), environment("app"))
        operated = cost(command(code), environment("app") | OPERATORS)
        nothing = cost(bare(), environment("app"))
        greatest = max(costs, key=lambda handler: costs[handler])
        report.figure(
            f"cold start beside a one-route app's ({greatest})", costs[greatest] / small, "x", at_most=7.5
        )
        report.figure("  api, where there are operators", operated / small, "x", at_most=7.5)
        report.figure(
            "  the same without the interpreter's own start",
            (costs[greatest] - nothing) / (small - nothing),
            "x",
        )
        for handler, each in costs.items():
            report.figure(f"  {handler}", each, unit)
        report.figure("  an app of one route", small, unit)
        report.figure("  the interpreter alone", nothing, unit)
        progress("connections")
        (Path(name) / "tls").mkdir()
        least, first, second = connections(code, Path(name) / "tls", arguments.rounds, counting)
        report.figure("first TLS connection, CPU time", least, "ms", at_most=5)
        if counting:
            report.figure("  in instructions", first, unit)
            report.figure("  the second one", second, unit)
        times = [
            (cpu_ms(command(code), environment("ws_message")), cpu_ms(command(one), environment("app")))
            for _ in range(arguments.rounds)
        ]
        report.figure("CPU time, ws_message", middle([ours for ours, _ in times]), "ms")
        report.figure("CPU time, an app of one route", middle([theirs for _, theirs in times]), "ms")
        with zipfile.ZipFile(built / package.CODE) as archive:
            names = archive.namelist()
        report.figure("sources with byte code", package.compiled_share(names), at_least=0.98)
        report.figure("zip", (built / package.CODE).stat().st_size / 1e6, "MB", at_most=10)
        libraries = parts(code, environment("ws_message"), arguments.rounds)
    tool = (
        "instructions by valgrind's cachegrind" if counting else f"CPU time, the least of {arguments.rounds}"
    )
    report.note(f"{tool}: a process that imports the packaged app, which warms itself up, and ends")
    total = sum(libraries.values())
    report.note("time in importing, each library's own modules (python -X importtime, ws_message):")
    for library, microseconds in libraries.most_common(GREATEST):
        report.note(f"  {microseconds / 1e3:6.1f} ms {microseconds / total:6.1%}  {library}")


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        "--built", type=Path, help="a package that is there, such as build/prod; else one is made"
    )
    parser.add_argument("--rounds", type=int, default=7, help="of what is timed")


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
