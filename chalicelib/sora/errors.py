"""What the metadata API can refuse, as facts (contract 1.1); `spelling` has the words for them."""

from collections.abc import Sequence
from typing import NamedTuple

from chalicelib.errors import AppError, NotFound, TooLarge, ValidationError


class Target(NamedTuple):
    """The operation that a request names, as it came in `x-sora-target`."""

    service: str
    version: str
    operation: str


class WrongMethod(AppError):
    """The API takes POST only."""


class NoTarget(AppError):
    """The request does not say which operation it wants."""


class MalformedTarget(AppError):
    """What should name an operation does not have the form of a name."""


class UnknownTarget(AppError):
    """There is no such operation."""

    def __init__(self, target: Target) -> None:
        super().__init__("there is no such operation")
        self.target = target


class EmptyBody(AppError):
    """An operation was asked for without anything to do it to; `target` is `None` where it is unknown."""

    def __init__(self, target: Target | None) -> None:
        super().__init__("the body is empty")
        self.target = target


class BodyTooLarge(TooLarge):
    """The body is longer than we take."""


class BadData(ValidationError):
    """The JSON breaks the operation's schema, first by `value`, a JSON text, at `path`."""

    def __init__(self, fault: str, value: str, path: Sequence[str] = ()) -> None:
        super().__init__(fault)
        self.fault = fault
        self.value = value
        self.path = tuple(path)


class ConnectionNotFound(NotFound):
    """The connection is not, or no longer, in that channel."""


class MetadataTooLarge(AppError):
    """The metadata would grow past `limit` bytes; nothing has changed."""

    def __init__(self, limit: int) -> None:
        super().__init__("the metadata would be too large")
        self.limit = limit


class AnswerTooLarge(AppError):
    """The answer would be longer than a function may give; a part of it would be wrong."""
