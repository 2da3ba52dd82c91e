"""Nothing that is secret is shown by any route; and what a console that stays open costs."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest

import app
from chalicelib.admin import operations
from chalicelib.admin.routes import common, every
from chalicelib.jitsi import store as queue
from chalicelib.loop import masks
from chalicelib.outbox import owed
from chalicelib.store import keys
from infra.credentials import Credentials
from infra.gateway import events
from tests.admin import api
from tests.admin.api import Session, ask, done
from tests.conftest import Stack
from tests.loop.api import register
from tests.owt import entering
from tests.owt.api import Api, ok
from tests.sora.api import CHANNEL, about, event, rpc
from tests.sora.listening import Listener
from tests.support.storage import listening
from tests.support.world import World
from tests.wcs.server import SDP, Server

KEY: Final = "canary-key-of-a-service"
AUTHN: Final = "canary-access-token"
CONTEXT: Final = "canary-context-of-a-room"
SIP: Final = "canary-password-of-sip"
MOST_A_MINUTE: Final = 20


class Everything:
    """Something in every facade, and what of it nobody may see."""

    def __init__(self, world: World, credentials: Credentials) -> None:
        self.name = world.conference()
        self.visitor = world.visitor().wait(self.name)
        own = Api(credentials.super_service_id, credentials.super_service_key)
        service = ok(own.post("/services", {"name": "acme", "key": KEY}))["_id"]
        acme = Api(service, KEY)
        sip = {"sipServer": "sip.example.com", "username": "u", "password": SIP}
        self.room = str(ok(acme.post("/rooms", {"name": "r", "options": {"sip": sip}}))["_id"])
        self.service = service
        entering.join(service, self.room, "alice", "presenter")
        owner = register()
        context = {"value": CONTEXT, "alg": "AES-GCM", "wrappedKey": CONTEXT}
        made = owner.post("/rooms", {"maxSize": 5, "roomOwner": "Ada", "context": context}).json()
        self.invitation = made["roomToken"]
        seat = owner.join(self.invitation, "Ada").json()
        Server().tell(sdp=SDP, custom={"token": AUTHN})
        event("connection.created")
        rpc("PutSignalingNotifyMetadata", about(metadata={"a": 1}))
        listener = Listener(world).join(metadata={"access_token": AUTHN}, authn_metadata={"t": AUTHN})
        owed.bury("a.kind", keys.Key("secret-row", "-"), "it does not answer", 3, {"body": AUTHN})
        self.secrets = [
            *(KEY, AUTHN, CONTEXT, SIP, self.invitation, seat["sessionToken"], owner.credentials.id),
            *(owner.credentials.key, self.visitor.token or "-", self.visitor.id, listener.id, "secret-row"),
            *(credentials.super_service_key, api.TOKEN, api.hashed(api.TOKEN), "a=candidate"),
            *(credentials.environment()[name] for name in ("LOOP_SECRET", "OWT_KEY_SECRET")),
        ]

    def paths(self) -> Iterator[str]:
        """Each route that shows something."""
        given = {
            "/conference": f"?name={quote(self.name)}",
            "/conference/counts": f"?name={quote(self.name)}&shards=0,1,2,3",
            "/sora/channel": f"?id={CHANNEL}",
        }
        ids = {"service": self.service, "room": self.room}
        for method, path in sorted(every.served()):
            below = path.removeprefix(api.PREFIX)
            if method != "GET":
                continue
            if below.startswith("/loop/rooms/"):
                below = f"/loop/rooms/{masks.mask(self.invitation)}"
            yield re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], below) + given.get(below, "")


@pytest.fixture
def world(table: Stack, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A gateway's process with an operator."""
    api.given(monkeypatch, ops=api.TOKEN)
    made = World(table, credentials, monkeypatch, "memory")
    yield made
    made.leave()


def test_no_route_shows_a_secret(world: World, credentials: Credentials):
    everything = Everything(world, credentials)
    session = Session()
    secrets = [*everything.secrets, session.cookie]
    shown: dict[str, str] = {}
    for path in everything.paths():
        answer = session.call("GET", path)
        done(answer)
        shown[path] = answer.body + json.dumps(dict(answer.headers))
        for query in ("limit=1",) if '"next"' in answer.body else ():
            shown[path] += ask("GET", f"{path}{'&' if '?' in path else '?'}{query}").body

    assert len(shown) >= 16
    found = [(path, secret) for path, text in shown.items() for secret in secrets if secret in text]
    assert found == []
    whole = "".join(shown.values())
    for visible in (everything.name, "alice", "Ada", "b4e7", CHANNEL, "it does not answer"):
        assert visible in whole, f"{visible}: this test would see nothing"


def test_every_answer_is_what_the_openapi_document_says_no_more_and_no_less(
    world: World, credentials: Credentials
):
    kinds = {each.path: each.answers[200][1] for each in operations.every() if each.method == "GET"}
    everything = Everything(world, credentials)
    app.tick(events.scheduled(), None)
    wrong: dict[str, Any] = {}
    for path in everything.paths():
        answer = ask("GET", path)
        found = common.find("GET", path.partition("?")[0])
        assert found is not None
        told = msgspec.json.decode(answer.body, type=kinds[api.PREFIX + found[0].template])
        if json.loads(msgspec.json.encode(told)) != answer.json():
            wrong[path] = told
    assert wrong == {}


EVERY_S: Final = {"/wcs/streams": 20}
"""How often the console asks; every 15 seconds where nothing is said."""
AT_FIRST: Final = frozenset({"/conference"})
"""What it asks once, and does not repeat."""


def test_a_console_that_stays_open_costs_twenty_calls_a_minute_at_most(
    world: World, credentials: Credentials
):
    everything = Everything(world, credentials)
    for number in range(5):
        queue.note(f"c{number}@conference.meet.local")
        Server().tell(mediaSessionId=f"m{number}", name=f"n{number}")
    session = Session()
    costs: dict[str, float] = {}
    for path in everything.paths():
        plain = path.partition("?")[0]
        if plain in AT_FIRST:
            continue
        answers: list[Any] = []
        with listening() as storage:
            for _ in range(4):
                world.advance(EVERY_S.get(plain, 15))
                answers.append(session.call("GET", path))
        assert {answer.status for answer in answers} == {200}, path
        costs[path] = len(storage.calls) / 4 * 60 / EVERY_S.get(plain, 15)

    assert {path: cost for path, cost in costs.items() if cost > MOST_A_MINUTE} == {}
    assert min(costs.values()) >= 4, "who asks is read each time"
