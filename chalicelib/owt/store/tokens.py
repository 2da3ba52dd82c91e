"""Rows of tokens: made by one write, redeemed by one more, once."""

import math
import secrets
from typing import Final

from chalicelib import clock, ids
from chalicelib.owt.errors import NoRoom, NoToken
from chalicelib.owt.store import rooms
from chalicelib.owt.token import LIVES_S, JoinToken, NewToken
from chalicelib.store import keys, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import ABSENT
from chalicelib.store.table import Item

ID_BYTES: Final = 12


class TokenRow(Item):
    """A token that was not redeemed, or by which attempt it was; TTL removes it after its three minutes."""

    service = UnicodeAttribute()
    room = UnicodeAttribute()
    user = UnicodeAttribute()
    role = UnicodeAttribute()
    isp = UnicodeAttribute()
    region = UnicodeAttribute()
    created = NumberAttribute()
    redeemed_by = UnicodeAttribute(null=True)


def create(service_id: str, room_id: str, new: NewToken) -> JoinToken:
    """Keep a new token, whose id nobody can guess.  Raises `Unavailable`."""
    made = JoinToken(secrets.token_hex(ID_BYTES), service_id, room_id, new, clock.now())
    row = TokenRow(
        *keys.owt_token(made.id),
        service=service_id,
        room=room_id,
        user=new.user,
        role=new.role,
        isp=new.isp,
        region=new.region,
        created=made.created,
        expires_at=math.ceil(made.created + LIVES_S),
    )
    writes.put(row, ABSENT)
    return made


def redeem(token_id: str) -> JoinToken:
    """Use a token up, within three minutes of its creation: of several at once exactly one succeeds.

    A room that is deleted takes its tokens with it.  Between this look at the room and the joining it may
    still go: joining itself writes under the condition that the room stands.  The attempt has a name, so that
    a write sent again after a lost answer finds its own mark and still succeeds.

    Raises `NoToken`, `Unavailable`.
    """
    attempt = ids.new(16)
    fresh = TokenRow.created > clock.now() - LIVES_S
    try:
        raw = writes.update(
            *keys.owt_token(token_id),
            actions=[TokenRow.redeemed_by.set(attempt)],
            condition=fresh & TokenRow.redeemed_by.does_not_exist(),
            returns="ALL_NEW",
        )
        row = writes.read(TokenRow, raw)
    except writes.Refused as refused:
        row = refused.row(TokenRow)
        if row is None or row.redeemed_by != attempt:
            raise NoToken(token_id) from None
    if row is None:
        raise NoToken(token_id)
    try:
        rooms.read(row.service, row.room)
    except NoRoom:
        raise NoToken(token_id) from None
    new = NewToken(row.user, row.role, row.isp, row.region)
    return JoinToken(token_id, row.service, row.room, new, float(row.created))
