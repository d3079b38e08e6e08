"""Named SQL statements, kept in files: loaded by name, values always bound, none built from strings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

NAMED = re.compile(r"^-- name: (\w+)\n(.*?);\s*(?=^-- name:|\Z)", re.MULTILINE | re.DOTALL)


class Statements(Mapping[str, str]):
    """The statements of one file by name, read when the first is asked for."""

    def __init__(self, package: str, file: str) -> None:
        self._package = package
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
    return {name: body.strip() for name, body in NAMED.findall(text)}
