"""Channels, and the metadata of their connections."""

from typing import Any, Final

import msgspec

from chalicelib.admin import paging, spelling
from chalicelib.admin.paging import Place, Some
from chalicelib.admin.routes.common import Call, route
from chalicelib.realtime import fronts
from chalicelib.sora import store
from chalicelib.sora.store import EMPTY, ConnectionRow
from chalicelib.wire.reply import Reply

LARGEST: Final = 16 * 1024
"""Bytes of metadata that are shown."""
LATELY_S: Final = 120.0


@route("GET", "/sora/channels")
def listed(call: Call) -> Reply:
    """A page of all channels that were heard of in the last day, by id."""
    search = call.text("search", "").casefold()
    wanted = (lambda row: search in row.name.casefold()) if search else None
    found, following = paging.collect(call.page(1), _read, wanted)
    items = [{"channel_id": row.name, "seen_at": int(row.seen * 1000)} for row in found]
    return spelling.document(paging.answer(items, following))


def _read(place: Place, limit: int) -> Some:
    rows, left = store.noted_after(place[0] if place else "", limit)
    return Some([(row, (row.name,)) for row in rows], (left,) if left is not None else None)


@route("GET", "/sora/channel")
def channel(call: Call) -> Reply:
    """A channel's connections with their metadata, a page at a time."""
    channel_id = call.text("id")

    def read(place: Place, limit: int) -> Some:
        rows, left = store.listed_after(channel_id, place[0] if place else "", limit)
        return Some([(row, (row.sk,)) for row in rows], (left,) if left is not None else None)

    found, following = paging.collect(call.page(1), read)
    if any(row.front is not None for row in found):
        alive = fronts.lately_alive(LATELY_S)
        found = [row for row in found if row.front is None or row.front in alive]
    shown = [_shown(row) for row in found]
    return spelling.document({"channel_id": channel_id, "connections": shown, "next": following})


def _shown(row: ConnectionRow) -> dict[str, Any]:
    text = (row.metadata or EMPTY).encode()
    return {
        "connection_id": row.connection_id,
        "client_id": row.client,
        "bundle_id": row.bundle,
        "role": row.role,
        "session_id": row.session_id,
        "door": row.door,
        "created_at": int(row.created * 1000) if row.created is not None else None,
        "metadata": msgspec.Raw(text) if len(text) <= LARGEST else None,
        "metadata_bytes": len(text),
    }
