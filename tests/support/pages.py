"""The project's own pages as the tests see them: code blocks, links, headings, words in code type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from textwrap import dedent
from typing import Any

ROOT = Path(__file__).parents[2]

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")

MORE = "…"
"""In a shown answer: as a member's name, further members; as a value, any value."""

VOLATILE = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00| UTC)?"), "<time>"),
    (re.compile(r"\brk_[0-9a-f]{8}_[\w-]{20,}"), "<key>"),
    (re.compile(r"\bkey:[0-9a-f]{8}\b"), "key:<key id>"),
]


@dataclass(frozen=True)
class Block:
    """A fenced block. ``not_run``: why no test runs it, as a comment above it says; else None."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Example:
    """A block to run, and the block right after it that shows what it prints."""

    code: Block
    answer: Block | None


def pages() -> list[str]:
    """All pages for people, relative to the repository."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found += sorted((ROOT / "clients").glob("*/README.md"))
    return [path.relative_to(ROOT).as_posix() for path in found]


@cache
def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", read(page))


def blocks(page: str) -> list[Block]:
    text = read(page)
    return [
        Block(page, text.count("\n", 0, m.start()) + 1, m["language"], dedent(m["text"]), m["reason"])
        for m in FENCE.finditer(text)
    ]


def examples(page: str) -> list[Example]:
    """What can be run, in order. A ``text`` or ``json`` block that follows is what it prints."""
    found = []
    all_blocks = blocks(page)
    for block, after in zip_longest(all_blocks, all_blocks[1:]):
        if block.language in {"sh", "python", "sql"} and block.not_run is None:
            is_answer = after is not None and after.language in {"json", "text"}
            found.append(Example(block, after if is_answer else None))
    return found


def links(page: str) -> list[str]:
    return LINK.findall(prose(page))


def anchors(page: str) -> set[str]:
    """What ``#…`` may follow the page's name, made from headings as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def words_in_code(page: str) -> Iterator[str]:
    """What the page sets in code type, blocks aside."""
    yield from CODE.findall(prose(page))


def stable(text: str) -> str:
    """``text`` with ids, times and keys, which differ every time, made alike."""
    for pattern, instead in VOLATILE:
        text = pattern.sub(instead, text)
    return text


def documents(text: str) -> list[Any]:
    """The JSON documents that ``text`` consists of."""
    found, start, decoder = [], 0, json.JSONDecoder()
    while rest := text[start:].lstrip():
        start = len(text) - len(rest)
        document, start = decoder.raw_decode(text, start)
        found.append(document)
    return found


def is_shown(shown: Any, actual: Any) -> bool:
    """Whether ``shown``, in which MORE stands for what was left out, is what ``actual`` is."""
    if shown == MORE:
        return True
    if isinstance(shown, dict) and isinstance(actual, dict):
        named = shown.keys() - {MORE}
        all_there = named <= actual.keys() if MORE in shown else named == actual.keys()
        return all_there and all(is_shown(shown[name], actual[name]) for name in named)
    if isinstance(shown, list) and isinstance(actual, list):
        return len(shown) == len(actual) and all(map(is_shown, shown, actual))
    return bool(shown == actual) and type(shown) is type(actual)
