"""``recount keys``: the API keys of the service."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from recountdb.api.cli.commands.options import AsJson, Data, Project

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


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
            help="What it may do: read, write, admin or operator; may be repeated. Else read and write.",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="A note on whose key it is.")
    ] = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make an API key. Its secret is printed, this once."""
    from recountdb.api.cli import keyring

    keyring.create(
        data,
        project,
        scopes=[str(one) for one in scope or (_Scope.READ, _Scope.WRITE)],
        label=label,
        as_json=as_json,
    )


@app.command("list")
def list_keys(as_json: AsJson = False, data: Data = None) -> None:
    """List all keys, without their secrets."""
    from recountdb.api.cli import keyring

    keyring.list_all(data, as_json=as_json)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from the list.")],
    data: Data = None,
) -> None:
    """Have a key no longer work."""
    from recountdb.api.cli import keyring

    keyring.revoke(data, key_id)
