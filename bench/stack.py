"""A gateway for a bench, with or without an emulator behind; CPU time and memory of a process."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from infra.children import Gateway
from infra.credentials import Credentials
from infra.emulator import CREDENTIALS, Emulator

SETTLING_S: Final = 2.0
OURS: Final = (
    *("FOYER_", "JITSI_", "OWT_", "LOOP_", "SORA_", "WCS_", "GATEWAY_", "MEDIA_", "CONFIRM_", "COMMAND_"),
    *("AWS_", "PORT", "TLS_PORT", "LOCALSTACK_HOST"),
)


class Stack:
    """Credentials in a folder, and the environment of the gateways started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.credentials = Credentials(folder / "credentials")
        self._started = 0

    def environment(self) -> dict[str, str]:
        """The product's defaults, and none of this machine's own settings."""
        rest = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        ports = {"PORT": "0", "GATEWAY_MANAGEMENT_PORT": "0"}
        return rest | ports | self.settings()

    def settings(self) -> dict[str, str]:
        """What the product is told, apart from its storage."""
        sdk = CREDENTIALS | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
        return sdk | {"FOYER_STAGE": "local"} | self.credentials.environment()

    def backed_by(self, emulator: Emulator) -> dict[str, str]:
        """The settings that name an empty table and queue on an emulator."""
        emulator.reset()
        return {"FOYER_TABLE": "foyer", "FOYER_QUEUE_URL": emulator.ensure("foyer")} | emulator.environment()

    @contextlib.contextmanager
    def gateway(self, more: Mapping[str, str] | None = None, **settings: str) -> Iterator[Gateway]:
        """A gateway for a while."""
        self._started += 1
        environ = self.environment() | dict(more or {}) | settings
        child = Gateway(environ, self.folder / f"gateway-{self._started}.log")
        child.spawn()
        try:
            yield child.wait()
        finally:
            child.kill()  # nobody is left who would mind


def cpu_ns(pid: int) -> int:
    """The CPU time of a process's living threads, finer than the clock ticks of its `stat` (Linux)."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total


def rss_kib(pid: int) -> float:
    """The resident memory of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return float(line.split()[1])
    raise ValueError(pid)


def settle(*pids: int) -> None:
    """Wait until some processes have had nothing to do for a while."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < SETTLING_S:
        before = sum(map(cpu_ns, pids))
        time.sleep(0.2)
        if sum(map(cpu_ns, pids)) - before > 0.02e9:
            quiet_since = time.monotonic()
