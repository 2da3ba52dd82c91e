"""A service of conference management that calls a gateway over real sockets."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support import mauth
from tests.support.clients import http_call


@dataclass(frozen=True)
class Caller:
    """A service that calls a gateway."""

    http: str
    service: str
    key: str

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and the answer's JSON or text."""
        headers = {"Authorization": mauth.header(self.service, self.key), "Content-Type": "application/json"}
        raw = None if body is None else json.dumps(body)
        status, _, answer = http_call(self.http, method, path, raw, headers)
        return status, json.loads(answer) if answer[:1] in (b"{", b"[") else answer.decode()

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of a call that has to succeed."""
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer

    def room(self, **options: Any) -> str:
        """A new room."""
        return str(self.done("POST", "/v1/rooms", {"name": "r", "options": options})["_id"])
