"""``recount followers``: the followers of the log and their parked streams."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.commands.options import AsJson, Data

app = typer.Typer(
    help="Look after what follows the log, webhooks among it.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_followers(as_json: AsJson = False, data: Data = None) -> None:
    """Say how far each follower of the log is, and which streams are parked."""
    from recountdb.api.cli import tending

    tending.list_all(data, as_json=as_json)


@app.command("resume")
def resume_follower(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The follower's name.")],
    stream: Annotated[
        str | None, typer.Argument(metavar="STREAM", help="Only this stream; else all that are parked.")
    ] = None,
    data: Data = None,
) -> None:
    """Handle what was set aside with parked streams. Works beside a running server."""
    from recountdb.api.cli import tending

    tending.resume(data, name, stream)
