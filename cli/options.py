"""The options that many commands have."""

from typing import Annotated, TypeAlias

import typer

from cli.given import FROM

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")
]
AsCurl: TypeAlias = Annotated[
    bool, typer.Option("--curl", help="Print the request as a line of curl instead of making it.")
]
Lives: TypeAlias = Annotated[
    str, typer.Option(metavar="TIME", help="How long the token is good: 90s, 15m, 24h, 7d.")
]
SigningKey: TypeAlias = Annotated[
    str,
    typer.Option(
        "--key", metavar="KEY", help=f"What to sign with, a secret or a private RSA key in PEM: {FROM}."
    ),
]
Algorithm: TypeAlias = Annotated[
    str, typer.Option("--alg", help="HS256, HS384, HS512 with a secret; RS256, RS384, RS512 with a key.")
]
Kid: TypeAlias = Annotated[
    str, typer.Option("--kid", help="The id of the key, for verifiers that look keys up by it.")
]
Claims: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--claim", metavar="NAME=VALUE", help="A further claim; =null takes one away. May be repeated."
    ),
]
Token: TypeAlias = Annotated[str, typer.Option("--token", help=f"A token instead of one made here: {FROM}.")]
