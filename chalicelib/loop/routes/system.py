"""`/push-server-config` and the heartbeats, which anybody may ask for (contract 2)."""

from chalice.app import Blueprint

from chalicelib import ids
from chalicelib.loop import media, settings, spelling
from chalicelib.loop.auth import Call
from chalicelib.loop.routes import common
from chalicelib.store import health
from chalicelib.wire.reply import Reply

bp = Blueprint(__name__)


@common.route(bp, "/push-server-config", ["GET"])
def push_server(call: Call) -> Reply:
    """The push server that a client is to register with: one of those that are set."""
    return spelling.document({"pushServerURI": ids.chance.choice(settings.get().push_servers)})


@common.route(bp, "/__lbheartbeat__", ["GET"])
def runs(call: Call) -> Reply:
    """The process answers; nothing is asked."""
    return spelling.document({})


@common.route(bp, "/__heartbeat__", ["GET"])
def works(call: Call) -> Reply:
    """Whether what the service needs answers, one by one."""
    found = {"storage": not health.failing(), "provider": media.answers()}
    if all(found.values()):
        return spelling.document(found)
    return spelling.document(found, 503, {"Retry-After": spelling.RETRY_AFTER_S})
