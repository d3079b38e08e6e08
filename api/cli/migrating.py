"""``recount migrate``: bring the database's schema up to this version."""

from __future__ import annotations

from pathlib import Path

import typer

from recountdb.api.cli.store import connected, place
from recountdb.api.runtime import migrate_at


def migrate(data: Path | None) -> None:
    """Apply the missing migrations and print them. Raises SchemaMismatch for a newer schema."""
    with connected(place(data)) as addresses:
        done = migrate_at(addresses)
    for migration in done:
        typer.echo(f"applied {migration.component} {migration.number:04d} {migration.name}")
    if not done:
        typer.echo("nothing to do: the schema is up to date")
