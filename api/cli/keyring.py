"""``recount keys``: who may call the service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from recountdb.api.cli.failures import tell
from recountdb.api.cli.output import show_json, show_table
from recountdb.api.cli.store import opened, place
from recountdb.api.services.keys import create_key, list_keys, revoke_key


def create(data: Path | None, project: str, *, scopes: Sequence[str], label: str, as_json: bool) -> None:
    """Create a key. Only its secret goes to standard output, so that a script can take it as it is."""
    where = place(data)
    with opened(where, begins=True) as database:
        key, secret = create_key(
            database, project=project, scopes=scopes, label=label, keys_max=where.settings.keys_max
        )
    if as_json:
        show_json(vars(key) | {"secret": secret})
        return
    tell(f"Key {key.id} for project {key.project} ({', '.join(key.scopes)}). It is shown this once:")
    typer.echo(secret)
    tell("From now on every request needs a key: -H 'Authorization: Bearer KEY'.")


def list_all(data: Path | None, *, as_json: bool) -> None:
    with opened(place(data)) as database:
        keys = list_keys(database)
    if as_json:
        for key in keys:
            show_json(vars(key))
        return
    rows = [[k.id, k.project, ", ".join(k.scopes), k.label, k.created_at, k.revoked_at] for k in keys]
    show_table(["id", "project", "scopes", "label", "created", "revoked"], rows)


def revoke(data: Path | None, key_id: str) -> None:
    with opened(place(data)) as database:
        revoke_key(database, key_id)
    tell(f"Key {key_id} no longer works.")
