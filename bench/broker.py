"""RabbitMQ with web-stomp, as Debian packages it, for a bench: own folder, own ports, loopback only."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

from bench.crowd import handshake, masked, stomp
from infra.children import Child, never
from infra.emulator import LOOPBACK, free_port

START_S: Final = 60.0
STOP_S: Final = 30.0
USER: Final = "bench"
PASSWORD: Final = "bench-password"
HOME: Final = Path("/usr/lib/rabbitmq")
PATH: Final = "/ws"


class Missing(Exception):
    """RabbitMQ is not installed here."""


def scripts() -> Path:
    """The folder of RabbitMQ's own scripts; Debian's wrapper in /usr/sbin is for the system's service."""
    folder = HOME / "bin"
    if not (folder / "rabbitmq-server").exists():
        raise Missing("Debian's rabbitmq-server is not installed: apt-get install rabbitmq-server")
    return folder


class Broker(Child):
    """One RabbitMQ node that knows nothing of the system's, with one internal user."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "rabbitmq.log")
        self.folder = folder
        self.port = free_port()
        self.epmd_port = free_port()
        self.beam = 0

    def environment(self) -> dict[str, str]:
        """What keeps its scripts away from /etc, /var and the usual ports."""
        folder = self.folder
        kernel = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-such-file"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "feature_flags"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_NODENAME": f"foyer{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": kernel,
            "RABBITMQ_CTL_ERL_ARGS": kernel,
        }

    def start(self) -> Self:
        """Start it and wait until web-stomp accepts.  Raises `Missing`, `Failed`."""
        command = [str(scripts() / "rabbitmq-server")]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq.conf").write_text(
            "\n".join(
                (
                    f"listeners.tcp.1 = {LOOPBACK}:{free_port()}",
                    f"stomp.listeners.tcp.1 = {LOOPBACK}:{free_port()}",
                    f"web_stomp.tcp.ip = {LOOPBACK}",
                    f"web_stomp.tcp.port = {self.port}",
                    "web_stomp.tcp.backlog = 4096",
                    f"default_user = {USER}",
                    f"default_pass = {PASSWORD}",
                    "",
                )
            )
        )
        (self.folder / "advanced.config").write_text("[].\n")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_web_stomp].\n")
        self.run(command, self.environment(), self.folder, signal.SIGTERM)
        self.until(self._accepts, START_S, never)
        self.beam = self._find_beam()
        return self

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), 1):
            return (self.folder / "pid").exists() and "completed with" in self.log()
        return False

    def _find_beam(self) -> int:
        """The virtual machine among what the script started."""
        for process in descendants(self.pid):
            if Path(f"/proc/{process}/comm").read_text().strip() == "beam.smp":
                return process
        raise Missing("beam.smp is not running")

    def stop(self, timeout_s: float = STOP_S) -> int:
        """End the node and its name server, and remove what it kept."""
        family = descendants(self.pid)
        if self.beam:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.beam, signal.SIGTERM)
        status = super().stop(timeout_s)
        end = time.monotonic() + 5
        for process in family:
            while alive(process) and time.monotonic() < end:
                time.sleep(0.05)
            if alive(process):
                os.kill(process, signal.SIGKILL)
        self._stop_epmd()
        shutil.rmtree(self.folder / "mnesia", ignore_errors=True)
        return status

    def _stop_epmd(self) -> None:
        """The name server was started for this node alone, on a port of its own, and outlives it."""
        epmd = shutil.which("epmd")
        if epmd:
            environ = self.environment()
            subprocess.run(
                [epmd, "-port", str(self.epmd_port), "-kill"],
                env=environ,
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def alive(process: int) -> bool:
    """Whether a process runs (and is not merely waited for)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(process: int) -> list[int]:
    """All processes below one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [process]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


class Publisher:
    """A STOMP connection that sends to topics; blocking, because it does one thing at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(handshake(LOOPBACK, port, PATH))
        self._until(b"\r\n\r\n")
        self.socket.sendall(stomp("CONNECT", f"login:{USER}", f"passcode:{PASSWORD}", "accept-version:1.2"))
        self._until(b"CONNECTED")

    def _until(self, mark: bytes) -> None:
        seen = b""
        while mark not in seen:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError(seen[-200:])
            seen += part

    def send(self, destination: str, body: str) -> float:
        """Send a text to a topic; the moment before."""
        frame = masked(
            2,
            f"SEND\ndestination:{destination}\ncontent-type:application/json\n"
            f"content-length:{len(body)}\n\n{body}\0".encode(),
        )
        began = time.monotonic()
        self.socket.sendall(frame)
        return began

    def close(self) -> None:
        """End it."""
        self.socket.close()
