"""The product in this process, called with events as a front would call it, and its sockets in lists.

No thread runs by itself here: kicks wait until a test has them served, and time is what a test says.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest

import app
from chalicelib import clock, settings
from chalicelib.jitsi import counts, store
from chalicelib.jitsi.messages import topic_of
from chalicelib.outbox import kicks, owed
from chalicelib.realtime import fanout, fronts, ports
from chalicelib.realtime.connections import Endpoint
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.realtime.sessions import MemorySessions
from infra.credentials import Credentials
from infra.gateway import events
from infra.gateway.events import Peer
from tests.conftest import Stack
from tests.support import grants
from tests.support.clients import VISITOR, parse
from tests.support.events import Answer, call

Mode = Literal["rows", "memory"]
MODES: tuple[Mode, ...] = ("rows", "memory")

ENDPOINT = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/dev"
LOCAL_FRONT = "local1"
ALIVE_S = 30 * 86400.0
DELAYED_AGAIN_S = 180.0
LONGER_THAN_ANY_LEASE_S = 400.0
GOLIVE = "/waiting-queue/golive"

_names = itertools.count(1)


class Line:
    """What one socket was sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.code: int | None = None
        self.seen: set[str] = set()

    @property
    def open(self) -> bool:
        """Whether the socket is there."""
        return self.code is None

    def frames(self, command: str) -> list[tuple[dict[str, str], str]]:
        """Headers and bodies of the frames of one command."""
        found = [parse(text) for text in self.texts]
        return [(headers, body) for name, headers, body in found if name == command]

    def live(self, identity: str | None = None) -> int:
        """How many live messages came, for one subscription or for all."""
        return len(
            [
                headers
                for headers, body in self.frames("MESSAGE")
                if '"status":"live"' in body and identity in (None, headers["subscription"])
            ]
        )

    def counts(self) -> list[int]:
        """The numbers of waiting visitors that it was told."""
        bodies = (json.loads(body) for _, body in self.frames("MESSAGE"))
        return [body["visitorsWaiting"] for body in bodies if "visitorsWaiting" in body]


class Lines:
    """All sockets: as the client of `@connections`, and as the delivery of the gateway's own process."""

    def __init__(self, *, dedup: bool) -> None:
        self.dedup = dedup
        self.lines: dict[str, Line] = {}
        self.posts = 0
        self.verdict: Callable[[Post], Outcome | None] = lambda post: None
        """What a test wants to become of a post instead."""

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Send each text."""
        return [self._one(post) for post in posts]

    def _one(self, post: Post) -> Outcome:
        line = self.lines.get(post.socket_id)
        forced = self.verdict(post)
        if forced is not None:
            return forced
        if line is None or not line.open:
            return Outcome.GONE
        self.posts += 1
        if not (self.dedup and post.dedup and post.dedup in line.seen):
            line.texts.append(post.text)
        line.seen.add(post.dedup)
        return Outcome.SENT

    def close(self, socket_id: str, code: int) -> None:
        """Close a socket."""
        line = self.lines.get(socket_id)
        if line is not None and line.open:
            line.code = code


class Client:
    """Takes the place of `Connections`: API Gateway's sockets, which deduplicate nothing."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def warm(self, endpoint: Endpoint, line: bool = True) -> None:
        """See `Connections`."""

    def post_many(self, endpoint: Endpoint, posts: Iterable[Post]) -> list[Outcome]:
        """See `Connections`."""
        grants.hear("POST")
        return self.lines.post(list(posts))

    def close(self, endpoint: Endpoint, socket_id: str, code: int) -> Outcome:
        """See `Connections`."""
        grants.hear("DELETE")
        self.lines.close(socket_id, code)
        return Outcome.SENT


class World:
    """One deployment: behind API Gateway with sessions as `rows`, or a gateway with its own `memory`."""

    def __init__(
        self, stack: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        self.stack = stack
        self.credentials = credentials
        self.api_id = "a1b2c3d4e5" if mode == "rows" else f"gateway-{LOCAL_FRONT}"
        """What the front calls itself in events."""
        self.mode = mode
        self.rows = mode == "rows"
        self.lines = Lines(dedup=not self.rows)
        self.ahead = 0.0
        self.kicked: list[tuple[float, str]] = []
        self.lose_kicks = False
        self.server_token = credentials.server_token(lives_s=30 * 86400)
        if self.rows:
            monkeypatch.setenv("FOYER_API_ENDPOINT", ENDPOINT)
        settings.reset()
        monkeypatch.setattr(clock, "now", lambda: time.time() + self.ahead)
        monkeypatch.setattr(fanout, "connections", lambda: Client(self.lines))
        send = kicks.send

        def sent(body: str, delay_s: float) -> bool:
            taken = send(body, delay_s)
            if taken and not self.lose_kicks:
                self.kicked.append((clock.now() + delay_s, body))
            return taken

        monkeypatch.setattr(kicks, "send", sent)
        # Nobody here owes anything to another facade, and each of its kinds is four queries of every sweep.
        ours = [kind for kind in owed.kinds() if "." not in kind]
        monkeypatch.setattr(owed, "kinds", lambda: ours)
        self.enter(mode)
        app.warm()
        fronts.announce()  # as the schedule of a stack that stands has done

    def enter(self, mode: Mode) -> None:
        """Be a function on its own, or the process of a gateway."""
        ports.uninstall()
        kicks.install(None)
        if mode == "memory":
            held = MemorySessions(topic_of)
            ports.install(
                sessions=held, delivery=self.lines, listeners=held, front_id=LOCAL_FRONT, heartbeat="0,0"
            )
            kicks.install(lambda body: self.kicked.append((clock.now(), body)))
            until = clock.now() + ALIVE_S
            fronts.register(
                fronts.Front(LOCAL_FRONT, "http://127.0.0.1:1", "gateway", True, True, "0,0", until, True)
            )

    def leave(self) -> None:
        """Take the adapters away again."""
        ports.uninstall()
        kicks.install(None)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Be another process for a while, one that holds no sockets."""
        here = replace(ports.current())
        local = list(kicks._local)
        self.leave()
        try:
            yield
        finally:
            ports.install(
                sessions=here.sessions,
                delivery=here.delivery,
                listeners=here.listeners,
                front_id=here.front_id,
                heartbeat=here.heartbeat,
            )
            kicks.install(local[0] if local else None)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds

    def conference(self) -> str:
        """A conference that nobody has used."""
        return f"room{next(_names)}@conference.meet.local"

    def visitor(self, **also: Any) -> "Socket":
        """A new socket with a visitor's token of its own."""
        token = self.credentials.visitor_token(lives_s=30 * 86400, id=f"v{next(_names)}", **also)
        return Socket(self, token)

    def moderator(self) -> "Socket":
        """A new socket with a moderator's token of its own."""
        return Socket(self, self.credentials.moderator_token(lives_s=30 * 86400, id=f"m{next(_names)}"))

    def golive(self, conference: str, method: str = "POST") -> Answer:
        """`golive` as Prosody calls it."""
        headers = {"Authorization": f"Bearer {self.server_token}", "Content-Type": "application/json"}
        return call(app.app, method, GOLIVE, json.dumps({"conference": conference}), headers)

    def tick(self) -> None:
        """The schedule's call."""
        app.tick(events.scheduled(), None)

    def work(self, *bodies: str) -> list[str]:
        """Serve kicks; those that come again."""
        records = [events.record(str(number), body) for number, body in enumerate(bodies)]
        answer = app.work({"Records": records}, None)
        return [bodies[int(failed["itemIdentifier"])] for failed in answer["batchItemFailures"]]

    def due(self, kind: str = "") -> list[str]:
        """Take the kicks whose time has come, of one kind or all."""
        now = clock.now()
        taken = [
            (at, body) for at, body in self.kicked if at <= now and kind in ("", json.loads(body)["kind"])
        ]
        for each in taken:
            self.kicked.remove(each)
        return [body for _, body in taken]

    def drain(self) -> None:
        """Serve every kick whose time has come, and those that come of it."""
        for _ in range(100):
            bodies = self.due()
            if not bodies:
                return
            for again in self.work(*dict.fromkeys(bodies)):
                self.kicked.append((clock.now() + DELAYED_AGAIN_S, again))
        raise AssertionError("kicks without end")

    def settle(self) -> None:
        """Let leases end, the sweep look and workers work until nothing is owed that is not watched."""
        self.drain()
        for _ in range(20):
            self.advance(LONGER_THAN_ANY_LEASE_S)
            self.tick()
            self.kicked = [each for each in self.kicked if json.loads(each[1])["kind"] != store.COUNT]
            # Who is left behind is looked for as long as a conference is live.
            done = all(json.loads(body)["kind"] == store.LOOK for _, body in self.kicked)
            self.drain()
            if done and not self.kicked:
                return
        raise AssertionError(f"still owed: {self.kicked}")

    def queue(self, conference: str) -> list[dict[str, Any]]:
        """The rows of those who wait for a conference, in the epoch that it is in."""
        found: list[dict[str, Any]] = []
        for partition in store.partitions(conference, store.read_live(conference).epoch):
            found += self.stack.dynamodb.query(
                TableName=self.stack.table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": partition}},
                ConsistentRead=True,
            )["Items"]
        return found

    def waiting(self, conference: str) -> int:
        """The number that a moderator who came now would be told."""
        return counts.waiting(conference)


class Socket:
    """A client's socket, which sends what it is told."""

    def __init__(self, world: World, token: str | None) -> None:
        self.world = world
        self.token = token
        self.line = Line()
        self.open()

    def open(self) -> None:
        """Open a new socket for the same person; what the one before was sent stays known."""
        self.id = f"L0SM9cOFvHc{next(_names):04d}="
        self.line = Line()
        self.world.lines.lines[self.id] = self.line

    @property
    def _about(self) -> tuple[str, Peer, int, str, str]:
        peer = Peer("198.51.100.7", "test", "queue.example.com")
        return self.id, peer, 1_700_000_000_000, "dev", self.world.api_id

    def send(self, text: str) -> None:
        """Send one WebSocket message."""
        app.ws_message(events.message(*self._about, text), None)

    def connect(self) -> "Socket":
        """CONNECT; whether it was accepted shows in `connected`."""
        authorization = f"Authorization:Bearer {self.token}\n" if self.token else ""
        self.send(f"CONNECT\n{authorization}accept-version:1.2\nheart-beat:0,0\n\n\0")
        return self

    @property
    def connected(self) -> bool:
        """Whether CONNECTED came and the socket is open."""
        return bool(self.line.frames("CONNECTED")) and self.line.open

    def subscribe(self, destination: str, identity: str = "sub-0", receipt: str = "r") -> None:
        """SUBSCRIBE."""
        self.send(f"SUBSCRIBE\nid:{identity}\ndestination:{destination}\nreceipt:{receipt}\n\n\0")

    def wait(self, conference: str, identity: str = "sub-0") -> "Socket":
        """CONNECT if that was not done, and SUBSCRIBE to a conference; it has to work."""
        if not self.connected:
            self.connect()
        self.subscribe(VISITOR + conference, identity, f"s{identity}")
        assert self.receipt(f"s{identity}"), self.line.texts
        return self

    def unsubscribe(self, identity: str = "sub-0") -> None:
        """UNSUBSCRIBE."""
        self.send(f"UNSUBSCRIBE\nid:{identity}\nreceipt:u{identity}\n\n\0")

    def disconnect(self) -> None:
        """DISCONNECT."""
        self.send("DISCONNECT\nreceipt:close-1\n\n\0")

    def receipt(self, name: str) -> bool:
        """Whether a receipt came."""
        return any(headers["receipt-id"] == name for headers, _ in self.line.frames("RECEIPT"))

    @property
    def refused(self) -> bool:
        """Whether the service told the client that it failed, and closed."""
        errors = self.line.frames("ERROR")
        return not self.line.open and len(errors) == 1 and errors[0][0]["message"] == "Service unavailable"

    def gone(self) -> int:
        """The socket ends, and the front says so; the handler's status."""
        if self.line.open:
            self.line.code = 1006
        status: int = app.ws_disconnect(events.disconnect(*self._about, 1006), None)["statusCode"]
        return status
