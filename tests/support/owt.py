"""A client of conference management: a service that signs, in process or over HTTP."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support import events, mauth
from tests.support.events import Answer


@dataclass(frozen=True)
class Client:
    """One service at the app in this process, with one prefix."""

    app: Any
    service: str
    key: str
    version: str = "v1.1"

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One request below the prefix; a text is sent as it is, everything else as JSON."""
        headers = {"Authorization": mauth.header(self.service, self.key)}
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        headers["Content-Type"] = "text/plain;charset=UTF-8" if text is None else "application/json"
        return events.call(self.app, method, f"/{self.version}{path}", text, headers)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """What a request that has to succeed answers; `None` for nothing."""
        answer = self.call(method, path, body)
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json() if answer.body else None

    def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, int]:
        """Status and code of a request that has to fail."""
        answer = self.call(method, path, body)
        assert answer.status >= 400, (answer.status, answer.body)
        return answer.status, answer.json()["error"]["code"]

    def room(self, **options: Any) -> str:
        """The id of a new room."""
        return str(self.done("POST", "/rooms", {"name": "r", "options": options})["_id"])

    def at(self, version: str) -> "Client":
        """The same service with another prefix."""
        return Client(self.app, self.service, self.key, version)
