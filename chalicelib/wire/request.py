"""One HTTP request as plain values, whatever framework took it in."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from chalicelib.wire import untrusted
from chalicelib.wire.untrusted import Json


class Request(msgspec.Struct, frozen=True):
    """What a route reads; `body` is what came over the wire, untouched."""

    method: str
    path: str
    path_parameters: Mapping[str, str] = {}
    query: Mapping[str, list[str]] = {}
    headers: Mapping[str, str] = {}
    """By lower-case name, whatever case they are given in."""
    body: bytes = b""
    source_ip: str = ""
    stage: str = ""
    resource: str = ""
    """The route, with the names of its parameters in braces."""

    def __post_init__(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        msgspec.structs.force_setattr(self, "headers", headers)

    def header(self, name: str, default: str | None = None) -> str | None:
        """The header's value, its name in any case (RFC 9110 5.1)."""
        return self.headers.get(name.lower(), default)

    @property
    def api_path(self) -> str:
        """The path below base and stage, which differ by front: the route with its parameters filled in."""
        path = self.resource or self.path
        for name, value in self.path_parameters.items():
            path = path.replace(f"{{{name}}}", quote(value, safe="%"))
        return path

    def json(self, limit: int) -> Json:
        """The body as JSON of at most `limit` bytes.  Raises `TooLarge` or `Malformed`."""
        return untrusted.parse(self.body, limit=limit)
