"""Processes of ours that cannot outlive us, and the gateway as one of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from infra.leash import leashed

ROOT = Path(__file__).resolve().parent.parent
LOOK_S = 0.01
LAST_LINES = 5
REFUSED = 2  # exit status for what a person has to change; the last line says what
GATEWAY_START_S = 30.0
GATEWAY_STOP_S = 60.0


class Failed(Exception):
    """A child did not become ready; the text says why in one line, `status` how it ended if it did."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Child:
    """A process that dies with the thread that started it; what it prints goes to `log_path`.

    `inherited` are descriptors that it keeps open.
    """

    def __init__(self, log_path: Path, inherited: tuple[int, ...] = ()) -> None:
        self.log_path = log_path
        self.inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, command: list[str], environ: Mapping[str, str], folder: Path, on_our_end: int = signal.SIGKILL
    ) -> None:
        """Start it; `on_our_end` is the signal it gets when we die."""
        self.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                leashed(command, on_our_end),
                env=dict(environ),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self.inherited,
                start_new_session=True,  # Ctrl-C is for the one that owns it
            )

    def until(self, ready: Callable[[], bool], timeout_s: float, give_up: Callable[[], bool]) -> None:
        """Wait for `ready`, or until `give_up` says that nobody wants it any more.  Raises `Failed`."""
        end = time.monotonic() + timeout_s
        while not ready() and not give_up():
            status = self.poll()
            if status is not None or time.monotonic() > end:
                self.kill()
                raise Failed(self._last_words(status), status)
            time.sleep(LOOK_S)

    def _last_words(self, status: int | None) -> str:
        said = [line.strip() for line in self.log().splitlines() if line.strip()]
        lines = said[-1:] if status == REFUSED else said[-LAST_LINES:]
        return " | ".join(lines) or "it said nothing"

    @property
    def pid(self) -> int:
        """Its process; 0 when it was never started."""
        return self._process.pid if self._process else 0

    def poll(self) -> int | None:
        """Its exit status; `None` while it runs."""
        return self._process.poll() if self._process else 0

    def log(self) -> str:
        """All that it printed so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal while it runs."""
        if self._process and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def stop(self, timeout_s: float = GATEWAY_STOP_S) -> int:
        """Ask it to end, wait, and kill it when it does not; its exit status."""
        if not self._process:
            return 0
        if timeout_s > 0:
            self.signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()


def never() -> bool:
    """Nobody gives up."""
    return False


class Gateway(Child):
    """One `python -m infra.gateway`.

    It says that it is ready by one line of JSON with `http`, `management`, `front`, and with TLS `https`.
    """

    def __init__(self, environ: Mapping[str, str], log_path: Path, inherited: tuple[int, ...] = ()) -> None:
        super().__init__(log_path, inherited)
        self.environ = dict(environ)
        self.ready: dict[str, Any] = {}

    def spawn(self) -> None:
        """Start it."""
        environ = self.environ | {"PYTHONUNBUFFERED": "1"}
        self.run([sys.executable, "-m", "infra.gateway"], environ, ROOT)

    def wait(self, timeout_s: float = GATEWAY_START_S, give_up: Callable[[], bool] = never) -> Self:
        """Wait until it accepts connections.  Raises `Failed`."""
        self.until(self._is_ready, timeout_s, give_up)
        return self

    def _is_ready(self) -> bool:
        for line in self.log().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("}\n"):
                try:
                    said = json.loads(line)
                except ValueError:
                    continue
                if "http" in said and "management" in said:
                    self.ready = said
        return bool(self.ready)

    @property
    def http(self) -> str:
        """Base address of the public port."""
        return str(self.ready["http"])

    @property
    def ws(self) -> str:
        """Base address for WebSockets."""
        return self.http.replace("http", "ws", 1)

    @property
    def management(self) -> str:
        """Base address of the management listener."""
        return str(self.ready["management"])
