"""What each call costs in storage, exactly; counted below botocore."""

from collections.abc import Iterator

import pytest

from chalicelib import clock
from chalicelib.outbox import outgoing, owed
from chalicelib.outbox.outgoing import Outcome
from chalicelib.store import keys, writes
from chalicelib.wcs import ending, reaper, store
from chalicelib.wcs import settings as wcs_settings
from tests.conftest import Stack
from tests.support.storage import Storage, item_size, listening
from tests.wcs.server import NODE, SESSION, Server, User, event, ok, spell

UNIT = 1024
"""Bytes of an item that one write unit pays for."""
LARGEST_LISTED_ROW = 160


@pytest.fixture
def server(stack: Stack) -> Server:
    """A server, on ministack."""
    return Server()


@pytest.fixture
def user(stack: Stack) -> User:
    """A user, on ministack."""
    return User()


@pytest.fixture
def storage(stack: Stack) -> Iterator[Storage]:
    """The counter; made after the environment."""
    with listening() as counter:
        yield counter


def test_an_event_is_one_conditional_update_and_the_first_one_lists_the_stream_too(server, storage):
    assert storage.spent(server.tell) == ["UpdateItem", "UpdateItem"]
    first, second = storage.calls
    assert first.key == keys.wcs_listed("b4e7", keys.wcs_stream(SESSION, NODE))
    assert second.key == keys.wcs_stream(SESSION, NODE)
    assert "attribute_not_exists" in second.body["ConditionExpression"]
    for status in ("PUBLISHING", "RESIZE", "UNPUBLISHED"):
        assert storage.spent(lambda status=status: server.tell(status=status)) == ["UpdateItem"]
        assert storage.calls[-1].key == keys.wcs_stream(SESSION, NODE)
        assert "ConditionExpression" in storage.calls[-1].body


def test_another_process_lists_a_stream_once_more(server, storage):
    server.tell()
    store.forget()
    assert storage.spent(server.tell) == ["UpdateItem", "UpdateItem"]
    assert storage.spent(server.tell) == ["UpdateItem"]


def test_a_late_event_is_one_update_that_is_refused(server, storage):
    server.tell(status="FAILED")
    assert storage.spent(server.tell) == ["UpdateItem"]


def test_a_streams_row_is_one_write_unit_and_stands_in_no_index(server, stack):
    server.tell(
        info="Stopped by session disconnect",
        recordName="b4e7-56141d10-fddc-11e6-ac3a-4d67d5b3360d.webm",
        audioCodec="opus",
        videoCodec="H264",
        minBitrate=0,
        maxBitrate=0,
        audioBitrate=0,
        gop=0,
        fps=30,
        codecImpl="",
        transport="UDP",
        cvoExtension=True,
        history=False,
        createDate=1767225600000,
        mediaType="publish",
        audioState={"muted": False},
        videoState={"muted": False},
    )
    (row,) = [row for row in stack.rows() if row["pk"]["S"] == keys.wcs_sessions(SESSION)]
    assert item_size(row) <= UNIT
    assert "due" not in row
    assert "f_sdp" not in row


def test_a_row_of_the_list_is_small(server, stack):
    server.tell(name="n" * 1000, mediaSessionId="m" * 1024, nodeId="o" * 1000)
    (row,) = [row for row in stack.rows() if row["pk"]["S"].startswith("wl")]
    assert item_size(row) <= LARGEST_LISTED_ROW


def test_each_field_is_an_attribute_of_its_own_with_json_text(server, stack):
    server.tell(custom={"a": [1.0, None]}, pk="theirs", s=5)
    (row,) = [row for row in stack.rows() if row["pk"]["S"] == keys.wcs_sessions(SESSION)]
    fields = {name: value["S"] for name, value in row.items() if name.startswith("f_")}
    assert set(fields) == {f"f_{name}" for name in event(sdp=..., custom=1, pk=1, s=1)}
    assert fields["f_custom"] == '{"a":[1.0,null]}'
    assert (fields["f_pk"], fields["f_s"], fields["f_width"]) == ('"theirs"', "5", "0")
    assert set(row) - set(fields) == {"pk", "sk", "s", "expires_at"}


@pytest.mark.parametrize("hook", ["connect", "publishStream", "StreamEvent", "ConnectionStatusEvent"])
def test_any_other_hook_costs_nothing(server, storage, hook):
    assert storage.spent(lambda: ok(server.say(hook))) == []


def test_an_event_that_is_not_kept_costs_nothing(server, storage):
    assert storage.spent(lambda: server.tell(nodeId=5)) == []
    assert storage.spent(lambda: server.post("StreamStatusEvent", b"{"), 400) == []


def test_a_keep_alive_is_one_read_and_now_and_then_one_write(server, storage, monkeypatch):
    server.tell()
    assert storage.spent(lambda: ok(server.say("StreamKeepAliveEvent"))) == ["GetItem"]
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + 900)
    assert storage.spent(lambda: ok(server.say("StreamKeepAliveEvent"))) == ["GetItem", "UpdateItem"]
    assert storage.spent(lambda: ok(server.say("StreamKeepAliveEvent"))) == ["GetItem"]


def test_a_refused_keep_alive_is_one_read(server, user, storage):
    server.tell()
    ok(user.post("terminate", {"mediaSessionId": SESSION}))
    assert storage.spent(lambda: server.say("StreamKeepAliveEvent"), 403) == ["GetItem"]


def test_looking_by_id_is_one_query_and_by_name_one_and_a_read(server, user, storage):
    for number in range(3):
        server.tell(mediaSessionId=f"{number}")
    assert storage.spent(lambda: ok(user.post("find", {"mediaSessionId": "1"}))) == ["Query"]
    assert storage.spent(lambda: ok(user.post("find", {"name": "b4e7"}))) == ["Query", "BatchGetItem"]
    everything = ["Query"] * keys.WCS_LISTS + ["BatchGetItem"]
    assert sorted(storage.spent(lambda: ok(user.post("find_all")))) == sorted(everything)
    assert sorted(storage.spent(lambda: ok(user.post("find", {"published": True})))) == sorted(everything)
    assert all(call.body.get("IndexName") is None for call in storage.calls)


def test_asking_for_an_end_is_a_look_and_one_write_for_each_stream(server, user, storage):
    server.tell()
    wanted = {"mediaSessionId": SESSION}
    assert storage.spent(lambda: ok(user.post("terminate", wanted))) == ["Query", "UpdateItem"]
    assert storage.spent(lambda: ok(user.post("terminate", wanted))) == ["Query"]


def test_an_end_that_is_passed_on_is_one_transaction_and_a_kick(server, user, stack, storage, monkeypatch):
    monkeypatch.setenv("WCS_SERVERS", f"{NODE}=https://wcs.example")
    wcs_settings.get.cache_clear()  # and no client is made anew
    server.tell()
    wanted = {"mediaSessionId": SESSION}
    asked = ["Query", "TransactWriteItems", "SendMessage"]
    for _ in range(2):
        assert storage.spent(lambda: ok(user.post("terminate", wanted))) == asked
    where = keys.wcs_end(keys.wcs_stream(SESSION, NODE))
    (owing,) = [row for row in stack.rows() if row["pk"]["S"] == where.pk]
    assert item_size(owing) <= LARGEST_LISTED_ROW
    monkeypatch.setattr(outgoing, "send", lambda *_, **__: Outcome(200))
    assert storage.spent(lambda: ending.tell(where)) == ["UpdateItem", "GetItem", "DeleteItem"]
    assert storage.spent(lambda: ending.tell(where)) == ["UpdateItem"]
    server.tell(nodeId="n2@10.0.0.2", mediaSessionId="other")
    wanted = {"mediaSessionId": "other"}
    assert storage.spent(lambda: ok(user.post("terminate", wanted))) == ["Query", "UpdateItem"]


def test_a_look_is_one_read_and_two_writes_and_a_mark_one_more(server, storage, monkeypatch):
    server.tell()
    listed = keys.wcs_listed("b4e7", keys.wcs_stream(SESSION, NODE))
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + 3590)
    server.tell()
    monkeypatch.setattr(clock, "now", lambda: began + 3610)
    assert storage.spent(lambda: reaper.look(listed)) == ["UpdateItem", "GetItem", "UpdateItem"]
    monkeypatch.setattr(clock, "now", lambda: began + 7210)
    assert storage.spent(lambda: reaper.look(listed)) == [
        "UpdateItem",
        "GetItem",
        "UpdateItem",
        "UpdateItem",
    ]
    assert storage.spent(server.tell) == ["UpdateItem", "UpdateItem", "UpdateItem"]
    assert storage.spent(server.tell) == ["UpdateItem"]


def test_a_stream_that_is_silent_is_found_through_the_index(server, stack):
    server.tell()
    (listed,) = writes.query(store.ListedRow, keys.wcs_named("b4e7").pk, consistent=True)[0]
    assert listed.due == keys.due(store.STALE, listed.pk)
    assert store.STALE in owed.kinds()
    assert listed.due_at == pytest.approx(clock.now() + 3600, abs=60)


def test_nothing_is_found_by_a_scan_or_sent_to_the_queue(server, user, storage):
    server.tell()
    server.post("connect", spell(event()))
    ok(server.say("StreamKeepAliveEvent"))
    ok(user.post("find_all"))
    ok(user.post("terminate", {"name": "b4e7"}))
    assert {call.operation for call in storage.calls} == {"UpdateItem", "GetItem", "Query", "BatchGetItem"}
