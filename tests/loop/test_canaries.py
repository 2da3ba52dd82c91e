"""Nothing secret is in the log: neither in what a request's line says, nor in what goes wrong beside it."""

import base64
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from chalicelib import journal
from chalicelib.store import writes
from tests.loop.api import Caller, GuestCaller, HawkCaller, ok, serve
from tests.support import hawk

CANARY = "canary-in-a-coal-mine"
PUSH = f"https://push.example/{CANARY}"


@pytest.fixture(autouse=True)
def _talkative(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Our loggers say all they can say, the others what they say in Lambda."""
    journal.begin()
    with caplog.at_level(logging.INFO), caplog.at_level(logging.DEBUG, "chalicelib"):
        yield


@pytest.fixture
def told(capfd, caplog) -> Callable[[], str]:
    """What was written anywhere since it was asked for last; of errors what our own log says."""

    def read() -> str:
        out, err = capfd.readouterr()
        return str(out) + str(err) + "\n".join(record.getMessage() for record in caplog.records)

    return read


def test_a_whole_session_leaves_no_secret_in_the_log(table, told):
    token = Caller().post("/registration", {"simplePushURLs": {"rooms": PUSH}}).header("Hawk-Session-Token")
    owner = HawkCaller(hawk.derive(str(token)))
    secrets = [str(token), owner.credentials.id, owner.credentials.key, CANARY]

    context = {"value": CANARY, "alg": "AES-GCM", "wrappedKey": CANARY}
    made = {"roomOwner": CANARY, "maxSize": 4, "context": context}
    room = ok(owner.post("/rooms", made), 201)["roomToken"]
    joined = ok(Caller().join(room, CANARY))
    guest = GuestCaller(joined["sessionToken"])
    secrets += [joined["sessionToken"], guest.header.partition(" ")[2]]
    counts = {"connections": 1, "sendStreams": 0, "recvStreams": 0, "sessionToken": joined["sessionToken"]}
    report = {"event": "Session.connectionCreated", "state": "waiting"} | counts
    assert guest.act(room, "status", **report).status == 204
    assert guest.act(room, "status", **(report | {"state": "dancing"})).status == 400
    assert guest.act(room, "refresh", sessionToken=joined["sessionToken"]).status == 200
    answers = [owner.get(f"/rooms/{room}"), guest.get(f"/rooms/{room}"), owner.get("/rooms")]
    answers.append(owner.join(room, CANARY))
    secrets.append(ok(answers[-1])["sessionToken"])
    for answer in answers:
        secrets.append((answer.header("Server-Authorization") or "-" * 60).partition('mac="')[2] or "-" * 60)
    assert Caller().act(room, "leave", sessionToken=joined["sessionToken"]).status == 204
    assert guest.act(room, "leave", sessionToken=joined["sessionToken"]).status == 401
    assert owner.delete("/account").status == 204
    header = owner.authorization("GET", "/rooms", b"")["Authorization"]
    secrets += [part for part in header.split('"') if len(part) > 20]
    assert serve("GET", "/rooms", headers={"Authorization": header}).status == 401

    text = told()
    assert text.count('"logger":"journal.requests"') > 10
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(
    "header",
    [
        f'Hawk id="{CANARY}", ts="1", nonce="{CANARY}", mac="{CANARY}"',
        f'Hawk id="{CANARY}"',
        f'Hawk {CANARY}="x"',
        f"Hawk {CANARY}",
        f"{CANARY} x",
        "Basic " + base64.b64encode(CANARY.encode()).decode(),
        "Basic " + base64.b64encode(f"{CANARY}:{CANARY}".encode()).decode(),
        f"Basic !{CANARY}",
        f"Bearer {CANARY}",
    ],
)
def test_a_header_that_proves_nothing_is_not_told(owner, told, header):
    room = owner.room()
    for method, target in (("GET", "/rooms"), ("GET", f"/rooms/{room}"), ("POST", f"/rooms/{room}")):
        serve(method, target, b'{"action":"refresh"}', {"Authorization": header})
    text = told()
    assert not any(len(word) > 10 and word in text for word in (CANARY, *header.split()))


@pytest.mark.parametrize("body", [f'"{CANARY}"', f'{{"{CANARY}', json.dumps({"action": CANARY})])
def test_a_body_that_is_refused_is_not_told(owner, told, body):
    room = owner.room()
    assert owner.post(f"/rooms/{room}", body.encode()).status == 400
    assert CANARY not in told()


def test_what_nobody_foresaw_tells_its_place_and_no_secret(owner, monkeypatch, told):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    header = owner.authorization("GET", "/rooms", b"")
    monkeypatch.setattr(writes, "call", fail)
    assert serve("GET", "/rooms", headers=header).status == 500
    text = told()
    assert '"error":"RuntimeError"' in text
    assert CANARY not in text
