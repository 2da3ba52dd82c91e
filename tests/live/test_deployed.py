"""What is packaged works as a stack: made by CloudFormation, used by the clients of every facade.

AWS_ENDPOINT_URL or LOCALSTACK_HOST has the stack made there instead of on an emulator of the tests' own
(docs/deploy.md).
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import time
import uuid
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib import metrics
from infra import deploy, observe
from infra.credentials import Credentials
from tests.support import hawk, mauth
from tests.support import target as targets
from tests.support.clients import ROOM, STATE, VISITOR, StompClient
from tests.support.deployed import KEYS, Front
from tests.support.listeners import Listener, until
from tests.support.target import Deployed

PATIENCE_S = 180.0  # a kick that is lost is found by the schedule, once a minute
BASE = "/waiting-queue"
JSON = "application/json"
SCHEDULED = {
    "version": "0",
    "id": "1",
    "account": "000000000000",
    "region": "us-east-1",
    "time": "2026-01-01T00:00:00Z",
    "source": "aws.events",
    "detail-type": "Scheduled Event",
    "resources": ["arn:aws:events:us-east-1:000000000000:rule/tick"],
    "detail": {},
}
ON_MINISTACK = {
    "HTTP",
    "WebSockets",
    "functions that reach this machine",
    targets.PARAMETERS,
    "APIs by host",
    "APIs by path",
    "APIs by path as it once was",
}


def invoke(deployed: Deployed, function: str, event: object) -> Any:
    """What a function answers, which may have to be started."""
    client, end = deployed.client("lambda"), time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
            break
        except ReadTimeoutError:
            assert time.monotonic() < end
    payload = json.load(answer["Payload"])
    assert "FunctionError" not in answer, payload
    return payload


def room_of(front: Front, name: str) -> str:
    """A conference that no other test has."""
    return f"{name}-{'edge' if front.takes_paths else 'api'}@{ROOM.partition('@')[2]}"


def test_the_emulator_of_the_tests_can_do_all_that_it_is_known_for(deployed: Deployed):
    if deployed.target.name != targets.OWN:
        pytest.skip(f"{deployed.target.name} may be able to do less: {sorted(deployed.abilities)}")

    assert deployed.abilities == ON_MINISTACK


def test_every_function_starts_and_answers(deployed: Deployed):
    stack = deployed.target.stack
    pages = deployed.client("lambda").get_paginator("list_functions").paginate()
    named = re.compile(rf"{re.escape(stack)}(-tick|-work|-websocket_(connect|message|disconnect))?")
    names = {each["FunctionName"] for page in pages for each in page["Functions"]}

    assert {name for name in names if named.fullmatch(name)} == {
        stack,
        *(f"{stack}-{name}" for name in ("tick", "work")),
        *(f"{stack}-websocket_{name}" for name in ("connect", "message", "disconnect")),
    }
    assert invoke(deployed, f"{stack}-work", {"Records": []}) == {"batchItemFailures": []}
    assert "kicked" in invoke(deployed, f"{stack}-tick", SCHEDULED)


def test_a_stack_is_watched(deployed: Deployed):
    stack, topic = deployed.target.stack, deployed.outputs["AlarmTopic"]
    cloudwatch = deployed.client("cloudwatch")
    found = cloudwatch.describe_alarms(AlarmNamePrefix=f"{stack}-")["MetricAlarms"]

    assert {each["AlarmName"] for each in found} == {f"{stack}-{alarm.name}" for alarm in observe.ALARMS}
    assert all(each["AlarmActions"] == each["OKActions"] == [topic] for each in found)
    (late,) = [each for each in found if each["AlarmName"] == f"{stack}-OwedLate"]
    assert late["Dimensions"] == [{"Name": metrics.DIMENSION, "Value": stack}]
    names = [each["DashboardName"] for each in cloudwatch.list_dashboards()["DashboardEntries"]]
    (body,) = [
        text
        for name in names
        if stack in (text := cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    ]
    assert "${" not in body
    assert json.loads(body)["widgets"]


def test_it_is_ready_and_describes_itself(front: Front):
    assert front.ask("GET", "/readyz")[0] == 200
    status, _, body = front.ask("GET", "/openapi.json")
    assert status == 200
    paths = json.loads(body)["paths"]
    assert {"/v1/rooms", "/rooms", "/rest-api/stream/find_all", f"{BASE}/golive", "/"} <= set(paths)
    known = front.takes_paths or targets.RESPONSES in front.deployed.abilities
    assert front.ask("GET", "/no/such/path")[0] == (404 if known else 403)


def test_jitsi_visitors_are_counted_and_released(front: Front, credentials: Credentials):
    conference = room_of(front, "jitsi")

    def socket(token: str, *, binary: bool = False) -> StompClient:
        path = front.path(BASE, "/visitor/websocket")
        client = StompClient(front.sockets, path, binary=binary)
        client.send(f"CONNECT\nAuthorization:Bearer {token}\naccept-version:1.2\nheart-beat:0,0\n\n\0")
        assert client.frame(PATIENCE_S)[0] == "CONNECTED"
        return client

    def golive(token: str | None) -> int:
        headers = {"Content-Type": JSON} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        return front.ask("POST", f"{BASE}/golive", {"conference": conference}, **headers)[0]

    assert golive(None) == 401
    assert golive(credentials.visitor_token()) in (401, 403)
    with (
        socket(credentials.moderator_token()) as moderator,
        socket(credentials.visitor_token(), binary=front.takes_paths) as one,
        socket(credentials.visitor_token(jti="other")) as other,
    ):
        for waiting in (one, other):
            waiting.subscribe(VISITOR + conference, receipt="there")
            assert waiting.frame(PATIENCE_S)[1]["receipt-id"] == "there"
        moderator.subscribe(STATE + conference)
        assert json.loads(moderator.frame(PATIENCE_S)[2])["visitorsWaiting"] == 2
        assert golive(credentials.server_token()) == 200
        for waiting in (one, other):
            assert json.loads(waiting.frame(PATIENCE_S)[2])["status"] == "live"
    with socket(credentials.visitor_token(jti="late")) as late:
        late.subscribe(VISITOR + conference)
        assert json.loads(late.frame(PATIENCE_S)[2])["status"] == "live"


def test_operators_sign_in_look_and_release(front: Front, credentials: Credentials):
    conference = room_of(front, "operated")
    token = credentials.admin_token or ""

    def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, HTTPMessage, Any]:
        status, answered, raw = front.ask(
            method, f"/admin/v1{path}", body, **{"Content-Type": JSON} | headers
        )
        return status, answered, json.loads(raw) if raw else None

    for headers in ({}, {"Authorization": "Bearer nobody"}):
        assert ask("GET", "/conferences", **headers)[0] == 401
    assert ask("PUT", "/session", Authorization=f"Bearer {token}")[0] == 404
    status, answered, session = ask("POST", "/session", {"token": token})
    assert status == 200, session
    cookie = (answered["set-cookie"] or "").partition(";")
    assert "; Secure" in cookie[2]
    signed = {"Cookie": cookie[0], "X-CSRF-Token": session["csrf"]}

    path = front.path(BASE, "/visitor/websocket")
    with StompClient(front.sockets, path, binary=front.takes_paths) as visitor:
        visitor.send(f"CONNECT\nAuthorization:Bearer {credentials.visitor_token()}\naccept-version:1.2\n\n\0")
        assert visitor.frame(PATIENCE_S)[0] == "CONNECTED"
        visitor.subscribe(VISITOR + conference, receipt="there")
        assert visitor.frame(PATIENCE_S)[1]["receipt-id"] == "there"
        listed = ask("GET", f"/conferences?search={conference.partition('@')[0]}", **signed)[2]["items"]
        assert [each["name"] for each in listed] == [conference]
        found = ask("GET", f"/conference?name={conference}", **signed)[2]
        assert (found["waiting"], found["live"]) == (1, False)
        assert ask("POST", "/conference/golive", {"name": conference}, Cookie=cookie[0])[0] == 403
        assert ask("POST", "/conference/golive", {"name": conference}, **signed)[0] == 200
        assert json.loads(visitor.frame(PATIENCE_S)[2])["status"] == "live"
    assert ask("GET", "/overview", **signed)[0] == 200
    assert ask("GET", "/dead", **signed)[2]["items"] == []
    assert ask("DELETE", "/session", **signed)[0] == 204
    assert ask("GET", "/session", **signed)[0] == 401


def test_owt_services_keep_rooms_and_give_out_tokens(front: Front, credentials: Credentials):
    def ask(service: tuple[str, str], method: str, path: str, body: Any = None) -> tuple[int, Any]:
        header = mauth.header(*service)
        status, _, answer = front.ask(method, path, body, Authorization=header, **{"Content-Type": JSON})
        return status, json.loads(answer) if answer[:1] in (b"{", b"[") else answer.decode()

    boss = (credentials.super_service_id, credentials.super_service_key)
    status, made = ask(boss, "POST", "/services", {"name": room_of(front, "owt"), "key": "a key"})
    assert status == 200, made
    service = (made["_id"], "a key")
    status, room = ask(service, "POST", "/v1/rooms", {"name": "smoke"})
    assert status == 200, room
    path = f"/v1/rooms/{room['_id']}"
    assert ask(service, "GET", path)[1]["name"] == "smoke"
    assert ask(service, "GET", f"{path}/participants") == (200, [])
    status, stream = ask(
        service,
        "POST",
        f"{path}/streaming-ins",
        {"connection": {"url": "rtsp://127.0.0.1/a"}, "media": {"audio": True, "video": False}},
    )
    assert status == 200, stream
    assert stream["id"] in {each["id"] for each in ask(service, "GET", f"{path}/streams")[1]}
    status, token = ask(service, "POST", f"{path}/tokens", {"user": "alice", "role": "presenter"})
    assert (status, bool(token)) == (200, True)
    status, joined = ask(service, "POST", "/media/v1/tokens/redeem", {"token": token})
    assert status == 200, joined
    assert ask(service, "GET", "/media/v1/commands") == (200, [])
    assert ask((service[0], "another key"), "GET", path)[0] == 401
    assert ask(service, "DELETE", path)[0] == 200
    assert ask(service, "GET", path)[0] == 404
    assert ask(boss, "DELETE", f"/services/{service[0]}")[0] == 200


def test_loop_owners_make_rooms_and_guests_come_in(front: Front):
    netloc, _, below = front.http.partition("://")[2].partition("/")
    host, _, port = netloc.partition(":")
    typed = f"/{below}" if below else ""

    def ask(owner: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        default = "443" if front.http.startswith("https") else "80"
        signed = None
        if owner is not None:
            signed = hawk.sign(owner, method, typed + path, host, port or default, body=raw)
            headers["Authorization"] = signed.header
        status, told, answer = front.ask(method, path, raw or None, **{"Content-Type": JSON}, **headers)
        if signed is not None and status == 200:
            proof = told["Server-Authorization"]
            assert signed.proves(proof, told["Content-Type"] or "", answer)
        return status, told, json.loads(answer) if answer else None

    status, told, _ = ask(None, "POST", "/registration")
    assert status == 200
    owner = hawk.derive(told["Hawk-Session-Token"])
    wanted = {"roomOwner": "Ada", "maxSize": 2, "roomName": "a talk", "expiresIn": 24}
    status, _, made = ask(owner, "POST", "/rooms", wanted)
    assert status == 201, made
    path = f"/rooms/{made['roomToken']}"
    joining = {"action": "join", "displayName": "Grace", "clientMaxSize": 5}
    assert ask(owner, "POST", path, joining)[2]["sessionToken"]
    assert [each["displayName"] for each in ask(owner, "GET", path)[2]["participants"]] == ["Grace"]
    assert [each["roomToken"] for each in ask(owner, "GET", "/rooms")[2]] == [made["roomToken"]]
    assert ask(owner, "DELETE", path)[0] == 204
    assert ask(None, "GET", "/rooms")[0] == 401


def test_sora_listeners_are_told_of_metadata(front: Front):
    channel = room_of(front, "sora").partition("@")[0]

    def rpc(operation: str, key: str = KEYS["SORA_API_KEYS"], body: Any = None) -> tuple[int, Any]:
        headers = {"x-sora-target": f"Sora_20201124.{operation}", "Authorization": f"Bearer {key}"}
        status, _, answer = front.ask("POST", "/", {"channel_id": channel} | (body or {}), **headers)
        return status, json.loads(answer)

    async def main() -> None:
        key = {"access_token": KEYS["SORA_SOCKET_KEYS"]}
        listener = await Listener(front.sockets, channel, front.path("", "/signaling")).join(metadata=key)
        listed = "ListSignalingNotifyMetadata"
        event = {"type": "connection.created", "channel_id": channel, "connection_id": "C1"}
        told = f"/sora/event?key={KEYS['SORA_EVENT_KEYS']}"
        assert (await asyncio.to_thread(front.ask, "POST", told, event))[0] == 200
        status, found = await asyncio.to_thread(rpc, listed)
        assert status == 200
        assert {each["connection_id"] for each in found} == {listener.me, "C1"}
        change = {"connection_id": "C1", "metadata": {"a": 1}, "push": True}
        put = await asyncio.to_thread(rpc, "PutSignalingNotifyMetadata", body=change)
        assert put == (200, {"a": 1})
        await until(lambda: listener.pushes, PATIENCE_S)
        assert listener.pushes[0][1]["metadata"] == {"a": 1}
        assert (await asyncio.to_thread(rpc, listed, "another"))[0] == 401
        await listener.close()

    asyncio.run(main())


def test_wcs_hooks_are_kept_and_streams_found(front: Front):
    session = room_of(front, "wcs").partition("@")[0]
    event = {"nodeId": "n1@127.0.0.1", "appKey": "defaultApp", "mediaSessionId": session, "name": session}

    def hook(status: str, secret: str = KEYS["WCS_SECRETS"].partition(":")[2]) -> int:
        raw = json.dumps(event | {"published": True, "status": status}).encode()
        digits = hmac.new(secret.encode(), raw, hashlib.md5).hexdigest()
        headers = {"Content-Type": JSON, "Authorization": f"WCS {digits}"}
        return front.ask("POST", "/rest/my_api/StreamStatusEvent", raw, **headers)[0]

    def found() -> list[tuple[str, str]]:
        headers = {"Content-Type": JSON, "Authorization": f"Bearer {KEYS['WCS_API_KEYS']}"}
        status, _, answer = front.ask("POST", "/rest-api/stream/find", {"name": session}, **headers)
        assert status == 200, answer
        return [(each["mediaSessionId"], each["status"]) for each in json.loads(answer)]

    assert hook("PUBLISHING", "another secret") in (401, 403)
    assert hook("PUBLISHING") == 200
    assert found() == [(session, "PUBLISHING")]
    assert hook("UNPUBLISHED") == 200
    assert found() == [(session, "UNPUBLISHED")]
    assert front.ask("POST", "/rest-api/stream/find_all")[0] == 401


def test_deploying_the_same_again_changes_nothing(deployed: Deployed, keyed: Path):
    said: list[str] = []
    target = deployed.target

    assert (
        deploy.deploy(keyed, target.stack, target, emulator=target.emulator, say=said.append)
        == deployed.outputs
    )
    assert said[-1] == f"{target.stack}: nothing to change"


@pytest.mark.parametrize("way", ["APIs by host", "APIs by path", "APIs by path as it once was"])
def test_hawk_is_checked_against_what_was_typed_at_an_emulator(deployed: Deployed, way: str):
    deployed.needs(way)
    ((host, prefix),) = [found[1:] for found in targets.addresses(deployed) if found[0] == way]

    def ask(method: str, target: str, **headers: str) -> tuple[int, HTTPMessage, bytes]:
        return deployed.ask(deployed.target.emulator, method, target, Host=host, **headers)

    status, headers, body = ask("POST", f"{prefix}/registration")
    assert status == 200, body
    owner = hawk.derive(headers["Hawk-Session-Token"])
    target = f"{prefix}/rooms?version=1700000000"
    name, _, port = host.partition(":")
    signed = hawk.sign(owner, "GET", target, name, port, hashed=False)
    status, headers, body = ask("GET", target, Authorization=signed.header)
    assert (status, body) == (200, b"[]"), body
    assert signed.proves(headers["Server-Authorization"], headers["Content-Type"], body)
    assert ask("GET", target, Authorization=signed.header)[0] == 401


@pytest.mark.parametrize("asked", ["API Gateway", "gateway"])
def test_who_waits_at_api_gateway_or_at_a_gateway_beside_it_is_counted_and_released_by_both(
    deployed: Deployed, beside: Front, credentials: Credentials, asked: str
):
    # The last test here: a poll that such a gateway leaves may take somebody's kick along, for a minute.
    deployed.needs("HTTP", "WebSockets")
    api = Front(deployed, deployed.site.rest, deployed.site.sockets, False)
    conference = f"both-{uuid.uuid4().hex[:8]}@{ROOM.partition('@')[2]}"
    invoke(deployed, f"{deployed.target.stack}-tick", SCHEDULED)  # as it is each minute

    def socket(front: Front, token: str) -> StompClient:
        client = StompClient(front.sockets, front.path(BASE, "/visitor/websocket"))
        client.send(f"CONNECT\nAuthorization:Bearer {token}\naccept-version:1.2\nheart-beat:0,0\n\n\0")
        assert client.frame(PATIENCE_S)[0] == "CONNECTED"
        return client

    with contextlib.ExitStack() as open_sockets:
        visitors = []
        for front in (api, beside):
            token = credentials.visitor_token(jti=uuid.uuid4().hex)
            visitors.append(open_sockets.enter_context(socket(front, token)))
            visitors[-1].subscribe(VISITOR + conference, receipt="there")
            assert visitors[-1].frame(PATIENCE_S)[1]["receipt-id"] == "there"
        for front in (api, beside):
            moderator = open_sockets.enter_context(socket(front, credentials.moderator_token()))
            moderator.subscribe(STATE + conference)
            # Who has not heard of a new gateway yet, for seconds, leaves it to the next count.
            counts = (json.loads(moderator.frame(PATIENCE_S)[2])["visitorsWaiting"] for _ in range(2))
            assert 2 in counts
        where = beside if asked == "gateway" else api
        headers = {"Content-Type": JSON, "Authorization": f"Bearer {credentials.server_token()}"}
        assert where.ask("POST", f"{BASE}/golive", {"conference": conference}, **headers)[0] == 200
        for visitor in visitors:
            assert json.loads(visitor.frame(PATIENCE_S)[2])["status"] == "live"
