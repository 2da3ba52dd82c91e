"""What every bench shares: its table, the machine it ran on, children on loopback ports, their CPU time."""

import argparse
import json
import os
import platform
import socket
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, Self

from infra.leash import leashed

ROOT: Final = Path(__file__).resolve().parent.parent
START_S: Final = 30.0
STOP_S: Final = 10.0


@dataclass(frozen=True)
class Figure:
    """One measured value, and what it should be at least or at most."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> float | None:
        """The bound, whichever there is."""
        return self.at_least if self.at_least is not None else self.at_most

    @property
    def ratio(self) -> float | None:
        """The value in goals; `None` without one."""
        return self.value / self.goal if self.goal else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; `None` without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None


@dataclass
class Report:
    """The figures of one bench, in the order in which they were measured."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figure(
        self,
        name: str,
        value: float,
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float:
        """Add a figure, and give its value back."""
        self.figures.append(Figure(name, value, unit, at_least, at_most))
        return value

    def note(self, text: str) -> None:
        """Add a line below the table: what was compared, what was left out."""
        self.notes.append(text)

    def text(self) -> str:
        """The table as it is printed."""
        rows = [("figure", "value", "unit", "goal", "value/goal", "met")]
        for one in self.figures:
            sign = ">=" if one.at_least is not None else "<="
            rows.append(
                (
                    one.name,
                    spell(one.value),
                    one.unit,
                    "" if one.goal is None else f"{sign} {spell(one.goal)}",
                    "" if one.ratio is None else f"{one.ratio:.2f}",
                    {None: "", True: "yes", False: "NO"}[one.met],
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = [self.title, environment_line(), ""]
        for row in rows:
            name, value, unit, goal, ratio, met = (
                cell.ljust(width) if column in (0, 2, 5) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append(f"{name}  {value} {unit}  {goal}  {ratio}  {met}".rstrip())
        return "\n".join([*lines, *([""] if self.notes else []), *(f"- {note}" for note in self.notes)])

    def data(self) -> dict[str, Any]:
        """The same for machines."""
        figures = [asdict(one) | {"ratio": one.ratio, "met": one.met} for one in self.figures]
        return {"title": self.title, "environment": environment(), "figures": figures, "notes": self.notes}


def spell(number: float) -> str:
    """A number with as many digits as say something.

    >>> [spell(number) for number in (0.01234, 1.5, 12.345, 1234.5, 1234567)]
    ['0.0123', '1.50', '12.3', '1,234', '1,234,567']
    """
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}" if abs(number) >= 1 else f"{number:.3g}"


def environment() -> dict[str, str]:
    """The machine and what runs on it."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION.split()[1],
        "system": f"{platform.system()} {platform.release()}",
    }


def environment_line() -> str:
    """The machine on one line."""
    return ", ".join(f"{name} {text}" if name != "date" else text for name, text in environment().items())


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def run(
    title: str,
    measure: Callable[[Report, argparse.Namespace], None],
    options: Callable[[argparse.ArgumentParser], None] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Measure and print, as a table or with `--json`; always 0: a figure is not a test."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    if options is not None:
        options(parser)
    arguments = parser.parse_args(argv)
    report = Report(title)
    try:
        measure(report, arguments)
    except Exception as error:  # what was measured before it is printed all the same
        traceback.print_exc(file=sys.stderr)
        report.note(f"broken off: {type(error).__name__}: {error}")
    print(json.dumps(report.data(), indent=2) if arguments.json else report.text() + "\n", flush=True)
    return 0


def progress(text: str) -> None:
    """Say on the terminal what is being measured."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def middle(values: Sequence[float]) -> float:
    """The median, which one disturbed round does not move."""
    return float(median(values))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """The CPU seconds that a process and its living descendants have used (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    used: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        used[int(folder.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    family, total = {pid}, 0
    while family:
        total += sum(used[one][1] for one in family if one in used)
        family = {one for one, (parent, _) in used.items() if parent in family}
    return total / ticks


class Child:
    """A server for the time of a `with`; it listens on `port` of loopback when that begins.

    It dies with this process, however that ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        *,
        environ: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self._command = list(command)
        self._environ = dict(os.environ) | dict(environ or {})
        self._log = log

    def __enter__(self) -> Self:
        output = self._log.open("wb") if self._log else subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                leashed(self._command),
                env=self._environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        finally:
            if not isinstance(output, int):
                output.close()
        until = time.monotonic() + START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__(None, None, None)
                said = self._log.read_text(errors="replace").strip().splitlines() if self._log else []
                raise RuntimeError(
                    f"{self._command[0]} did not start: {said[-1] if said else 'no reason given'}"
                )
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def cpu_s(self) -> float:
        """The CPU seconds it has used so far."""
        return cpu_s(self.pid)

    def _listens(self) -> bool:
        with socket.socket() as trial:
            trial.settimeout(1.0)
            return trial.connect_ex(("127.0.0.1", self.port)) == 0
