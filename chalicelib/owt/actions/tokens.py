"""Letting somebody join: a token for a user in one of the room's roles (contract section 13)."""

from chalicelib.owt import settings, token, vault
from chalicelib.owt.errors import BadData
from chalicelib.owt.store import rooms, tokens
from chalicelib.owt.token import Portal
from chalicelib.wire.request import Request

BODY_LIMIT = 1024 * 1024


def create(service_id: str, room_id: str, request: Request, user: str | None, role: str | None) -> str:
    """The text of a new token; `user` and `role` are what the header says, if it does.

    Raises `NoRoom`, `ValidationError`, also for a role that the room does not have.
    """
    room = rooms.read(service_id, room_id).room
    new = token.parse_new(request.json(BODY_LIMIT) if request.body else None, user, role)
    if new.role not in [each["role"] for each in room.roles]:
        raise BadData(token.NOT_VALID)
    made = tokens.create(service_id, room_id, new)
    given = settings.get()
    portal = Portal(given.portal_host, given.portal_secure, given.webtransport_url)
    return token.spell(made.id, portal, vault.token_secret())
