"""``recount followers``: the followers of the log and their parked streams."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.options import AsJson, Data
from recountdb.api.cli.output import print_notice, show_json, show_table

app = typer.Typer(
    help="Look after the followers of the log, such as webhooks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_followers(as_json: AsJson = False, data: Data = None) -> None:
    """List the followers of the log, how far each is, and parked streams."""
    from recountdb.api.cli.store import locate_store
    from recountdb.projections.followers.follower import list_parked_streams, measure_lags

    with locate_store(data).open_database() as database:
        known, parked = measure_lags(database), list_parked_streams(database)
    if as_json:
        for lag in known:
            streams = [vars(one) for one in parked if one.follower == lag.follower]
            show_json(vars(lag) | {"parked_streams": streams})
        return
    rows = [[lag.follower, lag.position, lag.events, round(lag.seconds, 1)] for lag in known]
    show_table(["follower", "position", "positions behind", "seconds behind"], rows)
    if parked:
        typer.echo("")
        rows = [[one.follower, one.stream_id, one.version, one.error, one.since] for one in parked]
        show_table(["follower", "parked stream", "from version", "error", "since"], rows)


@app.command("resume")
def resume_follower(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The follower's name.")],
    stream: Annotated[
        str | None, typer.Argument(metavar="STREAM", help="Only this stream. Default: all that are parked.")
    ] = None,
    data: Data = None,
) -> None:
    """Retry parked streams. Works beside a running server."""
    from recountdb.api.background.tasks import find_follower
    from recountdb.api.cli.arguments import parse_stream_id
    from recountdb.api.cli.store import locate_store
    from recountdb.projections.followers.follower import resume_streams

    follower = find_follower(name)
    stream_id = parse_stream_id(stream, "STREAM")
    with locate_store(data).open_database() as database:
        left = resume_streams(database, follower, stream_id)
    for one in left:
        reason = f"version {one.version} cannot be handled ({one.error})"
        print_notice(f"stream {one.stream_id} is still parked: {reason}")
    if left:
        raise typer.Exit(PARTLY)
    print_notice("No stream is parked any more." if stream is None else "The stream goes on.")
