"""``recount status``: a report on the store that changes nothing in it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from recountdb.api.cli.claim import RunningServer, running_server
from recountdb.api.cli.output import show_json
from recountdb.api.cli.store import Place, connected, place, refuse_missing
from recountdb.api.runtime import all_migrations
from recountdb.domain.errors import SchemaMismatch
from recountdb.eventlog.archive.import_log import ImportUnfinished, refuse_unfinished
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.postgres.clock import APART_SECONDS_MAX, in_words
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.eventlog.postgres.schema import applied, check_schema
from recountdb.projections.followers.follower import lags
from recountdb.projections.queries.counts import count_all
from recountdb.projections.rebuild.progress import outdated_views


def status(data: Path | None, *, as_json: bool) -> None:
    """Print the status. Raises Unavailable where there is no store, or it does not answer."""
    here = place(data)
    refuse_missing(here)
    server = running_server(here.directory) if here.is_embedded else None
    with connected(here) as addresses:
        connect(addresses.direct).close()  # fails at once, where a pool would retry for half a minute
        database = Database(addresses, connections_max=2)
        database.open()
        try:
            facts = _facts_of(here, database, server)
        finally:
            database.close()
    if as_json:
        show_json(facts)
    else:
        _show(facts)


def _facts_of(here: Place, database: Database, server: RunningServer | None) -> dict[str, Any]:
    with database.connection() as connection:
        facts: dict[str, Any] = {
            "version": version("recountdb"),
            "database": _database_of(here, connection),
            "schema": schema_of(connection),
            "server": vars(server) if server else None,
            "clock_difference_seconds": round(database.clock.difference_seconds, 3),
        }
    if facts["schema"]["problem"] is None:
        facts["counts"] = {part: vars(count) for part, count in count_all(database).items()}
        facts["settled_position"] = LogRecorder(database).settled_position()
        facts["followers"] = [vars(lag) for lag in lags(database)]
        facts["outdated_views"] = database.read(outdated_views)
    return facts


def _database_of(here: Place, connection: Connection) -> dict[str, Any]:
    """Return which database it is, never with a password."""
    major, minor = divmod(connection.info.server_version, 10_000)
    common = {"postgresql": f"{major}.{minor}", "is_embedded": here.is_embedded}
    if here.is_embedded:
        return common | {"directory": str(here.directory)}
    info = connection.info
    return common | {"host": info.host, "port": info.port, "name": info.dbname, "user": info.user}


def schema_of(connection: Connection) -> dict[str, Any]:
    """Return the state of the schema.

    ``problem`` is None if the schema is exactly what this version needs and no import is unfinished.
    """
    problem = None
    try:
        check_schema(connection, all_migrations())
        refuse_unfinished(connection)
    except (SchemaMismatch, ImportUnfinished) as found:
        problem = str(found)
    return {"migrations_applied": len(applied(connection)), "problem": problem}


def _show(facts: dict[str, Any]) -> None:
    for name, value in _lines(facts):
        typer.echo(f"{name:<18}{value}")


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    schema, database, server = facts["schema"], facts["database"], facts["server"]
    found = [
        ("version", facts["version"]),
        ("database", _database_line(database)),
        ("schema", schema["problem"] or f"up to date ({schema['migrations_applied']} migrations)"),
    ]
    if database["is_embedded"]:
        found.append(("server", _server_line(server)))
    found.append(("clock", _clock_line(facts["clock_difference_seconds"])))
    for part, count in facts.get("counts", {}).items():
        found.append((part, f"about {count['rows']:,}" if count["is_estimate"] else f"{count['rows']:,}"))
    if "settled_position" in facts:
        found.append(("settled position", f"{facts['settled_position']:,}"))
    if outdated := facts.get("outdated_views"):
        found.append(("views", _outdated_line(outdated)))
    followers = facts.get("followers", [])
    return [*found, *((f"follower {lag['follower']}", _lag_line(lag)) for lag in followers)]


def _database_line(database: dict[str, Any]) -> str:
    if database["is_embedded"]:
        return f"embedded PostgreSQL {database['postgresql']} in {database['directory']}"
    return (
        f"{database['name']} of PostgreSQL {database['postgresql']} at {database['host']}:{database['port']},"
        f" as {database['user']}"
    )


def _outdated_line(views: Sequence[str]) -> str:
    names = " ".join(views)
    return f"{names}: made by another version of Recount; run 'recount rebuild {names}'"


def _lag_line(lag: dict[str, Any]) -> str:
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
    length = in_words(abs(difference_seconds))
    if abs(difference_seconds) > APART_SECONDS_MAX:
        direction = "ahead of" if difference_seconds > 0 else "behind"
        return f"{length} {direction} the database's: nothing is purged until they agree"
    return f"within {length} of the database's"


def _server_line(server: dict[str, Any] | None) -> str:
    if server is None:
        return "none runs on this directory"
    return f"at {server['address'] or '(starting)'}, process {server['process']}"
