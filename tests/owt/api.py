"""The conference management API, called in this process as its clients call it."""

import json
from collections.abc import Mapping
from typing import Any, Final

import app
from infra.gateway import events
from infra.gateway.events import Peer
from infra.gateway.router import NOT_FOUND, Router
from tests.support import mauth
from tests.support.events import Answer

NOTHING: Final = object()
PEER: Final = Peer("127.0.0.1", "test", "localhost")

_router = Router(app.app.routes)


class Api:
    """What one service can do; `version` is put in front of every path but those of services."""

    def __init__(self, service: str, key: str, version: str = "v1") -> None:
        self.service = service
        self.key = key
        self.version = version

    def at(self, version: str) -> "Api":
        """The same service, under another prefix."""
        return Api(self.service, self.key, version)

    def call(
        self,
        method: str,
        path: str,
        body: Any = NOTHING,
        *,
        raw: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One signed request; `body` is sent as JSON, `raw` as it is."""
        sent = raw if body is NOTHING else json.dumps(body).encode()
        kind = "application/json" if sent else "text/plain;charset=UTF-8"
        given = {"Content-Type": kind, "Authorization": mauth.header(self.service, self.key)}
        whole = path if path.startswith("/services") else f"/{self.version}{path}"
        return serve(method, whole, sent, given | dict(headers or {}))

    def get(self, path: str) -> Answer:
        """`GET`."""
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        """`POST` of JSON."""
        return self.call("POST", path, body)

    def put(self, path: str, body: Any) -> Answer:
        """`PUT` of JSON."""
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any) -> Answer:
        """`PATCH` of JSON."""
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        """`DELETE`."""
        return self.call("DELETE", path)

    def room(self, **options: Any) -> str:
        """A new room with these options; its id."""
        return str(ok(self.post("/rooms", {"name": "r", "options": options}))["_id"])

    def streaming_in(self, room: str, **wanted: Any) -> str:
        """A new streaming-in with audio and video, or what is wanted; its id."""
        body = {
            "connection": {"url": "rtsp://203.0.113.7/cam"},
            "media": {"audio": "auto", "video": "auto"} | wanted,
        }
        return str(ok(self.post(f"/rooms/{room}/streaming-ins", body))["id"])


def serve(method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """One request as a front hands it on; what the app has no route for, the front answers."""
    path, _, query = target.partition("?")
    found = _router.match(path)
    if found is None:
        return Answer(404, {}, NOT_FOUND.decode())
    event = events.rest(
        method=method,
        path=path,
        query_string=query,
        headers=list((headers or {}).items()),
        body=body,
        binary=False,
        resource=found.resource,
        parameters=found.parameters,
        peer=PEER,
        identity=events.request_id(),
        stage="test",
        api_id="test",
    )
    # Lambda spells what a handler returns as JSON.
    answer = json.loads(json.dumps(app.app(event, None)))
    return Answer(answer["statusCode"], answer["headers"], answer["body"])


def ok(answer: Answer) -> Any:
    """The document of a successful answer."""
    assert answer.status == 200, answer.body
    return answer.json()


def refusal(answer: Answer) -> tuple[int, int]:
    """Status and code of an error, which is spelled as every error is."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    assert isinstance(error["message"], str)
    return answer.status, error["code"]


BAD: Final = (400, 1301)
REFUSED: Final = (500, 1201)
NO_RESOURCE: Final = (404, 1001)
NO_ROOM: Final = (404, 1003)
NO_STREAM: Final = (404, 1004)
NO_PARTICIPANT: Final = (404, 1005)
