"""JSON lines on stderr; an error is named by type and place, never by its text, which may hold a secret."""

import logging
import sys
import time
import traceback
from typing import Any

import msgspec

from chalicelib import metrics

_encode = msgspec.json.encode


def line(level: str, message: str, **fields: Any) -> None:
    """Write one line."""
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z"
    record = {"time": stamp, "level": level, "logger": "gateway", "message": message, **fields}
    sys.stderr.write(_encode(record).decode() + "\n")


def info(message: str, **fields: Any) -> None:
    """Something worth knowing."""
    line("INFO", message, **fields)


def warning(message: str, **fields: Any) -> None:
    """Something is wrong, and was coped with."""
    line("WARNING", message, **fields)


def failure(message: str, error: BaseException, **fields: Any) -> None:
    """Something failed: the error's type and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        fields["text"] = str(error)
    if "handler" in fields:
        metrics.GATEWAY_HANDLER_FAILURES.add(1, fields["handler"])
    line("ERROR", message, error=type(error).__name__, trace=where, **fields)


def access(method: str, path: str, status: int, seconds: float, request_id: str) -> None:
    """One request, without its query, which may hold a secret."""
    line(
        "INFO",
        "request",
        method=method,
        path=path,
        status=status,
        ms=round(seconds * 1000, 1),
        request_id=request_id,
    )
