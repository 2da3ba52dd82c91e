"""`/overview`: what is served, waits and is owed; `/events`: what was served last."""

from typing import Any, Final

from chalicelib import settings as process
from chalicelib import tally
from chalicelib.admin import overview, spelling
from chalicelib.admin.overview import Wanted
from chalicelib.admin.routes.common import Call, route
from chalicelib.system.openapi import VERSION
from chalicelib.tally import Event
from chalicelib.wire.reply import Reply

USUAL_MINUTES: Final = 15
USUAL_LIMIT: Final = 50
LARGEST_LIMIT: Final = 100


@route("GET", "/overview")
def look(call: Call) -> Reply:
    """Counters of now, and the minutes before."""
    minutes = call.number("minutes", USUAL_MINUTES, 1, overview.LONGEST)
    here = {"stage": process.get().stage, "version": VERSION}
    return spelling.document({**here, **overview.overview(minutes)})


@route("GET", "/events")
def events(call: Call) -> Reply:
    """The last requests and messages, the newest first."""
    sort = tally.ERRORS if call.flag("errors") else tally.REFUSED if call.flag("refused") else ""
    wanted = Wanted(call.text("request_id", ""), call.text("facade", ""), sort)
    limit = call.number("limit", USUAL_LIMIT, 1, LARGEST_LIMIT)
    found = overview.events(wanted, limit, call.text("after", ""))
    return spelling.document({"items": [_shown(each) for each in found.events], "next": found.following})


def _shown(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "request_id": event.request_id,
        "method": event.method,
        "route": event.route,
        "facade": event.facade,
        "status": event.status,
        "ms": event.ms,
    }
