"""OpenAPI 3.1 from the operations and the msgspec types behind them.  Pure."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from chalicelib.operations import Operation

TITLE: Final = "Foyer"
VERSION: Final = "0.1.0"
SCHEMES: Final = {
    "serverToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A server-to-server token (ASAP), signed with a key of JITSI_SERVER_KEYS.",
    },
    "mauth": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "MAuth: `MAuth realm=...,mauth_serviceid=...,mauth_signature=...`; see docs/owt.md.",
    },
    "hawk": {
        "type": "http",
        "scheme": "hawk",
        "description": "Hawk, under credentials made of a Hawk-Session-Token; see docs/loop.md.",
    },
    "wcsServer": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`WCS <HMAC-MD5 of the body>`, or Basic; see docs/wcs.md.",
    },
    "wcsUser": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of WCS_API_KEYS, or Basic with a login of WCS_API_USERS.",
    },
    "soraKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of SORA_API_KEYS, for webhooks of SORA_EVENT_KEYS; see docs/sora.md.",
    },
    "adminToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token whose SHA-256 is in ADMIN_TOKENS, or a session's cookie; see docs/admin.md.",
    },
}
_PARAMETER: Final = re.compile(r"\{([^}]+)\}")


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    listed = list(operations)
    types = [each.body for each in listed if each.body is not None]
    types += [kind for each in listed for _, kind in each.answers.values() if kind is not None]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in listed:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
    }


def _operation(operation: Operation, schema_of: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "tags": [operation.tag],
        "operationId": re.sub(r"[^a-z0-9]+", "-", f"{operation.method} {operation.path}".lower()).strip("-"),
        "responses": {
            str(status): _answer(*answer, schema_of) for status, answer in operation.answers.items()
        },
    }
    names = _PARAMETER.findall(operation.path)
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[operation.body]}},
        }
    if operation.security is not None:
        described["security"] = [{operation.security: []}]
    return described


def _answer(meaning: str, kind: Any, schema_of: dict[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": meaning}
    if kind is not None:
        answer["content"] = {"application/json": {"schema": schema_of[kind]}}
    return answer


def meanings(*statuses: int, kind: Any) -> dict[int, tuple[str, Any]]:
    """Statuses by their standard phrase, each with the same type of body."""
    return {status: (HTTPStatus(status).phrase, kind) for status in statuses}
