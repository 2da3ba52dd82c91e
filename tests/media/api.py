"""What media workers call, in this process, and what they send."""

import base64
import itertools
import json
from typing import Any

from chalicelib.owt.store import rooms
from tests.owt.api import Api, ok
from tests.support.events import Answer

AUDIO = {
    "format": {"codec": "opus", "sampleRate": 48000, "channelNum": 2},
    "source": "mic",
    "status": "active",
}
VIDEO = {
    "source": "camera",
    "status": "active",
    "original": [
        {
            "format": {"codec": "h264", "profile": "CB"},
            "parameters": {"resolution": {"width": 1280, "height": 720}, "framerate": 30},
        }
    ],
}
BOTH = {"audio": AUDIO, "video": VIDEO}

_numbers = itertools.count(1)


def media(api: Api) -> Api:
    """The same service, at the media plane."""
    return api.at("media/v1")


def report(api: Api, room: str, *reports: dict[str, Any]) -> Answer:
    """Reports as they are, those without an id under one of their own."""
    numbered = [{"id": f"report {next(_numbers)}", **each} for each in reports]
    return media(api).post(f"/rooms/{room}/reports", numbered)


def tally(api: Api, room: str, *reports: dict[str, Any]) -> tuple[int, int, int]:
    """How many of these were applied, ignored and duplicates."""
    answer = ok(report(api, room, *reports))
    assert list(answer) == ["applied", "ignored", "duplicates"]
    return answer["applied"], answer["ignored"], answer["duplicates"]


APPLIED = (1, 0, 0)
IGNORED = (0, 1, 0)
DUPLICATE = (0, 0, 1)


def added(identity: str, owner: str = "admin", kind: str = "webrtc", **more: Any) -> dict[str, Any]:
    """`stream.added`, of both tracks unless told otherwise; `node` stands beside the stream."""
    beside = {name: more.pop(name) for name in ("node",) if name in more}
    stream = {"id": identity, "owner": owner, "type": kind, "media": BOTH} | more
    return {"type": "stream.added", "stream": stream} | beside


def updated(identity: str, media: Any, **more: Any) -> dict[str, Any]:
    """`stream.updated`."""
    return {"type": "stream.updated", "stream": {"id": identity, "media": media} | more}


def removed(identity: str) -> dict[str, Any]:
    """`stream.removed`."""
    return {"type": "stream.removed", "stream": {"id": identity}}


def token(api: Api, room: str, user: str = "alice", role: str = "presenter", **more: Any) -> str:
    """A new token."""
    answer = api.post(f"/rooms/{room}/tokens", {"user": user, "role": role} | more)
    assert answer.status == 200
    return answer.body


def redeem(api: Api, text: Any, **more: Any) -> Answer:
    """Join with a token."""
    return media(api).post("/tokens/redeem", {"token": text} | more)


def join(api: Api, room: str, role: str = "presenter", **more: Any) -> str:
    """Somebody who has joined; the id."""
    return str(ok(redeem(api, token(api, room, role=role), **more))["participant"]["id"])


def forged(text: str, **change: Any) -> str:
    """A token with something else in it."""
    said = json.loads(base64.b64decode(text)) | change
    return base64.b64encode(json.dumps(said).encode()).decode()


def forward(api: Api, room: str) -> dict[str, dict[str, Any]]:
    """The forward streams of a room by id, as v1.1 shows them."""
    found = ok(api.at("v1.1").get(f"/rooms/{room}/streams"))
    return {each["id"]: each for each in found if each["type"] == "forward"}


def participants(api: Api, room: str) -> list[str]:
    """The ids of those who are in a room."""
    return [each["id"] for each in ok(api.get(f"/rooms/{room}/participants"))]


def counts(api: Api, room: str) -> tuple[int, int, int]:
    """What limits are compared with: participants, inputs, others."""
    state = rooms.read_for(api.service, True, room)
    return state.participants, state.inputs, state.others
