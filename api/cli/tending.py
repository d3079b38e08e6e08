"""``recount followers``: how far each is, which streams are parked, and handling those again."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import typer

from recountdb.api.background.tasks import follower_named
from recountdb.api.cli.failures import PARTLY, tell
from recountdb.api.cli.output import show_json, show_table
from recountdb.api.cli.store import opened, place
from recountdb.domain.errors import InvalidInput
from recountdb.projections.followers.follower import lags, parked_streams
from recountdb.projections.followers.follower import resume as resume_follower


def list_all(data: Path | None, *, as_json: bool) -> None:
    with opened(place(data)) as database:
        known, parked = lags(database), parked_streams(database)
    if as_json:
        for lag in known:
            streams = [vars(one) for one in parked if one.follower == lag.follower]
            show_json(vars(lag) | {"parked_streams": streams})
        return
    rows = [[lag.follower, lag.position, lag.events, round(lag.seconds, 1)] for lag in known]
    show_table(["follower", "position", "positions behind", "seconds behind"], rows)
    if parked:
        typer.echo("")
        aside = [[one.follower, one.stream_id, one.version, one.error, one.since] for one in parked]
        show_table(["follower", "parked stream", "from version", "error", "since"], aside)


def resume(data: Path | None, name: str, stream: str | None) -> None:
    """Resume parked streams, all of them if ``stream`` is None. Exits with PARTLY where one stays parked."""
    follower = follower_named(name)
    stream_id = None if stream is None else _stream_in(stream)
    with opened(place(data)) as database:
        left = resume_follower(database, follower, stream_id)
    for one in left:
        tell(f"stream {one.stream_id} is still parked: version {one.version} cannot be handled ({one.error})")
    if left:
        raise typer.Exit(PARTLY)
    tell("Nothing is set aside any more." if stream is None else "The stream goes on.")


def _stream_in(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("STREAM", "must be a stream's id, as 'recount followers list' shows it") from None
