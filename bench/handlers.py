"""What the management API's handlers cost besides storage.  `python -m bench.handlers`.

The real app serves API Gateway's events in this process.  Each kind of request is served once with an
emulator behind, and then again and again with the very answers that storage gave.  Beside it an app of one
route that does nothing is dispatched by the same kind of event, in turn; figures are ratios within a round.
"""

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chalice.app import Chalice, Response

from bench import common
from bench.common import Report, middle
from bench.stack import OURS, Stack
from infra.emulator import Emulator
from infra.gateway import events
from infra.gateway.router import Router
from tests.support import mauth

TITLE: Final = "The management API's handlers, besides storage"
WARMING: Final = 20
SERVICE: Final = "bench"
KEY: Final = "a key of the bench"
GOAL: Final = 8.0
GOALS: Final = {
    # What decides and writes, or shows a whole room, does more than fits into the goal of the others: see
    # docs/decisions/0011-what-is-remembered-of-rooms.md.
    "POST a room": 9.0,
    "PUT a room": 12.0,
    "GET streams": 9.0,
    "PATCH a stream": 11.0,
    "PATCH a streaming-out": 15.0,
}
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


@dataclass(frozen=True)
class Case:
    """One kind of request; `path` and `body` are made anew for each."""

    name: str
    method: str
    path: Callable[[], str]
    body: Callable[[], Any] = lambda: None


class Bench:
    """The app, a service of its own, a room with something in it."""

    def __init__(self) -> None:
        import app  # it reads the environment, which is only now complete

        app.warm()  # as in Lambda; without it no log line is written
        self.app = app.app
        self.router = Router(app.app.routes)
        self.storage = Storage()
        self.identity = self.key = ""

    def sign_in(self, identity: str, key: str) -> None:
        """Whose requests follow."""
        self.identity, self.key = identity, key

    def event(self, method: str, path: str, body: Any = None) -> events.Event:
        """A signed request as API Gateway hands it on."""
        raw = b"" if body is None else json.dumps(body).encode()
        match = self.router.match(path)
        assert match is not None, path
        return events.rest(
            method=method,
            path=path,
            query_string="",
            headers=[
                ("Authorization", mauth.header(self.identity, self.key)),
                ("Content-Type", "application/json" if raw else "text/plain;charset=UTF-8"),
            ],
            body=raw,
            binary=False,
            resource=match.resource,
            parameters=match.parameters,
            peer=PEER,
            identity="7d0d59b0f6b6403b",
            stage="local",
            api_id="gateway",
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Have a request served that has to succeed; its answer's JSON, or text."""
        answer = self.app(self.event(method, path, body), None)
        assert answer["statusCode"] == 200, answer
        text = answer["body"]
        return json.loads(text) if text[:1] in ("{", "[") else text

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
        in_views = "/info/inViews"
        rate = "/media/video/parameters/framerate"
        return [
            Case("POST a room", "POST", lambda: "/v1/rooms", lambda: {"name": f"room {next(numbers)}"}),
            Case("GET a room", "GET", lambda: f"/v1/rooms/{room}"),
            Case(
                "PUT a room", "PUT", lambda: f"/v1/rooms/{room}", lambda: {"participantLimit": next(numbers)}
            ),
            Case("GET participants", "GET", lambda: f"{base}/participants"),
            Case("GET streams", "GET", lambda: f"{base}/streams"),
            Case("GET a stream", "GET", lambda: f"{base}/streams/{stream}"),
            Case(
                "PATCH a stream",
                "PATCH",
                lambda: f"{base}/streams/{stream}",
                lambda: [{"op": next(mixed), "path": in_views, "value": "common"}],
            ),
            Case(
                "PATCH a streaming-out",
                "PATCH",
                lambda: f"{base}/streaming-outs/{outs}",
                lambda: [{"op": "replace", "path": rate, "value": next(rates)}],
            ),
            Case("GET streaming-outs", "GET", lambda: f"{base}/streaming-outs"),
            Case(
                "POST a token", "POST", lambda: f"{base}/tokens", lambda: {"user": "u", "role": "presenter"}
            ),
        ]

    def cpu_s(self, case: Case, count: int) -> float:
        """The CPU seconds of one such request besides storage: the median of `count`.

        One is served with storage; the others are given its very answers.
        """
        path, body = case.path(), case.body()
        made = [self.event(case.method, path, body) for _ in range(count)]
        self.storage.answers, self.storage.noted = None, []
        assert self.app(self.event(case.method, path, body), None)["statusCode"] == 200, case.name
        spent = []
        for event in made:
            self.storage.answers = iter(self.storage.noted)
            before = time.thread_time()
            answer = self.app(event, None)
            spent.append(time.thread_time() - before)
            assert answer["statusCode"] == 200, (case.name, answer["body"])
        self.storage.answers = None
        return middle(spent)


def empty_cpu_s(count: int) -> float:
    """The CPU seconds of an empty dispatch: the median of `count`."""
    event = events.rest(
        method="GET",
        path="/empty",
        query_string="",
        headers=[("Content-Type", "application/json")],
        body=b"",
        binary=False,
        resource="/empty",
        parameters=None,
        peer=PEER,
        identity="7d0d59b0f6b6403b",
        stage="local",
        api_id="gateway",
    )
    spent = []
    for _ in range(count):
        before = time.thread_time()
        empty(event, None)
        spent.append(time.thread_time() - before)
    return middle(spent)


def mauth_cpu_s(bench: Bench, count: int) -> float:
    """The CPU seconds of authenticating a request whose service is known: the median of `count`."""
    from chalicelib.owt import auth
    from chalicelib.wire.request import Request

    header = {"authorization": mauth.header(bench.identity, bench.key)}
    request = Request("GET", "/v1/rooms", headers=header)
    auth.authenticate(request)
    spent = []
    for _ in range(count):
        before = time.thread_time()
        auth.authenticate(request)
        spent.append(time.thread_time() - before)
    return middle(spent)


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
            bench = Bench()
            bench.sign_in(os.environ["OWT_SUPER_SERVICE_ID"], os.environ["OWT_SUPER_SERVICE_KEY"])
            service = bench.ask("POST", "/services", {"name": SERVICE, "key": KEY})["_id"]
            bench.sign_in(service, KEY)
            cases = bench.cases()
            ratios: dict[str, list[float]] = {case.name: [] for case in cases}
            tokens: list[float] = []
            dispatches: list[float] = []
            empty_cpu_s(WARMING * 10)
            for case in cases:
                bench.cpu_s(case, WARMING)
            for _ in range(arguments.rounds):
                for case in cases:
                    dispatch = empty_cpu_s(arguments.requests)
                    dispatches.append(dispatch)
                    ratios[case.name].append(bench.cpu_s(case, arguments.requests) / dispatch)
                tokens.append(mauth_cpu_s(bench, arguments.requests) / empty_cpu_s(arguments.requests))
    for label, found in ratios.items():
        goal = GOALS.get(label, GOAL)
        report.figure(f"{label}, to an empty dispatch", middle(found), "x", at_most=goal)
    report.figure("MAuth alone, to an empty dispatch", middle(tokens), "x", at_most=0.5)
    report.figure("an empty dispatch", middle(dispatches) * 1e6, "us")
    report.note(
        f"{arguments.rounds} rounds of {arguments.requests} requests a case; medians of CPU time, ratios "
        "within a round; without the SDK's calls, with all else: dispatch, authentication, JSON, log lines"
    )


def options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100, help="of each case in a round")


if __name__ == "__main__":
    sys.exit(common.run(TITLE, measure, options))
