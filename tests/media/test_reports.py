"""What media workers report, and what comes of it (media-plane contract, section 2)."""

from typing import Any

import pytest

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.owt.store import reported
from chalicelib.store import keys, writes
from tests.media.api import (
    APPLIED,
    AUDIO,
    BOTH,
    DUPLICATE,
    IGNORED,
    VIDEO,
    added,
    counts,
    forward,
    join,
    media,
    participants,
    removed,
    report,
    tally,
    updated,
)
from tests.owt.api import BAD, NO_ROOM, NOTHING, Api, ok, refusal
from tests.support.counts import FULL

SIP = {"sipServer": "sip.example.com", "username": "u", "password": "p"}


def left(participant: str) -> dict[str, Any]:
    return {"type": "participant.left", "participant": participant}


def called(identity: str, peer: str = "sip:bob@example.com", **more: Any) -> dict[str, Any]:
    return {"type": "call.added", "call": {"id": identity, "peer": peer} | more}


def hung_up(identity: str) -> dict[str, Any]:
    return {"type": "call.ended", "call": {"id": identity}}


def ready(identity: str, **more: Any) -> dict[str, Any]:
    return {"type": "output.ready", "output": {"id": identity} | more}


def ended(identity: str, **more: Any) -> dict[str, Any]:
    return {"type": "output.ended", "output": {"id": identity} | more}


def shown(view: str, *places: tuple[str, str | None]) -> dict[str, Any]:
    """`layout.changed`: regions by name, each with the stream in it."""
    return {"type": "layout.changed", "view": view, "layout": [place(*each) for each in places]}


def place(name: str, stream: str | None) -> dict[str, Any]:
    area = {"left": "0/1", "top": "0/1", "width": "1/2", "height": 0.5}
    entry: dict[str, Any] = {"region": {"id": name, "shape": "rectangle", "area": area}}
    return entry if stream is None else {"stream": stream} | entry


def layout(api: Api, room: str) -> Any:
    mixed = ok(api.get(f"/rooms/{room}/streams/{room}-common"))
    return mixed["info"]["layout"]


def record(api: Api, room: str, source: str) -> str:
    body = {"container": "mkv", "media": {"audio": {"from": source}, "video": False}}
    return str(ok(api.post(f"/rooms/{room}/recordings", body))["id"])


def listed(api: Api, room: str, what: str) -> list[str]:
    return [each["id"] for each in ok(api.get(f"/rooms/{room}/{what}"))]


def mix(api: Api, room: str, *streams: str) -> None:
    for stream in streams:
        update = [{"op": "add", "path": "/info/inViews", "value": "common"}]
        ok(api.patch(f"/rooms/{room}/streams/{stream}", update))


# Participants and streams


def test_a_published_stream_is_shown_as_the_worker_has_it(acme: Api):
    room = acme.room()
    alice = join(acme, room)
    assert tally(acme, room, added("s-1_A", alice, attributes={"a": 1})) == APPLIED
    shown = ok(acme.at("v1.1").get(f"/rooms/{room}/streams/s-1_A"))
    assert (shown["id"], shown["type"]) == ("s-1_A", "forward")
    assert shown["info"] == {"owner": alice, "type": "webrtc", "inViews": [], "attributes": {"a": 1}}
    audio, video = shown["media"]["audio"], shown["media"]["video"]
    assert {name: audio[name] for name in AUDIO} == AUDIO
    assert {name: video[name] for name in VIDEO} == VIDEO
    assert counts(acme, room) == (1, 1, 0)


def test_either_shape_of_answers_can_be_reported(acme: Api):
    room = acme.room()
    tally(acme, room, added("one"))
    for version in ("v1", "v1.1"):
        answered = ok(acme.at(version).get(f"/rooms/{room}/streams/one"))["media"]
        assert tally(acme, room, added(version.replace(".", "_"), media=answered)) == APPLIED
    found = forward(acme, room)
    assert found["v1"]["media"] == found["v1_1"]["media"] == found["one"]["media"]


@pytest.mark.parametrize(
    ("role", "tracks", "outcome"),
    [
        ("presenter", BOTH, APPLIED),
        ("viewer", BOTH, IGNORED),
        ("viewer", {"audio": AUDIO}, IGNORED),
        ("audio_only_presenter", {"audio": AUDIO, "video": False}, APPLIED),
        ("audio_only_presenter", BOTH, IGNORED),
        ("audio_only_presenter", {"video": VIDEO}, IGNORED),
    ],
)
def test_a_stream_needs_its_owners_permission_for_each_track(acme: Api, role, tracks, outcome):
    room = acme.room()
    owner = join(acme, room, role)
    assert tally(acme, room, added("s", owner, media=tracks)) == outcome
    assert list(forward(acme, room)) == (["s"] if outcome == APPLIED else [])


def test_a_permission_is_looked_at_as_it_is_now(acme: Api):
    room = acme.room()
    owner = join(acme, room)
    path = f"/rooms/{room}/participants/{owner}"
    update = {"op": "replace", "path": "/permission/publish/video", "value": False}
    ok(acme.patch(path, [update]))
    assert tally(acme, room, added("s", owner)) == IGNORED
    ok(acme.patch(path, [update | {"value": True}]))
    assert tally(acme, room, added("s", owner)) == APPLIED


def test_no_permission_is_needed_for_what_nobody_owns(acme: Api):
    room = acme.room(roles=[{"role": "viewer"}])
    stream = added("s")
    del stream["stream"]["owner"]
    assert tally(acme, room, stream) == APPLIED
    assert forward(acme, room)["s"]["info"]["owner"] == "admin"


def test_a_stream_of_somebody_who_is_not_there_does_not_come_in(acme: Api):
    room = acme.room()
    assert tally(acme, room, added("s", "nobody")) == IGNORED
    gone = join(acme, room)
    assert tally(acme, room, left(gone)) == APPLIED
    assert tally(acme, room, added("s", gone)) == IGNORED
    assert counts(acme, room) == (0, 0, 0)


def test_no_more_streams_come_in_than_the_limit_admits_but_those_of_analytics(acme: Api):
    room = acme.room(inputLimit=1)
    assert tally(acme, room, added("a"), added("b"), added("c", kind="analytics")) == (2, 1, 0)
    assert list(forward(acme, room)) == ["a", "c"]
    assert counts(acme, room) == (0, 1, 1)
    # It is there already: that is no other stream.
    assert tally(acme, room, added("a")) == APPLIED
    assert tally(acme, room, removed("c"), removed("a"), added("b")) == (3, 0, 0)
    assert counts(acme, room) == (0, 1, 0)


def test_a_stream_that_is_there_is_what_the_next_report_says(acme: Api):
    room = acme.room()
    alice = join(acme, room)
    tally(acme, room, added("s", alice, attributes={"a": 1}))
    first = forward(acme, room)["s"]
    again = added("s", "somebody", kind="sip", media={"audio": AUDIO}, attributes={"b": 2})
    assert tally(acme, room, again) == APPLIED
    found = forward(acme, room)["s"]
    assert found["media"] == first["media"] | {"video": False}
    # Whose it is, and of which type, stays.
    assert found["info"] == first["info"] | {"attributes": {"b": 2}}
    assert counts(acme, room) == (1, 1, 0)


def test_a_streaming_in_gets_the_workers_facts(acme: Api):
    room = acme.room()
    stream = acme.streaming_in(room)
    mix(acme, room, stream)
    facts: dict[str, Any] = {
        "audio": {"format": {"codec": "aac", "sampleRate": 44100, "channelNum": 1}},
        "video": {
            "format": {"codec": "h264", "profile": "H"},
            "parameters": {"resolution": {"width": 1920, "height": 1080}, "framerate": 25},
        },
    }
    assert tally(acme, room, updated(stream, facts)) == APPLIED
    found = forward(acme, room)[stream]
    assert found["media"]["audio"]["format"] == facts["audio"]["format"]
    assert found["media"]["video"]["original"] == [
        {name: facts["video"][name] for name in ("format", "parameters")}
    ]
    # What is not said of a track stays, and so do its views.
    assert found["media"]["video"]["source"] == "streaming"
    assert found["info"] == {"owner": "admin", "type": "streaming", "inViews": ["common"]}


def test_what_was_muted_stays_muted_until_the_worker_says_otherwise(acme: Api):
    room = acme.room()
    tally(acme, room, added("s"))
    mute = [{"op": "replace", "path": "/media/audio/status", "value": "inactive"}]
    ok(acme.patch(f"/rooms/{room}/streams/s", mute))
    silent = {name: value for name, value in AUDIO.items() if name != "status"}
    tally(acme, room, updated("s", {"audio": silent}))
    assert forward(acme, room)["s"]["media"]["audio"]["status"] == "inactive"
    tally(acme, room, updated("s", {"audio": AUDIO}))
    assert forward(acme, room)["s"]["media"]["audio"]["status"] == "active"


@pytest.mark.parametrize(
    ("versions", "outcomes", "stands"),
    [
        ([1, 2, 3], [1, 1, 1], 3),
        ([3, 1, 2], [1, 0, 0], 3),
        ([2, 2], [1, 1], 2),
        ([2, None, 1], [1, 1, 0], 2),
        ([None, 1], [1, 1], 1),
    ],
)
def test_older_news_than_what_is_known_are_ignored(acme: Api, versions, outcomes, stands):
    room = acme.room()
    tally(acme, room, added("s"))
    sent = [
        updated("s", {"audio": AUDIO | {"format": {"codec": f"c{version}"}}}, version=version)
        for version in versions
    ]
    assert [tally(acme, room, each)[0] for each in sent] == outcomes
    last = [version for version, applied in zip(versions, outcomes, strict=True) if applied][-1]
    assert forward(acme, room)["s"]["media"]["audio"]["format"]["codec"] == f"c{last}"
    assert tally(acme, room, updated("s", BOTH, version=stands - 1)) == IGNORED
    assert tally(acme, room, updated("s", BOTH, version=stands)) == APPLIED


def test_a_stream_takes_along_whatever_was_fed_by_it(acme: Api):
    room = acme.room()
    tally(acme, room, added("s"), added("t"))
    mix(acme, room, "s", "t")
    record(acme, room, "s")
    other = record(acme, room, "t")
    assert tally(acme, room, removed("s")) == APPLIED
    assert list(forward(acme, room)) == ["t"]
    assert listed(acme, room, "recordings") == [other]
    assert counts(acme, room) == (0, 1, 1)
    assert tally(acme, room, removed("s")) == IGNORED
    # The id is free at once.
    assert tally(acme, room, added("s")) == APPLIED


def test_who_leaves_takes_streams_and_what_they_fed_along(acme: Api):
    room = acme.room()
    alice, bob = join(acme, room), join(acme, room)
    tally(acme, room, added("a", alice), added("b", alice, kind="analytics"), added("c", bob))
    record(acme, room, "a")
    assert tally(acme, room, left(alice)) == APPLIED
    assert participants(acme, room) == [bob]
    assert list(forward(acme, room)) == ["c"]
    assert listed(acme, room, "recordings") == []
    assert counts(acme, room) == (1, 1, 0)
    assert tally(acme, room, left(alice)) == IGNORED


# Outputs


def out(api: Api, room: str, source: str) -> str:
    body = {"protocol": "rtmp", "url": "rtmp://a.example/x", "media": _from(source)}
    return str(ok(api.post(f"/rooms/{room}/streaming-outs", body))["id"])


def analyse(api: Api, room: str, source: str) -> str:
    body = {"algorithm": "x", "media": _from(source)}
    return str(ok(api.post(f"/rooms/{room}/analytics", body))["id"])


def _from(source: str) -> dict[str, Any]:
    return {"audio": {"from": source}, "video": {"from": source}}


def test_an_output_that_runs_says_where(acme: Api):
    room = acme.room()
    mixed = f"{room}-common"
    sent, kept, seen = out(acme, room, mixed), record(acme, room, mixed), analyse(acme, room, mixed)
    storage = {"host": "media-3", "file": f"/srv/{kept}.mkv"}
    before = ok(acme.get(f"/rooms/{room}/analytics"))
    sent_reports = [ready(sent, url="rtmp://b.example/y"), ready(kept, storage=storage), ready(seen)]
    assert tally(acme, room, *sent_reports) == (3, 0, 0)
    (one,), (other,) = (ok(acme.get(f"/rooms/{room}/{what}")) for what in ("streaming-outs", "recordings"))
    assert one["url"] == "rtmp://b.example/y"
    assert other["storage"] == storage
    assert ok(acme.get(f"/rooms/{room}/analytics")) == before


def test_an_output_that_has_ended_is_gone(acme: Api):
    room = acme.room()
    mixed = f"{room}-common"
    made = [out(acme, room, mixed), record(acme, room, mixed), analyse(acme, room, mixed)]
    reports = [ended(each, reason="disk full") for each in made]
    assert tally(acme, room, *reports) == (3, 0, 0)
    assert counts(acme, room) == (0, 0, 0)
    assert tally(acme, room, *reports) == (0, 3, 0)
    assert tally(acme, room, *(ready(each) for each in made)) == (0, 3, 0)


def test_what_is_said_of_an_output_fits_its_kind(acme: Api):
    room = acme.room()
    mixed = f"{room}-common"
    sent, kept = out(acme, room, mixed), record(acme, room, mixed)
    before = ok(acme.get(f"/rooms/{room}/recordings"))
    assert tally(acme, room, ready(sent, storage={"host": "h", "file": "f"})) == IGNORED
    assert tally(acme, room, ready(kept, url="rtmp://b.example/y")) == IGNORED
    assert ok(acme.get(f"/rooms/{room}/recordings")) == before


def test_an_output_may_be_named_in_three_ways(acme: Api):
    room = acme.room()
    sent = [out(acme, room, f"{room}-common") for _ in range(3)]
    whole = ready(sent[0], url="rtmp://h/0")
    flat = {"type": "output.ready", "output": sent[1], "url": "rtmp://h/1"}
    bare = {"type": "output.ready", "id": sent[2], "url": "rtmp://h/2"}
    assert tally(acme, room, whole, flat, bare, bare) == (3, 0, 1)
    urls = [each["url"] for each in ok(acme.get(f"/rooms/{room}/streaming-outs"))]
    assert urls == ["rtmp://h/0", "rtmp://h/1", "rtmp://h/2"]
    # One id for both reports of it is not the same report twice.
    assert tally(acme, room, {"type": "output.ended", "id": sent[2]}) == APPLIED


def test_an_output_whose_source_has_ended_is_not_there(acme: Api):
    room = acme.room()
    tally(acme, room, added("s"))
    kept = record(acme, room, "s")
    tally(acme, room, removed("s"))
    assert tally(acme, room, ready(kept), ended(kept)) == (0, 2, 0)


# Calls


def calls(api: Api, room: str) -> list[Any]:
    found: list[Any] = ok(api.at("v1.1").get(f"/rooms/{room}/sipcalls"))
    return found


def test_a_call_that_came_in_is_a_participant_with_an_input(acme: Api):
    room = acme.room()
    assert tally(acme, room, added("heard", kind="sip"), called("c1", stream="heard")) == (2, 0, 0)
    (call,) = calls(acme, room)
    assert (call["id"], call["type"], call["peer"]) == ("c1", "dial-in", "sip:bob@example.com")
    assert call["input"] == forward(acme, room)["heard"]
    assert call["input"]["info"] == {"owner": "c1", "type": "sip", "inViews": []}
    # The peer is sent what the room shows, as in the original.
    assert set(call["output"]) == {"id", "media"}
    assert call["output"]["media"]["audio"]["from"] == f"{room}-common"
    assert call["output"]["media"]["video"]["from"] == f"{room}-common"
    (caller,) = ok(acme.get(f"/rooms/{room}/participants"))
    assert (caller["id"], caller["user"], caller["role"]) == ("c1", "sip:bob@example.com", "sip")
    assert counts(acme, room) == (1, 1, 1)
    update = [{"op": "replace", "path": "/output/media/audio/from", "value": "heard"}]
    assert ok(acme.patch(f"/rooms/{room}/sipcalls/c1", update))["output"]["media"]["audio"]["from"] == "heard"


def test_a_call_has_no_input_until_a_stream_of_it_comes(acme: Api):
    room = acme.room()
    assert tally(acme, room, called("c1", stream="later")) == APPLIED
    (call,) = calls(acme, room)
    assert call["input"] is False
    update = [{"op": "replace", "path": "/output/media/video/status", "value": "inactive"}]
    assert ok(acme.patch(f"/rooms/{room}/sipcalls/c1", update))["input"] is False
    assert tally(acme, room, added("other", "c1", kind="webrtc")) == APPLIED
    assert calls(acme, room)[0]["input"] is False
    assert tally(acme, room, added("later", "c1", kind="sip")) == APPLIED
    assert calls(acme, room)[0]["input"]["id"] == "later"
    # It has one now.
    assert tally(acme, room, added("third", "c1", kind="sip")) == APPLIED
    assert calls(acme, room)[0]["input"]["id"] == "later"
    assert counts(acme, room) == (1, 3, 1)


def test_a_stream_that_nobody_owned_becomes_the_input_of_a_call(acme: Api):
    room = acme.room()
    tally(acme, room, called("c1"), added("s"))
    assert tally(acme, room, added("s", "c1", kind="sip")) == APPLIED
    assert calls(acme, room)[0]["input"]["id"] == "s"
    assert forward(acme, room)["s"]["info"]["owner"] == "c1"
    tally(acme, room, called("c2"), added("t"))
    assert tally(acme, room, called("c2", stream="t")) == APPLIED
    assert calls(acme, room)[1]["input"]["id"] == "t"
    assert tally(acme, room, called("c2", stream="t")) == IGNORED


def test_a_call_does_not_take_somebody_elses_stream(acme: Api):
    room = acme.room()
    alice = join(acme, room)
    tally(acme, room, added("hers", alice), added("seen", kind="analytics"))
    assert tally(acme, room, called("c1", stream="hers"), called("c2", stream="seen")) == (2, 0, 0)
    assert [each["input"] for each in calls(acme, room)] == [False, False]
    assert forward(acme, room)["hers"]["info"]["owner"] == alice


@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("how", ["reported", "by the caller", "as a participant"])
def test_the_end_of_a_call_takes_participant_and_input_along(acme: Api, with_input, how):
    room = acme.room()
    tally(acme, room, called("c1"))
    if with_input:
        tally(acme, room, added("heard", "c1", kind="sip"))
        record(acme, room, "heard")
    match how:
        case "reported":
            assert tally(acme, room, hung_up("c1")) == APPLIED
        case "by the caller":
            assert acme.delete(f"/rooms/{room}/sipcalls/c1").status == 200
        case _:
            assert acme.delete(f"/rooms/{room}/participants/c1").status == 200
    assert calls(acme, room) == []
    assert participants(acme, room) == []
    assert forward(acme, room) == {}
    assert listed(acme, room, "recordings") == []
    assert counts(acme, room) == (0, 0, 0)
    assert tally(acme, room, hung_up("c1")) == IGNORED
    assert tally(acme, room, called("c1")) == APPLIED


def test_a_call_that_was_dialed_ends_by_a_report_too(acme: Api):
    room = acme.room(sip=SIP)
    body = {
        "peerURI": "sip:a@b",
        "mediaIn": {"audio": True, "video": False},
        "mediaOut": {"audio": {"from": f"{room}-common"}, "video": False},
    }
    call = ok(acme.post(f"/rooms/{room}/sipcalls", body))
    heard = call["input"]["id"]
    assert tally(acme, room, updated(heard, {"audio": AUDIO})) == APPLIED
    assert calls(acme, room)[0]["input"]["media"]["audio"]["format"] == AUDIO["format"]
    assert tally(acme, room, hung_up(call["id"])) == APPLIED
    assert counts(acme, room) == (0, 0, 0)


def test_hanging_up_is_for_calls_only(acme: Api):
    room = acme.room()
    alice = join(acme, room)
    assert tally(acme, room, hung_up(alice)) == IGNORED
    assert tally(acme, room, called(alice)) == IGNORED
    assert participants(acme, room) == [alice]


def test_a_call_needs_a_place_and_a_role(acme: Api):
    full, without = acme.room(participantLimit=1), acme.room(roles=[{"role": "viewer"}])
    join(acme, full)
    for room in (full, without):
        assert tally(acme, room, called("c1")) == IGNORED
        assert calls(acme, room) == []


def test_a_call_into_a_room_that_shows_nothing_is_sent_nothing(acme: Api):
    rooms = {
        acme.room(views=[]): (False, False),
        acme.room(mediaOut={"audio": [], "video": {"format": []}}, views=[]): (False, False),
        acme.room(views=[{"label": "x", "video": False}]): (True, False),
    }
    for room, expected in rooms.items():
        assert tally(acme, room, called("c1")) == APPLIED
        sent = calls(acme, room)[0]["output"]["media"]
        assert (sent["audio"] is not False, sent["video"] is not False) == expected
        assert tally(acme, room, hung_up("c1")) == APPLIED


# Layouts


def test_the_mixers_layout_is_shown_until_something_is_set(acme: Api):
    room = acme.room()
    tally(acme, room, added("a"), added("b"))
    mix(acme, room, "a", "b")
    computed = layout(acme, room)
    assert tally(acme, room, shown("common", ("x", None), ("y", "b"), ("z", "a"))) == APPLIED
    assert layout(acme, room) == [place("x", None), place("y", "b"), place("z", "a")]
    mixed = f"/rooms/{room}/streams/{room}-common"
    # What callers count is what they are shown.
    empty = [{"op": "replace", "path": "/info/layout/0/stream", "value": "b"}]
    assert refusal(acme.patch(mixed, empty)) == (500, 1201)
    swap = [{"op": "replace", "path": "/info/layout/2/stream", "value": "b"}]
    answered = ok(acme.patch(mixed, swap))["info"]["layout"]
    assert layout(acme, room) == answered
    assert [each.get("stream") for each in answered][:2] == ["a", "b"]
    assert [each["region"] for each in answered] == [each["region"] for each in computed]


def test_setting_what_is_set_already_takes_back_what_the_mixer_shows(acme: Api):
    room = acme.room()
    tally(acme, room, added("a"))
    mix(acme, room, "a")
    wanted = [{"op": "replace", "path": "/info/layout", "value": [place("p", "a")]}]
    mixed = f"/rooms/{room}/streams/{room}-common"
    ok(acme.patch(mixed, wanted))
    tally(acme, room, shown("common", ("q", "a")))
    assert layout(acme, room) == [place("q", "a")]
    ok(acme.patch(mixed, wanted))
    assert layout(acme, room) == [place("p", "a")]


def test_the_mixers_layout_is_shown_until_something_comes_in(acme: Api):
    room = acme.room()
    tally(acme, room, added("a"), added("b"))
    mix(acme, room, "a")
    tally(acme, room, shown("common", ("x", "a"), ("y", "b")))
    # What is not in the view is not shown in it.
    assert layout(acme, room) == [place("x", "a"), place("y", None)]
    mix(acme, room, "b")
    assert [each.get("stream") for each in layout(acme, room)] == ["a", "b", None, None]


def test_a_stream_that_leaves_leaves_its_region_empty(acme: Api):
    room = acme.room()
    tally(acme, room, added("a"), added("b"))
    mix(acme, room, "a", "b")
    tally(acme, room, shown("common", ("x", "a"), ("y", "b")))
    tally(acme, room, removed("a"))
    assert layout(acme, room) == [place("x", None), place("y", "b")]


def test_a_view_that_looks_otherwise_is_not_shown_as_before(acme: Api):
    room = acme.room()
    tally(acme, room, added("a"))
    mix(acme, room, "a")
    tally(acme, room, shown("common", ("x", "a")))
    acme.put(f"/rooms/{room}", {"views": [{"label": "common", "video": {"maxInput": 4}}]})
    assert layout(acme, room)[0]["region"]["id"] == "1"


def test_an_unknown_view_or_one_without_video_shows_nothing(acme: Api):
    room = acme.room(views=[{"label": "common", "video": False}])
    assert tally(acme, room, shown("common"), shown("other"), shown("x" * 5000)) == (0, 3, 0)


# Once, in order, late


def test_a_report_counts_once(acme: Api):
    room = acme.room()
    first = added("s") | {"id": "r1"}
    assert tally(acme, room, first) == APPLIED
    assert tally(acme, room, first) == DUPLICATE
    assert tally(acme, room, removed("s")) == APPLIED
    assert tally(acme, room, first) == DUPLICATE
    assert forward(acme, room) == {}
    # In another room it is another one.
    assert tally(acme, acme.room(), first) == APPLIED


def test_a_report_that_was_ignored_is_not_looked_at_again(acme: Api):
    room = acme.room()
    early = updated("s", {"audio": AUDIO}) | {"id": "r1"}
    assert tally(acme, room, early) == IGNORED
    tally(acme, room, added("s"))
    assert tally(acme, room, early) == DUPLICATE
    assert forward(acme, room)["s"]["media"]["video"] is not False


def test_an_id_that_stands_twice_in_a_list_counts_once(acme: Api):
    room = acme.room()
    assert tally(acme, room, added("a") | {"id": "r1"}, added("b") | {"id": "r1"}) == (1, 0, 1)
    assert list(forward(acme, room)) == ["a"]


def test_a_report_is_known_for_a_day(acme: Api, monkeypatch):
    room, now = acme.room(), clock.now()
    one = added("s") | {"id": "r1"}
    tally(acme, room, one)
    monkeypatch.setattr(clock, "now", lambda: now + 86300)
    assert tally(acme, room, one) == DUPLICATE
    # The row may stand longer, as DynamoDB removes it later.
    monkeypatch.setattr(clock, "now", lambda: now + 86500)
    assert tally(acme, room, one) == APPLIED
    assert tally(acme, room, one) == DUPLICATE
    monkeypatch.setattr(clock, "now", lambda: now + 2 * 86600)
    assert tally(acme, room, removed("x") | {"id": "r1"}) == IGNORED


def test_a_list_is_taken_in_in_its_order(acme: Api):
    room = acme.room()
    alice = join(acme, room)
    reports = [
        added("s", alice),
        updated("s", {"audio": AUDIO}),
        removed("s"),
        updated("s", BOTH),
        added("s", alice, media={"video": VIDEO}),
        left(alice),
        added("t", alice),
    ]
    assert tally(acme, room, *reports) == (5, 2, 0)
    assert counts(acme, room) == (0, 0, 0)


LATE = [
    left("nobody"),
    updated("gone", BOTH),
    removed("gone"),
    ready("gone", url="rtmp://a/b"),
    ended("gone"),
    hung_up("gone"),
    shown("gone", ("x", "y")),
    {"type": "node.gone", "node": "gone"},
    *(left(name) for name in (" ", "a b", "é", "x" * 300, "a#b", "\x00")),
    *(removed(name) for name in (" ", "é", "x" * 1025)),
    *(ended(name) for name in (" ", "é", "x" * 1025)),
    *(hung_up(name) for name in (" ", "é", "x" * 1025)),
]


def test_a_target_that_is_not_there_is_ignored(acme: Api):
    room = acme.room()
    for late in LATE:
        assert tally(acme, room, late) == IGNORED, late
    assert counts(acme, room) == (0, 0, 0)


def test_a_room_that_is_not_there_is_not_found(acme: Api):
    room = acme.room()
    acme.delete(f"/rooms/{room}")
    for name in (room, "5188b9af6e53c84ffd600499", "x", "x" * 300):
        assert refusal(report(acme, name, added("s"))) == NO_ROOM
        # Who is not there answers before what is wrong with the request.
        assert refusal(media(acme).post(f"/rooms/{name}/reports", 5)) == NO_ROOM


def test_a_hundred_reports_fit_into_a_list_and_no_more(acme: Api):
    room = acme.room()
    assert tally(acme, room) == (0, 0, 0)
    many = [added(f"s{number}") for number in range(100)]
    assert tally(acme, room, *many) == (100, 0, 0)
    assert list(forward(acme, room)) == [f"s{number}" for number in range(100)]
    assert refusal(report(acme, room, *many, added("more"))) == BAD
    assert counts(acme, room) == (0, 100, 0)


def test_one_that_is_malformed_refuses_the_list_and_changes_nothing(acme: Api):
    room = acme.room()
    rows = len(list(writes.raw_rows(keys.owt_room_partition(room))))
    good = [added(f"s{number}") | {"id": f"r{number}"} for number in range(3)]
    for at in range(4):
        bad = [*good[:at], {"id": "bad", "type": "stream.added"}, *good[at:]]
        assert refusal(report(acme, room, *bad)) == BAD
    assert len(list(writes.raw_rows(keys.owt_room_partition(room)))) == rows
    assert reported.known(room, ["r0", "r1", "r2", "bad"]) == set()
    assert tally(acme, room, *good) == (3, 0, 0)


def test_what_was_taken_in_before_storage_failed_is_not_taken_in_again(acme: Api, monkeypatch):
    room = acme.room()
    many = [added(f"s{number}") | {"id": f"r{number}"} for number in range(5)]
    transact = writes.transact
    made: list[Any] = []

    def fails(parts: Any, token: str = "") -> None:
        if len(made) == 3:
            raise Unavailable("storage does not answer")
        transact(parts, token)
        made.append(parts)

    with monkeypatch.context() as patched:
        patched.setattr(writes, "transact", fails)
        assert refusal(report(acme, room, *many)) == (500, 1401)
    assert len(forward(acme, room)) == 3
    assert tally(acme, room, *many) == (2, 0, 3)
    assert counts(acme, room) == (0, 5, 0)


# Who


def test_a_service_reports_of_its_own_rooms_and_the_super_service_of_all(boss: Api, acme: Api, other: Api):
    room, its_own = acme.room(), boss.room()
    assert refusal(report(other, room, added("s"))) == NO_ROOM
    assert refusal(report(acme, its_own, added("s"))) == NO_ROOM
    assert forward(acme, room) == {}
    assert tally(boss, room, added("s")) == APPLIED
    assert tally(acme, room, added("t")) == APPLIED
    assert list(forward(acme, room)) == ["s", "t"]
    assert tally(boss, its_own, added("s")) == APPLIED


def test_nothing_is_taken_in_without_a_signature(acme: Api):
    room = acme.room()
    liar = Api(acme.service, "not its key")
    assert refusal(report(liar, room, added("s"))) == (401, 1101)


# What cannot be read

MOST_VALUES: list[Any] = [None, 5, "x", {}]
MORE_VALUES: list[Any] = [[], True, "", " ", -1, 1.5, False, [1], {"a": 1}, "x" * 5000, 10**400, 1e308, 2**63]
VALUES = MOST_VALUES + (MORE_VALUES if FULL else [])
WHOLE: list[dict[str, Any]] = [
    added("s", node="n"),
    updated("s", BOTH, version=1),
    removed("s"),
    left("p"),
    ready("o", url="rtmp://a/b", storage={"host": "h", "file": "f"}),
    ended("o", reason="r"),
    called("c", stream="s"),
    hung_up("c"),
    shown("common", ("x", "s")),
    {"type": "node.gone", "node": "n"},
]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same document with something else in one place."""
    if not path:
        return new
    name, *rest = path
    if isinstance(value, list):
        return [changed(each, tuple(rest), new) if at == name else each for at, each in enumerate(value)]
    return {**value, name: changed(value[name], tuple(rest), new)}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path]
    if isinstance(value, dict):
        found += [place for name, each in value.items() for place in places(each, (*path, name))]
    if isinstance(value, list):
        found += [place for at, each in enumerate(value) for place in places(each, (*path, at))]
    return found


def test_no_confusion_of_types_is_our_fault(acme: Api):
    room = acme.room()
    answers = set()
    for whole in WHOLE:
        for path in places({"id": "r", **whole}):
            for number, value in enumerate(VALUES):
                body = [changed({"id": f"{whole['type']} {path} {number}", **whole}, path, value)]
                answer = media(acme).post(f"/rooms/{room}/reports", body)
                assert answer.status in (200, 400), body
                answers.add(answer.status if answer.status == 200 else refusal(answer))
    assert answers == {200, BAD}
    # And callers can still look at all of it.
    for what in ("streams", "participants", "recordings", "streaming-outs", "sipcalls", "analytics"):
        for version in ("v1", "v1.1"):
            ok(acme.at(version).get(f"/rooms/{room}/{what}"))


def test_reports_come_in_a_list_of_json(acme: Api):
    path = f"/rooms/{acme.room()}/reports"
    for body in (None, {}, "x", 5, True, {"id": "r", "type": "node.gone", "node": "n"}):
        assert refusal(media(acme).post(path, body)) == BAD, body
    for raw in (b"", b"[", b"\xff", b'[{"id": "r", "id": "s"}]', b"[" * 100, b"[NaN]"):
        assert refusal(media(acme).call("POST", path, NOTHING, raw=raw)) == BAD, raw


NOT_MEANT = [
    *(added(name) for name in ("", " ", "é", "x" * 257, "a#b")),
    added("s", "not an id"),
    added("s", kind="tape"),
    added("s", media={"audio": False, "video": False}),
    added("s", attributes={"x": "y" * 100_000}),
    updated("s", BOTH, version=-1),
    updated("s", BOTH, version=1.5),
    called("not an id"),
    called("admin"),
    called("c", peer=""),
    shown("common", ("x", "a"), ("x", "b")),
    shown("common", ("x", "a"), ("y", "a")),
    shown("common", *((str(number), None) for number in range(257))),
    {"type": "stream.exploded"},
    {"type": "node.gone"},
    {"type": "participant.left", "participant": "p", "id": ""},
    {"type": "participant.left", "participant": "p", "id": "x" * 257},
    {"type": "participant.left", "participant": "p", "node": "x" * 257},
]


def test_what_cannot_be_meant_is_bad_data(acme: Api):
    room = acme.room()
    for bad in NOT_MEANT:
        assert refusal(report(acme, room, bad)) == BAD, bad


def test_the_id_of_a_mixed_stream_is_none_of_a_forward_one(acme: Api):
    room = acme.room()
    for name in (f"{room}-common", f"{room}-"):
        assert refusal(report(acme, room, added(name))) == BAD
    assert tally(acme, room, removed(f"{room}-common"), updated(f"{room}-common", BOTH)) == (0, 2, 0)
