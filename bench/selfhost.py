"""What a waiting visitor costs a gateway, and nginx with TLS before it.  `python -m bench.selfhost`."""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import common
from bench.common import Child, Report, free_port, middle, progress
from bench.rabbitmq import BASE, TOPIC, WARMING, Crowd
from bench.stack import Stack, cpu_ns, rss_kib, settle
from infra import tls
from infra.emulator import LOOPBACK, Emulator

TITLE: Final = "A gateway behind nginx with TLS"
STUBBED: Final = "bench.memory_app"
CONFIGURATION: Final = common.ROOT / "infra" / "selfhost" / "nginx.conf"


@contextlib.contextmanager
def proxy(folder: Path, upstream: int, made: tls.Certificates) -> Iterator[tuple[int, int]]:
    """nginx as compose.yaml has it, before one gateway: its port, and the process that has connections."""
    port, text = free_port(), CONFIGURATION.read_text()
    (folder / "nginx").mkdir()
    for ours, theirs in (
        ("/etc/foyer/tls/fullchain.pem", str(made.chain)),
        ("/etc/foyer/tls/privkey.pem", str(made.key)),
        ("/tmp/nginx", f"{folder}/nginx/"),
        ("listen 443 ssl;", f"listen {LOOPBACK}:{port} ssl;"),
        ("worker_processes auto;", "worker_processes 1;"),
        ("server 172.30.77.11:8080", f"server {LOOPBACK}:{upstream}"),
        ("server 172.30.77.12:8080", f"server {LOOPBACK}:{upstream}"),
    ):
        text = text.replace(ours, theirs)
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    with Child(command, port, log=folder / "nginx.log") as child:
        workers = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(child.pid)], capture_output=True, text=True, check=True
        )
        yield port, int(workers.stdout.split()[0])


def files(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Bench:
    """What is the same in all rounds, and what they measured."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, crowd: Crowd) -> None:
        self.count: int = arguments.visitors
        self.together: int = arguments.side_by_side
        self.folder = folder
        self.crowd = crowd
        self.stack = Stack(folder)
        self.made = tls.ensure(folder / "tls")
        sign = self.stack.credentials.visitor_token
        self.logins = [[f"Authorization:Bearer {sign(number=number)}"] for number in range(self.count)]
        self.figures: dict[tuple[str, str], list[float]] = {}

    def note(self, name: str, value: float, unit: str) -> None:
        """Add to the values of a figure."""
        self.figures.setdefault((name, unit), []).append(value)

    def arrive(self, port: int, room: str, logins: list[list[str]]) -> None:
        """Have visitors come in through the proxy."""
        told = self.crowd.do(
            "arrive",
            host=LOOPBACK,
            port=port,
            path=f"{BASE}/visitor/websocket",
            destination=f"{TOPIC}{room}@{self.stack.credentials.muc}",
            logins=logins,
            side_by_side=self.together,
            ca=str(self.made.ca),
        )
        if told["complaints"]:
            raise RuntimeError(f"not all arrived: {told['complaints']}")

    def round(self, name: str, emulator: Emulator, app: str) -> None:
        """Fresh servers, some visitors to warm them up, then all."""
        own = self.folder / name
        own.mkdir()
        own.chmod(0o755)
        stored = self.stack.backed_by(emulator)
        stubbed = app == STUBBED
        with (
            self.stack.gateway(stored, GATEWAY_APP=app) as gateway,
            proxy(own, int(gateway.http.rpartition(":")[2]), self.made) as (port, worker),
        ):
            if not stubbed:
                self.note("gateway, after its start", rss_kib(gateway.pid) / 1024, "MiB")
            self.arrive(port, f"warm-{name}", self.logins[:WARMING])
            self.crowd.do("leave")
            settle(gateway.pid, worker)
            memory = {pid: rss_kib(pid) for pid in (gateway.pid, worker)}
            cpu = {pid: cpu_ns(pid) for pid in memory}
            self.arrive(port, name, self.logins)
            used = {pid: (cpu_ns(pid) - cpu[pid]) / 1e6 / self.count for pid in memory}
            settle(gateway.pid, worker)
            grown = {pid: (rss_kib(pid) - memory[pid]) / self.count for pid in memory}
            behind = "storage stubbed" if stubbed else "ministack behind"
            self.note(f"gateway, CPU time of an arrival, {behind}", used[gateway.pid], "ms")
            if not stubbed:
                self.note("gateway, memory of a waiting visitor", grown[gateway.pid], "KiB")
                self.note("nginx, CPU time of an arrival", used[worker], "ms")
                self.note("nginx, memory of a waiting visitor", grown[worker], "KiB")
                self.note("nginx, open files of a waiting visitor", files(worker) / self.count, "")
            self.crowd.do("leave")


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="selfhost-bench-") as name, Crowd() as crowd:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "emulator").mkdir()
        bench = Bench(arguments, folder, crowd)
        with Emulator(folder=folder / "emulator") as emulator:
            for number in range(arguments.rounds):
                progress(f"round {number + 1} of {arguments.rounds}")
                for app in ("app", STUBBED):
                    bench.round(f"{app}-{number}", emulator, app)
    for (figure, unit), values in bench.figures.items():
        report.figure(figure, middle(values), unit)
    report.note(f"{bench.count:,} visitors, rounds with fresh servers: {arguments.rounds}; medians")
    report.note("an arrival is TLS handshake, WebSocket handshake, CONNECT with a JWT, SUBSCRIBE, receipt")
    report.note("memory: growth of the resident set; one nginx process, the configuration of compose.yaml")


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--visitors", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side-by-side", type=int, default=50, help="how many arrive at the same time")


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
