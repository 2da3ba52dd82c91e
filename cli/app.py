"""All commands, and the options that stand before them."""

from pathlib import Path
from typing import Annotated

import typer

from cli import conferences, config, dlq, doctor, given, lists, load, seed, sign, tokens
from cli.target import Target

app = typer.Typer(
    name="foyer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Operate Foyer: tokens, signatures, conferences, rooms, dead letters, demo data, checks and load.",
)
app.add_typer(tokens.app, name="token")
app.add_typer(sign.app, name="sign")
app.command()(conferences.golive)
app.command()(conferences.waiting)
app.command()(doctor.doctor)
app.command()(seed.seed)
app.command()(lists.conferences)
app.command()(lists.rooms)
app.command()(lists.streams)
app.command()(lists.channels)
app.add_typer(dlq.app, name="dlq")
app.add_typer(load.app, name="load")
app.add_typer(config.app, name="config")


@app.callback()
def service(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Option(
            "--url", envvar="FOYER_URL", help="The service's address; that of the local stage if it runs."
        ),
    ] = "",
    sockets: Annotated[
        str, typer.Option("--ws-url", envvar="FOYER_WS_URL", help="The whole address that visitors open.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            "--endpoints",
            envvar="FOYER_ENDPOINTS",
            help="Addresses and credentials; .local/endpoints.json here or above unless given.",
        ),
    ] = None,
    admin_token: Annotated[
        str,
        typer.Option("--admin-token", envvar="FOYER_ADMIN_TOKEN", help=f"Of the admin API: {given.FROM}."),
    ] = "",
) -> None:
    """Say which service is meant."""
    context.obj = Target(url, sockets, file, given.secret(admin_token) if admin_token else "")
