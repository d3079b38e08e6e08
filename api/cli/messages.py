"""``recount messages``: show a session's messages, now or at an earlier moment."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.options import AsJson, Data, Limit, Order, Project, Scope, SessionName
from recountdb.api.cli.output import show_all_json, show_table

app = typer.Typer(rich_markup_mode=None)


@app.command()
def messages(
    session: SessionName,
    limit: Limit = None,
    order: Order = "oldest",
    as_of: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="As they were: at a version (7) or a time (RFC 3339)."),
    ] = None,
    scope: Scope = "",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a session's messages, as they are or as they were."""
    from functools import partial

    from recountdb.api.cli.arguments import parse_moment
    from recountdb.api.cli.lists import list_some
    from recountdb.api.cli.store import locate_store
    from recountdb.api.cli.wording import content_of
    from recountdb.api.schemas.responses import message_resource
    from recountdb.domain.commands.base import Name
    from recountdb.projections.lists.paging import Filter
    from recountdb.projections.queries.history import page_as_of
    from recountdb.projections.views.messages import page_messages

    moment = None if as_of is None else parse_moment(as_of, "--as-of")
    with locate_store(data).open_store() as application:
        if moment is None:
            database, criteria = application.database, Filter(scope=scope)
            fetch = partial(page_messages, database, project, "session", session, criteria=criteria)
        else:
            name = Name(project, "session", scope, session)
            fetch = partial(page_as_of, application, name, moment, criteria=Filter())
        found = list_some(fetch, limit, order)
        if as_json:
            show_all_json(map(message_resource, found))
            return
        rows = ([one.version, one.timestamp or one.recorded_at, one.role, content_of(one)] for one in found)
        show_table(["version", "said", "role", "content"], rows)
