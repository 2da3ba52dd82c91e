"""What is owed to the outside, and what of it could not be done."""

from typing import Any, Final

from chalicelib import clock
from chalicelib.admin import letters, paging, rollups, spelling
from chalicelib.admin.letters import Done
from chalicelib.admin.paging import Place, Some
from chalicelib.admin.routes.common import Call, route
from chalicelib.errors import ValidationError
from chalicelib.outbox import owed
from chalicelib.outbox.owed import Due
from chalicelib.wire.reply import Reply

CHOICES: Final = ("ids", "kind", "all")


@route("GET", "/dead")
def dead(call: Call) -> Reply:
    """A page of the dead letters, the newest first."""
    kind = _kind(call)
    wanted = (lambda letter: letter.kind == kind) if kind else None
    found, following = paging.collect(call.page(1), _read, wanted)
    return spelling.document(paging.answer([letters.shown(each) for each in found], following))


def _read(place: Place, limit: int) -> Some:
    rows, left = owed.dead_after(place[0] if place else "", limit, newest=True)
    return Some([(row, (row.sk,)) for row in rows], (left,) if left is not None else None)


def _kind(call: Call) -> str:
    """Raises `ValidationError`."""
    kind = call.text("kind", "")
    if kind and not letters.KIND.fullmatch(kind):
        raise ValidationError("kind: there is no such kind")
    return kind


@route("POST", "/dead/retry")
def retry(call: Call) -> Reply:
    """Have dead letters done again."""
    chosen = letters.choose(call.members(*CHOICES))
    call.audited(chosen.spelled)
    return _answer(call, "retried", letters.retry(chosen))


@route("POST", "/dead/drop")
def drop(call: Call) -> Reply:
    """Forget dead letters."""
    chosen = letters.choose(call.members(*CHOICES))
    call.audited(chosen.spelled)
    return _answer(call, "dropped", letters.drop(chosen))


def _answer(call: Call, verb: str, done: Done) -> Reply:
    call.facts |= {verb: done.count, "failed": len(done.failed), "more": done.more}
    found: dict[str, Any] = {verb: done.count, "failed": done.failed, "more": done.more}
    return spelling.document(found)


@route("GET", "/owed")
def due(call: Call) -> Reply:
    """What the last sweep found late, or waiting for another try; of one kind, what is due first."""
    kind = _kind(call)
    limit = call.number("limit", paging.USUAL, 1, paging.MOST)
    now = clock.now()
    if kind:
        found, more = owed.oldest(kind, limit)
        seen: float | None = now
    else:
        seen, every = rollups.overdue()
        found, more = every[:limit], len(every) > limit
    return spelling.document(
        {
            "items": [_due(each, now) for each in found],
            "next": None,
            "more": more,
            "measured_at": None if seen is None else int(seen * 1000),
        }
    )


def _due(each: Due, now: float) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "at": int(each.at * 1000),
        "attempts": each.attempts,
        "reason": each.reason,
        "overdue_s": round(max(0.0, now - each.at), 1),
    }
