"""`foyer load`: as many visitors as asked for, and how soon each is released."""

import asyncio
import contextlib
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import typer

from cli import conferences, given, http, jwts, output, tokens
from cli.crowd import Address, Crowd, percentile
from cli.errors import Failed, Misused
from cli.options import AsCurl, AsJson, SigningKey, Token
from cli.target import Target, done, of

SPARE_FILES: Final = 64
SHARES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))

app = typer.Typer(no_args_is_help=True, help="Put load on the service.")


@app.callback()
def load() -> None:
    """Put load on the service."""


@app.command()
def visitors(
    context: typer.Context,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="So many visitors.")] = 100,
    golive: Annotated[
        bool, typer.Option("--golive", help="Go live once all are in, and measure it.")
    ] = False,
    conference: Annotated[
        str, typer.Option("--conference", help="Whole name or room; a new one unless given.")
    ] = "",
    side_by_side: Annotated[
        int, typer.Option(min=1, max=10_000, help="So many come at the same time.")
    ] = 100,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="For coming in, and again for the release.")
    ] = "2m",
    token: Token = "",
    key: SigningKey = "",
    server_key: Annotated[
        str, typer.Option("--server-key", metavar="KEY", help=f"What golive is signed with: {given.FROM}.")
    ] = "",
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Have visitors wait; exit status 1 if one is lost.

    With --golive the conference goes live, and each visitor's time from the call to its message is measured.
    Without it they wait until somebody else does that, or Ctrl-C.  --curl prints the handshake and the call.
    """
    target = of(context)
    room = conference or f"load-{secrets.token_hex(4)}"
    name = target.queue.conference(room)
    call = None
    if golive:
        call = conferences.golive_call(target, name, tokens.server_token(target, key=server_key))
    if as_curl:
        output.verbatim(conferences.handshake_curl(target.sockets))
        if call:
            output.verbatim(call.curl())
        return
    _room_for(number)
    proofs = [given.secret(token).strip()] * number if token else _tokens(target, number, key)
    found = asyncio.run(_run(target, name, proofs, call, side_by_side, given.seconds(timeout)))
    if as_json:
        output.document(found)
    else:
        _print(found)
    if call and not conference:  # nobody knows of that one
        http.send(http.Call("DELETE", call.url, call.headers, call.body))
    if found["lost"]:
        raise Failed(f"{found['lost']} of {number} visitors were lost")


def _room_for(number: int) -> None:
    """Have as many files as sockets.  Raises `Misused`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise Misused(f"{number} visitors need {wanted} open files, and {hard} are allowed here (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tokens(target: Target, number: int, key: str) -> list[str]:
    queue = target.queue
    secret = tokens.user_key(queue, key)
    claims = jwts.person(
        room="*",
        issuer=queue.user_issuer,
        audience=queue.user_audience,
        sub=queue.domain or "*",
        lives_s=86400,
        user={"role": "visitor"},
    )
    return [jwts.sign(claims | {"jti": secrets.token_hex(8)}, secret) for _ in range(number)]


async def _run(
    target: Target, name: str, proofs: list[str], call: http.Call | None, side_by_side: int, timeout_s: float
) -> dict[str, Any]:
    with _progress(len(proofs)) as seen:
        crowd = Crowd(Address.of(target.sockets), conferences.VISITOR + name, proofs, side_by_side, seen=seen)
        task = asyncio.current_task()
        assert task
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        took, began, waited = 0.0, 0.0, True
        try:
            took = await crowd.arrive(timeout_s)
            if call is None and crowd.here:
                output.note(f"{crowd.here} of {len(proofs)} wait for {name}, until it goes live or Ctrl-C")
            if call is not None:
                began = time.monotonic()
                answer = await asyncio.to_thread(http.send, call)
                done(answer)
            await crowd.told(timeout_s if call is not None else None)
        except asyncio.CancelledError:
            waited = call is not None
        finally:
            await crowd.leave()
    return _result(crowd, name, took, began if call else 0.0, all_told=waited)


def _result(crowd: Crowd, name: str, took: float, began: float, *, all_told: bool) -> dict[str, Any]:
    """What became of all.  Who waits in vain is lost, unless the wait was ended from here."""
    number, told = len(crowd.tokens), len(crowd.moments)
    lost = number - told if all_told else crowd.lost
    if lost > crowd.lost:
        crowd.reasons["not told in time"] = lost - crowd.lost
    found: dict[str, Any] = {
        "conference": name,
        "visitors": number,
        "arrived": crowd.here,
        "seconds": round(took, 3),
        "connects_per_s": round(crowd.here / took, 1) if took else 0.0,
        "connect_ms": _shares(crowd.connects),
        "told": told,
        "doubled": crowd.doubled,
        "lost": lost,
        "reasons": crowd.reasons,
    }
    if began:
        found["release_ms"] = _shares([moment - began for moment in crowd.moments])
    return found


def _shares(values: list[float]) -> dict[str, float]:
    return {name: round(percentile(values, share) * 1000, 1) for name, share in SHARES}


def _print(found: dict[str, Any]) -> None:
    def listed(shares: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in shares.items())

    rows: list[tuple[str, object]] = [
        ("conference", found["conference"]),
        ("came in", f"{found['arrived']} of {found['visitors']} in {found['seconds']:g} s"),
        ("connects a second", found["connects_per_s"]),
        ("connect, ms", listed(found["connect_ms"])),
        ("told", f"{found['told']}, {found['doubled']} twice"),
    ]
    if "release_ms" in found:
        rows.append(("release, ms", listed(found["release_ms"])))
    rows.append(("lost", found["lost"]))
    rows += [(f"  {count} times", why) for why, count in found["reasons"].items()]
    output.pairs(rows)


@contextlib.contextmanager
def _progress(number: int) -> Iterator[Callable[[int, int], None]]:
    """A bar for each half on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda arrived, told: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        inside = shown.add_task("waiting", total=number)
        released = shown.add_task("released", total=number)

        def seen(arrived: int, told: int) -> None:
            shown.update(inside, completed=arrived)
            shown.update(released, completed=told)

        yield seen
