"""What every route of the operators' API shares: the table of routes, who asks, audits, errors.

`route` enters a view into the table: a route is there once `routes/every.py` imports its module, and
`operations.py` describes it.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import unquote

from chalicelib import journal, web
from chalicelib.admin import auth, door, paging, spelling
from chalicelib.admin.auth import Caller
from chalicelib.admin.paging import Asked
from chalicelib.errors import AppError, NotFound, ValidationError
from chalicelib.store.keys import Key
from chalicelib.wire.reply import Reply
from chalicelib.wire.request import Request
from chalicelib.wire.untrusted import Json

PREFIX: Final = door.PREFIX
LARGEST_BODY: Final = 64 * 1024
LONGEST_TEXT: Final = 1024
"""Bytes of a name in a query; conferences have the longest ones."""


class Call:
    """A request, who makes it, and what its line of the audit says."""

    def __init__(self, request: Request) -> None:
        self.request: Final = request
        self.caller = Caller("")
        self.facts: dict[str, Any] = {}

    def audited(self, on: str, **facts: Any) -> None:
        """Have the audit say what is changed, and whatever else is worth knowing of it."""
        self.facts |= {"on": on, **facts}

    def text(self, name: str, default: str | None = None, longest: int = LONGEST_TEXT) -> str:
        """One parameter of the query; one without default has to be there.  Raises `ValidationError`."""
        values = self.request.query.get(name) or []
        if len(values) > 1:
            raise ValidationError(f"{name}: once, not several times")
        if not values and default is None:
            raise ValidationError(f"{name}: missing")
        text = values[0] if values else default or ""
        try:
            too_long = len(text.encode()) > longest
        except UnicodeEncodeError:
            raise ValidationError(f"{name}: not UTF-8") from None
        if too_long:
            raise ValidationError(f"{name}: longer than {longest} bytes")
        return text

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """One whole number of the query.  Raises `ValidationError`."""
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10) or not least <= int(text) <= most:
            raise ValidationError(f"{name}: a whole number from {least} to {most}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is 1.  Raises `ValidationError`."""
        return self.number(name, 0, 0, 1) == 1

    def page(self, parts: int) -> Asked:
        """Which page of a list is asked for, whose places have so many parts.  Raises `ValidationError`."""
        limit = self.number("limit", paging.USUAL, 1, paging.MOST)
        return Asked(limit, paging.read_place(self.text("after", "", paging.LONGEST), parts))

    def members(self, *known: str) -> dict[str, Json]:
        """The members of the body, an object that has none but `known`.  Raises `ValidationError`."""
        body = self.request.json(LARGEST_BODY)
        if not isinstance(body, dict):
            raise ValidationError("a JSON object is expected")
        unknown = sorted(body.keys() - set(known))
        if unknown:
            raise ValidationError(f"there is no such member: {unknown[0][:64]}")
        return body

    def member(self, name: str) -> str:
        """The one member of the body, which is text.  Raises `ValidationError`."""
        value = self.members(name).get(name)
        if not isinstance(value, str) or not value:
            raise ValidationError(f"{name}: a text is expected")
        return value


View: TypeAlias = Callable[..., Reply]
V = TypeVar("V", bound=View)
Beside: TypeAlias = Callable[[Call], Key]


class Route(NamedTuple):
    """A view of (call, **ids of the path) and how it is served."""

    template: str
    view: View
    anybody: bool
    """Whether it sees to it itself who asks."""
    beside: Beside | None
    """The key of an item that is read together with the caller's session."""


_table: dict[str, dict[str, Route]] = {}
"""Path below the prefix, parameters in braces -> method -> route."""


def route(method: str, path: str, *, anybody: bool = False, beside: Beside | None = None) -> Callable[[V], V]:
    """Serve `path` below the prefix by a view of (call, **ids of the path)."""

    def decorate(view: V) -> V:
        _table.setdefault(path, {})[method] = Route(path, view, anybody, beside)
        return view

    return decorate


def served() -> set[tuple[str, str]]:
    """Method and whole path of each route."""
    return {(method, PREFIX + path) for path, methods in _table.items() for method in methods}


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path below the prefix, and the ids in it."""
    plain = _table.get(path)
    if plain is not None:
        found = plain.get(method)
        return (found, {}) if found is not None else None
    parts = path.split("/")
    for template, methods in _table.items():
        names = template.split("/")
        if "{" not in template or len(names) != len(parts) or method not in methods:
            continue
        pairs = list(zip(names, parts, strict=True))
        if all(name == part or (name[:1] == "{" and part) for name, part in pairs):
            ids = {name[1:-1]: unquote(part) for name, part in pairs if name[:1] == "{"}
            return methods[method], ids
    return None


def serve(request: Request) -> Reply:
    """Answer any request below the prefix."""
    path = "/" + request.path_parameters.get("proxy", "").removesuffix("/")
    found = find(request.method, path)
    call = Call(request)
    code = ""
    try:
        reply = _answer(call, found)
    except AppError as error:
        code, reply = spelling.code_of(error), spelling.spell(error)
    except Exception as error:
        journal.failure(error)
        code, reply = "internal", spelling.spell(web.Unforeseen())
    notes: dict[str, Any] = {"who": call.caller.name}
    if found is not None:
        notes["route"] = PREFIX + found[0].template
        if request.method not in auth.SAFE:
            _audit(call, found[0], code or "done")
    return Reply(reply.status, reply.body, reply.headers, {**reply.notes, **notes})


def _answer(call: Call, found: tuple[Route, dict[str, str]] | None) -> Reply:
    """Raises `AppError`."""
    if found is None:
        auth.authenticate(call.request)
        raise NotFound("there is no such route, or it does not take this method")
    route, ids = found
    if not route.anybody:
        call.caller = auth.authenticate(call.request, _beside(route, call))
    return route.view(call, **ids)


def _beside(route: Route, call: Call) -> Key | None:
    """What is read with the session; what is wrong with a request is not said before it is known who asks."""
    if route.beside is None:
        return None
    try:
        return route.beside(call)
    except AppError:
        return None


def _audit(call: Call, route: Route, result: str) -> None:
    journal.audit(
        who=call.caller.name,
        what=f"{call.request.method} {route.template}",
        **{"on": "", **call.facts},
        result=result,
        source=call.request.source_ip,
        request_id=web.request_id(door.current()),
    )
