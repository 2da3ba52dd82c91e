"""What callers and media servers can do: the six operations, and the three events that count."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from chalicelib.realtime import fronts
from chalicelib.sora import messages, metadata, settings, store
from chalicelib.sora.errors import AnswerTooLarge, MetadataTooLarge
from chalicelib.sora.messages import Ask, Event, Listed
from chalicelib.sora.store import EMPTY, Announce, ConnectionRow, Decide

LARGEST_ANSWER: Final = 6 * 1024 * 1024 - 1024
"""What a function may give, as JSON in JSON, less what is around the body."""


def perform(operation: str, ask: Ask) -> str:
    """Do one operation; the answer as JSON text.  Raises what it is refused for."""
    return _OPERATIONS[operation](ask)


def every(ask: Ask) -> str:
    """The connections of a channel with their metadata.  Raises `AnswerTooLarge`, `Unavailable`."""
    return messages.spell_list(_within_limit(_there(store.living(ask.channel_id))))


def _there(rows: Iterable[ConnectionRow]) -> Iterator[ConnectionRow]:
    """All but those whose sockets went with their front; it is asked after only where there are sockets."""
    alive: Mapping[str, object] | None = None
    for row in rows:
        if row.front is not None and alive is None:
            alive = fronts.alive()
        if row.front is None or (alive is not None and row.front in alive):
            yield row


def _within_limit(rows: Iterable[ConnectionRow]) -> Iterator[Listed]:
    """What the list shows, as long as a function can give it whole.  Raises `AnswerTooLarge`."""
    length = 0
    for row in rows:
        each = Listed(row.client, row.bundle, row.connection_id or "", row.metadata or EMPTY)
        text = messages.spell_listed(each)
        # In the answer of a function a quote or backslash is escaped once more.
        length += len(text.encode()) + text.count('"') + text.count("\\") + 1
        if length > LARGEST_ANSWER:
            raise AnswerTooLarge("the list is longer than an answer may be")
        yield each


def look(ask: Ask) -> str:
    """The metadata of a connection.  Raises `ConnectionNotFound`, `Unavailable`."""
    return store.find(ask.channel_id, ask.connection_id).metadata or EMPTY


def put(ask: Ask) -> str:
    """Replace the metadata of a connection; those after."""
    return _change(
        ask,
        lambda before: _bounded(ask.metadata),
        lambda _, after: messages.put_push(ask.connection_id, after),
    )[1]


def delete(ask: Ask) -> str:
    """Empty the metadata of a connection; those before."""
    return _change(
        ask, lambda before: EMPTY, lambda before, _: messages.delete_push(ask.connection_id, before)
    )[0]


def put_item(ask: Ask) -> str:
    """Put one item; the metadata after."""
    data = messages.put_item_push(ask.connection_id, ask.key, ask.value)
    return _change(
        ask, lambda before: _bounded(metadata.with_item(before, ask.key, ask.value)), lambda *_: data
    )[1]


def delete_item(ask: Ask) -> str:
    """Delete one item; the metadata after."""
    data = messages.delete_item_push(ask.connection_id, ask.key)
    return _change(ask, lambda before: metadata.without_item(before, ask.key), lambda *_: data)[1]


def _change(ask: Ask, decide: Decide, announce: Announce) -> tuple[str, str]:
    """The metadata before and after.  Raises `ConnectionNotFound`, `MetadataTooLarge`, `Unavailable`."""
    if ask.push:
        return store.change_and_push(ask.channel_id, ask.connection_id, decide, announce)
    return store.change(ask.channel_id, ask.connection_id, decide)


def _bounded(after: str) -> str:
    """Raises `MetadataTooLarge`."""
    limit = settings.get().metadata_limit
    if metadata.size(after) > limit:
        raise MetadataTooLarge(limit)
    return after


_OPERATIONS: Final[Mapping[str, Callable[[Ask], str]]] = {
    messages.LIST: every,
    messages.GET: look,
    messages.PUT: put,
    messages.DELETE: delete,
    messages.PUT_ITEM: put_item,
    messages.DELETE_ITEM: delete_item,
}


def hear(event: Event) -> None:
    """Keep what a media server tells of a connection; twice or out of order changes nothing."""
    if event.kind == messages.DESTROYED:
        store.end(event.connection.channel_id, event.connection.connection_id)
    else:
        store.enter(event.connection)
