"""What the waiting queue can refuse."""

from chalicelib.errors import AppError, Forbidden, NotFound, ValidationError


class NotAConference(NotFound):
    """The text does not name a conference; the contract's 404."""


class NotAllowed(Forbidden):
    """The token does not allow this; `kind` is the class of destination, for the denial memory."""

    def __init__(self, reason: str, kind: str = "other") -> None:
        super().__init__(reason)
        self.kind = kind


class Denied(Forbidden):
    """The token was denied a little while ago."""


class BadFrame(ValidationError):
    """A frame that the queue does not take; the text is for the peer."""


class NotConnected(AppError):
    """A frame came before CONNECT, or after the session ended."""
