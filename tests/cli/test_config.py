"""`config check`: all that is wrong at once, never a value, and nothing that is right."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib import references
from cli import config
from cli.config import ERROR, WARNING
from infra.children import ROOT
from infra.credentials import Credentials
from tests.cli.conftest import Run
from tests.support.container import EXAMPLE

PRIVATE = "a value that nobody is shown"
GOOD = {
    "FOYER_STAGE": "prod",
    "FOYER_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/foyer-work",
    "FOYER_GATEWAY_SECRET": "g" * 32,
    "JITSI_USER_KEYS": "secret:" + "u" * 32,
    "JITSI_SERVER_KEYS": "secret:" + "s" * 32,
    "JITSI_MUC_DOMAIN_BASE": "meet.example.com",
    "OWT_SUPER_SERVICE_ID": "0123456789abcdef01234567",
    "OWT_SUPER_SERVICE_KEY": "k",
    "OWT_KEY_SECRET": "o" * 32,
    "LOOP_SECRET": "l" * 32,
    "LOOP_MEDIA_SECRET": "m",
    "SORA_API_KEYS": "a-key",
    "WCS_SECRETS": "my_api:secret",
    "ADMIN_TOKENS": "ada:" + "0" * 64,
    "MEDIA_MODE": "store",
    "GATEWAY_MODE": "edge",
    "PORT": "8080",
    "PATH": "/usr/bin",
    "HOME": "/root",
}


ROWS = {
    "README.md": r"^\| (`[A-Z]+_`.*?) \|",
    "docs/local.md": r"^\| `…: there is no such setting` \|(.*)\|$",
}
"""Where the beginnings of all settings are named, and what matches the rows."""


@pytest.mark.parametrize("document", ROWS)
def test_no_beginning_of_settings_is_left_out_of_a_table(document: str) -> None:
    rows = re.findall(ROWS[document], (ROOT / document).read_text(), re.MULTILINE)
    named = set(re.findall(r"`([A-Z]+_)", " ".join(rows)))
    assert named == {f"{prefix.partition('_')[0]}_" for prefix in config.OURS}


def findings(level: str, **changed: str) -> dict[str, str]:
    """What is found of one level once good settings are changed; an empty text takes one away."""
    environ = {name: text for name, text in (GOOD | changed).items() if text}
    return {each.setting: each.says for each in config.check(environ) if each.level == level}


def test_settings_that_are_in_order_are_passed_without_a_word():
    assert config.check(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"FOYER_SHARDS": "99"}, {"FOYER_SHARDS"}),
        (
            {"JITSI_JOIN_RATE": PRIVATE, "JITSI_MIN_DELAY_MS": "-1"},
            {"JITSI_JOIN_RATE", "JITSI_MIN_DELAY_MS, JITSI_MAX_DELAY_MS"},
        ),
        ({"JITSI_USER_KEY": PRIVATE}, {"JITSI_USER_KEY"}),
        ({"JITSI_USER_KEYS": "pem:/none"}, {"JITSI_USER_KEYS"}),
        ({"JITSI_SERVER_KEYS": PRIVATE}, {"JITSI_SERVER_KEYS"}),
        ({"OWT_SUPER_SERVICE_ID": PRIVATE}, {"OWT_SUPER_SERVICE_ID"}),
        ({"LOOP_SECRET": "short", "LOOP_PUSH": "perhaps"}, {"LOOP_SECRET", "LOOP_PUSH"}),
        ({"SORA_API_KEYS": PRIVATE, "SORA_METADATA_LIMIT": "x"}, {"SORA_API_KEYS", "SORA_METADATA_LIMIT"}),
        ({"WCS_SECRETS": PRIVATE}, {"WCS_SECRETS"}),
        ({"MEDIA_MODE": PRIVATE}, {"MEDIA_MODE"}),
        ({"COMMAND_WEBHOOK_URL": PRIVATE}, {"COMMAND_WEBHOOK_URL"}),
        (
            {"GATEWAY_MODE": PRIVATE, "TLS_PORT": "1", "GATEWAY_TRUSTED_PROXIES": PRIVATE},
            {"GATEWAY_MODE", "TLS_PORT", "GATEWAY_TRUSTED_PROXIES"},
        ),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_everything_that_is_wrong_is_said_at_once_and_no_value(changed, wrong):
    found = findings(ERROR, **changed)
    assert found.keys() == wrong
    assert PRIVATE not in json.dumps(found)


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"FOYER_STAGE": "local"}, "FOYER_STAGE"),
        ({"FOYER_QUEUE_URL": ""}, "FOYER_QUEUE_URL"),
        ({"FOYER_GATEWAY_SECRET": ""}, "FOYER_GATEWAY_SECRET"),
        ({"JITSI_USER_KEYS": ""}, "JITSI_USER_KEYS"),
        ({"JITSI_USER_KEYS": "secret:short"}, "JITSI_USER_KEYS"),
        ({"JITSI_SERVER_KEYS": ""}, "JITSI_SERVER_KEYS"),
        ({"JITSI_SERVER_KEYS": GOOD["JITSI_USER_KEYS"]}, "JITSI_SERVER_KEYS"),
        ({"JITSI_MUC_DOMAIN_BASE": ""}, "JITSI_MUC_DOMAIN_BASE"),
        ({"OWT_SUPER_SERVICE_ID": "", "OWT_SUPER_SERVICE_KEY": ""}, "OWT_SUPER_SERVICE_ID"),
        ({"LOOP_SECRET": ""}, "LOOP_SECRET"),
        ({"LOOP_MEDIA_SECRET": ""}, "LOOP_MEDIA_SECRET"),
        ({"SORA_OPEN": "1"}, "SORA_OPEN"),
        ({"SORA_API_KEYS": ""}, "SORA_API_KEYS"),
        ({"WCS_SECRETS": ""}, "WCS_SECRETS"),
        ({"WCS_OPEN": "1"}, "WCS_OPEN"),
        ({"AWS_ENDPOINT_URL": "http://10.0.0.1:4566"}, "AWS_ENDPOINT_URL"),
        ({"JITIS_MUC_DOMAIN_BASE": "x"}, "JITIS_MUC_DOMAIN_BASE"),
        ({"OWT_SUPER_SERVICE_ID": "", "OWT_SUPER_SERVICE_KEY": "", "JITSI-X": "1"}, "OWT_SUPER_SERVICE_ID"),
    ],
    ids=lambda value: " ".join(f"{n}={t}" for n, t in value.items()) if isinstance(value, dict) else value,
)
def test_what_the_service_would_start_with_all_the_same_is_a_warning(changed, setting):
    assert findings(WARNING, **changed).keys() == {setting}
    assert findings(ERROR, **changed) == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("JITSI_USER_KEY", "JITSI_USER_KEYS"),
        ("GATEWAY_THREAD", "GATEWAY_THREADS"),
        ("SORA_KEYS", "SORA_API_KEYS"),
    ],
)
def test_a_name_that_does_not_exist_is_compared_with_those_that_do(name, meant):
    assert meant in findings(ERROR, **{name: "x"})[name]


def test_the_settings_of_the_local_stage_have_no_error(credentials: Credentials):
    environ = {"FOYER_STAGE": "local", "FOYER_QUEUE_URL": "http://127.0.0.1/q"} | credentials.environment()
    assert [each for each in config.check(environ) if each.level == ERROR] == []


def test_a_file_is_read_as_systemd_reads_it(run: Run, tmp_path: Path):
    file = tmp_path / "foyer.env"
    file.write_text("# settings\n\n" + "".join(f"{name}={text}\n" for name, text in GOOD.items()))
    said = run("config", "check", "--env-file", str(file), "--strict", "--json")
    assert (said.status, said.json) == (0, {"ok": True, "findings": []})
    file.write_text("JITSI_JOIN_RATE=100\nnonsense\n")
    said = run("config", "check", "--env-file", str(file))
    assert (said.status, said.err) == (2, f"foyer: {file}, line 2: NAME=value is expected\n")


def test_the_keys_of_the_compose_file_are_found_on_its_host_as_the_guide_says(
    credentials: Credentials, tmp_path: Path
):
    (command,) = re.findall(
        r"^sed .*\| foyer .*$", (ROOT / "docs" / "self-hosting.md").read_text(), re.MULTILINE
    )
    shutil.copy(EXAMPLE, tmp_path / "foyer.env")
    (tmp_path / "keys").mkdir()

    def check(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", f'foyer() {{ "{sys.executable}" -m cli "$@"; }}\n{command}'],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert "error\tJITSI_SERVER_KEYS" in check(command).stdout
    for name in ("users.pub.pem", "asap.pub.pem"):
        shutil.copy(credentials.server_public_path, tmp_path / "keys" / name)
    done = check(command)
    assert (done.returncode, "error" in done.stdout) == (0, False), done.stdout + done.stderr


def test_a_stage_is_read_with_what_all_stages_have(run: Run, tmp_path: Path):
    stages = {"prod": {"environment_variables": {"FOYER_SHARDS": "none", "FOYER_STAGE": "prod"}}}
    (tmp_path / ".chalice").mkdir()
    (tmp_path / ".chalice" / "config.json").write_text(
        json.dumps({"environment_variables": {"JITSI_JOIN_RATE": "none"}, "stages": stages})
    )
    said = run("config", "check", "--stage", "prod", "--json")
    wrong = {each["setting"] for each in said.json["findings"] if each["level"] == "error"}
    assert (said.status, wrong) == (1, {"FOYER_SHARDS", "JITSI_JOIN_RATE"})
    assert "FOYER_QUEUE_URL" not in {each["setting"] for each in said.json["findings"]}
    assert run("config", "check", "--stage", "none").status == 2


def test_with_strict_a_warning_is_enough_to_fail(run: Run, monkeypatch: pytest.MonkeyPatch):
    for name, text in GOOD.items():
        monkeypatch.setenv(name, text)
    assert run("config", "check", "--strict").status == 0
    monkeypatch.delenv("LOOP_MEDIA_SECRET")
    assert run("config", "check").status == 0
    said = run("config", "check", "--strict")
    assert (said.status, said.err) == (1, "foyer: 1 finding\n")


SECRETS = [name for name in GOOD if "SECRET" in name or "KEY" in name or name == "ADMIN_TOKENS"]
ELSEWHERE = GOOD | {name: f"ssm:/foyer-prod/{name}" for name in SECRETS}


def test_what_stands_in_ssm_is_named_and_hides_nothing_that_is_wrong_beside_it():
    assert len(SECRETS) == 10
    found = config.check(ELSEWHERE)
    assert {each.level for each in found} == {"note"}
    assert [each.setting for each in found] == sorted(SECRETS)
    wrong = ELSEWHERE | {
        "OWT_MAUTH": "none",
        "LOOP_MAX_SIZE": "0",
        "WCS_STALE_AFTER_S": "0",
        "SORA_OPEN": "?",
    }
    found = [each for each in config.check(wrong) if each.level != "note"]
    assert {each.setting for each in found} == {
        "OWT_MAUTH",
        "LOOP_MAX_SIZE",
        "WCS_STALE_AFTER_S",
        "SORA_OPEN",
    }


def test_with_look_up_the_values_count_that_stand_there(run: Run, monkeypatch: pytest.MonkeyPatch):
    there = {name: GOOD[name] for name in SECRETS} | {"LOOP_SECRET": "short"}

    def look_up(wanted: dict[str, str]) -> dict[str, str]:
        return {name: there[reference.rpartition("/")[2]] for name, reference in wanted.items()}

    for name, text in ELSEWHERE.items():
        monkeypatch.setenv(name, text)
    assert run("config", "check", "--strict").status == 0
    monkeypatch.setattr(references, "look_up", look_up)
    said = run("config", "check", "--look-up", "--json")
    assert said.json["findings"] == [
        {"level": "error", "setting": "LOOP_SECRET", "says": "32 characters or more"}
    ]
