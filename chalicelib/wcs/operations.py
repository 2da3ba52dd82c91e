"""What `/openapi.json` says of hooks and the stream API."""

from typing import Any, Final

import msgspec

from chalicelib.operations import Operation
from chalicelib.wcs import routes
from chalicelib.wcs.messages import WcsProblem

TAG: Final = "wcs"
Document = dict[str, Any]


class WcsQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Values that a stream has to equal; any other field of a stream may be named too."""

    mediaSessionId: str | None = None  # noqa: N815 - the wire's name, which msgspec would spell otherwise
    name: str | None = None
    published: bool | None = None


_FAILS: Final = {500: ("Storage failed", WcsProblem)}
_BAD: Final = {400: ("The body is not a JSON object, or not of this form", WcsProblem)}
_TOO_MANY: Final = {400: ("The list is larger than 6 MB, or `stale` is no truth value", WcsProblem)}
_LARGE: Final = {413: ("The body is larger than 1 MiB", WcsProblem)}
_NONE: Final = {404: ("There is no such stream", WcsProblem)}
_KEY: Final = {401: ("No key or login, or not one of ours", WcsProblem)}
_WRONG_METHOD: Final = {405: ("This method is not allowed here", WcsProblem)}
_HOOK: Final = {
    200: ("What was sent; for `connect` with `restClientConfig`", Document),
    401: ("No login, or another one", WcsProblem),
    403: ("No signature, or another one; or this stream shall end", WcsProblem),
    404: ("No hook has a name like this", WcsProblem),
}

OPERATIONS: Final = (
    Operation(
        "POST",
        routes.HOOK,
        "A server tells something",
        TAG,
        _HOOK | _BAD | _LARGE | _FAILS,
        Document,
        "wcsServer",
    ),
    Operation(
        "POST",
        routes.FIND_ALL,
        "All streams (stale=true: those that have fallen silent)",
        TAG,
        {200: ("The streams", list[Document])} | _TOO_MANY | _KEY | _NONE | _FAILS,
        None,
        "wcsUser",
    ),
    Operation(
        "POST",
        routes.FIND,
        "The streams that equal what is given",
        TAG,
        {200: ("The streams", list[Document])} | _BAD | _KEY | _NONE | _LARGE | _FAILS,
        WcsQuery,
        "wcsUser",
    ),
    Operation(
        "POST",
        routes.TERMINATE,
        "Ask for the end of streams; an id or a name is needed",
        TAG,
        {200: ("Asked for", Document)} | _BAD | _KEY | _NONE | _LARGE | _FAILS,
        WcsQuery,
        "wcsUser",
    ),
)


def unserved() -> list[Operation]:
    """Methods that the paths do not have."""
    return [
        Operation(method, path, "Not allowed", TAG, _WRONG_METHOD)
        for path in routes.PATHS
        for method in routes.UNSERVED
    ]


def every() -> list[Operation]:
    """All operations."""
    return [*OPERATIONS, *unserved()]
