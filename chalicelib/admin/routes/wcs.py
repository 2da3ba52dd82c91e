"""Streams of all media servers, as their events left them."""

from typing import Any, Final

import msgspec

from chalicelib.admin import paging, spelling
from chalicelib.admin.paging import Place, Some
from chalicelib.admin.routes.common import Call, route
from chalicelib.errors import ValidationError
from chalicelib.store import keys
from chalicelib.store.keys import Key
from chalicelib.wcs import store, stream
from chalicelib.wcs.store import StreamRow
from chalicelib.wire.reply import Reply

BEGIN: Final = "-"
"""The place before all rows of a part of the list."""
LONGEST: Final = 2048
"""Characters of a value that is shown."""
TEXTS: Final = {
    "name": "name",
    "media_session_id": "mediaSessionId",
    "server": "nodeId",
    "app_key": "appKey",
    "status": "status",
    "video_codec": "videoCodec",
    "audio_codec": "audioCodec",
}
VALUES: Final = {
    "published": "published",
    "has_video": "hasVideo",
    "has_audio": "hasAudio",
    "width": "width",
    "height": "height",
    "bitrate": "bitrate",
    "created": "createDate",
}
"""Names here and in events; whatever else a server says of a stream, no operator is shown."""


@route("GET", "/wcs/streams")
def listed(call: Call) -> Reply:
    """A page of all streams."""
    search = call.text("search", "").casefold()

    def wanted(row: StreamRow) -> bool:
        return search in stream.name_of(row.fields).casefold()

    found, following = paging.collect(call.page(2), _read, wanted if search else None)
    return spelling.document(paging.answer([_shown(row) for row in found], following))


def _read(place: Place, limit: int) -> Some:
    """The parts of the list one after the other, and the streams of what stands there in one call."""
    listed: list[Key] = []
    following: Place | None = place or ("0", BEGIN)
    while following is not None and len(listed) < limit:
        part, sk = _where(following)
        some, left = store.listed_after(part, sk, limit - len(listed))
        listed += some
        following = (str(part), left) if left is not None else None
        if following is None and part + 1 < keys.WCS_LISTS:
            following = (str(part + 1), BEGIN)
    parts = {pk: str(part) for part, pk in enumerate(keys.wcs_lists())}
    return Some([(row, (parts[at.pk], at.sk)) for at, row in store.of_list(listed)], following)


def _where(place: Place) -> tuple[int, str]:
    """Raises `ValidationError`."""
    part, sk = place
    if not (part.isascii() and part.isdigit() and len(part) == 1 and int(part) < keys.WCS_LISTS):
        raise ValidationError("after: this is no place in this list")
    return int(part), "" if sk == BEGIN else sk


def _shown(row: StreamRow) -> dict[str, Any]:
    texts = {ours: stream.text_of(row.fields.get(theirs)) for ours, theirs in TEXTS.items()}
    values = {ours: _value(row.fields.get(theirs)) for ours, theirs in VALUES.items()}
    return {
        **{name: text[:LONGEST] if text is not None else None for name, text in texts.items()},
        **values,
        "at": int(row.seen * 1000),
        "ended": bool(row.final),
        "ending": row.ending is not None,
        "stale": row.stale is not None,
    }


def _value(text: str | None) -> msgspec.Raw | None:
    """A number, a text or a truth value as the server spelled it; nothing else is shown."""
    if text is None or len(text) > LONGEST or text[:1] in ("{", "["):
        return None
    return msgspec.Raw(text.encode(errors="backslashreplace"))
