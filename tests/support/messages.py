"""Commands that add one message."""

from __future__ import annotations

from uuid import UUID, uuid4

from recountdb.domain.commands.base import Command, Name
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.messages import Message

TALK = Name("default", "session", "", "talk")
"""The session that most of these tests write."""


def add_hello(name: str, *, id: UUID | None = None) -> Command:
    """Return the command that adds "hello" to a session."""
    return add_text(name, "hello", id=id)


def add_text(name: str, text: str, *, id: UUID | None = None) -> Command:
    """Return the command that adds a text to a session."""
    message = Message(id=id or uuid4(), role="user", content=text)
    return AddMessages(kind="session", name=name, messages=[message])
