"""The product's app, saying where the time of a release goes.  For `GATEWAY_APP`.

Each span is one JSON line on standard output: its name, its thread, when it began and ended
(CLOCK_MONOTONIC).  They are printed when the release is over.
"""

import functools
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from app import app, tick, warm, work, ws_connect, ws_disconnect, ws_message
from chalicelib.jitsi import auth, golive, release
from chalicelib.outbox import kicks, owed
from chalicelib.store import writes
from infra.gateway.connections import LocalDelivery

__all__ = ["app", "tick", "warm", "work", "ws_connect", "ws_disconnect", "ws_message"]

spans: list[dict[str, Any]] = []


def timed(function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
    """`function`, its time noted under a name made of its arguments."""

    @functools.wraps(function)
    def around(*arguments: Any, **options: Any) -> Any:
        began = time.monotonic()
        try:
            return function(*arguments, **options)
        finally:
            spans.append(
                {
                    "span": name(*arguments),
                    "thread": threading.current_thread().name,
                    "began": began,
                    "ended": time.monotonic(),
                }
            )

    return around


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, and all spans so far printed after it."""

    @functools.wraps(function)
    def around(*arguments: Any, **options: Any) -> Any:
        answer = timed(function, lambda *_: "release")(*arguments, **options)
        time.sleep(0.2)  # golive's own thread may still be busy
        for span in list(spans):
            sys.stdout.write(json.dumps(span) + "\n")
        sys.stdout.flush()
        return answer

    return around


writes.call = timed(writes.call, lambda operation, request: f"storage {operation}")
kicks.send = timed(kicks.send, lambda *_: "queue SendMessage")
golive.go_live = timed(golive.go_live, lambda *_: "golive action")
auth.authenticate_server = timed(auth.authenticate_server, lambda *_: "golive token")
release._release_local = timed(release._release_local, lambda *_: "local release")
LocalDelivery.post = timed(LocalDelivery.post, lambda _, posts: f"post {len(posts)}")  # type: ignore[method-assign]
owed._workers["release"] = told(release.release)
