"""What calls handlers without a client: schedule, queue, and kicks from within; and the front's lease."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from chalicelib import metrics, tally
from chalicelib import settings as shared
from chalicelib.store import aws
from infra.gateway import events, log
from infra.gateway.handlers import Handlers, Pool

BATCH: Final = 10  # SQS's own limit
WAIT_S: Final = 10
FIRST_BACK_OFF_S: Final = 0.5
MAX_BACK_OFF_S: Final = 15.0


def sqs_client(connections: int) -> Any:
    """A client of the queue whose long polls fit into its read timeout."""
    import boto3  # an import of seconds' cost that a gateway without a queue does without
    from botocore.config import Config

    return boto3.client(
        "sqs",
        region_name=aws.region(),
        config=Config(
            connect_timeout=2,
            read_timeout=WAIT_S + 5,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=connections,
        ),
    )


def failed(result: Any) -> set[str]:
    """The ids that a partial batch answer names."""
    items = (result or {}).get("batchItemFailures") or ()
    return {item["itemIdentifier"] for item in items}


class _Threads:
    """A few threads that run until they are told to stop."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, target: Callable[[], None], name: str) -> None:
        """Run `target` in a thread of its own."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the threads, but not for ever."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))


class Schedule:
    """Calls `tick` at the start and then at an interval, one at a time, whatever it raises."""

    def __init__(self, handlers: Handlers, interval_s: float) -> None:
        self._handlers = handlers
        self._interval = interval_s
        self._threads = _Threads()

    def start(self) -> None:
        """Begin."""
        self._threads.start(self._run, "schedule")

    def stop(self, timeout_s: float = 5.0) -> None:
        """Call no more; wait for the call that runs."""
        self._threads.stopped.set()
        self._threads.join(timeout_s)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._threads.stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic())
            event = events.scheduled()
            try:
                self._handlers.call("tick", event, event["id"])
            except Exception as error:  # the next tick repairs what this one left
                log.failure("handler failed", error, handler="tick", request_id=event["id"])


class Poller:
    """Polls of the queue, each thread one batch at a time; what `work` fails comes back by its visibility."""

    def __init__(self, handlers: Handlers, queue_url: str, threads: int) -> None:
        self._handlers = handlers
        self._queue_url = queue_url
        self._count = threads
        self._threads = _Threads()
        self._client: Any = None
        self._working = 0
        self._idle = threading.Condition()

    def start(self) -> None:
        """Begin."""
        self._client = sqs_client(self._count)
        for index in range(self._count):
            self._threads.start(self._run, f"poller-{index}")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Receive no more; wait for the batches in hand, not for polls that wait for nothing."""
        self._threads.stopped.set()
        with self._idle:
            self._idle.wait_for(lambda: self._working == 0, timeout_s)

    def _run(self) -> None:
        stopped = self._threads.stopped
        back_off = FIRST_BACK_OFF_S
        while not stopped.is_set():
            try:
                answer = self._client.receive_message(
                    QueueUrl=self._queue_url,
                    MaxNumberOfMessages=BATCH,
                    WaitTimeSeconds=WAIT_S,
                    AttributeNames=["All"],
                )
            except Exception as error:  # an outage of the queue is waited for
                if not stopped.is_set():
                    log.warning("queue does not answer", error=type(error).__name__, again_in_s=back_off)
                    metrics.GATEWAY_OUTAGES.add(1, "queue")
                stopped.wait(back_off)
                back_off = min(back_off * 2, MAX_BACK_OFF_S)
                continue
            back_off = FIRST_BACK_OFF_S
            messages = answer.get("Messages") or []
            if messages and not stopped.is_set():
                self._work(messages)

    def _work(self, messages: list[dict[str, Any]]) -> None:
        with self._idle:
            self._working += 1
        try:
            records = [
                events.record(
                    message["MessageId"],
                    message["Body"],
                    receipt=message["ReceiptHandle"],
                    attributes=message.get("Attributes"),
                    queue=self._queue_url,
                    md5=message.get("MD5OfBody", ""),
                )
                for message in messages
            ]
            identity = str(uuid.uuid4())
            try:
                left = failed(self._handlers.call("work", {"Records": records}, identity))
            except Exception as error:  # the whole batch comes back, as Lambda's event source would have it
                log.failure("handler failed", error, handler="work", request_id=identity)
                return
            self._delete([message for message in messages if message["MessageId"] not in left])
        finally:
            with self._idle:
                self._working -= 1
                self._idle.notify_all()

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        if not messages:
            return
        entries = [
            {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
            for index, message in enumerate(messages)
        ]
        for attempt in range(3):
            try:
                answer = self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
            except Exception as error:  # delivered again later, which work must bear anyway
                log.warning("queue does not answer", error=type(error).__name__)
                metrics.GATEWAY_OUTAGES.add(1, "queue")
                self._threads.stopped.wait(FIRST_BACK_OFF_S * (attempt + 1))
                continue
            again = {failure["Id"] for failure in answer.get("Failed") or ()}
            entries = [entry for entry in entries if entry["Id"] in again]
            if not entries:
                return


class Teller:
    """Tells what this process served, at an interval and at the end: no request waits for that."""

    def __init__(self) -> None:
        self._every = tally.every_s()
        self._threads = _Threads()
        tally.by_timer()

    def start(self) -> None:
        """Begin."""
        self._threads.start(self._run, "teller")

    def stop(self) -> None:
        """Tell the rest."""
        self._threads.stopped.set()
        self._threads.join(5.0)
        tally.tell()

    def _run(self) -> None:
        while not self._threads.stopped.wait(self._every):
            tally.tell()


class LocalKicker:
    """Runs owed work at once in this process; whoever kicks sends the queue's message as the backup."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __call__(self, body: str) -> None:
        """Have `work` look at what a kick names; returns without waiting."""
        identity = str(uuid.uuid4())
        record = events.record(identity, body)
        self._pool.submit("work", {"Records": [record]}, identity)


class Lease:
    """Renews the front's lease thrice in its time, and says so when it was lost."""

    def __init__(self, renew: Callable[[], bool], lost: Callable[[], None]) -> None:
        self._renew = renew
        self._lost = lost
        self._every = shared.get().front_lease_s / 3
        self._threads = _Threads()

    def start(self) -> None:
        """Begin."""
        self._threads.start(self._run, "lease")

    def stop(self) -> None:
        """Renew no more."""
        self._threads.stopped.set()
        self._threads.join(5.0)

    def _run(self) -> None:
        stopped = self._threads.stopped
        delay = self._every
        while not stopped.wait(delay):
            try:
                kept = self._renew()
            except Exception as error:  # an outage: the lease may outlast it
                log.warning("registry does not answer", error=type(error).__name__)
                metrics.GATEWAY_OUTAGES.add(1, "registry")
                delay = min(1.0, self._every)
                continue
            delay = self._every
            if not kept and not stopped.is_set():
                log.warning("lease lost")
                metrics.GATEWAY_LEASES_LOST.add()
                try:
                    self._lost()
                except Exception as error:
                    log.failure("registration failed", error)
                    delay = min(1.0, self._every)
