"""A bad value in what another store holds costs no words: it is kept as what is closest, and told by kind."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from recountdb.api.transfer import cleaning
from recountdb.api.transfer.chat_format import NO_ROLE
from recountdb.api.transfer.importers.source import SOURCE
from recountdb.eventlog.postgres.database import Database
from tests.integration.test_importers_databases import file, postgres
from tests.support.foreign_tables import (
    FLOW,
    FLOWISE_SQLITE,
    LANGFLOW_POSTGRES,
    LANGFLOW_SQLITE,
    fill_tables,
    flowise_row,
    langflow_row,
)
from tests.support.stores import messages_in, recount

__all__ = ["file", "postgres"]  # fixtures

NAN = '[{"title": "Agent Steps", "contents": [{"type": "tool_use", "output": {"score": NaN}}]}]'


def test_a_figure_that_json_has_not(conninfo: str, database: Database, file: Path) -> None:
    rows = [
        langflow_row(file, "Will it rain?", 1),
        langflow_row(file, "It stays dry.", 2, content_blocks=NAN),
    ]
    fill_tables(file, LANGFLOW_SQLITE, *rows)
    ended = recount(conninfo, "import", "langflow", file, "--json")
    (account,) = ended.accounts.values()
    assert (ended.code, account["skipped"]) == (0, [])
    assert account["warnings"] == [f"{cleaning.NOT_FINITE} (1×)"]
    _, dry = messages_in(database, "s1", str(FLOW))
    assert dry.content == "It stays dry."
    assert dry.metadata["langflow"]["content_blocks"][0]["contents"][0]["output"] == {"score": "NaN"}
    again = recount(conninfo, "import", "langflow", file, "--json")
    assert (again.code, again.totals["messages_added"], again.totals["messages_known"]) == (0, 0, 2)


BAD: list[dict[str, Any]] = [
    {"properties": '{"x": Infinity}'},
    {"properties": '{"x": "\\ud800\\u0000"}'},
    {"properties": "{no JSON"},
    {"properties": "[" * 200 + "]" * 200},
    {"properties": "[" * 100_000},
    {"properties": json.dumps({"n": 1}).replace("1", "9" * 5000)},
    {"content_blocks": "3.14159265358979323846"},
    {"text": "NUL \0 within"},
    {"text": b"gr\xfc\xdfe"},
    {"text": 7},
    {"text": 7.5},
    {"sender": 7},
    {"sender_name": b"\xff"},
    {"sender_name": "x" * 10_000},
    {"timestamp": "0000-00-00 00:00:00"},
    {"timestamp": 1714564800},
    {"timestamp": "soon"},
    {"user_id": "u" * 600},
    {"category": 3.5},
    {"files": b"\x00\x01"},
    {"run_id": "no uuid"},
    {"id": "no uuid"},
]


def others(bad: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in bad.items() if name != "text"}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(next(iter(bad))))
def test_whatever_stands_beside_the_words(
    conninfo: str, database: Database, file: Path, bad: dict[str, Any]
) -> None:
    fill_tables(
        file,
        LANGFLOW_SQLITE,
        langflow_row(file, "one", 1),
        langflow_row(file, bad.get("text", "two"), 2, **others(bad)),
    )
    ended = recount(conninfo, "import", "langflow", file, "--json")
    (account,) = ended.accounts.values()
    assert (ended.code, account["added"], account["skipped"]) == (0, 2, [])
    contents = [one.content for one in messages_in(database, account["session_id"], str(FLOW))]
    assert len(contents) == 2
    assert "text" in bad or set(contents) == {"one", "two"}
    assert recount(conninfo, "import", "langflow", file, "--json").totals["messages_known"] == 2


def test_a_time_that_is_none_is_remembered(conninfo: str, database: Database, file: Path) -> None:
    fill_tables(file, LANGFLOW_SQLITE, langflow_row(file, "two", 2, timestamp=1714564800))
    recount(conninfo, "import", "langflow", file)
    (message,) = messages_in(database, "s1", str(FLOW))
    assert (message.timestamp, message.metadata[SOURCE]["timestamp"]) == (None, 1714564800)


def test_a_session_whose_name_can_be_none(conninfo: str, database: Database, file: Path) -> None:
    names = ["a\nb", "x" * 600, 7]
    rows = [langflow_row(file, "one", number, session_id=name) for number, name in enumerate(names)]
    fill_tables(file, LANGFLOW_SQLITE, *rows)
    ended = recount(conninfo, "import", "langflow", file, "--json")
    assert (ended.code, ended.totals["messages_added"], len(ended.accounts)) == (0, 3, 3)
    for name in ended.accounts:
        assert [one.content for one in messages_in(database, name, str(FLOW))] == ["one"]


def test_flowises_bad_values(conninfo: str, database: Database, file: Path) -> None:
    rows = [
        flowise_row("one", "2024-01-02 03:04:01", chatId="c", usedTools='[{"score": NaN}]'),
        flowise_row("two", "soon", chatId="c", sourceDocuments="{no JSON"),
        flowise_row("three", "2024-01-02 03:04:03", chatId="c", role=""),
    ]
    fill_tables(file, FLOWISE_SQLITE, *rows)
    ended = recount(conninfo, "import", "flowise", file, "--json")
    (account,) = ended.accounts.values()
    assert (ended.code, account["added"], account["skipped"]) == (0, 3, [])
    assert {f"{cleaning.NOT_FINITE} (1×)", f"{NO_ROLE} (1×)"} <= set(account["warnings"])


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "12345-01-01"])
def test_times_that_only_postgresql_knows(
    conninfo: str, database: Database, postgres: str, moment: str
) -> None:
    rows = [langflow_row(postgres, "one", 1), langflow_row(postgres, "two", 2, timestamp=moment)]
    fill_tables(postgres, LANGFLOW_POSTGRES, *rows)
    with psycopg.connect(postgres, autocommit=True) as connection:
        setting = SQL("ALTER DATABASE {} SET DateStyle = 'German'").format(Identifier(connection.info.dbname))
        connection.execute(setting)
    ended = recount(conninfo, "import", "langflow", postgres, "--json")
    assert (ended.code, ended.totals["messages_added"]) == (0, 2)
    messages = {one.content: one for one in messages_in(database, "s1", str(FLOW))}
    assert messages["two"].timestamp is None
    assert messages["two"].metadata[SOURCE]["timestamp"]
    assert messages["one"].timestamp is not None


def test_text_that_is_not_utf_8_is_told_and_names_stay_apart(
    conninfo: str, database: Database, file: Path
) -> None:
    rows = [langflow_row(file, "one", number, session_id=str(number)) for number in (1, 2)]
    fill_tables(file, LANGFLOW_SQLITE, *rows)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE message SET text = CAST(x'6772fc' AS TEXT)")
        for name, raw in (("1", b"\xfc"), ("2", b"\xfd")):
            connection.execute(
                "UPDATE message SET session_id = CAST(? AS TEXT) WHERE session_id = ?", (raw, name)
            )
    ended = recount(conninfo, "import", "langflow", file, "--json")
    assert (ended.code, ended.totals["messages_added"], len(ended.accounts)) == (0, 2, 2)
    for name, account in ended.accounts.items():
        assert f"{cleaning.SURROGATE} (1×)" in account["warnings"]
        assert [one.content for one in messages_in(database, name, str(FLOW))] == ["gr\ufffd"]
