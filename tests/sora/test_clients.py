"""curl as people use it, against the gateway; HTTPie's requests are among the documented exchanges."""

import json
import subprocess

import pytest

from tests.conftest import GatewayFactory
from tests.prosody.tools import tool
from tests.sora.api import CONNECTION, DELETE_ITEM, GET, PUT, VERSION


@pytest.fixture(scope="module")
def address(standing: GatewayFactory) -> str:
    """A gateway with one connection in the channel `sora`."""
    running = standing()
    body = {"type": "connection.created", "channel_id": "sora", "connection_id": CONNECTION}
    curl(f"{running.http}/sora/event?key=any", "-d", json.dumps(body))
    return running.http


def run(*command: str) -> str:
    """What a command prints."""
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, input="")
    return finished.stdout


def curl(url: str, *options: str) -> str:
    """What curl prints of an answer."""
    return run(tool("curl"), "-sS", *options, url)


HABITS = (
    ["-d"],
    ["-H", "Content-Type: application/json", "-d"],
    ["-H", "Content-Type:", "-d"],
    ["-H", "Content-Type: text/plain; charset=utf-8", "--data-binary"],
    ["-H", "Transfer-Encoding: chunked", "-d"],
    ["-H", "Expect: 100-continue", "-d"],
    ["-H", "Accept-Encoding: gzip", "--compressed", "-d"],
    ["--http1.0", "-d"],
)


def test_curl_is_answered_whatever_its_options(address):
    def rpc(options: list[str], operation: str, **body: object) -> str:
        header = f"x-sora-target: {VERSION}.{operation}"
        return curl(f"{address}/", "-H", header, *options, json.dumps(body))

    one = {"channel_id": "sora", "connection_id": CONNECTION}
    for options in HABITS:
        assert rpc(options, PUT, **one, metadata={"abc": "efg"}, push=True) == '{"abc":"efg"}', options
        assert rpc(options, GET, **one) == '{"abc":"efg"}', options
        assert rpc(options, DELETE_ITEM, **one, key="abc") == "{}", options


def test_a_body_of_the_largest_size_is_looked_at(address, tmp_path):
    body = {"channel_id": "sora", "connection_id": CONNECTION, "metadata": {}, "ignored": "x" * 6_000_000}
    (tmp_path / "body").write_text(json.dumps(body))
    header = f"x-sora-target: {VERSION}.{PUT}"
    assert curl(f"{address}/", "-H", header, "--data-binary", f"@{tmp_path}/body") == "{}"
