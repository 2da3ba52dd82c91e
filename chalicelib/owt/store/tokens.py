"""Rows of tokens: made by one write, redeemed once, by the transaction in which somebody joins."""

import math
import secrets
from typing import Final

from chalicelib import clock
from chalicelib.owt.errors import NoRoom, NoToken, Refused
from chalicelib.owt.participant import Participant
from chalicelib.owt.store import children, ended, new_ids, participants
from chalicelib.owt.store.children import Changed, Counts, Exists
from chalicelib.owt.store.ended import Ending
from chalicelib.owt.token import LIVES_S, JoinToken, NewToken
from chalicelib.store import keys, writes
from chalicelib.store.attributes import NumberAttribute, UnicodeAttribute
from chalicelib.store.expressions import ABSENT, STANDS
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Check, Part, Remove

ID_BYTES: Final = 12


class TokenRow(Item):
    """A token that was not redeemed; TTL removes it after its three minutes."""

    service = UnicodeAttribute()
    room = UnicodeAttribute()
    user = UnicodeAttribute()
    role = UnicodeAttribute()
    isp = UnicodeAttribute()
    region = UnicodeAttribute()
    created = NumberAttribute()


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


def find(token_id: str) -> JoinToken:
    """A token that may be redeemed still, by one read.  Raises `NoToken`, `Unavailable`."""
    row = writes.get(TokenRow, *keys.owt_token(token_id), consistent=True)
    if row is None or float(row.created) <= clock.now() - LIVES_S:
        raise NoToken(token_id)
    new = NewToken(row.user, row.role, row.isp, row.region)
    return JoinToken(token_id, row.service, row.room, new, float(row.created))


def redeem(
    token_id: str, service: str | None = None, *, participant_id: str = "", node: str = ""
) -> tuple[JoinToken, Participant]:
    """Let the user of a token join, and use the token up: in one transaction, within its three minutes.

    Of several at once exactly one succeeds.  With a `service`, only a token of that one's rooms is taken.
    The permission is copied from the room's role as it is then.  To be called by `children.decided`.

    Raises `NoToken`; `Refused` (an unknown role, a full room, an id that is taken), and then the token stays;
    `Ending` while what hung on an earlier participant of this id, or on the node, still ends; `Changed`,
    `Unavailable`.
    """
    found = find(token_id)
    if service is not None and found.service != service:
        raise NoToken(token_id)
    name = participant_id or new_ids.child()
    own = keys.owt_participant(found.room, name)
    gone = [keys.owt_ended(found.room, ended.PARTICIPANT, name)]
    there = [ended.node_key(found.room, node)] if node else []
    try:
        state, (stands, *ending) = children.some(found.service, found.room, own, *gone, *there)
    except NoRoom:  # a room that is deleted takes its tokens with it
        raise NoToken(token_id) from None
    for key, raw in zip([*gone, *there], ending, strict=True):
        if raw is not None:
            raise Ending(key)
    if stands is not None and participant_id:
        raise Refused("there is a participant with this id")
    row = participants.new_row(state, name, found.new.user, found.new.role)
    row.isp, row.region, row.node = found.new.isp, found.new.region, node or None
    fresh = STANDS & (TokenRow.created > clock.now() - LIVES_S)
    also: list[Part] = [Remove(keys.owt_token(token_id), fresh), *(Check(key, ABSENT) for key in there)]
    try:
        children.add(state, [row], Counts(participants=1), unchanged=True, also=also)
    except NoRoom:
        raise NoToken(token_id) from None
    except Refused:
        find(token_id)  # whoever took the last place may have done so with this very token
        raise
    except (Exists, Cancelled):
        raise Changed("the token was used, or the room changed, a moment ago") from None
    return found, participants.of_row(row)
