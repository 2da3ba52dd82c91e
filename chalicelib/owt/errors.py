"""What the conference management API can refuse, as facts (contract section 2)."""

from chalicelib.errors import AppError, Forbidden, NotFound, Unauthenticated, ValidationError


class BadData(ValidationError):
    """The request is not of the documented form; nothing has changed."""


class NotPermitted(Forbidden):
    """The caller is known, and this service may not do it."""


class NoResource(NotFound):
    """There is no such path, streaming-out, recording, call or analytic."""


class NoService(NotFound):
    """There is no such service."""


class NoRoom(NotFound):
    """There is no such room in the caller's service."""


class NoStream(NotFound):
    """There is no such stream in the room."""


class NoParticipant(NotFound):
    """There is no such participant in the room."""


class Refused(AppError):
    """The request is well formed, and the room cannot do it as it is now; nothing has changed."""


class NoToken(Unauthenticated):
    """There is no such token: never made, used before, too old, or of somebody else's room."""
