"""Between Chalice and our own requests and replies: reading, answering, and spelling errors."""

import functools
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeAlias

from chalice.app import Request as ChaliceRequest
from chalice.app import Response

from chalicelib import ids, journal, metrics, tally
from chalicelib.errors import AppError
from chalicelib.store import table
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

Held: TypeAlias = ChaliceRequest
"""A request as Chalice holds it."""

P = ParamSpec("P")
Spelling = Callable[[AppError], Reply]

NAME_LENGTH: Final = len("x-request-id")
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
UNKNOWN_ROUTE: Final = json.dumps(
    {"code": 404, "errno": 999, "error": {"code": 1001, "message": "Resource not found"}},
    separators=(",", ":"),
)


def read(request: Held) -> Request:
    """The request that Chalice holds, its body untouched."""
    event = request.to_original_event()
    body = request.raw_body
    return Request(
        method=request.method,
        path=request.context.get("path") or request.path,
        path_parameters=request.uri_params or {},
        query=event.get("multiValueQueryStringParameters") or {},
        headers=event.get("headers") or {},
        body=body if isinstance(body, bytes) else body.encode(),
        source_ip=(request.context.get("identity") or {}).get("sourceIp") or "",
        stage=request.context.get("stage") or "",
        api_id=request.context.get("apiId") or "",
        resource=request.path,
    )


def _request_id(event: Mapping[str, Any]) -> str:
    for name, value in (event.get("headers") or {}).items():
        if len(name) == NAME_LENGTH and name.lower() == "x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value)
    return (event.get("requestContext") or {}).get("requestId") or ids.new(16)


def request_id(request: Held) -> str:
    """The id that a request's answer and line of the log have, where client or front gave it one."""
    return _request_id(request.to_original_event())


def speaks(
    current: Callable[[], Held],
    spell: Spelling,
    heed: Callable[[str, Reply], None] | None = None,
    *,
    hook: bool = False,
) -> Callable[[Callable[P, Reply]], Callable[P, Response]]:
    """Have a view answer with a `Reply`, and every error in its facade's own words.

    An error that nobody foresaw is a 500 in those words too, and its place goes to the log.  `heed` is told
    the method and what was answered.  Log and metrics name the route that Chalice found, or the one that the
    reply's notes name.  A `hook` is a view that another server calls.
    """

    def decorate(view: Callable[P, Reply]) -> Callable[P, Response]:
        facade = _facade(view.__module__)

        @functools.wraps(view)
        def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
            began = time.perf_counter()
            request = current()
            event = request.to_original_event()
            try:
                with table.budget():
                    reply = view(*args, **kwargs)
            except AppError as error:
                reply = spell(error)
            except Exception as error:
                journal.failure(error)
                reply = spell(Unforeseen())
            route = reply.notes.get("route", request.path)
            sort = tally.REFUSED if reply.status >= 400 else tally.REQUESTS
            if reply.status >= 500:
                # Some contracts refuse with a 500 what is no fault of ours.
                if "decided" in reply.notes:
                    metrics.REFUSALS.add(1, route)
                else:
                    metrics.SERVER_ERRORS.add(1, route)
                    sort = tally.ERRORS
            if heed is not None:
                heed(request.method, reply)
            request_id = _request_id(event)
            ms = (time.perf_counter() - began) * 1000
            journal.request(
                **{
                    **reply.notes,
                    "method": request.method,
                    "route": route,
                    "status": reply.status,
                    "request_id": request_id,
                    "ms": ms,
                }
            )
            if facade in tally.FACADES:
                status = reply.status
                tally.note(facade, request.method, route, status, request_id, ms, sort=sort, hook=hook)
                tally.tell_if_due(ms / 1000)
            headers = {**reply.headers, "x-request-id": request_id}
            # Lambda's answer is JSON, so a body is text.
            body = reply.body.decode() if isinstance(reply.body, bytes) else reply.body
            return _Text(body=body, headers=headers, status_code=reply.status)

        return answer

    return decorate


def _facade(module: str) -> str:
    """The package in which a view stands.

    >>> _facade("chalicelib.loop.routes.common")
    'loop'
    """
    return module.removeprefix("chalicelib.").partition(".")[0]


class _Text(Response):  # type: ignore[misc]
    """A response whose body is text and whose headers stand once each: nothing is left to find out."""

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:
        """The answer as Lambda gives it."""
        return {
            "headers": dict(self.headers),
            "multiValueHeaders": {},
            "statusCode": self.status_code,
            "body": self.body,
        }


class Unforeseen(AppError):
    """Something failed that no rule foresaw."""

    def __init__(self) -> None:
        super().__init__("internal error")
