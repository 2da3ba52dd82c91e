"""What a participant may do, and updates of it (contract 7)."""

import pytest

from chalicelib.owt import participant
from chalicelib.owt.errors import BadData, Refused
from chalicelib.owt.participant import FLAGS, Flag
from chalicelib.wire import patch
from tests.owt.documents import DEFAULT

BOTH = {"audio": True, "video": True}
NEITHER = {"audio": False, "video": False}


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def fold(*updates):
    return participant.fold(patch.parse(list(updates)))


def applied(before, *updates):
    """The permission after a list of updates, as the store applies what it is folded to."""
    after = dict(before)
    for flag, value in fold(*updates).items():
        after[flag] = value if value is not None else bool(after[flag])
    return participant.spell_permission(after)


def flags(publish, subscribe):
    pairs = zip(FLAGS, (publish, publish, subscribe, subscribe), strict=True)
    return {flag: tracks and tracks[flag.track] for flag, tracks in pairs}


ALL_GRANTED = flags(BOTH, BOTH)
NOTHING = dict.fromkeys(FLAGS)


def test_the_permission_is_copied_from_the_role_of_that_name():
    roles = [
        {"role": "viewer", "publish": NEITHER, "subscribe": BOTH},
        {"role": "viewer", "publish": BOTH, "subscribe": BOTH},
    ]
    copied = participant.permission_of(roles, "viewer")
    assert participant.spell_permission(copied) == {"publish": NEITHER, "subscribe": BOTH}


def test_a_role_that_the_room_does_not_have_is_refused():
    with pytest.raises(Refused):
        participant.permission_of(DEFAULT["roles"], "Presenter")


def test_a_direction_without_any_flag_is_shown_as_false():
    assert participant.spell_permission(NOTHING) == {"publish": False, "subscribe": False}


@pytest.mark.parametrize(
    ("before", "updates", "after"),
    [
        (ALL_GRANTED, [], {"publish": BOTH, "subscribe": BOTH}),
        (
            ALL_GRANTED,
            [replace("/permission/publish", NEITHER)],
            {"publish": NEITHER, "subscribe": BOTH},
        ),
        (
            ALL_GRANTED,
            [replace("/permission/subscribe", {"audio": False, "video": True, "data": True})],
            {"publish": BOTH, "subscribe": {"audio": False, "video": True}},
        ),
        (
            ALL_GRANTED,
            [replace("/permission/publish/video", False)],
            {"publish": {"audio": True, "video": False}, "subscribe": BOTH},
        ),
        (
            NOTHING,
            [replace("/permission/publish/audio", True)],
            {"publish": {"audio": True, "video": False}, "subscribe": False},
        ),
        (
            NOTHING,
            [replace("/permission/publish/audio", False)],
            {"publish": NEITHER, "subscribe": False},
        ),
        (
            ALL_GRANTED,
            [
                replace("/permission/publish/audio", False),
                replace("/permission/publish", BOTH),
                replace("/permission/publish/video", False),
                replace("/permission/subscribe/audio", False),
            ],
            {"publish": {"audio": True, "video": False}, "subscribe": {"audio": False, "video": True}},
        ),
        (
            ALL_GRANTED,
            [replace("/permission/publish", NEITHER), replace("/permission/publish/audio", True)],
            {"publish": {"audio": True, "video": False}, "subscribe": BOTH},
        ),
    ],
)
def test_updates_are_applied_in_order(before, updates, after):
    assert applied(before, *updates) == after


def test_a_single_flag_asks_no_more_of_the_other_track_than_to_be_there():
    assert fold(replace("/permission/publish/audio", True)) == {
        Flag("publish", "audio"): True,
        Flag("publish", "video"): None,
    }


@pytest.mark.parametrize(
    "update",
    [
        {"op": "add", "path": "/permission/publish", "value": BOTH},
        {"op": "remove", "path": "/permission/publish/audio", "value": True},
        replace("/permission", {"publish": BOTH, "subscribe": BOTH}),
        replace("permission/publish", BOTH),
        replace("/permission/publish/", BOTH),
        replace("/permission/publish/text", True),
        replace("/permission/join/audio", True),
        replace("/user", "bob"),
        replace("/permission/publish", False),
        replace("/permission/publish", True),
        replace("/permission/publish", None),
        replace("/permission/publish", {}),
        replace("/permission/publish", {"audio": True}),
        replace("/permission/publish", {"audio": True, "video": None}),
        replace("/permission/publish", {"audio": True, "video": 1}),
        replace("/permission/publish", [True, True]),
        replace("/permission/publish/audio", 0),
        replace("/permission/publish/audio", "true"),
        replace("/permission/publish/audio", None),
        replace("/permission/publish/audio", BOTH),
    ],
)
def test_anything_else_is_bad(update):
    with pytest.raises(BadData):
        fold(replace("/permission/subscribe/audio", False), update)
