"""``recount sessions``: list sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.options import AsJson, Data, Limit, Order, Project
from recountdb.api.cli.output import shortened, show_all_json, show_table

COLUMNS = ["session", "user", "messages", "version", "updated", "metadata"]

app = typer.Typer(rich_markup_mode=None)


@app.command()
def sessions(
    limit: Limit = None,
    order: Order = "oldest",
    user_id: Annotated[str | None, typer.Option(metavar="USER", help="Only this user's.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only those whose metadata contain this object.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Only deleted ones.")] = False,
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List sessions in the order they began."""
    from functools import partial

    from recountdb.api.cli.arguments import parse_metadata
    from recountdb.api.cli.lists import list_some
    from recountdb.api.cli.store import locate_store
    from recountdb.api.schemas.responses import aggregate_resource, origin_ids
    from recountdb.projections.lists.paging import Filter
    from recountdb.projections.views.sessions import find_session_names, list_sessions

    criteria = Filter(user_id=user_id, metadata=parse_metadata(metadata, "--metadata"), deleted=deleted)
    with locate_store(data).open_database() as database:
        found = list_some(partial(list_sessions, database, project, criteria=criteria), limit, order)
        if as_json:
            show_all_json(
                aggregate_resource(one, find_session_names(database, project, origin_ids([one])))
                for one in found
            )
            return
        rows = (
            [
                f"{one.name} (of {one.scope})" if one.scope else one.name,
                *(one.user_id, one.message_count, one.version, one.updated_at, shortened(one.metadata)),
            ]
            for one in found
        )
        show_table(COLUMNS, rows)
