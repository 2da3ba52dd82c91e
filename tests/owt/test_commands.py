"""Which call of the management API has workers do what, in the transaction of what it changes."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.owt import command, purge
from chalicelib.owt.participant import Flag
from chalicelib.owt.store import commands, participants
from chalicelib.owt.store.commands import CommandRow, PusherRow
from chalicelib.owt.stream import Audio, Forward, Media
from chalicelib.store import keys, writes
from infra.credentials import Credentials
from tests.conftest import Stack
from tests.owt import entering, furnished
from tests.owt.api import NOTHING, REFUSED, Api, ok, refusal
from tests.owt.furnished import CASES, Case, Furnished, replace
from tests.owt.test_streams_budget import CLEAR, MIX, MUTE, UNMIX, UNMUTE
from tests.owt.workers import mode, pending, told
from tests.support.storage import Call, Storage

OPUS = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
H264 = {"codec": "h264", "profile": "CB"}
FPS = {"resolution": {"width": 640, "height": 480}, "keyFrameInterval": 100, "framerate": 15}


@pytest.fixture
def there(api: Api) -> Furnished:
    """A room with one of everything, of a time without workers."""
    return furnished.furnish(api)


def changes(*updates: dict[str, Any]) -> Callable[[Furnished], Any]:
    return lambda _: list(updates)


def answered(answer: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in {"id", *without}}


def layout_of(_: Furnished, answer: Any) -> dict[str, Any]:
    return {"view": "common", "layout": answer["info"]["layout"]}


ROOM = "/rooms/{room}"
STREAM = ROOM + "/streams/{stream}"
NEW = "new"
"""Stands for the id in the answer."""

Expected = Callable[[Furnished, Any], dict[str, Any]]
TABLE: list[tuple[str, str, Any, str, str, Expected]] = [
    ("PUT", ROOM, changes, "room.updated", "room", lambda *_: {"version": 2}),
    (
        "PATCH",
        ROOM + "/participants/{participant}",
        furnished.permissions,
        "participant.permission",
        "participant",
        lambda *_: {
            "permission": {
                "publish": {"audio": True, "video": False},
                "subscribe": {"audio": False, "video": True},
            }
        },
    ),
    (
        "POST",
        ROOM + "/streaming-ins",
        furnished.streaming_in,
        "stream.start",
        NEW,
        lambda *_: {
            "connection": {
                "url": "rtsp://203.0.113.7/cam",
                "transportProtocol": "udp",
                "bufferSize": 2048,
                "origin": {"isp": "i", "region": "r"},
            },
            "media": {"audio": "auto", "video": True},
            "attributes": {"a": [1]},
        },
    ),
    ("DELETE", ROOM + "/streaming-ins/{new}", None, "stream.stop", NEW, lambda *_: {}),
    ("PATCH", STREAM, changes(MUTE), "stream.mute", "stream", lambda *_: {"status": {"audio": "inactive"}}),
    (
        "PATCH",
        STREAM,
        changes(MIX, UNMIX, UNMUTE),
        "stream.mute",
        "stream",
        lambda *_: {"status": {"audio": "active"}},
    ),
    (
        "PATCH",
        STREAM,
        changes(MUTE, MIX, replace("/media/video/status", "inactive")),
        "stream.mix",
        "stream",
        lambda *_: {"into": ["common"], "status": {"audio": "inactive", "video": "inactive"}},
    ),
    (
        "PATCH",
        ROOM + "/streams/{room}-common",
        changes(replace("/info/layout", [{"region": furnished.region()}])),
        "layout.set",
        "mixed",
        layout_of,
    ),
    (
        "POST",
        ROOM + "/streaming-outs",
        furnished.out,
        "output.start",
        NEW,
        lambda _, answer: {"type": "streaming-out", **answered(answer)},
    ),
    (
        "PATCH",
        ROOM + "/streaming-outs/{out}",
        changes(replace("/media/audio/status", "inactive")),
        "output.update",
        "out",
        lambda _, answer: {"type": "streaming-out", **answered(answer)},
    ),
    (
        "DELETE",
        ROOM + "/streaming-outs/{out}",
        None,
        "output.stop",
        "out",
        lambda *_: {"type": "streaming-out"},
    ),
    (
        "POST",
        ROOM + "/recordings",
        furnished.recording,
        "output.start",
        NEW,
        lambda _, answer: {"type": "recording", **answered(answer)},
    ),
    (
        "PATCH",
        ROOM + "/recordings/{recording}",
        changes(replace("/media/video/status", "inactive")),
        "output.update",
        "recording",
        lambda _, answer: {"type": "recording", **answered(answer)},
    ),
    (
        "DELETE",
        ROOM + "/recordings/{recording}",
        None,
        "output.stop",
        "recording",
        lambda *_: {"type": "recording"},
    ),
    (
        "POST",
        ROOM + "/analytics",
        furnished.analytic,
        "output.start",
        NEW,
        lambda _, answer: {"type": "analytics", **answered(answer)},
    ),
    (
        "DELETE",
        ROOM + "/analytics/{analytic}",
        None,
        "output.stop",
        "analytic",
        lambda *_: {"type": "analytics"},
    ),
    (
        "POST",
        ROOM + "/sipcalls",
        furnished.call,
        "call.dial",
        NEW,
        lambda _, answer: {
            "peer": "bob@example.com",
            "input": answer["input"]["id"],
            "output": answer["output"]["id"],
            "media": answer["output"]["media"],
        },
    ),
    (
        "PATCH",
        ROOM + "/sipcalls/{call}",
        changes(replace("/output/media/audio/status", "inactive")),
        "call.update",
        "call",
        lambda _, answer: {
            "peer": "bob@example.com",
            "input": answer["input"]["id"],
            "output": answer["output"]["id"],
            "media": answer["output"]["media"],
        },
    ),
    ("DELETE", ROOM + "/sipcalls/{call}", None, "call.end", "call", lambda *_: {}),
    ("DELETE", STREAM, None, "stream.stop", "stream", lambda *_: {}),
    ("DELETE", ROOM + "/participants/{participant}", None, "participant.drop", "participant", lambda *_: {}),
    ("DELETE", ROOM, None, "room.closed", "room", lambda *_: {}),
]


def body_of(made: Any, there: Furnished) -> Any:
    if made is None:
        return NOTHING
    return {"name": "other"} if made is changes else made(there)


def test_each_call_that_media_follows_is_one_command_in_its_order(there, monkeypatch):
    mode(monkeypatch, "fire")
    names = there.names | {"mixed": there.mixed}
    for number, (method, path, body, kind, target, args) in enumerate(TABLE):
        answer = there.api.call(method, path.format(**names), body_of(body, there))
        assert answer.status == 200, (method, path, answer.body)
        document = answer.json() if answer.body[:1] == "{" else {}
        names[NEW] = document.get("id", names.get(NEW))
        known = pending(there.api.service)
        assert len(known) == number + 1, (method, path)
        made = known[-1]
        assert (made.kind, made.target) == (kind, names[target]), (method, path)
        assert made.args == args(there, document), (method, path)
        assert (made.service, made.room) == (there.api.service, there.room)
        assert command.listed_under(made.id) == there.api.service


def test_a_command_is_spelled_as_the_contract_has_it(there, monkeypatch):
    mode(monkeypatch, "fire")
    monkeypatch.setattr("chalicelib.clock.now", lambda: 1795886400.25)
    assert there.api.delete(f"/rooms/{there.room}/streams/{there.names['stream']}").status == 200
    (made,) = pending(there.api.service)
    assert made.spell() == {
        "id": made.id,
        "service": there.api.service,
        "room": there.room,
        "kind": "stream.stop",
        "target": there.names["stream"],
        "args": {},
        "created_at": "2026-11-28T17:20:00.250Z",
        "state": "pending",
    }
    assert re.fullmatch(f"[0-9a-f]{{24}}-{there.api.service}", made.id)


def test_leaving_a_view_is_a_command_of_its_own_kind(there, monkeypatch):
    path = f"/rooms/{there.room}/streams/{there.names['stream']}"
    ok(there.api.patch(path, [MIX]))
    mode(monkeypatch, "fire")
    ok(there.api.patch(path, [UNMIX, MUTE]))
    ok(there.api.patch(path, [MIX]))
    ok(there.api.patch(path, [UNMIX, MIX]))
    assert [(kind, args) for kind, _, args in told(there.api.service)] == [
        ("stream.unmix", {"outOf": ["common"], "status": {"audio": "inactive"}}),
        ("stream.mix", {"into": ["common"]}),
        ("stream.mix", {"into": ["common"]}),
    ]


def test_a_region_that_changes_its_stream_is_told_as_the_whole_layout(there, monkeypatch):
    other = there.api.streaming_in(there.room)
    for each in (there.names["stream"], other):
        ok(there.api.patch(f"/rooms/{there.room}/streams/{each}", [MIX]))
    mode(monkeypatch, "fire")
    answer = ok(
        there.api.patch(
            f"/rooms/{there.room}/streams/{there.mixed}", [replace("/info/layout/0/stream", other)]
        )
    )
    layout = answer["info"]["layout"]
    assert layout[0]["stream"] == other
    assert told(there.api.service) == [("layout.set", there.mixed, {"view": "common", "layout": layout})]


QUIET = [
    ("GET", "/rooms", NOTHING),
    ("POST", "/rooms", {"name": "r"}),
    ("GET", ROOM, NOTHING),
    ("GET", ROOM + "/streams", NOTHING),
    ("POST", ROOM + "/tokens", {"user": "u", "role": "presenter"}),
    ("PATCH", STREAM, []),
    ("PATCH", STREAM, [UNMIX]),
    ("PATCH", STREAM, [MIX, UNMIX]),
    ("PATCH", STREAM, [replace("/media/audio/status", "active")]),
    ("PATCH", ROOM + "/streams/{room}-common", []),
    ("PATCH", ROOM + "/participants/{participant}", []),
    ("PATCH", ROOM + "/participants/{participant}", [replace("/permission/publish/audio", True)]),
    ("PATCH", ROOM + "/streaming-outs/{out}", []),
    ("PATCH", ROOM + "/recordings/{recording}", [replace("/media/audio/status", "active")]),
    ("PATCH", ROOM + "/sipcalls/{call}", []),
]


@pytest.mark.parametrize("name", ["fire", "confirm"])
def test_what_media_need_not_follow_is_no_command(there, monkeypatch, name):
    mode(monkeypatch, name)
    for method, path, body in QUIET:
        answer = there.api.call(method, path.format(**there.names), body)
        assert answer.status == 200, (method, path, answer.body)
    assert pending(there.api.service) == []


def test_without_workers_nothing_is_written_for_them(there, table):
    for case in CASES:
        if case.method != "DELETE":
            there.api.call(case.method, case.path.format(**there.names), case.body(there))
    for case in CASES:
        if case.method == "DELETE" and "{service}" not in case.path:
            there.api.call(case.method, case.path.format(**there.names), NOTHING)
    assert [row["pk"]["S"] for row in table.rows() if row["pk"]["S"][:2] in ("oK", "oA", "oQ")] == []


def test_what_was_refused_is_no_command(there, monkeypatch):
    mode(monkeypatch, "fire")
    there.api.put(f"/rooms/{there.room}", {"inputLimit": 0})
    (first,) = pending(there.api.service)
    body = furnished.streaming_in(there)
    assert refusal(there.api.post(f"/rooms/{there.room}/streaming-ins", body)) == REFUSED
    bad = furnished.out(there) | {"media": there.media("nobody")}
    assert refusal(there.api.post(f"/rooms/{there.room}/streaming-outs", bad)) == REFUSED
    for path in ("streams/1", "participants/1", "recordings/1", "sipcalls/1", "analytics/1"):
        assert there.api.delete(f"/rooms/{there.room}/{path}").status == 404
    assert pending(there.api.service) == [first]


# In one transaction, at the same cost

DELETED_LAST = [case for case in CASES if case.method == "DELETE" and "{" in case.path.removeprefix(ROOM)]
WRITING = [case for case in CASES if case.path.startswith(ROOM) and case.method == "PATCH"]
WRITING += [case for case in CASES if case.sourced and case.method == "POST"]
WRITING += [case for case in CASES if case.method == "POST" and case.path.endswith("streaming-ins")]
WRITING += [case for case in DELETED_LAST if "{stream}" not in case.path and "{service}" not in case.path]
WRITING += [case for case in CASES if case.method == "DELETE" and case.path == STREAM]
WRITING += [case for case in CASES if case.method in ("PUT", "DELETE") and case.path == ROOM]

AS_TRANSACTION = {"UpdateItem": "TransactWriteItems"}
WITH_THE_ROOM = {"GetItem": "BatchGetItem"}


def calls(there: Furnished) -> Iterator[tuple[Case, list[Call]]]:
    """Each request that is followed, and what it asked of storage."""
    counter = Storage()
    counter.listen()
    try:
        for case in WRITING:
            mark = len(counter.calls)
            answer = case.send(there.api, there.names, case.body(there))
            assert answer.status == 200, (case, answer.body)
            yield case, counter.since(mark)
    finally:
        counter.deafen()


def partitions(write: Call) -> list[str]:
    """Of what a transaction is about."""
    written = [next(iter(part.values())) for part in write.body["TransactItems"]]
    return [(each.get("Key") or each["Item"])["pk"]["S"] for each in written]


def test_a_command_is_in_the_transaction_of_what_it_follows_from_and_costs_no_call_more(api, monkeypatch):
    plain, followed = furnished.furnish(api), furnished.furnish(api)
    without = [(case, [each.operation for each in made]) for case, made in calls(plain)]
    mode(monkeypatch, "fire")
    for (case, before), (_, made) in zip(without, calls(followed), strict=True):
        after = [each.operation for each in made]
        assert len(after) == len(before), (case, before, after)
        for old, new in zip(before, after, strict=True):
            assert new in (old, AS_TRANSACTION.get(old), WITH_THE_ROOM.get(old)), (case, before, after)
        about = [partitions(each) for each in made if each.operation == "TransactWriteItems"]
        told_in = [each for each in about if keys.owt_commands(api.service) in each]
        assert len(told_in) == 1, (case, about)
        assert keys.owt_room_partition(followed.room) in told_in[0], (case, about)
    assert len(pending(api.service)) == len(WRITING)


# Whom it concerns


def test_the_rooms_of_a_deleted_service_are_closed_before_the_super_service(
    stack: Stack, credentials: Credentials, monkeypatch
):
    boss = Api(credentials.super_service_id, credentials.super_service_key)
    made = ok(boss.post("/services", {"name": "acme", "key": "s3cret"}))
    acme = Api(made["_id"], "s3cret")
    rooms = [acme.room() for _ in range(3)]
    mode(monkeypatch, "fire")
    assert boss.delete(f"/services/{acme.service}").status == 200
    purge.service_work(keys.owt_service_purge(acme.service))
    assert told(boss.service) == [("room.closed", room, {}) for room in rooms]
    assert [(each.service, each.room) for each in pending(boss.service)] == [
        (acme.service, room) for room in rooms
    ]
    assert pending(acme.service) == []


def test_what_goes_with_something_else_is_no_command_of_its_own(there, monkeypatch):
    service, ann = there.api.service, there.names["participant"]
    published = Forward("s1", Media(Audio(OPUS)), ann, "webrtc")
    entering.bring(service, there.room, published)
    body = {"media": {"audio": {"from": "s1"}, "video": False}}
    ok(there.api.post(f"/rooms/{there.room}/recordings", body))
    mode(monkeypatch, "fire")
    assert there.api.delete(f"/rooms/{there.room}/participants/{ann}").status == 200
    assert told(service) == [("participant.drop", ann, {})]


def test_a_dropped_call_is_a_dropped_participant(there, monkeypatch):
    mode(monkeypatch, "fire")
    name = there.names["call"]
    assert there.api.delete(f"/rooms/{there.room}/participants/{name}").status == 200
    assert told(there.api.service) == [("participant.drop", name, {})]
    assert ok(there.api.get(f"/rooms/{there.room}/sipcalls")) == []


def test_whoever_follows_is_owed_each_command_in_the_same_transaction(there, monkeypatch):
    mode(monkeypatch, "fire")
    storage = Storage()
    storage.listen()
    monkeypatch.setattr(commands, "_followers", [lambda made: made.kind == "stream.stop"])
    path = f"/rooms/{there.room}/streams/{there.names['stream']}"
    ok(there.api.patch(path, [MUTE]))
    assert writes.get(PusherRow, *keys.owt_pusher(there.room)) is None
    mark = len(storage.calls)
    assert there.api.delete(path).status == 200
    (write,) = [each for each in storage.since(mark) if each.operation == "TransactWriteItems"]
    storage.deafen()
    assert partitions(write).count(keys.owt_pushes(there.room)) == 2
    pusher = writes.get(PusherRow, *keys.owt_pusher(there.room))
    assert pusher is not None
    assert pusher.due is not None
    assert pusher.latest == pending(there.api.service)[-1].id


def test_a_command_stands_for_a_day(there, monkeypatch):
    mode(monkeypatch, "fire")
    ok(there.api.patch(f"/rooms/{there.room}/streams/{there.names['stream']}", [MUTE]))
    (made,) = pending(there.api.service)
    row = writes.get(CommandRow, *commands.key_of(made.id))
    assert row is not None
    assert row.expires_at == int(made.created) + 86400
    assert row.due is None
    assert row.then is None
    monkeypatch.setattr("chalicelib.clock.now", lambda: made.created + 86401)
    assert pending(there.api.service) == []
    assert commands.find(made.id) is None


def test_what_is_too_large_for_a_command_is_refused_and_changes_nothing(there, monkeypatch):
    mode(monkeypatch, "fire")
    monkeypatch.setattr(commands, "LARGEST_ROW", 500)
    region = furnished.region()
    wanted = [{"region": region | {"id": str(number)}} for number in range(20)]
    path = f"/rooms/{there.room}/streams/{there.mixed}"
    before = ok(there.api.get(path))
    assert refusal(there.api.patch(path, [replace("/info/layout", wanted)])) == (400, 1301)
    assert ok(there.api.get(path)) == before
    assert pending(there.api.service) == []
    ok(there.api.patch(path, [CLEAR]))


def test_a_permission_that_changes_meanwhile_is_told_as_it_is_then(there, monkeypatch):
    mode(monkeypatch, "fire")
    service, ann = there.api.service, there.names["participant"]
    find, changed = participants._find, list[bool]()

    def meanwhile(service: str, room: str, name: str) -> Any:
        row = find(service, room, name)
        if not changed:
            changed.append(True)
            participants.update(service, room, name, {Flag("subscribe", "audio"): False})
        return row

    monkeypatch.setattr(participants, "_find", meanwhile)
    path = f"/rooms/{there.room}/participants/{ann}"
    answer = ok(there.api.patch(path, [replace("/permission/publish/video", False)]))
    wanted = {
        "publish": {"audio": True, "video": False},
        "subscribe": {"audio": False, "video": True},
    }
    assert answer["permission"] == wanted
    assert told(service) == [("participant.permission", ann, {"permission": wanted})]
