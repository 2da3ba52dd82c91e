"""Who may call: servers by signature or login, users of the stream API by key or login (contract 4)."""

import hmac
import logging
from typing import Final
from urllib.parse import unquote

from chalicelib.errors import AppError, Unauthenticated
from chalicelib.wcs import settings
from chalicelib.wcs.errors import NotKnown, NotOpened
from chalicelib.wire import basic, bearer, wcs_hash
from chalicelib.wire.basic import Login, NotBasic
from chalicelib.wire.request import Request
from chalicelib.wire.wcs_hash import NotSigned

log = logging.getLogger(__name__)

SHOWN: Final = 64


def admit_server(request: Request, api: str) -> None:
    """Let a hook pass whose server proves that it is one of the api's.

    Raises `NotSigned`, `NotOpened`; `NotBasic` where a login is what it takes.
    """
    try:
        _check_server(request, unquote(api))
    except AppError as refused:
        log.warning("a hook of %r was refused: %s", unquote(api)[:SHOWN], _reason(refused))
        raise


def _check_server(request: Request, api: str) -> None:
    given = settings.get()
    secrets, logins = given.secrets_of(api), given.logins_of(api)
    header = request.header("authorization")
    if not secrets and not logins:
        if not given.is_open:
            raise NotOpened("This api is not set up")
    elif secrets and (wcs_hash.is_signature(header) or not logins):
        if not wcs_hash.signed(wcs_hash.parse(header), secrets, request.body):
            raise NotSigned("another signature")
    else:
        _check_login(header, logins)


def _check_login(header: str | None, logins: list[Login]) -> None:
    login = basic.parse(header)
    found = [basic.same(login, known) for known in logins]
    if not any(found):
        raise NotBasic("another user name or password")


def admit_user(request: Request) -> None:
    """Let a caller of the stream API pass who has a key or login.  Raises `NotKnown`."""
    try:
        _check_user(request.header("authorization"))
    except NotKnown as refused:
        log.warning("a call of the stream API was refused: %s", refused.reason)
        raise


def _check_user(header: str | None) -> None:
    given = settings.get()
    if not given.api_keys and not given.api_users:
        if not given.is_local:
            raise NotKnown("neither WCS_API_KEYS nor WCS_API_USERS is set")
        return
    try:
        if basic.is_basic(header):
            _check_login(header, given.api_logins)
            return
        token = bearer.parse_header(header).encode()
    except Unauthenticated as refused:
        raise NotKnown(_reason(refused)) from None
    found = [hmac.compare_digest(token, key.encode()) for key in given.api_keys]
    if not any(found):
        raise NotKnown("another key")


def _reason(refused: AppError) -> str:
    """What the log says; never what was sent."""
    if isinstance(refused, NotOpened):
        return "it has neither WCS_SECRETS nor WCS_USERS, and WCS_OPEN is not set"
    return str(getattr(refused, "reason", refused))
