"""Searching a conversation, and pages by number: what the queries find, and what finding stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages, DeleteMessage
from recountdb.domain.commands.retention import EraseMessages
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries import search
from recountdb.projections.queries.search import Group, Holds, Search, rank_messages
from recountdb.projections.views.messages import find_known_ids, get_message_in, get_numbered_page

pytestmark = pytest.mark.sql

MakeContext = Callable[..., Context]


@pytest.fixture
def say(application: Recount, context: MakeContext) -> Callable[..., list[UUID]]:
    """Says things in the thread or session ``talk``; returns the messages' ids."""

    def say(*contents: Any, kind: str = "thread", name: str = "talk", **members: Any) -> list[UUID]:
        messages = [Message(id=uuid7(), role="user", content=c, **members) for c in contents]
        outcome = application.execute(AddMessages(kind=kind, name=name, messages=messages), context())
        return list(outcome.message_ids)

    return say


def found(database: Database, text: str = "", **members: Any) -> list[tuple[Any, float]]:
    ranked = rank_messages(database, "default", "thread", "talk", Search(text, **members))
    return [(each.message.content, round(each.score, 3)) for each in ranked]


def test_the_cosine_of_the_sets_of_words(database: Database, say: Callable[..., list[UUID]]) -> None:
    say("tea tea TEA", "tea and milk", "rain")
    assert found(database, "Tea!") == [("tea tea TEA", 1), ("tea and milk", 0.577), ("rain", 0)]
    assert found(database, "milk and tea")[0] == ("tea and milk", 1)


def test_contents_of_every_form(database: Database, say: Callable[..., list[UUID]]) -> None:
    parts = [{"type": "text", "text": "tea"}, "milk", {"url": "sugar"}, 5, None, {"text": 7}]
    say(None, "", [], parts)
    assert found(database, "tea milk 7") == [(parts, 1), ([], 0), ("", 0), (None, 0)]
    assert all(score == 0 for _, score in found(database, "sugar url text 5"))


def test_a_text_of_nothing_but_new_words_is_recorded(
    database: Database, say: Callable[..., list[UUID]]
) -> None:
    """A tsvector has an end, which no message may come to."""
    for text in (
        " ".join(f"{n:05x}" for n in range(400_000)),
        " ".join(chr(0x4E00 + n % 20_000) + chr(0x10000 + n % 60_000) for n in range(100_000)),
        "x" * 3_000_000,
    ):
        say(text)
        say([{"text": text}])
    assert len(found(database, "00000")) == 6


def test_only_what_is_live_is_found(
    application: Recount, database: Database, context: MakeContext, say: Callable[..., list[UUID]]
) -> None:
    say("tea one")
    application.execute(Delete(kind="thread", name="talk"), context())
    assert found(database, "tea") == []
    two, three, _ = say("tea two", "tea three", "tea four")
    application.execute(DeleteMessage(kind="thread", name="talk", message_id=two), context())
    assert found(database, "tea one") == [("tea four", 0.5), ("tea three", 0.5)]
    versions = [get_message_in(database, "default", "thread", "talk", three).version]
    erase = EraseMessages(kind="thread", name="talk", message_ids=[three], versions=versions)
    application.execute(erase, context())
    assert found(database, "tea") == [("tea four", 0.707)]
    assert found(database, "three") == [("tea four", 0)]


def test_it_stays_within_project_kind_scope_and_name(
    database: Database, say: Callable[..., list[UUID]]
) -> None:
    say("tea")
    say("tea", kind="session")
    say("tea", name="other")
    assert len(found(database, "tea")) == 1
    for project, kind, name, scope in (
        ("other", "thread", "talk", ""),
        ("default", "thread", "none", ""),
        ("default", "session", "talk", "flow"),
    ):
        assert rank_messages(database, project, kind, name, Search("tea"), scope=scope) == []  # type: ignore[arg-type]


def test_conditions(database: Database, say: Callable[..., list[UUID]]) -> None:
    say("a", metadata={"n": 1})
    say("b", metadata={"n": 2, "x": [1, {"y": None}]})
    say("c")
    both = (Holds("$.n"), Holds("$.x[*].y"))
    assert [content for content, _ in found(database, where=Group("all", both))] == ["b"]
    assert [content for content, _ in found(database, where=Group("any", both))] == ["b", "a"]
    assert [content for content, _ in found(database, where=Group("any", ()))] == ["c", "b", "a"]
    assert [content for content, _ in found(database, "a", where=Group("any", both), limit=1)] == ["a"]


@pytest.mark.parametrize(
    "members",
    [
        {"where": Holds("$[")},
        {"where": Holds('strict $.a ? (@ like_regex "(")')},
        {"where": Holds("!(" * 4000)},
        {"where": Holds("$" + ".a" * 4000 + " ? (" * 900)},
        {"since": "soon"},
        {"until": "294277-01-01"},
        {"since": ""},
    ],
    ids=lambda members: str(members)[:40],
)
def test_what_postgresql_cannot_read_is_the_callers_mistake(
    database: Database, say: Callable[..., list[UUID]], members: Any
) -> None:
    say("a", metadata={"a": "x"})
    with pytest.raises(InvalidInput):
        found(database, **members)


def test_it_does_not_take_for_ever(
    database: Database, say: Callable[..., list[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SEARCH_SECONDS_MAX", 0.05)
    say(*["a"] * 50, metadata={"a": list(range(1000))})
    slow = Holds("$.a[*] ? (exists ($.a[*] ? (@ == 999)) && @ == -1)")
    with pytest.raises(InvalidInput, match="seconds"):
        found(database, where=Group("all", [slow] * 100))


class TestPagesByNumber:
    def test_of_live_messages(
        self, application: Recount, database: Database, context: MakeContext, say: Callable[..., list[UUID]]
    ) -> None:
        ids = say(*"abcde")
        application.execute(DeleteMessage(kind="thread", name="talk", message_id=ids[1]), context())

        def page(number: int, size: int | None) -> tuple[list[Any], int]:
            messages, total = get_numbered_page(
                database, "default", "thread", "talk", number=number, size=size
            )
            return [message.content for message in messages], total

        assert page(1, 3) == (["a", "c", "d"], 4)
        assert page(2, 3) == (["e"], 4)
        assert page(3, 3) == ([], 0)
        assert page(1, None) == (["a", "c", "d", "e"], 4)
        assert page(2**60, 2**40) == ([], 0)

    def test_one_message_of_a_conversation(self, database: Database, say: Callable[..., list[UUID]]) -> None:
        (one,) = say("a")
        assert get_message_in(database, "default", "thread", "talk", one).content == "a"
        for project, kind, name in (
            ("x", "thread", "talk"),
            ("default", "session", "talk"),
            ("default", "thread", "x"),
        ):
            with pytest.raises(NotFound):
                get_message_in(database, project, kind, name, one)  # type: ignore[arg-type]

    def test_ids_that_are_known(
        self, application: Recount, database: Database, context: MakeContext, say: Callable[..., list[UUID]]
    ) -> None:
        ids = say("a", "b")
        application.execute(Delete(kind="thread", name="talk"), context())
        assert find_known_ids(database, "default", [*ids, uuid7()]) == set(ids)
        assert find_known_ids(database, "other", ids) == set()
