"""The queue of commands that wait for the writer, and how they are cut into batches."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import MergeMetadata
from recountdb.domain.commands.conversations import AddMessages, DeleteMessage
from recountdb.domain.commands.retention import Purge
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Context, Idempotency
from recountdb.domain.messages import Message
from recountdb.eventlog.write import requests
from recountdb.eventlog.write.requests import Request, RequestQueue

MESSAGE = Message(id=UUID(int=1), role="user", content="hello")
AT = datetime(2026, 3, 1, tzinfo=UTC)


def request(command: Command, key: str | None = None) -> Request:
    idempotency = Idempotency(key=key, fingerprint="f") if key else None
    context = Context(project="default", actor="tests", at=AT, idempotency=idempotency)
    return Request(command, context, lambda outcome: None)


def merge(name: str, key: str | None = None) -> Request:
    return request(MergeMetadata(kind="session", name=name, metadata={"a": 1}), key)


def add(name: str, count: int = 1) -> Request:
    return request(AddMessages(kind="session", name=name, messages=[MESSAGE] * count))


def delete_message(name: str) -> Request:
    return request(DeleteMessage(kind="session", name=name, message_id=MESSAGE.id))


def purge(name: str) -> Request:
    return request(Purge(kind="session", name=name))


def batches(*waiting: Request) -> list[int]:
    """Return the sizes of the batches that ``waiting`` is cut into."""
    queue = RequestQueue()
    for one in waiting:
        queue.put(one)
    queue.close()
    sizes, taken = [], []
    while batch := queue.take_batch():
        sizes.append(len(batch))
        taken += batch
    assert taken == list(waiting)
    return sizes


def test_all_that_waits_is_one_batch() -> None:
    assert batches(merge("a"), merge("b"), add("a"), add("a")) == [4]


def test_a_batch_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BATCH_MAX", 2)
    assert batches(*map(merge, "abcde")) == [2, 2, 1]


def test_messages_are_counted_but_a_command_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MESSAGES_MAX", 5)
    assert batches(add("a", 3), add("b", 2), add("c", 1), add("d", 9), merge("e"), add("f")) == [2, 1, 1, 2]


def test_a_key_comes_once_in_a_batch() -> None:
    assert batches(merge("a", "k"), merge("b", "other"), merge("a", "k")) == [2, 1]


def test_a_purge_stands_alone() -> None:
    assert batches(merge("a"), purge("b"), merge("c"), merge("d")) == [1, 1, 2]


def test_messages_are_looked_up_after_those_before_are_committed() -> None:
    assert batches(add("a"), delete_message("b"), delete_message("a")) == [2, 1]


def test_a_full_queue_turns_callers_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "WAITING_MAX", 1)
    queue = RequestQueue()
    queue.put(merge("a"))
    with pytest.raises(Unavailable, match="too many writes are waiting"):
        queue.put(merge("b"))


def test_a_closed_queue_takes_none_and_hands_out_the_rest() -> None:
    queue = RequestQueue()
    queue.put(merge("a"))
    queue.close()
    with pytest.raises(Unavailable, match="shutting down"):
        queue.put(merge("b"))
    assert len(queue.take_all()) == 1
    assert queue.take_batch() == []
