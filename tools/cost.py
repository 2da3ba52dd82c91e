"""Makes docs/cost.md of counted calls and list prices: `make cost`.

The calls of each route are counted by bench/routes.py, here and in the test that compares the page; the
evening's amounts were kept by `python -m bench.evening --record`, and prices stand in bench/prices.json.
"""

import contextlib
import io
import json
import os
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from bench import routes
from bench.common import ROOT
from bench.evening import FULL_CORE_MB, MEMORY_MB, PRICES, RECORD, ROUND_TRIP_S
from bench.routes import Counted
from bench.stack import OURS, Stack
from chalicelib.media.actions import pull
from chalicelib.settings import reset
from infra.credentials import Credentials
from infra.emulator import Emulator
from tests.conftest import Stack as TestStack

PAGE: Final = ROOT / "docs" / "cost.md"
MILLION: Final = 1_000_000
MONTH_MINUTES: Final = 30 * 24 * 60
POLLS_A_MINUTE: Final = 15  # Lambda polls an empty queue with five long polls of 20 s
POLL_EVERY_S: Final = 5
WIDTH: Final = 118
PER_KICK: Final = 3  # a message is sent, received and deleted
CPU_S: Final = 0.001
CPU_A_CALL_S: Final = 0.0015
HEADER: Final = ("Route", "Case", "Storage and queue calls", "Written", "Read", "Storage and queue", "In all")
GROUPS: Final = (
    ("The service itself", ("/healthz", "/readyz", "/openapi.json")),
    ("The visitors' waiting queue", ("/waiting-queue",)),
    ("Conference management, `/v1` and `/v1.1` alike", ("/services", "/v1/")),
    ("The media plane", ("/media/",)),
    (
        "Rooms by invitation, without and with `/v0`",
        ("/re", "/rooms", "/session", "/account", "/push", "/__"),
    ),
    ("Metadata of connections", ("/",)),
    ("Hooks of a media server", ("/rest",)),
    ("The console and the operators' API, by a session", ("/console", "/admin/")),
)
LINES: Final = {
    "websocket_messages": "WebSocket messages",
    "websocket_minutes": "connection minutes",
    "rest_requests": "REST requests",
    "lambda_requests": "invocations",
    "lambda_gb_seconds": "GB-seconds",
    "dynamodb_writes": "write request units",
    "dynamodb_reads": "read request units",
    "sqs_requests": "queue requests",
    "log_gigabytes": "GB of logs",
}
STEPS: Final = {
    "arrive": "comes: the handshake, CONNECT, SUBSCRIBE",
    "wait": "waits, with a heart-beat every 8 minutes",
    "leave": "leaves: UNSUBSCRIBE, DISCONNECT, the close",
}


@dataclass(frozen=True)
class Prices:
    """List prices of one date and region."""

    as_of: str
    region: str
    listed: Mapping[str, Mapping[str, Any]]

    def usd(self, name: str, amount: float) -> float:
        """What so much of something costs."""
        price = self.listed[name]
        return float(amount * price["usd"] / price["per"])

    def storage(self, one: Counted) -> float:
        """What a million of these calls costs at DynamoDB and SQS."""
        return MILLION * (
            self.usd("dynamodb_writes", one.writes)
            + self.usd("dynamodb_reads", one.reads)
            + self.usd("sqs_requests", PER_KICK * one.kicks)
        )

    def functions(self, one: Counted) -> float:
        """What a million of these calls costs at Lambda, with the start of what they had queued."""
        return MILLION * (
            self.usd("lambda_requests", 1 + one.kicks) + self.usd("lambda_gb_seconds", gb_seconds(one))
        )

    def frame(self, one: Counted) -> float:
        """What a million of these frames costs in all."""
        return (
            self.usd("websocket_messages", MILLION * one.messages) + self.functions(one) + self.storage(one)
        )

    def whole(self, one: Counted) -> float:
        """What a million of these calls costs in all."""
        return self.usd("rest_requests", MILLION) + self.functions(one) + self.storage(one)


@dataclass(frozen=True)
class Made:
    """What is counted anew for each page."""

    idle: Counted
    routes: Sequence[Counted]
    frames: Sequence[Counted]


def count(stack: TestStack, credentials: Credentials, patched: Any) -> Made:
    """Everything, on an empty table; `patched` is pytest's, for what takes a world of its own."""
    idle = routes.minute()
    return Made(idle, routes.count(credentials), routes.frames(stack, credentials, patched))


def prices() -> Prices:
    """Those of bench/prices.json."""
    kept = json.loads(PRICES.read_text())
    return Prices(kept["as_of"], kept["region"], kept["prices"])


def gb_seconds(one: Counted) -> float:
    """The modelled GB-seconds of one such call."""
    calls = sum(one.calls.values()) + one.posts
    cpu_s = CPU_S + CPU_A_CALL_S * calls
    return (cpu_s * FULL_CORE_MB / MEMORY_MB + calls * ROUND_TRIP_S) * MEMORY_MB / 1024


def page(made: Made, record: Mapping[str, Any], prices: Prices) -> str:
    """The whole document."""
    parts = [
        _opening(prices),
        _prices(prices),
        _idle(made.idle, prices),
        _routes(made.routes, prices),
        _frames(made.frames, prices),
        _evening(record, prices),
        _method(record),
    ]
    blocks = "\n\n".join(parts).split("\n\n")
    return "\n\n".join(map(filled, blocks)) + "\n"


def filled(block: str) -> str:
    """A paragraph or list in lines of equal length; anything else as it is.

    >>> filled("one\\ntwo"), filled("| a |\\n| - |"), filled("- one\\n  two\\n- three")
    ('one two', '| a |\\n| - |', '- one two\\n- three')
    """
    if block.startswith(("|", "#")):
        return block
    listed = block.startswith("- ")
    items = block.split("\n- ") if listed else [block]
    width: dict[str, Any] = {"width": WIDTH, "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(
        textwrap.fill(
            " ".join(item.removeprefix("- ").split()),
            initial_indent="- " if listed else "",
            subsequent_indent="  " if listed else "",
            **width,
        )
        for item in items
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table; all columns but the first ones are numbers.

    >>> print(table(("a", "b"), [("x", "1")]))
    | a | b |
    | --- | ---: |
    | x | 1 |
    """
    rule = ["---" if number < left else "---:" for number in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def number(value: float) -> str:
    """A count.

    >>> number(12345.0), number(0.5)
    ('12,345', '0.5')
    """
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0")


def _opening(prices: Prices) -> str:
    return f"""# What it costs

Made by `make cost` from counted calls and the list prices of {prices.as_of} in {prices.region}: do not edit
it. A test counts the calls anew and fails when this page differs. All amounts are in US dollars, without
free tiers, discounts or tax, and none of them was read off a bill: nothing here ran on AWS. Prices change
and differ between regions; look at the pages that are named before you rely on a total, change
`bench/prices.json` and make the page again.

Not in any total: data sent out of AWS, names and certificates, CloudFront where it stands in front, logs,
alarms and dashboards, the table's size and its backups, parameters, secrets and keys, what your own servers
cost."""


def _prices(prices: Prices) -> str:
    rows = [
        (each["unit"], f"{Decimal(repr(each['usd'])).normalize():f}", number(each["per"]), each["page"])
        for each in prices.listed.values()
    ]
    return "## Prices\n\n" + table(("What", "USD", "for", "Page"), rows, 4)


def _idle(idle: Counted, prices: Prices) -> str:
    reads = prices.usd("dynamodb_reads", idle.reads * MONTH_MINUTES)
    writes = prices.usd("dynamodb_writes", idle.writes * MONTH_MINUTES)
    started = prices.usd("lambda_requests", MONTH_MINUTES)
    ran = prices.usd("lambda_gb_seconds", gb_seconds(idle) * MONTH_MINUTES)
    polls = prices.usd("sqs_requests", POLLS_A_MINUTE * MONTH_MINUTES)
    rows = [
        (
            "the schedule's look at what is owed, each minute",
            idle.told,
            f"{reads + writes + started + ran:.2f}",
        ),
        ("Lambda's long polls of an empty queue", f"{POLLS_A_MINUTE} receive", f"{polls:.2f}"),
        ("together", "", f"{reads + writes + started + ran + polls:.2f}"),
    ]
    text = """## A month without callers

Thirty days of a deployment that nobody calls. The first row is what the
function `tick` costs."""
    return text + "\n\n" + table(("What", "each minute", "USD a month"), rows, 2)


def _routes(counted: Sequence[Counted], prices: Prices) -> str:
    fixed = prices.usd("rest_requests", MILLION) + prices.usd("lambda_requests", MILLION)
    groups: dict[str, list[Counted]] = {name: [] for name, _ in GROUPS}
    for one in counted:
        groups[group_of(one)].append(one)
    parts = [
        f"""## A million calls of each route

Behind API Gateway's REST API. Of each total, {fixed:.2f} are the request and the invocation, whatever the
call does. A route that is called in several ways has a row for each. Written and read are request units of
DynamoDB; a batch or a transaction is one call with several items, and in a transaction each item counts
twice.

- Requests that are refused cost, as a rule, no more than the ones that are served.
- `OPTIONS` and methods that no client uses cost {fixed:.2f} and their milliseconds.
- A message is for the work queue: three requests there and the start of `work`. What that then sends, reads
  and writes is not in the row, since it depends on how many listen; for the waiting queue it is in the
  evening below.
- What is switched on adds to this. With `MEDIA_MODE` other than `store` each change that media has to
  follow writes a command too, as two rows show, and with `confirm` the function runs until a worker has
  answered; `WCS_ROOMS`, `LOOP_PUSH` and `SORA_UPSTREAM_URL` have at least one message sent for each change.
- Lists grow with what they show: a read unit for each 4 KB."""
    ]
    for name, cases in groups.items():
        rows = [
            (
                f"`{one.route}`",
                one.case,
                one.told,
                number(one.writes),
                number(one.reads),
                f"{prices.storage(one):.2f}",
                f"{prices.whole(one):.2f}",
            )
            for one in cases
        ]
        parts.append(f"### {name}\n\n{table(HEADER, rows, 3)}")
        parts += [_polling(one, prices) for one in cases if one.route == "GET /media/v1/commands"]
    return "\n\n".join(parts)


def _frames(counted: Sequence[Counted], prices: Prices) -> str:
    message, minute = prices.usd("websocket_messages", MILLION), prices.usd("websocket_minutes", MILLION)
    rows = [
        (
            one.route,
            one.case,
            one.told,
            number(one.messages),
            number(one.writes),
            number(one.reads),
            f"{prices.frame(one):.2f}",
        )
        for one in counted
    ]
    return f"""## A million frames of each kind

Behind API Gateway's WebSocket API. Each frame is an invocation, and a message at {message:.2f} for a
million; so is each answer, as receipts are, which were asked for here. A million minutes of open
connections are {minute:.2f} besides. Handshakes and closes are invocations and no messages. On a gateway
of your own, which has sessions in its memory, they cost no writes.

{table(("Frame", "Case", "Storage and queue calls", "Messages", "Written", "Read", "In all"), rows, 3)}"""


def _polling(one: Counted, prices: Prices) -> str:
    waited = pull.LONGEST_WAIT_S
    polls = MONTH_MINUTES * 60 / waited
    long = (
        prices.usd("rest_requests", polls)
        + prices.usd("lambda_requests", polls)
        + prices.usd("lambda_gb_seconds", polls * waited * MEMORY_MB / 1024)
        + prices.usd("dynamodb_reads", polls * looks(waited))
    )
    short = prices.whole(one) * MONTH_MINUTES * 60 / POLL_EVERY_S / MILLION
    return f"""A worker that lets its requests wait for {waited:.0f} s keeps a function running all the
  time, which looks about once a second: {long:.2f} USD a month for each worker. One that asks every
  {POLL_EVERY_S} s and does not let them wait costs {short:.2f} USD, one that is told by webhooks nothing
  while there is nothing to tell."""


def looks(waited_s: float) -> int:
    """How often a request looks for commands that waits for so long, and finds none.

    >>> looks(0.0), looks(0.25), looks(1.0)
    (1, 1, 3)
    """
    found, at, pause = 1, pull.FIRST_PAUSE_S, pull.FIRST_PAUSE_S
    while at < waited_s:
        pause = min(pull.LONGEST_PAUSE_S, pause * 1.5)
        found, at = found + 1, at + pause
    return found


def group_of(one: Counted) -> str:
    """The heading under which a route stands: that with the longest beginning of its path."""
    path = one.route.partition(" ")[2]
    found = [(len(start), name) for name, starts in GROUPS for start in starts if path.startswith(start)]
    return max(found)[1]


def _evening(record: Mapping[str, Any], prices: Prices) -> str:
    visitors, amounts = record["visitors"], record["amounts"]
    rows = [
        (LINES[name], number(amount), f"{prices.usd(name, amount):.2f}") for name, amount in amounts.items()
    ]
    total = sum(prices.usd(name, amount) for name, amount in amounts.items())
    logs = prices.usd("log_gigabytes", record["log_gigabytes"])
    steps = []
    for label, told in STEPS.items():
        one = record["visits"][label]
        usd = visitors * (
            prices.usd("websocket_messages", one["messages"])
            + prices.usd("lambda_requests", one["invocations"])
            + prices.usd("dynamodb_writes", one["writes"])
            + prices.usd("dynamodb_reads", one["reads"])
        )
        names = ("messages", "invocations", "writes", "reads")
        steps.append((told, *(number(one[name]) for name in names), f"{usd:.2f}"))
    columns = ("A visitor", "messages", "invocations", "written", "read", f"USD for {visitors:,}")
    return f"""## An evening of {visitors:,} visitors

All of them come to one conference of the waiting queue, wait for {record["wait_minutes"]} minutes while one
moderator watches how many they are, are released once and leave. Behind API Gateway's WebSocket API,
functions with {record["memory_mb"]} MB.

{table(("What", "how many", "USD"), [*rows, ("together", "", f"{total:.2f}")])}

That is {MILLION * total / visitors:.2f} USD for a million visitors. The product's own log lines, which are
not in it, are {record["log_gigabytes"]:.2f} GB or {logs:.2f} USD at CloudWatch; `FOYER_LOG_LEVEL` and the
groups' retention decide about them.

Of it, without the functions' GB-seconds and the minutes of the connection:

{table(columns, steps)}"""


def _method(record: Mapping[str, Any]) -> str:
    return f"""## How it is counted

Calls and units of the routes: `bench/routes.py` has the real handlers serve the usual call of each route in
one process, on ministack, and counts every call below the SDK. Units are worked out by DynamoDB's rules, in
`bench/units.py`, from the sizes of the items that went over the wire. `tests/test_cost.py` repeats it and
compares it with this page, and holds that every route of [coverage.md](contracts/coverage.md) is here. The
process has served its callers before, as a function's instance has: keys of services and what else is
remembered are not read again.

Of the evening {record["sample"]:,} visitors ran through the handlers on {record["as_of"]}; `python -m
bench.evening --record` counts it anew, and [benchmarks.md](benchmarks.md) says how their counts stand for
all.

GB-seconds are modelled, not measured: a function runs for its CPU time on the share of a core that its
memory buys ({MEMORY_MB} of {FULL_CORE_MB:,} MB), and {ROUND_TRIP_S * 1e3:.0f} ms for each storage or queue
call. For the routes, the CPU time is taken as {CPU_S * 1e3:g} ms and {CPU_A_CALL_S * 1e3:g} ms for each of
these calls, about what it was here; the evening has it measured. Cold starts are left out."""


def counts() -> Made:
    """Everything, counted on an emulator of its own."""
    with tempfile.TemporaryDirectory(prefix="cost-") as name, pytest.MonkeyPatch.context() as patched:
        folder = Path(name)
        (folder / "emulator").mkdir()
        stack = Stack(folder)
        with Emulator(folder=folder / "emulator") as emulator:
            for setting in [setting for setting in os.environ if setting.startswith(OURS)]:
                del os.environ[setting]
            patient = {"FOYER_STORAGE_BUDGET_S": "60"}
            settings = stack.settings() | stack.backed_by(emulator) | patient
            os.environ |= settings
            reset()
            there = TestStack(settings, emulator.client("dynamodb"), emulator.client("sqs"))
            with contextlib.redirect_stderr(io.StringIO()):  # the product's log
                return count(there, stack.credentials, patched)


def main() -> None:
    """Make the page."""
    PAGE.write_text(page(counts(), json.loads(RECORD.read_text()), prices()))


if __name__ == "__main__":
    main()
