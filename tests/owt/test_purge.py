"""What goes after something has ended: rooms of 2,000 streams, rooms of services, what hung on streams."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib import settings
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import DeadRow
from chalicelib.owt import purge
from chalicelib.owt.errors import NoRoom
from chalicelib.owt.store import children, ended, participants, rooms, streams
from chalicelib.owt.stream import Audio, Forward, Media
from chalicelib.store import keys, writes
from chalicelib.store import table as tables
from chalicelib.store.keys import Key
from infra.credentials import Credentials
from tests.conftest import Stack
from tests.owt import entering
from tests.owt.api import NO_ROOM, Api, ok, refusal
from tests.support.counts import full
from tests.support.faults import Fault, Injector, Kind
from tests.support.storage import listening

MANY = 2000


@pytest.fixture
def caller(stack: Stack, credentials: Credentials) -> Api:
    """The super service, on ministack."""
    return Api(credentials.super_service_id, credentials.super_service_key)


def of_room(room_id):
    """The sort keys of a room's rows."""
    return [raw["sk"]["S"] for raw in writes.raw_rows(keys.owt_room_partition(room_id))]


def fill(service, room_id, count, owner="admin"):
    """Put so many streams into a room, written without a transaction each."""
    media = Media(Audio({"codec": "opus"}))
    rows = [
        streams.new_row(room_id, Forward(id=f"{owner}{number:05}", media=media, owner=owner, arrived=number))
        for number in range(count)
    ]
    writes.batch(puts=rows)
    room = rooms.RoomRow
    writes.update(*keys.owt_room(room_id), [room.inputs.set(room.inputs + count)], room.service == service)


def record(caller, room_id, source):
    """A recording of the audio of a stream; its id."""
    body = {"container": "mkv", "media": {"audio": {"from": source}, "video": False}}
    return ok(caller.post(f"/rooms/{room_id}/recordings", body))["id"]


def recordings(caller, room_id):
    return [each["id"] for each in ok(caller.get(f"/rooms/{room_id}/recordings"))]


def work(kind, key):
    """Serve a kick; whether it was served."""
    return owed.work([{"body": kicks.spell(kind, key), "messageId": "1"}]) == []


def counts(caller, room_id):
    state = rooms.read(caller.service, room_id)
    return state.participants, state.inputs, state.others


# Rooms


def test_a_room_with_2000_streams_is_gone_at_once_and_its_rows_soon(caller):
    room_id = caller.room()
    fill(caller.service, room_id, MANY)
    assert len(ok(caller.get(f"/rooms/{room_id}/streams"))) == MANY + 1
    began = time.monotonic()
    assert caller.delete(f"/rooms/{room_id}").body == "Room deleted"
    assert time.monotonic() - began < 2
    assert len(of_room(room_id)) == MANY + 1
    stream = f"/rooms/{room_id}/streams/admin00000"
    for answer in (caller.get(f"/rooms/{room_id}/streams"), caller.get(stream), caller.delete(stream)):
        assert refusal(answer) == NO_ROOM
    with listening() as storage:
        assert work(ended.PURGE, keys.owt_room_purge(room_id))
    assert of_room(room_id) == []
    batches = [call for call in storage.calls if call.operation == "BatchWriteItem"]
    assert len(batches) == MANY / writes.BATCH_WRITE
    assert all(len(*call.body["RequestItems"].values()) <= writes.BATCH_WRITE for call in batches)


def test_a_run_whose_time_is_up_has_the_next_one_go_on(caller, monkeypatch):
    room_id = caller.room()
    fill(caller.service, room_id, 100)
    caller.delete(f"/rooms/{room_id}")
    key = keys.owt_room_purge(room_id)
    monkeypatch.setattr(purge, "WORK_S", 0.0)
    kicked = []
    monkeypatch.setattr(kicks, "kick", lambda *what: kicked.append(what))
    runs = 0
    while of_room(room_id):
        assert work(ended.PURGE, key)
        runs += 1
    # Four writes of 25, and a last look.  However many there are, they are no attempts that failed.
    assert runs == 5
    assert kicked == [(ended.PURGE, key)] * 4
    assert list(writes.query_all(DeadRow, keys.DEAD)) == []


def test_a_worker_that_died_leaves_the_rest_to_the_sweep(caller, monkeypatch):
    room_id = caller.room()
    fill(caller.service, room_id, 100)
    caller.delete(f"/rooms/{room_id}")
    key = keys.owt_room_purge(room_id)
    batch, done = writes.batch, [False]

    def dies(**options):
        if done[0]:
            raise Unavailable("storage does not answer")
        batch(**options)
        done[0] = True

    monkeypatch.setattr(writes, "batch", dies)
    assert not work(ended.PURGE, key)
    monkeypatch.setattr(writes, "batch", batch)
    assert len(of_room(room_id)) == 76
    # Its lease keeps others off until it is over.
    assert work(ended.PURGE, key)
    assert len(of_room(room_id)) == 76
    writes.update(*key, [tables.Owing.due_at.set(time.time() - 1)])
    kicked = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: kicked.append((kind, key)))
    owed.sweep()
    assert kicked == [(ended.PURGE, key)]
    assert work(*kicked[0])
    assert of_room(room_id) == []


def test_the_lease_is_renewed_while_a_run_goes_on(caller, monkeypatch):
    room_id = caller.room()
    fill(caller.service, room_id, 100)
    caller.delete(f"/rooms/{room_id}")
    monkeypatch.setenv("FOYER_WORK_LEASE_S", "0.001")
    settings.reset()
    held = []
    hold = owed.hold

    def holds(row, **options):
        held.append(row)
        return hold(row, **options)

    monkeypatch.setattr(owed, "hold", holds)
    assert work(ended.PURGE, keys.owt_room_purge(room_id))
    assert len(held) == 4
    assert of_room(room_id) == []


# Services


def test_the_rooms_of_a_deleted_service_go_with_all_that_is_in_them(caller, monkeypatch, stack):
    made = ok(caller.post("/services", {"name": "acme", "key": "s3cret"}))
    acme = Api(made["_id"], "s3cret")
    ids = [acme.room() for _ in range(5)]
    fill(acme.service, ids[0], 60)
    other = caller.room()
    kicked = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: kicked.append((kind, key)))
    assert caller.delete(f"/services/{acme.service}").body == "Service deleted"
    assert refusal(acme.get("/rooms")) == (401, 1101)
    while kicked:
        assert work(*kicked.pop())
    left = {row["pk"]["S"] for row in stack.rows()}
    assert left == {keys.owt_room_partition(other), keys.owt_rooms(caller.service)}


def test_rooms_of_a_service_go_in_several_runs(caller, monkeypatch, stack):
    made = ok(caller.post("/services", {"name": "acme", "key": "s3cret"}))
    acme = Api(made["_id"], "s3cret")
    for _ in range(4):
        acme.room()
    monkeypatch.setattr(purge, "WORK_S", 0.0)
    kicked = []
    monkeypatch.setattr(kicks, "kick", lambda kind, key, delay=0.0: kicked.append((kind, key)))
    caller.delete(f"/services/{acme.service}")
    while kicked:
        assert work(*kicked.pop(0))
    assert stack.rows() == []


# What hung on what ended


def test_a_stream_that_ends_ends_what_takes_something_of_it(caller):
    room_id = caller.room()
    first, second = caller.streaming_in(room_id), caller.streaming_in(room_id)
    for _ in range(30):
        record(caller, room_id, first)
    kept = record(caller, room_id, second)
    assert caller.delete(f"/rooms/{room_id}/streams/{first}").status == 200
    assert recordings(caller, room_id) == [kept]
    assert sorted(of_room(room_id)) == sorted([f"w#{second}", "x", f"y#r#{kept}"])
    assert counts(caller, room_id) == (0, 1, 1)


def test_a_participant_who_goes_takes_streams_and_what_hung_on_them_along(caller):
    room_id = caller.room()
    entering.join(caller.service, room_id, "bob", "presenter", participant_id="bob")
    fill(caller.service, room_id, 60, owner="bob")
    kept = caller.streaming_in(room_id)
    for source in ("bob00000", "bob00059", kept):
        record(caller, room_id, source)
    assert caller.delete(f"/rooms/{room_id}/participants/bob").status == 200
    work(ended.END, keys.owt_ended(room_id, ended.PARTICIPANT, "bob"))
    assert [each["id"] for each in ok(caller.get(f"/rooms/{room_id}/streams"))][1:] == [kept]
    assert len(recordings(caller, room_id)) == 1
    assert not [sk for sk in of_room(room_id) if sk.startswith("xe#")]
    assert counts(caller, room_id) == (0, 1, 1)


def test_a_call_whose_source_ends_ends_as_a_whole(caller):
    room_id = caller.room(sip={"sipServer": "sip.example.org", "username": "u", "password": "p"})
    stream = caller.streaming_in(room_id)
    body = {
        "peerURI": "alice@example.org",
        "mediaIn": {"audio": True, "video": False},
        "mediaOut": {"audio": {"from": stream}, "video": False},
    }
    call = ok(caller.post(f"/rooms/{room_id}/sipcalls", body))
    record(caller, room_id, call["input"]["id"])
    assert counts(caller, room_id) == (1, 2, 2)
    assert caller.delete(f"/rooms/{room_id}/streams/{stream}").status == 200
    assert ok(caller.get(f"/rooms/{room_id}/sipcalls")) == []
    assert ok(caller.get(f"/rooms/{room_id}/participants")) == []
    assert of_room(room_id) == ["x"]
    assert counts(caller, room_id) == (0, 0, 0)


def test_a_participant_with_2000_streams_goes_in_several_runs(caller, monkeypatch):
    count = full(200, MANY)
    room_id = caller.room()
    entering.join(caller.service, room_id, "bob", "presenter", participant_id="bob")
    fill(caller.service, room_id, count, owner="bob")
    record(caller, room_id, "bob00000")
    key = keys.owt_ended(room_id, ended.PARTICIPANT, "bob")
    monkeypatch.setattr(purge, "INLINE_S", 0.05)
    monkeypatch.setattr(kicks, "kick", lambda *_: True)
    assert caller.delete(f"/rooms/{room_id}/participants/bob").status == 200
    # Nobody sees them from the first moment on.
    assert [each["id"] for each in ok(caller.get(f"/rooms/{room_id}/streams"))] == [f"{room_id}-common"]
    assert any(sk.startswith("w#") for sk in of_room(room_id))
    while key.sk in of_room(room_id):
        assert work(ended.END, key)
    # What an earlier run had taken on and not come to is swept by itself.
    later = [sk for sk in of_room(room_id) if sk.startswith("xe#")]
    for sk in later:
        writes.update(key.pk, sk, [tables.Owing.due_at.set(0)])
        assert work(ended.END, Key(key.pk, sk))
    assert of_room(room_id) == ["x"]
    assert counts(caller, room_id) == (0, 0, 0)


def test_what_cannot_be_seen_to_within_the_request_is_left_for_the_sweep(caller, monkeypatch):
    room_id = caller.room()
    stream = caller.streaming_in(room_id)
    record(caller, room_id, stream)

    def fails(*_):
        raise Unavailable("storage does not answer")

    monkeypatch.setattr(purge, "_end_subscriptions", fails)
    assert caller.delete(f"/rooms/{room_id}/streams/{stream}").status == 200
    monkeypatch.undo()
    # It is not there, though its row still is.
    assert recordings(caller, room_id) == []
    key = keys.owt_ended(room_id, ended.STREAM, stream)
    writes.update(*key, [tables.Owing.due_at.set(0)])
    assert work(ended.END, key)
    assert of_room(room_id) == ["x"]


def test_an_id_whose_end_is_not_over_is_still_taken(caller):
    room_id = caller.room()
    state = rooms.read(caller.service, room_id)
    writes.put(ended.ended_row(room_id, ended.PARTICIPANT, ["bob"]))
    row = participants.new_row(state, "bob", "bob", "presenter")
    with pytest.raises(children.Exists):
        children.add(state, [row], children.Counts(participants=1))
    purge.ended_work(keys.owt_ended(room_id, ended.PARTICIPANT, "bob"))
    children.add(state, [row], children.Counts(participants=1))


def test_what_ended_in_a_room_that_is_deleted_goes_with_it(caller):
    room_id = caller.room()
    stream = caller.streaming_in(room_id)
    record(caller, room_id, stream)
    state = rooms.read(caller.service, room_id)
    where = keys.owt_stream(room_id, stream)
    (key,) = children.remove(state, [where], children.Counts(inputs=1), [(ended.STREAM, stream)])
    rooms.delete(caller.service, room_id)
    purge.ended_work(key)
    assert work(ended.PURGE, keys.owt_room_purge(room_id))
    assert of_room(room_id) == []
    with pytest.raises(NoRoom):
        children.remove(state, [where], children.Counts(inputs=1))
    with pytest.raises(NoRoom):
        children.add(state, [], children.Counts(others=1))


# At once


def test_of_two_puts_at_once_both_take_effect(caller):
    room_id = caller.room()
    path = f"/rooms/{room_id}"
    with ThreadPoolExecutor(2) as pool:
        for number in range(full(20, 200)):
            first = pool.submit(rooms_put, caller.service, room_id, {"participantLimit": number})
            second = pool.submit(rooms_put, caller.service, room_id, {"inputLimit": number})
            first.result()
            second.result()
            found = ok(caller.get(path))
            assert (found["participantLimit"], found["inputLimit"]) == (number, number)
    assert rooms.read(caller.service, room_id).version == 1 + 2 * full(20, 200)


def rooms_put(service, room_id, body):
    """What PUT does, without Chalice: an app serves one request at a time."""
    with tables.budget():
        return rooms.replace(rooms.read(service, room_id), body)


def test_of_two_puts_of_views_at_once_one_is_the_last_and_no_view_is_mixed_up(caller):
    room_id = caller.room()
    with ThreadPoolExecutor(2) as pool:
        for number in range(full(10, 100)):
            wanted = [[{"label": f"{side}{number}"}, {"label": "stays"}] for side in "ab"]
            for done in [pool.submit(rooms_put, caller.service, room_id, {"views": each}) for each in wanted]:
                done.result()
            state = rooms.read(caller.service, room_id)
            labels = [view["label"] for view in state.room.views()]
            assert labels in [[view["label"] for view in each] for each in wanted]
            assert list(state.vids) == labels


def test_a_put_whose_answer_was_lost_takes_effect_once(caller, monkeypatch):
    room_id = caller.room()
    injector = Injector(monkeypatch)
    try:
        with injector.injecting(Fault(1, Kind.LOST, lasting=False)):
            ok(caller.put(f"/rooms/{room_id}", {"name": "x", "views": []}))
    finally:
        injector.stop()
    assert rooms.read(caller.service, room_id).version == 2


def test_a_room_whose_creation_got_no_answer_is_made_once(caller, monkeypatch):
    caller.room()
    injector = Injector(monkeypatch)
    try:
        with injector.injecting(Fault(0, Kind.LOST, lasting=False)):
            ok(caller.post("/rooms", {"name": "second"}))
    finally:
        injector.stop()
    assert [each["name"] for each in ok(caller.get("/rooms"))] == ["r", "second"]
