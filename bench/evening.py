"""What an evening behind API Gateway costs, by exact counts and list prices.  `python -m bench.evening`.

One conference: its visitors arrive, wait 30 minutes and are released once, while one moderator watches.  The
real handlers run in this process on a sample of the visitors, with sessions as rows, and are given events as
Lambda is.  What a visitor's own frames and rows need is multiplied; what the conference needs counts once.  A
release's pages are made smaller by the same factor, so that there are as many of them as there would be.
"""

import argparse
import contextlib
import http.client
import io
import json
import math
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import common
from bench.common import Child, Report, free_port, progress
from bench.stack import OURS, Stack
from bench.units import READ_BYTES, Meter, Use
from infra.emulator import LOOPBACK, Emulator
from infra.gateway import events

TITLE: Final = "An evening behind API Gateway"
PRICES: Final = Path(__file__).with_name("prices.json")
RECORD: Final = Path(__file__).with_name("evening.json")

WAIT_MINUTES: Final = 30
BEATS: Final = WAIT_MINUTES * 60 // 480
ARRIVALS_PER_S: Final = 500
COUNT_S: Final = 15
SWEEPS: Final = WAIT_MINUTES + 1
RELEASED_S: Final = 120.0
CLOSED_S: Final = 15.0
UNIT_BYTES: Final = 32 * 1024

MEMORY_MB: Final = 512  # .chalice/config.json
MEMORIES: Final = (256, MEMORY_MB, 1024)
FULL_CORE_MB: Final = 1769  # AWS Lambda, "Configure Lambda function memory"
ROUND_TRIP_S: Final = 0.005  # of a storage, queue or management call inside AWS: assumed
MANY: Final = 50
SIDE_BY_SIDE: Final = 16  # chalicelib.realtime.parallel
INSTANCES: Final = 100  # function instances alive during the evening, each with its own caches: assumed
CACHE_S: Final = 5  # chalicelib.realtime.fronts

API: Final = "a1b2c3d4e5"
STAGE: Final = "prod"
ROOM: Final = "all-hands"
TOPIC: Final = "/secured/conference/{}/topic.{}"
AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)

OWN_ROWS: Final = "sqgxkd"
"""First letters of the partitions with one visitor's rows, or one row of each visitor (store/keys.py)."""


@dataclass
class Invocations:
    """Calls of one function for one kind of event."""

    cpu: list[float] = field(default_factory=list)
    """Seconds of CPU time, each."""
    waits: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.cpu)

    @property
    def cpu_s(self) -> float:
        """CPU time of all of them: few calls by their sum, many by the quartile that others disturb least."""
        if self.count < MANY:
            return sum(self.cpu)
        return sorted(self.cpu)[self.count // 4] * self.count

    def billed_s(self, memory_mb: int, disturbance: float) -> float:
        """The assumed duration: undisturbed CPU time on a share of a core, and round trips."""
        return self.cpu_s / disturbance * FULL_CORE_MB / memory_mb + self.waits * ROUND_TRIP_S


@dataclass
class Tally:
    """What was counted under one label."""

    functions: dict[str, Invocations] = field(default_factory=dict)
    messages_in: int = 0
    messages_out: int = 0
    kicks: int = 0
    log_bytes: int = 0


PIECE: Final = json.dumps([{"number": number, "text": str(number) * 3} for number in range(60)])


def piece_s() -> float:
    """The CPU time of a fixed piece of work, to see how much others disturb."""
    began = time.thread_time()
    json.dumps([{name: f"{value}".lower() for name, value in each.items()} for each in json.loads(PIECE)])
    return time.thread_time() - began


class Evening:
    """The cast, and who is billed for what."""

    def __init__(
        self, stack: Stack, emulator: Emulator, queue_url: str, sample: int, factor: float, sink: int
    ) -> None:
        import app  # it reads the environment, which is only now complete
        from chalicelib.jitsi import release
        from chalicelib.outbox import kicks
        from chalicelib.store import table

        self.app = app
        self.sample = sample
        self.sink = sink
        self.stack = stack
        self.sqs = emulator.client("sqs")
        self.queue_url = queue_url
        self.conference = f"{ROOM}@{stack.credentials.muc}"
        self.tallies: dict[str, Tally] = {}
        self.released = 0
        self.pieces: list[float] = []
        self.log = io.StringIO()
        app.warm()
        client = table.client()
        self.meter = client._make_api_call = Meter(client._make_api_call, table.name())
        queue = kicks.client()
        self._send = queue._make_api_call
        queue._make_api_call = self._queue_call
        release.PAGE = max(1, round(release.PAGE / factor))  # type: ignore[misc]
        release.CHUNK = max(1, round(release.CHUNK / factor))  # type: ignore[misc]
        release.CLOSE_CHUNK = max(1, round(release.CLOSE_CHUNK / factor))  # type: ignore[misc]

    def _queue_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.tally.kicks += operation == "SendMessage"
        answer: dict[str, Any] = self._send(operation, request)
        return answer

    @property
    def tally(self) -> Tally:
        """Where it is put down what happens now."""
        return self.tallies[self.meter.label]

    def label(self, name: str) -> None:
        """Put down under `name` what follows."""
        self.meter.label = name
        self.tallies.setdefault(name, Tally())

    def invoke(self, name: str, event: dict[str, Any]) -> Any:
        """Call a function as Lambda would."""
        tally = self.tally
        posts, log = self.posts(), self.log.tell()
        waits, overhead = self.meter.calls + tally.kicks + posts["posts"], self.meter.overhead_s
        began = time.process_time()
        with contextlib.redirect_stderr(self.log):
            answer = getattr(self.app, name)(event, None)
        cpu = time.process_time() - began - (self.meter.overhead_s - overhead)
        after = self.posts()
        waits = self.meter.calls + tally.kicks + after["posts"] - waits
        command = str(event.get("body", "")).partition("\n")[0] if name == "ws_message" else ""
        used = tally.functions.setdefault(f"{name} {command}".strip(), Invocations())
        used.cpu.append(cpu)
        used.waits += waits / (SIDE_BY_SIDE if name == "work" else 1)
        tally.messages_out += after["units"] - posts["units"]
        tally.log_bytes += self.log.tell() - log
        self.pieces.append(piece_s())
        return answer

    def disturbance(self) -> float:
        """How much longer than at best the same piece of work took while others used the machine."""
        pieces = sorted(self.pieces)
        return pieces[len(pieces) // 4] / pieces[len(pieces) // 100]

    def posts(self) -> dict[str, int]:
        """What the management API was asked so far."""
        connection = http.client.HTTPConnection(LOOPBACK, self.sink)
        connection.request("GET", "/counts")
        counts: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return counts

    def serve(self, seconds: float, messages_out: int = 0) -> None:
        """Hand what the queue holds to `work`, for so long, or until so many messages went out."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not 0 < messages_out <= self.tally.messages_out:
            answer = self.sqs.receive_message(
                QueueUrl=self.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"]
            )
            messages = answer.get("Messages", [])
            if not messages:
                continue
            records = [
                events.record(each["MessageId"], each["Body"], receipt=each["ReceiptHandle"])
                for each in messages
            ]
            failed = self.invoke("work", {"Records": records})["batchItemFailures"]
            if failed:
                raise RuntimeError(f"work failed {len(failed)} messages")
            entries = [
                {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]}
                for number, each in enumerate(messages)
            ]
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)

    def golive(self) -> None:
        """Prosody's call."""
        token = self.stack.credentials.server_token()
        path = "/waiting-queue/golive"
        event = events.rest(
            method="POST",
            path=path,
            query_string="",
            headers=[("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")],
            body=json.dumps({"conference": self.conference}).encode(),
            binary=False,
            resource=path,
            parameters=None,
            peer=events.Peer("192.0.2.1", "Prosody (0.12.5; Linux)", "api"),
            identity=events.request_id(),
            stage=STAGE,
            api_id=API,
        )
        answer = self.invoke("app", event)
        if answer["statusCode"] != 200:
            raise RuntimeError(str(answer))

    def run(self) -> None:
        """From the first handshake to the last close."""
        credentials = self.stack.credentials
        self.label("moderator")
        moderator = Socket(self, 0)
        moderator.open()
        moderator.subscribe("state", credentials.moderator_token(ROOM))
        watched = time.monotonic()
        self.label("arrive")
        visitors = [Socket(self, number) for number in range(1, self.sample + 1)]
        progress(f"{self.sample} arrive")
        for visitor in visitors:
            visitor.open()
            visitor.subscribe("visitor", credentials.visitor_token(ROOM, id=visitor.id))
        self.label("wait")
        progress("they wait")
        for visitor in visitors:
            for _ in range(BEATS):
                visitor.send("\n")
        self.label("count")
        self.serve(max(0.0, watched + COUNT_S - time.monotonic()) + COUNT_S + 3)
        self.label("sweep")
        self.invoke("tick", events.scheduled())
        self.label("golive")
        progress("the conference goes live")
        self.golive()
        self.label("release")
        self.serve(RELEASED_S, self.sample)
        self.released = self.tally.messages_out
        self.label("leave")
        progress("they leave")
        for visitor in visitors:
            visitor.leave()
        self.label("close")
        self.serve(CLOSED_S)
        self.label("moderator")
        moderator.leave()


class Socket:
    """A client behind API Gateway, as the handlers see it."""

    def __init__(self, evening: Evening, number: int) -> None:
        self.evening = evening
        self.id = f"L{number:014d}="
        self.peer = events.Peer(f"198.51.{number // 250 % 250}.{number % 250}", AGENT, f"{API}.execute-api")
        self.born = int(time.time() * 1000)

    def open(self) -> None:
        """The handshake."""
        headers = [("Sec-WebSocket-Protocol", "v12.stomp,v11.stomp,v10.stomp"), ("User-Agent", AGENT)]
        event = events.connect(self.id, self.peer, self.born, STAGE, API, headers, "", "/visitor/websocket")
        answer = self.evening.invoke("ws_connect", event)
        if answer["statusCode"] != 200:
            raise RuntimeError(str(answer))

    def send(self, text: str) -> None:
        """One message of the client's."""
        self.evening.tally.messages_in += math.ceil(len(text.encode()) / UNIT_BYTES)
        event = events.message(self.id, self.peer, self.born, STAGE, API, text)
        self.evening.invoke("ws_message", event)

    def subscribe(self, kind: str, token: str) -> None:
        """CONNECT and SUBSCRIBE as the stock client spells them."""
        self.send(
            f"CONNECT\nAuthorization:Bearer {token}\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n\0"
        )
        self.send(f"SUBSCRIBE\nid:sub-0\ndestination:{TOPIC.format(kind, self.evening.conference)}\n\n\0")

    def leave(self) -> None:
        """The stock client's order: UNSUBSCRIBE, DISCONNECT, and the close."""
        self.send("UNSUBSCRIBE\nid:sub-0\n\n\0")
        self.send("DISCONNECT\nreceipt:close-1\n\n\0")
        self.evening.invoke(
            "ws_disconnect", events.disconnect(self.id, self.peer, self.born, STAGE, API, 1000)
        )


@dataclass(frozen=True)
class Bill:
    """What was counted, for all visitors."""

    messages: float
    invocations: float
    gb_seconds: dict[int, float]
    """By the memory of the functions in MB."""
    writes: float
    reads: float
    kicks: float
    log_bytes: float
    own_writes: float
    """Of these writes, those of the visitors' own rows."""


PER_VISITOR: Final = ("arrive", "wait", "leave")
"""Labels under which everything happened for one visitor."""
RELEASING: Final = ("release", "close")
"""Labels under which one worker served many visitors."""


def bill(evening: Evening, factor: float, visitors: int) -> Bill:
    """The sample's counts for everybody."""
    ticks = evening.tallies["count"].functions["work"].count
    times = {"count": WAIT_MINUTES * 60 / COUNT_S / ticks, "sweep": SWEEPS}
    times |= dict.fromkeys(PER_VISITOR, factor)
    messages = invocations = kicks = log_bytes = 0.0
    gb_seconds = dict.fromkeys(MEMORIES, 0.0)
    disturbance = evening.disturbance()
    for label, tally in evening.tallies.items():
        many = times.get(label, 1.0)
        crowd = factor if label in RELEASING else many
        messages += crowd * (tally.messages_in + tally.messages_out)
        kicks += many * tally.kicks
        log_bytes += many * tally.log_bytes
        invocations += many * sum(used.count for used in tally.functions.values())
        for memory in MEMORIES:
            billed = sum(used.billed_s(memory, disturbance) for used in tally.functions.values())
            gb_seconds[memory] += crowd * billed * memory / 1024
    writes = own = reads = 0.0
    for use in evening.meter.uses:
        own_row = use.partition[0] in OWN_ROWS
        many = factor if own_row and use.label in RELEASING else times.get(use.label, 1.0)
        units = use.writes + use.index_writes
        writes += many * units
        own += many * units if own_row and use.label != "moderator" else 0.0
        if use.partition == "fronts":
            continue  # cached in each instance: added below
        reads += scanned(use, factor) * times.get(use.label, 1.0) if is_scan(use) else many * use.reads
    reads += INSTANCES * WAIT_MINUTES * 60 / CACHE_S
    return Bill(messages, invocations, gb_seconds, writes, reads, kicks, log_bytes, own)


def is_scan(use: Use) -> bool:
    """Whether a query passed over the rows of many visitors."""
    return use.operation == "Query" and use.partition.startswith("q")


def scanned(use: Use, factor: float) -> float:
    """What a query over so many more rows reads."""
    return max(1.0, math.ceil(use.bytes * factor / READ_BYTES)) * (1.0 if use.consistent else 0.5)


def peaks(uses: list[Use], sample: int) -> tuple[float, float]:
    """The most write and read units a second in one partition while visitors arrive."""
    writes: dict[str, float] = {}
    reads: dict[str, float] = {}
    for use in uses:
        if use.label == "arrive" and use.partition != "fronts":
            writes[use.partition] = writes.get(use.partition, 0) + use.writes + use.index_writes
            reads[use.partition] = reads.get(use.partition, 0) + use.reads
    scale = ARRIVALS_PER_S / sample
    return max(writes.values()) * scale, max(reads.values()) * scale


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """All figures of the evening."""
    sample = min(arguments.sample, arguments.visitors)
    factor = arguments.visitors / sample
    with tempfile.TemporaryDirectory(prefix="evening-") as name:
        folder = Path(name)
        (folder / "emulator").mkdir()
        stack, port = Stack(folder), free_port()
        sink = Child([sys.executable, "-m", "bench.sink", str(port)], port)
        with Emulator(folder=folder / "emulator") as emulator, sink:
            backed = stack.backed_by(emulator)
            for setting in [setting for setting in os.environ if setting.startswith(OURS)]:
                del os.environ[setting]
            os.environ |= stack.settings() | backed
            os.environ |= {"FOYER_STAGE": STAGE, "FOYER_API_ENDPOINT": f"http://{LOOPBACK}:{port}/{STAGE}"}
            evening = Evening(stack, emulator, backed["FOYER_QUEUE_URL"], sample, factor, port)
            evening.run()
    counted = bill(evening, factor, arguments.visitors)
    tell(report, evening, counted, arguments.visitors)
    if arguments.record:
        arguments.record.write_text(json.dumps(record(evening, counted, arguments.visitors), indent=1) + "\n")


def amounts(counted: Bill, visitors: int) -> dict[str, float]:
    """How much of everything that has a price."""
    polls = WAIT_MINUTES * 60 / 20 * 5  # Lambda polls an empty queue with five long polls of 20 s
    return {
        "websocket_messages": counted.messages,
        "websocket_minutes": (visitors + 1) * WAIT_MINUTES,
        "rest_requests": 1,
        "lambda_requests": counted.invocations,
        "lambda_gb_seconds": counted.gb_seconds[MEMORY_MB],
        "dynamodb_writes": counted.writes,
        "dynamodb_reads": counted.reads,
        "sqs_requests": 3 * counted.kicks + polls,  # sent, received, deleted
    }


def record(evening: Evening, counted: Bill, visitors: int) -> dict[str, Any]:
    """What docs/cost.md tells of it."""
    visits = {}
    for label in PER_VISITOR:
        tally = evening.tallies[label]
        uses = [use for use in evening.meter.uses if use.label == label and use.partition != "fronts"]
        visits[label] = {
            "messages": (tally.messages_in + tally.messages_out) / evening.sample,
            "invocations": sum(used.count for used in tally.functions.values()) / evening.sample,
            "writes": round(sum(use.writes + use.index_writes for use in uses) / evening.sample, 2),
            "reads": round(sum(use.reads for use in uses) / evening.sample, 2),
        }
    return {
        "as_of": time.strftime("%Y-%m-%d", time.gmtime()),
        "visitors": visitors,
        "sample": evening.sample,
        "wait_minutes": WAIT_MINUTES,
        "memory_mb": MEMORY_MB,
        "log_gigabytes": round(counted.log_bytes / 1e9, 3),
        "amounts": {name: round(amount) for name, amount in amounts(counted, visitors).items()},
        "visits": visits,
    }


def tell(report: Report, evening: Evening, counted: Bill, visitors: int) -> None:
    """The bill and the goals."""
    document = json.loads(PRICES.read_text())
    prices = document["prices"]
    lines = amounts(counted, visitors)
    costs = {name: amount * prices[name]["usd"] / prices[name]["per"] for name, amount in lines.items()}
    report.figure(f"an evening of {visitors:,} visitors", sum(costs.values()), "USD", at_most=2.5)
    for name, amount in lines.items():
        report.figure(f"  {name.replace('_', ' ')}: {amount:,.0f}", costs[name], "USD")
    report.figure("messages per visitor", per_visitor_messages(evening), at_most=10)
    report.figure("write units per visitor, its own rows", counted.own_writes / visitors, at_most=6)
    report.figure(
        "  what the conference writes, spread over all", (counted.writes - counted.own_writes) / visitors
    )
    report.figure("read units per visitor", counted.reads / visitors)
    writes, reads = peaks(evening.meter.uses, evening.sample)
    report.figure(f"busiest partition at {ARRIVALS_PER_S} arrivals/s, writes", writes, "WRU/s", at_most=500)
    report.figure(f"busiest partition at {ARRIVALS_PER_S} arrivals/s, reads", reads, "RRU/s", at_most=1500)
    factor = visitors / evening.sample
    counts = [scanned(use, factor) for use in evening.meter.uses if use.label == "count" and is_scan(use)]
    report.figure("  a shard's reads by one count, every 15 s", max(counts), "RRU")
    report.figure("visitors of the sample released", evening.released, at_least=evening.sample)
    log_gb = counted.log_bytes / 1e9
    log_usd = log_gb * prices["log_gigabytes"]["usd"]
    report.note(f"list prices of {document['as_of']}, {document['region']}, no free tier (bench/prices.json)")
    report.note(
        f"{evening.sample:,} visitors ran through the handlers, on ministack; {WAIT_MINUTES} minutes' wait"
    )
    disturbance = evening.disturbance()
    report.note(
        f"GB-seconds are modelled: the lower quartile of CPU times, by {disturbance:.2f} less as others "
        f"worked, on {MEMORY_MB / FULL_CORE_MB:.2f} of a core; {ROUND_TRIP_S * 1e3:.0f} ms a round trip"
    )
    for label in (*PER_VISITOR, "release"):
        for name, used in evening.tallies[label].functions.items():
            cpu_ms, trips = used.cpu_s / disturbance / used.count * 1e3, used.waits / used.count
            took_ms = used.billed_s(MEMORY_MB, disturbance) / used.count * 1e3
            report.note(
                f"  {label}, {name}: {used.count / evening.sample:g} for each visitor, each {cpu_ms:.2f} ms "
                f"of CPU time and {trips:.1f} round trips, so {took_ms:.1f} ms"
            )
    per_gb_second = prices["lambda_gb_seconds"]["usd"]
    for memory, amount in counted.gb_seconds.items():
        total = sum(costs.values()) - costs["lambda_gb_seconds"] + amount * per_gb_second
        report.note(f"  with {memory} MB: {amount:,.0f} GB-seconds, {total:.2f} USD in all")
    report.note(f"reads of caches: {INSTANCES} function instances, every {CACHE_S} s")
    report.note(
        f"not in the total: the product's log lines, {log_gb:.2f} GB or {log_usd:.2f} USD; data out; DNS"
    )


def per_visitor_messages(evening: Evening) -> float:
    """Messages of a visitor's connection, both directions."""
    labels = (*PER_VISITOR, "release")
    tallies = [evening.tallies[label] for label in labels]
    return sum(tally.messages_in + tally.messages_out for tally in tallies) / evening.sample


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--visitors", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=1000, help="how many run through the handlers")
    parser.add_argument(
        "--record",
        nargs="?",
        type=Path,
        const=RECORD,
        help="keep the amounts for docs/cost.md, or in this file",
    )


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
