"""Rows that say what has ended, so that what hangs on it is gone at once and its rows go soon."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from chalicelib import clock, ids
from chalicelib.errors import Conflict
from chalicelib.outbox.owed import OwedRow
from chalicelib.store import keys
from chalicelib.store.attributes import UnicodeSetAttribute
from chalicelib.store.keys import Key
from chalicelib.store.writes import Raw

END: Final = "owt.end"
"""What is owed after a stream, view or participant ended."""
PURGE: Final = "owt.purge"
"""What is owed after a room was deleted."""

STREAM: Final = "s"
VIEW: Final = "v"
PARTICIPANT: Final = "p"
NODE: Final = "n"

FORWARD: Final = "w"
MIXED: Final = "v"


class Ending(Conflict):
    """What hung on something of this name has not gone yet; once it has, the same may be tried again."""

    def __init__(self, key: Key) -> None:
        super().__init__("what hung on something of this name still ends")
        self.key = key


class EndedRow(OwedRow):
    """A stream, a participant, a media node or some views that ended; what hangs on them is left to end."""

    names = UnicodeSetAttribute()


def ended_row(room_id: str, what: str, names: Sequence[str], after_s: float = 0.0) -> EndedRow:
    """The row that owes the end of what hangs on this; only views may be several.

    `after_s` is for a caller who sees to it at once.
    """
    where = keys.owt_ended(room_id, what, names[0])
    at = clock.now() + after_s
    return EndedRow(*where, names=set(names), due=keys.due(END, where.pk), due_at=at, attempts=0)


def node_key(room_id: str, node: str) -> Key:
    """Where it says that a media node is gone, and what it carried of a room still has to end."""
    return keys.owt_ended(room_id, NODE, ids.short_hash(node))


def node_row(room_id: str, node: str) -> EndedRow:
    """The row that owes the end of what a media node carried."""
    where = node_key(room_id, node)
    return EndedRow(*where, names={node}, due=keys.due(END, where.pk), due_at=clock.now(), attempts=0)


def what_ended(key: Key) -> str:
    """What the row with this key says has ended: `s`, `v`, `p` or `n`."""
    return key.sk.split("#")[1]


def forward_source(stream_id: str) -> str:
    """How a subscription's row names a forward stream among its `sources`."""
    return FORWARD + stream_id


def mixed_source(vid: str) -> str:
    """How a subscription's row names the mixed stream of a view's incarnation among its `sources`."""
    return MIXED + vid


class Ended(msgspec.Struct, frozen=True):
    """What of a room has ended and may still have rows."""

    streams: frozenset[str] = frozenset()
    views: frozenset[str] = frozenset()
    participants: frozenset[str] = frozenset()

    def stream(self, stream_id: str, owner: str) -> bool:
        """Whether a forward stream has ended, by itself or with its owner."""
        return stream_id in self.streams or owner in self.participants

    def participant(self, participant_id: str) -> bool:
        """Whether a participant, or a call, has ended."""
        return participant_id in self.participants

    def sources(self, sources: Iterable[str]) -> bool:
        """Whether one of a subscription's sources has ended."""
        return any(
            source[1:] in (self.streams if source[:1] == FORWARD else self.views) for source in sources
        )


def read_ended(raws: Iterable[Raw]) -> Ended:
    """What the `xe#` rows among these say."""
    names: dict[str, set[str]] = {STREAM: set(), VIEW: set(), PARTICIPANT: set()}
    for raw in raws:
        sk = raw["sk"]["S"]
        if sk.startswith("xe#") and sk[3] in names:
            names[sk[3]].update(raw["names"]["SS"])
    return Ended(frozenset(names[STREAM]), frozenset(names[VIEW]), frozenset(names[PARTICIPANT]))
