"""How the metadata API answers: the framework's words for errors, and CORS where it is set (contract 1)."""

import json
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.errors import AppError, TooLarge, Unauthenticated, ValidationError
from chalicelib.sora import settings
from chalicelib.sora.errors import (
    AnswerTooLarge,
    BadData,
    ConnectionNotFound,
    EmptyBody,
    MalformedTarget,
    MetadataTooLarge,
    NoTarget,
    Target,
    UnknownTarget,
    WrongMethod,
)
from chalicelib.wire.reply import Reply

JSON: Final = {"content-type": "application/json"}
ALLOWED_HEADERS: Final = "Origin, X-Requested-With, Content-Type, Accept, x-sora-target"
LARGEST_ECHO: Final = 64 * 1024
"""An offending value that is longer is not repeated."""

PLAIN: Final[tuple[tuple[type[AppError], int, str, str], ...]] = (
    # The framework says `type` where a request cannot be an operation at all, elsewhere `error_type`.
    (Unauthenticated, 401, "error_type", "Unauthorized"),
    (WrongMethod, 400, "type", "UnexpectedMethod"),
    (NoTarget, 400, "type", "MissingHeaderName"),
    (MalformedTarget, 400, "error_type", "MissingService"),
    (TooLarge, 413, "error_type", "PayloadTooLarge"),
    (ConnectionNotFound, 400, "error_type", "ConnectionNotFound"),
    (AnswerTooLarge, 400, "error_type", "ResponseTooLarge"),
    (AppError, 500, "error_type", "HandlerException"),
)


def spell(error: AppError) -> Reply:
    """An error as the API answers it; what is not foreseen is a 500."""
    match error:
        case EmptyBody(target=None):
            return _error("MissingTarget")
        case EmptyBody(target=Target() as target):
            return _error("MissingTargetFunction", _spell_target(target))
        case UnknownTarget():
            return _error("SchemaNotFound", _spell_target(error.target))
        case BadData():
            return _error("InvalidJSON", f"[{_spell_fault(error)}]")
        case MetadataTooLarge():
            return _error("MetadataTooLarge", _json({"limit": error.limit}))
        case ValidationError() if not isinstance(error, TooLarge):
            return _error("InvalidJSON", '[{"invalid":"parse"}]')
    status, name, text = next(row[1:] for row in PLAIN if isinstance(error, row[0]))
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return document(_json({name: text}), status, headers)


def _error(kind: str, reason: str = "") -> Reply:
    more = f',"error_reason":{reason}' if reason else ""
    return document(f'{{"error_type":"{kind}"{more}}}', 400)


def _spell_target(target: Target) -> str:
    return _json(target._asdict())


def _spell_fault(error: BadData) -> str:
    data = error.value if len(error.value) <= LARGEST_ECHO else "null"
    return f'{{"invalid":"data","error":"{error.fault}","data":{data},"path":{_json(error.path)}}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def document(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """JSON text as it stands."""
    return Reply(status, text, {**JSON, **cors(), **(headers or {})})


def preflight() -> Reply:
    """What pages of the configured origin may send."""
    return Reply(204, "", cors())


def cors() -> dict[str, str]:
    """The headers that let pages of one origin read an answer; none where no origin is set."""
    origin = settings.get().cors_origin
    if not origin:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-headers": ALLOWED_HEADERS,
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-max-age": "1000",
    }
