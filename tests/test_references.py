"""Secrets by reference: looked up once, by those who use them, and never told."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws

from chalicelib import references, settings
from chalicelib.jitsi import settings as jitsi_settings
from chalicelib.owt import settings as owt_settings
from chalicelib.settings import BadSetting
from infra.children import ROOT
from infra.emulator import REGION

HANDLERS = ("app.app", "app.ws_connect", "app.tick")
PROCESSES = ("infra.gateway", "infra.worker", "infra.letters list", "infra.storage")
SECRET = "a secret of thirty-two characters"


@pytest.fixture
def parameters() -> Iterator[Any]:
    """An emulated Parameter Store."""
    with mock_aws():
        references.begin()
        yield boto3.client("ssm", region_name=REGION)


@pytest.fixture
def asked(parameters: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests that were made of it."""
    found = []
    call = BaseClient._make_api_call

    def heard(self: Any, operation: str, request: dict[str, Any]) -> Any:
        found.append(request)
        assert operation == "GetParameters"
        return call(self, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", heard)
    return found


def put(parameters: Any, **values: str) -> None:
    for name, value in values.items():
        parameters.put_parameter(Name=f"/foyer-dev/{name}", Value=value, Type="SecureString", Overwrite=True)


def test_a_setting_may_say_where_it_stands(parameters, monkeypatch):
    put(parameters, OWT_KEY_SECRET=SECRET, JITSI_USER_KEYS=f"secret:{SECRET}")
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-dev/OWT_KEY_SECRET")
    monkeypatch.setenv("JITSI_USER_KEYS", "ssm:/foyer-dev/JITSI_USER_KEYS")

    assert owt_settings.get().key_secret == SECRET
    assert jitsi_settings.get().user_keys == f"secret:{SECRET}"


def test_a_reference_may_name_a_version(parameters, monkeypatch):
    put(parameters, OWT_KEY_SECRET=SECRET)
    put(parameters, OWT_KEY_SECRET=SECRET + " of later")
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-dev/OWT_KEY_SECRET:1")
    monkeypatch.setenv("OWT_TOKEN_SECRET", "ssm:/foyer-dev/OWT_KEY_SECRET:2")

    given = owt_settings.get()
    assert (given.key_secret, given.token_secret) == (SECRET, SECRET + " of later")


def test_settings_of_one_facade_are_looked_up_together_and_others_not(asked, monkeypatch):
    with pytest.raises(BadSetting):
        settings.load(
            owt_settings.OwtSettings,
            "OWT_",
            {
                "OWT_KEY_SECRET": "ssm:/foyer-dev/a",
                "OWT_TOKEN_SECRET": "ssm:/foyer-dev/b",
                "LOOP_SECRET": "ssm:/foyer-dev/c",
                "OWT_PORTAL_HOST": "ssm.example:8080",
            },
        )
    assert asked == [{"Names": ["/foyer-dev/a", "/foyer-dev/b"], "WithDecryption": True}]


def test_what_is_not_there_is_told_by_the_setting_and_nothing_of_what_is(parameters, monkeypatch):
    put(parameters, a=SECRET)
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-dev/a")
    monkeypatch.setenv("OWT_TOKEN_SECRET", "ssm:/foyer-dev/b")

    with pytest.raises(BadSetting) as told:
        owt_settings.get()
    assert str(told.value) == "OWT_TOKEN_SECRET: SSM has no such parameter"


def test_what_was_looked_up_is_as_bad_as_what_was_given(parameters, monkeypatch):
    put(parameters, a="short")
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-dev/a")

    with pytest.raises(BadSetting, match="OWT_KEY_SECRET: 32 characters") as told:
        owt_settings.get()
    assert "short" not in str(told.value)


def test_without_anybody_to_look_up_a_reference_is_no_secret(monkeypatch):
    monkeypatch.setattr(settings, "_look_up", [])
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-dev/OWT_KEY_SECRET")

    with pytest.raises(BadSetting, match="nothing is looked up here"):
        owt_settings.get()


def test_an_outage_is_told_without_the_value(parameters, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    monkeypatch.setattr(references, "TRIES", 1)
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-dev/OWT_KEY_SECRET")

    with pytest.raises(BadSetting, match=r"OWT_KEY_SECRET: SSM (does not answer|refuses)"):
        owt_settings.get()


def test_no_stage_holds_a_secret():
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    secret = ("SECRET", "KEY", "KEYS", "USERS", "_ALSO")
    for stage in config["stages"].values():
        for name, value in stage.get("environment_variables", {}).items():
            assert not name.endswith(secret) or value.startswith("ssm:/"), name


def test_settings_do_not_show_their_secrets():
    given = settings.load(settings.Settings, "FOYER_", {"FOYER_GATEWAY_SECRET": SECRET})
    queue = settings.load(jitsi_settings.JitsiSettings, "JITSI_", {"JITSI_USER_KEYS": f"secret:{SECRET}"})

    assert SECRET not in repr(given) + repr(queue)


class NoParameters(BaseHTTPRequestHandler):
    """SSM, with nothing in it."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked["Names"])  # type: ignore[attr-defined]
        body = json.dumps({"Parameters": [], "InvalidParameters": asked["Names"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_every_process_looks_up_what_its_settings_refer_to():
    with ThreadingHTTPServer(("127.0.0.1", 0), NoParameters) as ssm:
        ssm.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=ssm.serve_forever, daemon=True).start()
        environment = os.environ | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ssm.server_port}",
            "ADMIN_TOKENS": "ssm:/foyer-dev/ADMIN_TOKENS",
            "FOYER_GATEWAY_SECRET": "ssm:/foyer-dev/FOYER_GATEWAY_SECRET",
            "GATEWAY_HANDLERS": "lambda",
            "GATEWAY_LAMBDA_PREFIX": "foyer-dev",
        }
        commands = [["-m", *command.split()] for command in PROCESSES] + [["-c", "import app"]] * len(
            HANDLERS
        )
        handlers: list[dict[str, str]] = [{}] * len(PROCESSES) + [{"_HANDLER": each} for each in HANDLERS]
        started = [
            subprocess.Popen(
                [sys.executable, *command],
                env=environment | more,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for command, more in zip(commands, handlers, strict=True)
        ]
        told = [process.communicate(timeout=60)[0] for process in started]
        ssm.shutdown()

    for command, process, text in zip((*PROCESSES, *HANDLERS), started, told, strict=True):
        name = "ADMIN_TOKENS" if command in HANDLERS else "FOYER_GATEWAY_SECRET"
        assert process.returncode != 0, command
        assert text.endswith(f"{name}: SSM has no such parameter\n"), f"{command}: {text}"
    assert len(ssm.asked) == len(started)  # type: ignore[attr-defined]
