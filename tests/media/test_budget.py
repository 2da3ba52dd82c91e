"""What listing, acknowledging and sending commands cost in storage calls, exactly; counted below botocore."""

import pytest

from chalicelib.media import push
from chalicelib.media import settings as webhooks
from chalicelib.owt import media_settings
from chalicelib.store import keys
from tests.media.workers import Worker, order
from tests.owt.api import ok
from tests.support import receiver
from tests.support.storage import Storage

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


@pytest.fixture
def spent(stack):
    """The storage operations of a call, after one before it."""
    counter = Storage()
    counter.listen()

    def of(call):
        mark = len(counter.calls)
        call()
        return [each.operation for each in counter.since(mark)]

    yield of
    counter.deafen()


@pytest.fixture
def acme_warm(acme):
    """A service whose key the process knows."""
    ok(Worker(acme).waiting())
    return acme


def test_a_list_of_a_services_commands_is_one_query(acme_warm, spent):
    worker, room = Worker(acme_warm), acme_warm.room()
    order(acme_warm.service, room)
    assert spent(lambda: ok(worker.waiting())) == ["Query"]
    assert spent(lambda: ok(worker.waiting(f"?room={room}"))) == ["GetItem", "Query"]


def test_a_list_of_the_super_service_is_one_query_for_each_service_and_one_more(boss, acme_warm, spent):
    assert spent(lambda: ok(Worker(boss).waiting())) == ["Query"] * 3
    room = acme_warm.room()
    assert sorted(spent(lambda: ok(Worker(boss).waiting(f"?room={room}")))) == ["GetItem", "Query", "Query"]


def test_an_acknowledgement_is_one_read_and_one_transaction_and_a_second_one_two_reads(acme_warm, spent):
    worker = Worker(acme_warm)
    made = order(acme_warm.service, acme_warm.room())
    assert spent(lambda: worker.ack(made.id, {"ok": True})) == ["GetItem", "TransactWriteItems"]
    assert spent(lambda: worker.ack(made.id, {"ok": True})) == ["GetItem", "GetItem"]


@pytest.mark.parametrize("count", [1, 3])
def test_sending_is_one_read_and_one_write_for_each_command_and_four_for_the_room(
    stack, spent, monkeypatch, count
):
    with receiver.receiving() as server:
        monkeypatch.setenv("COMMAND_WEBHOOK_URL", server.url)
        monkeypatch.setenv("COMMAND_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("COMMAND_WEBHOOK_PRIVATE", "true")
        for known in (webhooks.get, media_settings.get):  # the clients that are counted stay
            known.cache_clear()
        service, room = "5188b9af6e53c84ffd600499", "6b0269fdb32ce611868ec9e0"
        for _ in range(count):
            order(service, room)
        calls = spent(lambda: push.serve(keys.owt_pusher(room)))
        assert len(server.requests) == count
    assert calls == [
        "UpdateItem",  # the room is taken on
        "Query",
        "GetItem",  # is the address in use?
        *["GetItem", "DeleteItem"] * count,
        "DeleteItem",
    ]
