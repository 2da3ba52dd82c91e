"""Events as API Gateway sends them, and calls of a Chalice app with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A REST proxy event for a route without parameters."""
    given = dict(headers or {})
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": path,
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
    """Have `app` serve one request."""
    # Lambda spells what a handler returns as JSON.
    answer = json.loads(json.dumps(app(rest_event(method, path, body, headers), None)))
    return Answer(answer["statusCode"], answer["headers"], answer["body"])
