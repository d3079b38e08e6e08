"""The commands with their options and help texts, in a module for each group.

A module of api.cli does the work of each command. It is imported when the command runs, so that
``recount --help`` waits neither for a database driver nor for a web framework.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from recountdb.api.cli.commands import (
    exports,
    followers,
    imports,
    keys,
    log,
    overview,
    purges,
    service,
    sessions,
)

EPILOG = """
Exit codes: 0 all went well; 1 a part did not (lines of an import were skipped); 2 wrong use, or refused;
3 the store is not available; 70 a fault of Recount itself; 130 interrupted.

The store is the embedded PostgreSQL in the directory that --data or RECOUNT_DATA names. Without --data,
RECOUNT_DATABASE_URL or PostgreSQL's own PGHOST, PGHOSTADDR, PGSERVICE or PGDATABASE name a server instead.
"""

app = typer.Typer(
    help="A memory store for conversations that keeps every change as an event.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text reads the same in a terminal, a pipe and the documentation
    context_settings={"help_option_names": ["-h", "--help"]},
)
for front in (service, purges, sessions, overview):
    app.add_typer(front.app)
app.add_typer(keys.app, name="keys")
app.add_typer(followers.app, name="followers")
app.add_typer(log.app, name="log")
app.add_typer(imports.app, name="import")
app.add_typer(exports.app, name="export")


@app.command("help")
def show_help(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Such as: keys create.")
    ] = None,
) -> None:
    """Show what a command does and which options it has, as --help after it."""
    context.find_root().command.main([*(command or ()), "--help"], prog_name="recount")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"recount {version('recountdb')}")
        raise typer.Exit


@app.callback()
def recount(
    is_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    pass
