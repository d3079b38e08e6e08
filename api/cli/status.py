"""``recount status``: a report on the store that changes nothing in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from recountdb.api.cli.options import AsJson, Data
from recountdb.api.cli.output import show_json

app = typer.Typer(rich_markup_mode=None)


@app.command()
def status(as_json: AsJson = False, data: Data = None) -> None:
    """Report on the store.

    Its database and schema, how much is stored, and whether a server runs.
    """
    facts = _read_facts(data)
    if as_json:
        show_json(facts)
        return
    for name, value in _lines(facts):
        typer.echo(f"{name:<18}{value}")


def _read_facts(data: Path | None) -> dict[str, Any]:
    """Return the facts. Raises Unavailable where there is no store, or it does not answer."""
    from recountdb.api.cli.claim import find_server
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.status import describe_store
    from recountdb.eventlog.postgres.database import Database

    place = locate_store(data)
    place.refuse_missing()
    server = find_server(place.directory) if place.is_embedded else None
    with place.run_postgres() as addresses:
        where = place.describe(addresses)  # fails at once, where a pool would retry for half a minute
        database = Database(addresses, connections_max=2)
        database.open()
        try:
            facts = describe_store(database)
        finally:
            database.close()
    first = {"version": facts.pop("version"), "database": where, "schema": facts.pop("schema")}
    return {**first, "server": vars(server) if server else None, **facts}


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    schema, database = facts["schema"], facts["database"]
    yield "version", facts["version"]
    yield "database", _database_line(database)
    yield "schema", schema["problem"] or f"up to date ({schema['migrations_applied']} migrations)"
    if database["is_embedded"]:
        yield "server", _server_line(facts["server"])
    yield "clock", _clock_line(facts["clock_difference_seconds"])
    for part, count in facts.get("counts", {}).items():
        yield part, f"about {count['rows']:,}" if count["is_estimate"] else f"{count['rows']:,}"
    if "settled_position" in facts:
        yield "settled position", f"{facts['settled_position']:,}"
    if outdated := facts.get("outdated_views"):
        yield "views", _outdated_line(outdated)
    for lag in facts.get("followers", []):
        yield f"follower {lag['follower']}", _lag_line(lag)


def _database_line(database: Mapping[str, Any]) -> str:
    if database["is_embedded"]:
        return f"embedded PostgreSQL {database['postgresql']} in {database['directory']}"
    return (
        f"{database['name']} of PostgreSQL {database['postgresql']} at {database['host']}:{database['port']},"
        f" as {database['user']}"
    )


def _outdated_line(views: Sequence[str]) -> str:
    names = " ".join(views)
    return f"{names}: made by another version of Recount; run 'recount rebuild {names}'"


def _lag_line(lag: Mapping[str, Any]) -> str:
    if lag["events"] == 0:
        line = "is up to date"
    else:
        line = f"is {lag['events']:,} positions and {lag['seconds']:,.0f} seconds behind"
    parked = lag["parked_streams"]
    if parked == 0:
        return line
    return f"{line}; 1 stream is parked" if parked == 1 else f"{line}; {parked:,} streams are parked"


def _clock_line(difference_seconds: float) -> str:
    """Return how the clocks compare; this machine's is ``difference_seconds`` ahead of the database's."""
    from recountdb.eventlog.postgres.clock import APART_SECONDS_MAX, in_words

    length = in_words(abs(difference_seconds))
    if abs(difference_seconds) > APART_SECONDS_MAX:
        direction = "ahead of" if difference_seconds > 0 else "behind"
        return f"{length} {direction} the database's: nothing is purged until they agree"
    return f"within {length} of the database's"


def _server_line(server: Mapping[str, Any] | None) -> str:
    if server is None:
        return "none runs on this directory"
    return f"at {server['address'] or '(starting)'}, process {server['process']}"
