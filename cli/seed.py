"""`foyer seed`: something to look at in every facade, made once however often it is asked for.

It uses the public API of each facade, as everybody does.  What is there is left alone; what comes to its end
by itself - somebody in a room, a conference that is live - is renewed.
"""

import contextlib
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from cli import conferences, http, output, signing, tokens
from cli.errors import Failed, Misused
from cli.http import Call
from cli.options import AsCurl, AsJson
from cli.target import STRANGER, Target, done, members, of

MADE: Final = "made"
THERE: Final = "there"
RENEWED: Final = "renewed"
FAILED: Final = "failed"

CONFERENCE: Final = "demo-live"
SERVICE: Final = "demo"
ROOM: Final = "demo room"
OWNER: Final = "Ada"
GUEST: Final = "Grace"
CAMERA: Final = "rtsp://camera.example.com/demo"
CHANNEL: Final = "demo"
NODE: Final = "demo@127.0.0.1"
STREAMS: Final = (
    {"mediaSessionId": "00000000-0000-4000-8000-000000000001", "published": True, "status": "PUBLISHING"},
    {"mediaSessionId": "00000000-0000-4000-8000-000000000002", "published": False, "status": "PLAYING"},
)
CONNECTIONS: Final = {
    "DEMO000000000000000000000A": {"name": "Alice", "hand": "raised"},
    "DEMO000000000000000000000B": {"name": "Bob"},
}
TARGET: Final = "x-sora-target"
SORA: Final = "Sora_20201124"

Send = Callable[[Call], http.Answer]


class Thing(NamedTuple):
    """Something that is now there."""

    facade: str
    what: str
    state: str
    note: str = ""


def seed(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="jitsi, owt, loop, wcs or sora. May be repeated.")
    ] = None,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Make demo data in every facade; what is there already is left alone.

    Nobody waits afterwards: visitors are sockets, and `foyer load visitors` brings some.  --curl prints the
    request that each facade begins with, as the others depend on its answer.
    """
    target = of(context)
    wanted = only or list(FACADES)
    if unknown := set(wanted) - FACADES.keys():
        raise Misused(f"--only {unknown.pop()}: one of {', '.join(FACADES)}")
    _ = target.base  # without an address there is nothing to try
    if as_curl:
        for name in wanted:
            output.verbatim(_first(FACADES[name], target).curl())
        return
    found: list[Thing] = []
    for name in wanted:
        try:
            found += (Thing(name, *each) for each in FACADES[name](target, http.send))
        except (Failed, Misused) as why:
            found.append(Thing(name, "-", FAILED, str(why)))
        except (LookupError, TypeError, AttributeError):  # an answer has not what those of ours have
            found.append(Thing(name, "-", FAILED, STRANGER))
    if as_json:
        output.document({"things": [each._asdict() for each in found]})
    else:
        output.table(Thing._fields, found, empty="nothing was asked for")
    if failed := sum(each.state == FAILED for each in found):
        raise Failed(f"{failed} of {len(wanted)} facades could not be filled")


class _Enough(Exception):
    """The request that was wanted has been seen."""


def _first(facade: "Facade", target: Target) -> Call:
    """The first request that a facade's data begins with, which is not made.  Raises `Misused`."""
    seen: list[Call] = []

    def note(call: Call) -> http.Answer:
        seen.append(call)
        raise _Enough

    with contextlib.suppress(_Enough):
        list(facade(target, note))
    return seen[0]


def _jitsi(target: Target, send: Send) -> Iterator[tuple[str, ...]]:
    call = conferences.golive_call(target, CONFERENCE, tokens.server_token(target))
    answer = members(send(call), "conference")
    yield f"conference {answer['conference']}", RENEWED, "live"


def _owt(target: Target, send: Send) -> Iterator[tuple[str, ...]]:
    boss, secret = target.super_service
    if not boss:
        raise Misused("the super service is not known: OWT_SUPER_SERVICE_ID and OWT_SUPER_SERVICE_KEY")
    # Ours alone, the same each time, and of no use to find the super service's key by.
    key = hmac.digest(secret.encode(errors="surrogateescape"), b"foyer seed: demo service", "sha256").hex()

    def ask(who: tuple[str, str], method: str, path: str, value: Any = None) -> Any:
        where, body = f"{target.base}{path}", None if value is None else http.body(value)
        header = signing.mauth(*who, method, where, body, base=target.base)
        kind = http.JSON if body is not None else {}
        return done(send(Call(method, where, kind | {"Authorization": header}, body))).json()

    services = ask((boss, secret), "GET", "/services")
    ours = next((each for each in services if each["name"] == SERVICE), None)
    state = THERE if ours else MADE
    ours = ours or ask((boss, secret), "POST", "/services", {"name": SERVICE, "key": key})
    yield f"service {SERVICE}", state, ours["_id"]
    demo = (str(ours["_id"]), key)

    rooms = ask(demo, "GET", "/v1/rooms")
    room = next((each for each in rooms if each["name"] == ROOM), None)
    state = THERE if room else MADE
    room = room or ask(demo, "POST", "/v1/rooms", {"name": ROOM})
    yield f"room {ROOM}", state, room["_id"]

    path = f"/v1/rooms/{room['_id']}"
    streams = ask(demo, "GET", f"{path}/streams")
    forward = next((each for each in streams if each["type"] == "forward"), None)
    state = THERE if forward else MADE
    wanted = {"connection": {"url": CAMERA}, "media": {"audio": "auto", "video": "auto"}}
    forward = forward or ask(demo, "POST", f"{path}/streaming-ins", wanted)
    yield f"stream of {CAMERA}", state, forward["id"]


def _loop(target: Target, send: Send) -> Iterator[tuple[str, ...]]:
    kept = _kept(target)
    base = f"{target.base}{target.part('loop').get('base_path') or ''}"

    def ask(method: str, path: str, value: Any = None, token: str = "") -> http.Answer:
        where, body = f"{base}{path}", None if value is None else http.body(value)
        headers = dict(http.JSON) if body is not None else {}
        if token:
            headers["Authorization"] = signing.hawk(signing.derived(token), method, where, body)
        return send(Call(method, where, headers, body))

    token = _read(kept)
    listed = ask("GET", "/rooms", token=token) if token else None
    if listed is None or listed.status == 401:  # never registered, or not with this service
        token = done(ask("POST", "/registration", {})).headers["hawk-session-token"]
        _keep(kept, token)
        yield f"owner {OWNER}", MADE, f"Hawk session token in {kept}"
        listed = ask("GET", "/rooms", token=token)
    else:
        yield f"owner {OWNER}", THERE, f"Hawk session token in {kept}"

    room = next((each for each in done(listed).json() if each.get("roomName") == ROOM), None)
    wanted = {"roomOwner": OWNER, "roomName": ROOM, "maxSize": 5}
    state = THERE if room else MADE
    room = room or done(ask("POST", "/rooms", wanted, token)).json()
    yield f"room {ROOM}", state, room["roomUrl"]

    path = f"/rooms/{room['roomToken']}"
    people = done(ask("GET", path, token=token)).json()["participants"]
    state = THERE if any(each["displayName"] == GUEST for each in people) else RENEWED
    if state == RENEWED:
        done(ask("POST", path, {"action": "join", "displayName": GUEST, "clientMaxSize": 5}))
    yield f"guest {GUEST}", state, "for some minutes"


def _wcs(target: Target, send: Send) -> Iterator[tuple[str, ...]]:
    secret = target.hook_secret(target.hooks.rpartition("/")[2])
    for number, stream in enumerate(STREAMS, 1):
        name = f"demo-stream-{number}"
        body = http.body(
            {"nodeId": NODE, "appKey": "defaultApp", "sessionId": "demo", "name": name, **stream}
        )
        signature = {"Authorization": signing.wcs(secret, body)} if secret else {}
        hook = Call("POST", f"{target.hooks}/StreamStatusEvent", http.JSON | signature, body)
        members(send(hook), "nodeId")  # what a hook is sent it answers
        yield f"stream {name}", RENEWED, str(stream["status"])


def _sora(target: Target, send: Send) -> Iterator[tuple[str, ...]]:
    def proof(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}

    def ask(operation: str, **value: Any) -> Any:
        headers = {TARGET: f"{SORA}.{operation}"} | proof(target.sora_key())
        return done(send(http.post(f"{target.base}/", {"channel_id": CHANNEL, **value}, headers))).json()

    listed = ask("ListSignalingNotifyMetadata")
    there = {each["connection_id"]: each.get("metadata") for each in listed}
    for connection, metadata in CONNECTIONS.items():
        state = THERE if there.get(connection) == metadata else MADE
        if connection not in there:
            event = {"type": "connection.created", "channel_id": CHANNEL, "connection_id": connection}
            keys = target.sora_key("SORA_EVENT_KEYS")
            done(send(http.post(f"{target.base}/sora/event", event, proof(keys))))
        if state == MADE:
            ask("PutSignalingNotifyMetadata", connection_id=connection, metadata=metadata)
        yield f"connection {metadata['name']} in channel {CHANNEL}", state, connection


Facade = Callable[[Target, Send], Iterator[tuple[str, ...]]]
FACADES: Final[dict[str, Facade]] = {
    "jitsi": _jitsi,
    "owt": _owt,
    "loop": _loop,
    "wcs": _wcs,
    "sora": _sora,
}


def _kept(target: Target) -> Path:
    """Where the session token of the demo owner is kept: nobody can ask for it again."""
    if target.path is not None and target.document:
        return target.path.parent / "seed.json"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "foyer" / f"seed-{hashlib.sha256(target.base.encode()).hexdigest()[:12]}.json"


def _read(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["loop"]["session_token"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _keep(path: Path, session_token: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"loop": {"session_token": session_token}}, file)
    scratch.replace(path)
