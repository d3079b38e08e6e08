"""Rows into tables by COPY, each as the JSON that an append would send of it.

Put between quotes and commas as JSON does it, a row is a line of PostgreSQL's CSV format too (its
documentation, "COPY", "CSV Format"): quoted by ``"``, escaped by a backslash, and ``null`` for NULL.
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
"""Any escape but those of a quote and of a backslash, which are all that CSV has."""


def columns_of(connection: Connection, table: str) -> dict[str, str]:
    """The columns of a table in their order, each with its type."""
    return dict(connection.execute(STATEMENTS["columns"], [table]).fetchall())


def line_maker(columns: Mapping[str, str]) -> Callable[[Row], bytes]:
    """Makes the line of a row, which has a member for each column; one without a column is left out."""
    members = itemgetter(*columns)
    documents = [place for place, kind in enumerate(columns.values()) if kind == "json"]

    def line(row: Row) -> bytes:
        values = list(members(row))
        for place in documents:
            if (value := values[place]) is not None:
                values[place] = to_json(value).decode()
        made = to_json(values)[1:-1]
        # JSON within JSON has none: rare, for most of what people say is in documents.
        return ESCAPE.sub(_unescaped, made) if HAS_CONTROL_CHARACTERS.match(made) else made

    return line


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """A control character itself, as CSV has it; the other two escapes as they are."""
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
