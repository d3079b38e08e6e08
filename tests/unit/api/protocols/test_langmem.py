"""LangMem's requests, messages in both shapes, and functions, without a server."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from recountdb.api.protocols.base import BodyInvalid, validate_body
from recountdb.api.protocols.langmem.rules import build_function_change, select_types
from recountdb.api.protocols.langmem.shapes.messages import Format, SentMessage, to_langmem_message
from recountdb.api.protocols.langmem.shapes.requests import (
    FunctionChanges,
    FunctionToUpsert,
    MemoryQuery,
    MessagesToAdd,
    UserToUpsert,
)
from recountdb.api.protocols.langmem.shapes.responses import (
    to_langmem_function,
    to_langmem_memory,
    to_langmem_thread,
    to_langmem_user,
)
from recountdb.domain.memory_functions import FUNCTION_TYPES, Definition, Function, built_in
from recountdb.domain.threads import Thread
from recountdb.domain.users import Profile, User
from tests.unit.api.protocols.samples import NOON, STREAM, message_state

SAID_AT = "2026-11-20T12:00:00+00:00"
USER = UUID("33333333-3333-4333-8333-333333333333")


def sent(content: Any = "hi", **members: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **members}


def exchanged(document: Any, shape: Format = "openai") -> dict[str, Any]:
    """Return a message that was sent as it comes back."""
    message = validate_body(document, SentMessage).to_message()
    return to_langmem_message(message_state(**message.model_dump(exclude={"id"}), id=message.id), shape)


# ---- messages -------------------------------------------------------------------------------------


def test_the_openai_shape_in_both_formats() -> None:
    message_id = str(uuid4())
    document = sent(
        id=message_id, name="Ana", metadata={"user_id": str(USER), "timestamp": NOON, "mood": "calm"}
    )
    assert exchanged(document) == {
        "role": "user",
        "content": "hi",
        "name": "Ana",
        "metadata": {"mood": "calm", "id": message_id, "timestamp": SAID_AT, "user_id": str(USER)},
    }
    assert exchanged(document, "langmem") == {
        "id": UUID(message_id),
        "content": "hi",
        "timestamp": SAID_AT,
        "user": {"user_id": str(USER), "user_name": "Ana", "role": "user"},
    }


def test_the_langmem_shape_in_both_formats() -> None:
    user = {"user_id": str(USER), "user_name": "Ana", "role": "user"}
    document = {"id": uuid4(), "content": "hi", "timestamp": SAID_AT, "user": user}
    assert exchanged(document, "langmem") == document
    assert exchanged(document) == {
        "role": "user",
        "content": "hi",
        "name": "Ana",
        "metadata": {"id": str(document["id"]), "timestamp": SAID_AT, "user_id": str(USER)},
    }


def test_a_role_is_the_speakers_or_else_the_messages_or_user() -> None:
    documents = [
        {"content": "1", "user": {"role": "assistant"}},
        {"content": "2", "user": {}},
        {"content": "3", "user": {}, "role": "chef"},
    ]
    assert [exchanged(document)["role"] for document in documents] == ["assistant", "user", "chef"]


def test_calls_of_tools_come_back_if_they_were_given() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "brew", "arguments": "{}"}}]
    call = {"name": "brew", "arguments": "{}"}
    first = exchanged({"role": "assistant", "tool_calls": calls})
    assert (first["content"], first["tool_calls"]) == (None, calls)
    assert exchanged(sent(role="tool", tool_call_id="1"))["tool_call_id"] == "1"
    third = exchanged({"role": "assistant", "function_call": call})
    assert (third["content"], third["function_call"]) == (None, call)
    assert "langmem" not in third["metadata"]
    fourth = exchanged({"role": "assistant", "content": None})
    assert not fourth.keys() & {"tool_calls", "tool_call_id", "function_call", "name"}


def test_the_metadatas_timestamp_wins_over_the_one_beside_them() -> None:
    documents = [
        sent(timestamp="2020-01-01T00:00:00Z", metadata={"timestamp": SAID_AT}),
        sent(timestamp=SAID_AT, metadata={"timestamp": None}),
        sent(timestamp=SAID_AT),
    ]
    assert {exchanged(document)["metadata"]["timestamp"] for document in documents} == {SAID_AT}


def test_a_users_name_and_id_may_be_null() -> None:
    document = sent(metadata={"user_name": None, "user_id": None})
    assert exchanged(document)["metadata"].keys() == {"id", "timestamp"}
    assert exchanged(document, "langmem")["user"] == {"user_id": None, "user_name": None, "role": "user"}


def test_a_name_in_the_metadata_is_the_name_too() -> None:
    message = exchanged(sent(metadata={"user_name": "Ana"}))
    assert (message["name"], message["metadata"]["user_name"]) == ("Ana", "Ana")


@pytest.mark.parametrize(("given", "stored"), [(USER.hex.upper(), str(USER)), (12, "12"), ("ana", "ana")])
def test_user_ids_are_written_in_one_way(given: Any, stored: str) -> None:
    assert exchanged(sent(metadata={"user_id": given}))["metadata"]["user_id"] == stored


def test_the_applications_own_metadata_are_kept_whatever_they_are_called() -> None:
    own = {"id": "mine", "langmem": {"a": 1}, "deep": {"user_id": [None]}}
    for document in (sent(metadata=own), sent(function_call={"name": "f"}, metadata=own)):
        assert own.items() <= exchanged(document)["metadata"].items()


def test_metadata_of_other_programs_are_shown_too() -> None:
    message = message_state(name="Ana", user_id="ana", metadata={"langmem": "mine", "timestamp": "soon"})
    shown = to_langmem_message(message, "openai")
    assert (shown["name"], shown["metadata"]["user_id"]) == ("Ana", "ana")
    assert (shown["metadata"]["langmem"], shown["metadata"]["timestamp"]) == ("mine", SAID_AT)


@pytest.mark.parametrize(
    "message",
    [
        {"content": "no role"},
        {"role": "", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": 5},
        {"role": "user", "content": {"type": "text"}},
        {"role": "user", "content": "x", "id": "7"},
        {"role": "user", "content": "x", "metadata": []},
        {"role": "user", "content": "x", "metadata": {"timestamp": "soon"}},
        {"role": "user", "content": "x", "metadata": {"user_id": []}},
        {"role": "user", "content": "x", "timestamp": 12},
        {"role": "user", "content": "nul \x00"},
    ],
    ids=str,
)
def test_a_message_that_cannot_be_taken(message: Any) -> None:
    with pytest.raises(BodyInvalid, match=r"^messages\.1"):
        validate_body({"messages": [sent(), message]}, MessagesToAdd)


def test_the_reason_says_where_and_nothing_of_the_words() -> None:
    content = [{"secret": {"secret": "\x00secret"}}]
    with pytest.raises(BodyInvalid, match=r"^messages\.0\.content: ") as raised:
        validate_body({"messages": [sent(content)]}, MessagesToAdd)
    assert "secret" not in str(raised.value)


# ---- users and threads ----------------------------------------------------------------------------


def test_a_thread_and_a_user() -> None:
    usual: dict[str, Any] = {"id": STREAM, "version": 1, "project": "default", "number": 1}
    usual |= {"created_at": NOON, "updated_at": NOON}
    times = {"created_at": NOON, "updated_at": NOON}
    thread = Thread(**usual, name="t")
    assert to_langmem_thread(thread) == {"id": "t", "metadata": {}, **times}
    user = User(**usual, name="u", profile=Profile(display_name="Ana", tags=["a"]), metadata={"k": 1})
    named = {"id": "u", "name": "Ana", "tags": ["a"], "metadata": {"k": 1}}
    assert to_langmem_user(user) == {**named, **times}


def test_members_of_a_user_that_are_not_given_do_not_change() -> None:
    assert validate_body({"name": "Ana", "tags": None}, UserToUpsert).changes() == {"display_name": "Ana"}
    assert validate_body({"tags": []}, UserToUpsert).changes() == {"tags": []}


@pytest.mark.parametrize("document", [{"id": "7"}, {"tags": "a"}, {"name": 5}, {"metadata": []}], ids=str)
def test_a_user_that_cannot_be_taken(document: Any) -> None:
    with pytest.raises(BodyInvalid):
        validate_body(document, UserToUpsert)


# ---- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["schema", "function", "function_schema"])
@pytest.mark.parametrize(
    ("schema", "changes"),
    [
        ({"title": "New", "type": "object"}, {"name": "New", "parameters": {"type": "object"}}),
        (
            {"description": "Else.", "properties": {"a": {"title": "A"}}},
            {"description": "Else.", "parameters": {"properties": {"a": {"title": "A"}}}},
        ),
        (
            {"name": "N", "description": "D", "parameters": {"a": 1}},
            {"name": "N", "description": "D", "parameters": {"a": 1}},
        ),
        ({"name": "", "description": None, "parameters": {}}, {"parameters": {}}),
        ({"parameters": {"title": "T"}}, {"parameters": {"title": "T"}}),
    ],
    ids=["bare", "bare without title", "three keys", "empty keys", "parameters alone"],
)
def test_a_schema_comes_in_either_form(member: str, schema: Any, changes: Any) -> None:
    assert validate_body({member: schema}, FunctionChanges).changes() == changes


def test_a_name_beside_the_schema_wins() -> None:
    document = {"name": "Mine", "schema": {"title": "Theirs", "type": "object"}}
    assert validate_body(document, FunctionChanges).changes()["name"] == "Mine"


def test_the_type_of_the_first_pre_releases() -> None:
    assert validate_body({"type": "user"}, FunctionToUpsert).changes() == {"type": "user_state"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": "user_mood"},
        {"type": "user_state", "schema": []},
        {"type": "user_state", "schema": {"title": 5}},
        {"type": "user_state", "id": "7"},
        {"type": "user_state", "status": "asleep"},
    ],
    ids=str,
)
def test_a_function_that_cannot_be_taken(document: Any) -> None:
    with pytest.raises(BodyInvalid):
        validate_body(document, FunctionToUpsert)


def test_a_function_and_a_users_document_of_it() -> None:
    definition = Definition(type="user_state", name="Profile", description="Who.", parameters={"a": 1})
    function = Function(
        id=STREAM,
        version=1,
        project="default",
        name="f",
        number=1,
        created_at=NOON,
        updated_at=NOON,
        definition=definition,
    )
    named = {"name": "Profile", "description": "Who."}
    assert to_langmem_function(function) == {
        "id": "f",
        "type": "user_state",
        **named,
        "custom_instructions": None,
        "schema": {**named, "parameters": {"a": 1}},
        "status": "active",
        "created_at": NOON,
        "updated_at": NOON,
    }
    memory = {"memory_function_id": "f", "type": "user_state", "state": [1]}
    assert to_langmem_memory(function, [1]) == memory


@pytest.mark.parametrize(
    ("target_types", "types"),
    [
        (None, None),
        (["user"], [one for one in FUNCTION_TYPES if one.startswith("user_")]),
        (["thread", "user_state"], ["user_state", "thread_summary"]),
        (["nothing"], []),
    ],
)
def test_a_filter_names_kinds_and_types(target_types: Any, types: Any) -> None:
    found = select_types(target_types)
    assert found == types if found is None else set(found) == set(types)


def test_only_the_built_in_function_is_there_before_it_is_written() -> None:
    always = built_in("default")
    change = build_function_change("default", UUID(always.name), FunctionChanges(name="x"))
    assert (change.unless_defined, change.changes) == (always.definition, {"name": "x"})
    assert build_function_change("default", uuid4(), FunctionChanges()).unless_defined is None


@pytest.mark.parametrize("member", ["state", "include_state", "query_state"])
def test_documents_are_asked_for_as_in_pre_releases(member: str) -> None:
    function = uuid4()
    assert validate_body({member: [{"id": str(function)}]}, MemoryQuery).state == [function]


@pytest.mark.parametrize("document", [{"text": 5}, {"k": "many"}, {"state": ["seven"]}], ids=str)
def test_a_query_that_cannot_be_taken(document: Any) -> None:
    with pytest.raises(BodyInvalid):
        validate_body(document, MemoryQuery)
