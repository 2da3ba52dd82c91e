"""A media server and a caller of the stream API, as they call; and the documented event."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.owt.api import serve
from tests.support.events import Answer

NODE: Final = "Hw47CFMBEchVOpBMDr29IxjudnJ1sjOY@192.168.1.101"
SESSION: Final = "56141d10-fddc-11e6-ac3a-4d67d5b3360d"
SDP: Final = "v=0\r\no=- 1988962254 1988962254 IN IP4 192.168.1.102\r\n" + "a=candidate:1 1 udp\r\n" * 100
HEADERS: Final = {
    "Accept": "application/json",
    "Content-Type": "application/json;charset=UTF-8",
    "User-Agent": "Java/1.8.0_111",
    "Connection": "keep-alive",
}
EVENT: Final[Mapping[str, Any]] = {
    "nodeId": NODE,
    "appKey": "defaultApp",
    "sessionId": "/192.168.1.102:4388/192.168.1.101:8443",
    "mediaSessionId": SESSION,
    "name": "b4e7",
    "published": True,
    "hasVideo": True,
    "hasAudio": True,
    "status": "PUBLISHING",
    "sdp": SDP,
    "record": False,
    "width": 0,
    "height": 0,
    "bitrate": 0,
    "quality": 0,
    "mediaProvider": "WebRTC",
}


def event(**changed: Any) -> dict[str, Any]:
    """The documented event with some fields changed; those that are `...` are left out."""
    return {name: value for name, value in {**EVENT, **changed}.items() if value is not ...}


def kept(**changed: Any) -> dict[str, Any]:
    """What is known of it afterwards."""
    return event(sdp=..., **changed)


def spell(value: Any) -> bytes:
    """A body as WCS writes it, with its slashes escaped."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


@dataclass(frozen=True)
class Server:
    """A WCS that is configured to call one api; it signs where it has a secret."""

    api: str = "my_api"
    secret: str = ""

    def post(self, hook: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """One hook."""
        given = dict(HEADERS)
        if self.secret:
            digits = hmac.new(self.secret.encode(), body, hashlib.md5).hexdigest()
            given["Authorization"] = f"WCS {digits}"
        return serve("POST", f"/rest/{self.api}/{hook}", body, given | dict(headers or {}))

    def say(self, hook: str = "StreamStatusEvent", /, **changed: Any) -> Answer:
        """The documented event, changed."""
        return self.post(hook, spell(event(**changed)))

    def tell(self, **changed: Any) -> None:
        """An event that has to be echoed."""
        body = spell(event(**changed))
        answer = self.post("StreamStatusEvent", body)
        assert (answer.status, answer.body) == (200, body.decode())


@dataclass(frozen=True)
class User:
    """Whoever asks for streams."""

    authorization: str = ""

    def post(self, path: str, body: Any = None, raw: bytes | None = None) -> Answer:
        """One call below `/rest-api/stream`."""
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        return serve("POST", f"/rest-api/stream/{path}", sent, headers)

    def find(self, **looked_for: Any) -> list[dict[str, Any]]:
        """The streams that equal this; an empty list for 404."""
        answer = self.post("find", looked_for)
        return [] if answer.status == 404 else ok(answer)

    def every(self, query: str = "") -> list[dict[str, Any]]:
        """All streams; an empty list for 404."""
        answer = self.post(f"find_all{query}")
        return [] if answer.status == 404 else ok(answer)

    def one(self) -> dict[str, Any]:
        """The only stream."""
        (found,) = self.every()
        return found


def ok(answer: Answer) -> Any:
    """The document of a successful answer."""
    assert answer.status == 200, answer.body
    return answer.json()


def error(answer: Answer) -> int:
    """The status of a refusal, which is spelled as every one is."""
    body = answer.json()
    assert set(body) == {"error"}
    assert isinstance(body["error"], str)
    return answer.status
