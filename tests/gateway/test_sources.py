"""What runs beside the sockets: the schedule, the queue, kicks, and the front's lease."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import settings as shared
from infra.gateway import handlers, sources
from tests.gateway import stub_app
from tests.gateway.stub_app import stub
from tests.gateway.support import reset_stub, running, until


class FakeQueue:
    """SQS as far as the poller uses it."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.outages = 0
        self.delete_outages = 0
        self.more = threading.Condition()

    def put(self, *bodies: str) -> None:
        with self.more:
            self.waiting += [
                {
                    "MessageId": f"id-{body}",
                    "ReceiptHandle": f"receipt-{body}",
                    "Body": body,
                    "MD5OfBody": "m",
                }
                for body in bodies
            ]
            self.more.notify_all()

    def receive_message(self, **options: Any) -> dict[str, Any]:
        assert options["WaitTimeSeconds"] > 0
        with self.more:
            if self.outages:
                self.outages -= 1
                raise ConnectionError
            self.more.wait_for(lambda: bool(self.waiting), 0.05)
            taken, self.waiting = self.waiting[:10], self.waiting[10:]
            return {"Messages": taken} if taken else {}

    def delete_message_batch(self, **options: Any) -> dict[str, Any]:
        if self.delete_outages:
            self.delete_outages -= 1
            raise ConnectionError
        self.deleted += [entry["ReceiptHandle"] for entry in options["Entries"]]
        return {"Successful": []}


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    """A queue in memory in place of SQS."""
    fake = FakeQueue()
    monkeypatch.setattr(sources, "sqs_client", lambda connections: fake)
    monkeypatch.setattr(sources, "FIRST_BACK_OFF_S", 0.01)
    reset_stub()
    return fake


def wait(condition: Callable[[], Any]) -> None:
    """Wait for something that a thread does."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_batch_is_handed_on_in_sqs_s_shape_and_only_what_succeeded_is_deleted(queue: FakeQueue) -> None:
    stub.poison = {"bad"}
    poller = sources.Poller(handlers.LocalHandlers(stub_app.__name__), "http://q.test/000/foyer-work", 2)
    queue.put("one", "bad", "two")
    poller.start()
    wait(lambda: len(queue.deleted) == 2)
    poller.stop()
    assert sorted(queue.deleted) == ["receipt-one", "receipt-two"]
    record = next(record for record in stub.noted("work") if record["body"] == "one")
    assert record == {
        "messageId": "id-one",
        "receiptHandle": "receipt-one",
        "body": "one",
        "attributes": {},
        "messageAttributes": {},
        "md5OfBody": "m",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:local:000000000000:foyer-work",
        "awsRegion": "local",
    }


def test_a_handler_that_raises_leaves_the_whole_batch(
    queue: FakeQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    class Raising(handlers.LocalHandlers):
        def call(self, name: str, event: Any, request_id: str) -> Any:
            super().call(name, event, request_id)
            if len(stub.noted("work")) < 3:
                raise KeyError("sesame")

    poller = sources.Poller(Raising(stub_app.__name__), "http://q.test/q", 1)
    queue.put("one", "two")
    poller.start()
    wait(lambda: len(stub.noted("work")) == 2)
    queue.put("three")
    wait(lambda: queue.deleted)
    poller.stop()
    assert queue.deleted == ["receipt-three"]
    assert "sesame" not in capsys.readouterr().err


def test_outages_of_the_queue_are_survived(queue: FakeQueue, capsys: pytest.CaptureFixture[str]) -> None:
    queue.outages, queue.delete_outages = 3, 1
    queue.put("one")
    poller = sources.Poller(handlers.LocalHandlers(stub_app.__name__), "http://q.test/q", 1)
    poller.start()
    wait(lambda: queue.deleted == ["receipt-one"])
    poller.stop()
    assert capsys.readouterr().err.count("queue does not answer") == 4


def test_the_poller_stops_after_the_batch_in_hand(queue: FakeQueue) -> None:
    class Slow(handlers.LocalHandlers):
        def call(self, name: str, event: Any, request_id: str) -> Any:
            time.sleep(0.2)
            return super().call(name, event, request_id)

    poller = sources.Poller(Slow(stub_app.__name__), "http://q.test/q", 1)
    queue.put("one")
    poller.start()
    wait(lambda: not queue.waiting)
    poller.stop()
    assert queue.deleted == ["receipt-one"]


def test_the_schedule_ticks_at_once_and_again_whatever_a_tick_raises(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reset_stub()

    class Raising(handlers.LocalHandlers):
        def call(self, name: str, event: Any, request_id: str) -> Any:
            super().call(name, event, request_id)
            raise KeyError("sesame")

    schedule = sources.Schedule(Raising(stub_app.__name__), 0.05)
    schedule.start()
    wait(lambda: len(stub.noted("tick")) >= 3)
    schedule.stop()
    event = stub.noted("tick")[0]
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
    assert "sesame" not in capsys.readouterr().err


def test_a_gateway_runs_the_schedule_and_the_queue(queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOYER_QUEUE_URL", "http://q.test/q")
    monkeypatch.setenv("FOYER_SWEEP_INTERVAL_S", "0.05")
    shared.reset()

    async def main() -> None:
        queue.put("one")
        async with running(GATEWAY_SOURCES="auto"):
            await until(lambda: queue.deleted and len(stub.noted("tick")) > 1)

    asyncio.run(main())


def test_a_kick_runs_the_work_at_once_in_this_process() -> None:
    async def main() -> None:
        async with running():
            assert stub.kick is not None
            stub.kick('{"kind":"release"}')
            await until(lambda: stub.noted("work"))
        (record,) = stub.noted("work")
        assert (json.loads(record["body"]), record["eventSource"]) == ({"kind": "release"}, "aws:sqs")

    asyncio.run(main())


def test_a_lost_lease_closes_every_socket_and_registers_another_front(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOYER_FRONT_LEASE_S", "0.1")
    shared.reset()

    async def main() -> None:
        async with running() as gateway:
            async with gateway.connect() as client:
                await gateway.socket_id(client)
                stub.lease_kept = False
                await client.wait_closed()
                assert client.close_code == 1001
            before, after = stub.registered
            assert before != after
            assert stub.front == after
            async with gateway.connect():
                assert stub.noted("connect")[-1]["requestContext"]["apiId"] == f"gateway-{after}"
            _, _, body = await gateway.request("GET", "/echo/x")
            assert json.loads(body)["requestContext"]["apiId"] == f"gateway-{after}"
        assert stub.withdrawn == [after]

    asyncio.run(main())
    assert "lease lost" in capsys.readouterr().err


def test_a_front_whose_id_is_taken_takes_another() -> None:
    async def main() -> None:
        stub.ids_taken = 2
        async with running() as gateway:
            assert stub.registered == [gateway.ready["front"]]
            assert stub.ids_taken == 0

    asyncio.run(main())


def test_a_socket_that_comes_in_while_the_lease_is_lost_is_sent_away_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        async with running() as gateway:
            pending = asyncio.ensure_future(gateway.connect("/waiting-queue/visitor?sleep=0.2").__aenter__())
            await until(lambda: stub.noted("connect"))
            await asyncio.to_thread(gateway.gateway.lease._lost)
            client = await pending
            await client.wait_closed()
            assert client.close_code == 1001
            await until(lambda: stub.noted("disconnect"))

    asyncio.run(main())


def test_an_outage_of_the_registry_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOYER_FRONT_LEASE_S", "0.1")
    shared.reset()
    outages = ["register", "renew", "renew"]

    def fail(what: str) -> Callable[..., Any]:
        original = getattr(stub_app.Glue, what)

        def call(self: Any, *arguments: Any) -> Any:
            if what in outages:
                outages.remove(what)
                raise ConnectionError
            return original(self, *arguments)

        return call

    for what in ("register", "renew"):
        monkeypatch.setattr(stub_app.Glue, what, fail(what))

    async def main() -> None:
        async with running() as gateway, gateway.connect() as client:
            await until(lambda: not outages)
            await client.send("echo still here")
            assert await client.recv() == "still here"

    asyncio.run(main())
    assert capsys.readouterr().err.count("registry does not answer") == 3
