"""The waiting queue beside RabbitMQ's web-stomp: release, memory, arrivals.  `python -m bench.rabbitmq`."""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from bench import broker, common
from bench.broker import Broker, Publisher
from bench.common import Report, middle, progress
from bench.stack import Stack, cpu_ns, rss_kib, settle
from infra.children import Gateway
from infra.emulator import LOOPBACK, Emulator
from infra.leash import leashed

TITLE: Final = "The waiting queue beside RabbitMQ's web-stomp"
TOPIC: Final = "/secured/conference/visitor/topic."
BASE: Final = "/waiting-queue"
WARMING: Final = 50
PATIENCE_S: Final = 60.0

OURS: Final = "ours"
STUBBED: Final = "ours, storage stubbed"
THEIRS: Final = "RabbitMQ"


class Crowd:
    """The load client, a process of its own; see `bench.crowd`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            leashed([sys.executable, "-m", "bench.crowd"]),
            cwd=common.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        """Give one command and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what} | more) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class Release(NamedTuple):
    """When a release was asked for and when that was answered (CLOCK_MONOTONIC)."""

    began: float
    answered: float


@dataclass(frozen=True)
class Side:
    """One of those that are compared: where to arrive, as whom, and how to release those who wait."""

    name: str
    port: int
    path: str
    logins: list[list[str]]
    destination: Callable[[str], str]
    release: Callable[[str], Release]
    pid: int
    storage_pid: int = 0

    def pids(self) -> list[int]:
        """All processes that work for it."""
        return [pid for pid in (self.pid, self.storage_pid) if pid]


class Served(NamedTuple):
    """One release: moments in milliseconds since it was asked for, CPU time in milliseconds."""

    answered: float
    first: float
    median: float
    last: float
    server_cpu: float
    storage_cpu: float
    client_cpu: float


class Comparison:
    """The rounds, and what they measured: a list for each side."""

    def __init__(self, arguments: argparse.Namespace, stack: Stack, crowd: Crowd) -> None:
        self.count: int = arguments.visitors
        self.together: int = arguments.side_by_side
        self.stack = stack
        self.crowd = crowd
        self.memory_kib: dict[str, list[float]] = {}
        self.arrivals: dict[str, list[float]] = {}
        self.arrivals_per_core: dict[str, list[float]] = {}
        self.served: dict[str, list[Served]] = {}
        self.missing = self.doubled = self.dropped = 0
        tokens = [stack.credentials.visitor_token(number=number) for number in range(self.count)]
        self._tokens = [[f"Authorization:Bearer {token}"] for token in tokens]

    def ours(self, child: Gateway, name: str, emulator: Emulator | None = None) -> Side:
        """A gateway."""
        port = int(child.http.rpartition(":")[2])
        muc = self.stack.credentials.muc
        headers = {
            "Authorization": f"Bearer {self.stack.credentials.server_token()}",
            "Content-Type": "application/json",
        }

        def golive(room: str) -> Release:
            body = json.dumps({"conference": f"{room}@{muc}"})
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
            connection.connect()
            began = time.monotonic()
            connection.request("POST", f"{BASE}/golive", body, headers)
            answer = connection.getresponse()
            answer.read()
            answered = time.monotonic()
            connection.close()
            if answer.status != 200:
                raise RuntimeError(f"golive was answered with {answer.status}")
            return Release(began, answered)

        return Side(
            name,
            port,
            f"{BASE}/visitor/websocket",
            self._tokens,
            lambda room: f"{TOPIC}{room}@{muc}",
            golive,
            child.pid,
            emulator.pid if emulator else 0,
        )

    def theirs(self, node: Broker, publisher: Publisher) -> Side:
        """RabbitMQ."""
        muc = self.stack.credentials.muc

        def broadcast(room: str) -> Release:
            body = f'{{"conference":"{room}@{muc}","status":"live","randomDelayMs":20000}}'
            began = publisher.send(f"/topic/{room}", body)
            return Release(began, began)

        login = [f"login:{broker.USER}", f"passcode:{broker.PASSWORD}"]
        return Side(
            THEIRS,
            node.port,
            broker.PATH,
            [login] * self.count,
            lambda room: f"/topic/{room}",
            broadcast,
            node.beam,
        )

    def round(self, number: int, emulator: Emulator) -> None:
        """All sides once, each with fresh servers; who comes first alternates."""
        turns: list[Callable[[], None]] = [
            lambda: self._ours(number, emulator),
            lambda: self._theirs(number),
        ]
        for turn in turns if number % 2 == 0 else turns[::-1]:
            turn()
        with self.stack.gateway(GATEWAY_APP="bench.memory_app") as child:
            side = self.ours(child, STUBBED)
            self._arrive(side, "warm", WARMING)
            self.crowd.do("leave")
            settle(child.pid)
            self._arrive(side, "stubbed", self.count)
            self.crowd.do("leave")

    def _ours(self, number: int, emulator: Emulator) -> None:
        with self.stack.gateway(self.stack.backed_by(emulator)) as child:
            self.turn(self.ours(child, OURS, emulator), f"round{number}")

    def _theirs(self, number: int) -> None:
        with Broker(self.stack.folder / f"rabbitmq-{number}") as node:
            publisher = Publisher(node.port)
            self.turn(self.theirs(node, publisher), f"round{number}")
            publisher.close()

    def turn(self, side: Side, room: str) -> Release:
        """Warm one side up; then all arrive, wait for a while, and are released."""
        self._arrive(side, f"warm-{room}", WARMING)
        self._release(side, f"warm-{room}", warming=True)
        self.crowd.do("leave")
        settle(*side.pids())
        before = rss_kib(side.pid)
        self._arrive(side, room, self.count)
        settle(*side.pids())
        self.memory_kib.setdefault(side.name, []).append((rss_kib(side.pid) - before) / self.count)
        release = self._release(side, room)
        self.crowd.do("leave")
        return release

    def _arrive(self, side: Side, room: str, count: int) -> None:
        cpu = cpu_ns(side.pid)
        told = self.crowd.do(
            "arrive",
            host=LOOPBACK,
            port=side.port,
            path=side.path,
            destination=side.destination(room),
            logins=side.logins[:count],
            side_by_side=self.together,
        )
        if told["complaints"]:
            raise RuntimeError(f"{side.name}: not all {count} arrived: {told['complaints']}")
        if count == self.count:
            cpu_s = (cpu_ns(side.pid) - cpu) / 1e9
            self.arrivals.setdefault(side.name, []).append(count / (told["ended"] - told["began"]))
            self.arrivals_per_core.setdefault(side.name, []).append(count / cpu_s)

    def _release(self, side: Side, room: str, warming: bool = False) -> Release:
        self.dropped += self.crowd.do("listen")["lost"]
        server = cpu_ns(side.pid)
        storage = cpu_ns(side.storage_pid) if side.storage_pid else 0
        release = side.release(room)
        told = self.crowd.do("served", timeout=PATIENCE_S)
        self.missing += told["missing"]
        self.doubled += told["doubled"]
        if not warming:
            self.served.setdefault(side.name, []).append(
                Served(
                    (release.answered - release.began) * 1e3,
                    (told["first"] - release.began) * 1e3,
                    (told["median"] - release.began) * 1e3,
                    (told["last"] - release.began) * 1e3,
                    (cpu_ns(side.pid) - server) / 1e6,
                    (cpu_ns(side.storage_pid) - storage) / 1e6 if side.storage_pid else 0.0,
                    told["cpu"] * 1e3,
                )
            )
        return release

    def traced(self, emulator: Emulator) -> list[tuple[str, float, float]]:
        """What a release consists of: names, and when each began and ended, in milliseconds."""
        with self.stack.gateway(self.stack.backed_by(emulator), GATEWAY_APP="bench.traced_app") as child:
            release = self.turn(self.ours(child, "traced", emulator), "traced")
            time.sleep(1)  # for what is printed afterwards
            spans = [json.loads(line) for line in child.log().splitlines() if line.startswith('{"span"')]
        return sorted(
            (
                (
                    f"{span['span']} ({span['thread']})",
                    (span["began"] - release.began) * 1e3,
                    (span["ended"] - release.began) * 1e3,
                )
                for span in spans
                if span["began"] >= release.began
            ),
            key=lambda span: span[1],
        )


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """All figures of the comparison."""
    try:
        broker.scripts()
    except broker.Missing as why:
        report.note(f"nothing measured: {why}")
        return
    with tempfile.TemporaryDirectory(prefix="rabbitmq-bench-") as name, Crowd() as crowd:
        folder = Path(name)
        (folder / "emulator").mkdir()
        compared = Comparison(arguments, Stack(folder), crowd)
        with Emulator(folder=folder / "emulator") as emulator:
            for number in range(arguments.rounds):
                progress(f"round {number + 1} of {arguments.rounds}")
                compared.round(number, emulator)
            progress("one release more, traced")
            spans = compared.traced(emulator)
    tell(report, compared, spans)


def tell(report: Report, compared: Comparison, spans: list[tuple[str, float, float]]) -> None:
    """Everything that was measured, as figures."""
    count = f"{compared.count:,}"
    ours, theirs = compared.served[OURS], compared.served[THEIRS]
    report.figure(
        f"release: golive to the last of {count}, beside RabbitMQ's broadcast",
        middle([a.last / b.last for a, b in zip(ours, theirs, strict=True)]),
        "x",
        at_most=1.0,
    )
    for name, served in ((OURS, ours), (THEIRS, theirs)):
        report.figure(f"  {name}: the last", middle([each.last for each in served]), "ms")
        report.figure(f"  {name}: the median", middle([each.median for each in served]), "ms")
        report.figure(f"  {name}: the first", middle([each.first for each in served]), "ms")
        report.figure(f"  {name}: CPU time of the server", middle([each.server_cpu for each in served]), "ms")
        report.figure(f"  {name}: CPU time of the client", middle([each.client_cpu for each in served]), "ms")
    report.figure("  ours: golive's answer", middle([each.answered for each in ours]), "ms")
    report.figure("  ours: CPU time of the emulator", middle([each.storage_cpu for each in ours]), "ms")

    memory = {name: middle(compared.memory_kib[name]) for name in (OURS, THEIRS)}
    report.figure("memory per idle subscribed visitor, ours", memory[OURS], "KiB", at_most=40)
    report.figure("memory per idle subscribed visitor, RabbitMQ", memory[THEIRS], "KiB")
    report.figure("memory beside RabbitMQ's", memory[OURS] / memory[THEIRS], "x", at_most=0.33)

    rates = {name: middle(compared.arrivals[name]) for name in (OURS, STUBBED, THEIRS)}
    ratios = [a / b for a, b in zip(compared.arrivals[STUBBED], compared.arrivals[THEIRS], strict=True)]
    report.figure("arrivals beside RabbitMQ's, storage stubbed", middle(ratios), "x", at_least=1.0)
    report.figure("arrivals beside RabbitMQ's, ministack behind", rates[OURS] / rates[THEIRS], "x")
    for name, rate in rates.items():
        report.figure(f"  {name}: arrivals", rate, "1/s")
        per_core = middle(compared.arrivals_per_core[name])
        report.figure(f"  {name}: arrivals per CPU second of the server", per_core, "1/s")
    report.figure("messages lost, all releases of all sides", compared.missing, at_most=0)
    report.figure("messages doubled", compared.doubled, at_most=0)
    report.figure("connections lost while waiting", compared.dropped, at_most=0)
    report.note(
        f"{len(ours)} rounds, in each both sides in turn with fresh servers, warmed up by {WARMING}; "
        "who is first alternates; medians, ratios within a round"
    )
    report.note(
        "an arrival is handshake, CONNECT with token check, SUBSCRIBE, receipt; RabbitMQ's token check is a "
        "password of its internal users (SHA-256), ours a JWT (HS256) of each visitor's own"
    )
    report.note(f"{compared.together} arrive side by side; one load client, a process of its own, for all")
    report.note("memory: growth of the resident set by the visitors; heart-beats on, no compression offered")
    report.note("one traced release, in ms since golive was sent:")
    for name, began, ended in spans:
        report.note(f"  {began:7.1f} to {ended:7.1f}  {name}")
    read = compared.served["traced"][0]
    report.note(f"  {read.first:7.1f} to {read.last:7.1f}  the client's reading")


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--visitors", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side-by-side", type=int, default=50, help="how many arrive at the same time")


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
