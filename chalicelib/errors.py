"""What can go wrong, as facts; each facade spells them for its wire."""


class AppError(Exception):
    """Something the caller did, or something we lack; its text is safe to show to the peer."""


class ValidationError(AppError):
    """The input does not have the shape that its contract demands."""


class TooLarge(ValidationError):
    """The input is longer than its limit."""


class Unauthenticated(AppError):
    """The caller did not prove who it is."""


class Forbidden(AppError):
    """The caller is known, and may not do this."""


class NotFound(AppError):
    """What the caller names does not exist."""


class Conflict(AppError):
    """The state changed under the caller, or forbids what it asks."""


class Throttled(AppError):
    """The caller asks too often."""


class Unavailable(AppError):
    """Something we need does not answer now; the same request may succeed later."""
