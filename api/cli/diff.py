"""``recount diff``: the changes of a session between two moments."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.options import Data, Project, Scope, SessionName
from recountdb.api.cli.output import show_json, shown

app = typer.Typer(rich_markup_mode=None)


@app.command()
def diff(
    session: SessionName,
    from_: Annotated[
        str, typer.Option("--from", metavar="MOMENT", help="A version (7) or a time (RFC 3339).")
    ],
    to: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="A version or a time. Default: now.")
    ] = None,
    scope: Scope = "",
    project: Project = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with a JSON Patch.")] = False,
    data: Data = None,
) -> None:
    """Show what changed in a session between two moments.

    The words do not quote what was said.
    """
    from recountdb.api.cli.arguments import parse_moment
    from recountdb.api.cli.store import locate_store
    from recountdb.api.schemas.diff import difference_resource
    from recountdb.api.schemas.responses import origin_ids
    from recountdb.domain.commands.base import Name
    from recountdb.projections.queries.diff import compare_moments
    from recountdb.projections.queries.history import AsOf
    from recountdb.projections.views.sessions import find_session_names

    old = parse_moment(from_, "--from")
    new = AsOf() if to is None else parse_moment(to, "--to")
    with locate_store(data).open_store() as application:
        before, after = compare_moments(application, Name(project, "session", scope, session), old, new)
        origins = find_session_names(application.database, project, origin_ids([after.conversation]))
        difference = difference_resource(before, after, origins)
    if as_json:
        show_json(difference)
        return
    for words in difference["words"]:
        typer.echo(shown(words))
