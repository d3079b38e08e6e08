"""The state of a store, for whoever looks after it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from recountdb.api.runtime import all_migrations
from recountdb.domain.errors import SchemaMismatch
from recountdb.eventlog.archive.import_log import ImportUnfinished, refuse_unfinished
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.schema import check_schema, load_applied
from recountdb.projections.followers.follower import measure_lags
from recountdb.projections.queries.counts import count_all
from recountdb.projections.rebuild.progress import find_outdated_views


def describe_store(database: Database) -> dict[str, Any]:
    """Return the facts about a store; no counts where the schema is not this version's."""
    facts: dict[str, Any] = {
        "version": version("recountdb"),
        "schema": database.read(describe_schema),
        "clock_difference_seconds": round(database.clock.difference_seconds, 3),
    }
    if facts["schema"]["problem"] is None:
        facts["counts"] = {part: vars(count) for part, count in count_all(database).items()}
        facts["settled_position"] = LogRecorder(database).settled_position()
        facts["followers"] = [vars(lag) for lag in measure_lags(database)]
        facts["outdated_views"] = database.read(find_outdated_views)
    return facts


def describe_schema(connection: Connection) -> dict[str, Any]:
    """Return the state of the schema.

    ``problem`` is None if the schema is exactly what this version needs and no import is unfinished.
    """
    problem = None
    try:
        check_schema(connection, all_migrations())
        refuse_unfinished(connection)
    except (SchemaMismatch, ImportUnfinished) as found:
        problem = str(found)
    return {"migrations_applied": len(load_applied(connection)), "problem": problem}
