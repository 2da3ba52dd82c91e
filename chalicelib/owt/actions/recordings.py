"""What may be done with recordings (contract 11)."""

from collections.abc import Mapping

from chalicelib.owt import settings, subscription
from chalicelib.owt.actions import subscriptions as actions
from chalicelib.owt.actions.subscriptions import Body
from chalicelib.owt.room import Room
from chalicelib.owt.stream import Forward, Spelled
from chalicelib.owt.subscription import Recording, RecordingRequest


def listed(service_id: str, room_id: str) -> list[Spelled]:
    """The recordings of a room that are under way.  Raises `NoRoom`."""
    return actions.listed(service_id, room_id, Recording)


def start(service_id: str, room_id: str, body: Body) -> Spelled:
    """Record a selection, where the settings say.  Raises `NoRoom`, `ValidationError`, `Refused`."""
    return actions.start(service_id, room_id, body, subscription.parse_recording, _make)


def _make(name: str, room: Room, forward: Mapping[str, Forward], asked: RecordingRequest) -> Recording:
    ours = settings.get()
    place = f"{ours.recording_path.rstrip('/')}/{name}"
    return subscription.recording(room, forward, asked, ours.recording_host, place)


def change(service_id: str, room_id: str, name: str, body: Body) -> Spelled:
    """Record another selection into the same file.

    Raises `NoRoom`, `NoResource`, `ValidationError`, `Refused`.
    """
    return actions.change(service_id, room_id, Recording, name, body).subscription.spell(name)


def stop(service_id: str, room_id: str, name: str) -> None:
    """End a recording.  Raises `NoRoom`, `NoResource`."""
    actions.stop(service_id, room_id, Recording, name)
