"""API keys of tests."""

from __future__ import annotations

from recountdb.api.services.keys import create_key
from recountdb.eventlog.postgres.database import Database


def make_key(database: Database, *scopes: str, project: str = "default") -> tuple[str, dict[str, str]]:
    """Create a key; return its id, and the headers to send it with."""
    key, secret = create_key(database, project=project, scopes=scopes or ("admin",))
    return key.id, {"X-API-Key": secret}
