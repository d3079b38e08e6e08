"""Search in a conversation: its messages by their similarity to a text, and by their metadata.

Messages are similar when they share words. A text counts as the set of its words, without regard to their
order, number or endings, and the similarity of two texts is the cosine of their sets: from 0, no word in
common, to 1, the same words. It needs no model, and does not compare meanings.
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
from recountdb.projections.lists.whole_lists import read_whole
from recountdb.projections.views.messages import SQL as MESSAGES
from recountdb.projections.views.messages import ConversationKind

SQL = Statements(__name__, "search", parts_of=MESSAGES)

SEARCH_SECONDS_MAX = 5
"""A jsonpath may contain a regular expression, which may run without end."""

CONDITIONS_MAX = 200
PATH_LENGTH_MAX = 10_000
DIVERSE_MAX = 200
"""The number of messages that are compared with each other; the cost grows with its square."""


@dataclass(frozen=True)
class Holds:
    """Condition ``jsonb_path_exists(metadata, path)`` of PostgreSQL; false for a message without metadata."""

    path: str


@dataclass(frozen=True)
class Group:
    """Conditions of which all must be true, or any. An empty group is true."""

    which: Literal["all", "any"]
    conditions: Sequence[Condition]


Condition = Holds | Group


@dataclass(frozen=True)
class Search:
    """Search for messages. ``text``: empty for no ranking; the newest come first then.

    ``since`` and ``until``: inclusive, any text that PostgreSQL reads as a time; they bound when a message
    was said, or else recorded. ``limit``: None means all.
    """

    text: str = ""
    where: Condition = Group("all", ())
    since: str | None = None
    until: str | None = None
    limit: int | None = None


class Ranked(NamedTuple):
    """A message, its similarity to the text of the search (0 to 1), and its words."""

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
    """Return live messages of a conversation, the most similar first.

    Messages that share no word come last, the newest first. Ranking leaves none out; the conditions and the
    limit do. The list is empty when there is no such conversation. Raises InvalidInput, and TooLarge when
    they have more than ``bytes_max`` bytes (None: no limit).
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
    """Return the condition in SQL, with its paths bound by name; they are appended to ``paths``."""
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
    """Return the rows that ``execute`` finds.

    Raises InvalidInput for a path or time that PostgreSQL cannot read, and when the search takes longer than
    SEARCH_SECONDS_MAX.
    """

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


def diversify(found: Sequence[Ranked], limit: int | None, *, weight: float) -> list[Ranked]:
    """Return ``limit`` messages of ``found`` by maximal marginal relevance.

    The best comes first, and then always the one that adds most to those chosen. ``weight``: 1 counts only
    the score, 0 only the difference from those chosen before. After DIVERSE_MAX messages the others follow in
    their order.
    """
    rest = list(found)
    wanted = len(rest) if limit is None else min(limit, len(rest))
    likeness = dict.fromkeys(range(len(rest)), 0.0)  # of each to the most similar of those chosen
    chosen: list[int] = []
    while likeness and len(chosen) < min(wanted, DIVERSE_MAX):
        best = max(likeness, key=lambda i: weight * rest[i].score - (1 - weight) * likeness[i])
        if not chosen:
            best = 0
        del likeness[best]
        chosen.append(best)
        for i in likeness:
            likeness[i] = max(likeness[i], compare_words(rest[i].words, rest[best].words))
    return [rest[i] for i in [*chosen, *likeness][:wanted]]


def compare_words(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the similarity of two sets of words, their cosine, as in the score."""
    return len(one & other) / sqrt(len(one) * len(other)) if one and other else 0.0
