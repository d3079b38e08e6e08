"""Named SQL statements, kept in files: loaded by name, values always bound, none built from strings.

Text that several statements of a file share, such as the rows that are asked for, is a part: it stands once
in the file, after ``-- part: NAME`` and up to its semicolon, and is inserted wherever ``-- here: NAME``
stands, also in the statements of another file that takes the parts of this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files

TO_ITS_END = r": (\w+)\n(.*?);\s*(?=^-- (?:name|part):|\Z)"
NAMED = re.compile(f"^-- name{TO_ITS_END}", re.MULTILINE | re.DOTALL)
PART = re.compile(f"^-- part{TO_ITS_END}", re.MULTILINE | re.DOTALL)
HERE = re.compile(r"^ *-- here: (\w+)$", re.MULTILINE)


class Statements(Mapping[str, str]):
    """The statements of one file by name, read when the first is asked for.

    ``parts_of``: statements of another file, whose parts these insert as well as their own.
    """

    def __init__(self, module: str, file: str, *, parts_of: Statements | None = None) -> None:
        self._package = module.rpartition(".")[0]
        self._file = file
        self._parts_of = parts_of

    @cached_property
    def _text(self) -> str:
        return files(self._package).joinpath("sql", f"{self._file}.sql").read_text(encoding="utf-8")

    @cached_property
    def _parts(self) -> Mapping[str, str]:
        return {**(self._parts_of._parts if self._parts_of else {}), **dict(PART.findall(self._text))}

    @cached_property
    def _all(self) -> Mapping[str, str]:
        return statements_in(self._text, self._parts)

    def __getitem__(self, name: str) -> str:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def statements_in(text: str, parts: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return the statements of ``text`` by name. A part may insert others.

    ``parts``: defaults to those of ``text``. Raises KeyError when a part to insert is missing.
    """
    known = dict(PART.findall(text)) if parts is None else parts

    def insert_parts(body: str) -> str:
        return HERE.sub(lambda here: insert_parts(known[here[1]]), body)

    return {name: insert_parts(body).strip() for name, body in NAMED.findall(text)}
