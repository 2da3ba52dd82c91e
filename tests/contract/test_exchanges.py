"""Documented exchanges as literal HTTP, replayed against the gateway.

Each file beside this one has a service's settings and scenes.  A scene begins with an empty table, a last one
perhaps with none; what it `sends` goes over a socket line by line as it stands, and the answer has the
status, body and headers named.
"""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import GatewayFactory, Stack

FILES = sorted(Path(__file__).parent.glob("*.json"))


def wire(lines: list[str]) -> bytes:
    """A request as it goes over the wire; the last line is the body."""
    return "\r\n".join(lines).encode()


def exchanges(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every exchange of a file with its scene's name."""
    for scene in json.loads(path.read_text())["scenes"]:
        for exchange in scene["exchanges"]:
            yield scene["name"], exchange


def replay(address: str, lines: list[str]) -> tuple[int, dict[str, str], str]:
    """Status, headers by their lower-case names, and body of the answer."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        line.sendall(wire(lines))
        with HTTPResponse(line, method=lines[0].partition(" ")[0]) as answer:
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read().decode()


def clear(stack: Stack) -> None:
    """Empty the table."""
    for row in stack.rows():
        if row["pk"]["S"] != "fronts":
            stack.dynamodb.delete_item(TableName=stack.table, Key={name: row[name] for name in ("pk", "sk")})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_documented_exchange_is_answered_as_documented(
    path: Path, gateway: GatewayFactory, stack: Stack
) -> None:
    document = json.loads(path.read_text())
    running = gateway(**document.get("settings", {}))
    for scene in document["scenes"]:
        if scene.get("storage") == "gone":
            stack.dynamodb.delete_table(TableName=stack.table)
        else:
            clear(stack)
        for number, exchange in enumerate(scene["exchanges"], 1):
            where = f"{scene['name']}, exchange {number}: {exchange['sends'][0]}"
            expected = exchange["answers"]
            status, headers, body = replay(running.http, exchange["sends"])
            assert (status, body) == (expected["status"], expected["body"]), where
            got = {name: headers.get(name) for name in expected.get("headers", {})}
            assert got == expected.get("headers", {}), where


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_request_says_how_long_its_body_is(path: Path) -> None:
    for scene, exchange in exchanges(path):
        *head, body = exchange["sends"]
        fields = dict(line.lower().split(": ", 1) for line in head[1:-1])
        assert head[-1] == "", scene
        if "transfer-encoding" not in fields:
            assert int(fields.get("content-length", "0")) == len(body.encode()), scene
