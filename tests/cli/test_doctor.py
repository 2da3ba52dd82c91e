"""`doctor`: each thing that can be missing is found, named, and has a fix beside it."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from chalicelib import keysets, references, settings
from chalicelib.keysets import Bounds
from chalicelib.owt import vault
from chalicelib.realtime import fronts
from chalicelib.settings import BadSetting
from chalicelib.store import aws
from cli import doctor
from tests.cli.conftest import Outcome, Run
from tests.conftest import GatewayFactory, Stack
from tests.support.counts import FULL
from tests.support.jwts import rsa_pair

BY_TARGET = {
    "dynamodb:GetItem": "GetItem",
    "dynamodb:BatchGetItem": "BatchGetItem",
    "dynamodb:Query": "Query",
    "dynamodb:PutItem": "PutItem",
    "dynamodb:UpdateItem": "UpdateItem",
    "dynamodb:DeleteItem": "DeleteItem",
    "dynamodb:BatchWriteItem": "BatchWriteItem",
    "dynamodb:ConditionCheckItem": "TransactWriteItems",
    "sqs:GetQueueAttributes": "GetQueueAttributes",
    "sqs:ChangeMessageVisibility": "ChangeMessageVisibility",
    "sqs:DeleteMessage": "DeleteMessage",
    "sqs:SendMessage": "SendMessage",
    "sqs:ReceiveMessage": "ReceiveMessage",
}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server on loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def guard(emulator: str, denied: set[str]) -> Iterator[str]:
    """An endpoint of AWS that denies some actions, as IAM does, and passes the rest on."""

    class Guard(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if action in denied:
                self._answer(400, json.dumps({"__type": "AccessDeniedException", "message": f"no {action}"}))
                return
            kept = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "connection"}}
            request = urllib.request.Request(emulator + self.path, body, kept, method="POST")
            try:
                with urllib.request.urlopen(request) as answer:
                    self._answer(answer.status, answer.read().decode())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read().decode())

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Guard) as url:
        yield url


@pytest.fixture
def _new_session() -> Iterator[None]:
    """The SDK reads the environment once in a process: have it read that of the test."""
    aws._session.cache_clear()
    yield
    aws._session.cache_clear()


def found(outcome: Outcome, level: str) -> list[dict[str, Any]]:
    """The checks of one level."""
    return [each for each in outcome.json["checks"] if each["level"] == level]


@pytest.fixture
def at_amazon(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment of somebody who has a region and credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return monkeypatch


pytestmark = pytest.mark.usefixtures("_new_session")


def test_everything_that_is_there_is_found_and_nothing_is_left_behind(
    run: Run, gateway: GatewayFactory, stack: Stack
) -> None:
    running = gateway()
    before = len(stack.rows())
    outcome = run("--url", running.ready["http"], "doctor", "--thorough", "--json")
    assert (outcome.status, found(outcome, "error"), found(outcome, "skipped")) == (0, [], [])
    checked = {each["check"] for each in outcome.json["checks"]}
    assert checked == {
        *("settings", "service", "clock of the service", "clock of DynamoDB", "expiry of rows"),
        *("table foyer", "queue foyer-work", "permissions of dynamodb", "permissions of sqs"),
    }
    allowed = {
        f"{service}:{action}"
        for service in ("dynamodb", "sqs")
        for each in outcome.json["checks"]
        if each["check"] == f"permissions of {service}"
        for action in each["says"].split(", ")
    }
    assert allowed >= BY_TARGET.keys() - {"sqs:GetQueueAttributes"}
    deadline = time.monotonic() + 10
    while stack.messages() and time.monotonic() < deadline:  # work takes the message, and nothing comes of it
        time.sleep(0.1)
    assert [row for row in stack.rows() if row["pk"]["S"] in {"dead", doctor.NOBODY}] == []
    assert len(stack.rows()) == before


@pytest.mark.parametrize(
    "actions",
    [(action,) for action in BY_TARGET] if FULL else [tuple(BY_TARGET)[::2], tuple(BY_TARGET)[1::2]],
    ids=" ".join,
)
def test_a_permission_that_is_missing_is_named_with_its_fix_and_no_other_one(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, actions: tuple[str, ...]
) -> None:
    with guard(stack.environment["AWS_ENDPOINT_URL"], {BY_TARGET[action] for action in actions}) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        outcome = run("doctor", "--thorough", "--json")
    assert outcome.status == 1
    missing = found(outcome, "error")
    named = {f"{action} on the index due" for action in actions if action == "dynamodb:Query"} | set(actions)
    assert {each["says"].partition(" is missing")[0] for each in missing} == named
    assert all("policy" in each["fix"] for each in missing)


@pytest.mark.parametrize(("status", "level"), [(403, "error"), (410, "ok")])
def test_a_gateway_beside_a_stack_that_may_not_send_to_its_sockets_is_told(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, status: int, level: str
) -> None:
    class ApiGateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Amzn-ErrorType", "ForbiddenException" if status == 403 else "GoneException")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(ApiGateway) as url:
        monkeypatch.setenv("FOYER_API_ENDPOINT", url)
        settings.reset()
        fronts.announce()
        monkeypatch.delenv("FOYER_API_ENDPOINT")
        settings.reset()
        outcome = run("doctor", "--json")
    (said,) = [each for each in outcome.json["checks"] if "ManageConnections" in each["says"]]
    assert said["level"] == level
    assert (outcome.status, "policy" in said["fix"]) == ((1, True) if level == "error" else (0, False))


def test_a_table_and_a_queue_that_are_not_there_are_two_findings(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOYER_TABLE", "another")
    monkeypatch.setenv("FOYER_QUEUE_URL", stack.queue_url.replace("foyer-work", "another"))
    outcome = run("doctor", "--json")
    assert outcome.status == 1
    assert {each["check"] for each in found(outcome, "error")} == {"table another", "queue another"}
    assert outcome.err.strip().startswith("foyer: 2 of ")


def test_an_endpoint_and_a_service_that_do_not_answer_say_where_they_were_looked_for(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    outcome = run("--url", "http://127.0.0.1:9", "doctor", "--json")
    wrong = {each["check"]: each for each in found(outcome, "error")}
    assert "FOYER_URL" in wrong["service"]["fix"]
    assert "AWS_ENDPOINT_URL" in wrong["table foyer"]["fix"]
    assert outcome.status == 1


@pytest.mark.parametrize("setting", [{}, {"FOYER_STAGE": "prod"}], ids=str)
def test_without_a_table_or_address_it_fails_and_says_what_to_give_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    for name, text in setting.items():
        monkeypatch.setenv(name, text)
    outcome = run("doctor", "--json")
    assert {each["check"] for each in found(outcome, "skipped")} >= {"service", "table and queue"}
    assert (outcome.status, outcome.json["ok"], found(outcome, "error")) == (1, False, [])
    assert "give --url, or set FOYER_TABLE" in outcome.err


def test_a_setting_that_is_wrong_stops_no_other_check(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITSI_JOIN_RATE", "fast")
    outcome = run("doctor", "--json")
    assert [each["check"] for each in found(outcome, "error")] == ["setting JITSI_JOIN_RATE"]
    assert "table foyer" in {each["check"] for each in found(outcome, "ok")}


@pytest.mark.parametrize(
    ("away", "level", "says"),
    [
        (0, "ok", "the same as ours"),
        (12, "warning", "12 s ahead of ours"),
        (-12, "warning", "12 s behind ours"),
        (61, "error", "61 s ahead of ours"),
        (-3600, "error", "3600 s behind ours"),
    ],
)
def test_a_clock_that_is_wrong_is_said_before_signatures_are_refused(
    away: int, level: str, says: str
) -> None:
    [check] = doctor.clock("the service", "Wed, 21 Oct 2015 07:28:00 GMT", 1445412480.5 - away)
    assert (check.level, check.says) == (level, says)
    assert bool(check.fix) == (level != "ok")


@contextmanager
def amazon(answers: dict[str, tuple[int, dict[str, str]]]) -> Iterator[str]:
    """KMS, and the connections of API Gateway, as far as what they are asked is among the answers."""

    class Amazon(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GetConnection" if self.path.startswith("/prod/@connections/") else self.path)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            action = self.headers["X-Amz-Target"].partition(".")[2]
            assert (body["KeyId"], body["EncryptionContext"]) == ("alias/foyer", vault.CONTEXT)
            assert action != "Decrypt" or body["CiphertextBlob"] == MADE["CiphertextBlob"]
            self._answer(action)

        def _answer(self, action: str) -> None:
            status, value = answers[action]
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            if "__type" in value:
                self.send_header("X-Amzn-ErrorType", value["__type"])
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Amazon) as url:
        yield url


MADE = {"KeyId": "k", "CiphertextBlob": "c2VhbGVk", "Plaintext": "b" * 43 + "="}
NO = (400, {"__type": "AccessDeniedException", "message": "not authorized"})


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (
            {"GenerateDataKey": (200, MADE), "Decrypt": (200, {"KeyId": "k", "Plaintext": "AAAA"})},
            [("ok", "GenerateDataKey, Decrypt")],
        ),
        (
            {"GenerateDataKey": (200, MADE), "Decrypt": NO},
            [
                ("error", "kms:Decrypt is missing: not authorized"),
                ("ok", "GenerateDataKey"),
            ],
        ),
        (
            {"GenerateDataKey": NO},
            [
                ("error", "kms:GenerateDataKey is missing: not authorized"),
                ("skipped", "kms:Decrypt: there is nothing to open without what kms:GenerateDataKey makes"),
            ],
        ),
    ],
    ids=["both", "no Decrypt", "no GenerateDataKey"],
)
def test_of_a_key_of_kms_only_what_was_tried_is_called_allowed(
    at_amazon: pytest.MonkeyPatch,
    answers: dict[str, tuple[int, dict[str, str]]],
    says: list[tuple[str, str]],
) -> None:
    with amazon(answers) as url:
        at_amazon.setenv("AWS_ENDPOINT_URL", url)
        checks = list(doctor._kms("alias/foyer"))
    assert [(each.level, each.says) for each in checks] == says
    assert [bool(each.fix) for each in checks] == [level == "error" for level, _ in says]


@pytest.mark.parametrize(
    ("answer", "level", "says", "fix"),
    [
        ((410, {"__type": "GoneException"}), "ok", "ManageConnections", ""),
        (NO, "error", "execute-api:ManageConnections is missing: not authorized", "policy"),
        ((403, {"__type": "ForbiddenException", "message": "Forbidden"}), "error", "is missing", "stage in"),
        ((403, {"message": "Forbidden"}), "error", "is missing", "stage in FOYER_API_ENDPOINT"),
    ],
)
def test_whether_sockets_of_api_gateway_may_be_written_to_is_asked_of_one_that_is_not_there(
    at_amazon: pytest.MonkeyPatch, answer: tuple[int, dict[str, str]], level: str, says: str, fix: str
) -> None:
    with amazon({"GetConnection": answer}) as url:
        [check] = doctor._sockets(f"{url}/prod")
    assert check.level == level
    assert says in check.says
    assert fix in check.fix


KEYS = [("pk", "HASH"), ("sk", "RANGE")]
DUE = [("due", "HASH"), ("due_at", "RANGE")]


def described(
    keys: list[tuple[str, str]], *indexes: dict[str, Any], status: str = "ACTIVE"
) -> dict[str, Any]:
    return {"TableStatus": status, "KeySchema": schema(keys), "GlobalSecondaryIndexes": list(indexes)}


def schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys]


def index(keys: list[tuple[str, str]] = DUE, projection: str = "ALL", name: str = "due") -> dict[str, Any]:
    return {"IndexName": name, "KeySchema": schema(keys), "Projection": {"ProjectionType": projection}}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (described(KEYS, index()), ""),
        (described(KEYS, index(), status="CREATING"), "it is CREATING"),
        (described(KEYS[:1], index()), "its keys are pk"),
        (described(KEYS), "no index due"),
        (described(KEYS, index(name="other")), "no index due"),
        (described(KEYS, index(DUE[:1])), "no index due"),
        (described(KEYS, index(projection="KEYS_ONLY")), "does not project"),
    ],
)
def test_a_table_that_is_not_ours_is_told_from_one_that_is(table: dict[str, Any], says: str) -> None:
    [check] = doctor.table_shape("foyer", table)
    assert (check.level == "error", bool(check.fix)) == (bool(says), bool(says))
    assert says in check.says


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"VisibilityTimeout": "180", "RedrivePolicy": "{}"}, "there, with"),
        ({"VisibilityTimeout": "30", "RedrivePolicy": "{}"}, "come again after 30 s"),
        ({"VisibilityTimeout": "180"}, "no dead-letter queue"),
    ],
)
def test_a_queue_that_serves_badly_is_warned_of(attributes: dict[str, str], says: str) -> None:
    [check] = doctor.queue_shape("work", attributes)
    assert says in check.says
    assert (check.level == "warning") == ("there, with" not in says) == bool(check.fix)


class Keys(BaseHTTPRequestHandler):
    """A server of keys, in several states."""

    def do_GET(self) -> None:
        """Answer by path."""
        pair = rsa_pair()
        body = {
            "/jwks": {"keys": [pair.jwk("a"), pair.jwk("b")]},
            "/empty": {"keys": []},
            "/certs": {"a": pair.certificate_pem},
        }.get(self.path)
        status = 503 if self.path.startswith("/down/") else 200 if body is not None else 404
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def key_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of keys with a certificate that we trust."""
    pair = rsa_pair()
    chain = tmp_path / "chain.pem"
    chain.write_text(pair.private_pem + pair.certificate_pem)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(chain)
    bounds = Bounds(tls=ssl.create_default_context(cadata=pair.certificate_pem))
    monkeypatch.setattr(keysets, "fetch", partial(keysets.fetch, bounds=bounds))
    with serving(Keys, ours) as url:
        yield url


@pytest.mark.parametrize(
    ("kind", "path", "level", "says"),
    [
        ("jwks", "/jwks", "ok", "2 keys at"),
        ("certs", "/certs", "ok", "1 keys at"),
        ("keyserver", "/keys/", "ok", "answers"),
        ("jwks", "/empty", "error", "no usable key"),
        ("jwks", "/none", "error", "answers 404"),
        ("certs", "/jwks", "error", ""),
        ("keyserver", "/down/", "error", "answers 503"),
    ],
)
def test_keys_that_are_fetched_are_fetched_to_see(
    key_server: str, kind: str, path: str, level: str, says: str
) -> None:
    check = doctor.key_source("JITSI_USER_KEYS", kind, key_server + path)
    assert (check.level, bool(check.fix)) == (level, level == "error")
    assert says in check.says


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://keys.example.com/", "https"),
        ("https://localhost:9/jwks", "Connection refused"),
    ],
)
def test_keys_that_cannot_be_reached_are_an_error_with_the_reason(url: str, says: str) -> None:
    for kind in ("jwks", "certs", "keyserver"):
        check = doctor.key_source("JITSI_USER_KEYS", kind, url)
        assert (check.level, bool(check.fix)) == ("error", True)
        assert says in check.says


def test_each_address_of_both_settings_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITSI_USER_KEYS", "secret:a,jwks:https://a.example/k, keyserver:https://b.example/")
    monkeypatch.setenv("JITSI_SERVER_KEYS", "certs:https://c.example/c\npem:x")
    seen: list[tuple[str, str]] = []

    def look(name: str, kind: str, url: str) -> doctor.Check:
        seen.append((name, url))
        return doctor.Check("ok", name, kind)

    monkeypatch.setattr(doctor, "key_source", look)
    list(doctor._keys())
    assert seen == [
        ("JITSI_USER_KEYS jwks", "https://a.example/k"),
        ("JITSI_USER_KEYS keyserver", "https://b.example/"),
        ("JITSI_SERVER_KEYS certs", "https://c.example/c"),
    ]


def test_settings_that_stand_in_ssm_are_looked_up_and_one_that_is_not_there_is_an_error(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(wanted: dict[str, str]) -> dict[str, str]:
        if "LOOP_SECRET" in wanted:
            raise BadSetting("LOOP_SECRET: SSM has no such parameter")
        return dict.fromkeys(wanted, "o" * 32)

    monkeypatch.setattr(settings, "_look_up", [])
    monkeypatch.setattr(references, "look_up", look_up)
    monkeypatch.setenv("OWT_KEY_SECRET", "ssm:/foyer-prod/OWT_KEY_SECRET")
    outcome = run("doctor", "--json")
    assert (outcome.status, found(outcome, "error")) == (0, [])
    looked = [each["says"] for each in found(outcome, "ok") if each["check"] == "settings in SSM"]
    assert looked == ["OWT_KEY_SECRET"]

    monkeypatch.setenv("LOOP_SECRET", "ssm:/foyer-prod/LOOP_SECRET")
    outcome = run("doctor", "--json")
    [wrong] = [each for each in found(outcome, "error") if each["check"] == "settings in SSM"]
    assert "LOOP_SECRET" in wrong["says"]
    assert "ssm:GetParameters" in wrong["fix"]
    assert "table foyer" in {each["check"] for each in found(outcome, "ok")}
