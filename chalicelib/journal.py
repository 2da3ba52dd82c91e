"""The log: one JSON line for each request and frame, without tokens, keys or bodies."""

import functools
import logging
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from chalicelib import metrics, settings, tally

P = ParamSpec("P")
T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_ours = logging.getLogger("journal")
_frames = logging.getLogger("journal.frames")
_requests = logging.getLogger("journal.requests")
_counts = logging.getLogger("journal.counts")
_audit = logging.getLogger("journal.audit")

OURS = ("chalicelib", "journal")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger, text and, for an exception, only its type and place."""
        line: dict[str, Any] = {
            "time": _spell_time(record.created),
            "level": record.levelname,
            "logger": record.name,
        }
        line["message"] = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["where"] = _places(record.exc_info[2])
        return _encoder.encode(line).decode()


def _spell_time(at: float) -> str:
    second, part = divmod(at, 1)
    return f"{_spell_second(int(second))}.{int(part * 1000):03d}Z"


@lru_cache(maxsize=1)
def _spell_second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _places(traceback: Any) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return places[-6:]


class _Stderr(logging.Handler):
    """Writes to standard error as it is at that moment, not as it was when the log began."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)

    def write(self, line: Mapping[str, Any]) -> None:
        """Write one line that needs no record."""
        text = _encoder.encode(line).decode() + "\n"
        self.acquire()
        try:
            sys.stderr.write(text)
        except (OSError, ValueError):
            pass
        finally:
            self.release()


_handler: Final = _Stderr()
_handler.setFormatter(JsonLines())


def begin() -> None:
    """Send our loggers' lines to standard error as JSON; once in a process."""
    metrics.begin(settings.get().stack or settings.get().stage)
    for name in OURS:
        logger = logging.getLogger(name)
        if not any(isinstance(each.formatter, JsonLines) for each in logger.handlers):
            logger.addHandler(_handler)
            logger.propagate = False
        logger.setLevel(settings.get().log_level)


def frame(**fields: Any) -> None:
    """One WebSocket frame: socket, request id, command, outcome, milliseconds."""
    _write(_frames, fields)


def request(**fields: Any) -> None:
    """One HTTP request: method, route, status, request id, milliseconds."""
    metrics.REQUESTS.add(1, fields["method"], fields["route"], str(fields["status"]))
    metrics.REQUEST_SECONDS.observe(fields["ms"] / 1000, fields["route"])
    _write(_requests, fields)


def count(metric: str, count: int, **of: Any) -> None:
    """Something to be counted, in a line of its own that does not say whose request it was."""
    _write(_counts, {"metric": metric, **of, "count": count})


def audit(**fields: Any) -> None:
    """What an operator did: who, what, on which, with what result; written whatever the log's level is."""
    if _handler in _ours.handlers:
        line = {"time": _spell_time(time.time()), "level": "INFO", "logger": _audit.name}
        _handler.write(line | {name: value for name, value in fields.items() if value != ""})


def _write(logger: logging.Logger, fields: dict[str, Any]) -> None:
    """Write a line at once: making a record, and looking where it was made, takes ten times as long."""
    if _handler not in _ours.handlers:
        return
    counted = metrics.members()
    if not logger.isEnabledFor(logging.INFO):
        if counted:
            _handler.write(counted)
        return
    line = {"time": _spell_time(time.time()), "level": "INFO", "logger": logger.name}
    line |= {name: value for name, value in fields.items() if value != ""}
    if "ms" in fields:
        line["ms"] = round(fields["ms"], 2)
    _handler.write(line | counted if counted else line)


def counting(handler: Callable[P, T]) -> Callable[P, T]:
    """Have what a handler counted, and no line of its took along, written in a line of its own at its end.

    What it tallied is told then, if it is time.
    """

    @functools.wraps(handler)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        began = time.monotonic()
        try:
            return handler(*args, **kwargs)
        finally:
            tally.tell_if_due(time.monotonic() - began)
            counted = metrics.members()
            if counted:
                _handler.write(counted)

    return answer


def failure(error: BaseException) -> None:
    """An error that nobody foresaw: its type and place, never its text."""
    _requests.error("a request failed", exc_info=error)
