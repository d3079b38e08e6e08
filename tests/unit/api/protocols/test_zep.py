"""Zep's sessions, memory, messages and searches, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from starlette.exceptions import HTTPException

from recountdb.api.protocols.base import BodyInvalid, validate_body
from recountdb.api.protocols.zep.parameters import (
    check_new_name,
    read_integer,
    read_name_loosely,
    read_window,
)
from recountdb.api.protocols.zep.rules import (
    build_search,
    choose_weight,
    count_candidates,
    drop_summarized,
    read_summary,
)
from recountdb.api.protocols.zep.shapes import (
    NO_SUMMARY,
    MemoryToAdd,
    MessageToAdd,
    MetadataToMerge,
    SearchRequest,
    SessionToStart,
    UserDetails,
    format_zep_time,
    to_zep_hit,
    to_zep_memory,
    to_zep_message,
    to_zep_session,
    to_zep_user,
)
from recountdb.domain.users import Profile, User
from recountdb.projections.queries.search import Group, Holds, Ranked
from tests.unit.api.protocols.samples import (
    MESSAGE,
    NOON,
    STREAM,
    message_state,
    sent_request,
    session_state,
)

TIME = "2026-11-20T12:00:00Z"
SUMMARY: dict[str, Any] = {
    "uuid": str(STREAM),
    "created_at": "2024-05-01T10:00:00Z",
    "content": "They met.",
    "recent_message_uuid": str(MESSAGE),
    "token_count": 2,
    "metadata": {"system": {"entities": []}},
}


# ---- responses ------------------------------------------------------------------------------------


def test_a_session_has_eight_members_and_none_of_the_protocols_own() -> None:
    session = session_state(metadata={"zep": {"summary": SUMMARY}, "k": 1}, user_id="ana")
    assert to_zep_session(session) == {
        "uuid": STREAM,
        "id": 7,
        "created_at": TIME,
        "updated_at": TIME,
        "deleted_at": None,
        "session_id": "s",
        "metadata": {"k": 1},
        "user_id": "ana",
    }
    assert to_zep_session(session_state(metadata={"zep": {}}))["metadata"] is None


def test_a_message_in_full() -> None:
    said_at = NOON - timedelta(hours=1)
    message = message_state(metadata={"a": 1}, token_count=3, timestamp=said_at)
    assert to_zep_message(message) == {
        "uuid": MESSAGE,
        "created_at": "2026-11-20T11:00:00Z",
        "updated_at": TIME,
        "role": "user",
        "content": "hello",
        "metadata": {"a": 1},
        "token_count": 3,
    }


@pytest.mark.parametrize("metadata", [None, {}])
def test_a_message_without_metadata_has_no_such_key(metadata: Any) -> None:
    shown = to_zep_message(message_state(metadata=metadata, content=None))
    assert "metadata" not in shown
    assert (shown["content"], shown["token_count"]) == ("", 0)


def test_a_user_has_no_empty_members() -> None:
    user = User(
        id=STREAM,
        version=1,
        project="default",
        name="ana",
        number=3,
        created_at=NOON,
        updated_at=NOON,
        profile=Profile(email="a@b.c"),
    )
    assert to_zep_user(user) == {
        "uuid": STREAM,
        "id": 3,
        "created_at": TIME,
        "updated_at": TIME,
        "deleted_at": None,
        "user_id": "ana",
        "email": "a@b.c",
    }


def test_a_memory_has_a_summary_or_the_placeholder() -> None:
    assert to_zep_memory((), None) == {"messages": [], "summary": NO_SUMMARY}
    summary = read_summary(session_state(metadata={"zep": {"summary": SUMMARY}}))
    assert to_zep_memory((), summary)["summary"] == SUMMARY


@pytest.mark.parametrize("own", [1, {"summary": None}, {"summary": {"content": 5}}, {"summary": []}], ids=str)
def test_metadata_of_another_shape_are_no_summary(own: Any) -> None:
    assert read_summary(session_state(metadata={"zep": own})) is None


def test_a_summary_stands_for_the_messages_before_its_end() -> None:
    messages = [message_state(version=version) for version in (2, 3, 4)]
    assert drop_summarized(messages, messages[1]) == messages[2:]


def test_a_search_result() -> None:
    message = message_state()
    assert to_zep_hit(Ranked(message, 0.5, frozenset())) == {
        "message": to_zep_message(message),
        "summary": None,
        "dist": 0.5,
        "embedding": None,
    }


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (NOON, TIME),
        (NOON.replace(microsecond=120), "2026-11-20T12:00:00.00012Z"),
        (datetime(2026, 11, 20, 14, tzinfo=timezone(timedelta(hours=2))), TIME),
        (datetime(2026, 11, 20, 12, 30, tzinfo=UTC), "2026-11-20T12:30:00Z"),
    ],
)
def test_times_are_in_utc_without_trailing_zeros(time: datetime, text: str) -> None:
    assert format_zep_time(time) == text


# ---- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [{}, {"role": None, "content": None, "uuid": None}], ids=str)
def test_role_and_content_are_never_null(document: Any) -> None:
    message = validate_body(document, MessageToAdd).to_message()
    assert (message.role, message.content) == ("", "")


def test_ids_in_any_spelling_and_the_zero_id() -> None:
    assert validate_body({"uuid": MESSAGE.hex.upper()}, MessageToAdd).to_message().id == MESSAGE
    zero = validate_body({"uuid": str(UUID(int=0))}, MessageToAdd)
    assert zero.given_id is None
    assert zero.to_message().id != UUID(int=0)


@pytest.mark.parametrize(("given", "kept"), [(3, 3), (0, 0), (-1, None), (2**54, None), (None, None)])
def test_token_counts_that_cannot_be_are_dropped(given: Any, kept: int | None) -> None:
    assert validate_body({"token_count": given}, MessageToAdd).to_message().token_count == kept


@pytest.mark.parametrize(
    "message",
    [
        {"uuid": "x"},
        {"uuid": ""},
        {"uuid": 1},
        {"role": 1},
        {"content": ["x"]},
        {"token_count": "1"},
        {"token_count": 1.5},
        {"metadata": []},
        "x",
        None,
    ],
    ids=str,
)
def test_malformed_messages(message: Any) -> None:
    with pytest.raises(BodyInvalid):
        validate_body({"messages": [{"role": "ai", "content": "x"}, message]}, MemoryToAdd)


@pytest.mark.parametrize(
    "members", [{"session_id": 1}, {"user_id": 1}, {"metadata": 1}, {"metadata": {"a": "\x00"}}], ids=str
)
def test_members_of_a_wrong_type_are_malformed(members: Any) -> None:
    with pytest.raises(BodyInvalid):
        validate_body({"session_id": "s", **members}, SessionToStart)


def test_zep_keeps_the_key_system_to_itself() -> None:
    assert validate_body({"metadata": {"system": 1, "a": {"system": 2}}}, MetadataToMerge).merged == {
        "a": {"system": 2}
    }
    assert validate_body(None, MetadataToMerge).merged == {}


def test_empty_members_of_a_user_are_left_out() -> None:
    details = validate_body({"user_id": "ana", "email": "", "first_name": "Ana"}, UserDetails)
    assert details.profile == {"first_name": "Ana"}


@pytest.mark.parametrize(
    ("query", "number"), [("", 0), ("limit=", 0), ("limit=7", 7), ("limit=-1", -1), ("limit=%2B2", 2)]
)
def test_numbers_in_queries(query: str, number: int) -> None:
    assert read_integer(sent_request(query), "limit") == number


@pytest.mark.parametrize("given", ["x", "1.5", "99999999999999999999", "٣"])
def test_texts_that_are_no_number(given: str) -> None:
    request = sent_request(f"limit={given}")
    assert read_integer(request, "limit", default=100) == 100
    with pytest.raises(HTTPException, match="limit must be an integer"):
        read_integer(request, "limit")


def test_a_window_begins_after_the_last_row() -> None:
    assert read_window(sent_request("limit=0&cursor=-5")) == read_window(sent_request())
    assert read_window(sent_request("limit=5&cursor=2")).limit == 5


def test_names_that_cannot_be() -> None:
    assert read_name_loosely("x" * 600) == read_name_loosely("a\tb") == ""
    assert read_name_loosely("walk in the park") == "walk in the park"
    for name in ("", None, "x" * 513, "a\nb"):
        with pytest.raises(HTTPException, match="session_id"):
            check_new_name(name, "session_id")


# ---- search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "limit"), [(0, 10), (5, 5), (-1, None), (10**15, 2**31)], ids=["default", "5", "all", "many"]
)
def test_limits(given: int, limit: int | None) -> None:
    assert build_search(SearchRequest(text="tea"), given).limit == limit


def test_a_search_with_conditions_and_dates() -> None:
    where = {"jsonpath": "$.a ? (@ == 'x')", "or": [{"jsonpath": "$.b"}, {"and": []}]}
    metadata = {"where": where, "start_date": "2026", "end_date": None, "other": "is ignored"}
    search = build_search(SearchRequest(metadata=metadata), 0)
    assert search.where == Group(
        "all",
        [
            Holds('$.a ? (@ == "x")'),
            Group("any", [Group("all", [Holds("$.b")]), Group("all", [Group("all", [])])]),
        ],
    )
    assert (search.text, search.since, search.until) == ("", "2026", None)


def test_mmr_chooses_from_twice_as_many() -> None:
    assert [count_candidates(limit) for limit in (None, 1, 5, 20)] == [None, 10, 10, 40]
    assert [choose_weight(SearchRequest(mmr_lambda=given)) for given in (None, 0, 0.3)] == [0.5, 0.5, 0.3]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"text": "", "metadata": {}},
        {"text": None, "metadata": None},
        {"text": "x", "search_scope": "documents"},
        {"search_type": "mmr", "metadata": {"where": {"jsonpath": "$.n"}}},
        {"text": "x", "metadata": {"where": {"jsonpath": 1}}},
        {"text": "x", "metadata": {"where": []}},
        {"text": "x", "metadata": {"where": {"and": {}}}},
        {"text": "x", "metadata": {"end_date": 5}},
        {"text": "x", "metadata": {"start_date": "\x00"}},
        {"text": 1},
        {"text": "x", "mmr_lambda": "1"},
    ],
    ids=str,
)
def test_searches_that_cannot_be(document: Any) -> None:
    with pytest.raises((BodyInvalid, HTTPException)):
        build_search(validate_body(document, SearchRequest), 0)
