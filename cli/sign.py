"""`foyer sign`: the headers of signed requests, or the whole request as a line of curl."""

import os
import re
from typing import Annotated

import typer

from cli import given, output, signing
from cli.errors import Misused
from cli.http import JSON, Call, url
from cli.options import AsCurl, AsJson
from cli.target import Target, of

app = typer.Typer(no_args_is_help=True, help="Sign requests as clients do.")

Method = Annotated[str, typer.Argument(help="GET, POST, …", show_default=False)]
Address = Annotated[str, typer.Argument(metavar="URL", help="An address, or a path of the service.")]
Data = Annotated[str, typer.Option("--data", "-d", help=f"The body: {given.FROM}.")]
Secret = Annotated[
    str, typer.Option("--secret", help=f"What the hooks of this api are signed with: {given.FROM}.")
]
_API = re.compile(r"/rest/([^/?]+)/[^/?]+$")


def _address(target: Target, text: str) -> str:
    return url(text if "://" in text else f"{target.base}/{text.lstrip('/')}")


def _show(call: Call, header: str, as_json: bool, as_curl: bool) -> None:
    if as_json:
        found = {"authorization": header, "method": call.method, "url": call.url}
        output.document(found | ({"curl": call.curl()} if as_curl else {}))
    else:
        output.verbatim(call.curl() if as_curl else header)


def _call(method: str, address: str, body: bytes | None, header: str) -> Call:
    kind = JSON if body is not None else {}
    return Call(method, address, kind | {"Authorization": header}, body)


@app.command()
def hawk(
    context: typer.Context,
    method: Method,
    address: Address,
    data: Data = "",
    session_token: Annotated[
        str, typer.Option("--session-token", help=f"What registration answered, 64 digits: {given.FROM}.")
    ] = "",
    identity: Annotated[str, typer.Option("--id", help="The id of credentials, with --key.")] = "",
    key: Annotated[str, typer.Option("--key", help=f"The key of credentials: {given.FROM}.")] = "",
    ext: Annotated[str, typer.Option("--ext", help="Application data to be signed.")] = "",
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Sign a request of Loop.  The header is good once, for a minute."""
    if session_token:
        credentials = signing.derived(given.secret(session_token))
    elif identity and key:
        credentials = signing.Hawk(identity, given.secret(key))
    else:
        raise Misused("nothing to sign with: give --session-token, or --id and --key")
    where, body = _address(of(context), address), given.raw(data) if data else None
    header = signing.hawk(credentials, method.upper(), where, body, ext=ext)
    _show(_call(method.upper(), where, body, header), header, as_json, as_curl)


@app.command()
def mauth(
    context: typer.Context,
    method: Method,
    address: Address,
    data: Data = "",
    service: Annotated[
        str, typer.Option("--service", help="The id of a service; the super service's if known.")
    ] = "",
    key: Annotated[str, typer.Option("--key", help=f"Its key: {given.FROM}.")] = "",
    user: Annotated[str, typer.Option("--user", help="For whom; with --role.")] = "",
    role: Annotated[str, typer.Option("--role", help="In which role; with --user.")] = "",
    original: Annotated[
        bool, typer.Option("--v1", help="By the original's method, which signs time and nonce only.")
    ] = False,
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Sign a request of conference management (OWT)."""
    target = of(context)
    if bool(service) != bool(key):
        raise Misused("--service and --key belong together")
    who, secret = (service, given.secret(key)) if service else target.super_service
    if not who or not secret:
        raise Misused("nothing to sign with: give --service and --key")
    where, body = _address(target, address), given.raw(data) if data else None
    base = target.base if "://" not in address else ""
    header = signing.mauth(
        who,
        secret,
        method.upper(),
        where,
        body,
        signature=signing.V1 if original else signing.V2,
        user=user,
        role=role,
        base=base,
    )
    _show(_call(method.upper(), where, body, header), header, as_json, as_curl)


@app.command()
def wcs(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="HOOK", help="A hook's name, path or address.")],
    data: Annotated[str, typer.Option("--data", "-d", help=f"The body: {given.FROM}.")],
    secret: Secret = "",
    as_json: AsJson = False,
    as_curl: AsCurl = False,
) -> None:
    """Sign a hook of a media server (WCS)."""
    target = of(context)
    where = url(f"{target.hooks}/{address}") if "/" not in address else _address(target, address)
    api = _API.search(where)
    found = given.secret(secret) if secret else target.hook_secret(api[1] if api else "")
    if not found:
        known = "WCS_SECRETS" in os.environ
        raise Misused(
            "WCS_SECRETS has no secret of this api" if known else "nothing to sign with: give --secret"
        )
    body = given.raw(data)
    header = signing.wcs(found, body)
    _show(_call("POST", where, body, header), header, as_json, as_curl)
