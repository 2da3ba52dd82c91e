"""What the routes of Loop share: both prefixes, limits, preflights, and what every answer carries."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from chalice.app import Blueprint

from chalicelib import clock, journal, web
from chalicelib.errors import AppError
from chalicelib.loop import spelling
from chalicelib.loop.auth import LARGEST_BODY, Call, Hawk
from chalicelib.loop.errors import NotAcceptable, TooLarge, UnknownPath
from chalicelib.wire import accept, hawk
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

View: TypeAlias = Callable[..., Reply]

PREFIXES: Final = ("", "/v0")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PREFLIGHT: Final = "OPTIONS"
LONGEST_NOTE: Final = 256

rest = Blueprint(__name__)
"""Preflights, and the methods that a path does not have; `close` fills it."""

_served: dict[str, set[str]] = {}


def route(bp: Blueprint, path: str, methods: Sequence[str]) -> Callable[[View], View]:
    """Serve `path`, bare and below `/v0`, by a view of (call, **names of the path)."""

    def decorate(view: View) -> View:
        for prefix in PREFIXES:
            _served.setdefault(prefix + path, set()).update(methods)
            _register(bp, prefix + path, methods, view)
        return view

    return decorate


def close() -> Blueprint:
    """The blueprint of what is left of every path that was given a route; to be called once, after all."""
    for path, served in _served.items():
        _register(rest, path, [PREFLIGHT], _preflight)
        _register(rest, path, [method for method in METHODS if method not in served], _unknown)
    return rest


def served() -> dict[str, frozenset[str]]:
    """The methods that are served, by path."""
    return {path: frozenset(methods) for path, methods in _served.items()}


def _register(bp: Blueprint, path: str, methods: Sequence[str], view: View) -> None:
    def answer(**names: str) -> Reply:
        call = Call(web.read(bp.current_request))
        try:
            _admit(call.request)
            reply = view(call, **names)
        except AppError as error:
            call.note(refused=getattr(error, "reason", None))
            reply = spelling.spell(error)
        except Exception as error:
            journal.failure(error)
            reply = spelling.spell(web.Unforeseen())
        return _complete(call, reply)

    speaking = web.speaks(lambda: bp.current_request, spelling.spell)(answer)
    bp.route(path, methods=list(methods), content_types=["*/*"])(speaking)


def _preflight(call: Call, **_: str) -> Reply:
    """A page asks what it may send; it need not prove anything for that."""
    return spelling.preflight()


def _unknown(call: Call, **_: str) -> Reply:
    """Nobody serves this method here."""
    raise UnknownPath


def _admit(request: Request) -> None:
    """Refuse what no route takes.  Raises `TooLarge`, `NotAcceptable`."""
    if len(request.body) > LARGEST_BODY:
        raise TooLarge("the body is longer than 100 KiB")
    if not accept.takes(request.header("accept"), "application", "json"):
        raise NotAcceptable


def _complete(call: Call, reply: Reply) -> Reply:
    """The answer with all that every answer carries; the signature last, over what leaves."""
    request = call.request
    headers = dict(reply.headers) | spelling.origin_headers(request.header("origin"))
    if reply.status in (200, 401):
        headers["Timestamp"] = str(int(clock.now()))
    if call.signed is not None:
        body = reply.body if isinstance(reply.body, bytes) else reply.body.encode()
        headers["Server-Authorization"] = hawk.answer(call.signed, headers.get("Content-Type", ""), body)
    return Reply(reply.status, reply.body, headers, _line(call, reply))


def _line(call: Call, reply: Reply) -> dict[str, object]:
    """What the log's line says (contract 7.5.4); its time, method, status and route it has from elsewhere."""
    request = call.request
    return {
        "code": reply.status,
        "path": request.path,
        "agent": (request.header("user-agent") or "")[:LONGEST_NOTE],
        "loopAddonVersion": (request.header("x-loop-addon-ver") or "")[:LONGEST_NOTE],
        "userType": "Unregistered" if isinstance(call.caller, Hawk) else "Link-clicker",
        **call.notes,
        **reply.notes,
    }


__all__ = ["Call", "close", "rest", "route", "served"]
