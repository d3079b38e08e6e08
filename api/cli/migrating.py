"""``recount migrate``: the database's schema, brought up to this version."""

from __future__ import annotations

from pathlib import Path

import typer

from api.cli.store import connected, place
from api.opening import migrate_database
from eventlog.database import connect
from eventlog.schema import Migration


def migrate(data: Path | None) -> None:
    """Apply what is missing and say what that was. Raises SchemaMismatch for a newer schema."""
    with connected(place(data)) as conninfo:
        done = migrate_at(conninfo)
    for migration in done:
        typer.echo(f"applied {migration.component} {migration.number:04d} {migration.name}")
    if not done:
        typer.echo("nothing to do: the schema is up to date")


def migrate_at(conninfo: str) -> list[Migration]:
    with connect(conninfo) as connection:
        return migrate_database(connection)
