"""Copying of rows into tables by COPY, each as the JSON that an append would send for it.

A row written as a JSON array without its brackets is a line of PostgreSQL's CSV format, too (see "CSV Format"
in its documentation of COPY): quoted by ``"``, escaped by a backslash, and with ``null`` for NULL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from psycopg.sql import SQL, Identifier
from pydantic_core import from_json, to_json

from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

STATEMENTS = Statements(__name__, "copy")

Row = Mapping[str, Any]

ESCAPE = re.compile(rb"\\(?:u[0-9a-f]{4}|.)")
HAS_CONTROL_CHARACTERS = re.compile(rb'[^\\]*+(?:\\["\\][^\\]*+)*+\\')
"""Matches a line with any escape except those of a quote and of a backslash, the only ones of CSV."""


def load_columns(connection: Connection, table: str) -> dict[str, str]:
    """Return the columns of a table in their order, each with its type."""
    return dict(connection.execute(STATEMENTS["columns"], [table]).fetchall())


def make_line_encoder(columns: Mapping[str, str]) -> Callable[[Row], bytes]:
    """Return a function that makes the line of a row.

    The row must have a member for each column; members without a column are left out.
    """
    members = itemgetter(*columns)
    documents = [place for place, kind in enumerate(columns.values()) if kind == "json"]

    def line(row: Row) -> bytes:
        values = list(members(row))
        for place in documents:
            if (value := values[place]) is not None:
                values[place] = to_json(value).decode()
        made = to_json(values)[1:-1]
        # This is rare: most text of messages is JSON within JSON, which has no such escapes.
        return ESCAPE.sub(_unescaped, made) if HAS_CONTROL_CHARACTERS.match(made) else made

    return line


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """Return the control character itself, as CSV needs it; the other two escapes as they are."""
    found = escape[0]
    if found in (rb"\"", rb"\\"):
        return found
    character: str = from_json(b'"%b"' % found)
    return character.encode()


def copy_lines(connection: Connection, table: str, columns: Sequence[str], lines: Iterable[bytes]) -> None:
    """Append ``lines`` to a table, all or none."""
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT csv, ESCAPE '\\', NULL 'null')").format(
        Identifier(table), SQL(", ").join(map(Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(b"\n".join(lines))
