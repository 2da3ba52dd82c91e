"""Joining with a token: who holds it becomes a participant, once (media-plane contract, section 1)."""

from typing import Any, Final

import msgspec

from chalicelib.errors import Unauthenticated
from chalicelib.media import reports
from chalicelib.media.actions.report import persisting
from chalicelib.owt import token, vault
from chalicelib.owt.actions import participants, streams
from chalicelib.owt.auth import Caller
from chalicelib.owt.constraints import OPTIONAL, REQUIRED, Field, Shape, some_text
from chalicelib.owt.errors import NoRoom, NoToken
from chalicelib.owt.participant import Participant
from chalicelib.owt.store import children, tokens
from chalicelib.owt.store.rooms import RoomState
from chalicelib.owt.stream import Spelled
from chalicelib.wire.untrusted import Json

_request: Final = Shape(
    {
        "token": Field(some_text, REQUIRED),
        "participant": Field(reports.participant_id, OPTIONAL),
        "node": Field(reports.node, OPTIONAL),
    }
)


class JoinedRoom(msgspec.Struct, frozen=True):
    """What is in a room, for somebody who has just joined."""

    id: str
    views: list[str]
    participants: list[Participant]
    streams: list[Spelled]


class Joined(msgspec.Struct, frozen=True):
    """Who has joined, and what is in the room."""

    participant: Participant
    room: JoinedRoom


def redeem(caller: Caller, body: Json) -> Joined:
    """Let the user of a token join its room, as the role in the token says; the token is gone then.

    Raises `ValidationError`; `Unauthenticated` for a token that is not ours, was used, is too old or of a
    room that the caller may not act on; `Refused` where the room is full, has no such role, or the
    participant is there, and then the token stays; `Unavailable`.
    """
    asked: dict[str, Any] = _request(body, "")
    token_id = token.checked(asked["token"], vault.token_secrets())
    if token_id is None:
        raise Unauthenticated("not a token of ours")
    service = None if caller.is_super else caller.service
    wanted, node = asked.get("participant", ""), asked.get("node", "")
    joined = persisting(
        lambda: children.decided(lambda: tokens.redeem(token_id, service, participant_id=wanted, node=node))
    )
    return Joined(joined.participant, _room(joined.state))


def _room(state: RoomState) -> JoinedRoom:
    labels = [view["label"] for view in state.room.views()]
    try:
        there = participants.listed(state.service, state.id)
        return JoinedRoom(state.id, labels, there, streams.listed(state.service, state.id, "v1.1"))
    except NoRoom:  # deleted at this moment, and with it whoever has joined
        raise NoToken(state.id) from None
