"""A log with some of everything in it, for tests of what is made of a whole log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete, MergeMetadata, SetState, Start, Undelete
from recountdb.domain.commands.conversations import AddMessages, ChangeMessage, DeleteMessage, RenameSession
from recountdb.domain.commands.memory_functions import ChangeFunction, DefineFunction
from recountdb.domain.commands.users import ChangeUser
from recountdb.domain.memory_functions import Definition
from recountdb.domain.messages import Message
from recountdb.domain.users import Profile
from recountdb.eventlog.application import Recount
from tests.support.processes import context

THREAD = str(UUID(int=7))
SAID_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def say(*texts: str, **more: Any) -> list[Message]:
    return [Message(id=uuid4(), role="user", content=text, **more) for text in texts]


def tell_stories(application: Recount, count: int = 1, *, first: int = 0, project: str = "default") -> None:
    """What people do to sessions, threads and users, ``count`` times over, under names of their own."""
    for number in range(first, first + count):
        for position, command in enumerate(story(number)):
            key = f"key {number} {position}" if position % 4 == 0 else None
            application.execute(command, context(key, project=project))


def story(number: int) -> list[Command]:
    session, gone, user = f"trip {number}", f"gone {number}", f"ana {number}"
    thread = function = str(UUID(int=UUID(THREAD).int + number))
    first, second, *rest = said = say(
        'Grüße\n\t"\\', "two", "three", metadata={"n": [1, None, 1.5, 10**30], "s": "\\N"}
    )
    return [
        Start(kind="user", name=user, profile=Profile(email="a@example.org", tags=["x"])),
        ChangeUser(name=user, changes={"display_name": "Ana"}, metadata={"a": {"b": 1}}),
        Start(kind="session", name=session, user_id=user, metadata={"k": "\r\n"}),
        AddMessages(kind="session", name=session, messages=said),
        ChangeMessage(kind="session", name=session, message_id=first.id, changes={"content": "1"}),
        ChangeMessage(
            kind="session", name=session, message_id=second.id, changes={}, metadata={"n": None, "m": 2}
        ),
        DeleteMessage(kind="session", name=session, message_id=rest[0].id),
        MergeMetadata(kind="session", name=session, metadata={"k": {"l": None}}),
        RenameSession(name=session, new_name=f"{session} renamed"),
        AddMessages(kind="session", name=gone, messages=say("a", "b")),
        Delete(kind="session", name=gone, reason="test"),
        AddMessages(kind="session", name=gone, messages=say("c")),
        Delete(kind="session", name=gone),
        Undelete(kind="session", name=gone),
        AddMessages(kind="thread", name=thread, messages=say("x", "y", timestamp=SAID_AT, user_id=user)),
        SetState(kind="thread", name=thread, key=None, state={"step": 1}),
        SetState(kind="thread", name=thread, key="other", state=[1, "\\"]),
        SetState(kind="thread", name=thread, key=None, state=None),
        SetState(kind="user", name=user, key=function, state={"n": [None]}),
        Delete(kind="user", name=user),
        DefineFunction(name=function, definition=Definition(type="user_state", parameters={"a": None})),
        ChangeFunction(name=function, changes={"is_enabled": False}),
    ]
