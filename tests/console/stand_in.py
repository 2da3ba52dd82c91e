"""The operators' API as its contract has it, of made-up data, behind the console's own files.

It stands in where a test wants what a real stage does not have at hand: a day of numbers, hostile names,
failures, silence.  The walks that show that console and API fit are in test_walks.py, on a gateway.
"""

import json
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from chalicelib.admin import door, operations
from chalicelib.console import files

TOKEN = "stand-in"
FACADES = ("jitsi", "owt", "loop", "wcs", "sora")
MINUTE_MS = 60_000
STAGE = "local"
AT_ONCE = 50


class StandIn:
    """State that tests change as they like; `url` is where the console is."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.signed_in = False
        self.fail: dict[str, tuple[int, str]] = {}
        """Path below the prefix -> status and code of what is answered instead."""
        self.odd: list[str] = []
        """What it answered and the API cannot."""
        self.slow_s = 0.0
        self.seed()

    def seed(self) -> None:
        """Something in every list."""
        now = int(time.time() * 1000)
        self.conferences: dict[str, dict[str, Any]] = {
            f"{name}@conference.meet.example": {
                "name": f"{name}@conference.meet.example",
                "watched": watched,
                "live": live,
                "live_since": now - 380_000 if live else None,
                "live_until": now + 7_000_000 if live else None,
                "epoch": 3,
                "moderators": 1 if watched else 0,
                "shards": 16,
                "counts": [(waiting + 15 - at) // 16 for at in range(16)],
            }
            for name, waiting, watched, live in (
                ("townhall-2026", 1843, True, False),
                ("town-planning", 212, True, False),
                ("allhands", 0, True, True),
                ("school-assembly-north", 37, False, False),
                ("budget-hearing", 4, True, False),
            )
        }
        self.services: list[dict[str, Any]] = [
            {"id": "5f2b1c0e9a7d4e30", "name": "clinic-frontdesk"},
            {"id": "88d0c6a1b2f34c55", "name": "school-portal"},
        ]
        self.rooms: list[dict[str, Any]] = [
            {
                "id": f"6a1f{at:04x}c2e8d70b",
                "name": name,
                "service": "5f2b1c0e9a7d4e30",
                "participants": people,
                "streams": people + 1,
                "others": 0,
                "participant_limit": None,
                "input_limit": 20,
            }
            for at, (name, people) in enumerate((("Consultation 1", 2), ("Consultation 2", 0), ("Staff", 7)))
        ]
        self.participants: list[dict[str, Any]] = [
            {"id": f"p{at}d41c77e0", "user": user, "role": role, "permission": {"publish": {"audio": True}}}
            for at, (user, role) in enumerate((("Dr. Ito", "presenter"), ("Ms. Weber", "guest")))
        ]
        self.streams: list[dict[str, Any]] = [
            {"id": identity, "type": kind, "owner": owner, "source": source}
            | {"views": ["common"], "audio": True, "video": True, "attributes": None, "arrived": arrived}
            for identity, kind, owner, source, arrived in (
                ("6a1f0000c2e8d70b-common", "mixed", None, None, None),
                ("41b7ce09d6", "forward", "p0d41c77e0", "webrtc", now - 90_000),
            )
        ]
        self.loop: list[dict[str, Any]] = [
            {
                "id": f"r{at}a7c1",
                "token": f"{token}…",
                "name": name,
                "owner": "alex@example.org",
                "participants": people,
                "max_size": 5,
                "created_at": now - 86_400_000,
                "expires_at": now + 86_400_000 * 20,
            }
            for at, (token, name, people) in enumerate(
                (("Qz4b", "Weekly review", 2), ("8hT1", "Interview", 0))
            )
        ]
        session = {
            "owner": False,
            "event": None,
            "sends": 1,
            "receives": 1,
            "non_conforming": 0,
            "joined_at": now - 60_000,
        }
        self.sessions: list[dict[str, Any]] = [
            {
                "session_id": "s-3f9c2a",
                "name": "Alex",
                "state": "sendrecv",
                "connections": 1,
                "expires_at": now + 240_000,
                **session,
            },
            {
                "session_id": "s-77b01e",
                "name": "Sam",
                "state": "starting",
                "connections": 0,
                "expires_at": now + 280_000,
                **session,
            },
        ]
        self.wcs: list[dict[str, Any]] = [
            {
                "name": name,
                "media_session_id": f"{at}c7e4f10-9a1b",
                "server": "wcs-1.example",
                "app_key": "defaultApp",
                "status": status,
                "at": now - age * 1000,
                "stale": age > 3600,
                "ended": False,
                "ending": False,
                "video_codec": "H264",
                "audio_codec": "opus",
                "published": True,
                "has_video": True,
                "has_audio": True,
                "width": 640,
                "height": 480,
                "bitrate": 512,
                "created": now - 9_000_000,
            }
            for at, (name, status, age) in enumerate(
                (
                    ("lobby-camera", "PUBLISHING", 30),
                    ("stage-left", "PLAYING", 75),
                    ("old-feed", "PUBLISHING", 9000),
                )
            )
        ]
        self.channels: dict[str, list[dict[str, Any]]] = {
            "lecture-7": [
                connection("C5K9Q", "teacher", "sendrecv", {"name": "M. Sato", "hand": False}),
                connection("T1XPD", "student-12", "recvonly", {"name": "Kim", "hand": True}),
            ]
        }
        self.owed: list[dict[str, Any]] = [
            {
                "kind": kind,
                "at": now + at_s * 1000,
                "attempts": tries,
                "reason": why,
                "overdue_s": max(0, -at_s),
            }
            for kind, at_s, tries, why in (
                ("loop.room", -620, 6, None),
                ("owt.push", -4, 1, None),
                ("wcs.end", 200, 3, "the server answered 503"),
            )
        ]
        self.dead: list[dict[str, Any]] = [
            {
                "id": f"d{at}",
                "kind": kind,
                "reason": reason,
                "attempts": attempts,
                "at": now - 3_600_000 * (at + 1),
                "replayable": replayable,
            }
            for at, (kind, reason, attempts, replayable) in enumerate(
                (
                    ("owt.push", "https://hooks.example.com: 500 after 12 attempts", 12, True),
                    ("sora.upstream", "connection refused", 8, True),
                    ("wcs.end", "the server does not know the stream", 3, False),
                )
            )
        ]
        self.events: list[dict[str, Any]] = [
            {
                "at": now - at * 7_300,
                "request_id": f"0f3a9c{at:02d}d7e1",
                "method": method,
                "route": route,
                "facade": facade,
                "status": status,
                "ms": ms,
            }
            for at, (method, route, facade, status, ms) in enumerate(
                (
                    ("POST", "/waiting-queue/golive", "jitsi", 200, 12.4),
                    ("GET", "/v1/rooms", "owt", 200, 8.8),
                    ("POST", "/rooms/{token}", "loop", 403, 3.1),
                    ("POST", "/EventService/StreamStatusEvent", "wcs", 500, 1204.0),
                    ("POST", "/v1/channels/{channel}", "sora", 204, 6.0),
                )
                * 3
            )
        ]

    def overview(self, minutes: int) -> dict[str, Any]:
        """Numbers that rise and fall."""
        now = int(time.time() * 1000)
        step_s = 600 if minutes > 60 else 60
        points: list[dict[str, Any]] = []
        none = {"refused": 0, "hooks": 0}
        for at in range(minutes * 60 // step_s, 0, -1):
            when = now // MINUTE_MS * MINUTE_MS - at * step_s * 1000
            wave = 1 + math.sin(when / 1000 / (minutes * 8)) * 0.6
            scale = step_s / 60
            points.append(
                {
                    "at": when,
                    "jitsi": {
                        "requests": round(46 * wave * scale),
                        "errors": 0,
                        **none,
                        "waiting": round(1500 * wave),
                        "releases": 900 if at % 9 == 4 else 0,
                    },
                    "owt": {"requests": round(31 * wave * scale), "errors": 2 if at % 7 == 3 else 0, **none},
                    "loop": {"requests": round((12 + 6 * math.cos(at)) * scale), "errors": 0, **none},
                    "wcs": {
                        "requests": round((20 + 9 * math.sin(at / 2)) * scale),
                        "errors": 3 if at % 11 == 5 else 0,
                        "refused": 0,
                        "hooks": round(18 * scale),
                    },
                    "sora": {
                        "requests": round(9 * wave * scale),
                        "errors": 0,
                        "refused": 0,
                        "hooks": round(5 * scale),
                    },
                }
            )
        last = points[-1]
        return {
            "now": now,
            "stage": STAGE,
            "version": "0.1.0",
            "step_s": step_s,
            "measured_at": now,
            "facades": {
                "jitsi": {**last["jitsi"], "waiting": self.waiting(), "conferences": len(self.conferences)},
                **{name: last[name] for name in FACADES[1:]},
            },
            "minutes": points,
            "owed": {
                "rows": len(self.owed),
                "oldest_s": max((each["overdue_s"] for each in self.owed), default=0),
            },
            "dead": {"count": len(self.dead), "more": False},
        }

    def waiting(self) -> int:
        """Visitors who wait, everywhere."""
        return sum(sum(each["counts"]) for each in self.conferences.values())

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and body of a request below the prefix."""
        if path == "session":
            if method == "POST" and body.get("token") != TOKEN:
                return 401, None
            self.signed_in = {"POST": True, "DELETE": False}.get(method, self.signed_in)
            if method == "DELETE":
                return 204, None
            if self.signed_in:
                until = int(time.time() * 1000) + 43_200_000
                return 200, {
                    "name": "operator",
                    "csrf": "c5",
                    "expires_at": until,
                    "stage": STAGE,
                    "version": "0.1.0",
                }
        if not self.signed_in:
            return 401, None
        if method == "POST":
            return self.write(path, body)
        search = query.get("search", "").lower()
        if path == "overview":
            return 200, self.overview(int(query["minutes"]))
        if path == "conferences":
            found = [each for name, each in self.conferences.items() if search in name.lower()]
            listed = ("name", "watched", "live", "live_since", "live_until")
            rows = [
                {name: each[name] for name in listed} | {"waiting": sum(each["counts"])} for each in found
            ]
            return 200, page(rows, query)
        if path == "conference":
            found_one = self.conferences.get(query["name"])
            return (200, {**found_one, "waiting": sum(found_one["counts"])}) if found_one else (404, None)
        if path == "conference/counts":
            row = self.conferences[query["name"]]
            counts = {shard: row["counts"][int(shard)] for shard in query["shards"].split(",")}
            return 200, {"live": row["live"], "live_since": row["live_since"], "counts": counts}
        if path.startswith("owt/services/"):
            return 200, page([each for each in self.rooms if search in each["name"].lower()], query)
        if path.startswith("owt/rooms/"):
            identity = unquote(path.rpartition("/")[2])
            room = next((each for each in self.rooms if each["id"] == identity), None)
            whole = {"room": room, "participants": self.participants, "streams": self.streams, "more": False}
            return (200, whole) if room else (404, None)
        if path.startswith("loop/rooms/"):
            return 200, {**self.loop[0], "sessions": self.sessions}
        if path == "sora/channel":
            found_channel = self.channels.get(query["id"])
            answer = {"channel_id": query["id"], "connections": found_channel, "next": None}
            return (404, None) if found_channel is None else (200, answer)
        if path == "owed":
            most = int(query.get("limit", 50))
            rows, more = self.owed[:most], len(self.owed) > most
            return 200, {"items": rows, "next": None, "more": more, "measured_at": int(time.time() * 1000)}
        lists: dict[str, list[dict[str, Any]]] = {
            "owt/services": [each for each in self.services if search in each["name"].lower()],
            "loop/rooms": [each for each in self.loop if search in (each["name"] or "").lower()],
            "wcs/streams": [each for each in self.wcs if search in each["name"].lower()],
            "sora/channels": [
                {"channel_id": name, "seen_at": int(time.time() * 1000)}
                for name in self.channels
                if search in name.lower()
            ],
            "dead": self.dead,
            "events": [each for each in self.events if wanted(each, query)],
        }
        return (200, page(lists[path], query)) if path in lists else (404, None)

    def write(self, path: str, body: Any) -> tuple[int, Any]:
        """What a write does."""
        if path.startswith("conference/"):
            row = self.conferences[body["name"]]
            row["live"] = path.endswith("golive")
            row["live_since"] = int(time.time() * 1000) if row["live"] else None
            row["live_until"] = int(time.time() * 1000) + 7_200_000 if row["live"] else None
            if row["live"]:
                row["counts"] = [0] * row["shards"]
            return 200, {"name": body["name"], "live": row["live"]}
        named = body.get("ids") or [each["id"] for each in self.dead if each["replayable"]]
        rows = {each["id"]: each for each in self.dead}
        failed: list[dict[str, str]] = []
        done: set[str] = set()
        for each in named:
            if each not in rows or (path == "dead/retry" and not rows[each]["replayable"]):
                failed.append({"id": each, "reason": "cannot be retried"})
            elif len(done) < AT_ONCE:
                done.add(each)
            else:
                break
        self.dead = [each for each in self.dead if each["id"] not in done]
        more = len(done) + len(failed) < len(named)
        verb = "retried" if path == "dead/retry" else "dropped"
        return 200, {verb: len(done), "failed": failed, "more": more}


def connection(identity: str, client: str, role: str, metadata: Any) -> dict[str, Any]:
    """A connection of a channel."""
    return {
        "connection_id": identity,
        "client_id": client,
        "bundle_id": identity,
        "role": role,
        "session_id": None,
        "door": None,
        "created_at": None,
        "metadata": metadata,
        "metadata_bytes": len(json.dumps(metadata)),
    }


def unlike(method: str, path: str, value: Any) -> str:
    """How a successful answer differs from what the API's operations promise, if it does."""
    for each in operations.every():
        template = re.sub(r"\{\w+\}", "[^/]+", each.path.removeprefix(f"{door.PREFIX}/"))
        if each.method == method and re.fullmatch(template, path):
            kind = next(answer for status, (_, answer) in each.answers.items() if status < 300)
            try:
                read = msgspec.to_builtins(msgspec.convert(value, kind or None))
            except msgspec.ValidationError as error:
                return f"{method} {path}: {error}"
            return "" if read == value else f"{method} {path}: it has members that the contract has not"
    return f"{method} {path}: there is no such operation"


def wanted(event: dict[str, Any], query: dict[str, str]) -> bool:
    """Whether an event is among those that are asked for."""
    if query.get("errors") and event["status"] < 400:
        return False
    return all(event[name] == query[name] for name in ("request_id", "facade") if query.get(name))


def page(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of a list."""
    begin, limit = int(query.get("after", 0)), int(query.get("limit", 50))
    end = begin + limit
    return {"items": items[begin:end], "next": str(end) if end < len(items) else None}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        stand_in = self.stand_in
        split = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length)
        if split.path.startswith("/console"):
            reply = files.answer(split.path.removeprefix("/console").strip("/") or files.INDEX)
            assert reply is not None, split.path
            return self.send(reply.status, str(reply.body).encode(), dict(reply.headers))
        path = split.path.removeprefix("/admin/v1/")
        stand_in.requests.append(f"{self.command} {path}")
        time.sleep(stand_in.slow_s)
        if path in stand_in.fail:
            status, code = stand_in.fail[path]
            answer: tuple[int, Any] = (status, {"error": {"code": code, "message": "made to fail"}})
        elif self.command != "GET" and path != "session" and self.headers.get("x-csrf-token") != "c5":
            answer = 403, {"error": {"code": "csrf", "message": "no"}}
        else:
            query = {name: values[0] for name, values in parse_qs(split.query).items()}
            status, value = stand_in.answer(self.command, path, query, json.loads(raw or b"null"))
            if status >= 400:
                value = {
                    "error": {"code": {401: "unauthenticated", 404: "not_found"}[status], "message": "no"}
                }
            elif difference := unlike(self.command, path, value):
                stand_in.odd.append(difference)
            answer = status, value
        body = b"" if answer[0] == 204 else json.dumps(answer[1]).encode()
        self.send(answer[0], body, {"Content-Type": "application/json", "x-request-id": "req-stand-in"})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - names that http.server looks for


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """A stand-in on a free port of this machine."""
    stand_in = StandIn()
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()
