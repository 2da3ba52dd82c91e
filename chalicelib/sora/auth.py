"""Who may use which door: keys, compared in constant time; none set means closed (contract 1.3 and 6)."""

import hmac
import logging
from collections.abc import Sequence

from chalicelib.errors import Unauthenticated
from chalicelib.sora import settings
from chalicelib.wire import bearer
from chalicelib.wire.request import Request

log = logging.getLogger(__name__)


def authenticate(request: Request) -> None:
    """Let a caller of the operations pass.  Raises `Unauthenticated`."""
    ours = settings.get()
    if not ours.open:
        _prove([_bearer(request)], ours.api_keys, "the API")


def authenticate_event(request: Request) -> None:
    """Let a media server's webhook pass, which may bring its key in the URL.  Raises `Unauthenticated`."""
    ours = settings.get()
    if not ours.open:
        given = [_bearer(request), *(request.query.get("key") or [])]
        _prove(given, ours.event_keys or ours.api_keys, "the event webhook")


def authenticate_socket(access_token: object) -> None:
    """Let who wants to listen pass.  Raises `Unauthenticated`."""
    ours = settings.get()
    if not (ours.open or ours.socket_open):
        _prove([access_token] if isinstance(access_token, str) else [], ours.socket_keys, "the socket")


def _bearer(request: Request) -> str:
    try:
        return bearer.parse_header(request.header("authorization"))
    except Unauthenticated:
        return ""


def _prove(given: Sequence[str], accepted: Sequence[str], door: str) -> None:
    """Compare all with all: the time says nothing of which came close.  Raises `Unauthenticated`."""
    found = [
        hmac.compare_digest(text.encode(errors="replace"), key.encode()) for text in given for key in accepted
    ]
    if True not in found:
        log.info("no key that %s accepts%s", door, "" if accepted else ": none is set")
        raise Unauthenticated("no key that is accepted")
