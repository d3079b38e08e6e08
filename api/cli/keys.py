"""``recount keys``: the API keys of the service."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from recountdb.api.cli.options import AsJson, Data, Project
from recountdb.api.cli.output import print_notice, show_all_json, show_json, show_table

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


class _Scope(StrEnum):
    """A right that a key can have."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    OPERATOR = "operator"


@app.command("create")
def create_key(
    project: Project = "default",
    scope: Annotated[
        list[_Scope] | None,
        typer.Option(
            metavar="SCOPE",
            help="A right: read, write, admin or operator; may be repeated. Default: read and write.",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="A note on whose key it is.")
    ] = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Create an API key. Its secret is printed, this once."""
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services import keys

    place = locate_store(data)
    scopes = [str(one) for one in scope or (_Scope.READ, _Scope.WRITE)]
    with place.open_database(begins=True) as database:
        key, secret = keys.create_key(
            database,
            project=project,
            scopes=scopes,
            label=label,
            keys_max=place.settings.keys_max,
        )
    if as_json:
        show_json(vars(key) | {"secret": secret})
        return
    print_notice(f"Key {key.id} for project {key.project} ({', '.join(key.scopes)}). It is shown this once:")
    typer.echo(secret)  # alone on standard output, so that a script can take it as it is
    print_notice("From now on every request needs a key: -H 'Authorization: Bearer KEY'.")


@app.command("list")
def list_keys(as_json: AsJson = False, data: Data = None) -> None:
    """List all keys, without their secrets."""
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services import keys

    with locate_store(data).open_database() as database:
        found = keys.list_keys(database)
    if as_json:
        show_all_json(map(vars, found))
        return
    rows = [[k.id, k.project, ", ".join(k.scopes), k.label, k.created_at, k.revoked_at] for k in found]
    show_table(["id", "project", "scopes", "label", "created", "revoked"], rows)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from the list.")],
    data: Data = None,
) -> None:
    """Revoke a key, so that it no longer works."""
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services import keys

    with locate_store(data).open_database() as database:
        keys.revoke_key(database, key_id)
    print_notice(f"Key {key_id} no longer works.")
