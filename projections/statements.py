"""The named SQL statements of ``projections/sql``: one home, loaded by name, values always bound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

NAMED = re.compile(r"^-- name: (\w+)\n(.*?);\s*(?=^-- name:|\Z)", re.MULTILINE | re.DOTALL)


@cache
def statements(file: str) -> Mapping[str, str]:
    """The statements of ``projections/sql/<file>.sql`` by name."""
    text = files("projections").joinpath("sql", f"{file}.sql").read_text(encoding="utf-8")
    return {name: body.strip() for name, body in NAMED.findall(text)}
