"""Loop, called in this process as its clients call it."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import app
from infra.gateway import events
from infra.gateway.events import Peer
from infra.gateway.router import NOT_FOUND, Router
from tests.support import hawk
from tests.support.events import Answer
from tests.support.hawk import Credentials, Signature

NOTHING: Final = object()
HOST: Final = "loop.example.com"
STAGE: Final = "test"
JSON: Final = "application/json"

_router = Router(app.app.routes)


def serve(
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    stage: str = STAGE,
    context_path: str | None = None,
    api_id: str = "test",
) -> Answer:
    """One request as a front hands it on; `context_path` is what the front says was typed."""
    path, _, query = target.partition("?")
    found = _router.match(path)
    if found is None:
        return Answer(404, {}, NOT_FOUND.decode())
    given = {"Host": HOST, "X-Forwarded-Proto": "https", "User-Agent": "test"} | dict(headers or {})
    event = events.rest(
        method=method,
        path=path,
        query_string=query,
        headers=list(given.items()),
        body=body,
        binary=False,
        resource=found.resource,
        parameters=found.parameters,
        peer=Peer("127.0.0.1", "test", HOST),
        identity=events.request_id(),
        stage=stage,
        api_id=api_id,
    )
    if context_path is not None:
        event["requestContext"]["path"] = context_path
    # Lambda spells what a handler returns as JSON.
    answer = json.loads(json.dumps(app.app(event, None)))
    return Answer(answer["statusCode"], answer["headers"], answer["body"])


def body_of(body: Any) -> bytes:
    """A body as it is sent: JSON, bytes as they are, or nothing."""
    if body is NOTHING:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class Caller:
    """Somebody who calls: nobody, unless it is one of the two below."""

    def call(
        self,
        method: str,
        target: str,
        body: Any = NOTHING,
        headers: Mapping[str, str] | None = None,
        **front: Any,
    ) -> Answer:
        """One request."""
        raw = body_of(body)
        kind = {"Content-Type": JSON} if raw else {}
        given = kind | self.authorization(method, target, raw) | dict(headers or {})
        answer = serve(method, target, raw, given, **front)
        self.look(answer)
        return answer

    def authorization(self, method: str, target: str, raw: bytes) -> dict[str, str]:
        """Who calls."""
        return {}

    def look(self, answer: Answer) -> None:
        """See whether the answer is what this caller expects of every answer."""
        assert answer.header("Server-Authorization") is None

    def get(self, target: str) -> Answer:
        """`GET`."""
        return self.call("GET", target)

    def post(self, target: str, body: Any = NOTHING) -> Answer:
        """`POST` of JSON."""
        return self.call("POST", target, body)

    def patch(self, target: str, body: Any) -> Answer:
        """`PATCH` of JSON."""
        return self.call("PATCH", target, body)

    def delete(self, target: str) -> Answer:
        """`DELETE`."""
        return self.call("DELETE", target)

    def act(self, room: str, action: str, **fields: Any) -> Answer:
        """An action on a room."""
        return self.post(f"/rooms/{room}", {"action": action} | fields)

    def join(self, room: str, name: str = "somebody", size: Any = 5) -> Answer:
        """`join`."""
        return self.act(room, "join", displayName=name, clientMaxSize=size)


class HawkCaller(Caller):
    """Somebody with credentials, who signs every request and checks every answer's signature."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.signature: Signature | None = None

    def time(self) -> float | None:
        """When a request is signed, in seconds since the epoch; `None` is now."""
        return None

    def authorization(self, method: str, target: str, raw: bytes) -> dict[str, str]:
        """Sign the request as it was typed at the stage's own address."""
        at = self.time()
        self.signature = hawk.sign(
            self.credentials,
            method,
            f"/{STAGE}{target}",
            HOST,
            443,
            body=raw,
            content_type=JSON if raw else "",
            ts=None if at is None else str(int(at)),
        )
        return {"Authorization": self.signature.header}

    def look(self, answer: Answer) -> None:
        """Every answer but those that refuse the caller is signed."""
        assert self.signature is not None
        signed = answer.header("Server-Authorization")
        if answer.status != 401:
            kind = answer.header("Content-Type") or ""
            assert self.signature.proves(signed, kind, answer.body.encode()), answer

    def room(self, **fields: Any) -> str:
        """A new room with these fields; its token."""
        body = {"roomOwner": "Ada", "maxSize": 5, "roomName": "a room"} | fields
        return str(ok(self.post("/rooms", body), 201)["roomToken"])


class GuestCaller(Caller):
    """Somebody with a session token, sent as the shipped web client does: no colon."""

    def __init__(self, session_token: str, colon: str = "") -> None:
        self.header = "Basic " + base64.b64encode(f"{session_token}{colon}".encode()).decode()

    def authorization(self, method: str, target: str, raw: bytes) -> dict[str, str]:
        """Show the session token."""
        return {"Authorization": self.header}


def register(body: Any = NOTHING) -> HawkCaller:
    """A new owner."""
    answer = Caller().post("/registration", body)
    assert answer.status == 200, answer
    return HawkCaller(hawk.derive(answer.header("Hawk-Session-Token") or ""))


def ok(answer: Answer, status: int = 200) -> Any:
    """The document of a successful answer."""
    assert answer.status == status, answer
    return answer.json() if answer.body else None


def refusal(answer: Answer) -> tuple[int, int]:
    """Status and errno of an error, which is spelled as every error is."""
    found = answer.json()
    assert set(found) == {"code", "errno", "error"}
    assert found["code"] == answer.status
    assert found["error"]
    return answer.status, found["errno"]
