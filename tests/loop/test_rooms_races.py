"""Rooms that several change at one moment, on the emulator: every change is made, on what the others left."""

import json
from collections.abc import Callable
from functools import partial

from chalicelib.errors import AppError
from chalicelib.loop.actions import rooms as actions
from chalicelib.loop.actions import sessions
from chalicelib.loop.actions_messages import Join
from chalicelib.loop.auth import NOBODY, Guest, Hawk
from chalicelib.loop.errors import InvalidToken, RoomFull
from chalicelib.loop.store import rooms
from chalicelib.store import keys, writes
from tests.conftest import Stack
from tests.support.counts import full
from tests.support.threads import all_at_once

ROUNDS = full(10, 100)
ADA = Hawk("ada-of-the-22-characters")


def context(text):
    return {"value": text, "alg": "AES-GCM", "wrappedKey": "k"}


def make() -> str:
    """A room of Ada's."""
    body = {"roomOwner": "0", "maxSize": 5, "context": context("0")}
    return str(actions.create(ADA, body)["roomToken"])


def change(token, body):
    return partial(actions.change, ADA, token, lambda: body)


def join(token):
    return partial(sessions.join, token, NOBODY, Join("Guest", 5))


def test_the_last_change_of_several_is_whole(stack: Stack):
    for _ in range(ROUNDS):
        token = make()
        bodies = [{"roomOwner": str(n), "context": context(str(n)), "maxSize": n} for n in range(1, 5)]
        done = all_at_once([change(token, body) for body in bodies], AppError)
        assert not [each for each in done if isinstance(each, AppError)]
        found = rooms.read(token)
        assert found.context is not None
        assert json.loads(found.context)["value"] == found.room.owner == str(found.room.max_size)
        assert found.row.version == 5


def test_changes_of_different_fields_are_all_made_and_who_joins_meanwhile_stays(stack: Stack):
    for _ in range(ROUNDS):
        token = make()
        works: list[Callable[[], object]] = [
            change(token, {"roomOwner": "Eve"}),
            change(token, {"maxSize": 4}),
            change(token, {"context": context("new")}),
            *[join(token)] * 3,
        ]
        done = all_at_once(works, AppError)
        assert not [each for each in done if isinstance(each, AppError)]
        found = rooms.read(token)
        shown = actions.look(found, ADA)
        assert (shown["roomOwner"], shown["maxSize"], len(shown["participants"])) == ("Eve", 4, 3)
        assert json.loads(found.context or "")["value"] == "new"


def test_a_room_is_deleted_once_and_nothing_comes_into_it_afterwards(stack: Stack):
    for _ in range(ROUNDS):
        token = make()
        first = join(token)()
        guest = Guest(first.participation.token)
        works: list[Callable[[], object]] = [
            *[partial(actions.delete, ADA, token)] * 2,
            *[join(token)] * 2,
            change(token, {"context": context("late")}),
            partial(sessions.refresh, token, guest),
        ]
        deleted = all_at_once(works, AppError)[:2]
        assert [each is None for each in deleted].count(True) == 1
        assert any(isinstance(each, InvalidToken) for each in deleted)
        (row,) = rooms.rows([token]).values()
        assert row.deleted_at is not None
        assert not any([row.participations, row.has_context, row.room_owner])
        assert writes.get_many([keys.loop_context(token)]) == {}
        for work in works[2:]:
            (refused,) = all_at_once([work], AppError)
            assert isinstance(refused, InvalidToken)


def test_no_room_is_oversold_while_it_is_made_smaller(stack: Stack):
    for _ in range(ROUNDS):
        token = make()
        joins = [join(token)] * 5
        done = all_at_once([*joins, change(token, {"maxSize": 3})], AppError)
        assert all(isinstance(each, sessions.Joined | RoomFull | dict) for each in done)
        came = sum(isinstance(each, sessions.Joined) for each in done)
        assert 2 <= came <= 4
        (after,) = all_at_once(joins[:1], AppError)
        assert isinstance(after, RoomFull)
