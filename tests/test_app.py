"""The app's own routes, its errors and its start, called as API Gateway calls them."""

import json
import socket

import pytest

import app
from chalicelib import settings
from chalicelib.jitsi import settings as jitsi_settings
from chalicelib.store import health
from tests.support.events import call


def test_healthz_answers_without_storage(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    answer = call(app.app, "GET", "/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


@pytest.fixture
def patient_health(monkeypatch):
    """Time for moto, which loads what it needs at the first call of a process."""
    monkeypatch.setattr(health, "DEADLINE_S", 30.0)


def test_readyz_reads_the_table(table, patient_health):
    answer = call(app.app, "GET", "/readyz")
    assert (answer.status, answer.json()) == (200, {"status": "ready"})


def test_readyz_names_a_missing_table(table, patient_health, monkeypatch):
    monkeypatch.setenv("FOYER_TABLE", "another")
    settings.reset()
    answer = call(app.app, "GET", "/readyz")
    assert answer.status == 503
    assert answer.json() == {"status": "unavailable", "failing": ["table: ResourceNotFoundException"]}


def test_readyz_gives_up_on_storage_that_does_not_answer(table, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings.reset()
        answer = call(app.app, "GET", "/readyz")
    assert answer.status == 503
    assert answer.json()["failing"][0].startswith("table: ")


def test_a_request_id_of_the_clients_own_comes_back(table):
    assert (
        call(app.app, "GET", "/healthz", headers={"X-Request-Id": "abc-1.2_3"}).header("x-request-id")
        == "abc-1.2_3"
    )


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é"])
def test_a_malformed_request_id_is_replaced(table, given):
    answered = call(app.app, "GET", "/healthz", headers={"X-Request-Id": given}).header("x-request-id")
    assert answered
    assert answered != given


def test_an_error_that_nobody_foresaw_is_a_500_without_its_text(table, credentials, monkeypatch, capfd):
    def fail(*_: object) -> None:
        raise RuntimeError("canary-secret")

    app.warm()
    monkeypatch.setattr("chalicelib.jitsi.golive.go_live", fail)
    answer = call(
        app.app,
        "POST",
        "/waiting-queue/golive",
        body=json.dumps({"conference": "a@conference.meet.local"}),
        headers={"Authorization": f"Bearer {credentials.server_token()}"},
    )
    assert (answer.status, answer.json()) == (500, {"error": "internal error"})
    logged = capfd.readouterr().err
    assert "canary-secret" not in logged
    assert '"error":"RuntimeError"' in logged


def test_storage_that_fails_is_a_503(table, credentials, monkeypatch):
    monkeypatch.setenv("FOYER_TABLE", "another")
    settings.reset()
    answer = call(
        app.app,
        "POST",
        "/waiting-queue/golive",
        body=json.dumps({"conference": "a@conference.meet.local"}),
        headers={"Authorization": f"Bearer {credentials.server_token()}"},
    )
    assert (answer.status, answer.json()) == (503, {"error": "storage failed"})


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("FOYER_SHARD", "4", "FOYER_SHARD: there is no such setting"),
        ("FOYER_SHARDS", "many", "FOYER_SHARDS: whole number expected"),
        ("FOYER_SHARDS", "0", "FOYER_SHARDS: between 1 and 36"),
        ("FOYER_LOG_LEVEL", "LOUD", "FOYER_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR"),
        ("JITSI_LIVE_TTL", "1", "JITSI_LIVE_TTL: there is no such setting"),
        ("JITSI_ALLOW_EMPTY_TOKEN", "perhaps", "JITSI_ALLOW_EMPTY_TOKEN: true or false expected"),
        ("JITSI_JOIN_RATE", "nan", "JITSI_JOIN_RATE: finite number expected"),
        ("JITSI_HEARTBEAT", "0;0", "JITSI_HEARTBEAT: two numbers of milliseconds like 0,480000"),
        ("JITSI_USER_KEYS", "guess", None),
        ("JITSI_SERVER_KEYS", "pem:/nowhere.pem", None),
        ("JITSI_VISITOR_POLICY", "some", "JITSI_VISITOR_POLICY: role or any"),
        ("JITSI_QUEUE_BASE_PATH", "queue/", "JITSI_QUEUE_BASE_PATH: empty, or a path like /waiting-queue"),
        ("JITSI_MAX_DELAY_MS", "600001", "JITSI_MIN_DELAY_MS, JITSI_MAX_DELAY_MS: 0 <= min <= max <= 600000"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(table, monkeypatch, name, text, complaint):
    monkeypatch.setenv(name, text)
    settings.reset()
    with pytest.raises(settings.BadSetting) as refused:
        app.warm()
    text = str(refused.value)
    assert "\n" not in text
    assert text == complaint if complaint else text.startswith(f"{name}: ")


def test_the_open_stage_does_not_run_in_lambda(table, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "foyer-dev-api")
    settings.reset()
    with pytest.raises(settings.BadSetting):
        app.refuse_open_stage()
    monkeypatch.setenv("FOYER_STAGE", "prod")
    settings.reset()
    app.refuse_open_stage()


def test_settings_read_every_kind_of_value(monkeypatch):
    monkeypatch.setenv("JITSI_USER_ISSUERS", "chat, other,")
    monkeypatch.setenv("JITSI_ALLOW_EMPTY_TOKEN", "Yes")
    monkeypatch.setenv("JITSI_JOIN_RATE", "2.5")
    settings.reset()
    ours = jitsi_settings.get()
    assert (ours.user_issuers, ours.allow_empty_token, ours.join_rate) == (("chat", "other"), True, 2.5)
