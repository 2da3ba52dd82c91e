"""What `/openapi.json` says of the queue's routes."""

from typing import Final

from chalicelib.jitsi.messages import GoLive, GoLiveAnswer, Problem
from chalicelib.jitsi.routes import PATH
from chalicelib.operations import Operation

REFUSALS: Final = {
    400: ("The body is not a JSON object", Problem),
    401: ("The token is missing, or proves nothing", Problem),
    403: ("The token is a user's, or does not cover the conference", Problem),
    404: ("The conference is missing, or is not room@host", Problem),
    413: ("The body is larger than 8 KiB", Problem),
    415: ("The body is of another type than JSON", Problem),
    503: ("Storage does not answer; nothing has changed, or the same call completes it", Problem),
}
_WRONG_METHOD: Final = {405: ("This method is not allowed here", Problem)}

OPERATIONS: Final = (
    Operation(
        "POST",
        PATH,
        "The conference is live: release everybody who waits",
        "jitsi",
        {200: ("Durably recorded", GoLiveAnswer), **REFUSALS},
        GoLive,
        "serverToken",
    ),
    Operation(
        "DELETE",
        PATH,
        "The conference is not live any more",
        "jitsi",
        {200: ("Durably recorded", GoLiveAnswer), **REFUSALS},
        GoLive,
        "serverToken",
    ),
    *(
        Operation(method, PATH, "Not allowed", "jitsi", _WRONG_METHOD)
        for method in ("GET", "HEAD", "PUT", "PATCH")
    ),
)
