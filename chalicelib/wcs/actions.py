"""What a server tells, and what may be asked of the streams that are known (contract sections 3, 5 and 6)."""

import logging
from collections.abc import Iterable

from chalicelib.errors import ValidationError
from chalicelib.wcs import messages, settings, store, stream
from chalicelib.wcs.errors import Ends, NoStream, Unusable
from chalicelib.wcs.store import StreamRow
from chalicelib.wcs.stream import Fields, Wanted
from chalicelib.wire.reply import can_be_sent

log = logging.getLogger(__name__)


def hear(hook: str, body: bytes) -> bytes:
    """Take a hook, and say what the server is answered: what it sent, for `connect` our wishes too.

    Raises `ValidationError` for what is no object, `Ends`, `Unavailable`.
    """
    members = messages.read(body)
    if hook == messages.CONNECT:
        return messages.configured(members, messages.rest_client_config(settings.get().status_event_config))
    if hook == messages.STATUS:
        _remember(members)
    elif hook == messages.KEEP_ALIVE:
        _still_there(members)
    return body


def _remember(members: Fields) -> None:
    try:
        event = stream.read(members)
    except Unusable as why:
        log.warning("an event was not kept: %s", why)
        return
    if not store.record(event):
        log.info("an event came after the end of its stream: %s", event.status[:32])


def _still_there(members: Fields) -> None:
    """Note that a stream lives.  Raises `Ends` where somebody asked for its end, `Unavailable`."""
    try:
        row = store.read(store.key_of(stream.identity(members)))
    except Unusable as why:
        log.warning("a keep-alive says not of what: %s", why)
        return
    if row is None or row.final:
        return
    if row.ending is not None:
        raise Ends("This stream shall end")
    store.note_news(row)


def every(stale: bool | None = None) -> bytes:
    """All streams, or those that have fallen silent, or have not, as they are answered.

    Raises `NoStream`, `ValidationError`, `Unavailable`.
    """
    return find({}, stale)


def find(looked_for: Wanted, stale: bool | None = None) -> bytes:
    """The streams that have all these values, as they are answered.

    Raises `NoStream` where there are none, `ValidationError` when the answer would be larger than what can be
    sent, `Unavailable`.
    """
    rows = _matching(looked_for)
    found: list[Fields] = [row.fields for row in rows if stale is None or stale is (row.stale is not None)]
    if not found:
        raise NoStream("there is no such stream")
    answer = messages.spell_streams(found)
    if not can_be_sent(answer):
        raise ValidationError(
            "The list is larger than 6 MB: ask by mediaSessionId, by name or by other fields"
        )
    return answer


def terminate(looked_for: Wanted) -> None:
    """Ask for the end of the streams that have all these values and have not ended.

    Their servers are told when they ask next.  Raises `NoStream` where there are none, `Unavailable`.
    """
    asked = [store.ask_for_end(row) for row in _matching(looked_for) if not row.final]
    if not any(asked):
        raise NoStream("there is no such stream")


def _matching(looked_for: Wanted) -> list[StreamRow]:
    return [row for row in _near(looked_for) if stream.matches(row.fields, looked_for)]


def _near(looked_for: Wanted) -> Iterable[StreamRow]:
    """Streams among which are all that match."""
    media_session, name = looked_for.get("mediaSessionId"), looked_for.get("name")
    if isinstance(media_session, str):
        return store.of_session(media_session) if stream.is_whole(media_session) else []
    if isinstance(name, str):
        return store.of_name(name) if stream.is_whole(name) else []
    return store.every()
