"""What the routes of the media plane share: the prefix, authentication, bodies, unserved methods."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from chalice.app import Blueprint

from chalicelib import web
from chalicelib.owt import auth, spelling
from chalicelib.owt.errors import NoResource
from chalicelib.owt.routes.common import LARGEST_BODY, METHODS, PREFLIGHT, Caller
from chalicelib.wire import untrusted
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request
from chalicelib.wire.untrusted import Json

View: TypeAlias = Callable[..., Reply]

PREFIX: Final = "/media/v1"

rest = Blueprint(__name__)
"""Preflights, and the methods that a path does not have; `close` fills it."""

_served: dict[str, set[str]] = {}


def route(bp: Blueprint, path: str, methods: Sequence[str]) -> Callable[[View], View]:
    """Serve `path` below the prefix by a view of (request, caller, **ids of the path)."""

    def decorate(view: View) -> View:
        def answer(**names: str) -> Reply:
            request = web.read(bp.current_request)
            return view(request, auth.authenticate(request), **names)

        _served.setdefault(PREFIX + path, set()).update(methods)
        _register(bp, PREFIX + path, methods, answer)
        return view

    return decorate


def _register(bp: Blueprint, path: str, methods: Sequence[str], answer: View) -> None:
    speaking = web.speaks(lambda: bp.current_request, spelling.spell)(answer)
    bp.route(path, methods=list(methods), content_types=["*/*"])(speaking)


def close() -> Blueprint:
    """The blueprint of what is left of every path that was given a route; to be called once, after all."""
    for path, served in _served.items():
        _register(rest, path, [PREFLIGHT], _preflight)
        _register(rest, path, [method for method in METHODS if method not in served], _unknown)
    return rest


def _preflight(**_: str) -> Reply:
    """A page asks what it may send; it need not prove anything for that."""
    return spelling.preflight()


def _unknown(**_: str) -> Reply:
    """Nobody serves this method here: 404, whoever asks."""
    raise NoResource("there is no such method here")


def served() -> dict[str, frozenset[str]]:
    """The methods that are served, by path."""
    return {path: frozenset(methods) for path, methods in _served.items()}


def body(request: Request, limit: int = LARGEST_BODY) -> Json:
    """The body as JSON of at most 1 MiB, or of so many bytes.  Raises `ValidationError`."""
    return untrusted.parse(request.body, limit=limit)


def done() -> Reply:
    """It was taken in, and there is nothing to say."""
    return Reply(204, "", dict(spelling.CORS))


__all__ = ["METHODS", "PREFIX", "PREFLIGHT", "Caller", "body", "close", "done", "rest", "route", "served"]
