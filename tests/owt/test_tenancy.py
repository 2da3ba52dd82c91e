"""A service sees and changes only its own rooms, on every route of both prefixes (contract 4.3, D7)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import pytest

from infra.credentials import Credentials
from tests.conftest import Stack, on_moto
from tests.owt.api import NO_ROOM, REFUSED, Api, ok, refusal
from tests.owt.furnished import CASES, Furnished, furnish, layout, routes

VERSIONS = ("v1", "v1.1")
BELOW_A_ROOM = [case for case in CASES if "{room}" in case.path]
WITH_AN_ID = [case for case in CASES if case.missing is not None]
OF_SERVICES = [case for case in CASES if case.path.startswith("/services")]
SOURCED = [case for case in CASES if case.sourced]
NOT_PERMITTED = (403, 1102)
UNKNOWN = "5188b9af6e53c84ffd600499"


@dataclass(frozen=True)
class World:
    """A furnished room of the super service and of two ordinary ones; what is refused changes nothing."""

    table: Stack
    rooms: list[Furnished]

    @property
    def pairs(self) -> Iterator[tuple[Furnished, Furnished]]:
        """Each room with each room of another service."""
        return permutations(self.rooms, 2)


@pytest.fixture(scope="module")
def world(credentials: Credentials) -> Iterator[World]:
    """One world for all tests here, on moto."""
    with pytest.MonkeyPatch.context() as monkeypatch, on_moto(monkeypatch, credentials) as table:
        admin = Api(credentials.super_service_id, credentials.super_service_key)
        ordinary = [service_of(admin, name) for name in ("acme", "beta")]
        yield World(table, [furnish(api) for api in (admin, *ordinary)])


def service_of(admin: Api, name: str) -> Api:
    made = ok(admin.post("/services", {"name": name, "key": f"key of {name}"}))
    return Api(made["_id"], f"key of {name}")


@pytest.fixture
def unchanged(world) -> Iterator[None]:
    """See that a test left everything as it was."""
    before = world.table.rows()
    yield
    assert world.table.rows() == before


def test_every_route_has_a_case_under_every_prefix_it_has():
    wanted = {(case.method, case.path) for case in OF_SERVICES}
    for case in CASES:
        if case not in OF_SERVICES:
            wanted |= {(case.method, f"/{version}{case.path}") for version in VERSIONS}
    assert routes() == wanted


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", BELOW_A_ROOM, ids=str)
def test_a_room_of_another_service_is_not_there(case, world):
    for mine, theirs in world.pairs:
        for version in VERSIONS:
            there = mine.api.at(version)
            foreign = case.send(there, theirs.names, case.body(theirs))
            unknown = case.send(there, theirs.names | {"room": UNKNOWN}, case.body(theirs))
            assert refusal(foreign) == NO_ROOM
            assert foreign.body == unknown.body


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", WITH_AN_ID, ids=str)
def test_what_is_in_a_room_of_another_service_is_not_in_ones_own(case, world):
    for mine, theirs in world.pairs:
        for version in VERSIONS:
            names = theirs.names | {"room": mine.room}
            assert refusal(case.send(mine.api.at(version), names, case.body(mine))) == case.missing


@pytest.mark.parametrize("case", WITH_AN_ID, ids=str)
def test_what_is_in_another_room_of_the_same_service_is_not_in_this_one(case, world):
    theirs = world.rooms[1]
    empty = theirs.api.room()
    before = world.table.rows()
    answer = case.send(theirs.api, theirs.names | {"room": empty}, case.body(theirs))
    assert refusal(answer) == case.missing
    assert world.table.rows() == before
    ok_text(theirs.api.delete(f"/rooms/{empty}"))


def ok_text(answer):
    assert answer.status == 200, answer.body


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", SOURCED, ids=str)
def test_a_stream_of_another_service_is_no_source(case, world):
    for mine, theirs in world.pairs:
        for version in VERSIONS:
            assert refusal(case.send(mine.api.at(version), mine.names, case.body(theirs))) == REFUSED


def test_a_stream_of_another_service_is_in_no_layout(world):
    mine, theirs = world.rooms[:2]
    put_in = [{"op": "add", "path": "/info/inViews", "value": "common"}]
    for there in (mine, theirs):
        ok(there.api.patch(f"/rooms/{there.room}/streams/{there.names['stream']}", put_in))
    before = world.table.rows()
    where = f"/rooms/{mine.room}/streams/{mine.mixed}"
    for update in layout(theirs):
        assert refusal(mine.api.patch(where, [update])) == REFUSED
    assert world.table.rows() == before
    ok(mine.api.patch(where, layout(mine)))


@pytest.mark.usefixtures("unchanged")
def test_the_list_of_rooms_has_ones_own_and_nothing_else(world):
    for there in world.rooms:
        for version in VERSIONS:
            listed = ok(there.api.at(version).get("/rooms?per_page=100"))
            assert [each["_id"] for each in listed] == [there.room]


def test_a_new_room_is_ones_own(world):
    for there in world.rooms:
        made = there.api.room()
        for other in world.rooms:
            assert (other.api.get(f"/rooms/{made}").status == 200) is (other is there)
        ok_text(there.api.delete(f"/rooms/{made}"))


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", OF_SERVICES, ids=str)
def test_services_are_the_super_services_business(case, world):
    for mine, theirs in world.pairs:
        if mine is not world.rooms[0]:
            assert refusal(case.send(mine.api, theirs.names, case.body(theirs))) == NOT_PERMITTED
    for mine in world.rooms[1:]:
        itself = case.send(mine.api, mine.names, case.body(mine))
        if case.method == "GET" and "{service}" in case.path:
            assert ok(itself)["rooms"] == [mine.room]
        else:
            assert refusal(itself) == NOT_PERMITTED
        assert refusal(case.send(mine.api, {"service": UNKNOWN}, case.body(mine))) == NOT_PERMITTED


@pytest.mark.usefixtures("unchanged")
def test_who_is_nobody_sees_nothing(world):
    for there in world.rooms:
        liar = Api(there.api.service, "not the key")
        for case in CASES:
            assert refusal(case.send(liar, there.names, case.body(there))) == (401, 1101)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_of_these_requests_is_served_for_whom_it_may_concern(world, version):
    api = world.rooms[1].api.at(version)
    mine = furnish(api)
    in_turn = sorted(BELOW_A_ROOM, key=lambda case: (case.method == "DELETE", -len(case.path)))
    for case in in_turn:
        if case.method == "DELETE" and "{stream}" in case.path:
            mine.names["stream"] = api.streaming_in(mine.room)
        ok_text(case.send(api, mine.names, case.body(mine)))
