"""Alarms and dashboards: each names metrics that exist, things that are in the template, and a runbook."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

import app
from chalicelib import metrics
from chalicelib.outbox import owed
from infra import observe, package
from infra.children import ROOT

OPERATIONS: Final = ROOT / "docs" / "operations.md"
OF_AWS: Final = {
    # From the services' own lists of their metrics, with the dimensions that they can be asked for by.
    "AWS/Lambda": ({"Invocations", "Errors", "Throttles", "Duration"}, [{"FunctionName"}]),
    "AWS/SQS": (
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
        [{"QueueName"}],
    ),
    "AWS/DynamoDB": (
        {
            "ReadThrottleEvents",
            "WriteThrottleEvents",
            "ConsumedReadCapacityUnits",
            "ConsumedWriteCapacityUnits",
        },
        [{"TableName"}, {"TableName", "GlobalSecondaryIndexName"}],
    ),
    "AWS/ApiGateway": ({"ConnectCount", "MessageCount", "ExecutionError"}, [{"ApiId"}]),
}
STATISTICS: Final = {"Sum", "Maximum", "p50", "p99"}
NAME: Final = re.compile(r"\b(?:foyer|process)_[a-z_]+")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of the stage `dev`."""
    folder = tmp_path_factory.mktemp("template")
    made = package.chalice_package(ROOT, "dev", folder)
    return package.finish_template(made, "dev", ROOT)


@pytest.fixture(scope="module")
def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: each["Properties"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


@pytest.fixture(scope="module")
def widgets(template: dict[str, Any]) -> list[dict[str, Any]]:
    (body,) = [
        each["Properties"]["DashboardBody"]["Fn::Sub"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Dashboard"
    ]
    parsed = json.loads(re.sub(r"\$\{[^}]+\}", "x", body))
    found: list[dict[str, Any]] = parsed["widgets"]
    return found


def exists(namespace: str, name: str, dimensions: set[str]) -> bool:
    """Whether somebody emits a metric under that name, by those dimensions."""
    if namespace == metrics.NAMESPACE:
        emitted = {each.in_cloudwatch for each in metrics.registry().values() if not each.routine}
        return name in emitted and dimensions == {metrics.DIMENSION}
    names, by = OF_AWS[namespace]
    return name in names and dimensions in by


def exposed() -> dict[str, set[str]]:
    """What Prometheus can ask for: names, with the labels that each has."""
    found: dict[str, set[str]] = {}
    for each in metrics.registry().values():
        if each.kind == "histogram":
            name = each.in_prometheus
            found[f"{name}_bucket"] = {*each.labels, "le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = set(each.labels)
        else:
            found[each.in_prometheus] = set(each.labels)
    return found


def expressions() -> Iterator[str]:
    """Every expression of Grafana's panels and Prometheus' rules."""
    for panel in json.loads((observe.FOLDER / "foyer.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load((observe.FOLDER / "rules.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def headings() -> set[str]:
    """The anchors of the runbooks."""
    _, _, part = OPERATIONS.read_text().partition("\n## Runbooks\n")
    part = part.partition("\n## ")[0]
    return {
        re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-")
        for each in re.findall(r"^### (.+)$", part, re.MULTILINE)
    }


def test_no_alarm_names_a_metric_that_does_not_exist(alarms):
    assert len(alarms) == len(observe.ALARMS)
    for name, each in alarms.items():
        dimensions = {one["Name"] for one in each["Dimensions"]}
        assert exists(each["Namespace"], each["MetricName"], dimensions), name


def test_no_panel_of_cloudwatch_names_a_metric_that_does_not_exist(widgets):
    for widget in widgets:
        for namespace, name, *dimensions, options in widget["properties"]["metrics"]:
            assert exists(namespace, name, set(dimensions[::2])), widget["properties"]["title"]
            assert options["stat"] in STATISTICS


def test_no_panel_or_rule_for_prometheus_names_a_metric_or_a_label_that_does_not_exist():
    there = exposed()
    for text in expressions():
        named = set(NAME.findall(text))
        assert named, text
        assert named <= set(there), text
        labels = set(re.findall(r"by \(([a-z_]+)\)", text))
        assert all(labels <= there[name] for name in named), text


def test_a_name_that_does_not_exist_would_be_found():
    assert not exists(metrics.NAMESPACE, "GoliveFailure", {metrics.DIMENSION})
    assert not exists(metrics.NAMESPACE, metrics.REQUESTS.in_cloudwatch, {metrics.DIMENSION})
    assert not exists(metrics.NAMESPACE, metrics.GOLIVES.in_cloudwatch, {"FunctionName"})
    assert not exists("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"FunctionName"})
    assert "foyer_golive_failures" not in exposed()


def test_every_metric_is_shown_on_a_dashboard(widgets):
    shown = {name for text in expressions() for name in NAME.findall(text)}
    hidden = [
        each.name
        for each in metrics.registry().values()
        if not any(name.startswith(each.in_prometheus) for name in shown)
    ]
    assert hidden == []
    ours = {
        line[1]
        for widget in widgets
        for line in widget["properties"]["metrics"]
        if line[0] == metrics.NAMESPACE
    }
    assert ours == {each.in_cloudwatch for each in metrics.registry().values() if not each.routine}


def test_alarms_and_dashboard_refer_to_what_is_in_the_template(template):
    there = {*template["Resources"], *template["Parameters"], "AWS::StackName", "AWS::Region"}
    named: set[str] = set()
    for each in template["Resources"].values():
        if each["Type"].startswith("AWS::CloudWatch::"):
            text = json.dumps(each)
            named |= set(re.findall(r'\{"Ref": "([^"]+)"\}', text))
            named |= set(re.findall(r'\{"Fn::GetAtt": \["([^"]+)"', text))
            named |= {name.partition(".")[0] for name in re.findall(r"\$\{([^}]+)\}", text)}
    assert {"Table", "WorkDeadLetters", "Alarms", "APIHandler", "Work", "WebsocketAPI"} <= named
    assert named <= there


def test_every_function_is_watched(template, alarms):
    functions = {
        name for name, each in template["Resources"].items() if each["Type"] == "AWS::Serverless::Function"
    }
    assert set(observe.FUNCTIONS) == functions
    for metric in ("Errors", "Throttles"):
        watched = {
            one["Value"]["Ref"]
            for each in alarms.values()
            if (each["Namespace"], each["MetricName"]) == ("AWS/Lambda", metric)
            for one in each["Dimensions"]
        }
        assert watched == functions


def test_every_function_says_under_which_stack_it_counts(template):
    for each in template["Resources"].values():
        if each["Type"] == "AWS::Serverless::Function":
            assert each["Properties"]["Environment"]["Variables"]["FOYER_STACK"] == {"Ref": "AWS::StackName"}


def test_what_is_asked_of_the_alarms_is_what_they_say(alarms):
    def of(name: str, *keys: str) -> list[Any]:
        return [alarms[f"{name}Alarm"][key] for key in keys]

    what = ("MetricName", "Statistic", "ComparisonOperator", "Threshold", "TreatMissingData")
    greater, less = "GreaterThanThreshold", "LessThanThreshold"
    assert of("GoliveFailures", *what) == ["GoliveFailures", "Sum", greater, 0, "notBreaching"]
    assert of("OwedLate", *what) == ["OwedOldestSeconds", "Maximum", greater, 180, "notBreaching"]
    assert of("TickMissing", *what) == ["Sweeps", "Sum", less, 1, "breaching"]
    assert of("TickMissing", "Period", "EvaluationPeriods") == [60, 5]
    assert of("ServerErrors", *what) == ["ServerErrors", "Sum", greater, 4, "notBreaching"]
    assert of("ServerErrors", "Period", "EvaluationPeriods") == [300, 1]
    assert of("DeadLetterQueue", "Dimensions") == [
        [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["WorkDeadLetters", "QueueName"]}}]
    ]


def test_every_alarm_tells_the_topic_and_leads_to_a_runbook(alarms):
    led = set()
    for each in alarms.values():
        assert each["AlarmActions"] == each["OKActions"] == [{"Ref": observe.TOPIC}]
        led.add(each["AlarmDescription"].rpartition(observe.RUNBOOK)[2])
    led |= {rule.heading for rule in observe.RULES}
    assert led == headings()


def test_every_alarm_is_named_in_its_runbook():
    text = OPERATIONS.read_text()
    for name in (*(each.name for each in observe.ALARMS), *(each.name for each in observe.RULES)):
        family = re.sub(r"^.*(Errors|Throttles)$", r"…\1", name)
        assert f"`{name}`" in text or f"`{family}`" in text, name


def test_the_documents_count_right(alarms):
    text = OPERATIONS.read_text()
    ours = sum(not each.routine for each in metrics.registry().values())
    assert f"{ours} metrics of our own, {len(alarms)} alarms and a dashboard" in text


def test_every_metric_is_explained():
    text = OPERATIONS.read_text()
    for each in metrics.registry().values():
        assert f"`{each.in_prometheus}`" in text, each.name
        assert each.routine or f"`{each.in_cloudwatch}`" in text, each.name


def test_every_kind_of_work_is_explained():
    text = OPERATIONS.read_text().partition("\n### Kinds of work\n")[2].partition("\n## ")[0]
    assert app.app is not None  # it says who serves what
    named = set(re.findall(r"`([a-z.]+)`", text))
    assert named == {*owed._workers, "unreadable"}


def test_tick_can_be_called_by_hand_as_the_runbook_shows(table, monkeypatch):
    monkeypatch.setattr(owed, "kinds", lambda: [])
    (payload,) = re.findall(r"--payload '(.+?)'", OPERATIONS.read_text(), re.DOTALL)
    assert app.tick(json.loads(payload), None) == {"kicked": 0}


@pytest.mark.parametrize("path", observe.files(), ids=lambda path: Path(path).name)
def test_the_files_are_what_their_program_makes(path: Path):
    assert path.read_text() == observe.files()[path], "run .venv/bin/python -m infra.observe"


def promtool(*command: str | Path) -> None:
    """Prometheus' own tool, where it is installed (Debian: `prometheus`)."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([tool, *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_speak_up_when_they_should_and_not_else():
    promtool("test", "rules", ROOT / "tests" / "support" / "rules.yml")


def test_prometheus_can_read_every_expression_of_grafana(tmp_path: Path):
    rules = [
        {"record": f"r:{number}", "expr": text.replace("$__rate_interval", "5m")}
        for number, text in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)


def test_panels_stand_side_by_side(widgets):
    places = [(each["x"], each["y"]) for each in widgets]
    assert len(set(places)) == len(places)
    assert max(x + each["width"] for each, (x, _) in zip(widgets, places, strict=True)) <= 24


def test_answers_that_api_gateway_gives_by_itself_are_json(template):
    answers = template["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "MISSING_AUTHENTICATION_TOKEN", "THROTTLED"} <= set(answers)
    for each in answers.values():
        text = each["ResponseTemplates"]["application/json"]
        # API Gateway puts the message in with its quotes.
        assert json.loads(text.replace("$context.error.messageString", '"Forbidden"'))
    assert answers["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == 404


def test_every_log_is_kept_for_a_while_and_not_for_ever(template):
    groups = {
        name: each["Properties"]["RetentionInDays"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::Logs::LogGroup"
    }
    assert set(groups.values()) == {30}
    used = {
        each["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Serverless::Function"
    }
    assert used == set(groups)


def test_queue_and_table_keep_what_is_promised(template):
    resources = {
        name: each["Properties"] for name, each in template["Resources"].items() if "Properties" in each
    }
    assert resources["WorkQueue"]["RedrivePolicy"]["maxReceiveCount"] == 5
    assert resources["WorkDeadLetters"]["MessageRetentionPeriod"] == 14 * 86400
    assert resources["Table"]["TimeToLiveSpecification"]["Enabled"] is True
    assert resources["Table"]["BillingMode"] == "PAY_PER_REQUEST"
    assert resources["RestAPI"]["EndpointConfiguration"] in ("REGIONAL", {"Type": "REGIONAL"})
