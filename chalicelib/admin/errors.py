"""What the operators' API refuses, beside what every part can refuse."""

from chalicelib.errors import Forbidden, Throttled


class NoCsrfToken(Forbidden):
    """A write that a cookie speaks for, without the token that only our own pages know."""


class TooManyAttempts(Throttled):
    """Too many wrong tokens came from this source within a minute."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many wrong tokens from this address; try again later")
        self.retry_after_s = retry_after_s
