"""The room document: defaults, what may be in it, what a PUT makes of it (contract 6.2 to 6.4)."""

import contextlib
import copy
import hashlib
import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from chalicelib.owt import packed, room
from chalicelib.owt.errors import BadData
from tests.owt.documents import SPELLED


def made(**options):
    """The document of a room with these options."""
    return room.parse_new({"name": "r", "options": options})


def view(**fields):
    """The only view of a room that was asked for with these fields."""
    (found,) = made(views=[fields])["views"]
    return found


def compact(value):
    return json.dumps(value, separators=(",", ":"))


# Defaults


def test_the_default_room_is_byte_equal_to_the_contracts():
    assert compact(room.parse_new({"name": "r"})) == compact(json.loads(SPELLED))


@pytest.mark.parametrize("options", [None, {}, {"views": None, "roles": None, "sip": None, "name": "other"}])
def test_options_may_be_absent_null_or_hold_nothing(options):
    assert room.parse_new({"name": "r", "options": options}) == json.loads(SPELLED)


@pytest.mark.parametrize("options", ["", 1, True, [], False, 0, "x"])
def test_options_of_another_type_are_refused(options):
    with pytest.raises(BadData):
        room.parse_new({"name": "r", "options": options})


@pytest.mark.parametrize(
    "body", [None, [], "r", 1, {}, {"name": ""}, {"name": None}, {"name": 1}, {"name": []}]
)
def test_a_room_has_a_name(body):
    with pytest.raises(BadData):
        room.parse_new(body)


def test_null_counts_as_left_out_at_any_depth():
    given = {
        "video": {
            "parameters": {"resolution": {"width": None, "height": 360}, "framerate": None},
            "layout": None,
        }
    }
    found = view(**given, audio=None, label=None)
    assert found["video"]["parameters"] == {
        "resolution": {"width": 640, "height": 360},
        "framerate": 24,
        "keyFrameInterval": 100,
    }
    assert (found["label"], found["audio"]["vad"]) == ("common", True)


def test_defaults_fill_in_leaf_by_leaf_in_views_transcoding_and_notifying():
    found = made(
        views=[{"label": "a", "video": {"bgColor": {"g": 7}, "layout": {"templates": {"base": "lecture"}}}}],
        transcoding={"video": {"parameters": {"bitrate": False}}},
        notifying={"streamChange": False},
    )
    video = found["views"][0]["video"]
    assert video["bgColor"] == {"r": 0, "g": 7, "b": 0}
    assert video["layout"] == {"fitPolicy": "letterbox", "templates": {"base": "lecture", "custom": []}}
    assert found["transcoding"] == {
        "audio": True,
        "video": {
            "format": True,
            "parameters": {"resolution": True, "framerate": True, "bitrate": False, "keyFrameInterval": True},
        },
    }
    assert found["notifying"] == {"participantActivities": True, "streamChange": False}


def test_a_views_format_is_one_leaf():
    found = view(audio={"format": {"codec": "pcmu"}}, video={"format": {"codec": "h264", "profile": "B"}})
    assert found["audio"] == {"format": {"codec": "pcmu"}, "vad": True}
    assert found["video"]["format"] == {"codec": "h264", "profile": "B"}


def test_unknown_fields_are_dropped_and_the_test_suites_room_has_a_view_labelled_common():
    found = made(views=[{"name": "common", "video": {}}], unknown={"a": 1}, viewports=[])
    assert found == json.loads(SPELLED)


def test_a_views_object_is_a_list_of_one_and_an_empty_list_stays_empty():
    assert made(views={"label": "only"})["views"] == [view(label="only")]
    assert made(views=[])["views"] == []


def test_what_one_room_sets_is_in_no_other_one():
    video = {"format": [{"codec": "vp8"}], "parameters": {"framerate": [6]}}
    wanted: dict[str, Any] = {
        "mediaOut": {"audio": [{"codec": "opus"}], "video": video},
        "roles": [{"role": "r"}],
        "views": [],
    }
    made(**wanted)
    room.merge(made(), wanted)
    found = room.Room("r", made())
    assert found.once(b"a", lambda: 1) == found.once(b"a", lambda: 2) == 1
    assert room.Room("s", made()).once(b"a", lambda: 3) == 3
    assert made() == json.loads(SPELLED)


def test_a_room_remembers_so_many_answers_and_to_short_questions_only():
    found = room.Room("r", made())
    for number in range(3 * room.WORKED_OUT):
        found.once(b"%d" % number, lambda: "x")
    found.once(b"x" * (room.LONGEST_QUESTION + 1), lambda: "x")
    assert 0 < len(found.worked_out) <= room.WORKED_OUT
    assert max(map(len, found.worked_out)) <= room.LONGEST_QUESTION


# Rules


def test_d24_a_room_may_list_isac_with_its_own_channels():
    formats = [{"codec": "isac", "sampleRate": 16000, "channelNum": 1}]
    found = made(mediaOut={"audio": formats, "video": {"format": [{"codec": "vp8"}]}}, views=[])
    assert found["mediaOut"]["audio"] == formats
    assert {"codec": "isac", "sampleRate": 16000} in made()["mediaIn"]["audio"]


@pytest.mark.parametrize("value", [0, 1, 23, 25, 61, -24, 24.5, "24fps", "", [], {}, True])
def test_d11_a_framerate_outside_its_set_is_refused(value):
    with pytest.raises(BadData):
        view(video={"parameters": {"framerate": value}})


@pytest.mark.parametrize("value", [6, 12, 15, 24, 30, 48, 60, 24.0, "30"])
def test_d11_a_framerate_of_its_set_is_shown_as_a_number(value):
    found = view(video={"parameters": {"framerate": value}})["video"]["parameters"]["framerate"]
    assert compact(found) == str(int(float(value)))


@pytest.mark.parametrize("value", [0, 3, 99, 101, "often", True])
def test_d11_a_key_frame_interval_outside_its_set_is_refused(value):
    with pytest.raises(BadData):
        view(video={"parameters": {"keyFrameInterval": value}})


def test_d12_media_in_and_out_are_kept_as_given():
    media_in = {
        "audio": [{"codec": "acc"}, {"codec": "opus", "sampleRate": "16000"}, None, 7, {"x": [1.0, None]}],
        "video": [{"codec": "h264", "profile": None}],
        "more": {"a": None},
    }
    media_out = {
        "audio": [{"codec": "acc", "unknown": None}],
        "video": {
            "format": [{"codec": "xyz"}],
            "parameters": {
                "resolution": ["x9/8", 1],
                "framerate": [5, "6"],
                "bitrate": [500, 1000],
                "keyFrameInterval": [7.5],
                "extra": None,
            },
            "extra": 1,
        },
        "extra": [],
    }
    found = made(mediaIn=media_in, mediaOut=media_out, views=[])
    assert compact(found["mediaIn"]) == compact(media_in)
    assert compact(found["mediaOut"]) == compact(media_out)


def test_inside_a_given_media_out_missing_lists_are_empty():
    empty: Any = {"resolution": [], "framerate": [], "bitrate": [], "keyFrameInterval": []}
    wanted = {"audio": [], "video": {"format": [], "parameters": empty}}
    given_out: Any
    for given_out in ({}, {"audio": None}, {"video": {}}, {"video": {"parameters": None}}, {"video": None}):
        assert made(mediaOut=given_out, views=[])["mediaOut"] == wanted
    assert made(mediaIn={}, views=[])["mediaIn"] == {"audio": [], "video": []}


@pytest.mark.parametrize(
    "options",
    [
        {"mediaIn": []},
        {"mediaIn": {"audio": {}}},
        {"mediaOut": "all"},
        {"mediaOut": {"audio": {}}},
        {"mediaOut": {"video": []}},
        {"mediaOut": {"video": False}},
        {"mediaOut": {"video": {"format": {}}}},
        {"mediaOut": {"video": {"parameters": []}}},
        {"mediaOut": {"video": {"parameters": {"framerate": 5}}}},
    ],
)
def test_d10_media_of_another_form_is_refused(options):
    with pytest.raises(BadData):
        made(**options, views=[])


@pytest.mark.parametrize(
    "options",
    [
        {"participantLimit": "many"},
        {"participantLimit": True},
        {"participantLimit": {}},
        {"participantLimit": 10**16},
        {"inputLimit": "12 "},
        {"inputLimit": ""},
        {"inputLimit": "0x10"},
        {"inputLimit": "nan"},
        {"inputLimit": "1e400"},
        {"selectActiveAudio": "yes"},
        {"selectActiveAudio": 1},
        {"enableBandwidthAdaptation": "True"},
        {"roles": {}},
        {"roles": ["presenter"]},
        {"roles": [{}]},
        {"roles": [{"role": ""}]},
        {"roles": [{"role": 1}]},
        {"roles": [{"role": "a", "publish": True}]},
        {"roles": [{"role": "a", "publish": {"audio": "sometimes"}}]},
        {"views": "common"},
        {"views": [None]},
        {"views": ["common"]},
        {"views": [{}, {}]},
        {"views": [{"label": "a"}, {"label": "a"}]},
        {"views": [{"label": ""}]},
        {"views": [{"label": "a b"}]},
        {"views": [{"label": "a/b"}]},
        {"views": [{"label": "ä"}]},
        {"views": [{"label": "a\n"}]},
        {"views": [{"label": "a" * 201}]},
        {"views": [{"label": 7}]},
        {"views": [{"audio": False}]},
        {"views": [{"audio": {"vad": "loud"}}]},
        {"views": [{"audio": {"format": "opus"}}]},
        {"views": [{"audio": {"format": {}}}]},
        {"views": [{"audio": {"format": {"codec": "opus"}}}]},
        {"views": [{"audio": {"format": {"codec": "opus", "sampleRate": 48000, "channelNum": 1}}}]},
        {"views": [{"video": True}]},
        {"views": [{"video": "vp8"}]},
        {"views": [{"video": {"format": {"codec": "h264"}}}]},
        {"views": [{"video": {"format": {"codec": "h264", "profile": "H"}}}]},
        {"views": [{"video": {"parameters": {"resolution": "vga"}}}]},
        {"views": [{"video": {"parameters": {"resolution": {"width": "wide"}}}}]},
        {"views": [{"video": {"parameters": {"bitrate": "x0.8"}}}]},
        *({"views": [{"video": {"maxInput": value}}]} for value in (0, -1, 257, 1.5, "many", True)),
        *({"views": [{"video": {"bgColor": {"r": value}}}]} for value in (-1, 256, "red")),
        {"views": [{"video": {"bgColor": "black"}}]},
        {"views": [{"video": {"motionFactor": "fast"}}]},
        {"views": [{"video": {"keepActiveInputPrimary": 0}}]},
        {"views": [{"video": {"layout": {"fitPolicy": "stretch"}}}]},
        {"views": [{"video": {"layout": {"setRegionEffect": 1}}}]},
        {"views": [{"video": {"layout": {"templates": {"base": "grid"}}}}]},
        {"views": [{"video": {"layout": {"templates": {"custom": {}}}}}]},
        {"transcoding": False},
        {"transcoding": {"video": True}},
        {"notifying": {"streamChange": "now and then"}},
        {"sip": "sip.example.org"},
        {"sip": {"sipServer": 1}},
        {"sip": {"password": ["a"]}},
    ],
)
def test_d10_a_bad_configuration_is_refused_at_creation_and_in_a_put(options):
    with pytest.raises(BadData):
        made(**options)
    before = made()
    kept = copy.deepcopy(before)
    with pytest.raises(BadData):
        room.merge(before, options)
    assert before == kept


def custom(*regions):
    """A view with a custom template of these regions."""
    return view(video={"layout": {"templates": {"custom": [{"primary": "1", "region": list(regions)}]}}})


def area(**numbers):
    return {"left": "0", "top": "0", "width": "1", "height": "1"} | numbers


@pytest.mark.parametrize("value", ["0", "1", "1/2", "0/1", "3/3", "0.5", "1.0", 0, 1, 0.25, 1.0])
def test_d14_region_areas_are_echoed_as_they_were_sent(value):
    sent = {"id": "a", "shape": "rectangle", "area": area(width=value)}
    (template,) = custom(sent)["video"]["layout"]["templates"]["custom"]
    assert compact(template) == compact({"primary": "1", "region": [sent]})


@pytest.mark.parametrize(
    "value",
    [
        *(
            "3/2",
            "2",
            "-1/2",
            "1/0",
            "0/0",
            "",
            " 1",
            "1 ",
            "1/",
            "/2",
            "1e0",
            "0.5/1",
            "half",
            "1.1",
            "1/2\n",
        ),
        *("\uff11/\uff12", -0.1, 1.1, True, [], {}, None),
    ],
)
def test_d14_other_numbers_of_an_area_are_refused(value):
    with pytest.raises(BadData):
        custom({"id": "a", "area": area(width=value)})


def test_a_region_has_an_id_a_shape_and_four_numbers():
    (template,) = custom({"id": "a", "area": area(), "more": 1})["video"]["layout"]["templates"]["custom"]
    assert template["region"] == [{"id": "a", "shape": "rectangle", "area": area()}]
    for bad in (
        {"area": area()},
        {"id": "", "area": area()},
        {"id": 1, "area": area()},
        {"id": "a"},
        {"id": "a", "area": {"left": "0", "top": "0", "width": "1"}},
        {"id": "a", "shape": "circle", "area": area()},
    ):
        with pytest.raises(BadData):
            custom(bad)


def test_roles_are_taken_whole_and_missing_flags_are_false():
    found = made(roles=[{"role": "listener", "subscribe": {"audio": True}, "colour": "red"}])
    assert found["roles"] == [
        {
            "role": "listener",
            "publish": {"audio": False, "video": False},
            "subscribe": {"audio": True, "video": False},
        }
    ]


def test_a_view_without_video_keeps_its_false():
    found = view(label="radio", video=False)
    assert found["video"] is False
    assert room.merge(made(views=[{"video": False}]), {"name": "x"})["views"][0]["video"] is False


def test_a_view_is_checked_against_the_rooms_own_media_out():
    out: Any = {"audio": [{"codec": "pcmu", "sampleRate": "8000"}], "video": {"format": [{"codec": "vp9"}]}}
    asked: Any = [
        {"audio": {"format": {"codec": "pcmu", "sampleRate": 8000}}, "video": {"format": {"codec": "vp9"}}}
    ]
    assert made(mediaOut=out, views=asked)["views"][0]["audio"]["format"]["sampleRate"] == 8000
    with pytest.raises(BadData):
        made(mediaOut=out)
    with pytest.raises(BadData):
        room.merge(made(), {"mediaOut": out})
    assert room.merge(made(), {"mediaOut": out, "views": asked})["mediaOut"]["audio"] == out["audio"]


def test_empty_texts_of_a_sip_account_are_texts():
    sip = {"sipServer": "", "username": "", "password": ""}
    assert made(sip=sip)["sip"] == sip
    assert made(sip={"sipServer": "a", "port": 5060})["sip"] == {"sipServer": "a"}


@pytest.mark.parametrize(
    ("sent", "shown"), [("12", "12"), ("-1", "-1"), (12.0, "12"), ("2.5", "2.5"), ("1e2", "100"), (0, "0")]
)
def test_numbers_as_text_are_taken_and_shown_as_numbers(sent, shown):
    assert compact(made(participantLimit=sent)["participantLimit"]) == shown


def test_booleans_as_text_are_taken_and_shown_as_booleans():
    assert made(selectActiveAudio="true", enableBandwidthAdaptation="false")["selectActiveAudio"] is True


# PUT


def test_d13_a_put_replaces_what_is_there_and_keeps_the_rest():
    before = made(roles=[{"role": "a"}], inputLimit=3)
    after = room.merge(before, {"participantLimit": 9, "inputLimit": None, "_id": "x", "id": 1, "__v": {}})
    assert after == before | {"participantLimit": 9}


def test_d13_a_field_that_is_there_is_replaced_whole_and_filled_with_defaults():
    before = made(views=[{"label": "a", "video": {"maxInput": 4}}], notifying={"streamChange": False})
    after = room.merge(before, {"views": [{"label": "a"}], "notifying": {"participantActivities": False}})
    assert after["views"] == [view(label="a")]
    assert after["notifying"] == {"participantActivities": False, "streamChange": True}


def test_the_whole_document_may_be_put_back():
    before = made(views=[{"label": "a"}, {"label": "b", "video": False}], sip={"sipServer": "s"})
    assert room.merge(before, {"_id": "1", **before, "__v": 0}) == before


@pytest.mark.parametrize("body", [None, [], "x", 7, True])
def test_a_put_is_an_object(body):
    with pytest.raises(BadData):
        room.merge(made(), body)


@pytest.mark.parametrize("name", ["", 1, [], {}])
def test_a_put_does_not_take_the_name_away(name):
    with pytest.raises(BadData):
        room.merge(made(), {"name": name})


# Limits and incarnations


@pytest.mark.parametrize(
    ("limit", "fit"), [(-1, room.NO_LIMIT), (0, room.NO_LIMIT), (-3.5, room.NO_LIMIT), (3, 3), (2.5, 3)]
)
def test_a_participant_limit_of_0_and_less_is_none(limit, fit):
    assert room.participant_limit(made(participantLimit=limit)) == fit


@pytest.mark.parametrize(("limit", "fit"), [(-1, room.NO_LIMIT), (0, 0), (3, 3), (0.5, 1)])
def test_an_input_limit_of_0_lets_no_input_in(limit, fit):
    assert room.input_limit(made(inputLimit=limit)) == fit


def test_a_view_that_stays_keeps_its_id_and_its_look_until_its_video_changes():
    numbers = iter("abcdef")
    first = made(views=[{"label": "one"}, {"label": "two"}])
    one = room.incarnations(first, 1, lambda: next(numbers))
    assert one == {"one": ("a", 1), "two": ("b", 1)}
    second = room.merge(first, {"views": [{"label": "two", "audio": {"vad": False}}, {"label": "three"}]})
    two = room.incarnations(second, 2, lambda: next(numbers), first, one)
    assert two == {"two": ("b", 1), "three": ("c", 2)}
    third = room.merge(second, {"views": [{"label": "one"}, {"label": "two", "video": {"maxInput": 2}}]})
    three = room.incarnations(third, 3, lambda: next(numbers), second, two)
    assert three == {"one": ("d", 3), "two": ("b", 3)}


# At rest


def test_a_room_that_differs_little_from_the_default_is_small():
    assert len(packed.pack(packed.spell(made()))) <= 110
    assert len(packed.pack(packed.spell(room.parse_new({"name": "Weekly sync of team 7"})))) <= 110


def test_the_dictionary_is_never_edited():
    """Rooms that were packed with it could not be read any more: make a new one with another number."""
    assert {number: hashlib.sha256(text).hexdigest() for number, text in packed.DICTIONARIES.items()} == {
        1: "37ede077fe1a441af236724c663a9abc7618c1a44079c06ef653ecf4165d75be"
    }


def test_what_was_packed_with_the_first_dictionary_can_be_read():
    stored = bytes.fromhex("011b6de48c3672461b39a38d9cd146ce682367b49133dac819968d1c00")
    assert packed.read(packed.unpack(stored)) == json.loads(SPELLED)


# Whatever callers send

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
flags = st.booleans()
numbers = st.integers(-(10**15), 10**15) | st.floats(-1e15, 1e15)
labels = st.text("abcXYZ019_-", min_size=1, max_size=8)
edges = st.sampled_from(["0", "1", "1/2", "2/3", "0.25", 0, 1, 0.5])
regions = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1, max_size=4),
        "shape": st.just("rectangle"),
        "area": st.fixed_dictionaries(dict.fromkeys(("left", "top", "width", "height"), edges)),
    }
)
views = st.lists(
    st.fixed_dictionaries(
        {"label": labels},
        optional={
            "audio": st.fixed_dictionaries({}, optional={"vad": flags}),
            "video": st.just(False)
            | st.fixed_dictionaries(
                {},
                optional={
                    "motionFactor": numbers,
                    "maxInput": st.integers(1, 256),
                    "bgColor": st.fixed_dictionaries(dict.fromkeys("rgb", st.integers(0, 255))),
                    "layout": st.fixed_dictionaries(
                        {
                            "templates": st.fixed_dictionaries(
                                {
                                    "base": st.sampled_from(["fluid", "lecture", "void"]),
                                    "custom": st.lists(
                                        st.fixed_dictionaries({"region": st.lists(regions, max_size=3)}),
                                        max_size=2,
                                    ),
                                }
                            )
                        }
                    ),
                },
            ),
        },
    ),
    max_size=3,
    unique_by=lambda each: str(each["label"]),
)
tracks = st.fixed_dictionaries({"audio": flags, "video": flags})
documents = st.fixed_dictionaries(
    {},
    optional={
        "participantLimit": numbers,
        "inputLimit": numbers,
        "selectActiveAudio": flags,
        "enableBandwidthAdaptation": flags,
        "roles": st.lists(
            st.fixed_dictionaries({"role": st.text(min_size=1), "publish": tracks, "subscribe": tracks}),
            max_size=3,
        ),
        "views": views,
        "mediaIn": st.fixed_dictionaries(
            {"audio": st.lists(anything, max_size=3), "video": st.lists(anything, max_size=3)}
        ),
        "sip": st.fixed_dictionaries({}, optional={"sipServer": st.text(), "username": st.text()}),
        "notifying": st.fixed_dictionaries({"participantActivities": flags, "streamChange": flags}),
    },
)


def holds(answered, sent):
    """Whether everything that was sent is in what is answered, equal; lists as a whole."""
    if isinstance(sent, dict):
        return isinstance(answered, dict) and all(holds(answered.get(name), sent[name]) for name in sent)
    if isinstance(sent, list):
        return isinstance(answered, list) and len(answered) == len(sent) and all(map(holds, answered, sent))
    return answered == sent and isinstance(answered, bool) == isinstance(sent, bool)


def stored(document):
    return packed.read(packed.unpack(packed.pack(packed.spell(document))))


@given(documents)
def test_what_is_accepted_is_returned_equal(options):
    found = stored(made(**options))
    assert holds(found, options)
    assert stored(room.merge(found, options)) == found


@given(st.dictionaries(st.sampled_from(list(room.ROOM.fields)), anything, max_size=4) | anything)
def test_what_is_refused_leaves_no_trace_and_nothing_but_a_refusal_is_raised(body):
    before = made()
    with contextlib.suppress(BadData):
        room.parse_new({"name": "r", "options": body})
    try:
        after = room.merge(before, body)
    except BadData:
        after = before
    assert before == json.loads(SPELLED)
    assert room.merge(after, dict(after)) == after


@given(st.data())
def test_any_value_of_another_type_is_accepted_or_refused_and_no_more(data):
    document = copy.deepcopy(made(views=[{"label": "a"}], sip={"sipServer": "s"}))
    at, where = document, None
    while True:
        where = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        inner = at[where]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        at = inner
    at[where] = data.draw(anything)
    try:
        found = room.parse_new({"name": "r", "options": document})
    except BadData:
        return
    assert stored(found) == found
