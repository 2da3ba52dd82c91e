"""An app module with the product's handler names, whose handlers do what the test's client asks."""

import json
import os
import threading
import time
from typing import Any

from chalice import Chalice, Response

from chalicelib import waits
from chalicelib.realtime.ports import Delivery, Outcome, Post
from infra.gateway.install import Kick
from infra.gateway.settings import Settings

Event = dict[str, Any]

app = Chalice(app_name="stub")
app.debug = False


class Stub:
    """What the handlers share with the tests."""

    def __init__(self) -> None:
        self.delivery: Delivery | None = None
        self.kick: Kick | None = None
        self.front = ""
        self.journal: list[tuple[str, Any]] = []
        self.registered: list[str] = []
        self.withdrawn: list[str] = []
        self.lease_kept = True
        self.ids_taken = 0
        self.poison: set[str] = set()
        self.gate = threading.Event()
        """What the tests open when they have seen enough; it opens itself in the end."""

    def note(self, what: str, detail: Any) -> None:
        """Write the journal, also to a file for tests with a process of their own."""
        self.journal.append((what, detail))
        path = os.environ.get("STUB_JOURNAL")
        if path:
            with open(path, "a") as file:
                file.write(json.dumps([what, detail]) + "\n")

    def noted(self, what: str) -> list[Any]:
        """What the journal says of one thing."""
        return [detail for kind, detail in list(self.journal) if kind == what]


stub = Stub()


class Glue:
    """The gateway's glue, kept in memory."""

    def install(self, front_id: str, settings: Settings, delivery: Delivery, kicker: Kick) -> None:
        stub.front, stub.delivery, stub.kick = front_id, delivery, kicker

    def uninstall(self) -> None:
        stub.delivery = stub.kick = None

    def register(self, front_id: str, endpoint: str, settings: Settings) -> bool:
        if "STUB_OUTAGE" in os.environ:
            raise ConnectionError
        if stub.ids_taken:
            stub.ids_taken -= 1
            return False
        stub.registered.append(front_id)
        stub.note("register", front_id)
        return True

    def renew(self, front_id: str) -> bool:
        kept, stub.lease_kept = stub.lease_kept, True
        return kept

    def withdraw(self, front_id: str) -> None:
        stub.withdrawn.append(front_id)
        stub.note("withdraw", front_id)


def post(socket_id: str, text: str, dedup: str = "", close_after: float = 0.0) -> Outcome:
    """Answer through the delivery port, where the gateway has installed one."""
    assert stub.delivery is not None
    return stub.delivery.post([Post(socket_id, text, dedup, close_after)])[0]


@app.route("/empty", content_types=["*/*"])
def empty() -> Response:
    return Response(body="", status_code=204)


@app.route("/echo/{name}", methods=["GET", "POST"], content_types=["*/*"])
def echo(name: str) -> Response:
    time.sleep(float((app.current_request.query_params or {}).get("sleep", 0)))
    event = app.current_request.to_original_event()
    assert app.current_request.uri_params == {"name": name}
    return Response(body=event, headers={"Content-Type": "application/json", "X-Request-Id": "the app's own"})


@app.route("/parked", content_types=["*/*"])
def parked() -> dict[str, bool]:
    with waits.waiting("gate") as waiter, waits.parked() as admitted:
        stub.note("parked", admitted)
        if admitted:
            waiter.wait(5)
    return {"admitted": admitted}


@app.route("/held", content_types=["*/*"])
def held() -> Response:
    stub.note("held", "")
    stub.gate.wait(5)
    return Response(body="", status_code=204)


@app.route("/echo/fixed", content_types=["*/*"])
def fixed() -> dict[str, str]:
    return {"fixed": "yes"}


@app.route("/cookies", content_types=["*/*"])
def cookies() -> Response:
    return Response(body="two", headers={"Content-Type": "text/plain", "Set-Cookie": ["a=1", "b=2"]})


@app.route("/boom", content_types=["*/*"])
def boom() -> None:
    raise KeyError("sesame")


def ws_connect(event: Event, context: Any) -> Event:
    """Decide by the query: `sleep`, `raise`, `deny`; select the first offered sub-protocol."""
    query = event.get("queryStringParameters") or {}
    stub.note("connect", event)
    time.sleep(float(query.get("sleep", 0)))
    if "raise" in query:
        raise KeyError("sesame")
    if "deny" in query:
        return {"statusCode": int(query["deny"]), "body": "denied"}
    offered = next(
        (value for name, value in event["headers"].items() if name.lower() == "sec-websocket-protocol"), ""
    )
    chosen = offered.split(",")[0].strip()
    return {"statusCode": 200, "headers": {"sec-websocket-protocol": chosen} if chosen else {}}


def ws_message(event: Event, context: Any) -> Event:
    """Do what the message says."""
    socket_id = event["requestContext"]["connectionId"]
    command, _, rest = event["body"].partition(" ")
    stub.note("message", event["body"])
    match command:
        case "event":
            post(socket_id, json.dumps(event))
        case "echo":
            post(socket_id, rest)
        case "hold":
            stub.gate.wait(5)
            stub.note("held", rest)
            if rest:
                post(socket_id, rest)
        case "boom":
            raise KeyError("sesame")
        case "close":
            assert stub.delivery is not None
            stub.delivery.close(socket_id, int(rest))
        case "soon":
            post(socket_id, "bye", "", float(rest))
    return {"statusCode": 200}


def ws_disconnect(event: Event, context: Any) -> Event:
    """Note who left, with which code."""
    context_ = event["requestContext"]
    stub.note("disconnect", [context_["connectionId"], context_["disconnectStatusCode"]])
    return {"statusCode": 200}


def tick(event: Event, context: Any) -> None:
    """Note the schedule."""
    stub.note("tick", event)


def work(event: Event, context: Any) -> Event:
    """Note each record; what is poison fails."""
    failures = []
    for record in event["Records"]:
        stub.note("work", record)
        if record["body"] in stub.poison:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
