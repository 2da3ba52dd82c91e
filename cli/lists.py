"""`foyer conferences|rooms|streams|channels`: what there is, by the operators' API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

import typer

from cli import http, output
from cli.errors import Misused
from cli.options import AsCurl, AsJson
from cli.target import Target, asked, of

PAGE: Final = 100

Search: TypeAlias = Annotated[str, typer.Option("--search", help="A part of the name.")]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]
USUAL: Final = 1000

Row = Callable[[dict[str, Any]], Sequence[object]]


def page(target: Target, path: str, limit: int, after: str | None = None, **query: str) -> http.Call:
    """The request for a page of a list."""
    asked = {name: value or None for name, value in query.items()}
    return target.admin(path, **asked, limit=min(limit, PAGE), after=after)


def every(
    target: Target, path: str, limit: int, key: str = "items", **query: str
) -> tuple[list[dict[str, Any]], bool]:
    """The items of a list, page after page, and whether there are more than `limit`.  Raises `Failed`."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        answer = asked(page(target, path, limit - len(found), after, **query), key, "next")
        found += answer[key]
        after = answer.get("next")
        if after is None or len(found) >= limit:
            return found[:limit], after is not None


def show(
    found: list[dict[str, Any]],
    more: bool,
    *,
    as_json: bool,
    columns: Sequence[str],
    row: Row,
    empty: str,
) -> None:
    """Print a list."""
    if as_json:
        output.document({"items": found, "more": more})
    else:
        output.table(columns, [row(each) for each in found], empty=empty)
    if more:
        output.note(f"there are more than these {len(found)}: --limit")


def listed(
    target: Target,
    path: str,
    limit: int,
    *,
    as_json: bool,
    as_curl: bool,
    columns: Sequence[str],
    row: Row,
    empty: str,
    key: str = "items",
    **query: str,
) -> None:
    """Print a list, or the request for its first page.  Raises `Failed`."""
    if as_curl:
        output.verbatim(page(target, path, limit, **query).curl())
        return
    found, more = every(target, path, limit, key, **query)
    show(found, more, as_json=as_json, columns=columns, row=row, empty=empty)


def conferences(
    context: typer.Context,
    search: Search = "",
    limit: Limit = USUAL,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """List the conferences that were heard of lately, with who waits."""
    listed(
        of(context),
        "/conferences",
        limit,
        search=search,
        as_json=as_json,
        as_curl=as_curl,
        columns=("conference", "waiting", "watched", "live", "since", "until"),
        row=lambda each: (
            *(each["name"], each["waiting"], each["watched"], each["live"]),
            *(output.moment(each[name]) for name in ("live_since", "live_until")),
        ),
        empty="there are no conferences",
    )


def rooms(
    context: typer.Context,
    room: Annotated[str, typer.Argument(help="The id of one, to see who and what is in it.")] = "",
    loop: Annotated[
        bool, typer.Option("--loop", help="Rooms by invitation, not of conference management.")
    ] = False,
    service: Annotated[
        str, typer.Option("--service", help="Only the rooms of this service, by its id.")
    ] = "",
    search: Search = "",
    limit: Limit = USUAL,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """List the rooms of conference management (OWT), or with --loop those by invitation.

    Without --service there is a request for the services, which is what --curl prints, and one for each.
    """
    target = of(context)
    if loop and service:
        raise Misused("--service is of conference management: not with --loop")
    kind = "loop" if loop else "owt"
    if room:
        _one(target, target.admin(f"/{kind}/rooms/{http.segment(room)}"), as_json, as_curl)
        return
    if loop:
        listed(
            target,
            "/loop/rooms",
            limit,
            search=search,
            as_json=as_json,
            as_curl=as_curl,
            columns=("id", "room", "name", "owner", "people", "seats", "until"),
            row=lambda each: (
                *(each["id"], each["token"], each["name"], each["owner"], each["participants"]),
                *(each["max_size"], output.moment(each["expires_at"])),
            ),
            empty="there are no rooms by invitation",
        )
        return
    sought = {"search": search}
    path = f"/owt/services/{http.segment(service)}/rooms" if service else "/owt/services"
    if as_curl:
        output.verbatim(page(target, path, limit, **(sought if service else {})).curl())
        return
    if service:
        found, more = every(target, path, limit, **sought)
    else:
        found, more = _of_all_services(target, limit, sought)
    show(
        found,
        more,
        as_json=as_json,
        columns=("room", "name", "service", "participants", "streams"),
        row=lambda each: (each["id"], each["name"], each["service"], each["participants"], each["streams"]),
        empty="there are no rooms",
    )


def _of_all_services(
    target: Target, limit: int, sought: Mapping[str, str]
) -> tuple[list[dict[str, Any]], bool]:
    found: list[dict[str, Any]] = []
    services, _ = every(target, "/owt/services", 10**6)
    for number, service in enumerate(services, 1):
        path = f"/owt/services/{http.segment(service['id'])}/rooms"
        some, more = every(target, path, limit - len(found), **sought)
        found += some
        if more or len(found) >= limit:
            return found, more or number < len(services)
    return found, False


def streams(
    context: typer.Context,
    search: Search = "",
    limit: Limit = USUAL,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """List the streams of all media servers (WCS)."""
    listed(
        of(context),
        "/wcs/streams",
        limit,
        search=search,
        as_json=as_json,
        as_curl=as_curl,
        columns=("stream", "status", "published", "stale", "server", "session", "last event"),
        row=lambda each: (
            *(each["name"], each["status"], each["published"], each["stale"], each["server"]),
            *(each["media_session_id"], output.moment(each["at"])),
        ),
        empty="there are no streams",
    )


def channels(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(help="One, to see its connections and their metadata.")] = "",
    search: Search = "",
    limit: Limit = USUAL,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """List the channels (Sora) of the last day, or the connections of one."""
    target = of(context)
    if channel and search:
        raise Misused("--search is for the list of channels: not with one")
    if channel:
        listed(
            target,
            "/sora/channel",
            limit,
            id=channel,
            key="connections",
            as_json=as_json,
            as_curl=as_curl,
            columns=("connection", "client", "role", "since", "metadata"),
            row=lambda each: (
                *(each["connection_id"], each["client_id"], each["role"]),
                *(output.moment(each["created_at"]), each["metadata"]),
            ),
            empty="nobody is in this channel",
        )
        return
    listed(
        target,
        "/sora/channels",
        limit,
        search=search,
        as_json=as_json,
        as_curl=as_curl,
        columns=("channel", "seen"),
        row=lambda each: (each["channel_id"], output.moment(each["seen_at"])),
        empty="there are no channels",
    )


def _one(target: Target, call: http.Call, as_json: bool, as_curl: bool) -> None:
    if as_curl:
        output.verbatim(call.curl())
        return
    found = asked(call, "participants", absent="there is no such room")
    if as_json:
        output.document(found)
        return
    facts: list[tuple[str, object]] = []
    for title, value in found.items():
        if isinstance(value, dict):
            facts += value.items()
        elif not isinstance(value, list):
            facts.append((title, value))
    output.pairs((title, _fact(title, value)) for title, value in facts)
    for title, value in found.items():
        if not isinstance(value, list):
            continue
        names = list(value[0]) if value else []
        output.verbatim(f"\n{title}: {len(value)}")
        if value:
            output.table(names, [[_fact(name, each[name]) for name in names] for each in value], empty="")


def _fact(name: str, value: object) -> object:
    return output.moment(value) if name.endswith("_at") or name == "arrived" else value
