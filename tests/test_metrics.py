"""What is counted: something emits every metric of the registry, in Lambda to the log, else to Prometheus."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from prometheus_client.parser import text_string_to_metric_families

import app
from chalicelib import clock, journal, metrics, settings
from chalicelib.errors import Unavailable
from chalicelib.jitsi import actions, golive, release, waiting
from chalicelib.outbox import kicks, outgoing, owed
from chalicelib.realtime import fanout, fronts
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.store import table as store_table
from chalicelib.store import writes
from chalicelib.store.keys import Key
from infra.children import ROOT
from infra.credentials import Credentials
from infra.gateway import events
from tests.conftest import Stack
from tests.owt.api import REFUSED, Api, refusal
from tests.support.clients import VISITOR
from tests.support.events import call
from tests.support.world import World

EMBEDDED = {
    # The embedded metric format's own schema, as far as we use it.
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "items": {"type": "string"}, "maxItems": 30},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Count", "Seconds"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
OF_THE_GATEWAY = ("gateway_", "process_")


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    metrics.reset()
    yield
    metrics.reset()


@pytest.fixture
def in_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted goes to the log."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "foyer-dev")
    monkeypatch.setenv("FOYER_STACK", "foyer-dev")
    settings.reset()
    journal.begin()


@pytest.fixture
def rows(stack: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The product behind API Gateway."""
    monkeypatch.setenv("FOYER_SHARDS", "1")
    made = World(stack, credentials, monkeypatch, "rows")
    yield made
    made.leave()


def embedded(text: str) -> list[dict[str, Any]]:
    """The lines of a log that CloudWatch takes metrics from."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def told(line: dict[str, Any]) -> dict[str, float]:
    """The metrics of a line."""
    jsonschema.validate(line, EMBEDDED)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)
    return {each["Name"]: float(line[each["Name"]]) for each in directive["Metrics"]}


def samples(text: str) -> dict[str, list[Any]]:
    """What Prometheus' own parser reads of each family."""
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


def fails(error: BaseException) -> Callable[..., Any]:
    """Something that raises."""

    def failing(*_: object, **__: object) -> Any:
        raise error

    return failing


def refused(code: str) -> ClientError:
    """An error as DynamoDB spells it."""
    return ClientError({"Error": {"Code": code, "Message": ""}}, "UpdateItem")


def everything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all of it happen once: what goes well, and what goes wrong."""
    patched: Callable[[], Any] = monkeypatch.context
    conference = world.conference()
    world.visitor().connect().wait(conference)
    assert world.golive(conference).status == 200
    world.drain()

    with ExitStack() as stack:  # a latecomer's handler dies before it sees that the conference is live
        late = world.visitor().connect()
        patch = stack.enter_context(patched())
        patch.setattr(waiting, "_record_and_session", fails(KeyboardInterrupt()))
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        late.subscribe(VISITOR + conference)
    world.advance(release.LOOK_AFTER_S)
    world.tick()
    world.drain()

    assert call(app.app, "POST", "/waiting-queue/golive", "{}").status == 401
    with patched() as patch:
        patch.setattr(golive, "go_live", fails(Unavailable("storage does not answer")))
        assert world.golive(conference).status == 503
    with patched() as patch:
        patch.setattr(actions, "subscribe", fails(Unavailable("storage does not answer")))
        world.visitor().connect().subscribe(VISITOR + conference)

    api = Api(world.credentials.super_service_id, world.credentials.super_service_key)
    body = {"media": {"audio": {"from": "nothing"}, "video": False}}
    assert refusal(api.post(f"/rooms/{api.room()}/recordings", body)) == REFUSED

    with patched() as patch:
        patch.setitem(owed._workers, "job", fails(RuntimeError()))
        assert world.work(kicks.spell("job", Key("a", "b")), "nonsense")
    with patched() as patch:
        patch.setattr(kicks, "client", fails(EndpointConnectionError(endpoint_url="x")))
        assert not kicks.send("body", 0)

    world.lines.verdict = lambda post: Outcome.RETRY
    fanout.send(fronts.API_GATEWAY, [Post("a", "text")])
    outgoing.send("PUT", "nonsense")

    class Client:
        answers = iter([refused("TransactionConflictException"), EndpointConnectionError(endpoint_url="x")])

        def _make_api_call(self, *_: object) -> Any:
            raise next(self.answers)

    with patched() as patch:
        patch.setattr(store_table, "client", Client)
        with pytest.raises(Unavailable):
            writes.call("UpdateItem", {})
    writes.update("a", "b", actions=owed.owing("sora.push", Key("a", "b"), clock.now() - 200))
    monkeypatch.setattr(owed, "kinds", lambda: ["sora.push"])
    world.tick()


def test_every_metric_is_emitted_by_something_for_prometheus(rows, monkeypatch):
    everything(rows, monkeypatch)

    found = samples(metrics.exposition())
    silent = [
        each.name
        for each in metrics.registry().values()
        if not each.name.startswith(OF_THE_GATEWAY)
        and not any(sample.value for sample in found[each.in_prometheus.removesuffix("_total")])
    ]
    assert silent == []


def test_every_metric_that_aws_does_not_count_is_emitted_to_the_log_and_no_other(
    rows, monkeypatch, in_lambda, capsys
):
    everything(rows, monkeypatch)

    lines = embedded(capsys.readouterr().err)
    counted = {name for line in lines for name, value in told(line).items() if value}
    assert counted == {each.in_cloudwatch for each in metrics.registry().values() if not each.routine}
    assert {line["Stack"] for line in lines} == {"foyer-dev"}
    assert samples(metrics.exposition())["foyer_golives"] == []


def test_what_a_request_counted_is_part_of_its_line_and_an_ordinary_one_counts_nothing(
    rows, in_lambda, capsys, monkeypatch
):
    conference = rows.conference()
    rows.visitor().connect().wait(conference)
    assert call(app.app, "GET", "/healthz").status == 200
    assert embedded(capsys.readouterr().err) == []

    monkeypatch.setattr(golive, "go_live", fails(RuntimeError()))
    rows.golive(conference)
    (line,) = embedded(capsys.readouterr().err)
    assert (line["logger"], line["route"], line["status"]) == (
        "journal.requests",
        "/waiting-queue/golive",
        500,
    )
    assert told(line) == {"ServerErrors": 1, "GoliveFailures": 1}


def test_what_a_contract_refuses_with_a_500_is_no_server_error(rows, in_lambda, capsys):
    api = Api(rows.credentials.super_service_id, rows.credentials.super_service_key)
    room = api.room()
    capsys.readouterr()

    body = {"media": {"audio": {"from": "nothing"}, "video": False}}
    assert refusal(api.post(f"/rooms/{room}/recordings", body)) == REFUSED
    (line,) = embedded(capsys.readouterr().err)
    assert line["status"] == 500
    assert told(line) == {"Refusals": 1}


def test_tick_and_work_write_one_line_at_their_end_and_only_if_they_counted_something(
    rows, in_lambda, capsys
):
    capsys.readouterr()
    rows.tick()
    (line,) = embedded(capsys.readouterr().err)
    assert told(line) == {"OwedRows": 0, "OwedOldestSeconds": 0, "Sweeps": 1}

    assert rows.work() == []
    assert embedded(capsys.readouterr().err) == []
    rows.work("nonsense", "more nonsense")
    (line,) = embedded(capsys.readouterr().err)
    assert told(line) == {"DeadLetters": 2}


def test_a_function_that_lambda_starts_counts_under_its_stack(stack):
    environ = dict(os.environ) | stack.environment
    environ |= {
        "_HANDLER": "app.tick",
        "AWS_LAMBDA_FUNCTION_NAME": "foyer-dev-tick",
        "FOYER_STACK": "foyer-dev",
    }
    program = f"import app; app.tick({events.scheduled()!r}, None)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = embedded(done.stderr)
    assert line["Stack"] == "foyer-dev"
    assert told(line) == {"OwedRows": 0, "OwedOldestSeconds": 0, "Sweeps": 1}


def test_metrics_are_written_whatever_the_level_of_the_log(rows, in_lambda, capsys, monkeypatch):
    monkeypatch.setenv("FOYER_LOG_LEVEL", "ERROR")
    settings.reset()
    journal.begin()
    try:
        assert call(app.app, "POST", "/waiting-queue/golive", "{}").status == 401
        (line,) = embedded(capsys.readouterr().err)
        assert told(line) == {"GoliveRefusals": 1}
        assert "route" not in line
    finally:
        monkeypatch.delenv("FOYER_LOG_LEVEL")
        settings.reset()
        journal.begin()


def test_tick_tells_for_how_long_the_oldest_owed_row_has_been_due_and_asks_storage_for_nothing_more(
    table, monkeypatch
):
    asked: list[str] = []
    query = writes.query

    def asking(*args: Any, **named: Any) -> Any:
        asked.append(args[1])
        return query(*args, **named)

    monkeypatch.setattr(writes, "query", asking)
    monkeypatch.setattr(owed, "kinds", lambda: ["job"])
    for name, age in (("a", 30), ("b", 185), ("c", 90)):
        writes.update(name, "-", actions=owed.owing("job", Key(name, "-"), clock.now() - age))
    writes.update("d", "-", actions=owed.owing("job", Key("d", "-"), clock.now() + 600))

    app.tick(events.scheduled(), None)

    found = samples(metrics.exposition())
    assert found["foyer_owed_rows"][0].value == 3
    assert 185 <= found["foyer_owed_oldest_seconds"][0].value < 200
    assert len(asked) == len(set(asked))


def test_prometheus_reads_labels_whatever_is_in_them_and_histograms_that_add_up():
    metrics.REQUESTS.add(2, "GET", 'a"\\\n{}', "200")
    for seconds in (0.005, 0.2, 70):
        metrics.REQUEST_SECONDS.observe(seconds, "/a")

    found = samples(metrics.exposition())
    (sample,) = found["foyer_requests"]
    assert sample.labels == {"method": "GET", "route": 'a"\\\n{}', "status": "200"}
    assert sample.value == 2
    buckets = {each.labels.get("le"): each.value for each in found["foyer_request_seconds"]}
    assert (buckets["0.005"], buckets["0.1"], buckets["0.25"], buckets["10.0"]) == (1, 1, 2, 2)
    assert buckets["+Inf"] == 3
    (total,) = [each.value for each in found["foyer_request_seconds"] if each.name.endswith("_sum")]
    assert total == pytest.approx(70.205)


def test_a_counter_without_labels_is_there_before_it_counts():
    assert samples(metrics.exposition())["foyer_visitors_released"][0].value == 0


def test_nobody_can_make_series_without_end():
    for number in range(metrics.SERIES + 50):
        metrics.FRAMES.add(1, f"command {number}", "ok")

    found = samples(metrics.exposition())["foyer_frames"]
    assert len(found) == metrics.SERIES + 1
    assert found[-1].labels == {"command": metrics.OTHER, "outcome": metrics.OTHER}
    assert found[-1].value == 50


def test_a_command_that_a_client_made_up_is_no_label(rows):
    socket = rows.visitor()
    socket.send("NONSENSE\n\n\x00")

    assert {each.labels["command"] for each in samples(metrics.exposition())["foyer_frames"]} == {"-"}
