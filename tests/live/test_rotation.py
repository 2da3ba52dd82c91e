"""Keys of every kind take each other's place on gateways under load, and nobody is refused for a moment.

Two gateways serve one table.  Their settings change as a careful operator changes them: one gateway after the
other, and a key is used by nobody before everybody takes it, and is taken until nobody uses it.
"""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from chalicelib import settings
from infra import rekey, reseal
from infra.children import Gateway
from infra.credentials import Credentials
from tests.conftest import GatewayFactory, Stack
from tests.support import hawk, mauth
from tests.support.clients import VISITOR, StompClient, http_call
from tests.support.counts import full

FORMER: Final = "the-former-secret-with-its-32-characters"
NOW: Final = "the-secret-of-now-with-its-32-characters"
SECRETS: Final = (FORMER, NOW)
API: Final = "my_api"
LIST: Final = "Sora_20201124.ListSignalingNotifyMetadata"
BETWEEN: Final = full(1, 20)
"""So many times each caller calls between two restarts."""
TRY_AGAIN: Final = 1011
TRIES: Final = 5
PACE_S: Final = full(300, 20) / 1000
PATIENCE_S: Final = full(120, 600)

ONE_OF_TWO: Final = (
    *("FOYER_GATEWAY_SECRET", "LOOP_SECRET"),
    *("OWT_SUPER_SERVICE_KEY", "OWT_KEY_SECRET", "OWT_TOKEN_SECRET"),
)
"""Settings with a second one, `_ALSO`."""
LISTS: Final = {
    "JITSI_USER_KEYS": "secret:{}",
    "JITSI_SERVER_KEYS": "secret:{}",
    "SORA_API_KEYS": "{}",
    "SORA_EVENT_KEYS": "{}",
    "SORA_SOCKET_KEYS": "{}",
    "WCS_API_KEYS": "{}",
    "WCS_API_USERS": "ops:{}",
    "WCS_SECRETS": API + ":{}",
    "WCS_USERS": API + ":wcs:{}",
}
"""Settings that list what is good."""

# What the deployment's settings are one after the other: the keys that it takes, its own use of the first.
STEPS: Final = ((FORMER,), (FORMER, NOW), (NOW, FORMER), (NOW,))
CLIENTS: Final = ((FORMER,), (FORMER, NOW), (FORMER, NOW), (NOW,))
"""What clients use once the deployment has come to a step."""


def given(keys: Sequence[str]) -> dict[str, str]:
    """The settings that make the keys good."""
    found = {"FOYER_STAGE": "dev", "SORA_OPEN": "false", "SORA_SOCKET_OPEN": "false"}
    found |= {"ADMIN_ROLLUP_FLUSH_S": "0", "OWT_SERVICE_CACHE_S": "0"}
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    found |= {"ADMIN_TOKENS": ",".join(f"{digest[:8]}:{digest}" for digest in digests)}
    for name in ONE_OF_TWO:
        found |= dict(zip((name, f"{name}_ALSO"), keys, strict=False))
    return found | {name: ",".join(spelling.format(key) for key in keys) for name, spelling in LISTS.items()}


@dataclass
class Fleet:
    """Two gateways, of which one may be out of service."""

    start: Callable[[Mapping[str, str]], Gateway]
    serving: list[Gateway] = field(default_factory=list)
    busy: Counter[int] = field(default_factory=Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)
    turns: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def two(self) -> Iterator[tuple[Gateway, Gateway]]:
        """Where to call: both gateways where both serve."""
        with self.changed:
            turn = next(self.turns)
            first, second = self.serving[turn % 2], self.serving[1 - turn % 2]
            used = {id(first), id(second)}
            self.busy.update(used)
        try:
            yield first, second
        finally:
            with self.changed:
                self.busy.subtract(used)
                self.changed.notify_all()

    def roll_out(self, keys: Sequence[str], pause: Callable[[], None]) -> None:
        """Replace one gateway after the other by one with other settings, as under a balancer."""
        coming = [self.start(given(keys)) for _ in self.serving]
        for old, new in zip(list(self.serving), coming, strict=True):
            new.wait(PATIENCE_S)  # it shares the machine with its load
            with self.changed:
                self.serving.append(new)
                self.serving.remove(old)
                gone = id(old)
                assert self.changed.wait_for(lambda: not self.busy[gone], PATIENCE_S)  # noqa: B023 - it waits here
            pause()
            old.stop()


class Busy(AssertionError):
    """Storage did not answer: the emulator shares the machine, and that has nothing to do with keys."""


def basic(name: str, password: str) -> str:
    """A login, as a header has it."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def patiently(call: Callable[[str, str, str], None], key: str, here: str, there: str) -> None:
    """Call, and again at the same gateways where one was busy; what a key brings about comes each time."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(Busy):
            return call(key, here, there)
    return call(key, here, there)


def asked(
    base: str, method: str, path: str, body: str | bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request.  Raises `Busy`."""
    status, found, text = http_call(base, method, path, body, headers)
    if status >= 500:
        raise Busy(method, path, status, text)
    return status, found, text


@dataclass
class Load:
    """Callers that go on until they are told to end; what any of them saw that it should not have."""

    fleet: Fleet
    keys: Sequence[str] = CLIENTS[0]
    ended: threading.Event = field(default_factory=threading.Event)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def run(self, name: str, call: Callable[[str, str, str], None]) -> None:
        """Call with the keys of the moment in turn, at one gateway and the other."""
        for number in itertools.count():
            if self.ended.is_set():
                return
            try:
                with self.fleet.two() as (here, there):
                    keys = self.keys  # those of this moment, once a gateway is ours
                    key = keys[number % len(keys)]
                    patiently(call, key, here.http, there.http)
            except Exception as error:
                self.wrong.append(f"{name} with {key}: {error!r}")
            self.calls[name, key] += 1
            time.sleep(PACE_S)

    def pause(self, callers: Sequence[str]) -> None:
        """Wait until everybody has called again with every key of the moment."""
        before, end = Counter(self.calls), time.monotonic() + PATIENCE_S
        wanted = [(name, key) for name in callers for key in self.keys]
        while any(self.calls[each] < before[each] + BETWEEN for each in wanted) and not self.wrong:
            assert time.monotonic() < end, "callers are stuck"
            time.sleep(0.02)


@dataclass
class Callers:
    """One caller for each kind of key.  All raise `AssertionError` for an answer that is a refusal."""

    credentials: Credentials
    service: str = ""
    owner: hawk.Credentials | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def names(self) -> dict[str, Callable[[str, str, str], None]]:
        """All of them."""
        return {
            "servers and visitors": self.golive,
            "the super service": self.super_service,
            "a service": self.a_service,
            "tokens": self.tokens,
            "owners": self.rooms,
            "sora": self.sora,
            "events": self.events,
            "listeners": self.listeners,
            "streams": self.streams,
            "hooks": self.hooks,
            "operators": self.operators,
        }

    def prepare(self, base: str) -> None:
        """A service and an owner, of the time before."""
        made = self.owt(base, "POST", "/services", {"name": "acme", "key": FORMER}, FORMER)
        self.service = json.loads(made)["_id"]
        status, headers, _ = asked(base, "POST", "/registration")
        assert status == 200
        self.owner = hawk.derive(headers["hawk-session-token"])

    def golive(self, key: str, here: str, there: str) -> None:
        """A visitor at one gateway, and the server's call at the other, which tells the first one."""
        room = f"room{next(self.numbers)}@conference.meet.local"
        now = int(time.time())
        user: dict[str, Any] = {
            "iss": "chat",
            "aud": "jitsi",
            "sub": "meet.local",
            "room": "*",
            "exp": now + 600,
        }
        user["context"] = {"user": {"role": "visitor", "id": room}}
        server = {"iss": "jitsi", "aud": "jitsi", "nbf": now - 5, "exp": now + 600}
        with StompClient(here.replace("http:", "ws:")) as client:
            answer = client.connect(jwt.encode(user, key, "HS256"))
            assert answer[0] == "CONNECTED", answer
            client.subscribed(VISITOR + room)
            headers = {"Authorization": f"Bearer {jwt.encode(server, key, 'HS256')}"}
            headers["Content-Type"] = "application/json"
            body = json.dumps({"conference": room})
            status, _, text = asked(there, "POST", "/waiting-queue/golive", body, headers)
            assert status == 200, (status, text)
            command, _, said = client.frame(60)
            assert (command, json.loads(said)["status"]) == ("MESSAGE", "live")

    def super_service(self, key: str, here: str, there: str) -> None:
        """Its key."""
        self.owt(here, "GET", "/services", None, key)

    def a_service(self, key: str, here: str, there: str) -> None:
        """Its key, of which what is kept has to be readable."""
        self.owt(here, "GET", "/v1/rooms", None, key, self.service)

    def tokens(self, key: str, here: str, there: str) -> None:
        """What one gateway signs is good at the other."""
        room = json.loads(self.owt(here, "POST", "/v1/rooms", {"name": "r"}, key, self.service))["_id"]
        wanted = {"user": "u", "role": "presenter"}
        token = self.owt(here, "POST", f"/v1/rooms/{room}/tokens", wanted, key, self.service)
        body = {"token": token.decode()}
        self.owt(there, "POST", "/media/v1/tokens/redeem", body, key, self.service)

    def owt(
        self, base: str, method: str, path: str, body: Any, key: str, service: str | None = None
    ) -> bytes:
        """One signed request; the answer."""
        name = self.credentials.super_service_id if service is None else service
        headers = {"Authorization": mauth.header(name, key), "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        status, _, text = asked(base, method, path, sent, headers)
        assert status == 200, (method, path, status, text)
        return text

    def rooms(self, key: str, here: str, there: str) -> None:
        """Credentials that were made under the former secret."""
        assert self.owner is not None
        where = urlsplit(here)
        signed = hawk.sign(self.owner, "GET", "/rooms", str(where.hostname), str(where.port), hashed=False)
        status, _, text = asked(here, "GET", "/rooms", None, {"Authorization": signed.header})
        assert status == 200, (status, text)

    def sora(self, key: str, here: str, there: str) -> None:
        """A key of the API."""
        headers = {"Authorization": f"Bearer {key}", "x-sora-target": LIST}
        status, _, text = asked(here, "POST", "/", json.dumps({"channel_id": "x"}), headers)
        assert (status, json.loads(text)) == (200, [])

    def events(self, key: str, here: str, there: str) -> None:
        """What a Sora server shows, in the address."""
        event = {"type": "connection.created", "channel_id": "e", "connection_id": f"c{next(self.numbers)}"}
        ended = event | {"type": "connection.destroyed"}
        for each in (event, ended):
            status, _, text = asked(here, "POST", f"/sora/event?key={key}", json.dumps(each))
            assert status == 200, (status, text)

    def listeners(self, key: str, here: str, there: str) -> None:
        """What a client shows that only listens."""
        wanted = {"type": "connect", "role": "recvonly", "channel_id": f"l{next(self.numbers)}"}
        wanted["metadata"] = {"access_token": key}  # type: ignore[assignment]
        with connect(here.replace("http:", "ws:") + "/signaling", proxy=None) as socket:
            socket.send(json.dumps(wanted))
            told = json.loads(socket.recv(60))
            if told["type"] != "notify":
                with contextlib.suppress(ConnectionClosed):
                    socket.recv(60)
                raise Busy(told) if socket.close_code == TRY_AGAIN else AssertionError(told)
        assert told["event_type"] == "connection.created"

    def streams(self, key: str, here: str, there: str) -> None:
        """A key, and a login, of the stream API."""
        for shown in (f"Bearer {key}", basic("ops", key)):
            headers = {"Authorization": shown, "Content-Type": "application/json"}
            status, _, text = asked(here, "POST", "/rest-api/stream/find_all", "", headers)
            assert status in {200, 404}, (status, text)

    def hooks(self, key: str, here: str, there: str) -> None:
        """What a media server signs with, and its login."""
        body = json.dumps({"nodeId": "n", "appKey": "defaultApp"}).encode()
        digits = hmac.new(key.encode(), body, hashlib.md5).hexdigest()
        for shown in (f"WCS {digits}", basic("wcs", key)):
            headers = {"Authorization": shown, "Content-Type": "application/json"}
            status, _, text = asked(here, "POST", f"/rest/{API}/connect", body, headers)
            assert status == 200, (status, text)

    def operators(self, key: str, here: str, there: str) -> None:
        """An operator's token."""
        headers = {"Authorization": f"Bearer {key}"}
        status, _, text = asked(here, "GET", "/admin/v1/session", None, headers)
        assert status == 200, (status, text)


def test_keys_of_every_kind_are_changed_under_load_without_a_refusal(
    stack: Stack,
    gateway: GatewayFactory,
    credentials: Credentials,
    monkeypatch: pytest.MonkeyPatch,
):
    @contextlib.contextmanager
    def operator(keys: Sequence[str]) -> Iterator[None]:
        """Who is no gateway, but has its settings."""
        with monkeypatch.context() as now:
            for name, value in given(keys).items():
                now.setenv(name, value)
            settings.reset()
            yield
        settings.reset()

    def start(environ: Mapping[str, str]) -> Gateway:
        return gateway(wait=False, **environ)

    fleet = Fleet(start)
    fleet.serving += [start(given(STEPS[0])) for _ in range(2)]
    for each in fleet.serving:
        each.wait(PATIENCE_S)
    callers, load = Callers(credentials), Load(fleet)
    callers.prepare(fleet.serving[0].http)
    names = callers.names()
    threads = [threading.Thread(target=load.run, args=each, daemon=True) for each in names.items()]
    for thread in threads:
        thread.start()
    try:
        load.pause(list(names))
        for step in (1, 2, 3):
            # Before a key goes, clients leave it; before they use one, everybody takes it.
            load.keys = [key for key in CLIENTS[step - 1] if key in CLIENTS[step]]
            if step == 3:
                load.pause(list(names))
                with operator(STEPS[2]):
                    assert reseal.main() == 0
                    rekey.finish(callers.service)
            fleet.roll_out(STEPS[step], lambda: load.pause(list(names)))
            if step == 1:
                with operator(STEPS[1]):
                    rekey.add(callers.service, NOW)
            load.keys = CLIENTS[step]
        load.pause(list(names))
    finally:
        load.ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert load.wrong == []
    former = urlsplit(fleet.serving[0].http)
    for name in names.keys() - {"owners"}:  # what they sign with was never a setting
        with pytest.raises(AssertionError):  # it is over
            names[name](FORMER, former.geturl(), former.geturl())
