"""Checks that a database can be used, made before anything is created in it or anybody is served from it.

Each function raises DatabaseUnfit, with a sentence that says what is wrong and how to fix it.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import NamedTuple

import psycopg
from psycopg.sql import Identifier

from recountdb.domain.errors import DatabaseUnfit
from recountdb.eventlog.postgres.addresses import Addresses
from recountdb.eventlog.postgres.connect import READ, Connection, connect
from recountdb.eventlog.postgres.failures import translate_errors
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "preflight")

VERSION_MIN = 15
PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "DELETE"]
POOLER_ROUNDS = 4

POOLED = (
    "{setting} leads through a pooler that gives each transaction another session (PgBouncer's pool_mode ="
    " transaction or statement), and Recount needs sessions for locks and notifications: {remedy}"
)
SET_DIRECT = (
    "set RECOUNT_DATABASE_DIRECT_URL to an address of PostgreSQL itself, or the pooler's pool_mode to session"
)
GO_AROUND = "name PostgreSQL itself there"


class DatabaseFacts(NamedTuple):
    """Facts about a database and the connected role. ``schema``: the one where tables would be created."""

    encoding: str
    version: int
    schema: str | None
    search_path: str
    role: str
    may_create: bool


def load_facts(connection: Connection) -> DatabaseFacts:
    with translate_errors():
        return DatabaseFacts(*connection.execute(SQL["facts"]).fetchall()[0])


def refuse_unfit(connection: Connection) -> DatabaseFacts:
    """Refuse a database that cannot store every text, and an old PostgreSQL; return the database's facts."""
    facts = load_facts(connection)
    if facts.encoding != "UTF8":
        raise DatabaseUnfit(
            f"the database's encoding is {facts.encoding}, and must be UTF8: make another with"
            " 'createdb --encoding=UTF8 --template=template0' and name that"
        )
    if facts.version // 10_000 < VERSION_MIN:
        raise DatabaseUnfit(
            f"PostgreSQL {facts.version // 10_000} is too old: Recount needs {VERSION_MIN} or newer"
        )
    return facts


def refuse_nowhere_to_create(facts: DatabaseFacts) -> None:
    """Refuse a role that cannot create tables where they would go."""
    role = _quoted(facts.role)
    if facts.schema is None:
        raise DatabaseUnfit(
            f"no schema of the search path ({facts.search_path}) is there and may be used by the role {role}:"
            f" let its owner run 'CREATE SCHEMA AUTHORIZATION {role}', or 'GRANT USAGE, CREATE ON SCHEMA … TO"
            f" {role}'"
        )
    if not facts.may_create:
        schema = _quoted(facts.schema)
        raise DatabaseUnfit(
            f"the role {role} may not make tables in the schema {schema}: let its owner run 'GRANT CREATE ON"
            f" SCHEMA {schema} TO {role}', or give the role a schema of its own with 'CREATE SCHEMA"
            f" AUTHORIZATION {role}'"
        )


def refuse_missing_rights(connection: Connection, facts: DatabaseFacts, tables: Collection[str]) -> None:
    """Refuse a role that may not read and write all of ``tables``; missing tables do not count."""
    with translate_errors():
        asked = {"tables": list(tables), "privileges": PRIVILEGES}
        missing = dict(connection.execute(SQL["missing_rights"], asked).fetchall())
        ((sequences,),) = connection.execute(SQL["unreadable_sequences"]).fetchall()
    if not missing and not sequences:
        return
    lacks = [name for name in PRIVILEGES if any(name in rights for rights in missing.values())]
    what = f"{', '.join(lacks)} on {len(missing)} of Recount's tables" if missing else "SELECT on a sequence"
    role, schema = _quoted(facts.role), _quoted(facts.schema or "public")
    raise DatabaseUnfit(
        f"the role {role} lacks {what}: let their owner run 'GRANT {', '.join(PRIVILEGES)} ON ALL TABLES IN"
        f" SCHEMA {schema} TO {role}' and 'GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}'"
    )


def _quoted(name: str) -> str:
    """Return a name as it stands in SQL."""
    return Identifier(name).as_string(None) if not name.isidentifier() or name != name.lower() else name


def refuse_pooler(connection: Connection, addresses: Addresses) -> None:
    """Refuse a direct address behind which a session does not last as long as its connection."""
    if not is_pooled(connection, addresses.direct):
        return
    if addresses.is_pooled:
        raise DatabaseUnfit(POOLED.format(setting="RECOUNT_DATABASE_DIRECT_URL", remedy=GO_AROUND))
    raise DatabaseUnfit(POOLED.format(setting="the database's address", remedy=SET_DIRECT))


def is_pooled(connection: Connection, address: str) -> bool:
    """Return whether ``connection``, to ``address``, gets another session for each transaction.

    A pooler reports a process number of its own at the start, so a connection to PostgreSQL itself costs one
    question. Behind a pooler, another connection opens a transaction. If that runs in the very session that
    we used a moment ago, or we get another session from then on, sessions are shared. Other users of the
    pooler can hide that for a round, not for several.
    """
    with translate_errors():
        mine = _backend_of(connection)
        if mine == connection.info.backend_pid:
            return False
        with ExitStack() as stack:
            for _ in range(POOLER_ROUNDS):
                other = stack.enter_context(connect(address, READ))
                try:
                    other.execute("BEGIN")
                except psycopg.Error:  # a statement pooler refuses that
                    return True
                if _backend_of(other) == mine or _backend_of(connection) != mine:
                    return True
    return False


def _backend_of(connection: Connection) -> int:
    ((pid,),) = connection.execute(SQL["backend"], prepare=False).fetchall()
    return int(pid)


def refuse_two_databases(direct: Connection, primary: Connection) -> None:
    """Refuse a direct address that leads to another database than the pooler's."""
    with translate_errors():
        found = [
            connection.execute(SQL["same_database"], prepare=False).fetchall()
            for connection in (direct, primary)
        ]
    if found[0] != found[1]:
        raise DatabaseUnfit(
            "RECOUNT_DATABASE_URL and RECOUNT_DATABASE_DIRECT_URL lead to different databases or schemas:"
            " both must name the same one"
        )
