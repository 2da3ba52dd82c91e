"""A media server whose streams are mapped into a room, and the work that follows from what it tells."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from chalicelib import clock, settings
from chalicelib.media import streams
from chalicelib.outbox import kicks, owed
from chalicelib.store import keys
from chalicelib.wcs import store as wcs
from tests.conftest import Stack
from tests.owt.api import Api, ok
from tests.wcs.server import NODE, SESSION, Server, User

APP: Final = "defaultApp"


class Mapped:
    """The server, its room, and what was kicked and is not served yet; time stands still unless moved."""

    def __init__(self, api: Api, stack: Stack, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.api = api
        self.stack = stack
        self.server = Server()
        self.user = User()
        self.kicked: list[str] = []
        self.now = float(int(clock.now()))
        self._patch = monkeypatch
        self.room = api.room(**options)
        monkeypatch.setattr(clock, "now", lambda: self.now)
        kinds = [each for each in owed.kinds() if each in (wcs.FOLLOW, wcs.STALE, streams.STOP)]
        monkeypatch.setattr(owed, "kinds", lambda: kinds)
        self.map({})

    def map(self, *targets: dict[str, Any], **environ: Any) -> None:
        """Set what is mapped: the application into the room unless a target says otherwise."""
        usual: dict[str, Any] = {"service": self.api.service, "appKey": APP, "room": self.room}
        self.set(WCS_ROOMS=json.dumps([usual | each for each in targets]), **environ)

    def set(self, **environ: Any) -> None:
        """Change the environment."""
        for name, value in environ.items():
            self._patch.setenv(name, str(value))
        settings.reset()

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Keep the kicks of the block."""
        kicks.install(self.kicked.append)
        try:
            yield
        finally:
            kicks.install(None)

    def tell(self, **changed: Any) -> None:
        """An event whose consequences are not seen to yet."""
        with self.catching():
            self.server.tell(**changed)

    def serve(self, *, failing: bool = False) -> int:
        """See to all that was kicked; how much that was."""
        served = 0
        with self.catching():
            while self.kicked:
                body = self.kicked.pop(0)
                served += 1
                failed = owed.work([{"body": body, "messageId": "1"}])
                assert failing or failed == []
        return served

    def say(self, **changed: Any) -> None:
        """An event, and what follows from it."""
        self.tell(**changed)
        self.serve()

    def pass_by(self, seconds: float) -> int:
        """Let time pass and the sweep find what is due; how much that was."""
        self.now += seconds
        self.kicked.clear()
        with self.catching():
            owed.sweep()
        return self.serve()

    def streams(self) -> dict[str, dict[str, Any]]:
        """The forward streams of the room, by id."""
        found = ok(self.api.at("v1.1").get(f"/rooms/{self.room}/streams"))
        return {each["id"]: each for each in found if each["type"] == "forward"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the room's service, and what follows from it."""
        with self.catching():
            answer = self.api.call(method, f"/rooms/{self.room}{path}", *([] if body is None else [body]))
        self.serve()
        return answer

    def row(self, session: str = SESSION, node: str = NODE) -> wcs.StreamRow:
        """What is kept of a stream of the server."""
        row = wcs.read(keys.wcs_stream(session, node))
        assert row is not None
        return row

    def goes_on(self, session: str = SESSION) -> bool:
        """Whether the server is told that a stream may go on."""
        status = self.server.say("StreamKeepAliveEvent", mediaSessionId=session).status
        assert status in (200, 403)
        return status == 200

    def owing(self) -> list[str]:
        """What is owed of mapped streams, by kind."""
        due = [row["due"]["S"].partition("#")[0] for row in self.stack.rows() if "due" in row]
        return sorted(each for each in due if each in (wcs.FOLLOW, streams.STOP))
