"""`foyer token`: tokens of the waiting queue, made and checked."""

import base64
import json
import time
from typing import Annotated, Any

import typer

from cli import given, jwts, output
from cli.errors import Failed, Misused
from cli.options import Algorithm, AsJson, Claims, Kid, Lives, SigningKey
from cli.target import Queue, Target, environment, of

app = typer.Typer(no_args_is_help=True, help="Make and check tokens of the waiting queue.")

Room = Annotated[str, typer.Argument(help="The room that it is for; * is any.")]
Name = Annotated[str, typer.Option("--name", help="What the person is called.")]
Sub = Annotated[str, typer.Option("--sub", help="Tenant, or domain where there is none; * is any.")]
Members = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="NAME=VALUE", help="A further member of context.user. May be repeated."),
]


def user_key(queue: Queue, key: str) -> str:
    """What people's tokens are signed with.  Raises `Misused`."""
    found = given.secret(key) if key else queue.user_secret
    if not found:
        raise Misused("nothing to sign with: give --key, or JITSI_USER_KEYS=secret:… in the environment")
    return found


def person(
    target: Target,
    room: str,
    *,
    key: str = "",
    lives: str = "24h",
    sub: str = "",
    algorithm: str = "",
    kid: str = "",
    claims: list[str] | None = None,
    **user: Any,
) -> str:
    """A person's token.  Raises `Misused`."""
    queue = target.queue
    made = jwts.person(
        room=room,
        issuer=queue.user_issuer,
        audience=queue.user_audience,
        sub=sub or queue.domain or "*",
        lives_s=given.seconds(lives),
        user=user,
        more=given.members(claims or (), "--claim"),
    )
    return jwts.sign(made, user_key(queue, key), algorithm=algorithm, kid=kid)


def server_token(
    target: Target,
    *,
    key: str = "",
    lives: str = "1h",
    room: str = "",
    algorithm: str = "",
    kid: str = "",
    claims: list[str] | None = None,
) -> str:
    """A server's token.  Raises `Misused`."""
    queue = target.queue
    found = given.secret(key) if key else queue.server_key
    if not found:
        raise Misused("nothing to sign with: give --key @asap.key, the private key of your Prosody")
    made = jwts.server(
        issuer=queue.server_issuer,
        audience=queue.server_audience,
        lives_s=given.seconds(lives),
        room=room,
        more=given.members(claims or (), "--claim"),
    )
    return jwts.sign(made, found, algorithm=algorithm, kid=kid or ("" if key else queue.server_kid))


def _print(token: str, as_json: bool) -> None:
    if as_json:
        claims = payload(token)
        output.document({"token": token, "expires_at": int(claims.get("exp", 0)) * 1000, "claims": claims})
    else:
        output.verbatim(token)


def payload(token: str) -> dict[str, Any]:
    """The claims of a token, whoever signed it; none where it is no token."""
    try:
        middle = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _made_for(kind: str, text: str, **member: Any) -> None:
    def command(
        context: typer.Context,
        room: Room = "*",
        name: Name = "",
        lives: Lives = "24h",
        sub: Sub = "",
        key: SigningKey = "",
        algorithm: Algorithm = "",
        kid: Kid = "",
        claim: Claims = None,
        user: Members = None,
        as_json: AsJson = False,
    ) -> None:
        about = member | ({"name": name} if name else {}) | given.members(user or (), "--user")
        signed = {"key": key, "lives": lives, "sub": sub, "algorithm": algorithm, "kid": kid}
        _print(person(of(context), room, claims=claim, **signed, **about), as_json)

    app.command(kind, help=text)(command)


_made_for("visitor", "Print a token that may wait for a conference.", role="visitor")
_made_for("moderator", "Print a token that may see how many wait.", moderator=True)


@app.command()
def server(
    context: typer.Context,
    room: Annotated[str, typer.Option("--room", help="The only room that it is good for.")] = "",
    lives: Lives = "1h",
    key: SigningKey = "",
    algorithm: Algorithm = "",
    kid: Kid = "",
    claim: Claims = None,
    as_json: AsJson = False,
) -> None:
    """Print a token that may say that a conference is live, as Prosody's."""
    _print(
        server_token(
            of(context), key=key, lives=lives, room=room, algorithm=algorithm, kid=kid, claims=claim
        ),
        as_json,
    )


@app.command()
def check(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help=f"The token: {given.FROM}.")] = "-",
    conference: Annotated[str, typer.Option("--conference", help="Say what it may do there.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say who a token stands for, as the service sees it; exit status 1 if for nobody.

    It is checked with the JITSI_ settings of the environment; what is not set there is the local stage's.
    """
    target = of(context)
    found = verdict(target, given.secret(token).strip(), conference)
    if as_json:
        output.document(found)
    else:
        rows: list[tuple[str, object]] = [("stands for", found["kind"] or "nobody")]
        rows += [(f"as a {who}", why) for who, why in found["refused"].items()] if not found["valid"] else []
        rows += [("conference", found["conference"])] if found["conference"] else []
        rows += [(f"may {verb}", may) for verb, may in found["may"].items()]
        rows += [("good until", output.moment(found["expires_at"])), ("claims", found["claims"])]
        output.pairs(rows)
    if not found["valid"]:
        raise Failed("the token is not accepted")


def local_settings(target: Target) -> dict[str, str]:
    """The settings by which the file's service verifies tokens."""
    queue = target.queue
    found = {
        "JITSI_USER_ISSUERS": queue.user_issuer,
        "JITSI_USER_AUDIENCES": queue.user_audience,
        "JITSI_SERVER_ISSUERS": queue.server_issuer,
        "JITSI_SERVER_AUDIENCES": queue.server_audience,
        "JITSI_MUC_DOMAIN_BASE": queue.domain,
        "JITSI_MUC_DOMAIN_PREFIX": queue.prefix,
    }
    if queue.user_secret:
        found["JITSI_USER_KEYS"] = f"secret:{queue.user_secret}"
    if queue.server_key:
        found["JITSI_SERVER_KEYS"] = f"pem:{jwts.public_pem(queue.server_key)}"
    return found


def verdict(target: Target, token: str, conference: str = "") -> dict[str, Any]:
    """Who a token stands for, and what it may do.  Raises `Failed`, `Misused`."""
    name = target.queue.conference(conference) if conference else ""
    with environment(local_settings(target)):
        return _verdict(token, name)


def _verdict(token: str, name: str) -> dict[str, Any]:
    from chalicelib.errors import AppError, Unavailable
    from chalicelib.jitsi import auth, conference, principal, settings
    from chalicelib.wire import bearer

    refused: dict[str, str] = {}
    valid = False
    try:
        for role, trust in (("person", auth.users()), ("server", auth.servers())):
            try:
                found = bearer.verify(token, trust.source, trust.issuers, trust.audiences, now=time.time())
                valid = valid or role == "person" or "context" not in found.claims
                if not valid:
                    refused[role] = "it has a context, which no server's token has"
            except bearer.InvalidToken as error:
                refused[role] = error.reason
        who = auth.authenticate(f"Bearer {token}") if valid else principal.Principal()
        where = conference.parse(name) if name else None
        rules = settings.get().rules
    except Unavailable as error:
        raise Failed(f"a key that decides cannot be had now: {error}") from None
    except AppError as error:
        raise Misused(str(error)) from None

    def may(ask: Any, *arguments: Any) -> bool:
        try:
            ask(*arguments)
        except AppError:
            return False
        return True

    rights = {"connect": valid and may(principal.may_connect, who, rules)}
    if where is not None:
        rights |= {
            "wait": valid and may(principal.may_wait, who, where, rules),
            "watch": valid and may(principal.may_watch, who, where, rules),
            "golive": valid and who.kind == "server" and may(principal.covers, who, where),
        }
    kind = {"server": "server", "user": "moderator" if who.moderator else who.role or "person"}
    return {
        "valid": valid,
        "kind": kind.get(who.kind) if valid else None,
        "conference": where.name if where else None,
        "may": rights,
        "refused": {} if valid else refused,
        "expires_at": who.expires * 1000 if valid else None,
        "claims": payload(token),
    }
