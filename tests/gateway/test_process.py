"""The gateway and the worker as processes: how they start, say so, and end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
STUB = [sys.executable, "-m", "tests.gateway.stub_main"]
REAL = [sys.executable, "-m", "infra.gateway"]
WORKER = [sys.executable, "-m", "infra.worker"]
VISITOR = "/waiting-queue/visitor"


class Started:
    """A child and what it writes."""

    def __init__(self, command: list[str], folder: Path, **environ: str) -> None:
        self.journal = folder / "journal"
        self.errors = folder / "stderr"
        ours = {
            "GATEWAY_APP": "tests.gateway.stub_app",
            "PORT": "0",
            "JITSI_HEARTBEAT": "0,0",
            "GATEWAY_SOURCES": "off",
            "STUB_JOURNAL": str(self.journal),
        }
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(os.environ) | ours | environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ready(self) -> dict[str, Any]:
        """The line that says that it is ready."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def noted(self, what: str) -> list[Any]:
        """What the stub's handlers wrote down."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [detail for kind, detail in map(json.loads, lines) if kind == what]

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Start children that are gone when the test ends."""
    children: list[Started] = []

    def started(command: list[str], **environ: str) -> Started:
        folder = tmp_path / str(len(children))
        folder.mkdir()
        children.append(Started(command, folder, **environ))
        return children[-1]

    yield started
    for child in children:
        child.end()


def test_sigterm_closes_gently_and_leaves_the_registry_first(start: Any) -> None:
    child = start(STUB, GATEWAY_DRAIN_RATE="50")
    ready = child.ready()
    assert set(ready) == {"http", "ws", "management", "front"}
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(ready["ws"] + VISITOR, compression=None)) for _ in range(25)]
        began = time.monotonic()
        child.process.send_signal(signal.SIGTERM)
        for client in opened:
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
            assert client.protocol.close_code == 1001
        assert time.monotonic() - began >= 24 / 50
    assert child.process.wait(10) == 0
    assert len(child.noted("disconnect")) == 25
    kinds = [kind for kind, _ in map(json.loads, child.journal.read_text().splitlines())]
    assert kinds.index("withdraw") < kinds.index("disconnect")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(ready["http"].rpartition(":")[2])))


def test_a_second_signal_ends_it_at_once(start: Any) -> None:
    child = start(STUB, GATEWAY_DRAIN_RATE="0.01")
    ready = child.ready()
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(ready["ws"] + VISITOR, compression=None)) for _ in range(3)]
        child.process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            opened[0].recv(timeout=5)
        child.process.send_signal(signal.SIGINT)
        assert child.process.wait(5) == 130


def test_it_can_be_ended_while_it_waits_for_the_registry(start: Any) -> None:
    child = start(STUB, STUB_OUTAGE="1")
    end = time.monotonic() + 10
    while "registry does not answer" not in child.errors.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(5) == 0


def test_it_ends_when_whoever_started_it_is_gone(start: Any, tmp_path: Path) -> None:
    middle = [
        sys.executable,
        "-c",
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), end='', flush=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)",
        *STUB,
    ]
    child = start(middle, GATEWAY_DIE_WITH_PARENT="1")
    ready = child.ready()
    child.process.stdout.readline()
    address = ("127.0.0.1", int(ready["http"].rpartition(":")[2]))
    socket.create_connection(address).close()
    child.process.kill()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("it outlived its parent")


@pytest.mark.parametrize("command", [STUB, REAL])
def test_a_bad_setting_stops_the_start_with_one_line(start: Any, command: list[str]) -> None:
    child = start(command, GATEWAY_MODE="fast")
    assert child.process.wait(20) == 2
    assert child.errors.read_text() == "GATEWAY_MODE: edge or aws\n"


def test_a_busy_port_is_said_in_one_line(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = start(STUB, PORT=str(port))
        assert child.process.wait(20) == 2
    assert child.errors.read_text() == f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_a_worker_ticks_and_ends_on_a_signal(start: Any) -> None:
    child = start(WORKER, FOYER_QUEUE_URL="http://127.0.0.1:1/queue", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert child.ready() == {"worker": child.process.pid}
    end = time.monotonic() + 5
    while not child.noted("tick"):
        assert time.monotonic() < end
        time.sleep(0.02)
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(5) == 0
    assert "Traceback" not in child.errors.read_text()


def test_a_worker_without_a_queue_says_so(start: Any) -> None:
    child = start(WORKER)
    assert child.process.wait(20) == 2
    assert child.errors.read_text() == "FOYER_QUEUE_URL: a worker needs a queue\n"


@pytest.mark.parametrize("abstract", [False, True])
def test_a_supervisor_is_told_when_it_is_ready_and_when_it_ends(start: Any, tmp_path: Path, abstract: bool):
    if abstract and sys.platform != "linux":
        pytest.skip("abstract names are Linux's")
    name = f"foyer-{os.getpid()}-{time.monotonic_ns()}"
    path = f"@{name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(f"\0{name}" if abstract else path)
        supervisor.settimeout(30)
        child = start(STUB, NOTIFY_SOCKET=path)
        assert supervisor.recv(64) == b"READY=1"
        assert "http" in child.ready()
        child.process.send_signal(signal.SIGTERM)
        assert supervisor.recv(64) == b"STOPPING=1"
        assert child.process.wait(30) == 0


def test_a_supervisor_that_has_gone_holds_nothing_up(start: Any, tmp_path: Path):
    child = start(STUB, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    assert "http" in child.ready()
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(30) == 0
