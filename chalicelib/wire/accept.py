"""The `Accept` header, as far as one type is concerned (RFC 9110 12.5.1)."""


def takes(header: str | None, kind: str, subtype: str) -> bool:
    """Whether a client takes this type: the range that names it most closely decides; no header takes all.

    >>> [takes(text, "application", "json") for text in (None, "", "*/*", "application/*;q=0.1")]
    [True, True, True, True]
    >>> [takes(text, "application", "json") for text in ("text/html", "*/*, application/json; q=0")]
    [False, False]
    """
    if not header or not header.strip() or header == "*/*":
        return True
    best, taken = 0, False
    for part in header.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        closeness = _closeness(media_range, kind, subtype)
        if closeness > best:
            best, taken = closeness, not any(_refuses(each) for each in parameters)
    return taken


def _closeness(media_range: str, kind: str, subtype: str) -> int:
    ranges = ("*/*", f"{kind}/*", f"{kind}/{subtype}")
    return ranges.index(media_range) + 1 if media_range in ranges else 0


def _refuses(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
