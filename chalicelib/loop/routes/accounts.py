"""`/registration`, `/session` and `/account` (contract section 5)."""

from chalice.app import Blueprint

from chalicelib.loop import auth, spelling
from chalicelib.loop.actions import accounts as actions
from chalicelib.loop.auth import Call
from chalicelib.loop.errors import NoAccounts
from chalicelib.loop.routes import common
from chalicelib.wire.reply import Reply

bp = Blueprint(__name__)

SESSION_TOKEN = "Hawk-Session-Token"


@common.route(bp, "/registration", ["POST"])
def register(call: Call) -> Reply:
    """New credentials for nobody; for somebody who has some, where to push."""
    caller = auth.hawk_or_nobody(call)
    token = actions.register(caller, call.json(), call.request.query)
    return spelling.document({}, headers={} if token is None else {SESSION_TOKEN: token})


@common.route(bp, "/registration", ["DELETE"])
def unregister(call: Call) -> Reply:
    """Push nowhere any more."""
    actions.unregister(auth.hawk(call))
    return spelling.empty()


@common.route(bp, "/session", ["DELETE"])
def end_session(call: Call) -> Reply:
    """For users of accounts, and there are none."""
    auth.hawk(call)
    raise NoAccounts


@common.route(bp, "/account", ["DELETE"])
def delete_account(call: Call) -> Reply:
    """The credentials end; the caller's rooms are left to expire."""
    actions.delete_account(auth.hawk(call))
    return spelling.empty()
