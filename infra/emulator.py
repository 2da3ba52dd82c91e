"""ministack as a child process on loopback: DynamoDB and SQS for the local run and the tests."""

import json
import os
import random
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from infra.children import Child, Failed, never

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
SERVICES = "dynamodb,sqs"
START_S = 30.0
STOP_S = 10.0
PORTS = (20_000, 32_000)
PORT_TRIES = 200
_random = random.SystemRandom()
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}


def free_port() -> int:
    """A TCP port on loopback that nothing has at this moment.

    It is below those that systems give to outgoing connections: one of these would take it before its use.
    """
    for _ in range(PORT_TRIES):
        port = _random.randrange(*PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise Failed("no free port was found on loopback")


class Emulator(Child):
    """One ministack; `state` is the folder it keeps its rows in across restarts, else it forgets them."""

    def __init__(
        self,
        *,
        folder: Path,
        state: Path | None = None,
        services: str = SERVICES,
        port: int | None = None,
        inherited: tuple[int, ...] = (),
    ) -> None:
        super().__init__(folder / "emulator.log", inherited)
        self.folder = folder
        self.state = state
        self.services = services
        self.port = port or free_port()
        self._clients: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """The variables that make the SDK talk to it."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.url}

    def start(self) -> Self:
        """Start it and wait until it answers.  Raises `Failed`."""
        self.spawn()
        self.wait()
        return self

    def spawn(self) -> None:
        """Start it."""
        keep = {"PERSIST_STATE": "1", "STATE_DIR": str(self.state)} if self.state else {"PERSIST_STATE": "0"}
        theirs = (
            "ADMIN_",
            "AWS_",
            "FOYER_",
            "JITSI_",
            "OWT_",
            "LOOP_",
            "SORA_",
            "WCS_",
            "GATEWAY_",
            "COMMAND_WEBHOOK_",
        )
        environ = {name: text for name, text in os.environ.items() if not name.startswith(theirs)}
        environ |= keep | {
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": LOOPBACK,
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_REGION": REGION,
            "SERVICES": self.services,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(self.folder),  # its pid file
        }
        self.run([sys.executable, "-m", "ministack"], environ, self.folder, signal.SIGTERM)

    def wait(self, timeout_s: float = START_S, give_up: Callable[[], bool] = never) -> None:
        """Wait until it answers.  Raises `Failed`."""
        try:
            self.until(self.healthy, timeout_s, give_up)
        except Failed as why:
            raise Failed(f"the emulator did not start: {why}", why.status) from None

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            self._call("health", "GET")
        except OSError:
            return False
        return True

    def reset(self) -> None:
        """Forget every table and queue."""
        self._call("reset", "POST")

    def _call(self, operation: str, method: str) -> None:
        self._open(urllib.request.Request(f"{self.url}/_ministack/{operation}", method=method))

    def _open(self, request: urllib.request.Request) -> None:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            answer.read()

    def holds(self, table: str, queue: str) -> bool:
        """Whether table and queue are there; asked without the SDK, whose import outlasts a warm start."""
        asked = {
            ("dynamodb", "DynamoDB_20120810.DescribeTable"): {"TableName": table},
            ("sqs", "AmazonSQS.GetQueueUrl"): {"QueueName": queue},
        }
        try:
            for (service, target), body in asked.items():
                scope = f"local/20260101/{REGION}/{service}/aws4_request"
                headers = {
                    "X-Amz-Target": target,
                    "Content-Type": "application/x-amz-json-1.0",
                    "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
                }
                self._open(urllib.request.Request(self.url, json.dumps(body).encode(), headers))
        except OSError:
            return False
        return True

    def stop(self, timeout_s: float = STOP_S) -> int:
        """End it: with time to keep its state, or at once where it keeps none."""
        return super().stop(timeout_s if self.state else 0)

    def client(self, service: str) -> Any:
        """An SDK client for one of its services; each is made once."""
        from infra import resources

        if service not in self._clients:
            self._clients[service] = resources.client(service, self.url, CREDENTIALS)
        return self._clients[service]

    def ensure(self, table: str = "foyer", queue: str = "foyer-work") -> str:
        """Have the table and the queue of resources.json; the queue's URL."""
        from infra import resources

        resources.ensure_table(self.client("dynamodb"), table)
        return resources.ensure_queue(self.client("sqs"), queue)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def given_endpoint(environ: Mapping[str, str]) -> str:
    """The endpoint of an emulator that runs already, from `AWS_ENDPOINT_URL` or `LOCALSTACK_HOST`; or "".

    botocore ignores the latter.  Raises `Failed` where it is malformed.
    """
    endpoint = environ.get("AWS_ENDPOINT_URL", "").strip()
    host = environ.get("LOCALSTACK_HOST", "").strip()
    if endpoint or not host:
        return endpoint
    from localstack_client.config import get_service_endpoint

    try:
        return str(get_service_endpoint("dynamodb", host))
    except RuntimeError:
        raise Failed("LOCALSTACK_HOST: host or host:port expected") from None
