"""Rows of rooms: the room with everybody in it, its context, and what lists are made from."""

from typing import Final

from chalicelib.outbox.owed import OwedRow
from chalicelib.store.attributes import BooleanAttribute, NumberAttribute, RawMapAttribute, UnicodeAttribute
from chalicelib.store.table import Item

ROOM: Final = "loop.room"
"""What a room owes: who leaves unnoticed, what its owner has to be told, its end."""


class RoomRow(OwedRow):
    """A room, or what is left of a deleted one.

    `version` grows with every change that a write may have to notice; `push` is what its owner was not told
    yet (the `ctime` to tell).  `due` stands as long as the row does.
    """

    uid = UnicodeAttribute()
    """The owner."""
    room_owner = UnicodeAttribute(null=True)
    """How the owner calls itself."""
    room_name = UnicodeAttribute(null=True)
    max_size = NumberAttribute()
    created = NumberAttribute()
    ends_at = NumberAttribute()
    ctime = NumberAttribute()
    channel = UnicodeAttribute()
    api_key = UnicodeAttribute(null=True)
    session_id = UnicodeAttribute(null=True)
    has_context = BooleanAttribute(null=True)
    version = NumberAttribute()
    push = NumberAttribute(null=True)
    deleted_at = NumberAttribute(null=True)
    participations = RawMapAttribute(attr_name="p", null=True)
    """By who it is: `g` and the hash of a token, `h` and a uid, `z` and the id of a connection that ended."""


class ContextRow(Item):
    """What a room is about, as JSON text."""

    value = UnicodeAttribute(attr_name="v")


class OwnedRow(Item):
    """That an owner has a room."""
