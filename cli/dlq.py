"""`foyer dlq`: dead letters, which is what could not be done, and their second chance."""

import re
from typing import Annotated, Any, Final

import typer

from cli import lists, output
from cli.errors import Failed, Misused
from cli.options import AsCurl, AsJson
from cli.target import Target, asked, of

app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be done.")

Ids = Annotated[list[str] | None, typer.Argument(help="What `list` shows first.")]
Kind = Annotated[str, typer.Option("--kind", help="Those of one kind.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
ID: Final = re.compile(r"[0-9]{1,16}\.[0-9]{3}\.[A-Za-z0-9_-]{1,32}")
MOST: Final = 100
"""So many ids one request may have."""


@app.callback()
def dlq() -> None:
    """Dead letters: what could not be done."""


@app.command("list")
def listed(
    context: typer.Context,
    kind: Kind = "",
    limit: lists.Limit = lists.USUAL,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """List dead letters, with the reason, the newest first."""
    lists.listed(
        of(context),
        "/dead",
        limit,
        kind=kind,
        as_json=as_json,
        as_curl=as_curl,
        columns=("id", "kind", "reason", "attempts", "since", "can be redriven"),
        row=lambda each: (
            *(each["id"], each["kind"], each["reason"], each["attempts"]),
            *(output.moment(each["at"]), each["replayable"]),
        ),
        empty="there are no dead letters",
    )


@app.command()
def redrive(
    context: typer.Context,
    ids: Ids = None,
    kind: Kind = "",
    every: All = False,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Have what could not be done tried again; exit status 1 if something of it cannot be."""
    _write(of(context), "retry", "retried", _chosen(ids, kind, every), as_json, as_curl)


@app.command()
def drop(
    context: typer.Context,
    ids: Ids = None,
    kind: Kind = "",
    every: All = False,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Forget dead letters: what they stand for will not be done."""
    _write(of(context), "drop", "dropped", _chosen(ids, kind, every), as_json, as_curl)


def _chosen(ids: list[str] | None, kind: str, every: bool) -> dict[str, Any]:
    """Which letters are meant.  Raises `Misused` unless that is said in one way."""
    ways = (
        {"ids": list(dict.fromkeys(ids))} if ids else {},
        {"kind": kind} if kind else {},
        {"all": True} if every else {},
    )
    given = [way for way in ways if way]
    if len(given) != 1:
        raise Misused("which? Name ids, or give --kind or --all")
    if wrong := next((each for each in ids or () if not ID.fullmatch(each)), None):
        raise Misused(f"{wrong}: this is no id of a letter; `foyer dlq list` shows them")
    return given[0]


def _write(
    target: Target, verb: str, counted: str, chosen: dict[str, Any], as_json: bool, as_curl: bool
) -> None:
    """Do it, in as many requests as it takes; ids are served in their order."""
    ids: list[str] = chosen.get("ids", [])
    if as_curl:
        body = {"ids": ids[:MOST]} if ids else chosen
        output.verbatim(target.admin_post(f"/dead/{verb}", body).curl())
        return
    count: int = 0
    failed: list[dict[str, Any]] = []
    wrong: list[str] = []
    left = True
    while left:
        body = {"ids": ids[:MOST]} if ids else chosen
        try:
            answer = asked(target.admin_post(f"/dead/{verb}", body), counted, "failed", "more")
        except Failed as why:
            if not count and not failed:
                raise
            wrong.append(str(why))  # what was done until then is to be told all the same
            break
        served = int(answer[counted]) + len(answer["failed"])
        count += int(answer[counted])
        failed += answer["failed"]
        ids = ids[served:]
        left = bool(ids) if "ids" in chosen else bool(answer["more"])
        if not served:
            break
    if as_json:
        output.document({counted: count, "failed": failed, "more": left})
    else:
        output.text(f"{count} {counted}")
        if failed:
            output.table(("id", "reason"), [(each["id"], each["reason"]) for each in failed], empty="")
    if failed:
        wrong.append(f"{len(failed)} could not be {counted}")
    if left:
        wrong.append("some are left that the service did not come to: call this again, or name their ids")
    if wrong:
        raise Failed("; ".join(wrong))
