"""What the API refuses, in which words, and what comes first (contract 1.1 and 1.2)."""

import json
from typing import Any

import pytest

from chalicelib import settings
from tests.owt.api import serve
from tests.sora.api import (
    CHANNEL,
    CONNECTION,
    DELETE,
    DELETE_ITEM,
    GET,
    LIST,
    OPERATIONS,
    PUT,
    PUT_ITEM,
    RICHEST,
    VERSION,
    about,
    come,
    given,
    rpc,
)

PARSE = {"error_type": "InvalidJSON", "error_reason": [{"invalid": "parse"}]}


def target(operation, service="Sora", version="20201124"):
    return {"service": service, "version": version, "operation": operation}


def fault(error, data, *path):
    return {
        "error_type": "InvalidJSON",
        "error_reason": [{"invalid": "data", "error": error, "data": data, "path": list(path)}],
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/sora/event"])
def test_only_post_is_expected(method, path, table):
    answer = serve(method, path, b"{", {"x-sora-target": "?"})
    assert (answer.status, answer.json()) == (400, {"type": "UnexpectedMethod"})


def test_a_request_names_its_operation(table):
    answer = serve("POST", "/", b"", {"content-type": "application/json"})
    assert (answer.status, answer.json()) == (400, {"type": "MissingHeaderName"})


@pytest.mark.parametrize("name", ["x-sora-target", "X-Sora-Target", "X-SORA-TARGET"])
def test_the_name_of_the_header_is_read_in_any_case(name, table):
    answer = serve("POST", "/", b'{"channel_id":"x"}', {name: f"{VERSION}.{LIST}"})
    assert (answer.status, answer.body) == (200, "[]")


@pytest.mark.parametrize(
    "text",
    [
        "",
        LIST,
        "Sora.List",
        f"Sora_2020112.{LIST}",
        f"Sora_202011240.{LIST}",
        f"Sora_\u0662\u06602\u06601124.{LIST}",
        f"Sora1_20201124.{LIST}",
        f"{VERSION}.List1",
        f" {VERSION}.{LIST}",
        f"{VERSION}.{LIST}\n",
        f"{VERSION}.",
        "x" * 10_000,
    ],
)
def test_what_names_an_operation_has_a_form(text, table):
    answer = serve("POST", "/", b"", {"x-sora-target": text})
    assert (answer.status, answer.json()) == (400, {"error_type": "MissingService"})


def test_a_body_has_a_limit(table):
    for name in (f"{VERSION}.{LIST}", "Nobody_20201124.Does"):
        answer = rpc(name, b" " * (6 * 1024 * 1024 + 1))
        assert (answer.status, answer.json()) == (413, {"error_type": "PayloadTooLarge"})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_known_operation_needs_a_body(operation, table):
    answer = rpc(operation, b"")
    assert answer.status == 400
    assert answer.json() == {"error_type": "MissingTargetFunction", "error_reason": target(operation)}


UNKNOWN = (
    f"{VERSION}.Nothing",
    f"{VERSION}.{GET.lower()}",
    f"Sora_20201125.{GET}",
    f"sora_20201124.{GET}",
    f"SORA_20201124.{GET}",
)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_operation_is_named(name, table):
    answer = rpc(name, b"")
    assert (answer.status, answer.json()) == (400, {"error_type": "MissingTarget"})
    answer = rpc(name, about())
    service, _, rest = name.partition("_")
    version, _, operation = rest.partition(".")
    assert answer.status == 400
    assert answer.json() == {
        "error_type": "SchemaNotFound",
        "error_reason": target(operation, service, version),
    }


NOT_JSON = (
    b" ",
    b"{",
    b"{}x",
    b"{}{}",
    b'{"channel_id":NaN}',
    b'{"channel_id":"a","x":Infinity}',
    b'{"channel_id":"\xff"}',
    b'{"channel_id":"a","channel_id":"b"}',
    b'{"channel_id":"a","x":{"y":1,"y":2}}',
    b'{"channel_id":"\\ud800"}',
    b'{"channel_id":"a","x":' + b"[" * 64 + b"]" * 64 + b"}",
    b"{'channel_id':'a'}",
    b'\xef\xbb\xbf{"channel_id":"a"}',
    b'{"channel_id":"a",}',
    b'{"channel_id":"a\x01"}',
    b"[" * 100_000,
    b'{"x":' * 100_000,
    b"\0",
    b"01",
)


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:30]))
def test_what_is_not_json_is_refused(body, table):
    answer = rpc(LIST, body)
    assert (answer.status, answer.json()) == (400, PARSE)


def test_half_a_surrogate_pair_is_no_text_wherever_it_stands(table):
    come()
    for more in ('"metadata":{"a":"\\udc00"}', '"metadata":{"\\ud800":1}'):
        body = f'{{"channel_id":"{CHANNEL}","connection_id":"{CONNECTION}",{more}}}'
        answer = rpc(PUT, body.encode())
        assert (answer.status, answer.json()) == (400, PARSE)


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null", "true", "[1, 2]"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_body_is_an_object(operation, text, table):
    answer = rpc(operation, text.encode())
    assert (answer.status, answer.json()) == (400, fault("wrong_type", json.loads(text)))


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (LIST, ["channel_id"]),
        (GET, ["channel_id", "connection_id"]),
        (PUT, ["channel_id", "connection_id", "metadata"]),
        (DELETE, ["channel_id", "connection_id"]),
        (PUT_ITEM, ["channel_id", "connection_id", "key", "value"]),
        (DELETE_ITEM, ["channel_id", "connection_id", "key"]),
    ],
)
def test_each_operation_demands_its_keys(operation, names, table):
    come()
    for name in names:
        left = {key: value for key, value in RICHEST.items() if key != name}
        answer = rpc(operation, left)
        assert (answer.status, answer.json()) == (400, fault("missing_required_property", name))
    assert rpc(operation, {name: RICHEST[name] for name in names}).status == 200


WRONG: dict[str, list[Any]] = {
    "channel_id": [1, None, [], {}, True],
    "connection_id": [1, None, [], {}, False],
    "metadata": [1, None, [], "x", True],
    "key": [1, None, [], {}, True],
    "push": [1, 0, None, "true", [], {}],
}


@pytest.mark.parametrize("name", WRONG)
def test_each_key_has_its_type(name, table):
    come()
    for operation, names in (
        (PUT, ("channel_id", "connection_id", "metadata", "push")),
        (PUT_ITEM, ("channel_id", "connection_id", "key", "push")),
        (DELETE_ITEM, ("key", "push")),
        (DELETE, ("channel_id", "push")),
    ):
        for value in WRONG[name] if name in names else ():
            answer = rpc(operation, RICHEST | {name: value})
            assert (answer.status, answer.json()) == (400, fault("wrong_type", value, name))


def test_a_type_is_looked_at_before_what_is_missing(table):
    answer = rpc(PUT_ITEM, connection_id=1)
    assert answer.json() == fault("wrong_type", 1, "connection_id")
    assert rpc(PUT_ITEM).json() == fault("missing_required_property", "channel_id")


def test_what_an_operation_does_not_know_it_does_not_look_at(table):
    come()
    for operation in (LIST, GET):
        assert rpc(operation, about(push=1, key=[], metadata="x", extra={"a": [1]})).status == 200


def test_a_long_offending_value_is_not_repeated(table):
    answer = rpc(LIST, channel_id=["x" * 100_000])
    assert answer.json() == fault("wrong_type", None, "channel_id")


KINDS = (
    None,
    "application/json; charset=utf-8",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/octet-stream",
    "nonsense",
    "",
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_type_is_not_looked_at(kind, table):
    headers = {"x-sora-target": f"{VERSION}.{LIST}"} | ({} if kind is None else {"content-type": kind})
    answer = serve("POST", "/", b'{"channel_id":"x"}', headers)
    assert (answer.status, answer.body) == (200, "[]")


def test_pages_of_the_configured_origin_may_read_every_answer(table, monkeypatch):
    given(monkeypatch, CORS_ORIGIN="http://127.0.0.1:5000")
    expected = {
        "access-control-allow-origin": "http://127.0.0.1:5000",
        "access-control-allow-headers": "Origin, X-Requested-With, Content-Type, Accept, x-sora-target",
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-max-age": "1000",
    }
    answers = [
        rpc(LIST, channel_id="x"),
        rpc(LIST, b""),
        rpc(GET, about()),
        serve("POST", "/"),
        serve("GET", "/"),
        rpc(LIST, b" " * (6 * 1024 * 1024 + 1)),
    ]
    given(monkeypatch, OPEN="false")
    answers += [rpc(LIST, channel_id="x"), serve("OPTIONS", "/")]
    for answer in answers:
        got = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
        assert got == expected
    assert [answer.status for answer in answers[-3:]] == [413, 401, 204]
    assert answers[-1].body == ""


def test_without_an_origin_no_answer_speaks_of_one(table):
    for answer in (rpc(LIST, channel_id="x"), rpc(LIST, b""), serve("OPTIONS", "/")):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert answer.status in {200, 204, 400}


def test_storage_that_fails_is_a_500(table, monkeypatch):
    monkeypatch.setenv("FOYER_TABLE", "another")
    settings.reset()
    for answer in (rpc(GET, about()), rpc(LIST, channel_id="x")):
        assert (answer.status, answer.json()) == (500, {"error_type": "HandlerException"})


def test_what_nobody_foresaw_is_a_500_without_its_text(table, monkeypatch, capfd):
    def fail(*_: object) -> None:
        raise RuntimeError("canary-secret")

    monkeypatch.setattr("chalicelib.sora.store.find", fail)
    answer = rpc(GET, about())
    assert (answer.status, answer.json()) == (500, {"error_type": "HandlerException"})
    assert "canary-secret" not in capfd.readouterr().err
