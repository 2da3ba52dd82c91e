"""Lists of updates, `[{"op", "path", "value"}, …]`: as much of JSON Patch as conference management has."""

from typing import Final, NamedTuple

from chalicelib.errors import ValidationError
from chalicelib.wire.untrusted import Json

MAX_UPDATES: Final = 1000


class Update(NamedTuple):
    """One change; what the three mean is the resource's business."""

    op: str
    path: str
    value: Json


def parse(body: Json) -> list[Update]:
    """Read a list of updates, empty or not; further fields do not count.  Raises `ValidationError`."""
    if not isinstance(body, list):
        raise ValidationError("A list of updates is expected")
    if len(body) > MAX_UPDATES:
        raise ValidationError(f"More than {MAX_UPDATES} updates")
    return [_update(entry) for entry in body]


def _update(entry: Json) -> Update:
    if not isinstance(entry, dict):
        raise ValidationError("An update is an object")
    op, path = entry.get("op"), entry.get("path")
    if not isinstance(op, str) or not isinstance(path, str):
        raise ValidationError("An update has the texts op and path")
    if "value" not in entry:
        raise ValidationError("An update has a value")
    return Update(op, path, entry["value"])
