"""`/session`: sign in with a token, look who is signed in, sign out."""

from typing import Any, Final

from chalicelib import settings as process
from chalicelib.admin import auth, settings, spelling
from chalicelib.admin.auth import COOKIE, Caller
from chalicelib.admin.routes.common import Call, route
from chalicelib.system.openapi import VERSION
from chalicelib.wire.reply import Reply

OPEN_STAGE: Final = "local"
"""The only one that is served without TLS."""


@route("POST", "/session", anybody=True)
def begin(call: Call) -> Reply:
    """Sign in: the token once, a cookie from then on."""
    call.caller = auth.begin(call.member("token").strip(), call.request.source_ip)
    headers = {"Set-Cookie": _cookie(call.caller.cookie, settings.get().session_s)}
    return spelling.document(_shown(call.caller), headers=headers)


@route("GET", "/session")
def look(call: Call) -> Reply:
    """Who is signed in, and until when."""
    return spelling.document(_shown(call.caller))


@route("DELETE", "/session")
def end(call: Call) -> Reply:
    """Sign out: the session is over everywhere."""
    auth.end(call.caller)
    return spelling.nothing({"Set-Cookie": _cookie("", 0)})


def _shown(caller: Caller) -> dict[str, Any]:
    return {
        "name": caller.name,
        "csrf": caller.csrf or None,
        "expires_at": None if caller.until is None else int(caller.until * 1000),
        "stage": process.get().stage,
        "version": VERSION,
    }


def _cookie(value: str, lives_s: int) -> str:
    secure = "" if process.get().stage == OPEN_STAGE else "; Secure"
    return f"{COOKIE}={value}; Path=/; Max-Age={lives_s}; HttpOnly; SameSite=Strict{secure}"
