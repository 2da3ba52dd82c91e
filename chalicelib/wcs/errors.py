"""What the hooks and the stream API can refuse, as facts (contract sections 2, 4 and 6)."""

from chalicelib.errors import AppError, Forbidden, NotFound, Unauthenticated


class NoHook(NotFound):
    """No hook has a name like this."""


class NoStream(NotFound):
    """No stored stream is meant."""


class NotOpened(Forbidden):
    """Nothing says who may call here, and nothing says that everybody may."""


class Ends(Forbidden):
    """Somebody asked for the end of this stream: the server shall end it."""


class NotKnown(Unauthenticated):
    """The caller has no key, or not one of ours; `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__("A key is expected")
        self.reason = reason


class Unusable(AppError):
    """An event that does not say which stream it is about, or how that is: it is echoed and not kept."""
