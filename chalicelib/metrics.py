"""What is counted and measured: one registry, for CloudWatch in the log and for Prometheus at `/metrics`.

In Lambda what an invocation counted becomes members of a line of its log (CloudWatch's embedded metric
format), without labels.  What is `routine` stays out of it: AWS counts every invocation and request itself.
Elsewhere everything is kept here, with its labels, until somebody asks.
"""

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

NAMESPACE: Final = "Foyer"
DIMENSION: Final = "Stack"
PREFIX: Final = "foyer_"
PLAIN: Final = "process_"
"""What every process has is named as everybody names it."""
SERIES: Final = 2000
"""So many sets of labels one metric has at most; what comes later is counted under `OTHER`."""
OTHER: Final = "other"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNT: Final = "Count"
TIME: Final = "Seconds"

Labels = tuple[str, ...]

_lock = threading.Lock()
_registry: dict[str, "Metric"] = {}
_pending: dict[str, float] = {}
"""What this invocation counted, by CloudWatch's names."""
_in_log: dict[str, str] = {}
"""Where a line's metrics belong; empty where they are not for the log."""


class Metric:
    """Something with a name, a meaning and a number for each set of its labels."""

    __slots__ = ("labels", "meaning", "name", "routine", "unit", "values")
    kind = ""

    def __init__(
        self, name: str, meaning: str, *labels: str, routine: bool = False, unit: str = COUNT
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.routine = routine
        self.unit = unit
        self.values: dict[Labels, Any] = {}
        assert name not in _registry
        _registry[name] = self

    @property
    def in_cloudwatch(self) -> str:
        """Its name there.

        >>> DEAD_LETTERS.in_cloudwatch
        'DeadLetters'
        """
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def in_prometheus(self) -> str:
        """Its name there.

        >>> DEAD_LETTERS.in_prometheus, OWED_OLDEST_SECONDS.in_prometheus
        ('foyer_dead_letters_total', 'foyer_owed_oldest_seconds')
        """
        name = self.name if self.name.startswith(PLAIN) else PREFIX + self.name
        return f"{name}_total" if self.kind == "counter" else name

    def _at(self, labels: Labels) -> Labels:
        """Where the number of these labels is kept; whoever calls has the lock."""
        if labels in self.values or len(self.values) < SERIES:
            return labels
        return (OTHER,) * len(self.labels)

    def samples(self) -> list[tuple[str, Labels, Labels, float]]:
        """What Prometheus is told: suffix, names and values of labels, number."""
        with _lock:
            found = dict(self.values)
        if not found and not self.labels:
            found = {(): 0.0}
        return [("", self.labels, labels, value) for labels, value in found.items()]


class Counter(Metric):
    """A number that only rises."""

    __slots__ = ()
    kind = "counter"

    def add(self, amount: float = 1, *labels: str) -> None:
        """Count; in the order of the metric's labels."""
        if not amount:
            return
        if _in_log:
            if not self.routine:
                with _lock:
                    name = self.in_cloudwatch
                    _pending[name] = _pending.get(name, 0) + amount
            return
        with _lock:
            at = self._at(labels)
            self.values[at] = self.values.get(at, 0) + amount

    def reach(self, total: float) -> None:
        """Note what somebody else has counted."""
        with _lock:
            self.values[()] = total


class Gauge(Metric):
    """A number as it is now."""

    __slots__ = ()
    kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        """Note what it is."""
        if _in_log:
            if not self.routine:
                with _lock:
                    _pending[self.in_cloudwatch] = value
            return
        with _lock:
            self.values[self._at(labels)] = value


class Histogram(Metric):
    """How many took how long, in seconds.  Always routine."""

    __slots__ = ()
    kind = "histogram"

    def observe(self, seconds: float, *labels: str) -> None:
        """Note how long one took."""
        if _in_log:
            return
        with _lock:
            at = self._at(labels)
            found = self.values.get(at)
            if found is None:
                found = self.values[at] = [0.0] * (len(SECONDS) + 2)
            found[bisect_left(SECONDS, seconds)] += 1
            found[-1] += seconds

    def samples(self) -> list[tuple[str, Labels, Labels, float]]:
        """What Prometheus is told: buckets that hold all below their bound, the sum, how many."""
        with _lock:
            kept = {labels: list(numbers) for labels, numbers in self.values.items()}
        found = []
        for labels, (*numbers, total) in kept.items():
            below = 0.0
            for bound, number in zip((*map(str, SECONDS), "+Inf"), numbers, strict=True):
                below += number
                found.append(("_bucket", (*self.labels, "le"), (*labels, bound), below))
            found += [("_sum", self.labels, labels, total), ("_count", self.labels, labels, below)]
        return found


def frame(command: str, outcome: str, seconds: float) -> None:
    """Count a message of a socket; `command` is one that we know."""
    FRAMES.add(1, command, outcome)
    FRAME_SECONDS.observe(seconds, command)


def registry() -> Mapping[str, Metric]:
    """Every metric there is, by name."""
    return _registry


def begin(stack: str) -> None:
    """In Lambda, have what is counted from now on go to the log as metrics of `stack`."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        _in_log[DIMENSION] = stack
    else:
        _in_log.clear()


def members() -> dict[str, Any] | None:
    """What was counted since the last call, as members of a line of the log; `None` where nothing was."""
    if not _pending:
        return None
    with _lock:
        values = dict(_pending)
        _pending.clear()
    return _members(values) if values else None


def _members(values: Mapping[str, float]) -> dict[str, Any]:
    units = {each.in_cloudwatch: each.unit for each in _registry.values()}
    told = {
        "Namespace": NAMESPACE,
        "Dimensions": [[DIMENSION]],
        "Metrics": [{"Name": name, "Unit": units[name]} for name in values],
    }
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [told]}
    return {"_aws": about, **_in_log, **values}


def exposition() -> str:
    """Everything, as Prometheus reads it (text format 0.0.4)."""
    lines = []
    for metric in _registry.values():
        name = metric.in_prometheus
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} {metric.kind}"]
        for suffix, names, labels, value in metric.samples():
            pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in zip(names, labels, strict=True))
            lines.append(
                f"{name}{suffix}{{{pairs}}} {value:.15g}" if pairs else f"{name}{suffix} {value:.15g}"
            )
    return "\n".join([*lines, ""])


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def reset() -> None:
    """Forget every number, for tests."""
    with _lock:
        _pending.clear()
        _in_log.clear()
        for metric in _registry.values():
            metric.values.clear()


# Requests and frames

REQUESTS: Final = Counter(
    "requests", "HTTP requests that the handlers answered.", "method", "route", "status", routine=True
)
REQUEST_SECONDS: Final = Histogram(
    "request_seconds", "How long an HTTP request took in its handler.", "route", routine=True, unit=TIME
)
SERVER_ERRORS: Final = Counter(
    "server_errors", "Answers 5xx, without those that a contract asks for (REFUSED, 500/1201).", "route"
)
REFUSALS: Final = Counter("refusals", "Answers 500/1201: the room cannot do it as it is now.", "route")
FRAMES: Final = Counter(
    "frames", "Messages of sockets that the handlers served.", "command", "outcome", routine=True
)
FRAME_SECONDS: Final = Histogram(
    "frame_seconds", "How long a message of a socket took in its handler.", "command", routine=True, unit=TIME
)
FRAME_FAILURES: Final = Counter(
    "frame_failures",
    "Messages of sockets that could not be served, for no fault of the client's.",
    "protocol",
)

# The waiting queue

GOLIVES: Final = Counter("golives", "Calls of golive that were recorded.", "method")
GOLIVE_REFUSALS: Final = Counter("golive_refusals", "Calls of golive answered 4xx.", "status")
GOLIVE_FAILURES: Final = Counter("golive_failures", "Calls of golive answered 5xx.", "status")
VISITORS_RELEASED: Final = Counter("visitors_released", "Visitors who were sent the live message.")
VISITORS_LEFT_BEHIND: Final = Counter(
    "visitors_left_behind", "Visitors whom a release had passed over and a later look found."
)

# What is owed

SWEEPS: Final = Counter("sweeps", "Runs of tick that came to their end.")
OWED_ROWS: Final = Gauge("owed_rows", "Owed rows that were due and not served when tick looked.")
OWED_OLDEST_SECONDS: Final = Gauge(
    "owed_oldest_seconds", "For how long the oldest of them had been due.", unit=TIME
)
WORK: Final = Counter("work", "Kicks that were served.", "kind", routine=True)
WORK_FAILURES: Final = Counter("work_failures", "Kicks that come again because serving them failed.", "kind")
DEAD_LETTERS: Final = Counter("dead_letters", "What was given up and kept as a dead letter.", "kind")
KICK_FAILURES: Final = Counter("kick_failures", "Kicks that the work queue did not take.")

# What others do not answer

POST_FAILURES: Final = Counter(
    "post_failures", "Texts that a front did not take for a socket that may be there.", "outcome"
)
OUTGOING: Final = Counter(
    "outgoing", "Requests to addresses that strangers named, by status or failure.", "outcome", routine=True
)
OUTGOING_FAILURES: Final = Counter(
    "outgoing_failures", "Those of them that nobody took, by status or failure.", "outcome"
)
STORAGE_BUSY: Final = Counter(
    "storage_busy", "Storage calls that met a conflict or a throttle, and were made again.", "operation"
)
STORAGE_FAILURES: Final = Counter("storage_failures", "Storage calls that were given up.", "operation")

# The gateway alone

GATEWAY_REQUESTS: Final = Counter(
    "gateway_requests", "HTTP requests on the public ports.", "method", "status", routine=True
)
GATEWAY_HANDSHAKES: Final = Counter(
    "gateway_handshakes", "Requests for a WebSocket, by the status of their answer.", "status", routine=True
)
GATEWAY_SOCKETS: Final = Gauge("gateway_sockets", "WebSockets that are open.", routine=True)
GATEWAY_CONNECTIONS: Final = Gauge(
    "gateway_connections", "Transports of WebSockets, handshakes and closes included.", routine=True
)
GATEWAY_CALLS: Final = Gauge("gateway_calls", "Handler calls for sockets that run or wait.", routine=True)
GATEWAY_BACKLOG: Final = Gauge(
    "gateway_backlog", "Handler calls that wait for a free thread.", "pool", routine=True
)
GATEWAY_HANDLER_FAILURES: Final = Counter(
    "gateway_handler_failures", "Handlers that raised.", "handler", routine=True
)
GATEWAY_LEASES_LOST: Final = Counter(
    "gateway_leases_lost", "Times that others held this gateway for dead.", routine=True
)
GATEWAY_OUTAGES: Final = Counter(
    "gateway_outages", "Calls of queue or registry that were not answered.", "what", routine=True
)
PROCESS_CPU_SECONDS: Final = Counter("process_cpu_seconds", "CPU time of this process.", routine=True)
PROCESS_MEMORY: Final = Gauge("process_resident_memory_bytes", "Memory of this process.", routine=True)
PROCESS_FILES: Final = Gauge(
    "process_open_fds", "Open files of this process, sockets included.", routine=True
)
PROCESS_START: Final = Gauge("process_start_time_seconds", "When this process began.", routine=True)
