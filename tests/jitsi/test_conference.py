"""The conference: names, tenants, spread, damping, what is shown."""

import pytest

from chalicelib.jitsi import conference
from chalicelib.jitsi.conference import Live, Rules, Spread
from chalicelib.jitsi.errors import NotAConference

RULES = Rules(prefix="conference", base="meet.local")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("room1@conference.example.com", "room1@conference.example.com"),
        ("  Room1@Conference.Example.COM \n", "room1@conference.example.com"),
        ("room1@conference.example.com/nick", "room1@conference.example.com"),
        ("[tenant]room1@conference.example.com", "room1@conference.tenant.example.com"),
        ("[Tenant]Room1@muc.example.com/x/y", "room1@muc.tenant.example.com"),
        ("m%C3%B6te@conference.example.com", "m%c3%b6te@conference.example.com"),
        ("möte@conference.example.com", "möte@conference.example.com"),
        ("a" * 1000 + "@c.d", "a" * 1000 + "@c.d"),
    ],
)
def test_every_spelling_of_a_name_becomes_the_public_one(given, name):
    assert conference.parse(given).name == name


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "room1",
        "@conference.example.com",
        "room1@",
        "room1@/x",
        "a@b@c",
        "room 1@conference.example.com",
        "room\0@conference.example.com",
        "room\n1@conference.example.com",
        "[]room@conference.example.com",
        "[t]@conference.example.com",
        "[troom@conference.example.com",
        "[t]room@host",
        "room@a..b",
        "room@.b",
        "a" * 1024 + "@c.d",
        "ä" * 600 + "@c.d",
    ],
)
def test_what_is_not_room_at_host_is_refused(given):
    with pytest.raises(NotAConference):
        conference.parse(given)


@pytest.mark.parametrize(
    ("host", "rules", "tenant"),
    [
        ("conference.meet.local", RULES, ""),
        ("conference.acme.meet.local", RULES, "acme"),
        ("conference.a.b.meet.local", RULES, "a.b"),
        ("conference.evilmeet.local", RULES, None),
        ("muc.meet.local", RULES, None),
        ("conference", RULES, None),
        ("muc.meet.local", Rules(prefix="muc", base="meet.local"), ""),
        ("conference.anything.example", Rules(), ""),
        ("muc.anything.example", Rules(), None),
    ],
)
def test_the_tenant_stands_between_prefix_and_base_at_a_label_boundary(host, rules, tenant):
    assert conference.parse(f"room@{host}").tenant(rules) == tenant


@pytest.mark.parametrize(
    ("rate", "least", "most", "waiting", "window"),
    [
        (100, 0, 120000, 0, 0),
        (100, 0, 120000, 1, 1000),
        (100, 0, 120000, 100, 1000),
        (100, 0, 120000, 101, 2000),
        (100, 0, 120000, 100000, 120000),
        (100, 500, 120000, 0, 500),
        (0.5, 0, 600000, 3, 6000),
    ],
)
def test_the_window_grows_with_those_who_wait_within_its_bounds(rate, least, most, waiting, window):
    assert Spread(rate, least, most).window(waiting) == window


def test_a_later_visitor_gets_what_is_left_of_the_window():
    spread = Spread(100, 50, 120000)
    live = Live(1, 5000.0, 1000.0, 12000)
    assert [spread.left(live, at) for at in (1000.0, 1004.0, 1011.97, 2000.0)] == [12000, 8000, 50, 50]
    assert spread.left(Live(1, 5000.0, 1000.0, None), 1001.0) == 50


def test_the_end_of_a_live_record_begins_the_next_epoch():
    live = Live(3, 100.0, 50.0, 1000)
    assert live.at(99.9) is live
    assert live.at(99.9).is_live
    assert live.at(100.0) == Live(4)
    assert not live.at(100.0).is_live
    assert Live(3).at(1e12) == Live(3)


def test_two_releases_are_free_and_later_ones_wait_longer_and_longer():
    steps = (15.0, 30.0, 60.0, 120.0)
    assert [conference.damping(earlier, steps) for earlier in range(8)] == [0, 0, 15, 30, 60, 120, 120, 120]


def test_a_rise_shows_at_once_and_a_fall_once_two_counts_agree():
    counts, before, seen = [0, 5, 4, 5, 3, 3, 2, 1, 1], None, []
    for count in counts:
        seen.append(conference.shown(before, count))
        before = count
    assert seen == [0, 5, 5, 5, 5, 3, 3, 2, 1]
