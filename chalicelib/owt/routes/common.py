"""What the routes of every resource share: both prefixes, authentication, bodies, unserved methods."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

from chalice.app import Blueprint

from chalicelib import web
from chalicelib.owt import auth, spelling
from chalicelib.owt.auth import Caller
from chalicelib.owt.errors import NoResource
from chalicelib.wire import untrusted
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request
from chalicelib.wire.untrusted import Json

Version: TypeAlias = Literal["v1", "v1.1"]
View: TypeAlias = Callable[..., Reply]

VERSIONS: Final[tuple[Version, ...]] = ("v1", "v1.1")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PREFLIGHT: Final = "OPTIONS"
LARGEST_BODY: Final = 1 << 20


class Edge:
    """Paths and their views: callers authenticated, answers in the envelope, and what paths lack."""

    def __init__(self, rest: Blueprint, *, hooks: bool = False) -> None:
        """`rest` is for preflights and for methods that a path does not have; `close` fills it.

        `hooks` says that other servers call these paths.
        """
        self.rest: Final = rest
        self._hooks = hooks
        self._served: dict[str, set[str]] = {}

    def serve(self, bp: Blueprint, path: str, methods: Sequence[str], view: View, **given: Any) -> None:
        """Serve `path` by a view of (request, caller, **what is given, **ids of the path)."""

        def answer(**names: str) -> Reply:
            request = web.read(bp.current_request)
            return view(request, auth.authenticate(request), **given, **names)

        self._served.setdefault(path, set()).update(methods)
        _register(bp, path, methods, answer, hook=self._hooks)

    def close(self) -> Blueprint:
        """The blueprint of what is left of every path; to be called once, after all."""
        for path, served in self._served.items():
            _register(self.rest, path, [PREFLIGHT], _preflight)
            _register(self.rest, path, [method for method in METHODS if method not in served], _unknown)
        return self.rest

    def served(self) -> dict[str, frozenset[str]]:
        """The methods that are served, by path."""
        return {path: frozenset(methods) for path, methods in self._served.items()}


def _register(bp: Blueprint, path: str, methods: Sequence[str], answer: View, *, hook: bool = False) -> None:
    speaking = web.speaks(lambda: bp.current_request, spelling.spell, hook=hook)(answer)
    bp.route(path, methods=list(methods), content_types=["*/*"])(speaking)


def _preflight(**_: str) -> Reply:
    """A page asks what it may send; it need not prove anything for that."""
    return spelling.preflight()


def _unknown(**_: str) -> Reply:
    """Nobody serves this method here: 404, whoever asks (contract section 2)."""
    raise NoResource("there is no such method here")


_edge: Final = Edge(Blueprint(__name__))
close: Final = _edge.close
served: Final = _edge.served


def route(bp: Blueprint, path: str, methods: Sequence[str]) -> Callable[[View], View]:
    """Serve `path` below `/v1` and `/v1.1` by a view of (request, caller, version, **ids of the path)."""

    def decorate(view: View) -> View:
        for version in VERSIONS:
            _edge.serve(bp, f"/{version}{path}", methods, view, version=version)
        return view

    return decorate


def unversioned(bp: Blueprint, path: str, methods: Sequence[str]) -> Callable[[View], View]:
    """Serve `path`, which has no version, by a view of (request, caller, **ids of the path)."""

    def decorate(view: View) -> View:
        _edge.serve(bp, path, methods, view)
        return view

    return decorate


def body(request: Request, limit: int = LARGEST_BODY) -> Json:
    """The body as JSON of at most 1 MiB, or of so many bytes.  Raises `ValidationError`."""
    return untrusted.parse(request.body, limit=limit)


__all__ = ["Caller", "Edge", "Version", "View", "body", "close", "route", "served", "unversioned"]
