"""Who tells servers which of their streams shall end: `work`, where their REST addresses are set.

Whatever becomes of the call, the stream stays marked: at the latest its next keep-alive is refused.
"""

import logging
from functools import partial
from typing import Final

from chalicelib.outbox import outgoing, owed
from chalicelib.outbox.outgoing import Limits, Outcome
from chalicelib.store import keys
from chalicelib.store.keys import Key
from chalicelib.wcs import messages, settings, store, stream
from chalicelib.wcs.errors import Unusable
from chalicelib.wcs.server import Server
from chalicelib.wcs.store import EndRow
from chalicelib.wire import basic

log = logging.getLogger(__name__)

PATH: Final = "/rest-api/stream/terminate"
UNKNOWN: Final = 404
LIMITS: Final = Limits(within_s=2.0, private=True)
"""The operator named the address: it may be one of the deployment's own network."""


def warm() -> None:
    """Load what certificates are checked with, where there is a server to call."""
    if settings.get().servers:
        outgoing.warm()


def tell(key: Key) -> None:
    """Serve a kick of the kind `wcs.end`.  Raises `Unavailable`."""
    row = owed.claim(EndRow, key)
    if row is None:
        return
    outcome = _pass_on(keys.wcs_of_end(key))
    if outcome is None or outcome.accepted or outcome.status == UNKNOWN:
        owed.insist(partial(owed.finish, row))
        return
    log.warning("a server was not told that a stream shall end: %s", outcome.reason)
    if outcome.retriable:
        owed.postpone(store.END, row, outcome.reason)
    else:
        owed.bury(store.END, key, outcome.reason, int(row.attempts))
        owed.settle(row)


def _pass_on(where: Key) -> Outcome | None:
    """What became of the call; `None` where there is nobody to call, or nothing to end any more.

    Raises `Unavailable`.
    """
    row = store.read(where)
    if row is None or row.final or row.ending is None:
        return None
    try:
        node = stream.identity(row.fields).node
    except Unusable as why:
        log.warning("a server cannot be told of a stream: %s", why)
        return None
    server = settings.get().server_of(node)
    if server is None:
        log.warning("a server cannot be told of a stream: its address is not set any more")
        return None
    body = messages.spell({"mediaSessionId": row.fields["mediaSessionId"]})
    return outgoing.send("POST", server.address + PATH, headers=_headers(server), body=body, limits=LIMITS)


def _headers(server: Server) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if server.login is not None:
        headers["Authorization"] = basic.spell(server.login)
    return headers
