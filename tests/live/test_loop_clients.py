"""A whole session of Loop (contract 14) by mohawk, requests-hawk and npm hawk, who verify every answer."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mohawk
import pytest
import requests
from mohawk.base import EmptyValue
from requests_hawk import HawkAuth

from tests.conftest import GatewayFactory
from tests.support import hawk, node

JSON = "application/json"
CONTEXT = {"value": "ciphertext", "alg": "AES-GCM", "wrappedKey": "key"}
PUSH = "https://push.example/?a=b c"


@dataclass(frozen=True)
class Answer:
    """What came back, and whether its signature was right; `None` where the request had none."""

    status: int
    headers: dict[str, str]
    body: str
    verified: object

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client(Protocol):
    """Sends requests, those with a session token signed by the credentials that are derived from it."""

    def ask(
        self, method: str, url: str, body: str | None, token: str | None, authorization: str | None
    ) -> Answer:
        """One request; its answer's signature is verified."""


def sent(
    session: requests.Session, method: str, url: str, body: str | None, **more: Any
) -> requests.Response:
    headers = {"Content-Type": JSON} if body is not None else {}
    headers |= more.pop("headers", {})
    return session.request(method, url, data=body, headers=headers, timeout=30, **more)


def accepted(sender: mohawk.Sender, response: requests.Response) -> object:
    """Whether mohawk takes an answer for one to what it sent."""
    header = response.headers.get("Server-Authorization")
    if header is None:
        return False
    try:
        sender.accept_response(
            header, content=response.content, content_type=response.headers.get("Content-Type", "")
        )
    except mohawk.exc.HawkFail as error:
        return repr(error)
    return True


def answer(response: requests.Response, verified: object) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.text, verified)


class Mohawk:
    """mohawk's own sender."""

    def __init__(self) -> None:
        self.session = requests.Session()

    def ask(
        self, method: str, url: str, body: str | None, token: str | None, authorization: str | None
    ) -> Answer:
        """One request."""
        if token is None:
            headers = {"Authorization": authorization} if authorization else {}
            return answer(sent(self.session, method, url, body, headers=headers), None)
        made = hawk.derive(token)
        sender = mohawk.Sender(
            {"id": made.id, "key": made.key, "algorithm": "sha256"},
            url,
            method,
            content=body or "",
            content_type=JSON if body else "",
        )
        headers = {"Authorization": sender.request_header}
        response = sent(self.session, method, url, body, headers=headers)
        return answer(response, accepted(sender, response))

    def close(self) -> None:
        """Close its connections."""
        self.session.close()


class RequestsHawk(Mohawk):
    """requests-hawk, which derives the credentials itself and hashes bodies only."""

    def ask(
        self, method: str, url: str, body: str | None, token: str | None, authorization: str | None
    ) -> Answer:
        """One request."""
        if token is None:
            return super().ask(method, url, body, token, authorization)
        auth = HawkAuth(hawk_session=token, always_hash_content=False)
        response = sent(self.session, method, url, body, auth=auth)
        header = response.request.headers["Authorization"]
        parts = mohawk.util.parse_authorization_header(header)
        assert ("hash" in parts) == (body is not None)
        sender = mohawk.Sender(
            auth.credentials,
            str(response.request.url),
            method,
            content=body if body is not None else EmptyValue,
            content_type=JSON if body is not None else EmptyValue,
            always_hash_content=False,
            nonce=parts["nonce"],
            _timestamp=parts["ts"],
        )
        assert f'mac="{parts["mac"]}"' in sender.request_header
        return answer(response, accepted(sender, response))


class NodeHawk:
    """npm hawk, in a Node process."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [node.executable("node"), "hawk_client.mjs"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, **what: Any) -> Answer:
        """Have it do one request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        given = {name: value for name, value in what.items() if value is not None}
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        return Answer(**json.loads(self.process.stdout.readline()))

    def ask(
        self, method: str, url: str, body: str | None, token: str | None, authorization: str | None
    ) -> Answer:
        """One request."""
        return self.tell(
            method=method, url=url, body=body, credentials=credentials(token), authorization=authorization
        )

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def credentials(token: str | None) -> dict[str, str] | None:
    if token is None:
        return None
    made = hawk.derive(token)
    return {"id": made.id, "key": made.key, "algorithm": "sha256"}


@pytest.fixture(params=["mohawk", "requests-hawk", "npm hawk"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    made: Mohawk | NodeHawk
    if request.param == "npm hawk":
        made = NodeHawk(request.getfixturevalue("node_folder"))
    else:
        made = Mohawk() if request.param == "mohawk" else RequestsHawk()
    yield made
    made.close()


@pytest.fixture(scope="module")
def base(standing: GatewayFactory) -> str:
    """Where a gateway answers."""
    return standing().http


class Session:
    """What one client does on one gateway."""

    def __init__(self, base: str, client: Client) -> None:
        self.base = base
        self.client = client

    def do(
        self, status: int, method: str, path: str, body: Any = None, *, by: str | None = None, basic: str = ""
    ) -> Answer:
        """One request that has to have this status; every answer to credentials has to be signed."""
        shown = "Basic " + base64.b64encode(basic.encode()).decode() if basic else None
        text = None if body is None else json.dumps(body)
        got = self.client.ask(method, self.base + path, text, by, shown)
        assert got.status == status, (method, path, got)
        if by is not None and status != 401:
            assert got.verified is True, (method, path, got)
        return got

    def register(self) -> str:
        """New credentials: their session token."""
        return self.do(200, "POST", "/registration").headers["hawk-session-token"]


def report(state: str, connections: int = 1) -> dict[str, Any]:
    return {
        "action": "status",
        "event": "Session.connectionCreated",
        "state": state,
        "connections": connections,
        "sendStreams": 0,
        "recvStreams": 0,
    }


def errno(got: Answer) -> int:
    return int(got.json()["errno"])


def test_a_client_goes_through_a_whole_session(base: str, client: Client):
    session = Session(base, client)
    do = session.do
    owner, friend = session.register(), session.register()
    body = {"simplePushURLs": {"rooms": PUSH, "calls": PUSH}}
    assert "hawk-session-token" not in do(200, "POST", "/registration", body, by=owner).headers

    made = {"context": CONTEXT, "roomOwner": "-", "maxSize": 3, "expiresIn": 24}
    room = do(201, "POST", "/rooms", made, by=owner).json()
    at = f"/rooms/{room['roomToken']}"
    public = {"roomToken": room["roomToken"], "roomUrl": room["roomUrl"], "roomOwner": "-"}
    assert do(200, "GET", at).json() == public | {"context": CONTEXT}

    join = {"action": "join", "displayName": "Guest ☃", "clientMaxSize": 3}
    guest = do(200, "POST", at, join).json()
    joined = do(200, "POST", at, join, by=friend).json()
    assert errno(do(400, "POST", at, join)) == 202  # the owner's seat
    assert do(200, "POST", at, join, by=owner).json()["sessionId"] == joined["sessionId"]

    token = guest["sessionToken"]
    do(204, "POST", at, report("waiting"), basic=token)
    do(204, "POST", at, report("starting", 2), by=friend)
    assert errno(do(400, "POST", at, report("dancing"), by=owner)) == 107
    assert do(200, "POST", at, {"action": "refresh"}, basic=token + ":").json() == {"expires": 300}
    assert do(200, "POST", at, {"action": "refresh"}, by=friend).json() == {"expires": 300}
    counts = {"action": "logDomain", "domains": [{"domain": "example.org", "count": 2}]}
    do(204, "POST", at, counts, by=friend)
    assert len(do(200, "GET", at, by=owner).json()["participants"]) == 3
    assert len(do(200, "GET", at, basic=token).json()["participants"]) == 3
    seen = do(200, "GET", at + "/sessions", by=owner).json()["sessions"]
    assert {each["state"] for each in seen} == {"waiting", "starting", "init"}

    do(204, "POST", at, {"action": "leave"}, basic=token)
    assert errno(do(401, "POST", at, report("waiting"), basic=token)) == 110
    do(204, "POST", at, {"action": "leave"}, by=friend)
    assert errno(do(410, "POST", at, {"action": "refresh"}, by=friend)) == 111
    assert errno(do(400, "POST", at, {"action": "leave"}, by=friend)) == 203

    assert errno(do(403, "GET", at, by=friend)) == 999
    assert errno(do(403, "PATCH", at, {"roomOwner": "x"}, by=friend)) == 999
    assert "expiresAt" in do(200, "PATCH", at, {"roomOwner": "Ada ☃"}, by=owner).json()
    (listed,) = do(200, "GET", "/rooms", by=owner).json()
    assert listed["roomOwner"] == "Ada ☃"
    since = listed["ctime"]
    assert len(do(200, "GET", f"/rooms?version={since}", by=owner).json()) == 1
    assert do(200, "GET", f"/v0/rooms?version={since + 1000}", by=owner).json() == []

    second = do(201, "POST", "/rooms", made, by=owner).json()["roomToken"]
    answered = do(207, "PATCH", "/rooms", {"deleteRoomTokens": [second, "nosuchroom1"]}, by=owner).json()
    assert {each: found["code"] for each, found in answered["responses"].items()} == {
        second: 200,
        "nosuchroom1": 404,
    }
    do(204, "DELETE", at, by=owner)
    assert errno(do(404, "DELETE", at, by=owner)) == 105
    assert errno(do(404, "GET", at)) == 105
    gone = do(200, "GET", f"/rooms?version={since}", by=owner).json()
    assert {each["roomToken"] for each in gone if each.get("deleted")} == {second, room["roomToken"]}

    do(204, "DELETE", "/registration?simplePushURL=https%3A%2F%2Fpush.example%2F%3Fa%3Db%20c", by=owner)
    assert errno(do(403, "DELETE", "/session", by=owner)) == 110
    do(204, "DELETE", "/account", by=owner)
    refused = do(401, "GET", "/rooms", by=owner)
    assert errno(refused) == 110
    assert refused.headers["www-authenticate"].startswith("Hawk ")


def test_a_wrong_clock_is_told_the_time_with_a_proof(base: str, node_folder: Path):
    client = NodeHawk(node_folder)
    try:
        token = Session(base, client).register()
        ask: Callable[[int], Answer] = lambda offset: client.tell(  # noqa: E731
            method="GET", url=f"{base}/rooms", credentials=credentials(token), offset=offset
        )
        refused = ask(600_000)
        assert refused.status == 401
        assert refused.verified is False  # not signed, but what it says of the time was verified
        assert 'error="Stale timestamp"' in refused.headers["www-authenticate"]
        assert ask(0).status == 200
    finally:
        client.close()
