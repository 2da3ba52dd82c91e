"""Calls that wait for a worker: what is seen meanwhile, what each word of a worker leads to, who gives up."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest

from chalicelib import settings
from chalicelib.errors import Unavailable, ValidationError
from chalicelib.outbox import owed
from chalicelib.owt import purge
from chalicelib.owt.actions import acks, orders
from chalicelib.owt.command import Kind
from chalicelib.owt.store import commands, rooms
from chalicelib.store import keys, writes
from tests.owt import furnished
from tests.owt.api import NO_RESOURCE, NO_ROOM, NO_STREAM, REFUSED, Api, ok, refusal
from tests.owt.furnished import Furnished, replace
from tests.owt.test_streams_budget import MIX, MUTE
from tests.owt.workers import ack, mode, outcome, pending, told, while_waiting

TIMEOUT_S = 3.0
FACTS = {
    "audio": {"status": "active", "format": {"codec": "aac", "sampleRate": 44100, "channelNum": 1}},
    "video": {
        "status": "active",
        "format": {"codec": "h264", "profile": "M"},
        "parameters": {"resolution": {"width": 320, "height": 240}, "framerate": 25},
    },
}

Begin = Callable[[Furnished], Any]
STARTS: list[tuple[str, Begin, str, str, dict[str, Any]]] = [
    ("streaming-ins", furnished.streaming_in, "stream.start", "stream.stop", {}),
    ("streaming-outs", furnished.out, "output.start", "output.stop", {"type": "streaming-out"}),
    ("recordings", furnished.recording, "output.start", "output.stop", {"type": "recording"}),
    ("analytics", furnished.analytic, "output.start", "output.stop", {"type": "analytics"}),
    ("sipcalls", furnished.call, "call.dial", "call.end", {}),
]
each_start = pytest.mark.parametrize(
    ("path", "body", "kind", "stop", "args"), STARTS, ids=[each[0] for each in STARTS]
)


@pytest.fixture
def there(api: Api) -> Furnished:
    """A room with one of everything, of a time without workers."""
    return furnished.furnish(api)


def confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    mode(monkeypatch, "confirm", CONFIRM_TIMEOUT_S=str(TIMEOUT_S))


def seen(there: Furnished) -> list[Any]:
    """All that callers see in a room."""
    kinds = ("streams", "participants", "streaming-outs", "recordings", "sipcalls", "analytics")
    return [ok(there.api.get(f"/rooms/{there.room}/{kind}")) for kind in kinds]


def counts(there: Furnished) -> tuple[int, int, int]:
    state = rooms.read(there.api.service, there.room)
    return state.participants, state.inputs, state.others


def children(there: Furnished) -> list[str]:
    """The keys of what stands in a room."""
    rows = writes.raw_rows(keys.owt_room_partition(there.room))
    return sorted(row["sk"]["S"] for row in rows if row["sk"]["S"][:2] in ("w#", "p#", "y#"))


def post(there: Furnished, path: str, body: Begin) -> Any:
    return there.api.post(f"/rooms/{there.room}/{path}", body(there))


def remember(there: Furnished, known: list[Any]) -> None:
    """Keep in mind what waits."""
    known.extend(pending(there.api.service))


def confirms(there: Furnished) -> None:
    """Acknowledge the oldest command."""
    assert ack(pending(there.api.service)[0].id)


# Something begins


@each_start
def test_what_begins_is_seen_by_nobody_until_a_worker_says_so(
    there, monkeypatch, path, body, kind, stop, args
):
    confirm(monkeypatch)
    before, counted = seen(there), counts(there)

    def looks() -> None:
        assert seen(there) == before
        assert sum(counts(there)) > sum(counted)
        (made,) = pending(there.api.service)
        assert made.kind == kind
        one = f"/rooms/{there.room}/{path.replace('streaming-ins', 'streams')}/{made.target}"
        missing = NO_STREAM if path == "streaming-ins" else NO_RESOURCE
        for method in ("GET", "PATCH", "DELETE") if path == "streaming-ins" else ("DELETE",):
            assert refusal(there.api.call(method, one, [])) == missing
        if path == "streaming-ins":
            taken = furnished.out(there) | {"media": there.media(made.target)}
            assert refusal(there.api.post(f"/rooms/{there.room}/streaming-outs", taken)) == REFUSED
        if path == "sipcalls":
            one = f"/rooms/{there.room}/participants/{made.target}"
            for method in ("GET", "PATCH", "DELETE"):
                assert refusal(there.api.call(method, one, [])) == (404, 1005)
            assert refusal(there.api.get(f"/rooms/{there.room}/streams/{made.args['input']}")) == NO_STREAM
        assert ack(made.id)

    while_waiting(monkeypatch, looks)
    answer = ok(post(there, path, body))
    assert pending(there.api.service) == []
    listed = ok(there.api.get(f"/rooms/{there.room}/{path.replace('streaming-ins', 'streams')}"))
    assert answer in listed
    assert all("pnd" not in raw for raw in writes.raw_rows(keys.owt_room_partition(there.room)))


def test_what_a_worker_refuses_has_never_been(there, monkeypatch):
    confirm(monkeypatch)
    before, stood, counted = seen(there), children(there), counts(there)
    for path, body, _, stop, args in STARTS:
        known: list[Any] = []

        def refuses(known: list[Any] = known) -> None:
            known.extend(pending(there.api.service))
            assert ack(known[0].id, False, reason="no route\x00to\nhost " + "x" * 1000)

        while_waiting(monkeypatch, refuses)
        answer = post(there, path, body)
        assert refusal(answer) == REFUSED
        message = answer.json()["error"]["message"]
        assert message.startswith("no route to host xxx")
        assert len(message) == orders.LONGEST_REASON
        assert (seen(there), children(there), counts(there)) == (before, stood, counted)
        assert told(there.api.service) == [(stop, known[0].target, args)]
        confirms(there)


def test_what_nobody_confirms_has_never_been(there, monkeypatch):
    confirm(monkeypatch)
    before, stood, counted = seen(there), children(there), counts(there)
    for path, body, _, stop, args in STARTS:
        known: list[Any] = []
        pauses = while_waiting(monkeypatch, partial(remember, there, known))
        answer = post(there, path, body)
        assert refusal(answer) == REFUSED
        assert sum(pauses) == pytest.approx(TIMEOUT_S)
        assert pauses[0] == orders.SHORTEST_PAUSE_S
        assert max(pauses) == orders.LONGEST_PAUSE_S
        assert (seen(there), children(there), counts(there)) == (before, stood, counted)
        assert told(there.api.service) == [(stop, known[0].target, args)]
        confirms(there)
        assert commands.find(known[0].id) is None
        assert not outcome(known[0].id).ok


def test_a_room_in_which_something_only_begins_is_not_active(api, monkeypatch):
    there = Furnished(api, api.room(sip=furnished.SIP))
    confirm(monkeypatch)

    def looks() -> None:
        assert ok(api.get(f"/rooms/{there.room}/streams")) == []
        assert refusal(api.get(f"/rooms/{there.room}/streams/{there.mixed}")) == NO_STREAM
        ack(pending(api.service)[0].id)

    for path, body in (("streaming-ins", furnished.streaming_in), ("sipcalls", furnished.call)):
        while_waiting(monkeypatch, looks)
        made = ok(post(there, path, body))
        assert [each["type"] for each in ok(api.get(f"/rooms/{there.room}/streams"))] == ["mixed", "forward"]
        mode(monkeypatch, "store")
        assert api.delete(f"/rooms/{there.room}/{path}/{made['id']}").status == 200
        confirm(monkeypatch)


def test_limits_count_what_only_begins(there, monkeypatch):
    ok(there.api.put(f"/rooms/{there.room}", {"inputLimit": 3}))
    confirm(monkeypatch)

    def another() -> None:
        # The call's input and a streaming-in were there before.
        assert refusal(post(there, "streaming-ins", furnished.streaming_in)) == REFUSED
        ack(pending(there.api.service)[0].id)

    while_waiting(monkeypatch, another)
    ok(post(there, "streaming-ins", furnished.streaming_in))


RESULTS: list[tuple[str, Begin, dict[str, Any], Callable[[dict[str, Any]], Any], Any]] = [
    (
        "streaming-ins",
        furnished.streaming_in,
        {"media": FACTS, "node": "n1"},
        lambda made: (made["media"]["audio"]["format"], made["media"]["video"]["parameters"]),
        (FACTS["audio"]["format"], FACTS["video"]["parameters"]),
    ),
    (
        "sipcalls",
        furnished.call,
        {"media": FACTS, "node": "n1"},
        lambda made: made["input"]["media"]["audio"]["format"],
        FACTS["audio"]["format"],
    ),
    (
        "streaming-outs",
        furnished.out,
        {"url": "http://h/a.m3u8"},
        lambda made: made["url"],
        "http://h/a.m3u8",
    ),
    (
        "recordings",
        furnished.recording,
        {"storage": {"host": "h", "file": "/f.mkv"}, "node": "n1"},
        lambda made: made["storage"],
        {"host": "h", "file": "/f.mkv"},
    ),
    (
        "analytics",
        furnished.analytic,
        {"node": "n1", "url": "of no use"},
        lambda made: made["analytics"],
        {"algorithm": "a1"},
    ),
]


@pytest.mark.parametrize(
    ("path", "body", "result", "look", "found"), RESULTS, ids=[each[0] for each in RESULTS]
)
@pytest.mark.parametrize("name", ["confirm", "fire"])
def test_a_result_fills_the_record_in(there, monkeypatch, name, path, body, result, look, found):
    mode(monkeypatch, "confirm" if name == "confirm" else "fire")
    words: list[bool] = []

    def says() -> None:
        words.append(ack(pending(there.api.service)[0].id, True, result))

    while_waiting(monkeypatch, says)
    made = ok(post(there, path, body))
    if name != "confirm":
        mode(monkeypatch, "store" if path == "recordings" else name)
        says()
        listed = ok(there.api.get(f"/rooms/{there.room}/{path.replace('streaming-ins', 'streams')}"))
        (made,) = [each for each in listed if each["id"] == made["id"]]
    assert words == [True]
    assert look(made) == found
    rows = [raw for raw in writes.raw_rows(keys.owt_room_partition(there.room)) if "node" in raw]
    expected = {"sipcalls": 3}.get(path, 1) if "node" in result else 0
    assert [raw["node"]["S"] for raw in rows] == ["n1"] * expected


BAD_RESULTS = [
    ("streaming-ins", furnished.streaming_in, {"media": {}}),
    ("streaming-ins", furnished.streaming_in, {"media": "all"}),
    ("streaming-ins", furnished.streaming_in, {"media": FACTS, "node": 5}),
    ("streaming-ins", furnished.streaming_in, {"node": "n" * 257}),
    ("streaming-outs", furnished.out, {"url": ""}),
    ("streaming-outs", furnished.out, {"url": 5}),
    ("recordings", furnished.recording, {"storage": "here"}),
    ("recordings", furnished.recording, {"storage": {"host": "h"}}),
    ("sipcalls", furnished.call, {"media": {"audio": {"format": "opus"}}}),
]


@pytest.mark.parametrize("name", ["confirm", "fire"])
def test_a_result_that_cannot_be_one_changes_nothing(there, table, monkeypatch, name):
    for path, body, result in BAD_RESULTS:
        mode(monkeypatch, name)
        refused: list[bool] = []

        def says(result: Any = result, refused: list[bool] = refused) -> None:
            made = pending(there.api.service)[-1]
            stood = table.rows()
            with pytest.raises(ValidationError):
                ack(made.id, True, result)
            assert table.rows() == stood
            refused.append(True)
            assert ack(made.id)

        while_waiting(monkeypatch, says)
        ok(post(there, path, body))
        if name == "fire":
            says()
        assert refused == [True], (path, result)


def test_a_track_that_was_muted_meanwhile_stays_so(there, monkeypatch):
    mode(monkeypatch, "fire")
    made = there.api.streaming_in(there.room)
    ok(there.api.patch(f"/rooms/{there.room}/streams/{made}", [MUTE]))
    assert ack(pending(there.api.service)[0].id, True, {"media": FACTS | {"video": False}})
    media = ok(there.api.get(f"/rooms/{there.room}/streams/{made}"))["media"]
    assert media["audio"]["status"] == "inactive"
    assert media["audio"]["source"] == "streaming"
    assert media["audio"]["format"] == FACTS["audio"]["format"]
    assert media["video"] is False


# A failure that is told later


@each_start
def test_a_failure_told_later_removes_the_record_and_what_hung_on_it(
    there, monkeypatch, path, body, kind, stop, args
):
    mode(monkeypatch, "fire")
    before, stood, counted = seen(there), children(there), counts(there)
    made = ok(post(there, path, body))
    (command,) = pending(there.api.service)
    if path in ("streaming-ins", "sipcalls"):
        source = made["id"] if path == "streaming-ins" else made["input"]["id"]
        media = {"audio": {"from": source}, "video": False}
        ok(there.api.post(f"/rooms/{there.room}/recordings", {"media": media}))
    assert ack(command.id, False, reason="gone")
    assert not outcome(command.id).ok
    assert (seen(there), children(there), counts(there)) == (before, stood, counted)
    kinds = [each.kind for each in pending(there.api.service)]
    assert stop not in kinds


def test_a_failure_is_only_noted_when_nobody_follows_any_more(there, monkeypatch):
    mode(monkeypatch, "fire")
    made = there.api.streaming_in(there.room)
    mode(monkeypatch, "store")
    (command,) = pending(there.api.service)
    before = seen(there)
    assert ack(command.id, False, reason="gone")
    assert seen(there) == before
    assert made in [each["id"] for each in before[0]]
    assert outcome(command.id).reason == "gone"


@pytest.mark.parametrize("ok_", [True, False])
def test_what_has_ended_before_its_word_came_is_only_noted(there, monkeypatch, ok_):
    mode(monkeypatch, "fire")
    for path, body, *_ in STARTS:
        made = ok(post(there, path, body))
        assert there.api.delete(f"/rooms/{there.room}/{path}/{made['id']}").status == 200
        before = counts(there)
        started = pending(there.api.service)[-2]
        assert started.target == made["id"]
        assert ack(started.id, ok_, reason=None if ok_ else "gone")
        assert counts(there) == before
        assert outcome(started.id).ok is ok_


def test_a_word_on_a_room_that_is_gone_is_only_noted(there, monkeypatch):
    mode(monkeypatch, "fire")
    there.api.streaming_in(there.room)
    assert there.api.delete(f"/rooms/{there.room}").status == 200
    started, closed = pending(there.api.service)
    assert (started.kind, closed.kind) == ("stream.start", "room.closed")
    assert ack(started.id, False, reason="gone")
    assert ack(closed.id)


def test_only_the_first_word_counts(there, monkeypatch):
    mode(monkeypatch, "fire")
    made = there.api.streaming_in(there.room)
    (command,) = pending(there.api.service)
    row = commands.find(command.id)
    assert row is not None
    assert acks.acknowledge(row, True, {"node": "n1"}, None)
    assert not acks.acknowledge(row, False, None, "gone")
    assert not acks.acknowledge(row, True, {"node": "n2"}, None)
    assert outcome(command.id).ok
    (raw,) = [raw for raw in writes.raw_rows(keys.owt_room_partition(there.room)) if "node" in raw]
    assert (raw["sk"]["S"], raw["node"]["S"]) == (f"w#{made}", "n1")


# Something changes

PATCHES: list[tuple[str, Any, str]] = [
    ("/streams/{stream}", [MUTE, MIX], "stream.mix"),
    ("/streams/{room}-common", [replace("/info/layout", [{"region": furnished.region()}])], "layout.set"),
    ("/participants/{participant}", [replace("/permission/publish/video", False)], "participant.permission"),
    ("/streaming-outs/{out}", [replace("/media/audio/status", "inactive")], "output.update"),
    ("/recordings/{recording}", [replace("/media/video/status", "inactive")], "output.update"),
    ("/sipcalls/{call}", [replace("/output/media/audio/status", "inactive")], "call.update"),
]
each_patch = pytest.mark.parametrize(("path", "updates", "kind"), PATCHES, ids=[each[0] for each in PATCHES])


def patch(there: Furnished, path: str, updates: Any) -> Any:
    return there.api.patch(f"/rooms/{there.room}" + path.format(**there.names), updates)


@each_patch
def test_a_change_takes_effect_with_its_acknowledgement(there, monkeypatch, path, updates, kind):
    expected = furnished.furnish(there.api)
    confirm(monkeypatch)
    before = seen(there)

    def looks() -> None:
        assert seen(there) == before
        (made,) = pending(there.api.service)
        assert made.kind == kind
        assert ack(made.id)

    while_waiting(monkeypatch, looks)
    answer = ok(patch(there, path, updates))
    assert seen(there) != before
    assert answer in [each for some in seen(there) for each in some]
    assert pending(there.api.service) == []
    mode(monkeypatch, "store")
    plain = ok(patch(expected, path, updates))
    assert shape(answer) == shape(plain)


def shape(document: Any) -> Any:
    """A document without what differs from room to room."""
    if isinstance(document, dict):
        return {
            name: shape(value)
            for name, value in document.items()
            if name not in ("id", "from", "file", "owner")
        }
    return [shape(each) for each in document] if isinstance(document, list) else document


def test_a_change_that_nobody_made_changes_nothing(there, monkeypatch):
    confirm(monkeypatch)
    before = seen(there)
    stood = list(writes.raw_rows(keys.owt_room_partition(there.room)))

    for (path, updates, _), silent in product(PATCHES, (True, False)):

        def word(silent: bool = silent) -> None:
            if not silent:
                ack(pending(there.api.service)[0].id, False, reason="not me")

        while_waiting(monkeypatch, word)
        answer = patch(there, path, updates)
        assert refusal(answer) == REFUSED
        assert answer.json()["error"]["message"] == (orders.SILENCE if silent else "not me")
        assert seen(there) == before
        assert list(writes.raw_rows(keys.owt_room_partition(there.room))) == stood
        assert pending(there.api.service) == []


def test_a_change_is_made_of_what_stands_when_it_is_acknowledged(there, monkeypatch):
    confirm(monkeypatch)
    stream = there.names["stream"]

    def meanwhile() -> None:
        (made,) = pending(there.api.service)
        mode(monkeypatch, "store")
        ok(patch(there, "/streams/{stream}", [MIX]))
        confirm(monkeypatch)
        assert ack(made.id)

    while_waiting(monkeypatch, meanwhile)
    answer = ok(patch(there, "/streams/{stream}", [MUTE]))
    assert answer["info"]["inViews"] == ["common"]
    assert answer["media"]["audio"]["status"] == "inactive"
    assert ok(there.api.get(f"/rooms/{there.room}/streams/{stream}")) == answer


def test_a_change_that_somebody_made_before_is_confirmed_too(there, monkeypatch):
    confirm(monkeypatch)

    def meanwhile() -> None:
        (made,) = pending(there.api.service)
        mode(monkeypatch, "store")
        ok(patch(there, "/streams/{stream}", [MUTE]))
        confirm(monkeypatch)
        assert ack(made.id)

    while_waiting(monkeypatch, meanwhile)
    assert ok(patch(there, "/streams/{stream}", [MUTE]))["media"]["audio"]["status"] == "inactive"


@pytest.mark.parametrize(
    ("path", "updates", "gone"),
    [
        ("/streams/{stream}", [MIX], "/streams/{stream}"),
        ("/streams/{stream}", [MUTE], ""),
        ("/recordings/{recording}", [replace("/media/audio/status", "inactive")], "/recordings/{recording}"),
        (
            "/participants/{participant}",
            [replace("/permission/publish/video", False)],
            "/participants/{participant}",
        ),
    ],
)
def test_what_is_not_there_any_more_when_it_is_acknowledged_is_refused(
    there, monkeypatch, path, updates, gone
):
    confirm(monkeypatch)
    made: list[Any] = []

    def meanwhile() -> None:
        made.extend(pending(there.api.service))
        assert there.api.delete(f"/rooms/{there.room}" + gone.format(**there.names)).status == 200
        assert ack(made[0].id)

    while_waiting(monkeypatch, meanwhile)
    assert refusal(patch(there, path, updates)) == REFUSED
    assert not outcome(made[0].id).ok


def test_what_is_wrong_with_a_request_is_said_at_once(there, monkeypatch):
    confirm(monkeypatch)
    pauses = while_waiting(monkeypatch)
    assert refusal(patch(there, "/streams/{stream}", [{}])) == (400, 1301)
    assert refusal(patch(there, "/streams/{stream}", [MIX | {"value": "nowhere"}])) == REFUSED
    assert refusal(patch(there, "/streams/1", [MIX])) == NO_STREAM
    assert refusal(there.api.post("/rooms/" + "0" * 24 + "/streaming-ins", {})) == NO_ROOM
    assert pauses == []
    assert pending(there.api.service) == []


def test_what_a_deletion_or_a_put_changes_waits_for_nobody(there, monkeypatch):
    confirm(monkeypatch)
    pauses = while_waiting(monkeypatch)
    ok(there.api.put(f"/rooms/{there.room}", {"name": "other"}))
    for path in (
        "streams/{stream}",
        "recordings/{recording}",
        "sipcalls/{call}",
        "participants/{participant}",
    ):
        assert there.api.delete(f"/rooms/{there.room}/{path.format(**there.names)}").status == 200
    assert pauses == []
    kinds = [each.kind for each in pending(there.api.service)]
    assert kinds == ["room.updated", "stream.stop", "output.stop", "call.end", "participant.drop"]
    for each in pending(there.api.service):
        assert ack(each.id, False, reason="no such thing")
    assert pending(there.api.service) == []


# Who gives up


def test_an_acknowledgement_in_the_last_moment_wins_or_comes_too_late(there, monkeypatch):
    confirm(monkeypatch)
    give_up = orders.give_up

    def first(made: Any) -> bool:
        assert ack(made.id)
        return give_up(made)

    monkeypatch.setattr(orders, "give_up", first)
    while_waiting(monkeypatch)
    made = ok(post(there, "streaming-ins", furnished.streaming_in))
    assert made["id"] in [each["id"] for each in seen(there)[0]]
    assert pending(there.api.service) == []

    rows: list[Any] = []
    monkeypatch.setattr(orders, "give_up", give_up)
    while_waiting(monkeypatch, lambda: rows.extend(commands.pending(there.api.service)))
    assert refusal(post(there, "streaming-ins", furnished.streaming_in)) == REFUSED
    before = seen(there)
    assert not acks.acknowledge(rows[0], True, {"media": FACTS}, None)
    assert seen(there) == before


class Died(BaseException):
    """The process of a request was ended."""


@pytest.mark.parametrize(("path", "body"), [each[:2] for each in STARTS], ids=[each[0] for each in STARTS])
def test_a_request_that_died_leaves_nothing(there, monkeypatch, path, body):
    confirm(monkeypatch)
    before, stood, counted = seen(there), children(there), counts(there)

    def dies() -> None:
        raise Died

    while_waiting(monkeypatch, dies)
    with pytest.raises(Died):
        post(there, path, body)
    (command,) = pending(there.api.service)
    key = commands.key_of(command.id)
    orders.confirm_work(key)
    assert [each.id for each in pending(there.api.service)] == [command.id]  # it is not due
    later = command.created + TIMEOUT_S + commands.LATE_S + 1
    monkeypatch.setattr("chalicelib.clock.now", lambda: later)
    kicked: list[tuple[str, Any]] = []
    monkeypatch.setattr("chalicelib.outbox.kicks.kick", lambda kind, key, *_: kicked.append((kind, key)))
    assert commands.CONFIRM in owed.kinds()
    monkeypatch.setattr(owed, "kinds", lambda: [commands.CONFIRM])
    owed.sweep()
    assert kicked == [(commands.CONFIRM, key)]
    orders.confirm_work(key)
    orders.confirm_work(key)
    assert (seen(there), children(there), counts(there)) == (before, stood, counted)
    assert [each.kind for each in pending(there.api.service)] == [orders.ENDS[Kind(command.kind)]]


def test_a_change_whose_request_died_takes_no_effect_later(there, monkeypatch):
    confirm(monkeypatch)
    before = seen(there)

    def dies() -> None:
        raise Died

    while_waiting(monkeypatch, dies)
    with pytest.raises(Died):
        patch(there, "/streams/{stream}", [MUTE])
    (row,) = commands.pending(there.api.service)
    monkeypatch.setattr("chalicelib.clock.now", lambda: row.created + TIMEOUT_S + commands.LATE_S + 1)
    orders.confirm_work(commands.key_of(row.sk))
    assert not acks.acknowledge(row, True, None, None)
    assert seen(there) == before


@pytest.mark.parametrize("word", [True, False, None], ids=["ok", "not ok", "silence"])
@pytest.mark.parametrize("gone", ["room", "source"])
def test_what_goes_while_something_begins_takes_that_along(there, monkeypatch, word, gone):
    confirm(monkeypatch)
    source = there.names["stream"]

    def meanwhile() -> None:
        (made,) = pending(there.api.service)
        path = f"/rooms/{there.room}" + (f"/streams/{source}" if gone == "source" else "")
        assert there.api.delete(path).status == 200
        if gone == "room":
            purge.room_work(keys.owt_room_purge(there.room))
        if word is not None:
            assert ack(made.id, word, reason="gone")

    counted = counts(there)
    while_waiting(monkeypatch, meanwhile)
    body = furnished.recording(there) | {"media": {"audio": {"from": source}, "video": False}}
    assert refusal(there.api.post(f"/rooms/{there.room}/recordings", body)) == REFUSED
    if gone == "source":
        assert counts(there) == (counted[0], counted[1] - 1, counted[2])
    else:
        assert children(there) == []
    assert pending(there.api.service)[0].kind in ("room.closed", "stream.stop")


def test_storage_that_fails_while_a_request_waits_is_looked_at_again(there, monkeypatch):
    confirm(monkeypatch)
    look, failures = commands.outcome, [True, True]

    def fails(command_id: str) -> Any:
        if failures:
            failures.pop()
            raise Unavailable("storage does not answer")
        return look(command_id)

    monkeypatch.setattr(commands, "outcome", fails)
    while_waiting(monkeypatch, lambda: confirms(there))
    ok(post(there, "streaming-ins", furnished.streaming_in))
    assert failures == []


def test_waiting_takes_nothing_from_the_time_that_a_request_has_for_storage(there, monkeypatch):
    monkeypatch.setenv("FOYER_STORAGE_BUDGET_S", "3")
    settings.reset()
    mode(monkeypatch, "confirm", CONFIRM_TIMEOUT_S="20")
    pauses = while_waiting(monkeypatch)
    assert refusal(post(there, "streaming-ins", furnished.streaming_in)) == REFUSED
    assert sum(pauses) == pytest.approx(20)
