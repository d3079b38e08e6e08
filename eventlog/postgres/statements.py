"""Named SQL statements, kept in files: loaded by name, values always bound, none built from strings.

Text that several statements of a file share, such as the rows that are asked for, is a part: it stands once
in the file, after ``-- part: NAME`` and up to its semicolon, and is inserted wherever ``-- here: NAME``
stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

TO_ITS_END = r": (\w+)\n(.*?);\s*(?=^-- (?:name|part):|\Z)"
NAMED = re.compile(f"^-- name{TO_ITS_END}", re.MULTILINE | re.DOTALL)
PART = re.compile(f"^-- part{TO_ITS_END}", re.MULTILINE | re.DOTALL)
HERE = re.compile(r"^ *-- here: (\w+)$", re.MULTILINE)


class Statements(Mapping[str, str]):
    """The statements of one file by name, read when the first is asked for."""

    def __init__(self, module: str, file: str) -> None:
        self._package = module.rpartition(".")[0]
        self._file = file

    def _all(self) -> Mapping[str, str]:
        return load(self._package, self._file)

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


@cache
def load(package: str, file: str) -> Mapping[str, str]:
    text = files(package).joinpath("sql", f"{file}.sql").read_text(encoding="utf-8")
    return statements_in(text)


def statements_in(text: str) -> Mapping[str, str]:
    """Return the statements of ``text`` by name. Raises KeyError when a part to insert is missing."""
    parts: dict[str, str] = dict(PART.findall(text))
    return {name: HERE.sub(lambda here: parts[here[1]], body).strip() for name, body in NAMED.findall(text)}
