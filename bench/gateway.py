"""What the gateway itself costs: wrk against a route that answers 204.  `python -m bench.gateway`."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from bench import common
from bench.common import Report, middle, progress
from bench.stack import Stack, cpu_ns

TITLE: Final = "The gateway, with a canned answer"
PATH: Final = "/canned"
WARMING_S: Final = 2
UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Load(NamedTuple):
    """One run of wrk."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


def wrk(url: str, connections: int, seconds: int, pid: int) -> Load:
    """Load `url` for a while with kept-alive connections, and look at the CPU time of the server `pid`."""
    command = ["wrk", "--latency", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", url]
    before = cpu_ns(pid)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = (cpu_ns(pid) - before) / 1e9
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    requests = int(found(r"(\d+) requests in", said))
    return Load(
        requests,
        float(found(r"Requests/sec:\s+([\d.]+)", said)),
        milliseconds(found(r"\n\s+50%\s+(\S+)", said)),
        milliseconds(found(r"\n\s+99%\s+(\S+)", said)),
        used,
    )


def found(pattern: str, text: str) -> str:
    """What the group of a pattern holds in wrk's report."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(text)
    return match.group(1)


def milliseconds(text: str) -> float:
    """wrk's spelling of a time.

    >>> [milliseconds(text) for text in ("640.00us", "1.25ms", "1.10s")]
    [0.64, 1.25, 1100.0]
    """
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """Both figures of the gateway."""
    if shutil.which("wrk") is None:
        report.note("nothing measured: wrk is not installed (Debian: apt-get install wrk)")
        return
    loads: dict[int, list[Load]] = {1: [], arguments.connections: []}
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        stack = Stack(Path(name))
        log = str(not arguments.no_access_log)
        settings = {"GATEWAY_APP": "bench.canned_app", "GATEWAY_SOURCES": "off", "GATEWAY_ACCESS_LOG": log}
        with stack.gateway(settings) as child:
            url = f"{child.http}{PATH}"
            wrk(url, arguments.connections, WARMING_S, child.pid)
            for number in range(arguments.rounds):
                progress(f"round {number + 1} of {arguments.rounds}")
                for connections, runs in loads.items():
                    runs.append(wrk(url, connections, arguments.seconds, child.pid))
    one, many = loads[1], loads[arguments.connections]
    report.figure(
        f"requests per core, {arguments.connections} connections",
        middle([run.requests / run.cpu_s for run in many]),
        "1/s",
        at_least=1500,
    )
    report.figure("requests, wall clock", middle([run.rate for run in many]), "1/s")
    report.figure(
        "the median's time, 1 connection kept alive", middle([run.p50_ms for run in one]), "ms", at_most=2
    )
    report.figure("p99, 1 connection kept alive", middle([run.p99_ms for run in one]), "ms")
    report.figure(f"p50, {arguments.connections} connections", middle([run.p50_ms for run in many]), "ms")
    report.note(
        f"{arguments.rounds} rounds of {arguments.seconds} s; per core: by the CPU seconds of all threads of "
        "the gateway; wrk is a process of its own"
    )
    report.note(f"the access log is {'off' if arguments.no_access_log else 'on, into a file'}")


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each run")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--no-access-log", action="store_true")


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
