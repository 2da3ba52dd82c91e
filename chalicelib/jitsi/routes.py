"""`POST` and `DELETE {base}/golive`: the one HTTP call that Prosody makes (contract section 8)."""

from typing import Final

from chalice.app import Blueprint

from chalicelib import metrics, web
from chalicelib.jitsi import auth, golive, messages, settings, spelling
from chalicelib.jitsi.messages import GoLiveAnswer
from chalicelib.wire.reply import Reply, json_reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)

PATH: Final = settings.get().queue_base_path + "/golive"
METHODS: Final = ("GET", "HEAD", "PUT", "PATCH")


def current() -> web.Held:
    """The request that this thread serves."""
    return bp.current_request


def heed(method: str, reply: Reply) -> None:
    """Count what became of a call: whoever waits depends on it."""
    if reply.status < 400:
        metrics.GOLIVES.add(1, method)
    elif reply.status < 500:
        metrics.GOLIVE_REFUSALS.add(1, str(reply.status))
    else:
        metrics.GOLIVE_FAILURES.add(1, str(reply.status))


@bp.route(PATH, methods=["POST"], content_types=["*/*"])
@web.speaks(current, spelling.spell, heed, hook=True)
def go_live() -> Reply:
    """Record that a conference is live and release its visitors: 200 once that is durable."""
    request = web.read(bp.current_request)
    _expect_json(request)
    caller = auth.authenticate_server(request.header("authorization"))
    conference = messages.read_golive(request)
    golive.go_live(caller, conference)
    return json_reply(GoLiveAnswer(conference.name, "live"))


@bp.route(PATH, methods=["DELETE"], content_types=["*/*"])
@web.speaks(current, spelling.spell, heed, hook=True)
def clear() -> Reply:
    """Record that a conference is not live any more, for instance because its room was destroyed."""
    request = web.read(bp.current_request)
    _expect_json(request)
    caller = auth.authenticate_server(request.header("authorization"))
    conference = messages.read_golive(request)
    golive.clear(caller, conference)
    return json_reply(GoLiveAnswer(conference.name, "waiting"))


@bp.route(PATH, methods=list(METHODS), content_types=["*/*"])
@web.speaks(current, spelling.spell)
def not_allowed() -> Reply:
    """Any other method: 405."""
    raise spelling.WrongMethod("POST, DELETE")


def _expect_json(request: Request) -> None:
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise spelling.WrongType("application/json is expected")
