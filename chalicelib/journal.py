"""The log: one JSON line for each request and frame, without tokens, keys or bodies."""

import contextlib
import logging
import sys
import time
from functools import lru_cache
from typing import Any, Final

import msgspec

from chalicelib import settings

_encoder = msgspec.json.Encoder()
_ours = logging.getLogger("journal")
_frames = logging.getLogger("journal.frames")
_requests = logging.getLogger("journal.requests")

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
    second = int(at)
    return f"{_spell_second(second)}.{int((at - second) * 1000):03d}Z"


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

    def write(self, line: "_Line") -> None:
        """Write one line that needs no record, which takes a tenth of the time."""
        text = _encoder.encode(line).decode() + "\n"
        with self.lock or contextlib.nullcontext():
            try:
                sys.stderr.write(text)
            except (OSError, ValueError):
                return


class _Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A line of the level INFO; what is empty is left out."""

    time: str
    level: str
    logger: str


class _Frame(_Line, kw_only=True):
    socket: str = ""
    request_id: str = ""
    command: str = ""
    outcome: str = ""
    reason: str = ""
    ms: float


class _Request(_Line, kw_only=True):
    method: str = ""
    route: str = ""
    status: int
    request_id: str = ""
    ms: float


_handler: Final = _Stderr()
_handler.setFormatter(JsonLines())


def begin() -> None:
    """Send our loggers' lines to standard error as JSON; once in a process."""
    for name in OURS:
        logger = logging.getLogger(name)
        if not any(isinstance(each.formatter, JsonLines) for each in logger.handlers):
            logger.addHandler(_handler)
            logger.propagate = False
        logger.setLevel(settings.get().log_level)


def frame(*, socket: str, request_id: str, command: str, outcome: str, ms: float, reason: str = "") -> None:
    """One WebSocket frame; `reason` says why it was refused."""
    if _wanted(_frames):
        line = _Frame(
            time=_spell_time(time.time()),
            level="INFO",
            logger=_frames.name,
            socket=socket,
            request_id=request_id,
            command=command,
            outcome=outcome,
            reason=reason,
            ms=round(ms, 2),
        )
        _handler.write(line)


def request(*, method: str, route: str, status: int, request_id: str, ms: float) -> None:
    """One HTTP request."""
    if _wanted(_requests):
        line = _Request(
            time=_spell_time(time.time()),
            level="INFO",
            logger=_requests.name,
            method=method,
            route=route,
            status=status,
            request_id=request_id,
            ms=round(ms, 2),
        )
        _handler.write(line)


def _wanted(logger: logging.Logger) -> bool:
    return logger.isEnabledFor(logging.INFO) and _handler in _ours.handlers


def failure(error: BaseException) -> None:
    """An error that nobody foresaw: its type and place, never its text."""
    _requests.error("a request failed", exc_info=error)
