"""Langflow's messages, content blocks, filters and rules, without a server."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from recountdb.api.protocols.base import BodyInvalid, validate_body
from recountdb.api.protocols.langflow.errors import LangflowRefusal
from recountdb.api.protocols.langflow.filters import (
    cap_rows,
    decode_session_id,
    filter_by_sender,
    filter_by_sender_name,
    find_owners,
    refuse_unknown_order,
    sort_items,
)
from recountdb.api.protocols.langflow.rules import (
    Order,
    choose_scope,
    derive_shared_flow_id,
    find_component_session,
    resolve_session,
    select_shared,
    select_unshared,
)
from recountdb.api.protocols.langflow.shapes.content_blocks import group_blocks
from recountdb.api.protocols.langflow.shapes.messages import (
    MessageUpdate,
    build_changes,
    complete_properties,
    from_langflow_message,
    to_list_item,
    to_single_message,
)
from tests.support.langflow_shapes import LIST_ITEM, PROPERTIES, SINGLE
from tests.unit.api.protocols.samples import FLOW, MESSAGE, found_message, message_state

TEXT = {"type": "text", "id": "1", "duration": 3, "header": None, "contents": [], "text": "said"}
TOOL = {"type": "tool_use", "id": "2", "duration": 1, "header": None, "contents": [], "name": "t"}


class TestMessages:
    def test_a_list_item_has_just_its_keys_in_their_order(self) -> None:
        own = {"sender": "User", "files": ["a.png", "b.txt"], "error": True, "run_id": "r"}
        item = to_list_item(found_message(metadata={"langflow": own}))
        assert list(item) == LIST_ITEM
        assert item == {
            "id": str(MESSAGE),
            "flow_id": FLOW,
            "timestamp": "2026-11-20 12:00:00.000000 UTC",
            "sender": "User",
            "sender_name": "User",
            "session_id": "s",
            "context_id": None,
            "text": "hello",
            "files": '["a.png", "b.txt"]',
            "edit": False,
            "duration": None,
            "properties": PROPERTIES,
            "category": "message",
            "content_blocks": [],
            "session_metadata": None,
        }

    def test_a_single_message_has_other_keys(self) -> None:
        own = {"files": ["a.png"], "error": True, "run_id": "r", "context_id": "c"}
        message = to_single_message(found_message(metadata={"langflow": own}))
        assert list(message) == SINGLE
        assert (message["files"], message["error"], message["run_id"]) == (["a.png"], True, "r")
        assert message["context_id"] == "c"

    @pytest.mark.parametrize(
        ("role", "sender", "name"),
        [
            ("user", "User", "User"),
            ("human", "User", "User"),
            ("assistant", "Machine", "AI"),
            ("ai", "Machine", "AI"),
            ("tool", "tool", "tool"),
        ],
    )
    def test_a_message_of_no_protocol_has_a_sender_by_its_role(
        self, role: str, sender: str, name: str
    ) -> None:
        item = to_list_item(found_message(role=role))
        assert (item["sender"], item["sender_name"]) == (sender, name)
        assert to_list_item(found_message(role=role, name="Ana"))["sender_name"] == "Ana"

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (None, ""),
            (
                [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}],
                "one\ntwo",
            ),
        ],
    )
    def test_a_text_is_that_of_the_parts(self, content: Any, text: str) -> None:
        assert to_list_item(found_message(content=content))["text"] == text

    def test_a_scope_that_is_no_flow_is_none(self) -> None:
        assert to_list_item(found_message(scope="by name"))["flow_id"] is None

    def test_times_have_six_digits_and_are_utc(self) -> None:
        said_at = datetime.fromisoformat("2026-11-20T14:00:00.5+02:00")
        item = to_list_item(found_message(timestamp=said_at))
        assert item["timestamp"] == "2026-11-20 12:00:00.500000 UTC"

    def test_metadata_of_another_shape_are_passed_over(self) -> None:
        assert to_list_item(found_message(metadata={"langflow": "x"})) == to_list_item(found_message())

    def test_properties_are_complete(self) -> None:
        assert complete_properties({}) == PROPERTIES
        assert complete_properties({"properties": {"source": "gpt", "state": "partial", "bogus": 1}}) == {
            **PROPERTIES,
            "source": {"id": "gpt", "display_name": "gpt", "source": "gpt"},
            "state": "partial",
        }
        assert complete_properties({"properties": {"targets": 7, "icon": "x"}})["icon"] == "x"

    @pytest.mark.parametrize(
        ("sender", "category", "role"),
        [
            ("User", None, "user"),
            ("Machine", None, "assistant"),
            ("Someone", "error", "assistant"),
            ("Someone", None, "Someone"),
            ("", None, "unknown"),
        ],
    )
    def test_a_role_for_each_sender(self, sender: str, category: str | None, role: str) -> None:
        members = from_langflow_message({"sender": sender, "category": category, "text": None, "files": None})
        assert (members["role"], members["content"]) == (role, "")
        expected = {"sender": sender} | ({"category": category} if category else {})
        assert members["metadata"] == {"langflow": expected}


class TestUpdates:
    def test_another_text_is_an_edit_of_a_person_alone(self) -> None:
        message = message_state()
        edited = ({"content": "bye"}, {"langflow": {"edit": True}})
        assert build_changes({"text": "bye"}, message, is_edit=True) == edited
        assert build_changes({"text": "bye"}, message, is_edit=False) == ({"content": "bye"}, {})
        assert build_changes({"text": "hello"}, message, is_edit=True) == ({}, {})

    def test_another_sender_is_another_role(self) -> None:
        changes, metadata = build_changes({"sender": "Machine"}, message_state(), is_edit=True)
        assert (changes, metadata) == ({"role": "assistant"}, {"langflow": {"sender": "Machine"}})
        changes, _ = build_changes({"category": "error"}, message_state(role="Someone"), is_edit=True)
        assert changes == {"role": "assistant"}

    def test_objects_are_replaced_whole(self) -> None:
        _, metadata = build_changes({"session_metadata": {"a": 1}}, message_state(), is_edit=True)
        assert metadata == {"langflow": {"session_metadata": [{"a": 1}]}}
        assert to_list_item(found_message(metadata=metadata))["session_metadata"] == {"a": 1}

    def test_null_is_not_given_and_unknown_members_are_passed_over(self) -> None:
        update = validate_body({"text": None, "edit": False, "bogus": 1}, MessageUpdate)
        assert update.given() == {"edit": False}

    @pytest.mark.parametrize(
        ("document", "field"),
        [
            ({"text": 7}, "text"),
            ({"files": "a"}, "files"),
            ({"properties": {"state": "x"}}, "properties.state"),
        ],
    )
    def test_wrong_types(self, document: Any, field: str) -> None:
        with pytest.raises(BodyInvalid) as raised:
            validate_body(document, MessageUpdate)
        assert raised.value.field == field


class TestContentBlocks:
    def test_only_groups_are_shown_and_leaves_are_reduced(self) -> None:
        group = {"type": "group", "id": "g", "title": "Code", "contents": [TOOL], "media_url": None}
        assert group_blocks([TEXT, group]) == [
            {
                "title": "Code",
                "contents": [{"type": "tool_use", "duration": 1, "header": None, "name": "t"}],
                "allow_markdown": True,
                "media_url": None,
            }
        ]

    def test_the_steps_of_an_agent_end_with_what_is_said(self) -> None:
        untagged = {"title": "Agent Steps", "contents": [json.dumps(TOOL)], "allow_markdown": False}
        (group,) = group_blocks([json.dumps(untagged), TEXT])
        assert group["allow_markdown"] is False
        assert [leaf["type"] for leaf in group["contents"]] == ["tool_use", "text"]
        assert group["contents"][-1] == {
            "type": "text",
            "duration": None,
            "header": {"title": "Output", "icon": "MessageSquare"},
            "text": "said",
        }

    def test_tools_without_a_group_get_one(self) -> None:
        (group,) = group_blocks([TOOL, TEXT])
        assert group["title"] == "Agent Steps"
        assert [leaf["type"] for leaf in group["contents"]] == ["tool_use", "text"]
        assert group_blocks([TEXT]) == []
        assert group_blocks("nonsense") == group_blocks([7, "x"]) == []

    def test_all_that_an_agent_says_is_the_end_of_its_first_steps(self) -> None:
        steps = {"type": "group", "title": "Agent Steps", "contents": [TOOL]}
        first, second = group_blocks([steps, TEXT, steps, {**TEXT, "text": "more"}])
        assert [leaf.get("text") for leaf in first["contents"]] == [None, "saidmore"]
        assert [leaf["type"] for leaf in second["contents"]] == ["tool_use"]

    def test_a_group_is_known_by_its_type_or_by_what_it_holds(self) -> None:
        nodes: list[Any] = [{"type": "group", "title": "Empty"}, {"contents": [TEXT]}, {"title": "T"}]
        assert group_blocks(nodes) == [
            {"title": "Empty", "contents": [], "allow_markdown": True, "media_url": None}
        ]


class TestFilters:
    def test_a_session_id_is_decoded_once_more(self) -> None:
        assert decode_session_id("") is None
        assert decode_session_id("New%20Session") == "New Session"

    def test_an_end_user_writes_under_two_ids(self) -> None:
        user = uuid4()
        assert find_owners("") is None
        assert find_owners(user.hex) == [user.hex, str(user)]
        name, derived = find_owners("ana") or ["", ""]
        assert (name, UUID(derived).version) == ("ana", 5)

    def test_a_sender_stands_for_roles(self) -> None:
        assert filter_by_sender("") is None
        assert filter_by_sender_name("") is None
        label, speaker = filter_by_sender("Machine"), filter_by_sender_name("Ana")
        assert label is not None
        assert speaker is not None
        assert (label.path, label.values, label.roles) == (
            ("langflow", "sender"),
            ["Machine"],
            ["assistant", "ai", "Machine"],
        )
        assert (speaker.name, speaker.roles) == ("Ana", ["Ana"])

    @pytest.mark.parametrize(("limit", "capped", "all_"), [(0, 100, None), (5, 5, 5), (500, 200, 500)])
    def test_lists_are_capped_unless_the_server_lists_all(
        self, limit: int, capped: int, all_: int | None
    ) -> None:
        assert cap_rows(limit, is_capped=True) == capped
        assert cap_rows(limit, is_capped=False) == all_

    @pytest.mark.parametrize(("order_by", "order"), [("flow_id", "ASC"), ("timestamp", "UP"), ("text", "")])
    def test_an_unknown_order_is_refused(self, order_by: str, order: str) -> None:
        with pytest.raises(LangflowRefusal):
            refuse_unknown_order(order_by, order)

    @pytest.mark.parametrize(
        ("order_by", "order", "ids"),
        [
            ("", "ASC", "abc"),
            ("timestamp", "ASC", "cba"),
            ("timestamp", "desc", "abc"),
            ("sender", "ASC", "acb"),
            ("sender", "DESC", "bac"),
        ],
    )
    def test_items_equal_in_another_order_stay_newest_first(
        self, order_by: str, order: str, ids: str
    ) -> None:
        refuse_unknown_order(order_by, order)
        items = [{"id": name, "sender": sender} for name, sender in zip("abc", "121", strict=True)]
        assert "".join(item["id"] for item in sort_items(items, order_by, order)) == ids


class TestFlows:
    def test_nobodys_shared_conversations_are_in_a_flow(self) -> None:
        shared = str(derive_shared_flow_id("ana", UUID(FLOW)))
        assert select_unshared().have(FLOW)
        assert select_unshared().have("by name")
        assert not select_unshared().have(shared)
        assert not select_unshared(uuid4()).have(FLOW)

    def test_each_caller_has_conversations_of_their_own_in_a_shared_flow(self) -> None:
        ana, bo = select_shared("ana", UUID(FLOW)), select_shared("bo", UUID(FLOW))
        assert (ana.source, bo.source) == (FLOW, FLOW)
        assert ana.scope is not None
        assert ana.have(ana.scope)
        assert not bo.have(ana.scope)

    def test_a_flow_is_filed_under_its_id_or_its_name(self) -> None:
        assert choose_scope(FLOW.replace("-", "").upper()) == FLOW
        assert choose_scope("my-endpoint") == "my-endpoint"


class TestSessionOfARun:
    @pytest.mark.parametrize(
        ("requested", "component", "order", "expected"),
        [
            ("api", "node", "documented", ("api", "request")),
            (None, "node", "documented", ("node", "component")),
            ("", "node", "documented", ("node", "component")),
            (None, None, "documented", ("flow", "flow")),
            ("", "", "documented", ("flow", "flow")),
            ("api", "node", "langflow-1.13", ("api", "request")),
            (None, "node", "langflow-1.13", ("flow", "flow")),
        ],
    )
    def test_its_levels(
        self, requested: str | None, component: str | None, order: Order, expected: tuple[str, str]
    ) -> None:
        assert resolve_session("flow", requested=requested, component=component, order=order) == expected

    def test_a_component_has_it_in_the_tweaks(self) -> None:
        assert find_component_session({}) is None
        assert find_component_session({"a": 1, "b": {"session_id": ""}, "c": {"session_id": 7}}) is None
        assert find_component_session({"b": {"x": 1}, "c": {"session_id": "mine"}}) == "mine"
