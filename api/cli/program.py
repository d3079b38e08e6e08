"""The program: the tree of commands, and what happens when one fails.

Each command is in the file that is named as it is typed. It imports what is heavy when it runs, so that
``recount --help`` waits neither for a database driver nor for a web framework.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from recountdb.api.cli import (
    audit,
    demo,
    diff,
    export_chat,
    export_stores,
    followers,
    hold,
    import_chat,
    import_stores,
    keys,
    log,
    messages,
    migrate,
    purge,
    rebuild,
    replay,
    serve,
    sessions,
    status,
    verify,
)
from recountdb.api.cli.failures import (
    discard_stdout,
    escape_unprintable,
    exit_code_for,
    explain_failure,
    is_expected,
    translate_driver_error,
)
from recountdb.api.cli.output import print_notice

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
for module in (
    serve,
    migrate,
    rebuild,
    verify,
    purge,
    hold,
    sessions,
    messages,
    audit,
    diff,
    replay,
    status,
    demo,
):
    app.add_typer(module.app)
app.add_typer(keys.app, name="keys")
app.add_typer(followers.app, name="followers")
app.add_typer(log.app, name="log")


class _FilesOrStores(TyperGroup):
    """A command group that takes an unknown command for a file: ``import FILE`` is ``import chat FILE``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        is_named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        is_help_enough = not args and self.no_args_is_help
        return super().parse_args(ctx, args if is_named or is_help_enough else ["chat", *args])


imports = typer.Typer(
    cls=_FilesOrStores,
    help="Import conversations: from a file in chat format, or from what already holds them.",
    epilog="'recount import FILE' is 'recount import chat FILE'; a file that is named like a store: ./redis.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
imports.add_typer(import_chat.app)
imports.add_typer(import_stores.app)
app.add_typer(imports, name="import")

exports = typer.Typer(
    cls=_FilesOrStores,
    help="Export live sessions: into a file in chat format, or into the layout of another store.",
    epilog="'recount export FILE' is 'recount export chat FILE'; without FILE it writes to standard output.",
    rich_markup_mode=None,
)
exports.add_typer(export_chat.app)
exports.add_typer(export_stores.app)
app.add_typer(exports, name="export")


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
        from importlib.metadata import version

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


def run_command(arguments: Sequence[str] | None = None) -> None:
    """Run a command. A failure is reported in one sentence; see EPILOG for the exit codes."""
    escape_unprintable()
    try:
        try:
            app(arguments, prog_name="recount")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output closed the pipe
        discard_stdout()
        sys.exit(1)
    except Exception as failure:
        error = translate_driver_error(failure)
        if _is_debugging() and not is_expected(error):
            raise
        print_notice(explain_failure(error))
        sys.exit(exit_code_for(error))


def _is_debugging() -> bool:
    """Return whether RECOUNT_DEBUG is on, read without the settings, which may be what failed."""
    return os.environ.get("RECOUNT_DEBUG", "").lower() in ("1", "true", "yes", "on")
