"""``recount status`` and ``demo``: a report on the store, and a tour of a sample one."""

from __future__ import annotations

import typer

from recountdb.api.cli.commands.options import AsJson, Data

app = typer.Typer(rich_markup_mode=None)


@app.command()
def status(as_json: AsJson = False, data: Data = None) -> None:
    """Say what there is. Database, schema, how much is stored, and whether a server runs."""
    from recountdb.api.cli import overview

    overview.status(data, as_json=as_json)


@app.command()
def demo(data: Data = None) -> None:
    """Show what the store can do, on sample conversations, and end.

    Uses a directory that is thrown away afterwards, unless --data names one.
    """
    from recountdb.api.cli import showing

    showing.demo(data)
