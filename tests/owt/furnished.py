"""Rooms with something of everything in them, and for each route of the API a request that it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import app
from chalicelib.owt.routes import common
from tests.owt import entering
from tests.owt.api import (
    NO_PARTICIPANT,
    NO_RESOURCE,
    NO_STREAM,
    NOTHING,
    Api,
    ok,
)
from tests.support.events import Answer

OURS: Final = ("/services", "/v1/", "/v1.1/")
SIP: Final = {"sipServer": "sip.example.com", "username": "u", "password": "p"}


@dataclass
class Furnished:
    """A service's room and what is in it, by the names that paths give it."""

    api: Api
    room: str
    names: dict[str, str] = field(default_factory=dict)

    @property
    def mixed(self) -> str:
        """The stream of its view."""
        return f"{self.room}-common"

    def media(self, source: str = "") -> dict[str, Any]:
        """A selection of both tracks of a stream."""
        return {
            "audio": {"from": source or self.mixed},
            "video": {"from": source or self.mixed, "parameters": {"framerate": 15}},
        }


def furnish(api: Api, **options: Any) -> Furnished:
    """A new room of a service, in which there is one of everything."""
    made = Furnished(api, api.room(**({"sip": SIP} | options)))
    joined = entering.join(api.service, made.room, "alice", "presenter")
    made.names = {"room": made.room, "service": api.service, "participant": joined.id}
    made.names["stream"] = api.streaming_in(made.room)
    for name, path, body in (
        ("out", "streaming-outs", out),
        ("recording", "recordings", recording),
        ("call", "sipcalls", call),
        ("analytic", "analytics", analytic),
    ):
        made.names[name] = ok(api.post(f"/rooms/{made.room}/{path}", body(made)))["id"]
    return made


# What the routes take

Body: TypeAlias = Callable[[Furnished], Any]


def nothing(_: Furnished) -> Any:
    """No body."""
    return NOTHING


def replace(path: str, value: Any) -> dict[str, Any]:
    """An update."""
    return {"op": "replace", "path": path, "value": value}


def new_room(_: Furnished) -> Any:
    """A room with some of everything that a document can have."""
    view = {
        "label": "big",
        "audio": {"format": {"codec": "opus", "sampleRate": 48000, "channelNum": 2}, "vad": True},
        "video": {
            "format": {"codec": "h264", "profile": "CB"},
            "parameters": {
                "resolution": {"width": 1280, "height": 720},
                "framerate": 30,
                "bitrate": 2000,
                "keyFrameInterval": 5,
            },
            "maxInput": 4,
            "motionFactor": 0.5,
            "bgColor": {"r": 1, "g": 2, "b": 3},
            "keepActiveInputPrimary": True,
            "layout": {
                "fitPolicy": "crop",
                "setRegionEffect": "x",
                "templates": {"base": "lecture", "custom": [{"primary": "1", "region": [region()]}]},
            },
        },
    }
    flags = {"resolution": True, "framerate": True, "bitrate": False, "keyFrameInterval": True}
    options = {
        "participantLimit": 10,
        "inputLimit": 10,
        "roles": [{"role": "r", "publish": {"audio": True, "video": False}, "subscribe": {"audio": True}}],
        "views": [view],
        "mediaIn": {"audio": [{"codec": "opus"}], "video": [{"codec": "h264"}]},
        "mediaOut": {
            "audio": [{"codec": "opus", "sampleRate": 48000, "channelNum": 2}],
            "video": {"format": [{"codec": "h264", "profile": "CB"}], "parameters": {"framerate": [5]}},
        },
        "transcoding": {"audio": True, "video": {"format": True, "parameters": flags}},
        "notifying": {"participantActivities": True, "streamChange": False},
        "sip": SIP,
    }
    return {"name": "r", "options": options}


def room_document(there: Furnished) -> Any:
    """The same as a PUT has it."""
    made = new_room(there)
    view = {"label": "common", "video": {"maxInput": 9}}
    return {"name": made["name"], **made["options"], "views": [view], "mediaOut": None}


def region() -> dict[str, Any]:
    """A region that is the whole picture."""
    area = {"left": "0", "top": "0/1", "width": 1, "height": "1"}
    return {"id": "1", "shape": "rectangle", "area": area}


def permissions(_: Furnished) -> Any:
    """What a participant may do."""
    return [
        replace("/permission/publish", {"audio": True, "video": False}),
        replace("/permission/subscribe/audio", False),
    ]


def stream_changes(_: Furnished) -> Any:
    """What a forward stream can be told."""
    return [
        {"op": "add", "path": "/info/inViews", "value": "common"},
        replace("/media/audio/status", "inactive"),
    ]


def layout(there: Furnished) -> Any:
    """What a mixed stream can be told, when a stream is in its view."""
    return [
        replace("/info/layout", [{"stream": there.names["stream"], "region": region()}]),
        replace("/info/layout/0/stream", there.names["stream"]),
    ]


def streaming_in(_: Furnished) -> Any:
    """A streaming-in."""
    connection = {
        "url": "rtsp://203.0.113.7/cam",
        "transportProtocol": "udp",
        "bufferSize": 2048,
        "origin": {"isp": "i", "region": "r"},
    }
    return {"connection": connection, "media": {"audio": "auto", "video": True}, "attributes": {"a": [1]}}


def out(there: Furnished) -> Any:
    """A streaming-out."""
    return {
        "protocol": "hls",
        "url": "http://203.0.113.5/live.m3u8",
        "parameters": {"method": "POST", "hlsTime": 1, "hlsListSize": 3},
        "media": there.media(),
    }


def recording(there: Furnished) -> Any:
    """A recording."""
    made: dict[str, Any] = {"container": "auto", "media": there.media()}
    made["media"]["audio"]["format"] = {"codec": "opus", "sampleRate": 48000, "channelNum": 2}
    made["media"]["video"]["format"] = {"codec": "h264", "profile": "CB"}
    return made


def selection_changes(there: Furnished) -> Any:
    """What a streaming-out or recording can be told."""
    return [
        replace("/media/audio/from", there.mixed),
        replace("/media/video/from", there.mixed),
        replace("/media/video/parameters/resolution", {"width": 320, "height": 240}),
        replace("/media/video/parameters/framerate", 15),
        replace("/media/video/parameters/bitrate", "x0.8"),
        replace("/media/video/parameters/keyFrameInterval", 5),
        replace("/media/audio/status", "inactive"),
    ]


def call(there: Furnished) -> Any:
    """A call."""
    return {
        "peerURI": "bob@example.com",
        "mediaIn": {"audio": True, "video": True},
        "mediaOut": there.media(),
    }


def output_changes(there: Furnished) -> Any:
    """What a call can be told."""
    return [each | {"path": f"/output{each['path']}"} for each in selection_changes(there)]


def analytic(there: Furnished) -> Any:
    """An analytic."""
    return {"algorithm": "a1", "media": there.media()}


def token(_: Furnished) -> Any:
    """A token."""
    return {"user": "bob", "role": "presenter", "preference": {"isp": "i", "region": "r"}}


def service(_: Furnished) -> Any:
    """A service."""
    return {"name": "new", "key": "k", "requireV2": False}


@dataclass(frozen=True)
class Case:
    """A route, a body that it takes, and the error for an id that its room does not have."""

    method: str
    path: str
    body: Body = nothing
    missing: tuple[int, int] | None = None
    sourced: bool = False
    """Whether the body names streams."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def send(self, api: Api, names: Mapping[str, str], body: Any = NOTHING, raw: bytes = b"") -> Answer:
        """The request, with these names in its path."""
        return api.call(self.method, self.path.format(**names), body, raw=raw)


def _cases() -> list[Case]:
    room = "/rooms/{room}"
    found = [
        Case("GET", "/services"),
        Case("POST", "/services", service),
        Case("GET", "/services/{service}"),
        Case("DELETE", "/services/{service}"),
        Case("GET", "/rooms"),
        Case("POST", "/rooms", new_room),
        Case("GET", room),
        Case("PUT", room, room_document),
        Case("DELETE", room),
        Case("GET", f"{room}/participants"),
        Case("GET", f"{room}/streams"),
        Case("POST", f"{room}/streaming-ins", streaming_in),
        Case("POST", f"{room}/tokens", token),
        Case("DELETE", f"{room}/streaming-ins/{{stream}}", nothing, NO_STREAM),
    ]
    for path, change, missing in (
        (f"{room}/participants/{{participant}}", permissions, NO_PARTICIPANT),
        (f"{room}/streams/{{stream}}", stream_changes, NO_STREAM),
    ):
        found += [
            Case("GET", path, nothing, missing),
            Case("PATCH", path, change, missing),
            Case("DELETE", path, nothing, missing),
        ]
    for kind, name, body, changes in (
        ("streaming-outs", "out", out, selection_changes),
        ("recordings", "recording", recording, selection_changes),
        ("sipcalls", "call", call, output_changes),
        ("analytics", "analytic", analytic, None),
    ):
        one = f"{room}/{kind}/{{{name}}}"
        found += [
            Case("GET", f"{room}/{kind}"),
            Case("POST", f"{room}/{kind}", body, sourced=True),
            Case("DELETE", one, nothing, NO_RESOURCE),
        ]
        if changes is not None:
            found.append(Case("PATCH", one, changes, NO_RESOURCE, sourced=True))
    return found


CASES: Final = _cases()


def routes() -> set[tuple[str, str]]:
    """The method and whole path of every route of the API that the app serves."""
    known = common.served()
    found = set()
    for path, methods in app.app.routes.items():
        if path.startswith(OURS):
            refused = {common.PREFLIGHT, *common.METHODS} - known.get(path, frozenset())
            found |= {(method, path) for method in methods if method not in refused or path not in known}
    return found
