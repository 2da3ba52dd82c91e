"""`/services` and `/services/{service}` (contract 5)."""

from chalice.app import Blueprint

from chalicelib.owt import spelling
from chalicelib.owt.actions import services as actions
from chalicelib.owt.routes import common
from chalicelib.owt.routes.common import Caller
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request

bp = Blueprint(__name__)


@common.unversioned(bp, "/services", ["GET"])
def listed(request: Request, caller: Caller) -> Reply:
    """Every service."""
    return spelling.document(actions.listed(caller))


@common.unversioned(bp, "/services", ["POST"])
def create(request: Request, caller: Caller) -> Reply:
    """Make a service of a name and a key."""
    return spelling.document(actions.create(caller, lambda: common.body(request)))


@common.unversioned(bp, "/services/{service}", ["GET"])
def look(request: Request, caller: Caller, service: str) -> Reply:
    """One service."""
    return spelling.document(actions.look(caller, service))


@common.unversioned(bp, "/services/{service}", ["DELETE"])
def delete(request: Request, caller: Caller, service: str) -> Reply:
    """End a service, and its rooms with it."""
    actions.delete(caller, service)
    return spelling.text("Service deleted")
