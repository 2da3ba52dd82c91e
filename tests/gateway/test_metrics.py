"""`GET /metrics` of a gateway and of a worker: who may ask, and that every number comes from something."""

import asyncio
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from chalicelib import metrics
from chalicelib import settings as shared
from infra import worker
from infra.gateway import settings, sources
from infra.gateway.handlers import backlog
from tests.gateway.stub_app import stub
from tests.gateway.support import VISITOR, Running, running, until


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    metrics.reset()
    yield
    metrics.reset()


async def scraped(gateway: Running, port: int) -> dict[str, dict[tuple[str, ...], float]]:
    """What a scrape finds, by family and labels."""
    status, headers, body = await gateway.request("GET", "/metrics", port=port)
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return read(body.decode())


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """What Prometheus' own parser reads."""
    return {
        family.name: {tuple(each.labels.values()): each.value for each in family.samples}
        for family in text_string_to_metric_families(text)
    }


@pytest.mark.parametrize(
    ("where", "management", "public"),
    [("", 200, 404), ("management", 200, 404), ("public", 200, 200), ("off", 403, 404)],
)
def test_numbers_are_told_on_the_public_port_only_where_that_is_allowed(
    where: str, management: int, public: int
) -> None:
    async def main() -> None:
        async with running(**({"GATEWAY_METRICS": where} if where else {})) as gateway:
            found = [
                (await gateway.request("GET", "/metrics", port=port))[0]
                for port in (gateway.management_port, gateway.port)
            ]
            assert found == [management, public]

    asyncio.run(main())


@pytest.mark.parametrize(("method", "path"), [("POST", "/metrics"), ("GET", "/metrics/"), ("GET", "/@bulk")])
def test_everything_else_on_the_management_listener_stays_signed(method: str, path: str) -> None:
    async def main() -> None:
        async with running() as gateway:
            assert (await gateway.request(method, path, port=gateway.management_port))[0] == 403

    asyncio.run(main())


def test_an_unknown_place_for_the_numbers_is_refused() -> None:
    with pytest.raises(shared.BadSetting, match="GATEWAY_METRICS"):
        settings.load({"GATEWAY_METRICS": "everywhere"})


class Silent:
    """A queue that does not answer."""

    def receive_message(self, **_: Any) -> dict[str, Any]:
        raise ConnectionError


def test_every_metric_of_a_gateway_is_emitted_by_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOYER_FRONT_LEASE_S", "0.1")
    shared.reset()
    monkeypatch.setattr(sources, "sqs_client", lambda connections: Silent())

    async def main() -> dict[str, dict[tuple[str, ...], float]]:
        async with running(GATEWAY_THREADS="1") as gateway:
            poller = sources.Poller(gateway.gateway.handlers, "https://queue.test", 1)
            poller.start()
            with pytest.raises(InvalidStatus):
                await gateway.connect(f"{VISITOR}?raise=1")
            stub.lease_kept = False
            await until(lambda: len(stub.registered) == 2)
            async with gateway.connect():
                held = [asyncio.ensure_future(gateway.request("GET", "/held")) for _ in range(2)]
                await until(lambda: stub.noted("held"))
                shaking = asyncio.ensure_future(handshaken(gateway))
                await until(lambda: gateway.gateway.sockets.calls and backlog(gateway.gateway.pool) == 2)
                found = await scraped(gateway, gateway.management_port)
                stub.gate.set()
                await asyncio.gather(*held, shaking)
            poller.stop()
            again = await scraped(gateway, gateway.management_port)
            return found | {"foyer_gateway_requests": again["foyer_gateway_requests"]}

    found = asyncio.run(main())
    silent = [
        each.name
        for each in metrics.registry().values()
        if each.name.startswith(("gateway_", "process_"))
        and not any(found[each.in_prometheus.removesuffix("_total")].values())
    ]
    assert silent == []
    assert found["foyer_gateway_sockets"] == {(): 1}
    assert found["foyer_gateway_backlog"] == {("handler",): 2, ("work",): 0}
    assert found["foyer_gateway_handshakes"] == {("500",): 1, ("101",): 1}
    assert found["foyer_gateway_handler_failures"] == {("ws_connect",): 1}
    assert found["foyer_gateway_requests"][("GET", "204")] == 2


async def handshaken(gateway: Running) -> None:
    """Open a socket and close it."""
    async with gateway.connect():
        pass


def test_a_worker_tells_its_numbers_on_the_port_that_it_is_given_and_nothing_else() -> None:
    port = free_port()
    server = worker.measured(settings.load({"GATEWAY_MANAGEMENT_PORT": str(port)}))
    assert server is not None
    metrics.DEAD_LETTERS.add(1, "a kind")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            found = read(answer.read().decode())
        with pytest.raises(HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/other")
        refused.value.close()
    finally:
        server.shutdown()
        server.server_close()
    assert found["foyer_dead_letters"] == {("a kind",): 1}
    assert found["process_cpu_seconds"][()] > 0


@pytest.mark.parametrize("environ", [{}, {"GATEWAY_MANAGEMENT_PORT": "1", "GATEWAY_METRICS": "off"}])
def test_a_worker_without_a_port_listens_nowhere(environ: dict[str, str]) -> None:
    assert worker.measured(settings.load(environ)) is None
