"""Events as API Gateway sends them, and calls of a Chalice app with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from infra.gateway.router import NOT_FOUND, Router


@dataclass(frozen=True)
class Answer:
    """What a REST handler returned."""

    status: int
    headers: Mapping[str, str]
    body: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """A header, its name in any case."""
        return {key.lower(): value for key, value in self.headers.items()}.get(name.lower())


def rest_event(
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    resource: str = "",
    parameters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A REST proxy event; `path` may have a query, and `resource` is the route where that differs from it."""
    given = dict(headers or {})
    path, _, text = path.partition("?")
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(parameters) if parameters else None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource or path,
            "httpMethod": method,
            "path": path,
            "stage": "test",
            "requestId": "7d0d59b0-f6b6-403b-aff8-1e04e36a4b28",
            "identity": {"sourceIp": "127.0.0.1", "userAgent": "test"},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def call(
    app: Any, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Have `app` serve one request, on the route that API Gateway would find for it."""
    found = Router(app.routes).match(path.partition("?")[0])
    if found is None:
        return Answer(404, {"Content-Type": "application/json"}, NOT_FOUND.decode())
    resource, parameters = found
    event = rest_event(method, path, body, headers, resource=resource, parameters=parameters)
    # Lambda spells what a handler returns as JSON.
    answer = json.loads(json.dumps(app(event, None)))
    return Answer(answer["statusCode"], answer["headers"], answer["body"])
