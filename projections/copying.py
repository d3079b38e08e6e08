"""Rows into tables by COPY, in PostgreSQL's text format (its documentation, "COPY", "Text Format")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.sql import SQL, Identifier
from pydantic_core import to_json

from eventlog.database import Connection
from eventlog.statements import Statements

STATEMENTS = Statements("projections", "copying")

Row = Mapping[str, Any]


def columns_of(connection: Connection, schema: str, table: str) -> dict[str, str]:
    """The columns of a table in their order, each with its type."""
    return dict(connection.execute(STATEMENTS["columns"], (schema, table)).fetchall())


def line_maker(columns: Mapping[str, str]) -> Callable[[Row], str]:
    """Makes the line of a row. A member that is missing is NULL; one without a column is left out."""
    fields = [(name, ENCODERS.get(kind, str)) for name, kind in columns.items()]

    def line(row: Row) -> str:
        return "\t".join(
            [r"\N" if (value := row.get(name)) is None else encode(value) for name, encode in fields]
        )

    return line


def text(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", r"\\")
    if "\n" in value:
        value = value.replace("\n", r"\n")
    if "\r" in value:
        value = value.replace("\r", r"\r")
    if "\t" in value:
        value = value.replace("\t", r"\t")
    return value


def json(value: Any) -> str:
    # JSON has no control characters in it, only escapes, which have a backslash.
    return to_json(value).decode().replace("\\", r"\\")


def uuid(value: UUID) -> str:
    return f"{value.int:032x}"  # as PostgreSQL takes it as well, in a third of the time


ENCODERS: dict[str, Callable[[Any], str]] = {"text": text, "json": json, "uuid": uuid}
"""By type of the column; all others are written as Python writes them."""


def copy_lines(
    connection: Connection, schema: str, table: str, columns: Sequence[str], lines: Iterable[str]
) -> None:
    """Append ``lines`` to a table, all or none."""
    statement = SQL("COPY {}.{} ({}) FROM STDIN").format(
        Identifier(schema), Identifier(table), SQL(", ").join(map(Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write("".join(line + "\n" for line in lines))
