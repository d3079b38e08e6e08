"""``recount serve``, ``migrate``, ``rebuild`` and ``verify``: the service, and care of its store."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from recountdb.api.cli.commands.options import AsJson, Data, Workers

LogLevel = Literal["debug", "info", "warning", "error"]

app = typer.Typer(rich_markup_mode=None)


@app.command()
def serve(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Port to listen on; 0 picks a free one. Else RECOUNT_PORT, or 8000.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; all but this machine's own need API keys. "
            "Else RECOUNT_HOST, or 127.0.0.1.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Server processes. Else RECOUNT_WORKERS, or 1."),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error. Else RECOUNT_LOG_LEVEL, or info."),
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Foreign protocols to serve, of zep,langmem,motorhead,langflow,langflux; or none. "
            "Else RECOUNT_PROTOCOLS, or all.",
        ),
    ] = None,
    root_path: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Path under which a proxy shows the server, such as /memory. Else RECOUNT_ROOT_PATH.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Start the service. Makes the database first, if there is none."""
    from recountdb.api.cli import serving

    serving.serve(
        data,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        protocols=protocols,
        root_path=root_path,
    )


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database's schema up to this version."""
    from recountdb.api.cli import migrating

    migrating.migrate(data)


@app.command()
def rebuild(
    views: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIEW]...",
            help="names, sessions, threads, users, functions, states, messages, requests; else all of them.",
        ),
    ] = None,
    workers: Workers = 1,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only if no server runs; nobody is written beside.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be different; change nothing.")
    ] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="As --dry-run; exit code 1 if anything is different.")
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine",
            help="Set streams aside that cannot be read, keep their rows, go on; exit code 1 if any.",
        ),
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the tables from before the last rebuild.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make the views again from the log, beside those in use, and put them in their place.

    The server may go on all the while. One that was stopped goes on where it was.
    """
    from recountdb.api.cli import maintenance

    if rollback:
        maintenance.go_back(data, as_json=as_json)
        return
    wanted = maintenance.Wanted(
        views or (),
        workers=workers,
        is_offline=offline,
        is_rehearsal=dry_run or verify_only,
        must_agree=verify_only,
        quarantine=quarantine,
    )
    maintenance.rebuild_views(data, wanted, as_json=as_json)


@app.command()
def verify(workers: Workers = 1, as_json: AsJson = False, data: Data = None) -> None:
    """Check that the log is what was recorded, and that the views are what follows from it.

    Prints the digest of the last checkpoint: kept elsewhere, it shows later what the log was now.
    """
    from recountdb.api.cli import maintenance

    maintenance.verify(data, workers=workers, as_json=as_json)
