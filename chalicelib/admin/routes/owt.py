"""Conference management: services, their rooms, and who and what is in a room."""

from typing import Any, Final

from chalicelib.admin import paging, spelling
from chalicelib.admin.paging import Place, Some
from chalicelib.admin.routes.common import Call, route
from chalicelib.owt import stream as streams
from chalicelib.owt.service import Service
from chalicelib.owt.store import children, rooms, services
from chalicelib.owt.store import participants as people
from chalicelib.owt.store import streams as store
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.store.streams import Scene
from chalicelib.wire.reply import Reply

MOST: Final = 500
"""So many participants and streams of a room are shown."""
EVERYBODY: Final = ("p", "xe~")
"""Participants, views, forward streams, the room, what has ended: one query."""
FIRST: Final = "-"
"""The place behind the super service, which no row stands for."""


@route("GET", "/owt/services")
def listed_services(call: Call) -> Reply:
    """A page of all services: the super service, then all others in the order of their creation."""
    search = call.text("search", "").casefold()

    def wanted(each: Service) -> bool:
        return search in each.name.casefold()

    found, following = paging.collect(call.page(1), _read_services, wanted if search else None)
    return spelling.document(paging.answer([{"id": each.id, "name": each.name} for each in found], following))


def _read_services(place: Place, limit: int) -> Some:
    first: list[tuple[Service, Place]] = []
    if not place:
        given = services.the_super_service()
        first = [(given, (FIRST,))] if given.id else []
        if len(first) == limit:
            return Some(first, (FIRST,))
    after = place[0] if place and place[0] != FIRST else ""
    rows, left = services.listed_after(after, limit - len(first))
    return Some([*first, *((row, (row.id,)) for row in rows)], (left,) if left is not None else None)


@route("GET", "/owt/services/{service}/rooms")
def listed_rooms(call: Call, service: str) -> Reply:
    """A page of a service's rooms, in the order of their creation."""
    search = call.text("search", "").casefold()

    def wanted(state: RoomState) -> bool:
        return search in str(state.room.document.get("name") or "").casefold()

    def read(place: Place, limit: int) -> Some:
        states, left = rooms.listed_after(service, place[0] if place else "", limit)
        return Some([(state, (state.id,)) for state in states], (left,) if left is not None else None)

    asked = call.page(1)
    if not rooms.ID.fullmatch(service):
        return spelling.document(paging.answer([], None))
    found, following = paging.collect(asked, read, wanted if search else None)
    return spelling.document(paging.answer([_shown(state) for state in found], following))


def _shown(state: RoomState) -> dict[str, Any]:
    return {
        "id": state.id,
        "name": state.room.document.get("name"),
        "service": state.service,
        "participants": state.participants,
        "streams": state.inputs,
        "others": state.others,
        "participant_limit": _limit(state.row.participant_limit),
        "input_limit": _limit(state.row.input_limit),
    }


def _limit(number: float) -> int | None:
    return None if number >= rooms.LARGEST_LIMIT else int(number)


@route("GET", "/owt/rooms/{room}")
def room(call: Call, room: str) -> Reply:
    """A room of any service, with its participants and streams."""
    service = rooms.read_for("", True, room).service
    found = children.room_range(service, room, *EVERYBODY)
    participants = people.of(found)
    scene = store.scene_of(found)
    everything = _mixed(scene) + [_forward(scene, each) for each in scene.streams]
    return spelling.document(
        {
            "room": _shown(scene.state),
            "participants": [
                {"id": each.id, "user": each.user, "role": each.role, "permission": each.permission}
                for each in participants[:MOST]
            ],
            "streams": everything[:MOST],
            "more": len(participants) > MOST or len(everything) > MOST,
        }
    )


def _mixed(scene: Scene) -> list[dict[str, Any]]:
    """The mixed streams, which are there as long as callers see anything in the room."""
    views = scene.state.room.views() if scene.active else ()
    return [
        {
            "id": streams.mixed_id(scene.state.id, view["label"]),
            "type": "mixed",
            "owner": None,
            "source": None,
            "views": [view["label"]],
            "audio": bool(view.get("audio")),
            "video": bool(view.get("video")),
            "attributes": None,
            "arrived": None,
        }
        for view in views
    ]


def _forward(scene: Scene, stream: streams.Forward) -> dict[str, Any]:
    return {
        "id": stream.id,
        "type": "forward",
        "owner": stream.owner,
        "source": stream.type,
        "views": list(streams.labels(stream, scene.state.vids)),
        "audio": stream.media.audio is not None,
        "video": stream.media.video is not None,
        "attributes": stream.attributes,
        "arrived": stream.arrived // 1000,
    }
