"""Rows of streams, one for each, and the list by which they are found without their ids.

A stream's row has its last event: each field one attribute, `f_` and the field's name, whose value is the
field's JSON text.  So one conditional update merges an event into what is there, whatever that is, and no
field can be mistaken for an attribute of ours.

A row of the list says that there is, or was, a stream of some name.  It is written before the stream's own,
and once by each process that hears of the stream: whoever dies in between leaves a row that leads nowhere,
and no stream that cannot be found.  It also owes the look that finds out whether there was news lately, so
that the events of a stream, which are many, write to no index.

Where streams belong into rooms, an event that a room may have to follow makes the stream's row owe that, in
the same write.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from pynamodb.attributes import Attribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock, ids
from chalicelib.errors import Unavailable
from chalicelib.outbox import kicks, owed
from chalicelib.outbox.owed import OwedRow
from chalicelib.settings import also_reset
from chalicelib.store import expressions, keys, writes
from chalicelib.store.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import Same, assign
from chalicelib.store.keys import Key
from chalicelib.store.writes import Change, Overfull, Raw, Refused
from chalicelib.wcs import mapping, settings, stream
from chalicelib.wcs.stream import Event, Identity

log = logging.getLogger(__name__)

STALE: Final = "wcs.stale"
"""What a row of the list owes: a look whether its stream still gives news."""
FOLLOW: Final = "wcs.follow"
"""What a stream's row owes: that a room shows what became of the stream."""
FIRST_LOOK_S: Final = 10.0
"""No look comes sooner: the stream's own row is written after that of the list."""
FIELD: Final = "f_"
REMEMBERED: Final = 50_000
READ: Final = 100
TRIES: Final = 8
SHORTLY_S: Final = 60.0
NEWS_LENGTH: Final = 12
NEWS_A_LOOK: Final = 4
"""News that a row notes between two looks, when only keep-alives come."""


END: Final = "wcs.end"
"""What a row beside a stream owes: a call to its server, that it shall end."""


class StreamRow(OwedRow):
    """A stream as its events left it; beside its fields stands what is ours."""

    seen = NumberAttribute(attr_name="s")
    final = BooleanAttribute(attr_name="x", null=True)
    stale = NumberAttribute(attr_name="t", null=True)
    """Since when it counts as silent."""
    ending = NumberAttribute(attr_name="e", null=True)
    """Since when its end is asked for."""
    began = BooleanAttribute(attr_name="p", null=True)
    """Whether it was ever published, as far as a room may have to follow it."""
    news = UnicodeAttribute(attr_name="n", null=True)
    """Another text after each event that a room may have to follow."""
    room = UnicodeAttribute(attr_name="r", null=True)
    """The room that it was put into, after its service and a slash; it is not put into one again."""
    shown = UnicodeAttribute(attr_name="m", null=True)
    """What stands for the tracks that its room was told of."""

    fields: dict[str, str]
    """The event's members, each value as JSON text."""

    @classmethod
    def from_raw_data(cls, data: dict[str, Any]) -> "StreamRow":
        """The row that an item keeps."""
        row = super().from_raw_data(data)
        found = {name[len(FIELD) :]: kept for name, kept in data.items() if name.startswith(FIELD)}
        row.fields = {name: kept["S"] for name, kept in found.items()}
        return row

    def serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """The item that keeps the row."""
        fields = {FIELD + name: {"S": text} for name, text in self.fields.items()}
        return super().serialize(null_check) | fields

    @property
    def key(self) -> Key:
        """Where it stands."""
        return Key(self.pk, self.sk)

    @property
    def lives(self) -> bool:
        """Whether its time is not over yet; DynamoDB removes it later."""
        return bool(self.expires_at > clock.now())


class ListedRow(OwedRow):
    """That there is a stream of some name."""


class EndRow(OwedRow):
    """That a stream's server is still to be told that it shall end."""


_SEEN: Final = StreamRow.seen
_NOT_FINAL: Final[Condition] = StreamRow.final.does_not_exist()
_NOT_STALE: Final[Condition] = StreamRow.stale.does_not_exist()
_NOT_ENDING: Final[Condition] = StreamRow.ending.does_not_exist()
_NOT_IN_A_ROOM: Final[Condition] = StreamRow.room.does_not_exist()

_known: dict[Key, float] = {}
"""Rows of the list that this process has written, and until when (monotonic) it need not do so again."""
_lock = threading.Lock()


def forget() -> None:
    """Know no row of the list, as a new process."""
    with _lock:
        _known.clear()


also_reset(forget)


# Writing


def record(event: Event) -> bool:
    """Merge an event into its stream; whether it had not ended before.

    What a room may have to follow is owed from then on.  Raises `Unavailable`.
    """
    key = key_of(event.identity)
    _list(event.name, key)
    followed = mapping.concerns(settings.get().targets, event)
    try:
        recorded = _change(
            key, event.name, _merged(event, followed), owing=_followed(key) if followed else ()
        )
    except Overfull:
        log.info("a stream has too many fields: those that the contract does not name are dropped")
        recorded = _rewrite(key, event, followed)
    if followed:
        # Even where it was refused: perhaps by itself, of whose first try the answer was lost.
        kicks.kick(FOLLOW, key)
    return recorded


def _followed(key: Key) -> list[Action]:
    """That a room has to follow: at once, unless a worker has the stream, who will then look again."""
    return [
        assign(StreamRow.due, keys.due(FOLLOW, key.pk)),
        StreamRow.due_at.set(StreamRow.due_at | clock.now()),
        assign(StreamRow.news, ids.new(NEWS_LENGTH)),
    ]


def key_of(identity: Identity) -> Key:
    """Where a stream stands."""
    return keys.wcs_stream(identity.media_session, identity.node)


def _merged(event: Event, followed: bool) -> list[Action]:
    kept_s = settings.get().final_kept_s if event.final else settings.get().others_kept_s
    ours = _news(kept_s)
    if event.final:
        ours.append(assign(StreamRow.final, True))
    if followed and event.status == mapping.PUBLISHING:
        ours.append(assign(StreamRow.began, True))
    return [assign(_field(name), text) for name, text in event.fields.items()] + ours


def _news(kept_s: int) -> list[Action]:
    now = clock.now()
    return [assign(_SEEN, round(now, 3)), assign(StreamRow.expires_at, int(now) + kept_s)]


def _field(name: str) -> UnicodeAttribute:
    return UnicodeAttribute(attr_name=FIELD + name)


def _change(
    key: Key,
    name: str,
    actions: Sequence[Action],
    provided: Condition | None = None,
    *,
    owing: Sequence[Action] = (),
) -> bool:
    """Change a stream unless it has ended; `False` if it has, or is not as demanded.

    One that counts as silent is looked for again first, so that it will be found out once more.
    Raises `Overfull`, `Unavailable`.
    """
    wanted = _NOT_FINAL if provided is None else _NOT_FINAL & provided
    try:
        writes.update(*key, actions=[*actions, *owing], condition=wanted & _NOT_STALE)
    except Refused as refused:
        row = refused.row(StreamRow)
        if row is None or row.final or row.stale is None:
            return False
    else:
        return True
    _look_again(name, key)
    # That one in a room is due in a week, as `mark_stale` has it, would keep what is owed now from being due.
    anew = owed.owing(FOLLOW, key, clock.now()) if row.room is not None or owing else []
    try:
        writes.update(*key, actions=[*actions, StreamRow.stale.remove(), *anew], condition=wanted)
    except Refused:
        return False
    return True


def _rewrite(key: Key, event: Event, followed: bool) -> bool:
    """Keep of a stream that has become too large what the contract names.  Raises `Unavailable`."""
    for _ in range(TRIES):
        old = writes.get(StreamRow, *key, consistent=True)
        if old is not None and old.final:
            return False
        kept_s = settings.get().final_kept_s if event.final else settings.get().others_kept_s
        now = clock.now()
        row = StreamRow(*key, seen=round(now, 3), final=event.final or None, expires_at=int(now) + kept_s)
        row.fields = stream.documented((old.fields if old is not None else {}) | dict(event.fields))
        _keep_ours(row, old, event, followed)
        unchanged = expressions.ABSENT if old is None else _as_it_was(old)
        if old is not None and old.stale is not None:
            _look_again(event.name, key)
        try:
            writes.put(row, unchanged)
        except Refused:
            continue
        return True
    raise Unavailable("storage is overloaded")


def _keep_ours(row: StreamRow, old: StreamRow | None, event: Event, followed: bool) -> None:
    """Have a row that is written anew say what the old one said beside the stream's fields."""
    if old is not None:
        row.ending, row.began, row.room, row.shown = old.ending, old.began, old.room, old.shown
        row.due, row.due_at, row.news = old.due, old.due_at, old.news
        row.owner, row.attempts = old.owner, old.attempts
        if old.stale is not None and old.due is not None:
            row.due_at = clock.now()
    if followed:
        row.began = row.began or event.status == mapping.PUBLISHING or None
        row.due, row.due_at, row.news = keys.due(FOLLOW, row.pk), clock.now(), ids.new(NEWS_LENGTH)


def _as_it_was(old: StreamRow) -> Condition:
    """The condition that a stream had no news, and nothing that is ours was changed, since it was read."""
    ours = _still(StreamRow.ending, old.ending) & _still(StreamRow.room, old.room)
    condition: Condition = Same(_SEEN, old.seen) & ours & _NOT_FINAL
    return condition


def _still(attribute: Attribute[Any], value: Any) -> Condition:
    """The condition that an attribute is what was read."""
    return expressions.absent(attribute) if value is None else Same(attribute, value)


def _list(name: str, key: Key) -> None:
    """See to it that a stream is listed for as long as it is kept, and looked at.

    Raises `Unavailable`.
    """
    listed = keys.wcs_listed(name, key)
    asked_at = clock.monotonic()
    if _known.get(listed, 0.0) > asked_at:
        return
    kept_s = settings.get().others_kept_s
    now = clock.now()
    look_at = now + max(settings.get().stale_after_s, FIRST_LOOK_S)
    actions = [
        ListedRow.due.set(ListedRow.due | keys.due(STALE, listed.pk)),
        ListedRow.due_at.set(ListedRow.due_at | look_at),
        # The stream's last event may come as late as this process begins to doubt what it knows.
        assign(ListedRow.expires_at, int(now) + 2 * kept_s),
    ]
    writes.update(*listed, actions=actions)
    with _lock:
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known[listed] = asked_at + kept_s / 2


def _look_again(name: str, key: Key) -> None:
    """Have a stream that counts as silent looked at once more.  Raises `Unavailable`."""
    listed = keys.wcs_listed(name, key)
    now = clock.now()
    look_at = now + max(settings.get().stale_after_s, FIRST_LOOK_S)
    again = assign(ListedRow.expires_at, int(now) + 2 * settings.get().others_kept_s)
    writes.update(*listed, actions=[*owed.owing(STALE, listed, look_at), again])


def note_news(row: StreamRow) -> None:
    """Note that a stream lives, at most a few times between two looks.  Raises `Unavailable`."""
    rarely = settings.get().stale_after_s / NEWS_A_LOOK
    if row.stale is None and clock.now() - row.seen < rarely:
        return
    name = stream.name_of(row.fields)
    _list(name, row.key)
    _change(row.key, name, _news(settings.get().others_kept_s), expressions.STANDS)


def ask_for_end(row: StreamRow, *, again: bool = False) -> bool:
    """Mark a stream so that its server will end it; `False` if it has ended.

    Where its server can be called, that is owed with the mark; of one that is marked, if it is asked `again`.
    Raises `Unavailable`.
    """
    node = stream.text_of(row.fields.get("nodeId")) or ""
    if (row.ending is None or again) and settings.get().server_of(node) is not None:
        return _have_server_told(row)
    if row.ending is not None:
        return True
    mark = assign(StreamRow.ending, round(clock.now(), 3))
    try:
        writes.update(*row.key, actions=[mark], condition=_NOT_FINAL & expressions.STANDS)
    except Refused:
        return False
    return True


def _have_server_told(row: StreamRow) -> bool:
    """Mark a stream, and owe the call; `False` if it has ended.  Raises `Unavailable`."""
    now = clock.now()
    where = keys.wcs_end(row.key)
    mark = assign(StreamRow.ending, round(now, 3) if row.ending is None else row.ending)
    end = EndRow(
        *where,
        due=keys.due(END, where.pk),
        due_at=now,
        attempts=0,
        expires_at=int(now) + owed.DEAD_KEPT_S,
    )
    standing = _NOT_FINAL & expressions.STANDS
    try:
        writes.transact([writes.Change(row.key, [mark], standing), writes.Put(end)])
    except writes.Cancelled:
        return False
    kicks.kick(END, where)
    return True


def mark_stale(row: StreamRow) -> bool:
    """Note that a stream has been silent for too long; `False` if there was news.  Raises `Unavailable`."""
    actions = [assign(StreamRow.stale, round(clock.now(), 3))]
    unchanged = _NOT_FINAL & Same(_SEEN, row.seen)
    if settings.get().targets or row.room is not None:
        unchanged = unchanged & _still(StreamRow.room, row.room)
    if row.room is not None:
        # Nobody may ever say that it ended: its room forgets it when we do.
        actions += [
            assign(StreamRow.due, keys.due(FOLLOW, row.pk)),
            StreamRow.due_at.set(StreamRow.due_at | last_look(row)),
        ]
    try:
        writes.update(*row.key, actions=actions, condition=unchanged)
    except Refused:
        return False
    return True


# Rooms


def last_look(row: StreamRow) -> float:
    """When a room forgets a stream of which there is no news: shortly before we do."""
    kept_s = settings.get().others_kept_s
    return float(row.expires_at) - min(kept_s / 2, max(SHORTLY_S, kept_s / 100))


def entering(row: StreamRow, room: str, shown: str) -> Change:
    """What a transaction has to note when it puts a stream into a room.

    Refused where the stream has ended, or is to end, or came into one, or another worker has taken over.
    """
    wanted = _NOT_FINAL & _NOT_ENDING & _NOT_IN_A_ROOM & owed.mine(row)
    return Change(row.key, [assign(StreamRow.room, room), assign(StreamRow.shown, shown)], wanted)


def followed(row: StreamRow, also: Sequence[Action] = ()) -> bool:
    """Nothing more is owed to a room; `False` when there was news, or another worker has taken over.

    Of a stream that counts as silent the last look is.  Raises `Unavailable`.
    """
    as_read = _still(StreamRow.news, row.news) & _still(StreamRow.stale, row.stale)
    if row.stale is not None and row.room is not None and not row.final:
        left_s = max(0.0, last_look(row) - clock.now())
        done = [assign(StreamRow.attempts, 0), *also]
        return owed.hold(row, lease_s=left_s, also=done, provided=as_read)
    return owed.settle(row, also=also, unless=~as_read)


def of_room(room: str) -> Iterator[StreamRow]:
    """The streams that were put into a room and have not ended.  Raises `Unavailable`."""
    return (row for row in every() if row.room == room and not row.final)


# Reading


def read(key: Key) -> StreamRow | None:
    """A stream.  Raises `Unavailable`."""
    row = writes.get(StreamRow, *key, consistent=True)
    return row if row is not None and row.lives else None


def of_session(media_session: str) -> list[StreamRow]:
    """The streams of this id.  Raises `Unavailable`."""
    rows = writes.query_all(StreamRow, keys.wcs_sessions(media_session), consistent=True)
    return [row for row in rows if row.lives]


def of_name(name: str) -> list[StreamRow]:
    """Streams among which are all of this name.  Raises `Unavailable`."""
    where = keys.wcs_named(name)
    return list(_listed(writes.raw_rows(where.pk, prefix=where.sk)))


def every() -> list[StreamRow]:
    """All streams.  Raises `Unavailable`."""
    return list(_listed(raw for pk in keys.wcs_lists() for raw in writes.raw_rows(pk)))


def listed_after(part: int, sk: str, limit: int) -> tuple[list[Key], str | None]:
    """Some rows of one part of the list, behind a place in it, and behind which place more may stand.

    Raises `Unavailable`.
    """
    pk = keys.wcs_lists()[part]
    raws, following = writes.query_raw(pk, limit=limit, start=writes.key(pk, sk) if sk else None)
    listed = [Key(raw["pk"]["S"], raw["sk"]["S"]) for raw in raws]
    return listed, following["sk"]["S"] if following is not None else None


def of_list(listed: Sequence[Key]) -> list[tuple[Key, StreamRow]]:
    """The streams that rows of the list are about, each by the name that it had last.

    Raises `Unavailable`.
    """
    wanted = list(dict.fromkeys(keys.wcs_of_listed(each) for each in listed))
    found = writes.get_all(wanted, consistent=False)
    rows = []
    for each in listed:
        row = writes.read(StreamRow, found.get(keys.wcs_of_listed(each)))
        if row is not None and row.lives and keys.wcs_listed(stream.name_of(row.fields), row.key) == each:
            rows.append((each, row))
    return rows


def _listed(raws: Iterable[Raw]) -> Iterator[StreamRow]:
    """The streams that these rows of the list are about, each once, 100 in a read."""
    wanted = iter(dict.fromkeys(keys.wcs_of_listed(Key(raw["pk"]["S"], raw["sk"]["S"])) for raw in raws))
    while page := list(islice(wanted, READ)):
        found = writes.get_many(page)
        rows = (StreamRow.from_raw_data(found[key]) for key in page if key in found)
        yield from (row for row in rows if row.lives)
