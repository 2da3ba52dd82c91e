"""`make run`: emulator, table, queue, keys and gateway on this machine, until Ctrl-C."""

import argparse
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from infra import endpoints, tls
from infra.children import REFUSED, Failed, Gateway
from infra.credentials import HOME, Credentials
from infra.emulator import CREDENTIALS, Emulator, given_endpoint

PORT = 8080
PORTS_TRIED = 100
TABLE = "foyer"
QUEUE = "foyer-work"
ACCOUNT = "000000000000"  # the emulator's
SERVICES = ("dynamodb", "sqs")
PREDECESSOR_S = 15.0
LOOK_S = 0.2


class Refusal(Exception):
    """The start cannot go on; the text is one line for a person."""


class Interrupted(Exception):
    """A signal asked for the end while something was still starting."""


def lock(path: Path) -> IO[str] | None:
    """The file, locked for as long as it stays open anywhere; `None` where another process has it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def bindable(host: str, port: int) -> bool:
    """Whether a listener can be opened there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
        return True


def port_of(environ: Mapping[str, str], name: str) -> int | None:
    """The port of a setting; `None` where it is unset.  Raises `Refusal`."""
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise Refusal(f"{name}={text}: a port number is expected")
    return int(text)


def choose_ports(environ: Mapping[str, str]) -> dict[str, str]:
    """`PORT` as asked for, or the next free one from 8080, and `TLS_PORT` if asked for.  Raises `Refusal`."""
    host = environ.get("GATEWAY_BIND") or "127.0.0.1"
    asked = {name: port_of(environ, name) for name in ("PORT", "TLS_PORT")}
    for name, port in asked.items():
        if port and not bindable(host, port):
            raise Refusal(
                f"{name}={port} is in use on {host}; choose another port, or stop what listens there"
            )
    port = asked["PORT"]
    if port is None:
        taken = asked["TLS_PORT"]
        free = (each for each in range(PORT, PORT + PORTS_TRIED) if each != taken and bindable(host, each))
        port = next(free, None)
    if port is None:
        raise Refusal(f"no free port between {PORT} and {PORT + PORTS_TRIED - 1}; PORT=... names one")
    chosen = {"PORT": str(port)}
    if asked["TLS_PORT"] is not None:
        chosen["TLS_PORT"] = str(asked["TLS_PORT"])
    return chosen


class Local:
    """The local service and the processes it is made of."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = dict(environ)
        self.began = time.monotonic()
        self.asked_to_stop = threading.Event()
        self.emulator: Emulator | None = None
        self.gateway: Gateway | None = None
        self.notes: dict[str, str] = {}
        self._locks: list[IO[str]] = []

    def say(self, text: str) -> None:
        """Tell the person at the terminal how far it is."""
        print(f"foyer: {text}", file=sys.stderr, flush=True)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Stop; a second signal does not wait for anybody to drain."""
        if self.asked_to_stop.is_set() and self.gateway:
            self.gateway.signal(signal.SIGKILL)
        self.asked_to_stop.set()

    def check(self) -> None:
        """Go on only while nobody asked to stop.  Raises `Interrupted`."""
        if self.asked_to_stop.is_set():
            raise Interrupted

    def enter(self) -> None:
        """Have the folder to ourselves.  Raises `Refusal`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        ours = lock(self.folder / "run.lock")
        if ours is None:
            found = endpoints.read(self.folder)
            where = f" at {found['http']}" if "http" in found else ""
            raise Refusal(f"it runs already{where} (see {self.folder / endpoints.FILE}); stop that one first")
        self._locks.append(ours)
        (self.folder / endpoints.FILE).unlink(missing_ok=True)
        self._locks.append(self._after_predecessor())

    def _after_predecessor(self) -> IO[str]:
        """Wait for processes of a run that was killed: the emulator may still be keeping its state."""
        path = self.folder / "children.lock"
        until = time.monotonic() + PREDECESSOR_S
        while (held := lock(path)) is None:
            if time.monotonic() > until:
                raise Refusal(f"processes of an earlier run still hold {path}; end them first")
            self.check()
            time.sleep(0.05)
        return held

    def inherited(self) -> tuple[int, ...]:
        """What children keep open, so that the next run can tell when the last of them is gone."""
        return (self._locks[-1].fileno(),)

    def start(self) -> None:
        """Bring everything up.  Raises `Refusal`, `Failed` or `Interrupted`."""
        self.enter()
        self.environ |= choose_ports(self.environ)
        self.environ.setdefault("FOYER_STAGE", "local")
        self.environ.setdefault("FOYER_TABLE", TABLE)
        endpoint = given_endpoint(self.environ)
        self.environ |= CREDENTIALS | self.environ
        if endpoint:
            self.environ["AWS_ENDPOINT_URL"] = endpoint
            self.notes["AWS endpoint, yours"] = endpoint
        else:
            self.spawn_emulator()
        credentials = Credentials(self.folder, self.environ)
        self.environ |= credentials.environment() | credentials.operators()
        self.environ.setdefault("GATEWAY_CREDENTIALS", str(self.folder))
        self.tls()
        if endpoint:
            self.store()
            self.spawn_gateway()
        else:  # a gateway waits for its table, so both can start at once
            self.environ.setdefault(
                "FOYER_QUEUE_URL", f"{self.environ['AWS_ENDPOINT_URL']}/{ACCOUNT}/{QUEUE}"
            )
            self.spawn_gateway()
            self.store()
        self.check()
        gateway = self.gateway
        assert gateway
        gateway.wait(give_up=self.asked_to_stop.is_set)
        self.check()
        found = endpoints.document(gateway.ready, credentials, self.environ)
        endpoints.write(self.folder, found)
        self.welcome(found, credentials)

    def spawn_emulator(self) -> None:
        """Begin to start an emulator of our own."""
        self.say("starting the emulator")
        state = self.folder / "state"
        self.emulator = Emulator(folder=self.folder / "emulator", state=state, inherited=self.inherited())
        self.emulator.spawn()
        self.environ["AWS_ENDPOINT_URL"] = self.emulator.url
        self.notes["DynamoDB and SQS, emulated"] = self.emulator.url

    def spawn_gateway(self) -> None:
        """Begin to start the gateway."""
        self.say("starting the gateway")
        self.gateway = Gateway(self.environ, self.folder / "gateway.log", inherited=self.inherited())
        self.gateway.spawn()

    def welcome(self, found: Mapping[str, Any], credentials: Credentials) -> None:
        """Tell the person what there is to use."""
        notes = self.notes | {"log": str(self.folder / "gateway.log")}
        notes["the same as JSON"] = str(self.folder / endpoints.FILE)
        stage = self.environ["FOYER_STAGE"]
        if stage == "local":
            notes["in a browser"] = f"{found['http']}/"
        open_to = "; it is open: whoever reaches it is served" if stage == "local" else ""
        seconds = time.monotonic() - self.began
        print(f"\nFoyer serves the stage `{stage}`{open_to} (ready in {seconds:.1f} s)\n")
        print(endpoints.table(found, credentials, notes))
        print("\nCtrl-C stops it.", flush=True)

    def tls(self) -> None:
        """Have a certificate where TLS is asked for without one."""
        if "TLS_PORT" not in self.environ or self.environ.get("TLS_CERT"):
            return
        made = tls.ensure(self.folder / "tls")
        self.environ |= {"TLS_CERT": str(made.chain), "TLS_KEY": str(made.key)}
        self.notes["CA to trust"] = str(made.ca)

    def store(self) -> None:
        """Have the table and the queue.  Raises `Refusal`, `Failed` or `Interrupted`."""
        table = self.environ["FOYER_TABLE"]
        if self.emulator:
            self.emulator.wait(give_up=self.asked_to_stop.is_set)
            self.check()
            if self.emulator.holds(table, QUEUE):
                return
        self.say("making table and queue")
        from infra import resources  # the SDK, which a warm start has no time for

        endpoint = self.environ["AWS_ENDPOINT_URL"]
        if self.emulator:
            dynamodb, sqs = (resources.client(name, endpoint, self.environ) for name in SERVICES)
        else:
            dynamodb, sqs = (resources.client_of_given_endpoint(name, self.environ) for name in SERVICES)
        try:
            resources.ensure_table(dynamodb, table)
            self.environ.setdefault("FOYER_QUEUE_URL", resources.ensure_queue(sqs, QUEUE))
        except resources.Unusable as error:
            raise Refusal(f"{endpoint} cannot be used: {error}") from None

    def watch(self) -> int:
        """Wait for the end; the exit status."""
        while not self.asked_to_stop.wait(LOOK_S):
            for name, child in (("gateway", self.gateway), ("emulator", self.emulator)):
                if child and child.poll() is not None:
                    self.say(
                        f"the {name} ended by itself ({child.poll()}); its last words are in {child.log_path}"
                    )
                    return 1
        self.say("stopping")
        return 0

    def stop(self) -> None:
        """End what was started, the gateway first."""
        if self._locks:
            (self.folder / endpoints.FILE).unlink(missing_ok=True)
        if self.gateway and self.gateway.ready:
            self.gateway.stop()
        elif self.gateway:
            self.gateway.kill()
        if self.emulator:
            self.emulator.stop()


def refuse(text: str) -> NoReturn:
    """End with one line."""
    print(f"foyer: {text}", file=sys.stderr)
    sys.exit(REFUSED)


def main() -> int:
    """Run until a signal: 0 after one, 2 where a person has to change something, 1 where something broke."""
    arguments = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    arguments.add_argument("--folder", type=Path, default=HOME, help="where keys, rows and logs are kept")
    local = Local(arguments.parse_args().folder.resolve(), os.environ)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, local.on_signal)
    try:
        local.start()
        return local.watch()
    except Interrupted:
        return 0
    except Refusal as why:
        refuse(str(why))
    except Failed as why:
        if why.status == REFUSED:
            refuse(str(why))
        local.say(f"it did not start: {why}")
        return 1
    finally:
        local.stop()


if __name__ == "__main__":
    sys.exit(main())
