"""Alarms and dashboards as tables: CloudWatch's go into the template, Prometheus' and Grafana's into files.

`python -m infra.observe` writes infra/grafana/ anew.  What an alarm means and what to do then is in
docs/operations.md, under the heading that it names.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from chalicelib import metrics
from chalicelib.metrics import Metric

FOLDER: Final = Path(__file__).resolve().parent / "grafana"
RUNBOOK: Final = "docs/operations.md#"
TOPIC: Final = "Alarms"
FUNCTIONS: Final = (
    "APIHandler",
    "WebsocketConnect",
    "WebsocketMessage",
    "WebsocketDisconnect",
    "Tick",
    "Work",
)
WIDTH: Final = 12
HEIGHT: Final = 6
LATE_S: Final = 180
"""Tick looks each minute: what is still there after three looks is not being served."""

Value = str | dict[str, Any]
Missing = Literal["notBreaching", "breaching"]


class Series(NamedTuple):
    """A metric as CloudWatch knows it; dimensions with references of the template."""

    namespace: str
    name: str
    dimensions: Mapping[str, Value]
    statistic: str = "Sum"


class Alarm(NamedTuple):
    """When somebody is to be told, and under which heading it is explained."""

    name: str
    heading: str
    says: str
    series: Series
    above: float = 0
    minutes: int = 1
    """Of so many minutes together, or in each of so many where it looks at the greatest."""
    missing: Missing = "notBreaching"
    below: bool = False


class Rule(NamedTuple):
    """The same for Prometheus."""

    name: str
    heading: str
    says: str
    expression: str
    minutes: int = 0


class Panel(NamedTuple):
    """Some lines of one kind, for both dashboards; one of the two may have nothing to show."""

    title: str
    cloudwatch: Sequence[Series] = ()
    prometheus: Sequence[tuple[str, str]] = ()
    """Expressions, each with its legend."""
    unit: str = "short"


def ours(metric: Metric, statistic: str = "Sum") -> Series:
    """One of our own."""
    assert not metric.routine
    stack = {"Ref": "AWS::StackName"}
    return Series(metrics.NAMESPACE, metric.in_cloudwatch, {metrics.DIMENSION: stack}, statistic)


def function(name: str, logical: str, statistic: str = "Sum") -> Series:
    """One of Lambda's, of one function."""
    return Series("AWS/Lambda", name, {"FunctionName": {"Ref": logical}}, statistic)


def queue(name: str, logical: str) -> Series:
    """One of SQS's."""
    named = {"Fn::GetAtt": [logical, "QueueName"]}
    return Series("AWS/SQS", name, {"QueueName": named}, "Maximum")


def table(name: str, index: str = "") -> Series:
    """One of DynamoDB's, of the table or an index of it."""
    dimensions: dict[str, Value] = {"TableName": {"Ref": "Table"}}
    if index:
        dimensions["GlobalSecondaryIndexName"] = index
    return Series("AWS/DynamoDB", name, dimensions)


def sockets(name: str) -> Series:
    """One of API Gateway's, of the WebSocket API."""
    return Series("AWS/ApiGateway", name, {"ApiId": {"Ref": "WebsocketAPI"}})


ALARMS: Final = (
    Alarm(
        "GoliveFailures",
        "golive-failures",
        "A conference went live and that could not be recorded: its visitors wait",
        ours(metrics.GOLIVE_FAILURES),
    ),
    Alarm(
        "OwedLate",
        "owed-rows-are-late",
        f"Something owed has been due for more than {LATE_S} s and nobody has served it",
        ours(metrics.OWED_OLDEST_SECONDS, "Maximum"),
        above=LATE_S,
        minutes=2,
    ),
    Alarm(
        "TickMissing",
        "tick-does-not-run",
        "Nobody has looked for what is owed in five minutes",
        ours(metrics.SWEEPS),
        above=1,
        minutes=5,
        missing="breaching",
        below=True,
    ),
    Alarm(
        "DeadLetters",
        "dead-letters",
        "Something owed was given up; it waits to be replayed",
        ours(metrics.DEAD_LETTERS),
    ),
    Alarm(
        "DeadLetterQueue",
        "dead-letter-queue",
        "A message of the work queue failed five times",
        queue("ApproximateNumberOfMessagesVisible", "WorkDeadLetters"),
    ),
    Alarm(
        "ServerErrors",
        "server-errors",
        "Answers 5xx that no contract asks for",
        ours(metrics.SERVER_ERRORS),
        above=4,
        minutes=5,
    ),
    Alarm(
        "FrameFailures",
        "frame-failures",
        "Sockets were told to try again later",
        ours(metrics.FRAME_FAILURES),
        above=4,
        minutes=5,
    ),
    *(
        Alarm(
            f"{name}Errors",
            "function-errors",
            f"{name} ended without an answer: out of time or memory, or it does not start",
            function("Errors", name),
            above=2,
            minutes=5,
        )
        for name in FUNCTIONS
    ),
    *(
        Alarm(f"{name}Throttles", "throttles", f"Lambda did not run {name}", function("Throttles", name))
        for name in FUNCTIONS
    ),
    *(
        Alarm(
            f"{part}{kind}Throttles",
            "throttles",
            f"DynamoDB throttled {kind.lower()}s of the {'index due' if index else 'table'}",
            table(f"{kind}ThrottleEvents", index),
            above=10,
            minutes=5,
        )
        for part, index in (("Table", ""), ("Due", "due"))
        for kind in ("Read", "Write")
    ),
)


def rises(metric: Metric, above: int, window: str = "5m") -> str:
    """Whether a counter rose by more than that; one that was not there before rose from nothing."""
    name = metric.in_prometheus
    return f"sum(increase({name}[{window}])) > {above} or sum({name} unless {name} offset {window}) > {above}"


RULES: Final = (
    Rule(
        "GoliveFailures",
        "golive-failures",
        "A conference went live and that could not be recorded: its visitors wait",
        rises(metrics.GOLIVE_FAILURES, 0),
    ),
    Rule(
        "OwedLate",
        "owed-rows-are-late",
        f"Something owed has been due for more than {LATE_S} s and nobody has served it",
        f"max({metrics.OWED_OLDEST_SECONDS.in_prometheus}) > {LATE_S}",
        1,
    ),
    Rule(
        "TickMissing",
        "tick-does-not-run",
        "Nobody has looked for what is owed in five minutes",
        f"sum(increase({metrics.SWEEPS.in_prometheus}[5m])) < 1 or absent({metrics.SWEEPS.in_prometheus})",
    ),
    Rule(
        "DeadLetters",
        "dead-letters",
        "Something owed was given up; it waits to be replayed",
        rises(metrics.DEAD_LETTERS, 0),
    ),
    Rule(
        "ServerErrors",
        "server-errors",
        "Answers 5xx that no contract asks for",
        rises(metrics.SERVER_ERRORS, 4),
    ),
    Rule(
        "FrameFailures",
        "frame-failures",
        "Sockets were told to try again later",
        rises(metrics.FRAME_FAILURES, 4),
    ),
    Rule(
        "HandlerErrors",
        "function-errors",
        "Handlers raised in a gateway or a worker",
        rises(metrics.GATEWAY_HANDLER_FAILURES, 2),
    ),
    Rule(
        "StorageFailures",
        "throttles",
        "Storage calls were given up",
        rises(metrics.STORAGE_FAILURES, 10),
    ),
)


def rate(metric: Metric, by: str = "") -> tuple[str, str]:
    """How often a second, by a label."""
    assert not by or by in metric.labels
    inner = f"rate({metric.in_prometheus}[$__rate_interval])"
    if by:
        return f"sum by ({by}) ({inner})", f"{metric.name} {{{{{by}}}}}"
    return f"sum({inner})", metric.name


def slowest(metric: Metric, share: float) -> tuple[str, str]:
    """The time within which this share of all was done."""
    inner = f"sum by (le) (rate({metric.in_prometheus}_bucket[$__rate_interval]))"
    return f"histogram_quantile({share}, {inner})", f"p{share * 100:g}"


def level(metric: Metric, how: str = "sum", by: str = "") -> tuple[str, str]:
    """A number as it is now."""
    assert not by or by in metric.labels
    if by:
        return f"{how} by ({by}) ({metric.in_prometheus})", f"{metric.name} {{{{{by}}}}}"
    return f"{how}({metric.in_prometheus})", metric.name


def alike(*found: Metric) -> Panel:
    """The lines of a panel that shows our own metrics on both dashboards; the title is given later."""
    return Panel("", [ours(each) for each in found], [rate(each, *each.labels[:1]) for each in found])


PANELS: Final = (
    alike(metrics.GOLIVES, metrics.GOLIVE_REFUSALS, metrics.GOLIVE_FAILURES)._replace(
        title="Calls of golive"
    ),
    alike(metrics.VISITORS_RELEASED, metrics.VISITORS_LEFT_BEHIND)._replace(title="Visitors released"),
    Panel(
        "Requests",
        [function("Invocations", "APIHandler")],
        [rate(metrics.REQUESTS, "status"), rate(metrics.GATEWAY_REQUESTS, "status")],
    ),
    Panel(
        "Time of a request",
        [function("Duration", "APIHandler", each) for each in ("p50", "p99")],
        [slowest(metrics.REQUEST_SECONDS, each) for each in (0.5, 0.99)],
        "s",
    ),
    Panel(
        "Messages of sockets",
        [function("Invocations", each) for each in FUNCTIONS[1:4]],
        [rate(metrics.FRAMES, "command")],
    ),
    Panel(
        "Time of a message",
        [function("Duration", "WebsocketMessage", each) for each in ("p50", "p99")],
        [slowest(metrics.FRAME_SECONDS, each) for each in (0.5, 0.99)],
        "s",
    ),
    Panel(
        "Sockets",
        [sockets("ConnectCount"), sockets("MessageCount"), sockets("ExecutionError")],
        [
            level(metrics.GATEWAY_SOCKETS),
            level(metrics.GATEWAY_CONNECTIONS),
            rate(metrics.GATEWAY_HANDSHAKES, "status"),
        ],
    ),
    alike(metrics.SERVER_ERRORS, metrics.REFUSALS, metrics.FRAME_FAILURES)._replace(
        title="Failures that clients saw"
    ),
    Panel(
        "Functions that failed",
        [function("Errors", each) for each in FUNCTIONS],
        [rate(metrics.GATEWAY_HANDLER_FAILURES, "handler")],
    ),
    Panel(
        "Functions that did not run at once",
        [function("Throttles", each) for each in FUNCTIONS],
        [level(metrics.GATEWAY_BACKLOG, "sum", "pool"), level(metrics.GATEWAY_CALLS)],
    ),
    Panel(
        "Owed and due",
        [ours(metrics.OWED_ROWS, "Maximum"), ours(metrics.SWEEPS)],
        [level(metrics.OWED_ROWS, "max"), rate(metrics.SWEEPS)],
    ),
    Panel(
        "Age of what is owed",
        [ours(metrics.OWED_OLDEST_SECONDS, "Maximum"), queue("ApproximateAgeOfOldestMessage", "WorkQueue")],
        [level(metrics.OWED_OLDEST_SECONDS, "max")],
        "s",
    ),
    Panel(
        "Work",
        [
            ours(metrics.WORK_FAILURES),
            ours(metrics.DEAD_LETTERS),
            ours(metrics.KICK_FAILURES),
            *(queue("ApproximateNumberOfMessagesVisible", each) for each in ("WorkQueue", "WorkDeadLetters")),
        ],
        [
            rate(metrics.WORK, "kind"),
            rate(metrics.WORK_FAILURES, "kind"),
            rate(metrics.DEAD_LETTERS, "kind"),
            rate(metrics.KICK_FAILURES),
        ],
    ),
    Panel(
        "What others did not take",
        [ours(metrics.POST_FAILURES), ours(metrics.OUTGOING_FAILURES)],
        [
            rate(metrics.POST_FAILURES, "outcome"),
            rate(metrics.OUTGOING, "outcome"),
            rate(metrics.OUTGOING_FAILURES, "outcome"),
            rate(metrics.GATEWAY_OUTAGES, "what"),
            rate(metrics.GATEWAY_LEASES_LOST),
        ],
    ),
    Panel(
        "Storage",
        [
            ours(metrics.STORAGE_BUSY),
            ours(metrics.STORAGE_FAILURES),
            *(table(f"{kind}ThrottleEvents", index) for index in ("", "due") for kind in ("Read", "Write")),
        ],
        [rate(metrics.STORAGE_BUSY, "operation"), rate(metrics.STORAGE_FAILURES, "operation")],
    ),
    Panel(
        "Capacity",
        [table(f"Consumed{kind}CapacityUnits", index) for index in ("", "due") for kind in ("Read", "Write")],
    ),
    Panel("CPU of a process", (), [rate(metrics.PROCESS_CPU_SECONDS)]),
    Panel("Memory of all processes", (), [level(metrics.PROCESS_MEMORY)], "bytes"),
    Panel("Open files", (), [level(metrics.PROCESS_FILES, "max")]),
    Panel("Since the last start", (), [(f"time() - max({metrics.PROCESS_START.in_prometheus})", "age")], "s"),
)


def spelled(alarm: Alarm) -> dict[str, Any]:
    """An alarm as CloudFormation reads it."""
    series = alarm.series
    each_minute = series.statistic == "Maximum" or alarm.below
    topic = [{"Ref": TOPIC}]
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Sub": f"${{AWS::StackName}}-{alarm.name}"},
            "AlarmDescription": f"{alarm.says}. {RUNBOOK}{alarm.heading}",
            "Namespace": series.namespace,
            "MetricName": series.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions.items()],
            "Statistic": series.statistic,
            "Period": 60 if each_minute else 60 * alarm.minutes,
            "EvaluationPeriods": alarm.minutes if each_minute else 1,
            "ComparisonOperator": "LessThanThreshold" if alarm.below else "GreaterThanThreshold",
            "Threshold": alarm.above,
            "TreatMissingData": alarm.missing,
            "AlarmActions": topic,
            "OKActions": topic,
        },
    }


def _inline(value: Value) -> str:
    """A reference as `Fn::Sub` has it within a text."""
    if isinstance(value, str):
        return value
    (how, what), *_ = value.items()
    return f"${{{what if how == 'Ref' else '.'.join(what)}}}"


def _line(series: Series) -> list[Any]:
    dimensions = [text for name, value in series.dimensions.items() for text in (name, _inline(value))]
    return [series.namespace, series.name, *dimensions, {"stat": series.statistic}]


def dashboard() -> dict[str, Any]:
    """CloudWatch's dashboard, as CloudFormation reads it."""
    widgets = [
        {
            "type": "metric",
            "x": at % 2 * WIDTH,
            "y": at // 2 * HEIGHT,
            "width": WIDTH,
            "height": HEIGHT,
            "properties": {
                "title": panel.title,
                "region": "${AWS::Region}",
                "view": "timeSeries",
                "period": 60,
                "metrics": [_line(series) for series in panel.cloudwatch],
            },
        }
        for at, panel in enumerate(panel for panel in PANELS if panel.cloudwatch)
    ]
    return {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"},
            "DashboardBody": {"Fn::Sub": json.dumps({"widgets": widgets}, separators=(",", ":"))},
        },
    }


def add(template: dict[str, Any]) -> None:
    """Give a template its alarms and its dashboard."""
    template["Resources"] |= {f"{alarm.name}Alarm": spelled(alarm) for alarm in ALARMS}
    template["Resources"]["Dashboard"] = dashboard()


def grafana() -> dict[str, Any]:
    """Grafana's dashboard; it asks for the data source when it is imported."""
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    panels = [
        {
            "id": at + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {"x": at % 2 * WIDTH, "y": at // 2 * 8, "w": WIDTH, "h": 8},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + number), "datasource": source, "expr": text, "legendFormat": legend}
                for number, (text, legend) in enumerate(panel.prometheus)
            ],
        }
        for at, panel in enumerate(panel for panel in PANELS if panel.prometheus)
    ]
    wanted = {"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}
    return {
        "__inputs": [wanted | {"description": "", "pluginName": "Prometheus"}],
        "title": "Foyer",
        "uid": "foyer",
        "tags": ["foyer"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": panels,
    }


def rules() -> str:
    """Prometheus' alerting rules, a YAML file."""
    return "\n".join(["groups:", "  - name: foyer", "    rules:", *_rules(), ""])


def _rules() -> Iterator[str]:
    for rule in RULES:
        yield f"      - alert: {rule.name}"
        yield f"        expr: {json.dumps(rule.expression)}"
        yield f"        for: {rule.minutes}m"
        yield "        annotations:"
        yield f"          summary: {json.dumps(rule.says)}"
        yield f"          runbook: {json.dumps(RUNBOOK + rule.heading)}"


def files() -> dict[Path, str]:
    """What stands in infra/grafana/."""
    return {
        FOLDER / "foyer.json": json.dumps(grafana(), indent=2) + "\n",
        FOLDER / "rules.yml": rules(),
    }


def main() -> int:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
