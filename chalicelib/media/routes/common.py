"""What the routes of the media plane share: their prefix; all else is as in the management API."""

from collections.abc import Callable, Sequence
from typing import Final

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.routes.common import METHODS, PREFLIGHT, Caller, Edge, View, body
from chalicelib.wire.reply import Reply

PREFIX: Final = "/media/v1"

_edge: Final = Edge(Blueprint(__name__), hooks=True)
close: Final = _edge.close
served: Final = _edge.served


def route(bp: Blueprint, path: str, methods: Sequence[str]) -> Callable[[View], View]:
    """Serve `path` below the prefix by a view of (request, caller, **ids of the path)."""

    def decorate(view: View) -> View:
        _edge.serve(bp, PREFIX + path, methods, view)
        return view

    return decorate


def done() -> Reply:
    """It was taken in, and there is nothing to say."""
    return Reply(204, "", dict(spelling.CORS))


__all__ = ["METHODS", "PREFIX", "PREFLIGHT", "Caller", "body", "close", "done", "route", "served"]
