"""The operators' API, called in this process as consoles and scripts call it."""

import hashlib
import json
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any, Final

import pytest

import app
from chalicelib import settings
from infra.gateway import events
from infra.gateway.events import Peer
from infra.gateway.router import NOT_FOUND, Router
from tests.support.events import Answer

PREFIX: Final = "/admin/v1"
TOKEN: Final = "correct-horse-battery-staple-0123456789"
OTHER: Final = "another-token-of-another-operator-43210"
SOURCE: Final = "198.51.100.7"

_router: Final = Router(app.app.routes)


def hashed(token: str) -> str:
    """A token as ADMIN_TOKENS has it."""
    return hashlib.sha256(token.encode()).hexdigest()


def given(monkeypatch: pytest.MonkeyPatch, **tokens: str) -> None:
    """Have these operators, each with a token; nobody where none is named."""
    monkeypatch.setenv("ADMIN_TOKENS", ",".join(f"{name}:{hashed(token)}" for name, token in tokens.items()))
    settings.reset()


def call(
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    source: str = SOURCE,
) -> Answer:
    """One request below the prefix, as a gateway hands it on; `body` is JSON, or bytes sent as they are."""
    raw_path, _, query = (PREFIX + path).partition("?")
    match = _router.match(raw_path)
    if match is None:
        return Answer(404, {"Content-Type": "application/json"}, NOT_FOUND.decode())
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    event = events.rest(
        method=method,
        path=raw_path,
        query_string=query,
        headers=[(name.lower(), value) for name, value in (headers or {}).items()],
        body=sent,
        binary=False,
        resource=match.resource,
        parameters=match.parameters,
        peer=Peer(source, "test", "admin.example.com"),
        identity="7d0d59b0-f6b6-403b-aff8-1e04e36a4b28",
        stage="local",
        api_id="a1b2c3d4e5",
    )
    answer = json.loads(json.dumps(app.app(event, None)))
    return Answer(answer["statusCode"], answer["headers"], answer["body"])


def ask(method: str, path: str, body: Any = None, *, token: str = TOKEN, **also: Any) -> Answer:
    """One request with a token."""
    return call(method, path, body, {"Authorization": f"Bearer {token}"}, **also)


def done(answer: Answer, status: int = 200) -> Any:
    """What a request that has to succeed answers."""
    assert answer.status == status, answer
    assert answer.header("cache-control") == "no-store"
    return answer.json() if answer.body else None


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and code of an error."""
    assert answer.json()["error"].keys() == {"code", "message"}, answer
    assert answer.json()["error"]["message"]
    return answer.status, answer.json()["error"]["code"]


class Session:
    """A console that has signed in."""

    def __init__(self, token: str = TOKEN, source: str = SOURCE) -> None:
        self.source = source
        answer = call("POST", "/session", {"token": token}, source=source)
        self.shown = done(answer)
        self.set_cookie = answer.header("set-cookie") or ""
        self.cookie = SimpleCookie(self.set_cookie)["foyer_admin"].value

    def call(self, method: str, path: str, body: Any = None, *, csrf: str | None = None) -> Answer:
        """One request of its pages; `csrf` in the place of what they know."""
        headers = {
            "Cookie": f"other=1; foyer_admin={self.cookie}",
            "X-CSRF-Token": self.shown["csrf"] if csrf is None else csrf,
        }
        return call(method, path, body, headers, source=self.source)
