"""Langflow's message store on a Recount server, called as Langflow calls its own (§8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from recount_client.langflow import Executing, MessageStore, StoredMessage, executing, message_store

USER = str(uuid4())

Store = MessageStore[StoredMessage]


@pytest.fixture(scope="module")
def store(shared_address: str) -> Iterator[Store]:
    with message_store(shared_address, make=StoredMessage) as store:
        yield store


@pytest.fixture
def flow() -> Iterator[str]:
    """A flow that is executing."""
    flow = str(uuid4())
    with executing(flow, USER):
        yield flow


def message(text: Any = "hello", **members: Any) -> SimpleNamespace:
    """An object with Langflow's members."""
    given = {"sender": "User", "sender_name": "User", "session_id": "s", "files": [], "error": False}
    return SimpleNamespace(**{"text": text, **given, **members})


def texts(messages: list[StoredMessage]) -> list[str]:
    return [message.text for message in messages]


def test_what_is_stored_comes_back(store: Store, flow: str) -> None:
    run_id = str(uuid4())
    stored = message(
        context_id="c",
        timestamp="2026-11-20 12:00:00.250000 UTC",
        properties={"icon": "bot"},
        category="info",
        content_blocks=[{"type": "text", "text": "x"}],
        session_metadata={"a": 1},
        files=["f/x.png"],
    )
    (found,) = asyncio.run(store.astore_message(stored, flow_id=flow, run_id=run_id))
    assert {name: value for name, value in asdict(found).items() if name not in ("id", "properties")} == {
        "text": "hello",
        "sender": "User",
        "sender_name": "User",
        "files": ["f/x.png"],
        "session_id": "s",
        "context_id": "c",
        "run_id": run_id,
        "timestamp": "2026-11-20 12:00:00.250000 UTC",
        "flow_id": flow,
        "user_id": USER,
        "error": False,
        "edit": False,
        "category": "info",
        "content_blocks": [{"type": "text", "text": "x"}],
        "duration": None,
        "session_metadata": {"a": 1},
        "is_output": False,
    }
    assert found.properties["icon"] == "bot"
    assert (found.text_key, found.data["text"]) == ("text", "hello")
    assert UUID(found.id)
    assert asyncio.run(store.aget_messages(session_id="s")) == [found]


@pytest.mark.parametrize("member", ["session_id", "sender", "sender_name"])
@pytest.mark.parametrize("value", ["", None])
def test_storing_needs_its_members(store: Store, flow: str, member: str, value: str | None) -> None:
    with pytest.raises(ValueError, match=member):
        store.store_message(message(**{member: value}))
    assert store.get_messages() == []


def test_an_empty_text_is_legal(store: Store, flow: str) -> None:
    store.store_message(message(""))
    assert texts(store.get_messages()) == [""]


def test_a_text_that_is_still_coming_is_empty_until_it_is_whole(store: Store, flow: str) -> None:
    """As a component that streams does: it stores what will come, and updates it in the end."""
    coming = iter("abc")
    (first,) = store.store_message(message(coming))
    assert (first.text, "".join(coming)) == ("", "abc")
    (whole,) = store.update_messages(message("abc", id=first.id))
    assert (whole.id, whole.text, whole.edit) == (first.id, "abc", False)


def test_whose_a_message_is(store: Store) -> None:
    """Who is named in the call; else in the message. In a flow: for whom it executes."""
    flow, one, other = str(uuid4()), str(uuid4()), UUID(int=7)
    store.store_message(message("called", user_id=one), flow_id=flow, user_id=other)
    store.add_messages(message("said", user_id=one, flow_id=flow))
    with executing(flow, USER):
        asyncio.run(store.astore_message(message("executing", user_id=one), user_id=None))
    for user, expected in ((other, "called"), (one, "said"), (USER, "executing")):
        assert texts(store.get_messages(flow_id=flow, user_id=user)) == [expected]


@pytest.mark.parametrize("named", [{"flow_id": str(uuid4())}, {"user_id": uuid4()}])
def test_a_flow_has_to_do_with_its_own_alone(store: Store, flow: str, named: dict[str, Any]) -> None:
    """Whatever its components name, which may be older than Langflow's care for this."""
    store.store_message(message("own"), flow_id=UUID(flow), user_id=USER.upper())
    with pytest.raises(ValueError, match="what is executing"):
        store.store_message(message("x"), **named)
    with pytest.raises(ValueError, match="what is executing"):
        store.add_messages(message("x"), **named)
    with pytest.raises(ValueError, match="what is executing"):
        store.delete_messages("s", **named)
    assert store.get_messages(**named) == []
    assert texts(store.get_messages(flow_id=flow, user_id=UUID(USER))) == ["own"]


def test_who_executes_may_be_named_for_whom_it_is_done(store: Store) -> None:
    flow, service = str(uuid4()), uuid4()
    serving = MessageStore(
        store.client, StoredMessage, now=lambda: Executing(flow, USER, executor_id=service)
    )
    serving.store_message(message("x"), user_id=service)
    assert texts(serving.get_messages(user_id=service)) == ["x"]
    assert texts(store.get_messages(flow_id=flow, user_id=USER)) == ["x"]
    assert store.get_messages(flow_id=flow, user_id=service) == []


def test_messages_of_others_are_not_changed_or_deleted(store: Store, flow: str) -> None:
    (own,) = store.store_message(message("own"))
    for others in ((flow, str(uuid4())), (str(uuid4()), USER)):
        with executing(*others):
            assert store.update_messages(message("x", id=own.id)) == []
            store.delete_message_by_id(own.id)
    assert texts(store.get_messages()) == ["own"]


def test_what_a_flow_said_that_this_one_ran_is_said_here_once_more(store: Store, flow: str) -> None:
    inner = str(uuid4())
    with executing(inner, USER):
        (first,) = store.store_message(message("inner"))
    (outer,) = store.store_message(message("outer", id=first.id))
    assert outer.id != first.id
    assert texts(store.get_messages()) == ["outer"]
    assert texts(store.get_messages(flow_id=inner)) == []
    with executing(inner, USER):
        assert texts(store.get_messages()) == ["inner"]


def test_no_message_is_no_error(store: Store, flow: str) -> None:
    assert asyncio.run(store.astore_message(None)) == []


def test_files_are_what_components_say(store: Store, flow: str) -> None:
    """They name them by where they are; only who edits over HTTP has to name uploads."""
    (first,) = store.store_message(message())
    (changed,) = store.update_messages(message(id=first.id, files=["/files/x.png"]))
    assert changed.files == ["/files/x.png"]


def test_what_is_not_to_be_kept_is_not(store: Store) -> None:
    """Runs of nobody known are not stored (§7); what they say stays with them."""
    flow, anonymous = str(uuid4()), message("anonymous", id=str(uuid4()))
    quiet = MessageStore(store.client, StoredMessage, now=lambda: Executing(flow, USER, is_kept=False))
    assert quiet.store_message(anonymous) == quiet.add_messages([anonymous]) == [anonymous]
    assert quiet.update_messages(anonymous) == [anonymous]
    quiet.delete_message_by_id("V1StGXR8_Z5jdHi6B-myT")
    assert store.get_messages(flow_id=flow, user_id=USER) == []


def test_images_are_kept_as_their_paths(store: Store, flow: str) -> None:
    image = SimpleNamespace(path="f/x.png", url=None)
    (found,) = store.store_message(message(files=[image, "f/y.txt"]))
    assert found.files == ["f/x.png", "f/y.txt"]


def test_one_with_an_id_is_changed(store: Store, flow: str) -> None:
    (first,) = store.store_message(message("one"))
    (changed,) = store.store_message(message("two", id=first.id, category="info"))
    assert (changed.id, changed.text, changed.category, changed.edit) == (first.id, "two", "info", False)
    assert texts(store.get_messages()) == ["two"]


def test_one_with_an_id_that_is_not_there_is_added_under_it(store: Store, flow: str) -> None:
    given = str(uuid4())
    (added,) = store.store_message(message("one", id=given))
    assert (added.id, texts(store.get_messages())) == (given, ["one"])


def test_adding_many_keeps_their_order(store: Store, flow: str) -> None:
    many = [message(text, session_id=session) for text, session in ("as", "bt", "cs")]
    assert texts(asyncio.run(store.aadd_messages(many, flow))) == ["a", "b", "c"]
    assert texts(store.get_messages(session_id="s", order="ASC")) == ["a", "c"]
    assert texts(store.add_messages(message("alone"))) == ["alone"]


def test_reading_is_newest_first_and_without_errors(store: Store, flow: str) -> None:
    for text in "abc":
        store.store_message(message(text))
    store.store_message(message("failed", error=True))
    assert texts(store.get_messages()) == ["c", "b", "a"]
    assert texts(store.get_messages(limit=2)) == ["c", "b"]
    assert texts(store.get_messages(order="ASC")) == ["a", "b", "c"]
    # As the Message History component does: the last n, turned round.
    assert texts(store.get_messages(limit=2, order="DESC"))[::-1] == ["b", "c"]


def test_nothing_without_flow_and_user(store: Store, flow: str) -> None:
    store.store_message(message())
    with executing("", ""):
        assert store.get_messages(session_id="s") == []
        assert store.get_messages(session_id="s", flow_id=flow) == []
        assert store.get_messages(session_id="s", user_id=USER) == []
        assert texts(store.get_messages(session_id="s", flow_id=UUID(flow), user_id=USER)) == ["hello"]
        assert store.get_messages(session_id="s", flow_id=flow, user_id=str(uuid4())) == []


def test_filters(store: Store, flow: str) -> None:
    store.store_message(message("a", context_id="c"))
    store.store_message(message("b", sender="Machine", sender_name="AI"))
    store.store_message(message("c", session_id="t"))
    assert texts(store.get_messages(context_id="c")) == ["a"]
    assert texts(store.get_messages(sender="Machine")) == texts(store.get_messages(sender_name="AI")) == ["b"]
    assert texts(store.get_messages(session_id="t")) == ["c"]
    assert texts(store.get_messages(order_by="text", order="DESC")) == ["c", "b", "a"]
    with pytest.raises(ValueError, match="no order by flow_id"):
        store.get_messages(order_by="flow_id")


def test_updating_what_is_not_there_is_passed_over(store: Store, flow: str) -> None:
    (first,) = store.store_message(message("one"))
    changed = asyncio.run(
        store.aupdate_messages([message("x", id=str(uuid4())), message("two", id=first.id)])
    )
    assert texts(changed) == ["two"]
    assert store.update_messages(message("x", id=None)) == []


def test_deleting_a_session_or_a_context(store: Store, flow: str) -> None:
    store.store_message(message("a", context_id="c"))
    store.store_message(message("b", session_id="t", context_id="c"))
    store.store_message(message("d", session_id="t"))
    with executing(str(uuid4()), USER):
        store.delete_messages("t")  # of another flow
    # Where both are given, the context alone decides.
    asyncio.run(store.adelete_messages(session_id="t", context_id="c"))
    assert texts(store.get_messages()) == ["d"]
    store.delete_messages("t")
    assert store.get_messages() == []
    with pytest.raises(ValueError, match="session_id or context_id"):
        store.delete_messages()


def test_only_ones_own_is_deleted(store: Store, flow: str) -> None:
    other = str(uuid4())
    store.store_message(message("own"))
    with executing(flow, other):
        store.store_message(message("other's"))
    with executing("", ""):
        for named in ({}, {"flow_id": flow}, {"user_id": USER}):
            with pytest.raises(ValueError, match="flow_id and user_id"):
                store.delete_messages("s", **named)
        # As Langflow's chat memory does when it is cleared.
        asyncio.run(store.adelete_messages("s", None, flow_id=UUID(flow), user_id=USER))
        assert store.get_messages(flow_id=flow, user_id=USER) == []
        assert texts(store.get_messages(flow_id=flow, user_id=other)) == ["other's"]


def test_deleting_one_by_its_id(store: Store, flow: str) -> None:
    (one,) = store.store_message(message("a"))
    store.store_message(message("b"))
    asyncio.run(store.delete_message(one.id))
    asyncio.run(store.delete_message(str(uuid4())))
    assert texts(store.get_messages()) == ["b"]


def test_the_id_of_a_deleted_one_is_given_to_no_other(store: Store, flow: str) -> None:
    given = message("a", id=str(uuid4()))
    (one,) = store.add_messages(given)
    store.delete_message_by_id(one.id)
    (anew,) = store.add_messages(given)
    assert (anew.text, anew.id == one.id) == ("a", False)
    assert [found.id for found in store.get_messages()] == [anew.id]


def test_it_is_the_store_that_the_server_reads(store: Store, flow: str) -> None:
    store.store_message(message("from within", sender="Machine", sender_name="Bot"))
    with httpx2.Client(base_url=store.client.url) as client:
        (item,) = client.get("/api/v1/monitor/messages", params={"flow_id": flow}).json()
        assert (item["text"], item["sender"], item["sender_name"]) == ("from within", "Machine", "Bot")
        (native,) = client.get(f"/v1/sessions/s/messages?scope={flow}").json()["items"]
        assert (native["role"], native["user_id"]) == ("assistant", USER)


def test_messages_are_made_as_langflow_wants_them(store: Store, flow: str) -> None:
    other = MessageStore(store.client, SimpleNamespace)
    block = {"type": "text", "text": "x"}
    members = {"content_blocks": [block, json.dumps(block)], "is_output": True}
    (made,) = other.store_message(vars(message("a mapping", **members)))
    assert isinstance(made, SimpleNamespace)
    assert (made.text, made.user_id, made.is_output) == ("a mapping", USER, True)
    assert made.content_blocks == [block, block]
