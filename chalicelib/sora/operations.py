"""What `/openapi.json` says of the metadata API."""

from typing import Any, Final

import msgspec

from chalicelib.operations import Operation
from chalicelib.sora.routes import EVENT_PATH, PATH, REFUSED

TAG: Final = "sora"
SECURITY: Final = "soraKey"


class SoraProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error of the metadata API."""

    error_type: str
    error_reason: Any = None


class SoraMethodProblem(msgspec.Struct, frozen=True):
    """An error of a request that cannot be an operation at all."""

    type: str


class SoraAsk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operation is done to; which keys it demands depends on `x-sora-target`."""

    channel_id: str
    connection_id: str = ""
    metadata: dict[str, Any] | None = None
    key: str = ""
    value: Any = None
    push: bool = False


class SoraConnection(msgspec.Struct, frozen=True):
    """A connection in the list of a channel."""

    client_id: str
    bundle_id: str
    connection_id: str
    metadata: dict[str, Any]


class SoraEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a media server tells of a connection; it has more keys, which are not looked at."""

    type: str
    channel_id: str = ""
    connection_id: str = ""
    client_id: str = ""
    bundle_id: str = ""
    role: str = ""
    session_id: str = ""


_REFUSALS: Final = {
    400: ("No or an unknown operation, a body that breaks its schema, or no such connection", SoraProblem),
    401: ("The key is missing or wrong", SoraProblem),
    413: ("The body is too large", SoraProblem),
    500: ("Storage does not answer, or something else; the same request may succeed later", SoraProblem),
}
_WRONG_METHOD: Final = {
    400: ("POST is expected", SoraMethodProblem),
    401: ("The key is missing or wrong", SoraProblem),
}

OPERATIONS: Final = (
    Operation(
        "POST",
        PATH,
        "Read or change the metadata of connections: one of the six operations named by x-sora-target",
        TAG,
        {
            200: ("The metadata, or the connections of a channel", list[SoraConnection] | dict[str, Any]),
            **_REFUSALS,
        },
        SoraAsk,
        SECURITY,
    ),
    Operation("OPTIONS", PATH, "What a page may send", TAG, {204: ("The headers say it", None)}),
    *(Operation(method, PATH, "Not an operation", TAG, _WRONG_METHOD, None, SECURITY) for method in REFUSED),
    Operation(
        "POST",
        EVENT_PATH,
        "A media server's event webhook",
        TAG,
        {200: ("Kept, or of no interest", dict[str, Any]), **_REFUSALS},
        SoraEvent,
        SECURITY,
    ),
    *(
        Operation(method, EVENT_PATH, "Not an event", TAG, _WRONG_METHOD, None, SECURITY)
        for method in REFUSED
    ),
)
