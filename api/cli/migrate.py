"""``recount migrate``: bring the database's schema up to this version."""

from __future__ import annotations

import typer

from recountdb.api.cli.options import Data

app = typer.Typer(rich_markup_mode=None)


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database's schema up to this version."""
    from recountdb.api.cli.store import locate_store
    from recountdb.api.runtime import migrate_at

    with locate_store(data).run_postgres() as addresses:
        done = migrate_at(addresses)
    for migration in done:
        typer.echo(f"applied {migration.component} {migration.number:04d} {migration.name}")
    if not done:
        typer.echo("nothing to do: the schema is up to date")
