"""Columns of the views in SQL: a column that a view gets is added in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recountdb.projections.views import memory_functions, messages, sessions, threads, users

ROOT = Path(__file__).parents[3] / "projections"
LIST = re.compile(r"(?:(?:\w+\.)?\w+(?: AS \w+)?,\s+){5,}(?:\w+\.)?\w+")
"""Matches six names or more with commas in between."""

STATEMENTS = {view.__name__: view.SQL for view in (memory_functions, messages, sessions, threads, users)}


def _lists_in(path: Path) -> set[str]:
    text = re.sub(r"^ *--.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [re.sub(r"\w+\.|\s+", "", columns) for columns in LIST.findall(text)]
    return {columns for columns in found if found.count(columns) > 1}


@pytest.mark.parametrize("wing", ["views", "queries", "rebuild", "followers"])
def test_no_list_of_columns_stands_twice(wing: str) -> None:
    files = [path for path in (ROOT / wing / "sql").glob("*.sql") if path.name != "purge.sql"]
    assert {path.name: found for path in files if (found := _lists_in(path))} == {}


@pytest.mark.parametrize("view", STATEMENTS)
def test_all_statements_that_return_rows_return_the_same_columns(view: str) -> None:
    """A column added to the part ``columns`` is in each of them, so there is no other place to forget."""
    wanted = "m.deleted_at, m.deleted_version" if view.endswith("messages") else "deleted_version, hold"
    selects = {
        name: sql
        for name, sql in STATEMENTS[view].items()
        if name.startswith(("get_", "list_", "page_", "find_users", "find_messages", "search_"))
    }
    assert selects
    for name, sql in selects.items():
        assert len(re.findall(wanted, sql)) == 1, name
