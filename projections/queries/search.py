"""Searching a conversation: its messages by how alike they are to a text, and by their metadata.

Alike are messages that share words: a text is taken for the set of its words, without regard to their
order, number, or endings, and two texts are as alike as the cosine between their sets: from 0, no word in
common, to 1, the same words. It needs no model, and says nothing of what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, NamedTuple

from psycopg import DataError, errors, sql

from recountdb.domain.errors import InvalidInput, Unavailable
from recountdb.domain.messages import MessageState
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.queries.whole_lists import read_whole
from recountdb.projections.views.messages import ConversationKind

SQL = Statements(__name__, "search")

SEARCH_SECONDS_MAX = 5
"""A jsonpath may hold a regular expression, and these may take for ever."""

CONDITIONS_MAX = 200
PATH_LENGTH_MAX = 10_000
DIVERSE_MAX = 200
"""Messages that are chosen with a view to each other; the cost grows with their square."""


@dataclass(frozen=True)
class Holds:
    """PostgreSQL's ``jsonb_path_exists(metadata, path)``; never of a message without metadata."""

    path: str


@dataclass(frozen=True)
class Group:
    """Conditions of which all hold, or any does. An empty group holds."""

    which: Literal["all", "any"]
    conditions: Sequence[Condition]


Condition = Holds | Group


@dataclass(frozen=True)
class Search:
    """What is looked for. ``text``: empty to rank nothing, the newest first then.

    ``since`` and ``until``: inclusive, any text that PostgreSQL reads as a time, for when it was said, or
    else recorded. ``limit``: None for all.
    """

    text: str = ""
    where: Condition = Group("all", ())
    since: str | None = None
    until: str | None = None
    limit: int | None = None


class Ranked(NamedTuple):
    """A message, how alike it is to what was asked (0 to 1), and the words in it."""

    message: MessageState
    score: float
    words: frozenset[str]


def rank_messages(
    database: Database,
    project: str,
    kind: ConversationKind,
    name: str,
    search: Search,
    *,
    scope: str = "",
    bytes_max: int | None = None,
) -> list[Ranked]:
    """Live messages of a conversation, the most alike first; then those that share no word, the newest first.

    Ranking leaves none out, but the conditions and the limit do. Nothing where there is no such
    conversation. Raises InvalidInput, and TooLarge where they have more than ``bytes_max``.
    """
    paths: list[str] = []
    where = _composed(search.where, paths)
    _check_paths(paths)
    bound: dict[str, Any] = {f"path_{place}": path for place, path in enumerate(paths)}
    bound |= {"project": project, "kind": kind, "scope": scope, "name": name}
    bound |= {"text": search.text, "since": search.since, "until": search.until, "limit": search.limit}
    statement = sql.SQL(SQL["rank_messages"]).format(where=where)

    def fetch(weighing: dict[str, Any]) -> list[tuple[Any, ...]]:
        return _read_in_time(
            database, lambda connection: connection.execute(statement, bound | weighing, prepare=False)
        )

    rows = read_whole(fetch, bytes_max)
    return [Ranked(MessageState(*row[2:]), row[0], frozenset(row[1])) for row in rows]


def _composed(condition: Condition, paths: list[str]) -> sql.Composable:
    """The condition in SQL, its paths bound by name; they are put to ``paths``."""
    if isinstance(condition, Holds):
        paths.append(condition.path)
        path = sql.Placeholder(f"path_{len(paths) - 1}")
        return sql.SQL("jsonb_path_exists(m.metadata::jsonb, {}::jsonpath)").format(path)
    if not condition.conditions:
        return sql.SQL("true")
    parts = [_composed(part, paths) for part in condition.conditions]
    return sql.SQL("({})").format(sql.SQL(" AND " if condition.which == "all" else " OR ").join(parts))


def _check_paths(paths: Sequence[str]) -> None:
    if len(paths) > CONDITIONS_MAX:
        raise InvalidInput("where", f"has more than {CONDITIONS_MAX} conditions")
    if any(len(path) > PATH_LENGTH_MAX or "\x00" in path for path in paths):
        raise InvalidInput("where", f"a path has a NUL character, or more than {PATH_LENGTH_MAX} others")


def _read_in_time(database: Database, execute: Callable[[Connection], Any]) -> list[tuple[Any, ...]]:
    """The rows that ``execute`` finds. Raises InvalidInput for a path or time that PostgreSQL cannot take."""

    def read(connection: Connection) -> list[tuple[Any, ...]]:
        with connection.transaction():
            connection.execute(SQL["limit_time"], [f"{SEARCH_SECONDS_MAX}s"])
            rows: list[tuple[Any, ...]] = execute(connection).fetchall()
            return rows

    try:
        return database.read(read)
    except Unavailable as error:
        match error.__cause__:
            case DataError() | errors.SyntaxError() | errors.StatementTooComplex():
                raise InvalidInput("search", "a path or a time in it cannot be read") from None
            case errors.QueryCanceled():
                raise InvalidInput("search", f"takes more than {SEARCH_SECONDS_MAX} seconds") from None
        raise


def diversified(found: Sequence[Ranked], limit: int | None, *, weight: float) -> list[Ranked]:
    """``limit`` of ``found``: the best first, then always the one that adds most to those chosen.

    That is maximal marginal relevance. ``weight``: 1 looks at what was asked alone, 0 only at how unlike
    each is to those before it. After DIVERSE_MAX come the others as they are.
    """
    rest = list(found)
    wanted = len(rest) if limit is None else min(limit, len(rest))
    likeness = dict.fromkeys(range(len(rest)), 0.0)  # of each to the likest of those chosen
    chosen: list[int] = []
    while likeness and len(chosen) < min(wanted, DIVERSE_MAX):
        best = max(likeness, key=lambda i: weight * rest[i].score - (1 - weight) * likeness[i])
        if not chosen:
            best = 0
        del likeness[best]
        chosen.append(best)
        for i in likeness:
            likeness[i] = max(likeness[i], alikeness(rest[i].words, rest[best].words))
    return [rest[i] for i in [*chosen, *likeness][:wanted]]


def alikeness(one: frozenset[str], other: frozenset[str]) -> float:
    """As the score is: the cosine between two sets of words."""
    return len(one & other) / sqrt(len(one) * len(other)) if one and other else 0.0
