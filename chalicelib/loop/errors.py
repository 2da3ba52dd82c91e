"""What Loop can refuse, as facts (contract section 3.2)."""

from typing import Final

from chalicelib import errors
from chalicelib.errors import AppError, Throttled, Unavailable

HAWK: Final = "Hawk"
BASIC: Final = 'Basic error="Not a session of this room"'
EITHER: Final = "Hawk, Basic"


class ValidationError(errors.ValidationError):
    """A field has a value that it must not have; nothing has changed."""


class BadJson(ValidationError):
    """The body is not JSON."""


class Missing(ValidationError):
    """Fields that must be there are not; the text names them."""


class TooLarge(errors.TooLarge):
    """The body is longer than its limit."""


class MalformedAuthorization(ValidationError):
    """The `Authorization` header names Hawk, and cannot be read; `reason` is for the log alone."""

    def __init__(self, reason: str) -> None:
        super().__init__("the Authorization header cannot be read")
        self.reason = reason


class NotAcceptable(AppError):
    """The client takes no JSON for an answer."""


class Unauthenticated(errors.Unauthenticated):
    """The caller did not prove who it is: `challenge` asks it to, `reason` is for the log alone."""

    def __init__(self, reason: str, challenge: str = HAWK) -> None:
        super().__init__("authentication is required, or was not accepted")
        self.reason = reason
        self.challenge = challenge


class NotASession(Unauthenticated):
    """The guest's credential is none of a live participation in this room."""

    def __init__(self, reason: str = "no live participation has this session token") -> None:
        super().__init__(reason, BASIC)


class NoAccounts(errors.Forbidden):
    """Only users of an account system may do this, and there is none."""


class Forbidden(errors.Forbidden):
    """The room is another one's."""


class InvalidToken(errors.NotFound):
    """There is no such room, or no more."""


class UnknownPath(errors.NotFound):
    """Nothing is served here."""


class Expired(AppError):
    """The caller has no live participation to refresh."""


class ClientCapacity(AppError):
    """There are more people in the room than this client can take."""


class RoomFull(AppError):
    """Every seat is taken."""


class NotInRoom(AppError):
    """The caller has no live participation in the room."""


__all__ = [
    "BASIC",
    "EITHER",
    "HAWK",
    "AppError",
    "BadJson",
    "ClientCapacity",
    "Expired",
    "Forbidden",
    "InvalidToken",
    "MalformedAuthorization",
    "Missing",
    "NoAccounts",
    "NotASession",
    "NotAcceptable",
    "NotInRoom",
    "RoomFull",
    "Throttled",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnknownPath",
    "ValidationError",
]
