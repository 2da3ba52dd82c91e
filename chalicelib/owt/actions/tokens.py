"""Letting somebody join: a token for a user in one of the room's roles (contract section 13)."""

from collections.abc import Callable

from chalicelib.owt import settings, token, vault
from chalicelib.owt.auth import Caller
from chalicelib.owt.errors import BadData
from chalicelib.owt.store import rooms, tokens
from chalicelib.owt.token import Portal
from chalicelib.wire.untrusted import Json


def create(caller: Caller, room_id: str, body: Callable[[], Json]) -> str:
    """The text of a new token; a user and role that the header names win over the body's.

    Raises `NoRoom`, and only then `ValidationError`, also for a role that the room does not have;
    `Unavailable`.
    """
    room = rooms.read(caller.service, room_id).room
    new = token.parse_new(body(), caller.user, caller.role)
    if new.role not in [each["role"] for each in room.roles]:
        raise BadData(token.NOT_VALID)
    made = tokens.create(caller.service, room_id, new)
    given = settings.get()
    portal = Portal(given.portal_host, given.portal_secure, given.webtransport_url)
    return token.spell(made.id, portal, vault.token_secret())
