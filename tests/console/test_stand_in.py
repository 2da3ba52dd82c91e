"""The stand-in is what pages are tested on, so that it has to answer as the API does."""

import pytest

from tests.console.stand_in import TOKEN, StandIn, unlike

GETS: tuple[tuple[str, dict[str, str]], ...] = (
    ("session", {}),
    ("overview", {"minutes": "15"}),
    ("overview", {"minutes": "1440"}),
    ("conferences", {}),
    ("conference", {"name": "allhands@conference.meet.example"}),
    ("conference/counts", {"name": "allhands@conference.meet.example", "shards": "0,1"}),
    ("owt/services", {}),
    ("owt/services/5f2b1c0e9a7d4e30/rooms", {}),
    ("owt/rooms/6a1f0000c2e8d70b", {}),
    ("loop/rooms", {}),
    ("loop/rooms/r0a7c1", {}),
    ("wcs/streams", {}),
    ("sora/channels", {}),
    ("sora/channel", {"id": "lecture-7"}),
    ("owed", {}),
    ("dead", {}),
    ("events", {}),
)
POSTS = (
    ("conference/golive", {"name": "town-planning@conference.meet.example"}),
    ("conference/clear", {"name": "town-planning@conference.meet.example"}),
    ("dead/retry", {"ids": ["d0", "d2", "none"]}),
    ("dead/retry", {"all": True}),
    ("dead/drop", {"ids": ["d2"]}),
)


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [*(("GET", *each) for each in GETS), *(("POST", *each) for each in POSTS)],
)
def test_the_stand_in_answers_as_the_operations_of_the_api_say(method, path, given):
    stand_in = StandIn()
    stand_in.answer("POST", "session", {}, {"token": TOKEN})
    read, sent = (given, None) if method == "GET" else ({}, given)
    status, value = stand_in.answer(method, path, read, sent)
    assert (status, unlike(method, path, value)) == (200, "")
