"""What one call of each route takes: storage and queue calls, and request units by DynamoDB's rules.

The real handlers serve API Gateway's events in this process, with an emulator behind them.  Each case is the
usual call of a route by somebody whom this process has served before: what an instance remembers, such as the
keys of services, it does not read again.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import app
from bench.units import Meter
from chalicelib.admin import settings as admin_settings
from chalicelib.outbox import kicks, owed
from chalicelib.owt import media_settings
from chalicelib.realtime import fronts
from chalicelib.store import health, keys, table
from infra.credentials import Credentials
from infra.gateway import events
from tests.admin import api as admin
from tests.loop.api import Caller, GuestCaller, HawkCaller, register
from tests.media import api as media
from tests.media.workers import Worker, order
from tests.owt import furnished
from tests.owt.api import Api, ok, serve
from tests.sora import api as sora
from tests.sora import listening
from tests.support.clients import STATE, VISITOR
from tests.support.events import Answer
from tests.support.world import World
from tests.wcs.server import Server, User

CONFERENCE: Final = "all-hands@conference.meet.local"
CONTEXT: Final = {"value": "a" * 400, "alg": "AES-GCM", "wrappedKey": "k+A="}
ROOM: Final = {"roomOwner": "Ada", "maxSize": 5, "expiresIn": 24, "context": CONTEXT}
STATUS: Final = {
    "event": "Session.connectionCreated",
    "state": "waiting",
    "connections": 1,
    "sendStreams": 0,
    "recvStreams": 0,
}
ACTIONS: Final[dict[str, dict[str, Any]]] = {"refresh": {}, "status": STATUS}
SPELLED: Final = {
    "GetItem": "get",
    "BatchGetItem": "batch get",
    "Query": "query",
    "PutItem": "put",
    "UpdateItem": "update",
    "DeleteItem": "delete",
    "BatchWriteItem": "batch write",
    "TransactWriteItems": "transaction",
    "SendMessage": "message",
}
"""Operations, as they are told."""
FOLLOWED: Final = ("POST /rooms/{room}/streaming-ins", "POST /rooms/{room}/recordings")
"""Examples of what media workers are told of."""
SPENDING: Final = ("PUT /rooms/{room}", "DELETE /rooms/{room}", "DELETE /rooms/{room}/streaming-ins/{stream}")
"""What takes with it what others need."""


@dataclass(frozen=True)
class Counted:
    """One case of a route, and what it took."""

    route: str
    case: str
    calls: Counter[str]
    writes: int
    reads: float
    messages: int = 0
    """What went over a WebSocket, both ways."""
    posts: int = 0
    """Of these, what was sent to it."""

    @property
    def kicks(self) -> int:
        """Messages for the work queue."""
        return self.calls["SendMessage"]

    @property
    def told(self) -> str:
        """The calls in words.

        >>> Counted("", "", Counter({"PutItem": 1, "Query": 16}), 1, 8.0).told
        '16 query, put'
        """
        found = [
            name if self.calls[operation] == 1 else f"{self.calls[operation]} {name}"
            for operation, name in SPELLED.items()
            if self.calls[operation]
        ]
        return ", ".join(found) or "none"


@dataclass
class Counting:
    """Counts cases, one after the other."""

    meter: Meter
    operations: list[str] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)

    def case(self, route: str, case: str, request: Callable[[], Answer], *statuses: int) -> Answer:
        """Have a request served that has to succeed, and put down what it took."""
        began, used = len(self.operations), len(self.meter.uses)
        answer = request()
        assert answer.status in (statuses or (200,)), (route, case, answer)
        self.put(route, case, began, used)
        return answer

    def frame(
        self, name: str, case: str, world: World, said: Callable[[], object], messages: int = 1
    ) -> None:
        """Have a socket say something, or a worker work, and put down what it took."""
        began, used, posts = len(self.operations), len(self.meter.uses), world.lines.posts
        said()
        posts = world.lines.posts - posts
        self.put(name, case, began, used, messages + posts, posts)

    def put(self, route: str, case: str, began: int, used: int, messages: int = 0, posts: int = 0) -> None:
        """Put down what was called and used since."""
        uses = self.meter.uses[used:]
        self.counted.append(
            Counted(
                route,
                case,
                Counter(self.operations[began:]),
                sum(use.writes + use.index_writes for use in uses),
                sum(use.reads for use in uses),
                messages,
                posts,
            )
        )


@contextmanager
def counting() -> Iterator[Counting]:
    """A counter of what this process asks of storage and queue; made after the environment."""
    client, queue = table.client(), kicks.client()
    meter = Meter(client._make_api_call, table.name())
    counter = Counting(meter)
    send = queue._make_api_call

    def stored(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        counter.operations.append(operation)
        return meter(operation, request)

    def sent(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        counter.operations.append(operation)
        answer: dict[str, Any] = send(operation, request)
        return answer

    clients = {client: stored, health._client(): stored, queue: sent}
    before = {each: each._make_api_call for each in clients}
    for each, heard in clients.items():
        each._make_api_call = heard
    try:
        yield counter
    finally:
        for each, call in before.items():
            each._make_api_call = call


def count(credentials: Credentials) -> list[Counted]:
    """Every case, in the order of the checklist of routes."""
    with counting() as counter:
        _system(counter)
        _queue(counter, credentials)
        boss = Api(credentials.super_service_id, credentials.super_service_key)
        acme = _management(counter, boss)
        _media(counter, acme)
        _rooms(counter)
        _metadata(counter)
        _hooks(counter)
        _operators(counter, acme)
        return counter.counted


def frames(stack: Any, credentials: Credentials, patched: Any) -> list[Counted]:
    """Every frame of a socket that waits, watches or listens, behind API Gateway.

    `patched` is pytest's, which takes back what a world of its own changes in this process.
    """
    world = World(stack, credentials, patched, "rows")
    patched.setattr(
        fronts, "CACHE_S", 3600.0
    )  # which an instance reads every few seconds, whatever it serves
    fronts.alive()
    try:
        with counting() as counter:
            _listening(counter, world)  # first: later, counts for the moderator may be due too
            listened = len(counter.counted)
            _waiting(counter, world)
            return counter.counted[listened:] + counter.counted[:listened]
    finally:
        world.leave()


def minute() -> Counted:
    """What the schedule takes each minute while nothing is owed."""
    with counting() as counter:
        app.tick(events.scheduled(), None)  # the first one of a process knows less
        began, used = len(counter.operations), len(counter.meter.uses)
        app.tick(events.scheduled(), None)
        counter.put("", "", began, used)
        return counter.counted[0]


def _waiting(counter: Counting, world: World) -> None:
    conference, other = world.conference(), world.conference()
    visitor, moderator, lost = world.visitor(), world.moderator(), world.visitor()
    shaken = events.connect(*visitor._about, [], "", "/visitor/websocket")
    counter.frame("handshake", "", world, lambda: app.ws_connect(shaken, None), 0)
    counter.frame("`CONNECT`", "", world, visitor.connect)
    assert visitor.connected
    world.visitor().wait(conference)  # the first one of a conference is not the usual one
    counter.frame(
        "`SUBSCRIBE`", "a visitor who waits", world, partial(visitor.subscribe, VISITOR + conference)
    )
    moderator.connect()
    counter.frame("`SUBSCRIBE`", "a moderator", world, partial(moderator.subscribe, STATE + conference))
    counter.frame("heart-beat", "", world, partial(visitor.send, "\n"))
    counter.frame("`UNSUBSCRIBE`", "", world, visitor.unsubscribe)
    counter.frame("`DISCONNECT`", "", world, visitor.disconnect)
    counter.frame("close", "after a goodbye", world, visitor.gone, 0)
    lost.wait(other)
    counter.frame("close", "without a word", world, lost.gone, 0)


def _listening(counter: Counting, world: World) -> None:
    listening.Listener(world).join()
    one = listening.Listener(world)
    connect = partial(one.say, type="connect", role="recvonly", channel_id=listening.CHANNEL)
    counter.frame("`connect`", "who listens to Sora's events", world, connect)
    world.drain()
    counter.frame("`pong`", "", world, partial(one.say, type="pong"))
    assert sora.rpc(sora.PUT, sora.about(one.me, metadata={"mood": "busy"}, push=True)).status == 200
    counter.frame("`work`", "a push to two who listen", world, world.drain, 0)
    counter.frame("`disconnect`", "", world, partial(one.say, type="disconnect"))


def _system(counter: Counting) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        # Storage has half a second to answer, which a busy machine may not give it.
        counter.case(f"GET {path}", "", partial(serve, "GET", path), 200, 503)


def _queue(counter: Counting, credentials: Credentials) -> None:
    path = "/waiting-queue/golive"
    headers = {
        "Authorization": f"Bearer {credentials.server_token()}",
        "Content-Type": "application/json",
    }
    body = json.dumps({"conference": CONFERENCE}).encode()
    counter.case(f"POST {path}", "the call alone", lambda: serve("POST", path, body, headers))
    counter.case(f"POST {path}", "live already", lambda: serve("POST", path, body, headers))
    counter.case(f"DELETE {path}", "", lambda: serve("DELETE", path, body, headers), 200, 204)


def _management(counter: Counting, boss: Api) -> Api:
    made = ok(boss.post("/services", {"name": "acme", "key": "s3cret"}))
    acme = Api(made["_id"], "s3cret")
    ok(acme.get("/rooms"))
    spare = ok(boss.post("/services", {"name": "spare", "key": "k"}))["_id"]
    there = furnished.furnish(acme)
    before = len(counter.counted)
    _followed(counter, there)
    # What others need goes last.
    for case in sorted(furnished.CASES, key=lambda case: case.method == "DELETE"):
        if case.path.startswith("/services"):
            names = there.names | ({"service": spare} if case.method == "DELETE" else {})
            counter.case(str(case), "", partial(case.send, boss, names, case.body(there)))
            continue
        counter.case(_route(case), "", partial(case.send, acme, there.names, case.body(there)))
        if str(case) in SPENDING:
            there = furnished.furnish(acme)
        if case.method == "PATCH" and case.path.endswith("/streams/{stream}"):
            mixed = there.names | {"stream": there.mixed}
            counter.case(_route(case), "a layout", partial(case.send, acme, mixed, furnished.layout(there)))
    order_of = [_route(case) for case in furnished.CASES]
    counter.counted[before:] = sorted(
        counter.counted[before:], key=lambda one: (order_of.index(one.route), one.case)
    )
    return acme


def _followed(counter: Counting, there: furnished.Furnished) -> None:
    """Changes that media workers are told of; whoever is in the room is still there."""
    os.environ["MEDIA_MODE"] = media_settings.FIRE
    media_settings.get.cache_clear()
    try:
        for case in furnished.CASES:
            if str(case) in FOLLOWED:
                sending = partial(case.send, there.api, there.names, case.body(there))
                counter.case(_route(case), "`MEDIA_MODE=fire`", sending)
    finally:
        del os.environ["MEDIA_MODE"]
        media_settings.get.cache_clear()


def _route(case: furnished.Case) -> str:
    return str(case) if case.path.startswith("/services") else f"{case.method} /v1{case.path}"


def _media(counter: Counting, acme: Api) -> None:
    room = acme.room()  # for which the key is read again, if a slow machine has let it be forgotten
    worker, base = Worker(acme), "/media/v1"
    text = media.token(acme, room)
    counter.case(f"POST {base}/tokens/redeem", "", lambda: media.redeem(acme, text))
    counter.case(
        f"POST {base}/rooms/{{room}}/reports",
        "one stream",
        lambda: media.report(acme, room, media.added("s1")),
    )
    made = order(acme.service, room)
    counter.case(f"GET {base}/commands", "one waits", worker.waiting)
    counter.case(f"POST {base}/commands/{{command}}/ack", "", lambda: worker.ack(made.id, {"ok": True}), 204)


def _rooms(counter: Counting) -> None:
    nobody, case = Caller(), counter.case
    case("POST /registration", "new credentials", lambda: nobody.post("/registration"))
    owner = register()
    case("POST /registration", "again", lambda: owner.post("/registration"))
    case("POST /rooms", "with a context", lambda: owner.post("/rooms", ROOM), 201)
    case("GET /rooms", "one room", lambda: owner.get("/rooms"))
    token = _room(owner)
    one = f"/rooms/{token}"
    case("GET /rooms/{token}", "nobody or a guest", lambda: nobody.get(one))
    case("GET /rooms/{token}", "signed", lambda: owner.get(one))
    case("PATCH /rooms/{token}", "", lambda: owner.patch(one, {"maxSize": 4}))
    case("GET /rooms/{token}/sessions", "", lambda: owner.get(f"{one}/sessions"))
    joined = case("POST /rooms/{token}", "`join`, a guest", lambda: nobody.join(token)).json()
    case("POST /rooms/{token}", "`join`, signed", lambda: owner.join(token))
    guest = GuestCaller(joined["sessionToken"])
    for caller, who in ((guest, "a guest"), (owner, "signed")):
        for action, fields in ACTIONS.items():
            wanted = f"`{action}`, {who}"
            request = partial(caller.act, token, action, **fields)
            case("POST /rooms/{token}", wanted, request, 200, 204)
    case("POST /rooms/{token}", "`leave`, a guest", lambda: guest.act(token, "leave"), 204)
    case("POST /rooms/{token}", "`leave`, signed", lambda: owner.act(token, "leave"), 204)
    several = {"deleteRoomTokens": [_room(owner), _room(owner)]}
    case("PATCH /rooms", "two rooms", lambda: owner.patch("/rooms", several), 200, 207)
    case("DELETE /rooms/{token}", "", lambda: owner.delete(one), 204)
    for path in ("/push-server-config", "/__lbheartbeat__", "/__heartbeat__"):
        case(f"GET {path}", "", partial(nobody.get, path), 200, 503)
    case("DELETE /registration", "", lambda: owner.delete("/registration"), 204)
    case("DELETE /session", "refused, as always", lambda: owner.delete("/session"), 403)
    case("DELETE /account", "", lambda: owner.delete("/account"), 204)


def _room(owner: HawkCaller) -> str:
    """A new room's token."""
    return str(owner.post("/rooms", ROOM).json()["roomToken"])


def _metadata(counter: Counting) -> None:
    created = partial(sora.event, "connection.created")
    counter.case("POST /sora/event", "each event of a connection", created)
    more: dict[str, dict[str, Any]] = {
        sora.PUT: {"metadata": {"mood": "busy"}},
        sora.PUT_ITEM: {"key": "mood", "value": "away"},
        sora.GET: {},
        sora.DELETE_ITEM: {"key": "mood"},
        sora.DELETE: {},
    }
    for operation, fields in more.items():
        for push in (False, True) if operation != sora.GET else (False,):
            sora.rpc(sora.PUT, sora.about(metadata={"mood": "free", "hand": True}))
            body = sora.about() | fields | ({"push": True} if push else {})
            name = f"`{operation.replace('SignalingNotify', '…')}`{', pushed' if push else ''}"
            counter.case("POST /", name, partial(sora.rpc, operation, body))
    listed = partial(sora.rpc, sora.LIST, channel_id=sora.CHANNEL)
    counter.case("POST /", f"`{sora.LIST.replace('SignalingNotify', '…')}`", listed)
    counter.case("OPTIONS /", "", lambda: serve("OPTIONS", "/"), 200, 204)


def _hooks(counter: Counting) -> None:
    server, user = Server(), User()
    route, found = "POST /rest/{api}/{hook}", "POST /rest-api/stream/find"
    counter.case(route, "`StreamStatusEvent`, a stream's first", server.say)
    counter.case(route, "`StreamStatusEvent`, the next ones", lambda: server.say(status="RESIZE"))
    counter.case(route, "`StreamKeepAliveEvent`", lambda: server.say("StreamKeepAliveEvent"))
    counter.case(route, "any other hook", lambda: server.say("connect"))
    counter.case("POST /rest-api/stream/find_all", "one stream", lambda: user.post("find_all"))
    wanted = {"mediaSessionId": "56141d10-fddc-11e6-ac3a-4d67d5b3360d"}
    counter.case(found, "by id", lambda: user.post("find", wanted))
    counter.case(found, "by name", lambda: user.post("find", {"name": "b4e7"}))
    counter.case("POST /rest-api/stream/terminate", "one stream", lambda: user.post("terminate", wanted))


def _operators(counter: Counting, acme: Api) -> None:
    """What consoles ask for, by the cookie of a session; the cases before left something to look at."""
    given = {"ADMIN_TOKENS": f"ops:{admin.hashed(admin.TOKEN)}", "ADMIN_ROLLUP_FLUSH_S": "0"}
    os.environ.update(given)
    admin_settings.get.cache_clear()
    try:
        _console(counter, acme)
    finally:
        for name in given:
            del os.environ[name]
        admin_settings.get.cache_clear()


def _console(counter: Counting, acme: Api) -> None:
    for path in ("/console", "/console/app.js"):
        counter.case(f"GET {path}".replace("app.js", "{file}"), "", partial(serve, "GET", path), 200, 302)
    body = json.dumps({"token": admin.TOKEN}).encode()
    path = f"{admin.PREFIX}/session"
    counter.case(f"POST {path}", "", lambda: serve("POST", path, body, {"content-type": "application/json"}))
    session = admin.Session()

    def case(method: str, path: str, body: Any = None, case: str = "", route: str = "") -> Answer:
        asking = partial(session.call, method, path, body)
        shown = (route or path).partition("?")[0]
        return counter.case(f"{method} {admin.PREFIX}{shown}", case, asking, 200, 204)

    room = acme.room()
    register().post("/rooms", ROOM)
    name = quote(CONFERENCE, safe="")
    shards = ",".join(map(str, range(4)))
    for path in ("/session", "/overview", "/events", "/conferences"):
        case("GET", path)
    case("GET", f"/conference?name={name}")
    case("GET", f"/conference/counts?name={name}&shards={shards}", case="four shards")
    case("POST", "/conference/golive", {"name": CONFERENCE}, "the call alone")
    case("POST", "/conference/clear", {"name": CONFERENCE})
    case("GET", "/owt/services")
    case("GET", f"/owt/services/{acme.service}/rooms", route="/owt/services/{service}/rooms")
    case("GET", f"/owt/rooms/{room}", route="/owt/rooms/{room}")
    listed = case("GET", "/loop/rooms").json()["items"]
    case("GET", f"/loop/rooms/{listed[0]['id']}", route="/loop/rooms/{room}")
    case("GET", "/wcs/streams")
    case("GET", "/sora/channels")
    case("GET", f"/sora/channel?id={quote(sora.CHANNEL, safe='')}")
    case("GET", "/owed")
    case("GET", "/dead", case="none")
    owed.bury("owt.push", keys.owt_pusher(room), "it does not answer", 12)
    owed.bury("owt.push", keys.owt_pusher(room), "it does not answer", 12)
    first, second = (each["id"] for each in case("GET", "/dead", case="two letters").json()["items"])
    case("POST", "/dead/retry", {"ids": [first]}, "a letter whose row is gone")
    case("POST", "/dead/drop", {"ids": [second]}, "a letter")
    case("DELETE", "/session")
