"""Imports into a real store, again and again, and what an export brings back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import pytest

from recountdb.api.transfer import chat_export as exporting
from recountdb.api.transfer.chat_export import lines_for, sessions_to_export
from recountdb.api.transfer.chat_import import Importer, Report
from recountdb.api.transfer.chat_lines import Line
from recountdb.domain.commands.common import Delete, MergeMetadata
from recountdb.domain.commands.conversations import AddMessages, ChangeMessage, DeleteMessage
from recountdb.domain.errors import NotFound, Unavailable
from recountdb.domain.events import Context
from recountdb.domain.messages import Message, MessageState
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import LIMIT_MAX, Filter, Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session, list_sessions

Make = Callable[..., Context]


def chat(name: str, *contents: str, **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content} for content in contents]
    return {"id": name, "messages": messages, **members}


class Import:
    """One run: what it reported, and which lines it skipped."""

    def __init__(self, store: Recount, context: Make, texts: Iterable[Any], **options: Any) -> None:
        self.skipped: dict[int, str] = {}
        importer = Importer(context, application=store, on_skip=self.skipped.__setitem__, **options)
        lines = [
            Line(n, text if isinstance(text, bytes) else json.dumps(text).encode())
            for n, text in enumerate(texts, 1)
        ]
        for _ in importer.run(lines):
            pass
        self.report: Report = importer.report


def messages_in(database: Database, name: str, **criteria: Any) -> list[MessageState]:
    window = Window(LIMIT_MAX)
    return list(page_messages(database, "default", "session", name, window, Filter(**criteria)).items)


def contents(database: Database, name: str) -> list[Any]:
    return [message.content for message in messages_in(database, name)]


def exported(database: Database, *names: str) -> list[bytes]:
    sessions = sessions_to_export(database, "default", names)
    return [line for session in sessions for line in lines_for(database, session)]


def last_position(store: Recount) -> int:
    return store.log.max_notification_id() or 0


def test_each_conversation_becomes_a_session(application: Recount, database: Database, context: Make) -> None:
    run = Import(application, context, [chat("a", "one", "two", metadata={"k": 1}), chat("b", "three")])

    assert vars(run.report) == {
        "conversations": 2,
        "messages": 3,
        "conversations_added": 2,
        "conversations_grown": 0,
        "conversations_known": 0,
        "messages_added": 3,
        "messages_known": 0,
        "lines_skipped": 0,
        "messages_skipped": 0,
        "warnings": {},
    }
    session = get_session(database, "default", "a")
    assert (session.metadata, session.message_count, session.version) == ({"k": 1}, 2, 3)
    assert contents(database, "a") == ["one", "two"]
    assert [s.name for s in list_sessions(database, "default", Window()).items] == ["a", "b"]


def test_importing_again_adds_nothing(application: Recount, context: Make) -> None:
    file = [chat(str(number), "one", "two") for number in range(300)]
    Import(application, context, file)
    before = last_position(application)

    run = Import(application, context, file)

    assert last_position(application) == before
    assert (run.report.conversations_known, run.report.messages_known) == (300, 600)
    assert (run.report.messages_added, run.skipped) == (0, {})


def test_a_conversation_that_grew_gets_its_tail(
    application: Recount, database: Database, context: Make
) -> None:
    Import(application, context, [chat("a", "one")])
    run = Import(application, context, [chat("a", "one", "two", "three")])
    assert contents(database, "a") == ["one", "two", "three"]
    assert (run.report.conversations_grown, run.report.messages_added, run.report.messages_known) == (1, 2, 1)


def test_a_conversation_that_grows_within_one_file(
    application: Recount, database: Database, context: Make
) -> None:
    file = [chat("a", "one"), chat("b", "x"), chat("a", "one", "two"), chat("a", "one", "two")]
    run = Import(application, context, file)
    assert contents(database, "a") == ["one", "two"]
    report = run.report
    assert (report.conversations_added, report.conversations_grown, report.conversations_known) == (2, 1, 1)


def test_metadata_and_user_of_a_session_that_is_there_stay(
    application: Recount, database: Database, context: Make
) -> None:
    Import(application, context, [chat("a", "one", metadata={"k": 1})], user_id="ana")
    application.execute(MergeMetadata(kind="session", name="a", metadata={"k": 2}), context())
    Import(application, context, [chat("a", "one", "two", metadata={"k": 3}, user_id="bo")])
    session = get_session(database, "default", "a")
    assert (session.metadata, session.user_id, session.message_count) == ({"k": 2}, "ana", 2)


def test_edited_and_deleted_messages_stay_so(application: Recount, database: Database, context: Make) -> None:
    file = [chat("a", "one", "two", "three")]
    Import(application, context, file)
    first, second, _ = messages_in(database, "a")
    edit = ChangeMessage(kind="session", name="a", message_id=first.id, changes={"content": "1"})
    application.execute(edit, context())
    application.execute(DeleteMessage(kind="session", name="a", message_id=second.id), context())

    run = Import(application, context, file)

    assert contents(database, "a") == ["1", "three"]
    assert run.report.conversations_known == 1


def test_a_deleted_session_is_skipped_and_stays_deleted(
    application: Recount, database: Database, context: Make
) -> None:
    Import(application, context, [chat("a", "one")])
    application.execute(Delete(kind="session", name="a"), context())
    run = Import(application, context, [chat("a", "one", "two"), chat("b", "x")])
    assert list(run.skipped) == [1]
    assert get_session(database, "default", "a", deleted=True).is_deleted
    assert contents(database, "b") == ["x"]


def test_another_conversation_of_the_same_name_is_skipped(
    application: Recount, database: Database, context: Make
) -> None:
    said = Message(id=uuid4(), role="user", content="from elsewhere")
    application.execute(AddMessages(kind="session", name="a", messages=[said]), context())
    Import(application, context, [chat("b", "one", "two")])
    run = Import(application, context, [chat("a", "one"), chat("b", "one", "changed", "three")])
    assert list(run.skipped) == [1, 2]
    assert contents(database, "a") == ["from elsewhere"]
    assert contents(database, "b") == ["one", "two"]


def test_bad_lines_are_skipped_and_the_rest_goes_on(
    application: Recount, database: Database, context: Make
) -> None:
    run = Import(application, context, [b"{", chat("a", "one"), {"id": "b"}, chat("c", "two")])
    assert run.skipped == {1: "is not JSON", 3: "messages: is missing"}
    assert (run.report.conversations, run.report.lines_skipped) == (4, 2)
    assert contents(database, "a") == ["one"]
    assert contents(database, "c") == ["two"]


def test_ids_of_the_messages_own_may_come_again_but_not_with_other_words(
    application: Recount, database: Database, context: Make
) -> None:
    one, two = ({"id": str(uuid4()), "role": "user", "content": text} for text in ("one", "two"))
    Import(application, context, [{"id": "a", "messages": [one]}])
    run = Import(application, context, [{"id": "a", "messages": [one, two]}])
    assert (run.report.messages_added, run.report.messages_known) == (1, 1)

    changed = one | {"content": "rosebud"}
    run = Import(application, context, [{"id": "a", "messages": [changed]}])

    assert run.skipped == {1: f"message {one['id']} is recorded already, with other content"}
    assert contents(database, "a") == ["one", "two"]


def test_a_session_without_messages(application: Recount, database: Database, context: Make) -> None:
    file = [chat("a", metadata={"k": 1})]
    assert Import(application, context, file).report.conversations_added == 1
    assert Import(application, context, file).report.conversations_known == 1
    assert get_session(database, "default", "a").message_count == 0


def test_projects_have_sessions_of_their_own(application: Recount, database: Database, context: Make) -> None:
    Import(application, context, [chat("a", "one")])
    other = Import(application, lambda: context(project="other"), [chat("a", "one")])
    assert other.report.messages_added == 1
    assert contents(database, "a") == ["one"]


def test_a_rehearsal_says_what_would_be_done_and_does_nothing(
    application: Recount, database: Database, context: Make
) -> None:
    Import(application, context, [chat("a", "one")])
    before = last_position(application)
    importer = Importer(context, database=database)
    lines = [
        Line(1, json.dumps(chat("a", "one", "two")).encode()),
        Line(2, json.dumps(chat("b", "x")).encode()),
    ]
    for _ in importer.run(lines):
        pass
    report = importer.report
    assert (report.conversations_added, report.conversations_grown) == (1, 1)
    assert (report.messages_added, report.messages_known) == (2, 1)
    assert last_position(application) == before


def test_an_import_that_stopped_goes_on_where_it_was(
    application: Recount, database: Database, context: Make
) -> None:
    file = [chat(str(number), "one", "two") for number in range(400)]
    importer = Importer(context, application=application)
    lines = (Line(number, json.dumps(text).encode()) for number, text in enumerate(file))
    for report in importer.run(lines):
        if report.messages_added:
            break  # as if it were killed: some are in, some are on their way, some are not read yet

    again = Import(application, context, file)

    assert again.skipped == {}
    assert again.report.messages_known + again.report.messages_added == 800
    total = sum(s.message_count for s in list_sessions(database, "default", Window(LIMIT_MAX)).items)
    assert total == 800


def test_a_store_that_went_away_ends_the_import(application: Recount, context: Make) -> None:
    application.close()
    with pytest.raises(Unavailable):
        Import(application, context, [chat("a", "one")])


# Export

WHOLE = [
    {
        "id": "a",
        "user_id": "ana",
        "metadata": {"k": [1, {"deep": None}], "big": 10**30, "empty": {}},
        "messages": [
            {"role": "user", "content": "Grüße, 你好 \U0001f600 \u2028"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "arguments": "{}"}]},
            {"role": "tool", "content": "", "tool_call_id": "c", "name": "till"},
            {"role": "user", "content": [{"type": "text", "text": "x"}], "user_id": "bo", "token_count": 0},
            {"role": "user", "content": "y", "timestamp": "2026-11-20T19:50:25.000001Z", "metadata": {}},
        ],
    },
    {"id": "b/ %?", "metadata": {}, "messages": []},
    {"id": "a", "scope": "flow-7", "messages": [{"role": "user", "content": "z"}]},
]


def test_an_export_comes_back_equal(application: Recount, database: Database, context: Make) -> None:
    Import(application, context, WHOLE)
    first = exported(database)
    Import(application, lambda: context(project="copy"), first)
    sessions = sessions_to_export(database, "copy", ())

    assert [line for session in sessions for line in lines_for(database, session)] == first

    without_ids = json.loads(b"[" + b",".join(first) + b"]")
    for told in without_ids:
        for message in told["messages"]:
            del message["id"]
    assert without_ids == WHOLE


def test_what_is_deleted_is_not_exported(application: Recount, database: Database, context: Make) -> None:
    Import(application, context, [chat("a", "one", "two"), chat("b", "three")])
    first, _ = messages_in(database, "a")
    application.execute(DeleteMessage(kind="session", name="a", message_id=first.id), context())
    application.execute(Delete(kind="session", name="b"), context())
    (told,) = map(json.loads, exported(database))
    assert [message["content"] for message in told["messages"]] == ["two"]


def test_named_sessions_alone_are_exported(application: Recount, database: Database, context: Make) -> None:
    Import(application, context, [chat(name, "x") for name in "abc"])
    assert [json.loads(line)["id"] for line in exported(database, "c", "a")] == ["c", "a"]
    with pytest.raises(NotFound):
        exported(database, "a", "nobody")


@pytest.mark.parametrize("limit", ["LINE_MESSAGES_MAX", "LINE_BYTES_MAX"])
def test_a_long_session_takes_several_lines_and_comes_back_whole(
    application: Recount, database: Database, context: Make, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(exporting, limit, 2 if limit == "LINE_MESSAGES_MAX" else 200)
    monkeypatch.setattr(exporting, "PAGE", 3)
    words = [str(number) for number in range(8)]
    Import(application, context, [chat("a", *words, metadata={"k": 1})])
    lines = exported(database)
    assert len(lines) > 2

    Import(application, lambda: context(project="copy"), lines)

    copy = page_messages(database, "copy", "session", "a", Window(LIMIT_MAX))
    assert [message.content for message in copy.items] == words
    assert get_session(database, "copy", "a").metadata == {"k": 1}


def test_a_session_deleted_meanwhile_is_left_out(
    application: Recount, database: Database, context: Make
) -> None:
    Import(application, context, [chat("a", "one")])
    session = get_session(database, "default", "a")
    application.execute(Delete(kind="session", name="a"), context())
    assert list(lines_for(database, session)) == []
