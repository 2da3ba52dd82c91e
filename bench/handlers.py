"""What the handlers of the management API and of the rooms API cost besides storage.

`python -m bench.handlers`.

The real app serves API Gateway's events in this process.  Each kind of request is served once with an
emulator behind, and then again and again with the very answers that storage gave.  Beside it an app of one
route that does nothing is dispatched by the same kind of event, in turn; figures are ratios within a round.
"""

import argparse
import base64
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from chalice.app import Chalice, Response

from bench import common
from bench.common import Report, middle
from bench.stack import OURS, Stack
from infra.emulator import Emulator
from infra.gateway import events
from infra.gateway.router import Router
from tests.support import hawk, mauth

TITLE: Final = "Handlers of the management API and the rooms API, besides storage"
WARMING: Final = 20
SERVICE: Final = "bench"
KEY: Final = "a key of the bench"
GOAL: Final = 8.0
GOALS: Final = {
    # Its sources are known only from its row, which takes a read more than others have: see
    # docs/decisions/0011-what-is-remembered-of-rooms.md.
    "PATCH a streaming-out": 9.0,
    # Who signs is verified and gets a signed answer, half of what a request may cost: see
    # docs/decisions/0014-what-a-signed-request-costs.md.
    "create a room": 12.0,
    "look at a room as its owner": 10.5,
    "change a room": 14.0,
    "join as the owner": 18.0,
    "report as the owner": 13.0,
    "MAuth alone": 0.5,
    "Hawk alone, with a hash of the body": 6.0,
}
HOST: Final = "loop.example.com"
SAID: Final = [
    ("Host", HOST),
    ("X-Forwarded-Proto", "https"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "*/*"),
]
"""What every request says, that of the empty dispatch too."""
PEER: Final = events.Peer("198.51.100.7", "bench", "127.0.0.1")

empty: Final = Chalice(app_name="empty")


@empty.route("/empty", methods=["GET"])  # type: ignore[untyped-decorator]
def nothing() -> Response:
    """Nothing."""
    return Response("", status_code=204)


class Storage:
    """Storage calls: served by the emulator and noted, or answered with what was noted."""

    def __init__(self) -> None:
        from chalicelib.store import writes

        self.noted: list[dict[str, Any]] = []
        self.answers: Iterator[dict[str, Any]] | None = None
        inside = writes.call

        def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
            if self.answers is not None:
                return next(self.answers)
            answer = inside(operation, request)
            self.noted.append(answer)
            return answer

        writes.call = call


Headers = list[tuple[str, str]]
Sign = Callable[[str, str, bytes], Headers]
"""What a client says of itself in a request of this method, path and body."""


@dataclass(frozen=True)
class Wanted:
    """A request that is made again and again, signed anew each time."""

    method: str
    path: str
    body: Any
    sign: Sign


@dataclass(frozen=True)
class Case:
    """One kind of request; what it is asked with is made anew for each round."""

    name: str
    make: Callable[[], Wanted]
    status: int = 200
    share: int = 0
    """How many of these there are in a flow."""


class Bench:
    """The app, and storage that it calls."""

    def __init__(self) -> None:
        import app  # it reads the environment, which is only now complete

        app.warm()  # as in Lambda; without it no log line is written
        self.app = app.app
        self.router = Router(app.app.routes)
        self.storage = Storage()

    def event(self, wanted: Wanted) -> events.Event:
        """A request as API Gateway hands it on."""
        raw = b"" if wanted.body is None else json.dumps(wanted.body).encode()
        match = self.router.match(wanted.path)
        assert match is not None, wanted.path
        return events.rest(
            method=wanted.method,
            path=wanted.path,
            query_string="",
            headers=[*SAID, *wanted.sign(wanted.method, wanted.path, raw)],
            body=raw,
            binary=False,
            resource=match.resource,
            parameters=match.parameters,
            peer=PEER,
            identity="7d0d59b0f6b6403b",
            stage="local",
            api_id="gateway",
        )

    def answer(self, wanted: Wanted, status: int = 200) -> Any:
        """Have a request served that has to succeed; the answer."""
        answer = self.app(self.event(wanted), None)
        assert answer["statusCode"] == status, answer
        return answer

    def cpu_s(self, case: Case, count: int) -> float:
        """The CPU seconds of one such request besides storage: the median of `count`.

        One is served with storage; the others are given its very answers.
        """
        self.storage.answers = None
        wanted = case.make()
        made = [self.event(wanted) for _ in range(count)]
        self.storage.noted = []
        assert self.app(self.event(wanted), None)["statusCode"] == case.status, case.name
        spent = []
        for event in made:
            self.storage.answers = iter(self.storage.noted)
            before = time.thread_time()
            answer = self.app(event, None)
            spent.append(time.thread_time() - before)
            assert answer["statusCode"] == case.status, (case.name, answer["body"])
        self.storage.answers = None
        return middle(spent)


class Management:
    """The management API: a service of its own, a room with something in it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.identity, self.key = os.environ["OWT_SUPER_SERVICE_ID"], os.environ["OWT_SUPER_SERVICE_KEY"]
        made = self.ask("POST", "/services", {"name": SERVICE, "key": KEY})
        self.identity, self.key = made["_id"], KEY

    def sign(self, method: str, path: str, raw: bytes) -> Headers:
        """MAuth, as the SDK does it."""
        return [
            ("Authorization", mauth.header(self.identity, self.key)),
            ("Content-Type", "application/json" if raw else "text/plain;charset=UTF-8"),
        ]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer."""
        return json.loads(self.bench.answer(Wanted(method, path, body, self.sign))["body"])

    def case(self, name: str, method: str, path: str, body: Callable[[], Any] = lambda: None) -> Case:
        """A kind of request."""
        return Case(name, lambda: Wanted(method, path, body(), self.sign))

    def cases(self) -> list[Case]:
        """What is measured."""
        room = self.ask("POST", "/v1/rooms", {"name": "bench"})["_id"]
        base = f"/v1.1/rooms/{room}"
        source = {"connection": {"url": "rtsp://127.0.0.1/a"}, "media": {"audio": True, "video": True}}
        stream = self.ask("POST", f"{base}/streaming-ins", source)["id"]
        media = {"audio": {"from": stream}, "video": {"from": stream}}
        out = {"protocol": "rtmp", "url": "rtmp://127.0.0.1/b", "media": media}
        outs = self.ask("POST", f"{base}/streaming-outs", out)["id"]
        numbers = itertools.count(1)
        mixed = itertools.cycle(["add", "remove"])
        rates = itertools.cycle([6, 12])
        mixes = {"path": "/info/inViews", "value": "common"}
        rate = {"op": "replace", "path": "/media/video/parameters/framerate"}
        case = self.case
        return [
            case("POST a room", "POST", "/v1/rooms", lambda: {"name": f"room {next(numbers)}"}),
            case("GET a room", "GET", f"/v1/rooms/{room}"),
            case("PUT a room", "PUT", f"/v1/rooms/{room}", lambda: {"participantLimit": next(numbers)}),
            case("GET participants", "GET", f"{base}/participants"),
            case("GET streams", "GET", f"{base}/streams"),
            case("GET a stream", "GET", f"{base}/streams/{stream}"),
            case(
                *("PATCH a stream", "PATCH", f"{base}/streams/{stream}"),
                lambda: [mixes | {"op": next(mixed)}],
            ),
            case(
                *("PATCH a streaming-out", "PATCH", f"{base}/streaming-outs/{outs}"),
                lambda: [rate | {"value": next(rates)}],
            ),
            case("GET streaming-outs", "GET", f"{base}/streaming-outs"),
            case("POST a token", "POST", f"{base}/tokens", lambda: {"user": "u", "role": "presenter"}),
        ]

    def mauth_cpu_s(self, count: int) -> float:
        """The CPU seconds of authenticating a request whose service is known: the median of `count`."""
        from chalicelib.owt import auth
        from chalicelib.wire.request import Request

        header = {"authorization": mauth.header(self.identity, self.key)}
        request = Request("GET", "/v1/rooms", headers=header)
        auth.authenticate(request)
        return each_cpu_s([lambda: auth.authenticate(request)] * count)


class Rooms:
    """The rooms API: an owner, a guest, and the way of a guest through a room."""

    CONTEXT: Final = {"value": "a" * 400, "alg": "AES-GCM", "wrappedKey": "b" * 32}
    REPORTS: Final = (
        ("Session.connectionCreated", "waiting", 1, 0, 0),
        ("Session.connectionCreated", "starting", 2, 0, 0),
        ("Publisher.streamCreated", "sending", 2, 1, 0),
        ("Session.streamCreated", "sendrecv", 2, 1, 1),
        ("Session.subscribeCompleted", "sendrecv", 2, 1, 1),
    )

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        answer = bench.answer(Wanted("POST", "/registration", None, self.nobody))
        self.owner = hawk.derive(answer["headers"]["Hawk-Session-Token"])
        self.reports = itertools.cycle(self.REPORTS)

    def nobody(self, method: str, path: str, raw: bytes) -> Headers:
        """Nothing of who it is."""
        return [("Content-Type", "application/json")]

    def as_owner(self, method: str, path: str, raw: bytes) -> Headers:
        """Hawk with a hash of the body, over what was typed at API Gateway's own address: stage and path."""
        signed = hawk.sign(self.owner, method, f"/local{path}", HOST, 443, body=raw)
        return [*self.nobody(method, path, raw), ("Authorization", signed.header)]

    def as_guest(self, session_token: str) -> Sign:
        """Basic, as the web client does it."""
        shown = base64.b64encode(session_token.encode()).decode()
        return lambda method, path, raw: [
            *self.nobody(method, path, raw),
            ("Authorization", f"Basic {shown}"),
        ]

    def ask(self, wanted: Wanted, status: int = 200) -> Any:
        """The JSON of an answer."""
        return json.loads(self.bench.answer(wanted, status)["body"])

    def making(self) -> Wanted:
        """A room."""
        body = {"roomOwner": "-", "maxSize": 2, "expiresIn": 24, "context": self.CONTEXT}
        return Wanted("POST", "/rooms", body, self.as_owner)

    def room(self) -> str:
        """A new room's path."""
        return f"/rooms/{self.ask(self.making(), 201)['roomToken']}"

    def joining(self, path: str = "", sign: Sign | None = None) -> Wanted:
        """Coming into a room."""
        body = {"action": "join", "displayName": "Guest", "clientMaxSize": 5}
        return Wanted("POST", path or self.room(), body, sign or self.nobody)

    def acting(self, action: str, *, owner: bool = False, **fields: Any) -> Wanted:
        """Doing something in a room that one came into just now."""
        wanted = self.joining(sign=self.as_owner if owner else None)
        joined = self.ask(wanted)
        sign = self.as_owner if owner else self.as_guest(joined["sessionToken"])
        return Wanted("POST", wanted.path, {"action": action} | fields, sign)

    def reporting(self, *, owner: bool = False) -> Wanted:
        """A report of a media stack, as one follows the other."""
        event, state, connections, sends, receives = next(self.reports)
        counters = {"connections": connections, "sendStreams": sends, "recvStreams": receives}
        return self.acting("status", owner=owner, event=event, state=state, **counters)

    def cases(self) -> list[Case]:
        """What is measured; those with a share are the flow."""
        owned = self.room()
        change = {"roomOwner": "Ada", "context": self.CONTEXT}
        return [
            Case("create a room", self.making, 201, share=1),
            Case("join as a guest", self.joining, share=1),
            Case("report as a guest", self.reporting, 204, share=5),
            Case("leave as a guest", lambda: self.acting("leave"), 204, share=1),
            Case("refresh as a guest", lambda: self.acting("refresh")),
            Case("look at a room as nobody", lambda: Wanted("GET", owned, None, self.nobody)),
            Case("look at a room as its owner", lambda: Wanted("GET", owned, None, self.as_owner)),
            Case("change a room", lambda: Wanted("PATCH", owned, change, self.as_owner)),
            Case("join as the owner", lambda: self.joining(sign=self.as_owner)),
            Case("report as the owner", lambda: self.reporting(owner=True), 204),
        ]

    def hawk_cpu_s(self, count: int) -> float:
        """The CPU seconds of a Hawk verification with a hash of the body: the median of `count`."""
        from chalicelib.loop import auth
        from chalicelib.wire.request import Request

        raw = json.dumps(self.joining(path="/rooms/a").body).encode()

        def call() -> auth.Call:
            headers = dict([*SAID, *self.as_owner("POST", "/rooms/a", raw)])
            return auth.Call(Request("POST", "/local/rooms/a", headers=headers, body=raw, stage="local"))

        storage, calls = self.bench.storage, [call() for _ in range(count)]
        storage.answers, storage.noted = None, []
        auth.hawk(call())

        def verify(one: auth.Call) -> None:
            storage.answers = iter(storage.noted)
            auth.hawk(one)

        spent = each_cpu_s([partial(verify, one) for one in calls])
        storage.answers = None
        return spent


def each_cpu_s(works: Sequence[Callable[[], object]]) -> float:
    """The CPU seconds of one of these: the median."""
    spent = []
    for work in works:
        before = time.thread_time()
        work()
        spent.append(time.thread_time() - before)
    return middle(spent)


def empty_cpu_s(count: int) -> float:
    """The CPU seconds of an empty dispatch: the median of `count`."""
    event = events.rest(
        method="GET",
        path="/empty",
        query_string="",
        headers=[*SAID, ("Content-Type", "application/json")],
        body=b"",
        binary=False,
        resource="/empty",
        parameters=None,
        peer=PEER,
        identity="7d0d59b0f6b6403b",
        stage="local",
        api_id="gateway",
    )
    return each_cpu_s([lambda: empty(event, None)] * count)


def measure(report: Report, arguments: argparse.Namespace) -> None:
    """Every case beside an empty dispatch, round by round."""
    with (
        tempfile.TemporaryDirectory(prefix="handlers-bench-") as name,
        contextlib.ExitStack() as until_the_end,
    ):
        # Every request writes its log line: into a file, as a terminal would hold it up.
        log = until_the_end.enter_context((Path(name) / "log").open("w"))
        until_the_end.enter_context(contextlib.redirect_stderr(log))
        stack = Stack(Path(name))
        with Emulator(folder=Path(name) / "emulator") as emulator:
            for variable in [each for each in os.environ if each.startswith(OURS)]:
                del os.environ[variable]
            os.environ |= stack.settings() | stack.backed_by(emulator)
            figures(report, Bench(), arguments)
    report.note(
        f"{arguments.rounds} rounds of {arguments.requests} requests a case; medians of CPU time, ratios "
        "within a round; without the SDK's calls, with all else: dispatch, authentication, JSON, log lines"
    )


def figures(report: Report, bench: Bench, arguments: argparse.Namespace) -> None:
    """Measure, and tell."""
    management, rooms = Management(bench), Rooms(bench)
    flow = rooms.cases()
    cases = [*management.cases(), *flow]
    programs: dict[str, Callable[[int], float]] = {
        **{case.name: partial(bench.cpu_s, case) for case in cases},
        "MAuth alone": management.mauth_cpu_s,
        "Hawk alone, with a hash of the body": rooms.hawk_cpu_s,
    }
    ratios: dict[str, list[float]] = {name: [] for name in programs}
    dispatches: list[float] = []
    empty_cpu_s(WARMING * 10)
    for case in cases:
        bench.cpu_s(case, WARMING)
    for _ in range(arguments.rounds):
        for name, measured in programs.items():
            dispatches.append(empty_cpu_s(arguments.requests))
            ratios[name].append(measured(arguments.requests) / dispatches[-1])
    for name, found in ratios.items():
        report.figure(f"{name}, to an empty dispatch", middle(found), "x", at_most=GOALS.get(name, GOAL))
    shares = {case.name: case.share for case in flow}
    whole = sum(middle(ratios[name]) * share for name, share in shares.items()) / sum(shares.values())
    report.figure("a request of create, join, 5 reports, leave", whole, "x", at_most=GOAL)
    report.figure("an empty dispatch", middle(dispatches) * 1e6, "us")


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100, help="of each case in a round")


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
