"""`GET /healthz`, `/readyz` and `/openapi.json`."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from chalice.app import Blueprint

from chalicelib import web
from chalicelib.errors import AppError
from chalicelib.operations import Operation
from chalicelib.store import health
from chalicelib.system import openapi
from chalicelib.wire.reply import Reply, json_reply

bp = Blueprint(__name__)
log = logging.getLogger(__name__)

_offers: list[Callable[[], Sequence[Operation]]] = []
_document: list[bytes] = []


class Health(msgspec.Struct, frozen=True):
    """`ok`."""

    status: str


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """`ready`, or `unavailable` and what fails."""

    status: str
    failing: list[str] = []


OPERATIONS: Final = (
    Operation("GET", "/healthz", "The process answers", "system", {200: ("It does", Health)}),
    Operation(
        "GET",
        "/readyz",
        "Storage answers: one consistent read within 500 ms",
        "system",
        {200: ("It does", Readiness), 503: ("It does not; the body names what fails", Readiness)},
    ),
    Operation("GET", "/openapi.json", "This document", "system", {200: ("OpenAPI 3.1", None)}),
)


def offer(operations: Callable[[], Sequence[Operation]]) -> None:
    """Say what tells what the app offers; the composition root does this once."""
    _offers[:] = [operations]
    _document.clear()


def spell(error: AppError) -> Reply:
    """These routes refuse nothing; what fails is ours."""
    return json_reply(Health("error"), 500 if isinstance(error, web.Unforeseen) else 503)


def current() -> web.Held:
    """The request that this thread serves."""
    return bp.current_request


@bp.route("/healthz", methods=["GET"], content_types=["*/*"])
@web.speaks(current, spell)
def healthz() -> Reply:
    """The process answers; no storage is asked."""
    return json_reply(Health("ok"))


@bp.route("/readyz", methods=["GET"], content_types=["*/*"])
@web.speaks(current, spell)
def readyz() -> Reply:
    """Storage answers."""
    failing = health.failing()
    if failing:
        log.warning("not ready: %s", "; ".join(failing))
        return json_reply(Readiness("unavailable", failing), 503)
    return json_reply(Readiness("ready"))


@bp.route("/openapi.json", methods=["GET"], content_types=["*/*"])
@web.speaks(current, spell)
def document() -> Reply:
    """OpenAPI 3.1 of every route."""
    if not _document:
        operations = [each for told in _offers for each in told()]
        _document.append(msgspec.json.encode(openapi.document(operations)))
    return Reply(200, _document[0].decode(), {"Content-Type": "application/json"})
