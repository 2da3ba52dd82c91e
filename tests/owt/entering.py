"""Who and what comes into a room, in one step: what a media worker does, without its requests."""

from collections.abc import Iterable

import msgspec

from chalicelib.owt import stream as streams
from chalicelib.owt.participant import Participant
from chalicelib.owt.store import children, rooms, tokens
from chalicelib.owt.store import streams as store
from chalicelib.owt.stream import Forward, Mix
from chalicelib.owt.token import NewToken


def join(service: str, room: str, user: str, role: str, *, participant_id: str = "") -> Participant:
    """Have somebody get a token and redeem it.

    Raises what `tokens.redeem` does: `NoToken` where there is no such room, `Refused`.
    """
    made = tokens.create(service, room, NewToken(user, role))
    return children.decided(lambda: tokens.redeem(made.id, participant_id=participant_id)).participant


def bring(service: str, room: str, stream: Forward, *, in_views: Iterable[str] = ()) -> Forward:
    """Have a forward stream come in, and into the views of these labels.

    Raises what `streams.add_to` does: `NoRoom`, `Refused`, `BadData`.
    """

    def decide() -> Forward:
        state = rooms.read(service, room)
        arriving = msgspec.structs.replace(stream, arrived=stream.arrived or store.now())
        mixes = [Mix(label, True) for label in in_views]
        return store.add_to(state, streams.change(arriving, mixes, state.vids, arriving.arrived))

    return children.decided(decide)
