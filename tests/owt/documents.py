"""Room documents as contract section 6.2 spells them, for the tests of pure rules."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

ROOM_ID: Final = "6b0269fdb32ce611868ec9e0"

SPELLED: Final = """
{"name": "r", "participantLimit": -1, "inputLimit": -1,
 "selectActiveAudio": false, "enableBandwidthAdaptation": false,
 "roles": [
  {"role": "presenter",            "publish": {"audio": true,  "video": true},  "subscribe": {"audio": true,  "video": true}},
  {"role": "viewer",               "publish": {"audio": false, "video": false}, "subscribe": {"audio": true,  "video": true}},
  {"role": "audio_only_presenter", "publish": {"audio": true,  "video": false}, "subscribe": {"audio": true,  "video": false}},
  {"role": "video_only_viewer",    "publish": {"audio": false, "video": false}, "subscribe": {"audio": false, "video": true}},
  {"role": "sip",                  "publish": {"audio": true,  "video": true},  "subscribe": {"audio": true,  "video": true}}],
 "views": [{
   "label": "common",
   "audio": {"format": {"codec": "opus", "sampleRate": 48000, "channelNum": 2}, "vad": true},
   "video": {"format": {"codec": "vp8"},
             "parameters": {"resolution": {"width": 640, "height": 480}, "framerate": 24, "keyFrameInterval": 100},
             "maxInput": 16, "motionFactor": 0.8, "bgColor": {"r": 0, "g": 0, "b": 0},
             "keepActiveInputPrimary": false,
             "layout": {"fitPolicy": "letterbox", "templates": {"base": "fluid", "custom": []}}}}],
 "mediaIn": {
  "audio": [{"codec": "opus", "sampleRate": 48000, "channelNum": 2}, {"codec": "isac", "sampleRate": 16000},
            {"codec": "isac", "sampleRate": 32000}, {"codec": "g722", "sampleRate": 16000, "channelNum": 1},
            {"codec": "pcma"}, {"codec": "pcmu"}, {"codec": "aac"}, {"codec": "ac3"}, {"codec": "nellymoser"}, {"codec": "ilbc"}],
  "video": [{"codec": "h264"}, {"codec": "vp8"}, {"codec": "vp9"}]},
 "mediaOut": {
  "audio": [{"codec": "opus", "sampleRate": 48000, "channelNum": 2}, {"codec": "isac", "sampleRate": 16000},
            {"codec": "isac", "sampleRate": 32000}, {"codec": "g722", "sampleRate": 16000, "channelNum": 1},
            {"codec": "pcma"}, {"codec": "pcmu"}, {"codec": "aac", "sampleRate": 48000, "channelNum": 2},
            {"codec": "ac3"}, {"codec": "nellymoser"}, {"codec": "ilbc"}],
  "video": {"format": [{"codec": "vp8"}, {"codec": "h264", "profile": "CB"}, {"codec": "h264", "profile": "B"}, {"codec": "vp9"}],
            "parameters": {"resolution": ["x3/4", "x2/3", "x1/2", "x1/3", "x1/4", "hd1080p", "hd720p", "svga", "vga", "qvga", "cif"],
                           "framerate": [6, 12, 15, 24, 30, 48, 60], "bitrate": ["x0.8", "x0.6", "x0.4", "x0.2"],
                           "keyFrameInterval": [100, 30, 5, 2, 1]}}},
 "transcoding": {"audio": true, "video": {"format": true, "parameters": {
   "resolution": true, "framerate": true, "bitrate": true, "keyFrameInterval": true}}},
 "notifying": {"participantActivities": true, "streamChange": true}}
"""  # noqa: E501 - as the contract has it
"""The default room, in the order of its fields."""

DEFAULT: Final = {"_id": ROOM_ID, **json.loads(SPELLED)}


T = TypeVar("T")


@dataclass(frozen=True)
class Paper:
    """A room of which only its document is needed."""

    document: Mapping[str, Any]
    id: str = ROOM_ID

    def once(self, question: bytes, answer: Callable[[], T]) -> T:
        """Remembers nothing."""
        return answer()


def room(**changes: Any) -> Paper:
    """The default room with some of its fields replaced: `mediaOut__audio=[]` names one inside another."""
    document = copy.deepcopy(DEFAULT)
    for path, value in changes.items():
        *way, last = path.split("__")
        inside = document
        for step in way:
            inside = inside[int(step) if step.isdigit() else step]
        inside[last] = value
    return Paper(document)


def view(**changes: Any) -> dict[str, Any]:
    """The default view, with some of its video settings replaced."""
    made: dict[str, Any] = copy.deepcopy(DEFAULT["views"][0])
    made["video"] |= {name: value for name, value in changes.items() if name in made["video"]}
    templates = made["video"]["layout"]["templates"]
    templates |= {name: value for name, value in changes.items() if name in templates}
    return made
